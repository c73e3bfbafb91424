//! What kube-rs offers to operators, unmodified, one part of it a file.

mod controller;
mod discovery;
mod events;
mod finalizers;
mod leases;
mod objects;
mod subresources;
mod watchers;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::Status;
use serde_json::{Value, json};

/// A ConfigMap with a label and a value, both `value`.
fn config_map(name: &str, value: &str) -> ConfigMap {
    let object: Value = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"value": value}}, "data": {"value": value},
    });
    serde_json::from_value(object).unwrap()
}

/// The `Status` that a refused call came with.
fn status<T: std::fmt::Debug>(refused: kube::Result<T>) -> Box<Status> {
    match refused {
        Err(kube::Error::Api(status)) => status,
        other => panic!("expected a Status, found {other:?}"),
    }
}

/// The code and the reason of a refused call.
fn refusal<T: std::fmt::Debug>(refused: kube::Result<T>) -> (u16, String) {
    let status = status(refused);
    (status.code, status.reason.clone())
}
