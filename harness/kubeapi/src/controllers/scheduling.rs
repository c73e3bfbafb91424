//! Chooses a node for a pod.
//!
//! Owns the filters (ready, schedulable, tolerated taints, node selector, required node affinity) and the one
//! score: fewest pods, then the first name. Pure; resources requests, topology and preferences are not looked at.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::object;
use crate::selector::{LabelSelector, LabelTest};

/// Why no node will do, worded as the scheduler's event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("0/{nodes} nodes are available{}", reasons(.refusals))]
pub(super) struct Unschedulable {
    nodes: usize,
    refusals: Vec<Refusal>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Refusal {
    NotReady,
    Unschedulable,
    UntoleratedTaint,
    SelectorMismatch,
}

/// How many pods each node has.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// By the uid of the pod.
    nodes: HashMap<String, String>,
    pods: HashMap<String, usize>,
}

impl Load {
    /// Counts the pod on its node; on none if it has none yet.
    pub(super) fn put(&mut self, uid: &str, node: &str) {
        if node.is_empty() || self.nodes.get(uid).is_some_and(|known| known == node) {
            return;
        }
        self.remove(uid);
        self.nodes.insert(uid.to_owned(), node.to_owned());
        *self.pods.entry(node.to_owned()).or_default() += 1;
    }

    /// The pod is gone.
    pub(super) fn remove(&mut self, uid: &str) {
        let node = self.nodes.remove(uid);
        if let Some(pods) = node.and_then(|node| self.pods.get_mut(&node)) {
            *pods -= 1;
        }
    }

    fn of(&self, node: &str) -> usize {
        self.pods.get(node).copied().unwrap_or(0)
    }
}

/// The name of the node to run the pod on.
pub(super) fn choose(pod: &Value, nodes: &[Arc<Value>], load: &Load) -> Result<String, Unschedulable> {
    let mut refusals = Vec::new();
    let mut fitting = Vec::new();
    for node in nodes {
        match refusal(pod, node) {
            Some(refusal) => refusals.push(refusal),
            None => fitting.push(object::name(node)),
        }
    }
    let least = fitting.into_iter().min_by_key(|name| (load.of(name), *name));
    least.map(str::to_owned).ok_or(Unschedulable {
        nodes: nodes.len(),
        refusals,
    })
}

/// Whether the pod may run on the node.
pub(super) fn fits(pod: &Value, node: &Value) -> bool {
    refusal(pod, node).is_none()
}

fn refusal(pod: &Value, node: &Value) -> Option<Refusal> {
    let tolerations = object::items(pod, "/spec/tolerations");
    // Nobody here taints such nodes, so the pod is asked as if somebody had.
    let tolerates_state = |state: &str| {
        let taint = json!({"key": format!("node.kubernetes.io/{state}"), "effect": "NoSchedule"});
        tolerations.iter().any(|toleration| tolerates(toleration, &taint))
    };
    if !object::condition_is_true(node, "Ready") && !tolerates_state("not-ready") {
        return Some(Refusal::NotReady);
    }
    if node["spec"]["unschedulable"] == true && !tolerates_state("unschedulable") {
        return Some(Refusal::Unschedulable);
    }
    let repels = |taint: &&Value| matches!(object::text(taint, "/effect"), "NoSchedule" | "NoExecute");
    let mut taints = object::items(node, "/spec/taints").iter().filter(repels);
    if taints.any(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint))) {
        return Some(Refusal::UntoleratedTaint);
    }
    let selected = LabelSelector::from_pairs(object::entries(pod, "/spec/nodeSelector")).matches(node);
    (!selected || !affine(pod, node)).then_some(Refusal::SelectorMismatch)
}

fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let exists = toleration["operator"] == "Exists";
    let key = object::text(toleration, "/key");
    let effect = object::text(toleration, "/effect");
    let key_fits = if key.is_empty() {
        exists
    } else {
        key == object::text(taint, "/key")
    };
    let value_fits = exists || object::text(toleration, "/value") == object::text(taint, "/value");
    key_fits && value_fits && (effect.is_empty() || effect == object::text(taint, "/effect"))
}

fn affine(pod: &Value, node: &Value) -> bool {
    let required = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";
    if pod.pointer(required).is_none() {
        return true;
    }
    let terms = object::items(pod, &format!("{required}/nodeSelectorTerms"));
    terms.iter().any(|term| {
        let labels = object::items(term, "/matchExpressions");
        let fields = object::items(term, "/matchFields");
        labels
            .iter()
            .all(|test| holds(test, object::label(node, object::text(test, "/key"))))
            && fields
                .iter()
                .all(|test| test["key"] == "metadata.name" && holds(test, Some(object::name(node))))
    })
}

