//! The API over real HTTPS, as kube-rs and `kubectl` use it.
//!
//! One binary, since linking a Kubernetes client is what takes the time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod controllers;
mod crud;
mod kubectl;
mod kubectl_access;
mod lab;
mod protocol;
mod watching;
