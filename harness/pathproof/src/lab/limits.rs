//! What a plan can ask for that the fabric does not carry.

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
    let asked = [(
        plan.nodes.iter().any(|node| node.pod_cidr.v4.is_none()),
        "pods with IPv4 addresses",
        "IPv6 pods alone",
    )];
    match asked.into_iter().find(|(is_asked, ..)| *is_asked) {
        None => Ok(()),
        Some((_, carried, found)) => Err(NotCarried {
            scenario: plan.scenario.clone(),
            carried,
            found,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use scenario::model::Scenario;
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
        let cases: [(&str, Option<&str>); 10] = [
            ("two-sites.yaml", None),
            ("two-sites-impaired.yaml", None),
            ("two-tenants.yaml", None),
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
            let idle = Scenario {
                name: "idle".to_owned(),
                purpose: String::new(),
                profile: "core".to_owned(),
                features: Vec::new(),
                topology,
                manifests: Vec::new(),
                flows: BTreeMap::new(),
                events: BTreeMap::new(),
                timeline: Vec::new(),
                assertions: Vec::new(),
            };
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
