//! Rules of a Node: whoever registers it may leave open what its kubelet would report, and it is ready.

use serde_json::{Value, json};

use crate::VERSION;
use crate::object::{self, default_to, map_mut, metadata_mut};
use crate::status::Status;

pub(super) fn default_new(node: &mut Value) -> Result<(), Status> {
    let name = object::name(node).to_owned();
    let labels = metadata_mut(node)?.entry("labels").or_insert_with(|| json!({}));
    if let Some(labels) = labels.as_object_mut() {
        default_to(labels, "kubernetes.io/hostname", name);
        default_to(labels, "kubernetes.io/os", "linux");
    }
    map_mut(node, "spec")?;
    let capacity = json!({"cpu": "4", "memory": "8Gi", "pods": "110"});
    let status = map_mut(node, "status")?;
    default_to(status, "capacity", capacity.clone());
    default_to(status, "allocatable", capacity);
    default_to(
        status,
        "nodeInfo",
        json!({
            "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "", "osImage": "Linux",
            "containerRuntimeVersion": "netns://1", "kubeletVersion": VERSION, "kubeProxyVersion": "",
            "operatingSystem": "linux", "architecture": std::env::consts::ARCH,
        }),
    );
    let reports_readiness = status
        .get("conditions")
        .and_then(Value::as_array)
        .is_some_and(|list| !list.is_empty());
    if !reports_readiness {
        let ready = json!({
            "type": "Ready", "status": "True", "reason": "KubeletReady",
            "message": "kubelet is posting ready status", "lastHeartbeatTime": object::now(),
        });
        object::set_condition(status, ready);
    }
    Ok(())
}
