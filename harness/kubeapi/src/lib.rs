#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
//!
//! # Modules
//! `serve` turns HTTP into calls of `api`, which checks and stores objects by the rules in `strategy`; `access`
//! knows who may do what, by the stored roles; `store` keeps objects and their history; `managed_fields` merges
//! what is applied, by `topology`, and records who owns which fields; `controllers` react to changes; `resources` is the table of what is served, from which
//! `discovery`, `openapi` and `table` are computed; `custom` adds to it by definitions, whose objects `schema` checks.
//! Arrows point down that list, never up.

mod access;
mod api;
mod controllers;
mod custom;
mod discovery;
mod events_api;
mod field_error;
mod json_path;
mod kubelet;
mod local;
mod managed_fields;
mod object;
mod openapi;
mod patch;
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

pub use kubelet::{Kubelet, KubeletError, PodAddress};
pub use local::{Collection, Local, ObjectRef, WaitError, WatchEvent, WriteEvent};
pub use server::{Config, IdentityError, Server, StartError};
pub use status::{Reason, Status};
pub use store::ChangeKind;

/// The Kubernetes release whose behaviour is served.
pub(crate) const VERSION: &str = "v1.34.0+pathproof";
/// Major and minor of [`VERSION`].
pub(crate) const VERSION_PARTS: [&str; 2] = ["1", "34"];
