//! Flows: which pod calls which Service, on which ports, how often.

use std::collections::{BTreeMap, BTreeSet};

use super::fields::{Fields, Kind, integer, named, string};
use super::manifests::Inventory;
use super::{Name, Resolved};
use crate::document::{Entry, Node, Notes, Span, Value};
use crate::model::{Flow, PodRef, Protocol, ServiceRef, Stream};
use crate::names;
use crate::quantity::{DSCP_MAX, QuantityError, parse_rate, parse_size};

pub(super) const FLOW: Kind = Kind {
    singular: "flow",
    plural: "flows",
    is_word: true,
};

const RATE_DEFAULT_PPS: u32 = 250;
const RATE_MAX_PPS: u32 = 10_000;
const SIZE_DEFAULT_BYTES: u16 = 200;
const SIZES_BYTES: std::ops::RangeInclusive<u32> = 64..=1200;

pub(super) fn resolve(notes: &mut Notes<'_>, entry: Option<&Entry>, inventory: &Inventory) -> Resolved<Flow> {
    let mut resolved = Resolved {
        names: Vec::new(),
        values: BTreeMap::new(),
    };
    let Some(entry) = entry else { return resolved };
    for entry in named(notes, entry, &FLOW) {
        let name = &entry.key.text;
        if name == "any" {
            notes.error(
                entry.key.span,
                "a flow cannot be named `any`",
                "in assertions `any` means every flow; rename it",
            );
        }
        resolved.names.push(Name {
            text: name.clone(),
            span: entry.key.span,
        });
        if let Some(flow) = flow(notes, entry, inventory) {
            resolved.values.insert(name.clone(), flow);
        }
    }
    resolved
}

fn flow(notes: &mut Notes<'_>, entry: &Entry, inventory: &Inventory) -> Option<Flow> {
    const KEYS: [&str; 7] = ["from", "to", "udp", "tcp", "rate", "size", "dscp"];
    let what = format!("flow `{}`", entry.key.text);
    let fields = Fields::of(notes, entry.key.span, &entry.value, &what, &KEYS)?;
    let from = fields
        .required(notes, "from")
        .and_then(|entry| pod(notes, &entry.value, inventory));
    let to = fields
        .required(notes, "to")
        .and_then(|entry| service(notes, &entry.value, inventory));
    let mut streams = BTreeSet::new();
    let mut has_ports = false;
    for (key, protocol) in [("udp", Protocol::Udp), ("tcp", Protocol::Tcp)] {
        let Some(entry) = fields.optional(key) else {
            continue;
        };
        has_ports = true;
        for (service_port, span) in ports(notes, &entry.value) {
            if let Some(service) = &to {
                check_port(notes, span, service, (protocol, service_port), inventory);
            }
            if !streams.insert(Stream {
                protocol,
                service_port,
            }) {
                notes.error(
                    span,
                    format!("port {service_port} is in the list twice"),
                    "remove one",
                );
            }
        }
    }
    if !has_ports {
        notes.error(
            entry.key.span,
            format!("missing a port in {what}"),
            "add `udp: PORT`, `tcp: PORT` or both",
        );
    }
    let rate = fields
        .optional("rate")
        .map_or(Some(RATE_DEFAULT_PPS), |entry| rate(notes, &entry.value));
    let size = fields
        .optional("size")
        .map_or(Some(SIZE_DEFAULT_BYTES), |entry| size(notes, &entry.value));
    let dscp = fields.optional("dscp").map_or(Some(0), |entry| {
        let dscp = integer(notes, &entry.value, "a DSCP", 0..=i64::from(DSCP_MAX));
        dscp.and_then(|dscp| u8::try_from(dscp).ok())
    });
    Some(Flow {
        from: from?,
        to: to?,
        streams: streams.into_iter().collect(),
        rate_pps: rate?,
        size_bytes: size?,
        dscp: dscp?,
    })
}

pub(super) fn pod(notes: &mut Notes<'_>, node: &Node, inventory: &Inventory) -> Option<PodRef> {
    let (kube_namespace, name, cluster) = reference(notes, node, "pod", inventory)?;
    let pod = PodRef {
        cluster,
        kube_namespace,
        name,
    };
    if inventory.is_complete && !inventory.pods.contains(&pod) {
        let known: Vec<String> = inventory.pods.iter().map(ToString::to_string).collect();
        unknown_object(notes, node.span, "pod", &pod.to_string(), &known);
    }
    Some(pod)
}

pub(super) fn service(notes: &mut Notes<'_>, node: &Node, inventory: &Inventory) -> Option<ServiceRef> {
    let (kube_namespace, name, cluster) = reference(notes, node, "service", inventory)?;
    let service = ServiceRef {
        cluster,
        kube_namespace,
        name,
    };
    if inventory.is_complete && !inventory.services.contains_key(&service) {
        let known: Vec<String> = inventory.services.keys().map(ToString::to_string).collect();
        unknown_object(notes, node.span, "Service", &service.to_string(), &known);
    }
    Some(service)
}

