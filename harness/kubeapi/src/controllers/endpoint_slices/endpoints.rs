//! The `Endpoints` of a Service with a selector, for clients that do not read its EndpointSlices.
//!
//! It has the name of its Service, the addresses of the Service's first family, and goes with the Service.
//!
//! # Limits
//! Upstream leaves out what is beyond 1,000 addresses, and notes the time of the last change; here all are told and
//! none is.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use super::desired::{self, Family};
use crate::api::{Api, Effect, Target};
use crate::controllers::objects::delete;
use crate::object;
use crate::status::{Reason, Status};
use crate::store::Key;
use crate::strategy::Part;

const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const HEADLESS: &str = "service.kubernetes.io/headless";

/// An address of a pod, whether it is ready, and how it is told.
type Addresses = Vec<(IpAddr, bool, Value)>;

/// Makes the Endpoints of the Service hold the addresses of its pods.
pub(super) fn replace(api: &Api, service: &Value, pods: &[Arc<Value>]) -> Result<(), Status> {
    let resource = api.resources.at_path("", "v1", "endpoints")?;
    let (namespace, name) = (object::namespace(service), object::name(service));
    let target = Target::new(&resource, namespace, name);
    let endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"namespace": namespace, "name": name, "labels": labels(service)},
        "subsets": subsets(service, pods),
    });
    let replaced = api.modify(&target, Part::Main, Effect::Persist, |current| {
        let mut next = endpoints.clone();
        next["metadata"]["annotations"] = current["metadata"]["annotations"].clone();
        Ok(next)
    });
    match replaced {
        Err(absent) if absent.reason == Reason::NotFound => {
            match api.create(&resource, namespace, endpoints, Effect::Persist) {
                // The namespace is going, and the Service with it.
                Err(refused) if refused.reason == Reason::Forbidden => Ok(()),
                created => created.map(drop),
            }
        }
        replaced => replaced.map(drop),
    }
}

/// Removes the Endpoints of a Service that is gone.
pub(super) fn remove(api: &Api, service: &Key) -> Result<(), Status> {
    let endpoints = api.store.read(|state| state.get("endpoints", service));
    endpoints.map_or(Ok(()), |endpoints| delete(api, &endpoints).map(drop))
}

fn labels(service: &Value) -> Value {
    let mut labels = service["metadata"]["labels"].clone();
    if !labels.is_object() {
        labels = json!({});
    }
    labels[MANAGED_BY] = json!("endpoint-controller");
    if service["spec"]["clusterIP"] == "None" {
        labels[HEADLESS] = json!("");
    }
    labels
}

/// The addresses of the pods, those together that have the same ports.
fn subsets(service: &Value, pods: &[Arc<Value>]) -> Vec<Value> {
    let is_headless = service["spec"]["clusterIP"] == "None";
    let has_ports = !object::items(service, "/spec/ports").is_empty();
    // By the text of the port, for an order that does not depend on the pods.
    let mut by_port: BTreeMap<String, (Option<Value>, Addresses)> = BTreeMap::new();
    for pod in pods {
        let Some(address) = address(service, pod) else {
            continue;
        };
        let ports = match has_ports {
            true => desired::ports(service, pod).into_iter().map(Some).collect(),
            false => Vec::from_iter(is_headless.then_some(None)),
        };
        for port in ports {
            let text = port.as_ref().map(Value::to_string).unwrap_or_default();
            let (_, addresses) = by_port.entry(text).or_insert_with(|| (port, Vec::new()));
            addresses.push(address.clone());
        }
    }
    let mut subsets: Vec<(Addresses, Vec<Value>)> = Vec::new();
    for (port, mut addresses) in by_port.into_values() {
        addresses.sort_by_key(|(address, _, _)| *address);
        match subsets.iter_mut().find(|(known, _)| *known == addresses) {
            Some((_, ports)) => ports.extend(port),
            None => subsets.push((addresses, Vec::from_iter(port))),
        }
    }
    let told = |addresses: &Addresses, ready: bool| -> Vec<Value> {
        let of_state = addresses.iter().filter(|(_, is_ready, _)| *is_ready == ready);
        of_state.map(|(_, _, told)| told.clone()).collect()
    };
    let subsets = subsets.iter().map(|(addresses, ports)| {
        json!({"addresses": told(addresses, true), "notReadyAddresses": told(addresses, false), "ports": ports})
    });
    subsets.collect()
}

