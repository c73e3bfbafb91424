//! The rules of the checked-in manifests, as an API server decides by them.

#![allow(dead_code, reason = "each test binary uses its part of this module")]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use axum::http::Method;
use serde_json::Value;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    pub verb: &'static str,
    pub group: String,
    /// With its subresource, as in `steeringpolicies/status`.
    pub resource: String,
    pub kube_namespace: String,
    pub name: String,
}

/// Rules with the namespace that they hold in; everywhere if it is empty.
static RULES: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| {
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/deploy/manifests/sdwan-operator.yaml"
    ))
    .unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let roles = documents
        .iter()
        .filter(|document| document["kind"] == "ClusterRole" || document["kind"] == "Role");
    let rules = roles.flat_map(|role| {
        let kube_namespace = role["metadata"]["namespace"].as_str().unwrap_or_default();
        let rules = role["rules"].as_array().unwrap().iter();
        rules.map(|rule| (kube_namespace.to_owned(), rule.clone()))
    });
    rules.collect()
});

/// All that the rules allow, as `verb resource.group`.
pub fn allowed() -> BTreeSet<String> {
    let words = |rule: &Value, key: &str| -> Vec<String> {
        let words = rule[key].as_array().unwrap().iter();
        words.map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let mut allowed = BTreeSet::new();
    for (_, rule) in RULES.iter() {
        for group in words(rule, "apiGroups") {
            for resource in words(rule, "resources") {
                let verbs = words(rule, "verbs").into_iter();
                allowed.extend(verbs.map(|verb| format!("{verb} {resource}.{group}")));
            }
        }
    }
    allowed
}

impl Access {
    /// What it asks for, as the rules have it, wherever that is.
    pub fn kind(&self) -> String {
        format!("{} {}.{}", self.verb, self.resource, self.group)
    }

    pub fn verb(method: &Method, named: bool, watch: bool) -> &'static str {
        match (method, named) {
            (&Method::GET, false) if watch => "watch",
            (&Method::GET, false) => "list",
            (&Method::GET, true) => "get",
            (&Method::POST, _) => "create",
            (&Method::PUT, _) => "update",
            (&Method::PATCH, _) => "patch",
            (&Method::DELETE, _) => "delete",
            _ => panic!("unknown method {method}"),
        }
    }

    pub fn is_allowed(&self) -> bool {
        RULES.iter().any(|(kube_namespace, rule)| {
            let has = |key: &str, wanted: &str| {
                let words = rule[key].as_array();
                words.is_some_and(|words| words.iter().any(|word| word == wanted))
            };
            (kube_namespace.is_empty() || *kube_namespace == self.kube_namespace)
                && has("apiGroups", &self.group)
                && has("resources", &self.resource)
                && has("verbs", self.verb)
                && (rule["resourceNames"].is_null() || has("resourceNames", &self.name))
        })
    }
}
