//! Services, what is behind them, and what leads to them.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{AGE, Column, NAME, or_none, pairs, selector};
use crate::object::{items, text};

pub(super) const SERVICE: &[Column] = &[
    NAME,
    Column::new("Type", |service| json!(text(service, "/spec/type"))),
    Column::new("Cluster-IP", |service| or_none(text(service, "/spec/clusterIP"))),
    Column::new("External-IP", |service| json!(external_ip(service))),
    Column::new("Port(s)", |service| json!(service_ports(service))),
    AGE,
    Column::new("Selector", |service| or_none(&pairs(service, "/spec/selector"))).wide(),
];

fn external_ip(service: &Value) -> String {
    let external = items(service, "/spec/externalIPs")
        .iter()
        .filter_map(Value::as_str);
    let ingress = items(service, "/status/loadBalancer/ingress").iter();
    let ingress = ingress.filter_map(|entry| entry["ip"].as_str().or(entry["hostname"].as_str()));
    match text(service, "/spec/type") {
        "ExternalName" => text(service, "/spec/externalName").to_owned(),
        "LoadBalancer" => {
            let all: Vec<&str> = ingress.chain(external).collect();
            if all.is_empty() {
                "<pending>".to_owned()
            } else {
                all.join(",")
            }
        }
        _ => {
            let all: Vec<&str> = external.collect();
            if all.is_empty() {
                "<none>".to_owned()
            } else {
                all.join(",")
            }
        }
    }
}

fn service_ports(service: &Value) -> String {
    let ports = items(service, "/spec/ports").iter().map(|port| {
        let mut shown = port["port"].to_string();
        if let Some(node_port) = port["nodePort"].as_i64().filter(|port| *port > 0) {
            let _infallible = write!(shown, ":{node_port}");
        }
        format!("{shown}/{}", text(port, "/protocol"))
    });
    let ports: Vec<String> = ports.collect();
    if ports.is_empty() {
        "<none>".to_owned()
    } else {
        ports.join(",")
    }
}

pub(super) const ENDPOINT_SLICE: &[Column] = &[
    NAME,
    Column::new("AddressType", |slice| json!(text(slice, "/addressType"))),
    Column::new("Ports", |slice| {
        let ports = items(slice, "/ports").iter();
        let ports: Vec<String> = ports
            .map(|port| port["port"].as_i64().map_or("*".into(), |n| n.to_string()))
            .collect();
        json!(shortened(&ports, 3, "<unset>"))
    }),
    Column::new("Endpoints", |slice| {
        let endpoints = items(slice, "/endpoints").iter();
        let addresses = endpoints.flat_map(|endpoint| items(endpoint, "/addresses"));
        let addresses: Vec<String> = addresses.filter_map(Value::as_str).map(str::to_owned).collect();
        json!(shortened(&addresses, 3, "<unset>"))
    }),
    AGE,
];

fn shortened(all: &[String], limit: usize, none: &str) -> String {
    match all.len().checked_sub(limit) {
        _ if all.is_empty() => none.to_owned(),
        None | Some(0) => all.join(","),
        Some(more) => format!("{} + {more} more...", all[..limit].join(",")),
    }
}

pub(super) const ENDPOINTS: &[Column] = &[
    NAME,
    Column::new("Endpoints", |endpoints| {
        let subsets = items(endpoints, "/subsets").iter();
        let all = subsets.flat_map(|subset| {
            let ports = items(subset, "/ports").iter();
            ports.flat_map(move |port| {
                let addresses = items(subset, "/addresses").iter();
                addresses.map(move |address| format!("{}:{}", text(address, "/ip"), port["port"]))
            })
        });
        json!(shortened(&all.collect::<Vec<_>>(), 3, "<none>"))
    }),
    AGE,
];

pub(super) const INGRESS: &[Column] = &[
    NAME,
    Column::new("Class", |ingress| {
        or_none(text(ingress, "/spec/ingressClassName"))
    }),
    Column::new("Hosts", |ingress| {
        let rules = items(ingress, "/spec/rules").iter();
        let hosts: Vec<String> = rules.map(|rule| text(rule, "/host").to_owned()).collect();
        let hosts: Vec<String> = hosts.into_iter().filter(|host| !host.is_empty()).collect();
        json!(shortened(&hosts, 3, "*"))
    }),
    Column::new("Address", |ingress| {
        let balancers = items(ingress, "/status/loadBalancer/ingress").iter();
        let addresses = balancers.filter_map(|entry| entry["ip"].as_str().or(entry["hostname"].as_str()));
        json!(addresses.collect::<Vec<_>>().join(","))
    }),
    Column::new("Ports", |ingress| {
        let has_tls = !items(ingress, "/spec/tls").is_empty();
        json!(if has_tls { "80, 443" } else { "80" })
    }),
    AGE,
];

pub(super) const INGRESS_CLASS: &[Column] = &[
    NAME,
    Column::new("Controller", |class| json!(text(class, "/spec/controller"))),
    Column::new("Parameters", |class| {
        let parameters = &class["spec"]["parameters"];
        if parameters.is_null() {
            return json!("<none>");
        }
        let (group, kind, name) = (
            text(parameters, "/apiGroup"),
            text(parameters, "/kind"),
            text(parameters, "/name"),
        );
        json!(match group {
            "" => format!("{kind}/{name}"),
            group => format!("{kind}.{group}/{name}"),
        })
    }),
    AGE,
];

pub(super) const NETWORK_POLICY: &[Column] = &[
    NAME,
    Column::new("Pod-Selector", |policy| selector(&policy["spec"]["podSelector"])),
    AGE,
];
