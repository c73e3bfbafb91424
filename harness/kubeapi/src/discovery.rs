//! The documents by which clients learn what is served: discovery in both forms, and OpenAPI v3.
//!
//! All are computed from the resource table. The OpenAPI documents carry operations without schemas: enough
//! for `kubectl create` and `apply` to leave field validation to the server, nothing for `kubectl explain`.

use serde_json::{Map, Value, json};

use crate::patch::MEDIA_TYPES;
use crate::resources::{Resource, Resources, STATUS_VERBS, Scope, Subresource};
use crate::status::Status;

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
    let groups = resources
        .group_versions()
        .into_iter()
        .filter(|(group, _)| root.covers(group));
    let items = groups.map(|(group, version)| {
        let rows = resources
            .iter()
            .filter(|row| row.group == group && row.version == version);
        let listed: Vec<Value> = rows.map(|row| aggregated_resource(row)).collect();
        let mut metadata = json!({"creationTimestamp": null});
        if !group.is_empty() {
            metadata["name"] = json!(group);
        }
        json!({
            "metadata": metadata,
            "versions": [{"version": version, "resources": listed, "freshness": "Current"}],
        })
    });
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {},
        "items": items.collect::<Vec<_>>(),
    })
}

fn aggregated_resource(row: &Resource) -> Value {
    let kind = json!({"group": row.group, "version": row.version, "kind": row.kind});
    let mut listed = json!({
        "resource": row.plural, "responseKind": kind, "scope": format!("{:?}", row.scope),
        "singularResource": row.singular, "verbs": row.verbs,
    });
    if !row.short_names.is_empty() {
        listed["shortNames"] = json!(row.short_names);
    }
    if !row.categories.is_empty() {
        listed["categories"] = json!(row.categories);
    }
    if row.has(Subresource::Status) {
        listed["subresources"] =
            json!([{"subresource": "status", "responseKind": kind, "verbs": STATUS_VERBS}]);
    }
    listed
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
        .group_versions()
        .into_iter()
        .filter(|(group, _)| Root::Groups.covers(group));
    let groups: Vec<Value> = groups
        .map(|(group, version)| group_entry(group, version))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `APIGroup`.
pub(crate) fn api_group(resources: &Resources, name: &str) -> Result<Value, Status> {
    let found = resources
        .group_versions()
        .into_iter()
        .find(|(group, _)| *group == name && !group.is_empty());
    let (group, version) = found.ok_or_else(Status::no_such_path)?;
    let mut entry = group_entry(group, version);
    entry["kind"] = json!("APIGroup");
    entry["apiVersion"] = json!("v1");
    Ok(entry)
}

fn group_entry(group: &str, version: &str) -> Value {
    let version = json!({"groupVersion": format!("{group}/{version}"), "version": version});
    json!({"name": group, "versions": [version], "preferredVersion": version})
}

/// `APIResourceList`.
pub(crate) fn api_resource_list(resources: &Resources, group: &str, version: &str) -> Result<Value, Status> {
    let rows = resources
        .iter()
        .filter(|row| row.group == group && row.version == version);
    let mut listed = Vec::new();
    for row in rows {
        let namespaced = row.scope == Scope::Namespaced;
        let mut entry = json!({
            "name": row.plural, "singularName": row.singular, "namespaced": namespaced, "kind": row.kind,
            "verbs": row.verbs,
        });
        if !row.short_names.is_empty() {
            entry["shortNames"] = json!(row.short_names);
        }
        if !row.categories.is_empty() {
            entry["categories"] = json!(row.categories);
        }
        listed.push(entry);
        if row.has(Subresource::Status) {
            listed.push(json!({
                "name": format!("{}/status", row.plural), "singularName": "", "namespaced": namespaced,
                "kind": row.kind, "verbs": STATUS_VERBS,
            }));
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

/// The index of the OpenAPI v3 documents.
pub(crate) fn openapi_index(resources: &Resources) -> Value {
    let groups = resources.group_versions().into_iter();
    let paths = groups.map(|(group, version)| {
        let root = path_of(group, version);
        // The documents of one build never change, so its version is their hash.
        let url = format!("/openapi/v3/{root}?hash={}", env!("CARGO_PKG_VERSION"));
        (root, json!({"serverRelativeURL": url}))
    });
    json!({"paths": Value::Object(paths.collect())})
}

/// The OpenAPI v3 document of one group and version.
pub(crate) fn openapi_document(resources: &Resources, group: &str, version: &str) -> Result<Value, Status> {
    let mut paths = Map::new();
    let root = path_of(group, version);
    for row in resources
        .iter()
        .filter(|row| row.group == group && row.version == version)
    {
        let place = match row.scope {
            Scope::Namespaced => "namespaces/{namespace}/",
            Scope::Cluster => "",
        };
        paths.insert(
            format!("/{root}/{place}{}/{{name}}", row.plural),
            json!({"patch": patch_operation(row)}),
        );
    }
    if paths.is_empty() {
        return Err(Status::no_such_path());
    }
    let title = json!({"title": "Kubernetes", "version": crate::VERSION});
    Ok(json!({"openapi": "3.0.0", "info": title, "paths": paths, "components": {"schemas": {}}}))
}

/// A gnostic `openapi.v2.Document` without definitions, by which `kubectl` validates nothing: the server does.
pub(crate) fn empty_openapi_v2_protobuf() -> Vec<u8> {
    /// A length-delimited field; all of these are shorter than 128 bytes, so the length is one byte.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap_or(0);
        [&[number << 3 | 2, length], content].concat()
    }
    let info = [field(1, b"Kubernetes"), field(2, crate::VERSION.as_bytes())].concat();
    let (swagger, info, paths) = (field(1, b"2.0"), field(2, &info), field(8, b""));
    [swagger, info, paths].concat()
}

fn patch_operation(row: &Resource) -> Value {
    let parameter =
        |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
    let content =
        MEDIA_TYPES.map(|media_type| (media_type.to_owned(), json!({"schema": {"type": "object"}})));
    json!({
        "description": format!("partially update the specified {}", row.kind),
        "operationId": format!("patch{}{}", row.version.to_uppercase(), row.kind),
        "parameters": [parameter("dryRun"), parameter("fieldManager"), parameter("fieldValidation")],
        "requestBody": {"required": true, "content": Value::Object(content.into_iter().collect())},
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": {"group": row.group, "version": row.version, "kind": row.kind},
    })
}

fn path_of(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}
