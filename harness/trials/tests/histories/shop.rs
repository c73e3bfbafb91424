//! The cluster of a history: writes what steps say, and keeps the chronicle of it.
//!
//! Invariant: what the API refused never was.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use kubeapi::{ObjectRef, Status};
use pathproof_trials::{Cluster, SLICES};
use sdwan_operator::api;
use serde_json::{Map, Value, json};

use super::facts::{Chronicle, Policy, Port, Service, Slice, Words};
use super::history::{NAMESPACE, SliceName};

const PREFIX: &str = "policy.sdwan.cisco.com";
const RESOURCES: &str = "sdwan.pathproof.dev/v1alpha1";
/// The first of the beacons' addresses.
const BEACONS: [u8; 4] = [10, 98, 0, 0];

/// A cluster and all that was written to it.
pub struct Shop {
    pub cluster: Cluster,
    pub chronicle: Chronicle,
    /// The operator's own resources are installed.
    resources: bool,
    beacons: u8,
}

impl Shop {
    /// An empty one.
    pub async fn start(resources: bool) -> Self {
        let mut shop = Self {
            cluster: Cluster::start("one").await,
            chronicle: Chronicle::default(),
            resources,
            beacons: 0,
        };
        if resources {
            for definition in api::definitions() {
                let definition = serde_json::to_value(definition).expect("JSON");
                shop.cluster.api.create(&definition).expect("a definition");
            }
        }
        shop.namespace(NAMESPACE, Words::new());
        shop
    }

    /// Creates a namespace, or replaces its annotations.
    pub fn namespace(&mut self, name: &str, words: Words) {
        let before = Instant::now();
        let reference = ObjectRef::cluster("v1", "Namespace", name);
        let known = self.chronicle.namespaces.newest().get(name).cloned();
        let manifest = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "annotations": annotations(&Words::new(), &words)}});
        self.write(&reference, manifest, known.map(|known| annotate(&known, &words)))
            .expect("a namespace");
        let name = name.to_owned();
        self.chronicle
            .namespaces
            .note(before, |all| drop(all.insert(name, words)));
    }

    /// Creates a Service, or replaces its annotations.
    pub fn service(&mut self, namespace: &str, name: &str, words: Words) {
        let before = Instant::now();
        let reference = ObjectRef::namespaced("v1", "Service", namespace, name);
        let key = (namespace.to_owned(), name.to_owned());
        let known = self.chronicle.services.newest().get(&key).cloned();
        let manifest = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations(&Words::new(), &words)},
        "spec": {"ports": [
            {"name": "http", "port": 80, "protocol": "TCP"},
            {"name": "metrics", "port": 81, "protocol": "TCP"},
        ]}});
        let patch = known.map(|known| annotate(&known.words, &words));
        let created = self.write(&reference, manifest, patch).expect("a Service");
        self.chronicle
            .services
            .note(before, |all| drop(all.insert(key, Service { created, words })));
    }

    /// Deletes a Service, if it is there.
    pub fn service_gone(&mut self, name: &str) {
        let before = Instant::now();
        let reference = ObjectRef::namespaced("v1", "Service", NAMESPACE, name);
        if self.cluster.api.delete(&reference).is_ok() {
            let key = (NAMESPACE.to_owned(), name.to_owned());
            self.chronicle.services.note(before, |all| drop(all.remove(&key)));
        }
    }

    /// Creates a SteeringPolicy in place of any of its name, unless the API refuses it.
    pub fn policy(&mut self, namespace: &str, name: &str, service: &str, mut words: Words) {
        if !self.resources {
            return;
        }
        // The API drops fields that it does not know.
        words.remove("colour");
        self.policy_gone(name);
        let before = Instant::now();
        let reference = ObjectRef::namespaced(RESOURCES, "SteeringPolicy", namespace, name);
        let manifest = json!({"apiVersion": RESOURCES, "kind": "SteeringPolicy",
            "metadata": {"name": name, "namespace": namespace}, "spec": spec(service, &words)});
        if let Ok(created) = self.write(&reference, manifest, None) {
            let service = service.to_owned();
            let key = (namespace.to_owned(), name.to_owned());
            let policy = Policy {
                created,
                service,
                words,
            };
            self.chronicle
                .policies
                .note(before, |all| drop(all.insert(key, policy)));
        }
    }

    /// Deletes a SteeringPolicy, if it is there.
    pub fn policy_gone(&mut self, name: &str) {
        let before = Instant::now();
        let reference = ObjectRef::namespaced(RESOURCES, "SteeringPolicy", NAMESPACE, name);
        if self.resources && self.cluster.api.delete(&reference).is_ok() {
            let key = (NAMESPACE.to_owned(), name.to_owned());
            self.chronicle.policies.note(before, |all| drop(all.remove(&key)));
        }
    }

    /// Creates an EndpointSlice, or replaces its endpoints and ports.
    pub fn slice(&mut self, slice: SliceName, hosts: BTreeSet<IpAddr>, ports: Vec<Port>) {
        let of = (NAMESPACE, slice.service);
        self.put_slice(of, &slice.name(), slice.v6, hosts, ports);
    }

    /// Deletes an EndpointSlice, if it is there.
    pub fn slice_gone(&mut self, slice: SliceName) {
        let before = Instant::now();
        let reference = ObjectRef::namespaced(SLICES, "EndpointSlice", NAMESPACE, &slice.name());
        if self.cluster.api.delete(&reference).is_ok() {
            let key = (NAMESPACE.to_owned(), slice.name());
            self.chronicle.slices.note(before, |all| drop(all.remove(&key)));
        }
    }

    /// Removes these addresses from every slice but one.
    pub fn hosts_gone(&mut self, hosts: &BTreeSet<IpAddr>, but_from: Option<SliceName>) {
        let but = but_from.map(SliceName::name);
        let all = self.chronicle.slices.newest().clone();
        for ((namespace, name), slice) in &*all {
            let is_struck = slice.hosts.iter().any(|host| hosts.contains(host));
            if namespace == NAMESPACE && is_struck && but.as_ref() != Some(name) {
                let left = slice.hosts.difference(hosts).copied().collect();
                let v6 = name.contains("-v6-");
                self.put_slice((namespace, &slice.service), name, v6, left, slice.ports.clone());
            }
        }
    }

    /// Adds an address to a slice, and then takes it from all others.
    pub fn host_moved(&mut self, host: IpAddr, to: SliceName) {
        let key = (NAMESPACE.to_owned(), to.name());
        let there = self.chronicle.slices.newest().get(&key).cloned();
        let (mut hosts, ports) =
            there.map_or((BTreeSet::new(), vec![HTTP]), |slice| (slice.hosts, slice.ports));
        hosts.insert(host);
        self.slice(to, hosts, ports);
        self.hosts_gone(&BTreeSet::from([host]), Some(to));
    }

    /// Makes a Service whose one endpoint is steered only by who has seen every kind of object up to now.
    pub fn light_beacon(&mut self) {
        self.beacons += 1;
        let namespace = format!("beacon-{}", self.beacons);
        let pin = |color: &str| Words::from([("tunnel".to_owned(), color.to_owned())]);
        self.namespace(&namespace, pin("mpls"));
        self.policy(&namespace, "beacon", "beacon", pin("lte"));
        self.service(&namespace, "beacon", Words::new());
        let [a, b, c, _] = BEACONS;
        let host = IpAddr::from([a, b, c, self.beacons]);
        self.put_slice(
            (&namespace, "beacon"),
            "beacon",
            false,
            BTreeSet::from([host]),
            vec![HTTP],
        );
    }

    fn put_slice(
        &mut self,
        (namespace, service): (&str, &str),
        name: &str,
        v6: bool,
        hosts: BTreeSet<IpAddr>,
        ports: Vec<Port>,
    ) {
        let before = Instant::now();
        let reference = ObjectRef::namespaced(SLICES, "EndpointSlice", namespace, name);
        let key = (namespace.to_owned(), name.to_owned());
        let endpoints: Vec<Value> = hosts
            .iter()
            .map(|host| json!({"addresses": [host.to_string()], "conditions": {"ready": true}}))
            .collect();
        let named: Vec<Value> = ports
            .iter()
            .map(|port| json!({"name": port.name, "protocol": port.protocol, "port": port.number}))
            .collect();
        let manifest = json!({"apiVersion": SLICES, "kind": "EndpointSlice",
            "metadata": {"name": name, "namespace": namespace,
                "labels": {"kubernetes.io/service-name": service}},
            "addressType": if v6 { "IPv6" } else { "IPv4" }, "endpoints": endpoints, "ports": named});
        let patch = json!({"endpoints": endpoints, "ports": named});
        let is_there = self.chronicle.slices.newest().contains_key(&key);
        self.write(&reference, manifest, is_there.then_some(patch))
            .expect("a slice");
        let service = service.to_owned();
        let slice = Slice {
            service,
            hosts,
            ports,
        };
        self.chronicle
            .slices
            .note(before, |all| drop(all.insert(key, slice)));
    }

    /// Patches an object, or creates it where there is no patch; the answer is when it was created.
    fn write(&self, reference: &ObjectRef, manifest: Value, patch: Option<Value>) -> Result<String, Status> {
        let written = match patch {
            Some(patch) => self.cluster.api.merge_patch(reference, patch)?,
            None => self.cluster.api.create(&manifest)?,
        };
        let created = written["metadata"]["creationTimestamp"].as_str();
        Ok(created.unwrap_or_default().to_owned())
    }
}

