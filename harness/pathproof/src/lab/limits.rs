//! What a plan can ask for that the fabric does not carry.

use scenario::model::{Encap, IpVersion};
use scenario::plan::Plan;

/// A topology that the embedded lab does not carry; `pathproof plan` plans it all the same.
#[derive(Debug, thiserror::Error)]
#[error("run scenario `{scenario}`: the embedded lab carries {carried}, the topology has {found}")]
pub struct NotCarried {
    scenario: String,
    carried: &'static str,
    found: &'static str,
}

/// Refuses what the fabric does not carry, before anything is created.
///
/// # Errors
/// [`NotCarried`], naming the first such thing.
pub fn check(plan: &Plan) -> Result<(), NotCarried> {
    let transports = &plan.transports;
    let is_vxlan = |encap| matches!(encap, Encap::Vxlan | Encap::Auto);
    let remotes = plan.edges.len() - 1;
    let is_joined = |edge: &scenario::plan::EdgePlan| {
        edge.tlocs.len() == transports.len() && edge.tlocs.iter().all(|tloc| tloc.remotes.len() == remotes)
    };
    let asked = [
        (plan.clusters.len() > 1, "one cluster", "several"),
        (
            plan.nodes.iter().any(|node| node.pod_cidr.v6.is_some()),
            "IPv4 pods",
            "IPv6 pods",
        ),
        (
            transports.iter().any(|spec| spec.underlay != IpVersion::V4),
            "IPv4 underlays",
            "an IPv6 underlay",
        ),
        (
            transports.iter().any(|spec| !is_vxlan(spec.encap)),
            "VXLAN tunnels",
            "another encapsulation",
        ),
        (
            plan.default_transports.len() > 1,
            "one default transport",
            "several",
        ),
        (
            !plan.edges.iter().all(is_joined),
            "tunnels between all sites on all transports",
            "fewer",
        ),
        (
            plan.edges.iter().any(|edge| edge.is_transit),
            "no transit sites",
            "some",
        ),
    ];
    match asked.into_iter().find(|(is_asked, ..)| *is_asked) {
        None => Ok(()),
        Some((_, carried, found)) => Err(NotCarried {
            scenario: plan.scenario.clone(),
            carried,
            found,
        }),
    }
}
