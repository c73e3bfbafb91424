//! `transports`: colors, encapsulations and underlays.

use std::collections::BTreeMap;

use super::TRANSPORT;
use crate::document::{Entry, Node, Notes};
use crate::model::{COLORS, Color, Encap, IpVersion, Transport};
use crate::names;
use crate::resolve::faults;
use crate::resolve::fields::{Fields, integer, named, string, word};

/// What every lab has.
const MTU_DEFAULT: u32 = 1500;
/// The largest packet of the kernel's virtual links.
const MTU_MAX: u32 = 65535;

/// The values of `underlay`.
const UNDERLAYS: [(&str, IpVersion); 2] = [("ipv4", IpVersion::V4), ("ipv6", IpVersion::V6)];

pub(super) fn resolve(notes: &mut Notes<'_>, entry: &Entry, sites: &[&str]) -> Vec<Transport> {
    let mut first: BTreeMap<Color, &str> = BTreeMap::new();
    let mut transports = Vec::new();
    for (position, entry) in named(notes, entry, &TRANSPORT).into_iter().enumerate() {
        if position == COLORS.len() {
            let message = format!("expected at most {} transports, found more", COLORS.len());
            notes.error(
                entry.key.span,
                message,
                "each has a color of its own, and there are no more colors",
            );
            break;
        }
        let Some((transport, color_node)) = transport(notes, entry, sites) else {
            continue;
        };
        let color = &transport.color;
        match first.get(color) {
            Some(other) => {
                let message = format!("color `{color}` is already that of transport `{other}`");
                let hint = "a color names one transport; choose another";
                notes.error(color_node.span, message, hint);
            }
            None => {
                first.insert(color.clone(), &entry.key.text);
                transports.push(transport);
            }
        }
    }
    transports
}

/// A transport, and where its color stands.
fn transport<'n>(notes: &mut Notes<'_>, entry: &'n Entry, sites: &[&str]) -> Option<(Transport, &'n Node)> {
    const KEYS: [&str; 7] = ["color", "encap", "underlay", "mtu", "impair", "cut", "flap"];
    let name = &entry.key.text;
    let what = format!("transport `{name}`");
    let fields = Fields::of(notes, entry.key.span, &entry.value, &what, &KEYS)?;
    let faults = faults::in_topology(notes, &fields, sites);
    let encap = fields.optional("encap").map_or(Some(Encap::Vxlan), |entry| {
        word(notes, &entry.value, "encapsulation", &Encap::NAMES)
    });
    let underlay = fields.optional("underlay").map_or(Some(IpVersion::V4), |entry| {
        word(notes, &entry.value, "underlay", &UNDERLAYS)
    });
    let mtu = fields
        .optional("mtu")
        .map_or(Some(MTU_DEFAULT), |entry| mtu(notes, &entry.value, underlay));
    let node = &fields.required(notes, "color")?.value;
    let color = color(notes, node);
    let transport = Transport {
        name: name.clone(),
        color: color?,
        encap: encap?,
        underlay: underlay?,
        mtu: mtu?,
        faults,
    };
    Some((transport, node))
}

fn mtu(notes: &mut Notes<'_>, node: &Node, underlay: Option<IpVersion>) -> Option<u32> {
    let underlay = underlay.unwrap_or(IpVersion::V4);
    let least = underlay.mtu_min();
    let form = format!("the MTU of an {underlay} underlay in bytes");
    let mtu = integer(notes, node, &form, i64::from(least)..=i64::from(MTU_MAX))?;
    u32::try_from(mtu).ok()
}

fn color(notes: &mut Notes<'_>, node: &Node) -> Option<Color> {
    let text = string(notes, node, "a TLOC color")?;
    let color = Color::parse(text);
    if color.is_none() {
        let hint = names::suggestion(text, "colors", COLORS);
        notes.error(node.span, format!("unknown color `{text}`"), hint);
    }
    color
}
