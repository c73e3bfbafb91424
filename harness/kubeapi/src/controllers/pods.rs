//! Binds new pods to nodes and has each bound pod run by one lifecycle task.
//!
//! Owns which pods wait for a node and which run. A pod is known by its uid, so a successor of the same name
//! has its own lifecycle.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::objects::{modify, target};
use super::recorder::{Component, Severity, record};
use super::scheduling::Load;
use super::{lifecycle, scheduling};
use crate::api::{Api, DeleteOptions, Effect};
use crate::kubelet::Kubelet;
use crate::object;
use crate::readiness;
use crate::status::Status;
use crate::store::{Change, ChangeKind, Key};
use crate::strategy::Part;

/// The name of the scheduler that is here; pods may ask for another one, and wait for it.
const SCHEDULER: &str = "default-scheduler";

pub(super) async fn run(
    api: Arc<Api>,
    kubelet: Arc<dyn Kubelet>,
    mut changes: UnboundedReceiver<Arc<Change>>,
) {
    let mut pods = Pods {
        api,
        kubelet,
        stop_signals: HashMap::new(),
        unscheduled: BTreeSet::new(),
        load: Load::default(),
        lifecycles: JoinSet::new(),
    };
    loop {
        tokio::select! {
            change = changes.recv() => match change {
                Some(change) => pods.observe(&change),
                None => return,
            },
            Some(_ended) = pods.lifecycles.join_next() => {}
        }
    }
}

struct Pods {
    api: Arc<Api>,
    kubelet: Arc<dyn Kubelet>,
    /// By uid, from the start of a lifecycle to the removal of the pod.
    stop_signals: HashMap<String, CancellationToken>,
    unscheduled: BTreeSet<Key>,
    load: Load,
    lifecycles: JoinSet<()>,
}

impl Pods {
    fn observe(&mut self, change: &Change) {
        match &*change.storage {
            "pods" => self.observe_pod(change),
            "nodes" => {
                for key in std::mem::take(&mut self.unscheduled) {
                    let pod = self.api.store.read(|state| state.get("pods", &key));
                    if let Some(pod) = pod.filter(|pod| needs_node(pod)) {
                        self.schedule(&pod);
                    }
                }
            }
            _ => {}
        }
    }

    fn observe_pod(&mut self, change: &Change) {
        let pod = &change.object();
        let uid = object::uid(pod);
        self.follow_gates(change);
        match change.kind {
            ChangeKind::Deleted => self.load.remove(uid),
            ChangeKind::Added | ChangeKind::Modified => {
                self.load.put(uid, object::text(pod, "/spec/nodeName"))
            }
        }
        if change.kind == ChangeKind::Deleted {
            self.unscheduled.remove(&change.key);
            if let Some(stop) = self.stop_signals.remove(uid) {
                stop.cancel();
            }
        } else if object::is_terminating(pod) {
            match self.stop_signals.get(uid) {
                Some(stop) => stop.cancel(),
                None => remove(&self.api, pod),
            }
        } else if object::text(pod, "/spec/nodeName").is_empty() {
            let is_new = change.kind == ChangeKind::Added || self.unscheduled.contains(&change.key);
            if is_new && needs_node(pod) {
                self.schedule(pod);
            }
        } else if !self.stop_signals.contains_key(uid) {
            let stop = CancellationToken::new();
            self.stop_signals.insert(uid.to_owned(), stop.clone());
            let (api, kubelet) = (Arc::clone(&self.api), Arc::clone(&self.kubelet));
            self.lifecycles
                .spawn(lifecycle::run(api, kubelet, Arc::clone(pod), stop));
        }
    }

    /// Has a running pod's readiness follow a gate that somebody opened or closed.
    fn follow_gates(&self, change: &Change) {
        let (pod, previous) = (&change.object(), change.previous());
        let is_other = |previous: &Value| readiness::open_gates(previous) != readiness::open_gates(pod);
        let is_running = object::text(pod, "/status/phase") == "Running";
        if change.kind == ChangeKind::Modified
            && is_running
            && previous.is_some_and(|previous| is_other(&previous))
        {
            let settled = modify(&self.api, pod, Part::Status, readiness::settle);
            if let Err(error) = settled {
                debug!(name = object::name(pod), %error, "readiness of a pod that is gone");
            }
        }
    }

    fn schedule(&mut self, pod: &Value) {
        let nodes: Vec<_> = self
            .api
            .store
            .read(|state| state.scan("nodes", None).map(|(_, node)| node).collect());
        let key = Key::new(object::namespace(pod), object::name(pod));
        match scheduling::choose(pod, &nodes, &self.load) {
            Ok(node) => {
                self.unscheduled.remove(&key);
                if bind(&self.api, pod, &node).is_ok() {
                    self.load.put(object::uid(pod), &node);
                    let message = format!("Successfully assigned {}/{} to {node}", key.namespace, key.name);
                    record(
                        &self.api,
                        pod,
                        Component::Scheduler,
                        (Severity::Normal, "Scheduled"),
                        &message,
                    );
                }
            }
            Err(refusal) => {
                let message = refusal.to_string();
                if self.unscheduled.insert(key) && report_unschedulable(&self.api, pod, &message).is_ok() {
                    let what = (Severity::Warning, "FailedScheduling");
                    record(&self.api, pod, Component::Scheduler, what, &message);
                }
            }
        }
    }
}

/// Whether this scheduler has to find a node for the pod.
fn needs_node(pod: &Value) -> bool {
    object::text(pod, "/spec/nodeName").is_empty()
        && object::text(pod, "/spec/schedulerName") == SCHEDULER
        && !object::is_terminating(pod)
}

/// Takes the pod out of the API for good; one that is gone already is as wanted.
pub(super) fn remove(api: &Api, pod: &Value) {
    if let Ok(target) = target(api, pod) {
        let _gone = api.delete(&target, &DeleteOptions::now(object::uid(pod)), Effect::Persist);
    }
}

fn bind(api: &Api, pod: &Value, node: &str) -> Result<(), Status> {
    api.bind(&target(api, pod)?, object::uid(pod), node, Effect::Persist)
}

fn report_unschedulable(api: &Api, pod: &Value, message: &str) -> Result<Arc<Value>, Status> {
    modify(api, pod, Part::Status, |pod| {
        let condition = json!({
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
        });
        object::set_condition(object::map_mut(pod, "status")?, condition);
        Ok(())
    })
}