/// The port of a slice that no step gave any.
const HTTP: Port = Port {
    name: "http",
    protocol: "TCP",
    number: 8080,
};

/// The patch that replaces annotations.
fn annotate(old: &Words, new: &Words) -> Value {
    json!({"metadata": {"annotations": annotations(old, new)}})
}

/// New annotations, and null for those that are not among them.
fn annotations(old: &Words, new: &Words) -> Value {
    let gone = old.keys().map(|key| (format!("{PREFIX}/{key}"), Value::Null));
    let given = new
        .iter()
        .map(|(key, value)| (format!("{PREFIX}/{key}"), json!(value)));
    Value::Object(gone.chain(given).collect())
}

/// Words as the fields of a SteeringPolicy.
fn spec(service: &str, words: &Words) -> Value {
    let mut spec = json!({"serviceRef": {"name": service}});
    let mut ports: Map<String, Value> = Map::new();
    for (key, value) in words {
        match key.split_once('.') {
            None => spec[key] = field(key, value),
            Some((setting, port)) => {
                let entry = ports.entry(port).or_insert_with(|| json!({"port": port}));
                entry[setting] = field(setting, value);
            }
        }
    }
    if !ports.is_empty() {
        spec["ports"] = ports.into_iter().map(|(_, port)| port).collect();
    }
    spec
}

fn field(key: &str, value: &str) -> Value {
    match key {
        "fallback" => value.split(',').collect(),
        "sla" => {
            let bounds = value.split(',').filter_map(|bound| bound.split_once('='));
            let number = |text: &str| text.trim_end_matches(['m', 's', '%']).parse::<u16>().ok();
            bounds
                .map(|(key, bound)| (key.to_owned(), json!(number(bound))))
                .collect::<Map<_, _>>()
                .into()
        }
        _ => json!(value),
    }
}
