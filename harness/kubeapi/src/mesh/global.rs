//! What the annotations of a Service say about its part in a mesh.
//!
//! Pure. Reads them as Cilium does (`pkg/annotation` of cilium/cilium), in the current spelling and the one before.

use serde_json::Value;

const GLOBAL: [&str; 2] = ["service.cilium.io/global", "io.cilium/global-service"];
const SHARED: [&str; 2] = ["service.cilium.io/shared", "io.cilium/shared-service"];
const AFFINITY: [&str; 2] = ["service.cilium.io/affinity", "io.cilium/service-affinity"];
const SYNC_SLICES: [&str; 1] = ["service.cilium.io/global-sync-endpoint-slices"];

/// A Service that has the endpoints of its namesakes in other clusters of the mesh, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GlobalService {
    /// Whether its own endpoints are for other clusters.
    pub is_shared: bool,
    /// Which endpoints its clients go to.
    pub affinity: Affinity,
    /// Whether EndpointSlices of its cluster show the endpoints of the others.
    pub shows_slices: bool,
}

/// Which of the ready endpoints of a global Service its clients go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Affinity {
    /// All alike.
    None,
    /// Those of the client's cluster; without any, the others.
    Local,
    /// Those of other clusters; without any, the client's own.
    Remote,
}

impl GlobalService {
    /// What a Service says; `None` if it is not global.
    pub fn of(service: &Value) -> Option<Self> {
        let text = |names: &[&str]| {
            let annotations = &service["metadata"]["annotations"];
            names.iter().find_map(|name| annotations[*name].as_str())
        };
        let is_true = |names: &[&str]| text(names).map(|text| text.eq_ignore_ascii_case("true"));
        if is_true(&GLOBAL) != Some(true) {
            return None;
        }
        let is_headless = service["spec"]["clusterIP"] == "None";
        Some(Self {
            is_shared: is_true(&SHARED).unwrap_or(true),
            affinity: match text(&AFFINITY).map(str::to_ascii_lowercase).as_deref() {
                Some("local") => Affinity::Local,
                Some("remote") => Affinity::Remote,
                _ => Affinity::None,
            },
            shows_slices: is_true(&SYNC_SLICES).unwrap_or(is_headless),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(annotations: &Value) -> Option<GlobalService> {
        GlobalService::of(
            &json!({"metadata": {"annotations": annotations}, "spec": {"clusterIP": "10.96.0.1"}}),
        )
    }

    #[test]
    fn a_global_service_is_shared_by_all_alike_unless_it_says_otherwise() {
        let global = GlobalService {
            is_shared: true,
            affinity: Affinity::None,
            shows_slices: false,
        };
        assert_eq!(of(&json!({"service.cilium.io/global": "True"})), Some(global));
        assert_eq!(of(&json!({"io.cilium/global-service": "true"})), Some(global));
        let all = json!({
            "service.cilium.io/global": "true", "service.cilium.io/shared": "false",
            "service.cilium.io/affinity": "Local", "service.cilium.io/global-sync-endpoint-slices": "true",
        });
        let said = GlobalService {
            is_shared: false,
            affinity: Affinity::Local,
            shows_slices: true,
        };
        assert_eq!(of(&all), Some(said));
    }

    #[test]
    fn what_belongs_to_a_global_service_is_not_looked_at_without_it() {
        for annotations in [
            json!(null),
            json!({"service.cilium.io/global": "yes", "service.cilium.io/affinity": "remote"}),
            json!({"service.cilium.io/shared": "true"}),
        ] {
            assert_eq!(of(&annotations), None, "{annotations}");
        }
    }

    #[test]
    fn the_current_spelling_goes_before_the_one_before() {
        let both = json!({
            "service.cilium.io/global": "true",
            "service.cilium.io/affinity": "remote", "io.cilium/service-affinity": "local",
        });
        assert_eq!(of(&both).map(|service| service.affinity), Some(Affinity::Remote));
    }
}
