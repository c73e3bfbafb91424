//! Lists.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::core::{Color, Family, List, ListKind, ListName, Sla};

pub(in crate::manager) const LIST_KINDS: [ListKind; 6] = [
    ListKind::DataPrefix,
    ListKind::DataIpv6Prefix,
    ListKind::Site,
    ListKind::Vpn,
    ListKind::Sla,
    ListKind::PreferredColorGroup,
];

/// The tiers of a preferred color group, the first first.
const TIERS: [&str; 3] = ["primaryPreference", "secondaryPreference", "tertiaryPreference"];
const ALL_PATHS: &str = "all-paths";

/// The path segment and the `type`.
fn spelling(kind: ListKind) -> (&'static str, &'static str) {
    match kind {
        ListKind::DataPrefix => ("dataprefix", "dataPrefix"),
        ListKind::DataIpv6Prefix => ("dataipv6prefix", "dataIpv6Prefix"),
        ListKind::Site => ("site", "site"),
        ListKind::Vpn => ("vpn", "vpn"),
        ListKind::Sla => ("sla", "sla"),
        ListKind::PreferredColorGroup => ("preferredcolorgroup", "preferredColorGroup"),
    }
}

pub(in crate::manager) fn list_path(kind: ListKind) -> String {
    format!("template/policy/list/{}", spelling(kind).0)
}

pub(in crate::manager) fn list_body(name: &ListName, list: &List, mark: &str) -> Value {
    let kind = spelling(list.kind()).1;
    json!({ "name": name.as_str(), "description": mark, "type": kind, "entries": entries(list) })
}

/// The entries of a list as people read them.
pub(in crate::manager) fn entry_texts(list: &List) -> BTreeSet<String> {
    if matches!(list, List::Altered(_)) {
        return BTreeSet::from(["something else".to_owned()]);
    }
    entries(list).iter().flat_map(values).collect()
}

/// The scalars in a value.
fn values(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => fields.values().flat_map(values).collect(),
        value => text(value).into_iter().collect(),
    }
}

fn entries(list: &List) -> Vec<Value> {
    match list {
        List::V4Hosts(hosts) => hosts
            .iter()
            .map(|host| json!({ "ipPrefix": format!("{host}/32") }))
            .collect(),
        List::V6Hosts(hosts) => hosts
            .iter()
            .map(|host| json!({ "ipv6Prefix": format!("{host}/128") }))
            .collect(),
        List::Sites(sites) => sites.iter().map(|site| json!({ "siteId": site })).collect(),
        List::ServiceVpn(service_vpn) => vec![json!({ "vpn": service_vpn.to_string() })],
        List::Sla(sla) => {
            let bounds = [
                ("latency", sla.latency_ms().map(|ms| ms.to_string())),
                ("loss", sla.loss_percent().map(|percent| percent.to_string())),
                ("jitter", sla.jitter_ms().map(|ms| ms.to_string())),
            ];
            let given = bounds
                .into_iter()
                .filter_map(|(key, bound)| Some((key.to_owned(), bound?.into())));
            vec![Value::Object(given.collect())]
        }
        List::ColorGroup(colors) => {
            let tier =
                |color: &Color| json!({ "colorPreference": color.as_str(), "pathPreference": ALL_PATHS });
            let tiers = TIERS
                .into_iter()
                .zip(colors)
                .map(|(key, color)| (key.to_owned(), tier(color)));
            vec![Value::Object(tiers.collect())]
        }
        List::Altered(_) => unreachable!("nothing that is desired is altered"),
    }
}

pub(in crate::manager) fn read_list(kind: ListKind, entries: &[Value]) -> List {
    let read = match kind {
        ListKind::DataPrefix => hosts(entries, "ipPrefix", Family::V4).map(List::V4Hosts),
        ListKind::DataIpv6Prefix => hosts(entries, "ipv6Prefix", Family::V6).map(List::V6Hosts),
        ListKind::Site => entries
            .iter()
            .map(|entry| only(entry, "siteId"))
            .collect::<Option<_>>()
            .map(List::Sites),
        ListKind::Vpn => match entries {
            [entry] => only(entry, "vpn")
                .and_then(|vpn| vpn.parse().ok())
                .map(List::ServiceVpn),
            _ => None,
        },
        ListKind::Sla => the_only(entries).and_then(sla).map(List::Sla),
        ListKind::PreferredColorGroup => the_only(entries).and_then(color_group).map(List::ColorGroup),
    };
    read.unwrap_or(List::Altered(kind))
}

fn hosts(entries: &[Value], key: &str, family: Family) -> Option<Arc<BTreeSet<IpAddr>>> {
    let length = match family {
        Family::V4 => "32",
        Family::V6 => "128",
    };
    let host = |entry: &Value| {
        let prefix = only(entry, key)?;
        let (host, of_length) = prefix.split_once('/')?;
        let host: IpAddr = host.parse().ok()?;
        (of_length == length && Family::of(host) == family).then_some(host)
    };
    entries.iter().map(host).collect::<Option<_>>().map(Arc::new)
}

fn sla(fields: &Map<String, Value>) -> Option<Sla> {
    let known = |key: &String| ["latency", "loss", "jitter"].contains(&key.as_str());
    let bound = |key| fields.get(key).map(|value| text(value)?.parse().ok());
    let percent = fields.get("loss").map(|value| text(value)?.parse().ok());
    let sla = Sla::new(
        optional(bound("latency"))?,
        optional(percent)?,
        optional(bound("jitter"))?,
    );
    sla.ok().filter(|_| fields.keys().all(known))
}

/// What is there must be readable; what is not there is not.
fn optional<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(read) => read.map(Some),
    }
}

fn color_group(fields: &Map<String, Value>) -> Option<Vec<Color>> {
    let tiers = TIERS.into_iter().map_while(|key| fields.get(key));
    let color = |tier: &Value| {
        let plain = tier["pathPreference"] == ALL_PATHS && tier.as_object()?.len() == 2;
        plain.then(|| tier["colorPreference"].as_str()?.parse().ok())?
    };
    let colors: Vec<_> = tiers.map(color).collect::<Option<_>>()?;
    (colors.len() == fields.len()).then_some(colors)
}

fn the_only(entries: &[Value]) -> Option<&Map<String, Value>> {
    match entries {
        [entry] => entry.as_object(),
        _ => None,
    }
}

/// The value of an entry that has this key and no other.
fn only(entry: &Value, key: &str) -> Option<String> {
    let fields = entry.as_object().filter(|fields| fields.len() == 1)?;
    text(fields.get(key)?)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
