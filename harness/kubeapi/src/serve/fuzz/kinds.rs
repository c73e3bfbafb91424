//! The served kinds, with an object of each.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::resources::{Resources, Scope};

/// The group of the definitions that requests create.
pub(super) const GROUP: &str = "fuzz.example.com";
/// The names of all objects; a definition's is its plural.
pub(super) const NAMES: [&str; 2] = ["as", "bs"];

/// One kind that is served, or may be at some time.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) api_version: String,
    pub(super) name: String,
    pub(super) plural: String,
    pub(super) scope: Scope,
}

/// All of them: built in, and custom.
pub(super) static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    let builtin = Resources::builtin();
    let builtin = builtin.iter().map(|row| Kind {
        api_version: row.api_version(),
        name: row.kind.clone(),
        plural: row.plural.clone(),
        scope: row.scope,
    });
    let custom = NAMES.into_iter().flat_map(|plural| {
        ["v1", "v2"].map(|version| Kind {
            api_version: format!("{GROUP}/{version}"),
            name: plural.to_uppercase(),
            plural: plural.to_owned(),
            scope: Scope::Namespaced,
        })
    });
    builtin.chain(custom).collect()
});

impl Kind {
    /// Its collection, of all namespaces or of one.
    pub(super) fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.api_version.contains('/') {
            "apis"
        } else {
            "api"
        };
        match namespace {
            Some(namespace) if self.scope == Scope::Namespaced => {
                format!(
                    "/{root}/{}/namespaces/{namespace}/{}",
                    self.api_version, self.plural
                )
            }
            _ => format!("/{root}/{}/{}", self.api_version, self.plural),
        }
    }

    /// The name of an object of it.
    pub(super) fn named(&self, name: &str) -> String {
        if self.name == "CustomResourceDefinition" {
            return format!("{name}.{GROUP}");
        }
        name.to_owned()
    }

    /// An object that can be created.
    pub(super) fn sample(&self, name: &str) -> Value {
        let mut object = body(&self.name, name);
        object["apiVersion"] = json!(self.api_version);
        object["kind"] = json!(self.name);
        object["metadata"] = json!({
            "name": self.named(name), "labels": {"app": "web"}, "annotations": {"a": "1"},
        });
        object
    }
}

/// What an object of the kind has beside its metadata.
fn body(kind: &str, name: &str) -> Value {
    let labels = json!({"app": "web"});
    let selector = json!({"matchLabels": labels});
    let container =
        json!({"name": "main", "image": "example/web:1", "ports": [{"name": "http", "containerPort": 80}]});
    let pod = json!({"containers": [container]});
    let template = json!({"metadata": {"labels": labels}, "spec": pod});
    let involved = json!({"kind": "Pod", "namespace": "default", "name": name});
    match kind {
        "Pod" => json!({"spec": pod}),
        "Node" => json!({"spec": {"taints": [{"key": "t", "effect": "NoSchedule"}]}}),
        "Service" => {
            json!({"spec": {"selector": labels, "ports": [{"name": "web", "port": 80, "targetPort": "http"}]}})
        }
        "ConfigMap" => json!({"data": {"k": "v"}, "binaryData": {"b": "AAAA"}}),
        "Secret" => json!({"stringData": {"k": "v"}, "data": {"d": "AAAA"}}),
        "Event" => json!({
            "involvedObject": involved, "regarding": involved, "reason": "Tested", "type": "Normal",
            "message": "m", "note": "n", "action": "Test", "reportingController": "c", "reportingInstance": "i",
            "eventTime": "2026-01-01T00:00:00.000000Z",
        }),
        "EndpointSlice" => json!({
            "addressType": "IPv4", "ports": [{"name": "web", "port": 80}],
            "endpoints": [{"addresses": ["10.0.0.9"], "conditions": {"ready": true}}],
        }),
        "Lease" => json!({"spec": {
            "holderIdentity": "me", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z",
        }}),
        "Role" | "ClusterRole" => {
            json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]})
        }
        "RoleBinding" | "ClusterRoleBinding" => json!({
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
        }),
        "Deployment" | "ReplicaSet" => {
            json!({"spec": {"replicas": 2, "selector": selector, "template": template}})
        }
        "StatefulSet" => json!({"spec": {
            "replicas": 2, "serviceName": name, "selector": selector, "template": template,
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}],
        }}),
        "DaemonSet" => json!({"spec": {"selector": selector, "template": template}}),
        "ControllerRevision" => json!({"revision": 1, "data": {"spec": {}}}),
        "CustomResourceDefinition" => definition(name),
        "Job" => {
            json!({"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}})
        }
        "Ingress" => json!({"spec": {"rules": [{"host": "example.com", "http": {"paths": [{
            "path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}},
        }]}}]}}),
        "NetworkPolicy" => json!({"spec": {"podSelector": selector, "policyTypes": ["Ingress"]}}),
        "HorizontalPodAutoscaler" => json!({"spec": {"maxReplicas": 3, "scaleTargetRef": {
            "apiVersion": "apps/v1", "kind": "Deployment", "name": name,
        }}}),
        "SubjectAccessReview" | "LocalSubjectAccessReview" | "SelfSubjectAccessReview" => json!({"spec": {
            "user": "someone", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"},
        }}),
        "SelfSubjectRulesReview" => json!({"spec": {"namespace": "default"}}),
        "TokenReview" => json!({"spec": {"token": "t"}}),
        _ => json!({"spec": {"color": "red", "replicas": 2, "parts": [{"name": "x"}]}}),
    }
}

fn definition(plural: &str) -> Value {
    let spec = json!({"type": "object", "required": ["color"], "properties": {
        "color": {"type": "string", "enum": ["red", "blue"]},
        "replicas": {"type": "integer", "minimum": 0, "default": 1},
        "parts": {
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
        },
    }, "x-kubernetes-validations": [{"rule": "self.color != 'blue' || self.replicas < 9"}]});
    let status = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let schema = json!({"type": "object", "properties": {"spec": spec, "status": status}});
    let version = |name: &str, storage: bool| {
        json!({
            "name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema": schema},
            "subresources": {"status": {}, "scale": {
                "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
            }},
            "additionalPrinterColumns": [{"name": "Color", "type": "string", "jsonPath": ".spec.color"}],
            "selectableFields": [{"jsonPath": ".spec.color"}],
        })
    };
    json!({"spec": {
        "group": GROUP, "scope": "Namespaced", "names": {"plural": plural, "kind": plural.to_uppercase()},
        "versions": [version("v1", true), version("v2", false)],
    }})
}
