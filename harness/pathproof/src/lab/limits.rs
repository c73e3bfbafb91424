//! What a plan can ask for that the fabric does not carry, or the machine does not hold.

use netsim::capabilities::Demand;
use scenario::model::Scenario;
use scenario::plan::Plan;

/// A topology that the embedded lab does not carry; `pathproof plan` plans it all the same.
#[derive(Debug, thiserror::Error)]
#[error(
    "run scenario `{scenario}`: the embedded lab carries pods with IPv4 addresses, the topology has IPv6 pods alone"
)]
pub struct NotCarried {
    scenario: String,
}

/// Refuses what the fabric does not carry, before anything is created.
///
/// # Errors
/// [`NotCarried`], for pods without IPv4.
pub fn check(plan: &Plan) -> Result<(), NotCarried> {
    if plan.nodes.iter().any(|node| node.pod_cidr.v4.is_none()) {
        return Err(NotCarried {
            scenario: plan.scenario.clone(),
        });
    }
    Ok(())
}

/// Open files of a lab without any host: the program itself, its APIs and the operator's connections to them.
const FILES_BASE: usize = 64;
/// Open files of a host: its namespace, netlink, and sockets of an edge.
const FILES_OF_HOST: usize = 4;
/// Open files of a capture point: its socket, its file, and what probes the tunnel.
const FILES_OF_POINT: usize = 3;
/// Open files of a stream: both ends of a connection and the listener.
const FILES_OF_STREAM: usize = 4;
/// Octets of a lab without any host, and what the kernel takes for one.
const MEMORY_BASE: usize = 64 << 20;
const MEMORY_OF_HOST: usize = 300 << 10;

/// What a lab takes of the machine: an upper bound, somewhat above what was measured. `ring` is the octets of each
/// capture point's ring, 0 without a capture.
#[must_use]
pub fn demand(scenario: &Scenario, plan: &Plan, ring: usize) -> Demand {
    let pods = scenario.manifests.iter();
    let pods = pods.filter(|manifest| manifest.object["kind"] == "Pod").count();
    let inspections = plan.edges.iter().filter(|edge| edge.inspection.is_some()).count();
    let hosts = 1 + plan.transports.len() + plan.edges.len() + plan.nodes.len() + pods + inspections;
    let tlocs = plan.edges.iter().flat_map(|edge| &edge.tlocs);
    // Of a TLOC the uplink, and its tunnel devices.
    let wan_points: usize = tlocs.map(|tloc| 1 + tloc.tunnels.len()).sum();
    let points = wan_points + plan.nodes.len() + inspections;
    let files =
        FILES_BASE + FILES_OF_HOST * hosts + FILES_OF_POINT * points + FILES_OF_STREAM * plan.streams.len();
    let memory = MEMORY_BASE + MEMORY_OF_HOST * hosts + ring * points;
    let counted = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    Demand {
        network_namespaces: counted(hosts),
        open_files: counted(files),
        memory: counted(memory),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use scenario::{SourceError, Sources};

    use super::*;

    struct Topologies;

    impl Sources for Topologies {
        fn text(&self, path: &str) -> Result<String, SourceError> {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/topologies");
            Ok(std::fs::read_to_string(folder.join(path))?)
        }
    }

    #[test]
    fn topologies_beyond_the_fabric_are_refused() {
        let cases: [(&str, Option<&str>); 11] = [
            ("two-sites.yaml", None),
            ("two-sites-impaired.yaml", None),
            ("two-tenants.yaml", None),
            ("cluster-mesh.yaml", None),
            ("dual-stack.yaml", None),
            ("ipv6-underlay.yaml", Some("pods with IPv4 addresses")),
            ("ipv6-transports.yaml", None),
            ("partial-mesh.yaml", None),
            ("two-sites-encrypted.yaml", None),
            ("two-sites-gre.yaml", None),
            ("hub-and-spoke.yaml", None),
        ];
        for (file, expected) in cases {
            let topology = scenario::read_topology(&Topologies, file).unwrap();
            let idle = Scenario::idle(topology);
            let refusal = check(&scenario::plan::plan(&idle, 1).unwrap()).map_err(|error| error.to_string());
            match expected {
                None => assert_eq!(refusal, Ok(()), "{file}"),
                Some(part) => assert!(
                    refusal.as_ref().is_err_and(|text| text.contains(part)),
                    "{file}: {refusal:?}"
                ),
            }
        }
    }
}
