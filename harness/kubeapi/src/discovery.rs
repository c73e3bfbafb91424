//! The documents by which clients learn what is served: discovery, in both forms.
//!
//! All are computed from the resource table.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest;
use serde_json::{Value, json};

use crate::custom::Life;
use crate::resources::{Resource, Resources, SUBRESOURCE_VERBS, Scope, Subresource};
use crate::status::Status;

/// The verbs of a custom resource whose definition is being deleted.
const ENDING_VERBS: [&str; 5] = ["delete", "deletecollection", "get", "list", "watch"];

/// The verbs of a custom resource, in upstream's order.
const CUSTOM_VERBS: [&str; 8] = [
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "create",
    "update",
    "watch",
];

/// `/api` (the legacy group) or `/apis` (all others).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    Legacy,
    Groups,
}

impl Root {
    fn covers(self, group: &str) -> bool {
        group.is_empty() == (self == Root::Legacy)
    }
}

/// `APIGroupDiscoveryList` of `apidiscovery.k8s.io/v2`.
pub(crate) fn aggregated(resources: &Resources, root: Root) -> Value {
    let groups = resources.groups().into_iter().filter(|group| root.covers(group));
    let items = groups.map(|group| {
        let versions = resources.versions(group).into_iter().map(|version| {
            let rows = resources.in_version(group, version);
            let listed = in_order(rows);
            let listed: Vec<Value> = listed.map(|row| aggregated_resource(row)).collect();
            json!({"version": version, "resources": listed, "freshness": "Current"})
        });
        let mut metadata = json!({"creationTimestamp": null});
        if !group.is_empty() {
            metadata["name"] = json!(group);
        }
        json!({"metadata": metadata, "versions": versions.collect::<Vec<_>>()})
    });
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {},
        "items": items.collect::<Vec<_>>(),
    })
}

/// As upstream lists them: by name.
fn in_order<'a>(rows: impl Iterator<Item = &'a Arc<Resource>>) -> impl Iterator<Item = &'a Arc<Resource>> {
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by(|one, other| one.plural.cmp(&other.plural));
    rows.into_iter()
}

fn aggregated_resource(row: &Resource) -> Value {
    let kind = json!({"group": row.group, "version": row.version, "kind": row.kind});
    let mut listed = json!({
        "resource": row.plural, "responseKind": kind, "scope": format!("{:?}", row.scope),
        "singularResource": row.singular, "verbs": verbs(row),
    });
    if !row.short_names.is_empty() {
        listed["shortNames"] = json!(row.short_names);
    }
    if !row.categories.is_empty() {
        listed["categories"] = json!(row.categories);
    }
    let subresources = parts(row).into_iter().map(|part| {
        let kind = json!({"group": part.group, "version": part.version, "kind": part.kind});
        json!({"subresource": part.name, "responseKind": kind, "verbs": part.verbs})
    });
    let subresources: Vec<Value> = subresources.collect();
    if !subresources.is_empty() {
        listed["subresources"] = json!(subresources);
    }
    listed
}

fn verbs(row: &Resource) -> &'static [&'static str] {
    match row.custom().map(|custom| custom.life) {
        Some(Life::Ending) => &ENDING_VERBS,
        Some(_) => &CUSTOM_VERBS,
        _ => row.verbs,
    }
}

/// What tells clients that objects are stored in another version now, as upstream computes it.
fn storage_hash(row: &Resource) -> String {
    let stored = format!("{}/{}/{}", row.group, row.version, row.kind);
    let hash = digest::digest(&digest::SHA256, stored.as_bytes());
    STANDARD.encode(&hash.as_ref()[..8])
}

/// A part of an object with its own path, and what it is answered with.
struct SubresourceEntry<'a> {
    name: &'static str,
    group: &'a str,
    version: &'a str,
    kind: &'a str,
    verbs: &'static [&'static str],
}

/// The parts of the objects of a resource, by name: those that are kept, and those that something is asked of.
fn parts(row: &Resource) -> Vec<SubresourceEntry<'_>> {
    let part = |name, group, version, kind, verbs| SubresourceEntry {
        name,
        group,
        version,
        kind,
        verbs,
    };
    let kept = row.subresources.iter().map(|subresource| match subresource {
        Subresource::Status => part("status", &row.group, &row.version, &row.kind, &SUBRESOURCE_VERBS),
        Subresource::Scale => part("scale", "autoscaling", "v1", "Scale", &SUBRESOURCE_VERBS),
    });
    let create: &'static [&'static str] = &["create"];
    let asked = match (&*row.group, &*row.plural) {
        ("", "namespaces") => vec![part("finalize", "", "v1", "Namespace", &["update"])],
        ("", "pods") => vec![
            part("binding", "", "v1", "Binding", create),
            part("eviction", "policy", "v1", "Eviction", create),
        ],
        ("", "serviceaccounts") => vec![part(
            "token",
            "authentication.k8s.io",
            "v1",
            "TokenRequest",
            create,
        )],
        _ => Vec::new(),
    };
    let mut parts: Vec<_> = kept.chain(asked).collect();
    if row.custom().is_none() {
        parts.sort_by_key(|part| part.name);
    }
    parts
}

/// `APIVersions`.
pub(crate) fn api_versions() -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}],
    })
}

/// `APIGroupList`.
pub(crate) fn api_group_list(resources: &Resources) -> Value {
    let groups = resources
        .groups()
        .into_iter()
        .filter(|group| Root::Groups.covers(group));
    let groups: Vec<Value> = groups.map(|group| group_entry(resources, group)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `APIGroup`.
pub(crate) fn api_group(resources: &Resources, name: &str) -> Result<Value, Status> {
    if name.is_empty() || resources.versions(name).is_empty() {
        return Err(Status::no_such_path());
    }
    let mut entry = group_entry(resources, name);
    entry["kind"] = json!("APIGroup");
    entry["apiVersion"] = json!("v1");
    Ok(entry)
}

fn group_entry(resources: &Resources, group: &str) -> Value {
    let versions = resources.versions(group).into_iter();
    let versions: Vec<Value> = versions
        .map(|version| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
        .collect();
    json!({"name": group, "versions": versions, "preferredVersion": versions.first()})
}

/// `APIResourceList`.
pub(crate) fn api_resource_list(resources: &Resources, group: &str, version: &str) -> Result<Value, Status> {
    let mut listed = Vec::new();
    for row in in_order(resources.in_version(group, version)) {
        let namespaced = row.scope == Scope::Namespaced;
        let mut entry = json!({
            "name": row.plural, "singularName": row.singular, "namespaced": namespaced, "kind": row.kind,
            "verbs": verbs(row),
        });
        if row.is_stored() {
            entry["storageVersionHash"] = json!(storage_hash(row));
        }
        if !row.short_names.is_empty() {
            entry["shortNames"] = json!(row.short_names);
        }
        if !row.categories.is_empty() {
            entry["categories"] = json!(row.categories);
        }
        listed.push(entry);
        for part in parts(row) {
            let mut entry = json!({
                "name": format!("{}/{}", row.plural, part.name), "singularName": "", "namespaced": namespaced,
                "kind": part.kind, "verbs": part.verbs,
            });
            if (part.group, part.version) != (&*row.group, &*row.version) {
                entry["group"] = json!(part.group);
                entry["version"] = json!(part.version);
            }
            listed.push(entry);
        }
    }
    if listed.is_empty() {
        return Err(Status::no_such_path());
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Ok(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": listed,
    }))
}
