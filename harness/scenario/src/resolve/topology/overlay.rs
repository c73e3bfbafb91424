//! `overlay`: between which sites there are tunnels.

use std::collections::BTreeMap;

use super::{SITE, TRANSPORT, in_order, references};
use crate::document::{Entry, Node, Notes, Value};
use crate::model::{Overlay, OverlayLinks, OverlayPair, Site};
use crate::names;
use crate::resolve::fields::{Fields, list};

const FULL_MESH: &str = "full-mesh";
const KEYS: [&str; 3] = ["hubs", "tunnels", "transit"];

/// What an overlay may refer to.
pub(super) struct Declared<'d> {
    pub(super) sites: &'d [&'d str],
    pub(super) transports: &'d [&'d str],
    /// The sites that are in order.
    pub(super) resolved: &'d [Site],
}

pub(super) fn resolve(
    notes: &mut Notes<'_>,
    entry: Option<&Entry>,
    declared: &Declared<'_>,
) -> Option<Overlay> {
    let full_mesh = Overlay {
        links: OverlayLinks::FullMesh,
        transit: Vec::new(),
    };
    let Some(entry) = entry else {
        return Some(full_mesh);
    };
    if entry.value.text() == Some(FULL_MESH) {
        return Some(full_mesh);
    }
    if !matches!(entry.value.value, Value::Mapping(_)) {
        let message = format!(
            "expected `{FULL_MESH}`, or a mapping of `hubs`, `tunnels` and `transit`, found {}",
            entry.value.describe()
        );
        notes.error(entry.value.span, message, hint(entry.value.text()));
        return None;
    }
    let before = notes.count();
    let fields = Fields::of(notes, entry.key.span, &entry.value, "`overlay`", &KEYS)?;
    if fields.is_empty() {
        let message = "expected one of `hubs`, `tunnels` and `transit` in `overlay`, found none";
        notes.error(
            entry.key.span,
            message,
            format!("for all tunnels write `{FULL_MESH}`"),
        );
    }
    let hubs = fields.optional("hubs");
    let pairs = fields.optional("tunnels");
    if let (Some(_), Some(pairs)) = (hubs, pairs) {
        let message = "`tunnels` does not go with `hubs`";
        notes.error(
            pairs.key.span,
            message,
            "remove one; `transit` makes any site forward",
        );
    }
    let hubs = hubs.map(|entry| references(notes, &entry.value, &SITE, declared.sites));
    let pairs = pairs.map(|entry| tunnels(notes, &entry.value, declared));
    let transit = fields.optional("transit");
    let mut transit = transit
        .map(|entry| references(notes, &entry.value, &SITE, declared.sites))
        .unwrap_or_default();
    transit.extend(hubs.iter().flatten().cloned());
    let links = match (hubs, pairs) {
        (Some(hubs), _) => OverlayLinks::Hubs(in_order(declared.sites, &hubs)),
        (None, Some(pairs)) => OverlayLinks::Pairs(pairs),
        (None, None) => OverlayLinks::FullMesh,
    };
    let transit = in_order(declared.sites, &transit);
    (notes.count() == before).then_some(Overlay { links, transit })
}

fn hint(text: Option<&str>) -> String {
    match text {
        Some("hub-and-spoke") => "name the hubs: `overlay: { hubs: [SITE] }`".to_owned(),
        Some("partial-mesh") => {
            "name the pairs: `overlay: { tunnels: [{ between: [SITE, SITE] }] }`".to_owned()
        }
        text => names::suggestion(text.unwrap_or_default(), "forms", [FULL_MESH, "{ hubs: [SITE] }"]),
    }
}

fn tunnels(notes: &mut Notes<'_>, node: &Node, declared: &Declared<'_>) -> Vec<OverlayPair> {
    let mut places: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut pairs = Vec::new();
    let items = list(
        notes,
        node,
        "a list of pairs of sites, each `between: [SITE, SITE]`",
    );
    for item in items.unwrap_or_default() {
        let Some(pair) = pair(notes, item, declared) else {
            continue;
        };
        let (a, b) = pair.between.clone();
        let key = if a < b { (a, b) } else { (b, a) };
        match places.get(&key) {
            Some(line) => {
                let message = format!("sites `{}` and `{}` are joined twice", key.0, key.1);
                let hint = format!("they are already on line {line}; list the transports there");
                notes.error(item.span, message, hint);
            }
            None => {
                places.insert(key, item.span.line);
                pairs.push(pair);
            }
        }
    }
    pairs
}

fn pair(notes: &mut Notes<'_>, item: &Node, declared: &Declared<'_>) -> Option<OverlayPair> {
    let before = notes.count();
    let fields = Fields::of(
        notes,
        item.span,
        item,
        "a pair of sites",
        &["between", "transports"],
    )?;
    let between = fields.required(notes, "between")?;
    let sites = references(notes, &between.value, &SITE, declared.sites);
    let chosen = fields.optional("transports");
    let chosen_names = chosen.map(|entry| references(notes, &entry.value, &TRANSPORT, declared.transports));
    if notes.count() != before {
        return None;
    }
    let [a, b] = sites.as_slice() else {
        let message = format!("expected two sites, found {}", sites.len());
        notes.error(
            between.value.span,
            message,
            "a tunnel has two ends: `between: [SITE, SITE]`",
        );
        return None;
    };
    let attached = |name: &String| {
        let site = declared.resolved.iter().find(|site| site.name == *name);
        site.map(|site| site.transports.as_slice())
    };
    // A site that is not in order is reported where it stands.
    let (of_a, of_b) = (attached(a)?, attached(b)?);
    let common: Vec<String> = of_a.iter().filter(|name| of_b.contains(name)).cloned().collect();
    let transports = chosen_names.unwrap_or_else(|| common.clone());
    let place = chosen.map_or(between.value.span, |entry| entry.value.span);
    if transports.is_empty() {
        let message = format!("sites `{a}` and `{b}` have no transport in common");
        notes.error(place, message, "attach one of them to a transport of the other");
    }
    for name in transports.iter().filter(|name| !common.contains(name)) {
        let site = if of_a.contains(name) { b } else { a };
        let message = format!("site `{site}` does not attach to transport `{name}`");
        let hint = match common.as_slice() {
            [] => format!("sites `{a}` and `{b}` have no transport in common"),
            common => format!("transports of both sites: {}", common.join(", ")),
        };
        notes.error(place, message, hint);
    }
    (notes.count() == before).then(|| OverlayPair {
        between: (a.clone(), b.clone()),
        transports: in_order(declared.transports, &transports),
    })
}
