//! The resources of `sdwan.pathproof.dev`: [`SteeringPolicy`] says what a Service is steered by and shows what came of
//! it, [`WanTunnel`] shows what the Manager reports of a tunnel.
//!
//! Owns the types, from which the definitions in `deploy/crds` are generated, and their translation to and from
//! [`crate::core`]. Invariant: what the API server admits can still be refused, with the same reasons as an
//! annotation.

mod policy;
mod tunnel;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

pub use self::policy::{
    PortSettings, ServiceName, SlaBounds, Steering, SteeringPolicy, SteeringPolicySpec, SteeringPolicyStatus,
};
pub use self::tunnel::{WanTunnel, WanTunnelSpec, WanTunnelStatus};

/// The group of the resources.
pub const GROUP: &str = "sdwan.pathproof.dev";
/// The version of the resources.
pub const VERSION: &str = "v1alpha1";
/// The label of resources that the operator makes and keeps itself.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// The value of that label.
pub const MANAGED_BY: &str = "sdwan-operator";

/// Condition: the intent is understood and not in conflict with another.
pub const ACCEPTED: &str = "Accepted";
/// Condition: the fabric does what is asked.
pub const PROGRAMMED: &str = "Programmed";
/// Condition: the tunnel does not keep its SLA class.
pub const DEGRADED: &str = "Degraded";

/// The definitions of all resources.
#[must_use]
pub fn definitions() -> [CustomResourceDefinition; 2] {
    [SteeringPolicy::crd(), WanTunnel::crd()]
}

/// The definition of a resource as YAML.
///
/// # Errors
/// If it cannot be written as YAML, which none of [`definitions`] brings about.
pub fn yaml(definition: &CustomResourceDefinition) -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(definition)
}
