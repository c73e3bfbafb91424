//! The rules of built-in kinds beyond their types, in the words of kube-apiserver.

use serde_json::{Value, json};

use crate::lab::Lab;
use crate::protocol::send;

async fn create(lab: &Lab, plural: &str, object: &Value) -> Value {
    let path = match plural {
        "leases" => "/apis/coordination.k8s.io/v1/namespaces/default/leases".to_owned(),
        "endpointslices" => "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices".to_owned(),
        "namespaces" => "/api/v1/namespaces".to_owned(),
        plural => format!("/api/v1/namespaces/default/{plural}"),
    };
    send(lab, "POST", &path, "application/json", &object.to_string()).await
}

#[tokio::test]
async fn a_broken_rule_is_told_with_its_field() {
    let lab = Lab::start().await;
    let large = "x".repeat(1024 * 1024 + 1);
    for (plural, object, expected) in [
        (
            "configmaps",
            json!({"metadata": {}}),
            "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required",
        ),
        (
            "configmaps",
            json!({"metadata": {"name": "a"}, "data": {"..": ""}}),
            "ConfigMap \"a\" is invalid: data[..]: Invalid value: \"..\": must not be '..'",
        ),
        (
            "configmaps",
            json!({"metadata": {"name": "a"}, "data": {"a": ""}, "binaryData": {"a": ""}}),
            "ConfigMap \"a\" is invalid: data[a]: Invalid value: \"a\": duplicate of key present in binaryData",
        ),
        (
            "configmaps",
            json!({"metadata": {"name": "a"}, "data": {"a": large}}),
            "ConfigMap \"a\" is invalid: []: Too long: may not be more than 1048576 bytes",
        ),
        (
            "configmaps",
            json!({"metadata": {"name": "a", "finalizers": ["mine"]}}),
            "ConfigMap \"a\" is invalid: metadata.finalizers[0]: Invalid value: \"mine\": name is neither a standard \
             finalizer name nor is it fully qualified",
        ),
        (
            "namespaces",
            json!({"metadata": {"name": "a.b"}}),
            "Namespace \"a.b\" is invalid: metadata.name: Invalid value: \"a.b\": must not contain dots",
        ),
        (
            "secrets",
            json!({"metadata": {"name": "a"}, "type": "kubernetes.io/tls"}),
            "Secret \"a\" is invalid: [data[tls.crt]: Required value, data[tls.key]: Required value]",
        ),
        (
            "leases",
            json!({"metadata": {"name": "a"}, "spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1}}),
            "Lease.coordination.k8s.io \"a\" is invalid: [spec.leaseDurationSeconds: Invalid value: 0: must be greater \
             than 0, spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0]",
        ),
        (
            "endpointslices",
            json!({"metadata": {"name": "a"}, "addressType": "IPv4", "endpoints": [{"addresses": ["fd00::1"]}, {}]}),
            "EndpointSlice.discovery.k8s.io \"a\" is invalid: [endpoints[0].addresses: Invalid value: \"fd00::1\": \
             must be an IPv4 address, endpoints[1].addresses: Required value: must contain at least 1 address]",
        ),
        (
            "services",
            json!({"metadata": {"name": "a"}, "spec": {"ports": [{"port": 80, "protocol": "X"}]}}),
            "Service \"a\" is invalid: spec.ports[0].protocol: Unsupported value: \"X\": supported values: \"SCTP\", \
             \"TCP\", \"UDP\"",
        ),
    ] {
        let refused = create(&lab, plural, &object).await;
        assert_eq!(
            (&refused["code"], &refused["message"]),
            (&json!(422), &json!(expected))
        );
    }
    // Events are named more freely.
    let event =
        json!({"metadata": {"name": "A_b"}, "involvedObject": {"namespace": "default"}, "reason": "x"});
    assert_eq!(create(&lab, "events", &event).await["kind"], "Event");
}

#[tokio::test]
async fn an_object_is_judged_before_its_name_is_found_taken() {
    let lab = Lab::start().await;
    let good = json!({"metadata": {"name": "a"}});
    create(&lab, "configmaps", &good).await;
    assert_eq!(create(&lab, "configmaps", &good).await["reason"], "AlreadyExists");
    let bad = json!({"metadata": {"name": "a", "labels": {"a": "-"}}});
    assert_eq!(create(&lab, "configmaps", &bad).await["reason"], "Invalid");
}

#[tokio::test]
async fn what_is_immutable_stays() {
    let lab = Lab::start().await;
    let map = json!({"metadata": {"name": "a"}, "data": {"a": "1"}, "immutable": true});
    create(&lab, "configmaps", &map).await;
    let path = "/api/v1/namespaces/default/configmaps/a";
    for (patch, field) in [
        (json!({"data": {"a": "2"}}), "data"),
        (json!({"immutable": false}), "immutable"),
    ] {
        let refused = send(
            &lab,
            "PATCH",
            path,
            "application/merge-patch+json",
            &patch.to_string(),
        )
        .await;
        let expected = format!(
            "ConfigMap \"a\" is invalid: {field}: Forbidden: field is immutable when `immutable` is set"
        );
        assert_eq!(refused["message"], expected);
    }
    let labelled = json!({"metadata": {"labels": {"a": "b"}}}).to_string();
    let kept = send(&lab, "PATCH", path, "application/merge-patch+json", &labelled).await;
    assert_eq!(kept["metadata"]["labels"]["a"], "b");
}
