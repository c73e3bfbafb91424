//! A WAN of two sites, a cluster and an operator, Services and packets in short words, and ways to wait.
//!
//! Clients are at site 100, endpoints at site 200; Services have TCP port 8080 and are in service VPN 10.

#![allow(dead_code, reason = "each test binary uses its part of this module")]

use std::net::IpAddr;
use std::time::Duration;

use kubeapi::{Collection, ObjectRef};
use netsim::manager::{Activities, Change, Event};
use pathproof_trials::{Cluster, Fate, Operator, Packet, Slice, Wan, fate, settings};
use sdwan_operator::controller::Settings;
use sdwan_operator::manager::{Backend, Identity, LoginKind, Patience};
use serde_json::Value;

pub mod admin;

pub const COLORS: [&str; 3] = ["biz-internet", "mpls", "default"];
pub const PORT: u16 = 8080;
pub const TCP: u8 = 6;
const DOMAIN: &str = "policy.sdwan.cisco.com";
/// Long enough for a machine that has much else to do.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// A chance for what must not happen.
pub const CHANCE: Duration = Duration::from_millis(200);

/// What a test is about.
pub struct Trial {
    pub wan: Wan,
    pub cluster: Cluster,
}

impl Trial {
    pub async fn start() -> Self {
        Self::on(Wan::start(2, &COLORS).await).await
    }

    pub async fn on(wan: Wan) -> Self {
        Self {
            wan,
            cluster: Cluster::start("one").await,
        }
    }

    /// An operator that may do everything in the cluster.
    pub async fn operator(&self, settings: Settings) -> Operator {
        self.operator_as(self.cluster.client().await, settings)
    }

    /// An operator with this client of the cluster.
    pub fn operator_as(&self, kubernetes: kube::Client, settings: Settings) -> Operator {
        self.operator_by(LoginKind::Auto, kubernetes, settings)
    }

    /// An operator that logs in to the Manager in this way.
    pub fn operator_by(&self, login: LoginKind, kubernetes: kube::Client, settings: Settings) -> Operator {
        let manager = self.wan.client(login, Patience::default());
        Operator::start(vec![("", 10, kubernetes)], manager, settings)
    }

    /// Creates a Service with annotations and endpoints.
    pub fn service(&self, name: &str, annotations: &[(&str, &str)], hosts: &[&str]) {
        let annotations = annotations.iter();
        let annotations = annotations.map(|(key, value)| (annotation(key), (*value).to_owned()));
        self.cluster.create_service(name, &annotations.collect());
        if !hosts.is_empty() {
            self.endpoints(name, hosts);
        }
    }

    /// Says which endpoints a Service has.
    pub fn endpoints(&self, service: &str, hosts: &[&str]) {
        self.slice(service, "TCP", PORT, hosts);
    }

    /// Says which endpoints of a protocol and port a Service has.
    pub fn slice(&self, service: &str, protocol: &str, port: u16, hosts: &[&str]) {
        let hosts: Vec<IpAddr> = hosts.iter().map(|host| host.parse().unwrap()).collect();
        let family = if hosts.iter().any(IpAddr::is_ipv6) {
            "v6"
        } else {
            "v4"
        };
        let name = format!("{service}-{}-{port}-{family}", protocol.to_lowercase());
        self.cluster.put_slice(&Slice {
            name: &name,
            service,
            hosts: &hosts,
            protocol,
            port,
        });
    }

    /// Sets the tunnel of a Service.
    pub fn tunnel(&self, service: &str, color: &str) {
        self.cluster.annotate(service, &annotation("tunnel"), Some(color));
    }

    /// What becomes of a packet at present.
    pub fn fate(&self, packet: &Packet) -> Fate {
        fate(&self.wan.edges.policy_of(packet.sites.0), &self.wan.edges, packet)
    }

    /// Whether requests to a host and its replies take this color.
    pub fn takes(&self, host: &str, color: &str) -> bool {
        both_ways(host)
            .iter()
            .all(|packet| self.fate(packet) == Fate::over(color))
    }

    /// Waits until they do.
    pub async fn until_taken(&self, host: &str, color: &str) {
        eventually(&format!("{host} over {color}"), || self.takes(host, color)).await;
    }

    /// Checks that no policy of an edge, after the first `since`, sent packets of this host another way than these colors.
    pub fn never_left(&self, since: usize, host: &str, colors: &[&str]) {
        for applied in self.wan.edges.applied_since(since) {
            let here = |packet: &Packet| packet.sites.0 == applied.policy.site_id;
            for packet in both_ways(host).iter().filter(|packet| here(packet)) {
                let fate = fate(&applied.policy, &self.wan.edges, packet);
                let is_one = colors.iter().any(|color| fate == Fate::over(color));
                assert!(is_one, "{packet:?} was {fate:?} under {:?}", applied.policy);
            }
        }
    }

