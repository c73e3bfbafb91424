//! The operations of a resource, by path and method.

use serde_json::{Map, Value, json};

use super::kind_of;
use super::schemas::{component, list_component, reference};
use crate::patch::{CUSTOM_MEDIA_TYPES, MEDIA_TYPES};
use crate::resources::{Resource, SUBRESOURCE_VERBS, Scope, Subresource};

const LIST_PARAMETERS: [&str; 10] = [
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
];
const WRITE_PARAMETERS: [&str; 3] = ["dryRun", "fieldManager", "fieldValidation"];
const PATCH_PARAMETERS: [&str; 4] = ["dryRun", "fieldManager", "fieldValidation", "force"];
const DELETE_PARAMETERS: [&str; 3] = ["dryRun", "gracePeriodSeconds", "propagationPolicy"];
const DELETE_COLLECTION_PARAMETERS: [&str; 5] = [
    "dryRun",
    "fieldSelector",
    "gracePeriodSeconds",
    "labelSelector",
    "propagationPolicy",
];

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Collection,
    /// The collections of all namespaces together.
    Everywhere,
    Object,
    Part(Subresource),
}

/// The paths of one resource, below `root`.
pub(super) fn paths(root: &str, row: &Resource) -> Map<String, Value> {
    let mut places = vec![Place::Collection];
    if row.is_stored() {
        places.push(Place::Object);
        places.extend(row.subresources.iter().map(|&part| Place::Part(part)));
        if row.scope == Scope::Namespaced {
            places.push(Place::Everywhere);
        }
    }
    places
        .into_iter()
        .map(|place| (path(root, row, place), operations(row, place)))
        .collect()
}

fn path(root: &str, row: &Resource, place: Place) -> String {
    let within = match (row.scope, place) {
        (Scope::Cluster, _) | (_, Place::Everywhere) => "",
        (Scope::Namespaced, _) => "namespaces/{namespace}/",
    };
    let below = match place {
        Place::Collection | Place::Everywhere => "",
        Place::Object => "/{name}",
        Place::Part(Subresource::Status) => "/{name}/status",
        Place::Part(Subresource::Scale) => "/{name}/scale",
    };
    format!("/{root}/{within}{}{below}", row.plural)
}

fn operations(row: &Resource, place: Place) -> Value {
    let verbs = match place {
        Place::Part(_) => &SUBRESOURCE_VERBS[..],
        _ => row.verbs,
    };
    let mut methods = Map::new();
    for &verb in verbs {
        let method = match (verb, place) {
            ("list", Place::Collection | Place::Everywhere) | ("get", Place::Object | Place::Part(_)) => {
                "get"
            }
            ("create", Place::Collection) => "post",
            ("deletecollection", Place::Collection) | ("delete", Place::Object) => "delete",
            ("patch", Place::Object | Place::Part(_)) => "patch",
            ("update", Place::Object | Place::Part(_)) => "put",
            _ => continue,
        };
        methods.insert(method.to_owned(), operation(row, place, verb));
    }
    let mut in_path = Vec::new();
    let at = path("", row, place);
    for name in ["name", "namespace"] {
        if at.contains(&format!("{{{name}}}")) {
            in_path.push(json!({
                "name": name, "in": "path", "required": true, "schema": {"type": "string", "uniqueItems": true},
            }));
        }
    }
    if !in_path.is_empty() {
        methods.insert("parameters".to_owned(), json!(in_path));
    }
    Value::Object(methods)
}

fn operation(row: &Resource, place: Place, verb: &str) -> Value {
    let (parameters, action, told) = match verb {
        "create" => (&WRITE_PARAMETERS[..], "post", "create"),
        "update" => (&WRITE_PARAMETERS[..], "put", "replace"),
        "patch" => (&PATCH_PARAMETERS[..], "patch", "patch"),
        "delete" => (&DELETE_PARAMETERS[..], "delete", "delete"),
        "deletecollection" => (&DELETE_COLLECTION_PARAMETERS[..], "deletecollection", "delete"),
        "list" => (&LIST_PARAMETERS[..], "list", "list"),
        _ => (&[][..], "get", "read"),
    };
    let mut operation = json!({
        "operationId": operation_id(row, place, verb, told),
        "description": format!("{verb} {}", row.plural),
        "responses": {"200": response(&answer(row, place, verb))},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": answered_kind(row, place),
    });
    if !parameters.is_empty() {
        let parameters = parameters.iter().map(|&name| parameter(name));
        operation["parameters"] = parameters.collect();
    }
    if let Some(body) = body(row, place, verb) {
        operation["requestBody"] = body;
    }
    operation
}

fn parameter(name: &str) -> Value {
    let kind = match name {
        "allowWatchBookmarks" | "force" | "sendInitialEvents" | "watch" => "boolean",
        "gracePeriodSeconds" | "limit" | "timeoutSeconds" => "integer",
        _ => "string",
    };
    json!({"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": true}})
}

fn response(schema: &Value) -> Value {
    json!({"description": "OK", "content": {"application/json": {"schema": schema}}})
}

/// The schema of what is answered.
fn answer(row: &Resource, place: Place, verb: &str) -> Value {
    match (verb, place) {
        ("list", _) => reference(&list_component(row)),
        ("delete" | "deletecollection", _) => reference("io.k8s.apimachinery.pkg.apis.meta.v1.Status"),
        (_, Place::Part(Subresource::Scale)) => json!({"type": "object"}),
        _ => reference(&component(row)),
    }
}

/// `createCoreV1NamespacedService`
fn operation_id(row: &Resource, place: Place, verb: &str, told: &str) -> String {
    let group = match row.group.as_str() {
        "" => "core",
        group => group.trim_end_matches(".k8s.io"),
    };
    let words = group.split('.').chain([row.version.as_str()]).map(capitalized);
    let all = if verb == "deletecollection" {
        "Collection"
    } else {
        ""
    };
    let scope = match (row.scope, place) {
        (Scope::Cluster, _) | (_, Place::Everywhere) => "",
        (Scope::Namespaced, _) => "Namespaced",
    };
    let suffix = match place {
        Place::Everywhere => "ForAllNamespaces",
        Place::Part(Subresource::Status) => "Status",
        Place::Part(Subresource::Scale) => "Scale",
        Place::Collection | Place::Object => "",
    };
    let words: String = words.collect();
    format!("{told}{words}{all}{scope}{}{suffix}", row.kind)
}

fn capitalized(word: &str) -> String {
    let (first, rest) = word.split_at_checked(1).unwrap_or_default();
    first.to_uppercase() + rest
}

fn answered_kind(row: &Resource, place: Place) -> Value {
    match place {
        Place::Part(Subresource::Scale) => json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}),
        _ => kind_of(row),
    }
}

fn body(row: &Resource, place: Place, verb: &str) -> Option<Value> {
    let media_types = match (verb, row.custom()) {
        ("create" | "update", _) => &["application/json"][..],
        ("patch", Some(_)) => &CUSTOM_MEDIA_TYPES[..],
        ("patch", None) => &MEDIA_TYPES[..],
        _ => return None,
    };
    let schema = match verb {
        "patch" => json!({"type": "object"}),
        _ => answer(row, place, verb),
    };
    let content = media_types
        .iter()
        .map(|&media_type| (media_type.to_owned(), json!({"schema": schema})));
    Some(json!({"required": true, "content": Value::Object(content.collect())}))
}