/// The address of a pod that neither ended nor, unless the Service wants it all the same, goes.
fn address(service: &Value, pod: &Value) -> Option<(IpAddr, bool, Value)> {
    let wants_all = service["spec"]["publishNotReadyAddresses"] == true;
    let has_ended = matches!(object::text(pod, "/status/phase"), "Succeeded" | "Failed");
    if has_ended || object::is_terminating(pod) && !wants_all {
        return None;
    }
    let family = Family::ALL
        .into_iter()
        .find(|family| family.is_first_of(service))?;
    let address = object::pod_ips(pod).find(|address| family.has(address))?;
    let mut told = json!({
        "ip": address.to_string(), "nodeName": pod["spec"]["nodeName"],
        "targetRef": desired::reference(pod),
    });
    let hostname = object::text(pod, "/spec/hostname");
    if !hostname.is_empty() && object::text(pod, "/spec/subdomain") == object::name(service) {
        told["hostname"] = json!(hostname);
    }
    Some((
        address,
        wants_all || object::condition_is_true(pod, "Ready"),
        told,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(spec: Value) -> Value {
        let mut service = json!({"metadata": {"name": "web", "namespace": "ns"}, "spec": {
            "ipFamilies": ["IPv4", "IPv6"], "clusterIP": "10.96.0.1",
            "ports": [
                {"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"},
                {"name": "metrics", "port": 9000, "targetPort": 9000, "protocol": "TCP"},
            ],
        }});
        for (field, value) in spec.as_object().into_iter().flatten() {
            service["spec"][field] = value.clone();
        }
        service
    }

    fn pod(name: &str, last: u8, port: u16, ready: &str) -> Arc<Value> {
        Arc::new(json!({
            "metadata": {"name": name, "namespace": "ns", "uid": name},
            "spec": {"nodeName": "n", "containers": [
                {"ports": [{"name": "web", "containerPort": port, "protocol": "TCP"}]},
            ]},
            "status": {
                "podIPs": [{"ip": format!("fd00::{last}")}, {"ip": format!("10.0.0.{last}")}],
                "conditions": [{"type": "Ready", "status": ready}],
            },
        }))
    }

    /// (ready, not ready, ports) of each subset.
    fn told(service: &Value, pods: &[Arc<Value>]) -> Vec<(Vec<String>, Vec<String>, Vec<i64>)> {
        let texts = |list: &Value| {
            let addresses = list.as_array().into_iter().flatten();
            addresses
                .map(|address| object::text(address, "/ip").to_owned())
                .collect()
        };
        let ports = |subset: &Value| {
            let ports = object::items(subset, "/ports").iter();
            ports.map(|port| object::number(port, "/port")).collect()
        };
        let subsets = subsets(service, pods);
        let told = subsets.iter().map(|subset| {
            (
                texts(&subset["addresses"]),
                texts(&subset["notReadyAddresses"]),
                ports(subset),
            )
        });
        told.collect()
    }

    fn list(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn pods_with_the_same_ports_share_a_subset() {
        let pods = [pod("b", 2, 8080, "True"), pod("a", 1, 8080, "False")];
        let expected = (list(&["10.0.0.2"]), list(&["10.0.0.1"]), vec![8080, 9000]);
        assert_eq!(told(&service(json!({})), &pods), [expected]);
    }

    #[test]
    fn a_named_port_of_another_number_is_a_subset_of_its_own() {
        let pods = [pod("a", 1, 8080, "True"), pod("b", 2, 8081, "True")];
        let (both, none) = (list(&["10.0.0.1", "10.0.0.2"]), Vec::new());
        let expected = [
            (list(&["10.0.0.1"]), none.clone(), vec![8080]),
            (list(&["10.0.0.2"]), none.clone(), vec![8081]),
            (both, none, vec![9000]),
        ];
        assert_eq!(told(&service(json!({})), &pods), expected);
    }

    #[test]
    fn a_pod_that_goes_counts_only_where_all_are_wanted() {
        let mut going = (*pod("a", 1, 8080, "False")).clone();
        going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let pods = [Arc::new(going)];
        assert_eq!(told(&service(json!({})), &pods), []);
        let all = service(json!({"publishNotReadyAddresses": true}));
        assert_eq!(
            told(&all, &pods),
            [(list(&["10.0.0.1"]), Vec::new(), vec![8080, 9000])]
        );
    }

    #[test]
    fn only_a_headless_service_has_addresses_without_ports() {
        let pods = [pod("a", 1, 8080, "True")];
        assert_eq!(told(&service(json!({"ports": []})), &pods), []);
        let headless = service(json!({"ports": [], "clusterIP": "None", "ipFamilies": ["IPv6"]}));
        assert_eq!(
            told(&headless, &pods),
            [(list(&["fd00::1"]), Vec::new(), Vec::new())]
        );
    }
}