    /// The reasons of the Events about a Service.
    pub fn reasons(&self, service: &str) -> Vec<String> {
        let events = self
            .cluster
            .api
            .list(&Collection::all("events.k8s.io/v1", "Event"))
            .unwrap();
        let about = events
            .iter()
            .filter(|event| event["regarding"]["name"] == service);
        about
            .map(|event| event["reason"].as_str().unwrap().to_owned())
            .collect()
    }

    /// `status reason` of a condition of the SteeringPolicy of a Service, empty without.
    pub fn condition(&self, service: &str, kind: &str) -> String {
        let reference = ObjectRef::namespaced(
            "sdwan.pathproof.dev/v1alpha1",
            "SteeringPolicy",
            "default",
            service,
        );
        let Ok(policy) = self.cluster.api.get(&reference) else {
            return String::new();
        };
        let conditions = policy["status"]["conditions"].as_array();
        let found = conditions
            .into_iter()
            .flatten()
            .find(|condition| condition["type"] == kind);
        let text = |found: &Value, key: &str| found[key].as_str().unwrap().to_owned();
        found.map_or(String::new(), |found| {
            format!("{} {}", text(found, "status"), text(found, "reason"))
        })
    }

    /// Installs what is delivered with the operator: resources, roles and the account that it runs under.
    pub fn install(&self) {
        let deploy = concat!(env!("CARGO_MANIFEST_DIR"), "/../../operator/deploy");
        for file in [
            "crds/steeringpolicies.yaml",
            "crds/wantunnels.yaml",
            "manifests/sdwan-operator.yaml",
        ] {
            let text = std::fs::read_to_string(format!("{deploy}/{file}")).unwrap();
            let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
            for document in documents
                .iter()
                .filter(|document| document["kind"] != "Deployment")
            {
                self.cluster.api.create(document).unwrap();
            }
        }
    }
}

/// The name of an annotation.
pub fn annotation(key: &str) -> String {
    format!("{DOMAIN}/{key}")
}

/// A request to a host, and its reply.
pub fn both_ways(host: &str) -> [Packet; 2] {
    exchange(host, TCP, PORT)
}

/// A request to a port of a host, and its reply.
pub fn exchange(host: &str, protocol: u8, port: u16) -> [Packet; 2] {
    let host: IpAddr = host.parse().unwrap();
    let client: IpAddr = if host.is_ipv4() { "10.0.1.7" } else { "fd00:1::7" }
        .parse()
        .unwrap();
    let request = Packet {
        sites: (100, 200),
        service_vpn: 10,
        protocol,
        source: (client, 40_000).into(),
        destination: (host, port).into(),
    };
    [request, request.reply()]
}

/// How many rounds of an operator have succeeded.
pub fn rounds(operator: &Operator) -> f64 {
    let ended =
        |outcome: &str| operator.metric(&format!("sdwan_operator_rounds_total{{outcome=\"{outcome}\"}}"));
    ended("Programmed") + ended("Unchanged")
}

/// How many rounds of an operator have failed for this reason.
pub fn failures(operator: &Operator, kind: &str) -> f64 {
    operator.metric(&format!("sdwan_operator_errors_total{{kind=\"{kind}\"}}"))
}

/// Settings with this backend.
pub fn writing(backend: Backend) -> Settings {
    let identity = Identity {
        backend,
        ..Identity::default()
    };
    Settings {
        identity,
        ..settings()
    }
}

/// Settings with a resync this often.
pub fn resyncing(resync: Duration) -> Settings {
    Settings { resync, ..settings() }
}

/// What has happened on a Manager since it was listened to.
pub fn events(activities: &mut Activities) -> Vec<Event> {
    std::iter::from_fn(|| activities.try_next())
        .map(|activity| activity.event)
        .collect()
}

/// How many of the events begin a push that makes this change.
pub fn pushes(events: &[Event], wanted: Change) -> usize {
    let is_it = |event: &&Event| matches!(event, Event::PushStarted { change, .. } if *change == wanted);
    events.iter().filter(is_it).count()
}

pub async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let met = tokio::time::timeout(DEADLINE, poll).await;
    met.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Gives what must not happen a chance to happen.
pub async fn stays(what: &str, condition: impl Fn() -> bool) {
    let poll = async {
        while condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(
        tokio::time::timeout(CHANCE, poll).await.is_err(),
        "no longer: {what}"
    );
}
