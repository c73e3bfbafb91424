//! Topology files: transports, sites, the overlay, clusters and leaks, each in a module of its own.

use super::fields::{Fields, Kind, label, set, string};
use super::{cidr, unknown};
use crate::document::{Entry, Node, Notes, Value};
use crate::model::Topology;

mod clusters;
mod mesh;
mod overlay;
mod sites;
mod timing;
mod transports;
mod whole;

pub(super) const KEYS: [&str; 12] = [
    "apiVersion",
    "kind",
    "metadata",
    "transports",
    "defaultTransport",
    "bfd",
    "sla",
    "sites",
    "overlay",
    "clusters",
    "clusterMesh",
    "leaks",
];

pub(super) const TRANSPORT: Kind = Kind {
    singular: "transport",
    plural: "transports",
    is_word: false,
};
pub(super) const NODE: Kind = Kind {
    singular: "node",
    plural: "nodes",
    is_word: false,
};
pub(super) const CLUSTER: Kind = Kind {
    singular: "cluster",
    plural: "clusters",
    is_word: false,
};
pub(super) const INSPECTION: Kind = Kind {
    singular: "site with inspection",
    plural: "sites with inspection",
    is_word: false,
};
pub(super) const SITE: Kind = Kind {
    singular: "site",
    plural: "sites",
    is_word: false,
};

pub(super) fn resolve(notes: &mut Notes<'_>, fields: &Fields<'_>) -> Option<Topology> {
    let before = notes.count();
    let name = fields.required(notes, "metadata").and_then(|entry| {
        let metadata = Fields::of(notes, entry.key.span, &entry.value, "`metadata`", &["name"])?;
        let name = metadata.required(notes, "name")?;
        label(notes, &name.value, "the name of the topology")
    });
    let transports_entry = fields.required(notes, "transports");
    let sites_entry = fields.required(notes, "sites");
    let site_names = keys(sites_entry);
    let transports = transports_entry.map(|entry| transports::resolve(notes, entry, &site_names));
    let transport_names = keys(transports_entry);
    let default_transports = fields
        .required(notes, "defaultTransport")
        .map(|entry| one_or_more(notes, &entry.value, &TRANSPORT, &transport_names));
    let bfd = timing::bfd(notes, fields);
    let sla = timing::sla(notes, fields, bfd);
    let sites = sites_entry.map(|entry| sites::resolve(notes, entry, &transport_names));
    let names = overlay::Declared {
        sites: &site_names,
        transports: &transport_names,
        resolved: sites.as_deref().unwrap_or_default(),
    };
    let overlay = overlay::resolve(notes, fields.optional("overlay"), &names);
    let leaks = clusters::leaks(notes, fields.optional("leaks"));
    let clusters_entry = fields.required(notes, "clusters");
    let clusters = clusters_entry.map(|entry| clusters::resolve(notes, entry, &site_names, &leaks));
    let cluster_mesh = mesh::resolve(notes, fields.optional("clusterMesh"), &keys(clusters_entry));
    let topology = Topology {
        name: name?.to_owned(),
        transports: transports?,
        default_transports: default_transports?,
        bfd: bfd?,
        sla: sla?,
        sites: sites?,
        overlay: overlay?,
        clusters: clusters?,
        cluster_mesh,
        leaks: leaks.pairs(),
    };
    if notes.count() == before {
        whole::check(notes, fields, &topology);
    }
    Some(topology)
}

/// The names that a mapping declares, whether or not their values are in order.
fn keys(entry: Option<&Entry>) -> Vec<&str> {
    let entries = entry.and_then(|entry| entry.value.entries());
    entries
        .unwrap_or_default()
        .iter()
        .map(|entry| entry.key.text.as_str())
        .collect()
}

/// The entry of a mapping with that name.
fn named_entry<'n>(entry: Option<&'n Entry>, name: &str) -> Option<&'n Entry> {
    let entries = entry.and_then(|entry| entry.value.entries());
    entries?.iter().find(|entry| entry.key.text == name)
}

/// A name, or a list of different ones, each declared and at least one.
fn one_or_more(notes: &mut Notes<'_>, node: &Node, kind: &Kind, known: &[&str]) -> Vec<String> {
    if matches!(node.value, Value::Sequence(_)) {
        return references(notes, node, kind, known);
    }
    let form = format!("the name of a {0} or a list of {1}", kind.singular, kind.plural);
    let name = string(notes, node, &form).filter(|name| is_declared(notes, node, name, kind, known));
    name.map(ToOwned::to_owned).into_iter().collect()
}

/// A list of different names, each declared and at least one.
fn references(notes: &mut Notes<'_>, node: &Node, kind: &Kind, known: &[&str]) -> Vec<String> {
    if matches!(&node.value, Value::Sequence(items) if items.is_empty()) {
        notes.error(
            node.span,
            format!("expected at least one {}, found none", kind.singular),
            format!("name one of the {}", kind.plural),
        );
        return Vec::new();
    }
    let form = format!("names of {}", kind.plural);
    let names = set(notes, node, &form, |notes, node, name| {
        is_declared(notes, node, name, kind, known)
    });
    names.into_iter().map(ToOwned::to_owned).collect()
}

/// Whether a name is declared; notes it when it is not. Without any to choose from, that is the problem, and it is
/// reported where they belong.
fn is_declared(notes: &mut Notes<'_>, node: &Node, name: &str, kind: &Kind, known: &[&str]) -> bool {
    let is_declared = known.contains(&name);
    if !is_declared && !known.is_empty() {
        unknown(notes, node.span, name, kind, known.iter().copied());
    }
    is_declared
}

/// Those names in the order of the known ones, each once.
fn in_order(known: &[&str], names: &[String]) -> Vec<String> {
    let known = known
        .iter()
        .filter(|name| names.iter().any(|other| other == *name));
    known.map(|name| (*name).to_owned()).collect()
}
