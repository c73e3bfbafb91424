//! What is assumed and what is refused of workloads, in the words of kube-apiserver 1.34.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, Patch, PatchParams};
use kubeapi::{Local, ObjectRef, Reason};
use serde_json::{Value, json};

use crate::lab::Lab;

fn workload(kind: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "w", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "w"}},
            "template": {
                "metadata": {"creationTimestamp": null, "labels": {"app": "w"}},
                "spec": {"containers": [{"name": "main", "image": "example/w"}]},
            },
        },
    })
}

/// Creates the object with the pointers set, which must be refused.
fn refused(local: &Local, kind: &str, changes: &[(&str, Value)]) -> String {
    let mut object = workload(kind);
    for (path, value) in changes {
        let (parent, field) = path.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[field] = value.clone();
    }
    let status = local.create(&object).unwrap_err();
    assert_eq!(status.reason, Reason::Invalid);
    status.message
}

#[tokio::test]
async fn a_workload_gets_the_defaults_of_its_kind() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    // Nothing matches this label, so no controller has anything to do with the pods.
    let created = |kind: &str| {
        let mut object = workload(kind);
        object["spec"]["replicas"] = if kind == "DaemonSet" {
            Value::Null
        } else {
            json!(0)
        };
        object["spec"]["template"]["spec"]["nodeSelector"] = json!({"rack": "none"});
        local.create(&object).unwrap()
    };
    let deployment = created("Deployment");
    let spec = &deployment["spec"];
    assert_eq!(
        spec["strategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}})
    );
    assert_eq!(
        (&spec["revisionHistoryLimit"], &spec["progressDeadlineSeconds"]),
        (&json!(10), &json!(600))
    );
    let container = &spec["template"]["spec"]["containers"][0];
    assert_eq!(container["imagePullPolicy"], "Always");
    assert_eq!(
        (
            &spec["template"]["metadata"],
            &spec["template"]["spec"]["restartPolicy"]
        ),
        (&json!({"labels": {"app": "w"}}), &json!("Always"))
    );
    let set = created("StatefulSet");
    assert_eq!(
        (
            &set["spec"]["podManagementPolicy"],
            &set["spec"]["updateStrategy"]
        ),
        (
            &json!("OrderedReady"),
            &json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})
        )
    );
    let set = created("DaemonSet");
    assert_eq!(
        set["spec"]["updateStrategy"]["rollingUpdate"],
        json!({"maxUnavailable": 1, "maxSurge": 0})
    );
    assert_eq!(created("ReplicaSet")["spec"].get("revisionHistoryLimit"), None);
}

#[tokio::test]
async fn a_workload_that_cannot_work_is_refused() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    assert_eq!(
        refused(&local, "Deployment", &[("/spec/selector", Value::Null)]),
        "Deployment.apps \"w\" is invalid: spec.selector: Required value"
    );
    assert_eq!(
        refused(
            &local,
            "Deployment",
            &[
                ("/spec/template/metadata/labels", json!({"app": "x"})),
                (
                    "/spec/strategy",
                    json!({"rollingUpdate": {"maxUnavailable": "5"}})
                ),
            ]
        ),
        "Deployment.apps \"w\" is invalid: [spec.template.metadata.labels: Invalid value: {\"app\":\"x\"}: \
         `selector` does not match template `labels`, spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \
         \"5\": a valid percent string must be a numeric string followed by an ending '%' \
         (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')]"
    );
    for (kind, path, value, words) in [
        (
            "ReplicaSet",
            "/spec/replicas",
            json!(-1),
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            "ReplicaSet",
            "/spec/template/spec/restartPolicy",
            json!("Never"),
            "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
        ),
        (
            "Deployment",
            "/spec/minReadySeconds",
            json!(600),
            "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds",
        ),
        (
            "Deployment",
            "/spec/strategy",
            json!({"type": "Recreate", "rollingUpdate": {}}),
            "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
        ),
        (
            "StatefulSet",
            "/spec/podManagementPolicy",
            json!("Slow"),
            "spec.podManagementPolicy: Invalid value: \"Slow\": must be 'OrderedReady' or 'Parallel'",
        ),
        (
            "DaemonSet",
            "/spec/updateStrategy",
            json!({"rollingUpdate": {"maxUnavailable": 0}}),
            "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
        ),
        (
            "DaemonSet",
            "/spec/selector",
            json!({}),
            "spec.selector: Invalid value: {}: empty selector is invalid for daemonset",
        ),
    ] {
        let message = refused(&local, kind, &[(path, value)]);
        assert_eq!(message, format!("{kind}.apps \"w\" is invalid: {words}"));
    }
}

#[tokio::test]
async fn what_a_workload_is_built_on_stays() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    local.create(&workload("Deployment")).unwrap();
    local.create(&workload("StatefulSet")).unwrap();
    let of = |kind: &str| ObjectRef::namespaced("apps/v1", kind, "default", "w");
    let reselect = json!({"spec": {
        "selector": {"matchLabels": {"app": "x"}}, "template": {"metadata": {"labels": {"app": "x"}}},
    }});
    let status = local.merge_patch(&of("Deployment"), reselect).unwrap_err();
    assert_eq!(
        status.message,
        "Deployment.apps \"w\" is invalid: spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"x\"}}: \
         field is immutable"
    );
    let rename = json!({"spec": {"serviceName": "other"}});
    let status = local.merge_patch(&of("StatefulSet"), rename).unwrap_err();
    assert!(
        status
            .message
            .contains("spec: Forbidden: updates to statefulset spec for fields other than"),
        "{status}"
    );
}

#[tokio::test]
async fn a_workload_is_scaled_through_its_subresource() {
    let lab = Lab::start().await;
    let mut object = workload("Deployment");
    object["spec"]["replicas"] = json!(0);
    lab.server.local().create(&object).unwrap();
    let deployments: Api<Deployment> = Api::namespaced(lab.client.clone(), "default");
    let scale = deployments.get_scale("w").await.unwrap();
    assert_eq!(scale.status.unwrap().selector.as_deref(), Some("app=w"));
    let patch = Patch::Merge(json!({"spec": {"replicas": 3}}));
    let scale = deployments
        .patch_scale("w", &PatchParams::default(), &patch)
        .await
        .unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(3));
    let deployment = deployments.get("w").await.unwrap();
    assert_eq!(deployment.spec.unwrap().replicas, Some(3));
}
