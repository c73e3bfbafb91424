//! What the tests of plans share.

use std::collections::BTreeMap;

use scenario::model::{Scenario, Topology};

/// A scenario in which nothing happens.
pub fn idle(topology: Topology) -> Scenario {
    Scenario {
        name: topology.name.clone(),
        purpose: String::new(),
        profile: "core".to_owned(),
        features: Vec::new(),
        topology,
        manifests: Vec::new(),
        flows: BTreeMap::new(),
        events: BTreeMap::new(),
        timeline: Vec::new(),
        assertions: Vec::new(),
    }
}