fn holds(expression: &Value, value: Option<&str>) -> bool {
    let values: BTreeSet<String> = object::items(expression, "/values")
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<i64>().ok());
    let bound = number(values.first().map(String::as_str));
    match object::text(expression, "/operator") {
        "In" => LabelTest::In(values).holds(value),
        "NotIn" => LabelTest::NotIn(values).holds(value),
        "Exists" => LabelTest::Exists.holds(value),
        "DoesNotExist" => LabelTest::Absent.holds(value),
        "Gt" => number(value)
            .zip(bound)
            .is_some_and(|(value, bound)| value > bound),
        "Lt" => number(value)
            .zip(bound)
            .is_some_and(|(value, bound)| value < bound),
        _ => false,
    }
}

fn reasons(refusals: &[Refusal]) -> String {
    let mut sorted = refusals.to_vec();
    sorted.sort_unstable();
    let groups = sorted
        .chunk_by(|a, b| a == b)
        .map(|same| format!("{} {}", same.len(), same[0].text()));
    let text: Vec<String> = groups.collect();
    if text.is_empty() {
        ".".to_owned()
    } else {
        format!(": {}.", text.join(", "))
    }
}

impl Refusal {
    fn text(self) -> &'static str {
        match self {
            Refusal::NotReady => "node(s) were not ready",
            Refusal::Unschedulable => "node(s) were unschedulable",
            Refusal::UntoleratedTaint => "node(s) had untolerated taint(s)",
            Refusal::SelectorMismatch => "node(s) didn't match Pod's node affinity/selector",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, spec: Value) -> Arc<Value> {
        Arc::new(json!({
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "rank": "5"}},
            "spec": spec, "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }))
    }

    fn load(nodes: &[&str]) -> Load {
        let mut load = Load::default();
        for (uid, node) in nodes.iter().enumerate() {
            load.put(&uid.to_string(), node);
        }
        load
    }

    #[test]
    fn the_least_loaded_node_wins_and_a_tie_goes_to_the_first_name() {
        let nodes = [node("b", json!({})), node("a", json!({}))];
        let pod = json!({"spec": {}});
        assert_eq!(choose(&pod, &nodes, &load(&[])).as_deref(), Ok("a"));
        assert_eq!(choose(&pod, &nodes, &load(&["a"])).as_deref(), Ok("b"));
    }

    #[test]
    fn a_pod_counts_once_and_no_longer_than_it_is_there() {
        let mut load = load(&["a", "b"]);
        load.put("0", "a");
        load.put("2", "");
        assert_eq!((load.of("a"), load.of("b")), (1, 1));
        load.put("1", "a");
        assert_eq!((load.of("a"), load.of("b")), (2, 0));
        load.remove("0");
        load.remove("0");
        load.remove("2");
        assert_eq!((load.of("a"), load.of("b")), (1, 0));
    }

    #[test]
    fn a_node_selector_pins_the_pod() {
        let nodes = [node("a", json!({})), node("b", json!({}))];
        let pod = json!({"spec": {"nodeSelector": {"kubernetes.io/hostname": "b"}}});
        assert_eq!(choose(&pod, &nodes, &load(&["b", "b"])).as_deref(), Ok("b"));
    }

    #[test]
    fn required_affinity_pins_the_pod() {
        let term = |expression: Value| {
            json!({"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}}}})
        };
        let nodes = [node("a", json!({}))];
        for (expression, fits) in [
            (json!({"key": "rank", "operator": "Gt", "values": ["4"]}), true),
            (json!({"key": "rank", "operator": "Lt", "values": ["4"]}), false),
            (json!({"key": "rank", "operator": "In", "values": ["5"]}), true),
            (json!({"key": "zone", "operator": "Exists"}), false),
            (json!({"key": "zone", "operator": "DoesNotExist"}), true),
        ] {
            assert_eq!(
                choose(&term(expression.clone()), &nodes, &load(&[])).is_ok(),
                fits,
                "{expression}"
            );
        }
    }

    #[test]
    fn a_pod_that_fits_nowhere_is_told_why() {
        let taint = json!({"taints": [{"key": "k", "effect": "NoSchedule"}]});
        let nodes = [
            node("a", json!({"unschedulable": true})),
            node("b", taint),
            node("c", json!({})),
        ];
        let pod = json!({"spec": {"nodeSelector": {"zone": "x"}}});
        let refused = choose(&pod, &nodes, &load(&[])).expect_err("no node fits");
        assert_eq!(
            refused.to_string(),
            "0/3 nodes are available: 1 node(s) were unschedulable, 1 node(s) had untolerated taint(s), \
             1 node(s) didn't match Pod's node affinity/selector."
        );
        assert_eq!(
            choose(&pod, &[], &load(&[])).expect_err("none").to_string(),
            "0/0 nodes are available."
        );
    }
}
