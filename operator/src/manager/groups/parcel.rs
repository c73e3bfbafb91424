//! Policy objects: the lists of policy groups.
//!
//! Owns the translation between lists and parcels. In these, every scalar is an option of type `global`.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::core::{Color, Hosts, List, ListKind, Sla};

/// The kinds that a policy-object profile has of the lists that steering needs.
pub(super) const KINDS: [ListKind; 4] = [
    ListKind::DataPrefix,
    ListKind::DataIpv6Prefix,
    ListKind::Sla,
    ListKind::PreferredColorGroup,
];

const PREFERENCES: [&str; 3] = ["primaryPreference", "secondaryPreference", "tertiaryPreference"];
const ALL_PATHS: &str = "all-paths";

/// A scalar as parcels have it.
pub(super) fn option(value: impl Into<Value>) -> Value {
    json!({ "optionType": "global", "value": value.into() })
}

/// The value of an option of type `global`.
pub(super) fn value(option: &Value) -> Option<&Value> {
    (option.get("optionType")? == "global").then(|| option.get("value"))?
}

/// The path segment; `None` for what policy groups have no parcel for, because they say it otherwise.
pub(super) fn segment(kind: ListKind) -> Option<&'static str> {
    match kind {
        ListKind::DataPrefix => Some("data-prefix"),
        ListKind::DataIpv6Prefix => Some("data-ipv6-prefix"),
        ListKind::Sla => Some("sla-class"),
        ListKind::PreferredColorGroup => Some("preferred-color-group"),
        ListKind::Site | ListKind::Vpn => None,
    }
}

/// The body of a parcel.
pub(super) fn body(name: &str, mark: &str, list: &List) -> Value {
    let entries = match list {
        List::V4Hosts(hosts) => prefixes(hosts, "ipv4Address", "ipv4PrefixLength", 32),
        List::V6Hosts(hosts) => prefixes(hosts, "ipv6Address", "ipv6PrefixLength", 128),
        List::Sla(sla) => vec![sla_entry(*sla)],
        List::ColorGroup(colors) => {
            let preferences = PREFERENCES.iter().zip(colors).map(|(name, color)| {
                let preference = json!({
                    "colorPreference": option(vec![color.as_str()]), "pathPreference": option(ALL_PATHS),
                });
                ((*name).to_owned(), preference)
            });
            vec![Value::Object(preferences.collect())]
        }
        List::Sites(_) | List::ServiceVpn(_) | List::Altered(_) => {
            unreachable!("policy groups have no such list")
        }
    };
    json!({ "name": name, "description": mark, "data": { "entries": entries } })
}

fn prefixes(hosts: &Hosts, address: &str, length: &str, bits: u8) -> Vec<Value> {
    let entry = |host: &IpAddr| json!({ address: option(host.to_string()), length: option(bits) });
    hosts.iter().map(entry).collect()
}

fn sla_entry(sla: Sla) -> Value {
    let bounds = [
        ("latency", sla.latency_ms()),
        ("loss", sla.loss_percent().map(u16::from)),
        ("jitter", sla.jitter_ms()),
    ];
    let bounds = bounds
        .into_iter()
        .filter_map(|(name, bound)| Some((name.to_owned(), option(bound?))));
    Value::Object(bounds.collect())
}

/// Reads the `data` of a parcel; what the operator would not write is altered.
pub(super) fn read(kind: ListKind, data: &Value) -> List {
    let entries = data.get("entries").and_then(Value::as_array);
    let entries = entries.map(Vec::as_slice).unwrap_or_default();
    let read = match kind {
        ListKind::DataPrefix => hosts(entries, "ipv4Address", "ipv4PrefixLength", 32).map(List::V4Hosts),
        ListKind::DataIpv6Prefix => hosts(entries, "ipv6Address", "ipv6PrefixLength", 128).map(List::V6Hosts),
        ListKind::Sla => read_sla(entries).map(List::Sla),
        ListKind::PreferredColorGroup => read_colors(entries).map(List::ColorGroup),
        ListKind::Site | ListKind::Vpn => None,
    };
    read.unwrap_or(List::Altered(kind))
}

fn hosts(entries: &[Value], address: &str, length: &str, bits: u8) -> Option<Hosts> {
    let host = |entry: &Value| -> Option<IpAddr> {
        if fields(entry)? != 2 || value(entry.get(length)?)?.as_u64()? != u64::from(bits) {
            return None;
        }
        value(entry.get(address)?)?.as_str()?.parse().ok()
    };
    entries.iter().map(host).collect::<Option<_>>().map(Arc::new)
}

fn read_sla(entries: &[Value]) -> Option<Sla> {
    let [entry] = entries else { return None };
    let bound = |name: &str| value(entry.get(name)?)?.as_u64();
    let (latency, loss, jitter) = (bound("latency"), bound("loss"), bound("jitter"));
    let known = [latency, loss, jitter].iter().flatten().count();
    if fields(entry)? != known {
        return None;
    }
    let narrow = |bound: Option<u64>| bound.map(u16::try_from).transpose().ok();
    let loss = loss.map(u8::try_from).transpose().ok()?;
    Sla::new(narrow(latency)?, loss, narrow(jitter)?).ok()
}

fn read_colors(entries: &[Value]) -> Option<Vec<Color>> {
    let [entry] = entries else { return None };
    let preferences = PREFERENCES.iter().map_while(|name| entry.get(*name));
    let color = |preference: &Value| -> Option<Color> {
        let [color] = value(preference.get("colorPreference")?)?.as_array()?.as_slice() else {
            return None;
        };
        let everywhere = value(preference.get("pathPreference")?)? == ALL_PATHS;
        everywhere.then(|| color.as_str()?.parse().ok())?
    };
    let colors: Vec<Color> = preferences.map(color).collect::<Option<_>>()?;
    (fields(entry)? == colors.len()).then_some(colors)
}

fn fields(entry: &Value) -> Option<usize> {
    entry.as_object().map(serde_json::Map::len)
}
