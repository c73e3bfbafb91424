//! The API over real HTTPS, as kube-rs and `kubectl` use it.
//!
//! One binary, since linking a Kubernetes client is what takes the time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod apply;
mod controllers;
mod crud;
mod custom;
mod definitions;
mod faults;
mod garbage;
mod kept;
mod kube_rs;
mod kubectl;
mod kubectl_access;
mod kubectl_custom;
mod kubectl_faults;
mod kubectl_types;
mod lab;
mod leases;
mod mesh;
mod protocol;
mod races;
mod rollouts;
mod services;
mod sets;
mod types;
mod validation;
mod watching;
mod workload_rules;
