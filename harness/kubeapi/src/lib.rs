#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
//!
//! # Modules
//! `serve` turns HTTP into calls of `api`, which checks and stores objects by the rules in `strategy`; `access` knows
//! who may do what, by the stored roles; `faults` breaks what clients see; `store` keeps objects and their history;
//! `managed_fields` merges what is applied, by `topology`, and records who owns which fields; `controllers` react to
//! changes, `mesh` to those of several clusters; `resources` is the table of what is served, from which `discovery`,
//! `openapi` and `table` are computed; `custom` adds to it by definitions, whose objects `schema` checks. `decoding`
//! reads what clients send, by `types`, which has those of the built-in kinds.
//! Arrows point down that list, never up.

mod access;
mod api;
mod controllers;
mod custom;
mod decoding;
mod discovery;
mod events_api;
mod faults;
mod field_error;
mod json_path;
mod kubelet;
mod local;
mod managed_fields;
mod mesh;
mod object;
mod openapi;
mod patch;
mod readiness;
mod resources;
mod schema;
mod selector;
mod serve;
mod server;
mod status;
mod store;
mod strategy;
mod table;
mod topology;
mod types;

pub use access::Access;
pub use faults::{Answer, Fault, FaultError, FaultId, FaultInForce, Faults, Requests, Skew, Verb};
pub use kubelet::{Kubelet, KubeletError, PodAddress};
pub use local::{Collection, Local, ObjectRef, WaitError, WatchEvent, WriteEvent};
pub use mesh::{Affinity, GlobalService, Mesh};
pub use readiness::Readiness;
pub use server::{Config, IdentityError, Server, StartError};
pub use status::{Reason, Status};
pub use store::ChangeKind;

/// The Kubernetes release whose behaviour is served.
pub(crate) const VERSION: &str = "v1.34.0+pathproof";
/// Major and minor of [`VERSION`].
pub(crate) const VERSION_PARTS: [&str; 2] = ["1", "34"];
