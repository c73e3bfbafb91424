//! The binding of a pod to a node.

use serde_json::{Value, json};

use super::{Api, Effect, Target};
use crate::object;
use crate::status::{Reason, Status, Subject};
use crate::strategy::Part;

impl Api {
    /// Gives a pod without a node this one; `uid`, unless it is empty, says which pod of the name is meant.
    pub(crate) fn bind(&self, pod: &Target, uid: &str, node: &str, effect: Effect) -> Result<(), Status> {
        let bound = self.modify(pod, Part::Binding, effect, |current| {
            if !uid.is_empty() && uid != object::uid(current) {
                let found = object::uid(current);
                return Err(pod.conflict(&format!(
                    "Precondition failed: UID in precondition: {uid}, UID in object meta: {found}"
                )));
            }
            if let Some(why) = refusal(current) {
                let subject = Subject {
                    plural: "pods/binding",
                    ..pod.resource.subject(&pod.key.name)
                };
                return Err(Status::conflict(&subject, &why));
            }
            let mut next = (**current).clone();
            next["spec"]["nodeName"] = json!(node);
            let status = object::map_mut(&mut next, "status")?;
            object::set_condition(status, json!({"type": "PodScheduled", "status": "True"}));
            Ok(next)
        });
        bound.map(drop)
    }

    /// Binds a pod as a client says in a `Binding`.
    pub(crate) fn bind_as(&self, pod: &Target, binding: &Value, effect: Effect) -> Result<(), Status> {
        if object::name(binding) != &*pod.key.name {
            let message = "name in URL does not match name in Binding object";
            return Err(Status::bad_request(message));
        }
        let why = match (
            object::text(binding, "/target/kind"),
            object::text(binding, "/target/name"),
        ) {
            ("" | "Node", "") => "target.name: Required value".to_owned(),
            ("" | "Node", node) => return self.bind(pod, object::uid(binding), node, effect),
            (kind, _) => {
                format!("target.kind: Unsupported value: {kind:?}: supported values: \"Node\", \"<empty>\"")
            }
        };
        Err(Status::new(Reason::Unknown, why))
    }
}

/// Why a pod gets no node.
fn refusal(pod: &Value) -> Option<String> {
    let name = object::name(pod);
    if object::is_terminating(pod) {
        return Some(format!(
            "pod {name} is being deleted, cannot be assigned to a host"
        ));
    }
    if !object::items(pod, "/spec/schedulingGates").is_empty() {
        return Some(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    match object::text(pod, "/spec/nodeName") {
        "" => None,
        node => Some(format!("pod {name} is already assigned to node {node:?}")),
    }
}