fn unknown_object(notes: &mut Notes<'_>, span: Span, kind: &str, name: &str, known: &[String]) {
    let hint = names::suggestion(
        name,
        &format!("{kind}s in the manifests"),
        known.iter().map(String::as_str),
    );
    notes.error(span, format!("unknown {kind} `{name}`"), hint);
}

/// The namespace, name and cluster in `kind/name` or `kind/namespace/name`, with or without `@cluster`.
fn reference(
    notes: &mut Notes<'_>,
    node: &Node,
    kind: &str,
    inventory: &Inventory,
) -> Option<(String, String, Option<String>)> {
    let form = format!("`{kind}/NAME` or `{kind}/NAMESPACE/NAME`");
    let whole = string(notes, node, &form)?;
    let (text, cluster) = match whole.split_once('@') {
        Some((text, cluster)) => (text, Some(cluster)),
        None => (whole, None),
    };
    let parts: Vec<&str> = text.split('/').collect();
    let found = match parts.as_slice() {
        [first, name] if *first == kind => Some(("default", *name)),
        [first, kube_namespace, name] if *first == kind => Some((*kube_namespace, *name)),
        _ => None,
    };
    match found {
        Some((kube_namespace, name))
            if names::is_dns_label(kube_namespace) && names::is_dns_subdomain(name) =>
        {
            let place = format!("the reference: `{text}@CLUSTER`");
            let cluster = inventory.cluster(notes, node.span, cluster, &place)?;
            Some((kube_namespace.to_owned(), name.to_owned(), cluster))
        }
        _ => {
            let hint = (parts.len() == 1).then(|| format!("did you mean `{kind}/{text}`?"));
            notes.push(node.span, format!("expected {form}, found `{whole}`"), hint);
            None
        }
    }
}

/// One port or a list of them, each with its place.
fn ports(notes: &mut Notes<'_>, node: &Node) -> Vec<(u16, Span)> {
    let items = match &node.value {
        Value::Sequence(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    if items.is_empty() {
        notes.error(
            node.span,
            "expected at least one port, found none",
            "write a port, or remove the key",
        );
    }
    let mut ports = Vec::new();
    for item in items {
        let port = integer(notes, item, "a Service port", 1..=65535);
        ports.extend(
            port.and_then(|port| u16::try_from(port).ok())
                .map(|port| (port, item.span)),
        );
    }
    ports
}

fn check_port(
    notes: &mut Notes<'_>,
    span: Span,
    service: &ServiceRef,
    port: (Protocol, u16),
    inventory: &Inventory,
) {
    let Some(known) = inventory
        .services
        .get(service)
        .filter(|ports| !ports.contains(&port))
    else {
        return;
    };
    let form = |(protocol, number): &(Protocol, u16)| format!("{protocol} {number}");
    let known: Vec<String> = known.iter().map(form).collect();
    let hint = if known.is_empty() {
        "it has no ports".to_owned()
    } else {
        format!("its ports: {}", known.join(", "))
    };
    notes.error(span, format!("`{service}` has no port {}", form(&port)), hint);
}

fn rate(notes: &mut Notes<'_>, node: &Node) -> Option<u32> {
    let form = format!("a rate from 1pps to {RATE_MAX_PPS}pps");
    quantity(notes, node, &form, "pps", parse_rate, |rate| {
        (1..=RATE_MAX_PPS).contains(&rate)
    })
}

fn size(notes: &mut Notes<'_>, node: &Node) -> Option<u16> {
    let form = format!("a size from {}B to {}B", SIZES_BYTES.start(), SIZES_BYTES.end());
    let size = quantity(notes, node, &form, "B", parse_size, |size| {
        SIZES_BYTES.contains(&size)
    })?;
    u16::try_from(size).ok()
}

fn quantity(
    notes: &mut Notes<'_>,
    node: &Node,
    form: &str,
    unit: &str,
    parse: impl Fn(&str) -> Result<u32, QuantityError>,
    is_in_range: impl Fn(u32) -> bool,
) -> Option<u32> {
    let Value::Scalar(scalar) = &node.value else {
        notes.push(
            node.span,
            format!("expected {form}, found {}", node.describe()),
            None,
        );
        return None;
    };
    let value = parse(&scalar.text).ok().filter(|value| is_in_range(*value));
    if value.is_none() {
        let with_unit = format!("{}{unit}", scalar.text);
        let hint = parse(&with_unit)
            .is_ok()
            .then(|| format!("did you mean `{with_unit}`?"));
        notes.push(
            node.span,
            format!("expected {form}, found {}", node.describe()),
            hint,
        );
    }
    value
}
