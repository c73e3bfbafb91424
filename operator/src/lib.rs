//! The SD-WAN operator: annotations on Kubernetes Services become steering policy on the Cisco Catalyst SD-WAN
//! Manager.
//!
//! Three layers: [`core`] decides (pure values, no I/O), [`manager`] speaks the Manager's REST API, and
//! [`controller`] watches Kubernetes and runs the loop view → compile → observe → diff → apply.
//!
//! Invariant: only objects that carry the owner mark are ever written or deleted, and an active centralized
//! policy is never deactivated.

#![forbid(unsafe_code)]

pub mod api;
pub mod controller;
pub mod core;
pub mod manager;
