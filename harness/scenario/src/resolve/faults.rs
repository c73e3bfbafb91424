//! Faults: what an author can do to transports, from the beginning or as an event, and to which part of them.
//!
//! Owns the scopes and the kinds of faults. What an impairment can be is read by [`super::impair`].

use std::time::Duration;

use super::fields::{Fields, Kind, list, string};
use super::topology::{SITE, TRANSPORT};
use super::{impair, unknown};
use crate::document::{Entry, Node, Notes, Value};
use crate::model::{Event, Fault, Scope, Topology};
use crate::quantity::{format_duration, parse_duration};

/// The kinds of faults, by their words.
const KINDS: [&str; 3] = ["impair", "cut", "flap"];
/// What says which part of a transport is meant.
const SCOPES: [&str; 4] = ["from", "to", "between", "site"];
/// Shorter phases of a flap could not be told from a machine that stands still.
const PHASE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));

/// The faults of a transport in a topology: each kind once, or as a list with different scopes.
pub(super) fn in_topology(notes: &mut Notes<'_>, transport: &Fields<'_>, sites: &[&str]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for entry in KINDS.into_iter().filter_map(|kind| transport.optional(kind)) {
        let values = one_or_more(entry);
        if values.is_empty() {
            let message = format!(
                "expected at least one mapping in `{}`, found none",
                entry.key.text
            );
            notes.error(entry.key.span, message, "add one, or remove the key");
        }
        let mut scopes: Vec<Scope> = Vec::new();
        for node in values {
            let Some(fault) = described(notes, (entry, node), &[], Some(sites)) else {
                continue;
            };
            let Some(fault) = fault.2 else { continue };
            if scopes.contains(fault.scope()) {
                let message = format!(
                    "`{}` is there twice for the same part of the transport",
                    entry.key.text
                );
                notes.error(node.span, message, "merge the two, or name another part");
                continue;
            }
            scopes.push(fault.scope().clone());
            faults.push(fault);
        }
    }
    faults
}

/// The kinds and places of a transport's faults, in the order of [`in_topology`] where all of them are in order.
pub(super) fn places(transport: &Entry) -> impl Iterator<Item = (&Entry, &Node)> {
    let entries = transport.value.entries().unwrap_or_default().iter();
    let of_kind = move |kind| entries.clone().find(|entry| entry.key.text == kind);
    let entries = KINDS.into_iter().filter_map(of_kind);
    entries.flat_map(|entry| one_or_more(entry).iter().map(move |node| (entry, node)))
}

fn one_or_more(entry: &Entry) -> &[Node] {
    match &entry.value.value {
        Value::Sequence(items) => items.as_slice(),
        _ => std::slice::from_ref(&entry.value),
    }
}

/// The event that `impair: {…}`, `cut: {…}`, `flap: {…}` or `heal: {…}` describes.
pub(super) fn event(notes: &mut Notes<'_>, entry: &Entry, topology: Option<&Topology>) -> Option<Event> {
    let sites: Option<Vec<&str>> = topology.map(|topology| {
        let names = topology.sites.iter().map(|site| site.name.as_str());
        names.collect()
    });
    let place = (entry, &entry.value);
    let (fields, scope, fault) = described(notes, place, &["transport"], sites.as_deref())?;
    let transport = fields.required(notes, "transport").and_then(|entry| {
        let names: Option<Vec<&str>> = topology.map(|topology| {
            let names = topology
                .transports
                .iter()
                .map(|transport| transport.name.as_str());
            names.collect()
        });
        reference(notes, &entry.value, &TRANSPORT, names.as_deref())
    });
    let (transport, scope) = (transport?, scope?);
    if entry.key.text == "heal" {
        return Some(Event::Heal { transport, scope });
    }
    Some(Event::Fault {
        transport,
        fault: fault?,
    })
}

