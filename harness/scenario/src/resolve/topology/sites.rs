//! `sites`: their ids, system IPs, transports and inspection services.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::Ipv4Addr;

use super::{SITE, TRANSPORT, in_order, references};
use crate::document::{Entry, Node, Notes};
use crate::model::Site;
use crate::resolve::fields::{Fields, integer, is_set, named, string};

pub(super) fn resolve(notes: &mut Notes<'_>, entry: &Entry, transports: &[&str]) -> Vec<Site> {
    let mut ids: BTreeMap<u32, &str> = BTreeMap::new();
    let mut system_ips: BTreeMap<Ipv4Addr, &str> = BTreeMap::new();
    let mut sites = Vec::new();
    for entry in named(notes, entry, &SITE) {
        const KEYS: [&str; 4] = ["id", "systemIp", "transports", "inspection"];
        let name = &entry.key.text;
        let what = format!("site `{name}`");
        let Some(fields) = Fields::of(notes, entry.key.span, &entry.value, &what, &KEYS) else {
            continue;
        };
        let id = fields.required(notes, "id").and_then(|entry| {
            let id = integer(notes, &entry.value, "a site id", 1..=i64::from(u32::MAX))?;
            let id = u32::try_from(id).ok()?;
            is_first(notes, &entry.value, &mut ids, ("site id", id, name)).then_some(id)
        });
        let chosen = fields.optional("systemIp").and_then(|entry| {
            let address = system_ip(notes, &entry.value)?;
            is_first(notes, &entry.value, &mut system_ips, ("system IP", address, name)).then_some(address)
        });
        let attached = match fields.optional("transports") {
            Some(entry) => in_order(
                transports,
                &references(notes, &entry.value, &TRANSPORT, transports),
            ),
            None => transports.iter().map(|name| (*name).to_owned()).collect(),
        };
        let has_inspection = is_set(notes, &fields, "inspection");
        sites.extend(id.map(|id| Site {
            name: name.clone(),
            id,
            system_ip: chosen,
            transports: attached,
            has_inspection,
        }));
    }
    sites
}

/// Whether no site before has that value; notes it when one has.
fn is_first<'n, K: Ord + Copy + Display>(
    notes: &mut Notes<'_>,
    node: &Node,
    first: &mut BTreeMap<K, &'n str>,
    (kind, value, name): (&str, K, &'n str),
) -> bool {
    let other = *first.entry(value).or_insert(name);
    if other != name {
        let message = format!("{kind} {value} is already that of site `{other}`");
        notes.error(node.span, message, "choose another");
    }
    other == name
}

fn system_ip(notes: &mut Notes<'_>, node: &Node) -> Option<Ipv4Addr> {
    const FORM: &str = "a system IP, a unicast IPv4 address";
    let text = string(notes, node, FORM)?;
    let address: Option<Ipv4Addr> = text.parse().ok();
    // 0.0.0.0/8 and 240.0.0.0/4 are no host's (RFC 1122 section 3.2.1.3).
    let is_unicast = |address: &Ipv4Addr| {
        let first = address.octets()[0];
        (1..224).contains(&first) && !address.is_loopback()
    };
    let unicast = address.filter(is_unicast);
    if unicast.is_none() {
        let hint = "write four numbers as in `10.255.0.1`, or leave it out";
        notes.error(node.span, format!("expected {FORM}, found `{text}`"), hint);
    }
    unicast
}
