//! What a cluster needs for the operator to work in it, wherever its process runs: the definitions of its resources, its
//! ServiceAccount, and what that may do.
//!
//! Invariant: they are those of `deploy`, without what runs pods there and what is for them.

use anyhow::Context;
use sdwan_operator::api;

const RENDERED: &str = include_str!("../../deploy/manifests/sdwan-operator.yaml");
/// The kinds of [`rights`].
const KINDS: [&str; 6] = [
    "Namespace",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
];

/// The definitions, as a stream of YAML documents.
pub(super) fn definitions() -> anyhow::Result<String> {
    let definitions = api::definitions();
    let documents = definitions
        .iter()
        .map(|definition| Ok(format!("---\n{}", api::yaml(definition)?)));
    let documents: Result<String, anyhow::Error> = documents.collect();
    documents.context("write the definitions")
}

/// The ServiceAccount in its namespace and its roles, as a stream of YAML documents.
pub(super) fn rights() -> String {
    let documents = RENDERED.split("\n---\n").filter(|document| {
        let kind = document.lines().find_map(|line| line.strip_prefix("kind: "));
        kind.is_some_and(|kind| KINDS.contains(&kind))
    });
    // Their comments are about where they were rendered from.
    let said = documents.flat_map(|document| {
        let lines = document.lines().filter(|line| !line.starts_with('#'));
        std::iter::once("---").chain(lines)
    });
    said.flat_map(|line| [line, "\n"]).collect()
}