/// The fields, the scope and the fault of a mapping; no fault in what heals. `None` where it is no mapping.
fn described<'n>(
    notes: &mut Notes<'_>,
    (entry, node): (&'n Entry, &'n Node),
    other_keys: &[&'static str],
    sites: Option<&[&str]>,
) -> Option<(Fields<'n>, Option<Scope>, Option<Fault>)> {
    let kind = entry.key.text.as_str();
    let mut keys = other_keys.to_vec();
    keys.extend(SCOPES);
    match kind {
        "impair" => keys.extend(impair::WORDS),
        "flap" => keys.extend(["down", "up"]),
        _ => {}
    }
    let before = notes.count();
    let fields = Fields::of(notes, entry.key.span, node, &format!("`{kind}`"), &keys)?;
    let unknown_keys = notes.count() - before;
    let scope = parse_scope(notes, entry, &fields, sites);
    let fault = match kind {
        "impair" => {
            // Problems elsewhere in the mapping do not make its impairment incomplete; unknown keys do.
            let before = notes.count() - unknown_keys;
            let impairment = impair::impairment(notes, entry, &fields, before);
            let scoped = scope.clone().zip(impairment);
            scoped.map(|(scope, impairment)| Fault::Impair { scope, impairment })
        }
        "flap" => {
            let [down, up] = ["down", "up"].map(|key| phase(notes, &fields, key));
            let scoped = scope.clone().zip(down).zip(up);
            scoped.map(|((scope, down), up)| Fault::Flap { scope, down, up })
        }
        "cut" => scope.clone().map(|scope| Fault::Cut { scope }),
        _ => None,
    };
    Some((fields, scope, fault))
}

fn parse_scope(
    notes: &mut Notes<'_>,
    entry: &Entry,
    fields: &Fields<'_>,
    sites: Option<&[&str]>,
) -> Option<Scope> {
    let kind = &entry.key.text;
    let [from, to, between, site] = SCOPES.map(|key| fields.optional(key));
    let named: Vec<&Entry> = [from.or(to), between, site].into_iter().flatten().collect();
    if let [first, second, ..] = named.as_slice() {
        let message = format!(
            "`{}` does not go with `{}` in `{kind}`",
            second.key.text, first.key.text
        );
        notes.error(
            second.key.span,
            message,
            "name one part of the transport: a direction, a tunnel or a site",
        );
        return None;
    }
    match (from, to, between, site) {
        (None, None, None, None) => Some(Scope::Whole),
        (_, _, Some(between), _) => tunnel(notes, &between.value, sites),
        (_, _, _, Some(site)) => reference(notes, &site.value, &SITE, sites).map(Scope::Site),
        (Some(from), Some(to), ..) => {
            let ends = [from, to].map(|entry| reference(notes, &entry.value, &SITE, sites));
            let [Some(from), Some(to_site)] = ends else {
                return None;
            };
            if from == to_site {
                let message = format!("`from` and `to` are both site `{from}`");
                notes.error(to.value.span, message, "name two sites");
                return None;
            }
            Some(Scope::Direction { from, to: to_site })
        }
        _ => {
            let message = format!("expected both or none of `from` and `to` in `{kind}`");
            notes.error(entry.key.span, message, "a direction is from one site to another");
            None
        }
    }
}

fn tunnel(notes: &mut Notes<'_>, node: &Node, sites: Option<&[&str]>) -> Option<Scope> {
    let items = list(notes, node, "a list of two sites")?;
    let [a, b] = items else {
        let message = format!("expected two sites in `between`, found {}", items.len());
        notes.error(
            node.span,
            message,
            "a tunnel is between two sites, `between: [a, b]`",
        );
        return None;
    };
    let ends = [a, b].map(|node| reference(notes, node, &SITE, sites));
    let [Some(first), Some(second)] = ends else {
        return None;
    };
    if first == second {
        let message = format!("`between` names site `{first}` twice");
        notes.error(b.span, message, "name two sites");
        return None;
    }
    let (first, second) = if first < second {
        (first, second)
    } else {
        (second, first)
    };
    Some(Scope::Tunnel(first, second))
}

/// How long one phase of a flap lasts.
fn phase(notes: &mut Notes<'_>, fields: &Fields<'_>, key: &str) -> Option<Duration> {
    let entry = fields.required(notes, key)?;
    let form = "a duration such as `200ms`";
    let duration = impair::quantity(notes, &entry.value, form, parse_duration)?;
    if !(PHASE.0..=PHASE.1).contains(&duration) {
        let [least, most, found] = [PHASE.0, PHASE.1, duration].map(format_duration);
        let message = format!("expected from {least} to {most} for `{key}`, found {found}");
        notes.error(
            entry.value.span,
            message,
            "each phase has to last long enough to be felt",
        );
        return None;
    }
    Some(duration)
}

/// The name of one of a kind of things; notes any other.
pub(super) fn reference(
    notes: &mut Notes<'_>,
    node: &Node,
    kind: &Kind,
    names: Option<&[&str]>,
) -> Option<String> {
    let text = string(notes, node, &format!("the name of a {}", kind.singular))?;
    let names = names?;
    if !names.contains(&text) {
        unknown(notes, node.span, text, kind, names.iter().copied());
        return None;
    }
    Some(text.to_owned())
}
