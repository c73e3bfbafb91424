//! Roles and whom they are bound to.

use serde_json::{Value, json};

use super::{AGE, Column, NAME};
use crate::object::{items, text};

pub(super) const ROLE: &[Column] = &[
    NAME,
    Column::new("Created At", |role| {
        json!(text(role, "/metadata/creationTimestamp"))
    }),
];

pub(super) const ROLE_BINDING: &[Column] = &[
    NAME,
    Column::new("Role", |binding| {
        let (kind, name) = (text(binding, "/roleRef/kind"), text(binding, "/roleRef/name"));
        json!(format!("{kind}/{name}"))
    }),
    AGE,
    Column::new("Users", |binding| subjects(binding, "User")).wide(),
    Column::new("Groups", |binding| subjects(binding, "Group")).wide(),
    Column::new("ServiceAccounts", |binding| subjects(binding, "ServiceAccount")).wide(),
];

fn subjects(binding: &Value, kind: &str) -> Value {
    let subjects = items(binding, "/subjects")
        .iter()
        .filter(|subject| text(subject, "/kind") == kind);
    let names: Vec<String> = subjects
        .map(|subject| match text(subject, "/namespace") {
            "" => text(subject, "/name").to_owned(),
            namespace => format!("{namespace}/{}", text(subject, "/name")),
        })
        .collect();
    json!(names.join(", "))
}
