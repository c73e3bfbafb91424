//! How the values of an object merge: which lists have keys, which are sets, what is replaced whole. Upstream
//! calls that their topology.
//!
//! Owns the one table of the built-in types, which strategic merge patch and server-side apply both read, and
//! the reading of a custom resource's structural schema. What neither names merges by upstream's defaults: maps
//! field by field, lists whole.

use std::sync::LazyLock;

use serde_json::{Value, json};

/// The place of a value in the type of its object.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Topology<'a> {
    /// Of a built-in type, told by the field and what it is in. An element of a list is in the list.
    Builtin {
        kind: &'a str,
        parent: &'a str,
        field: &'a str,
    },
    /// The whole object of a custom resource, by its structural schema.
    CustomObject(&'a Value),
    /// A value inside of a custom resource; null where its schema says nothing.
    Custom(&'a Value),
}

/// How the elements of a list are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Elements<'a> {
    /// By these fields, of which the first alone is the key in a strategic merge patch.
    Keyed(Vec<&'a str>),
    /// By their values.
    Set,
    /// Not at all: the list is replaced whole.
    Atomic,
}

impl<'a> Topology<'a> {
    pub(crate) fn builtin(kind: &'a str) -> Self {
        Topology::Builtin {
            kind,
            parent: "",
            field: "",
        }
    }

    /// The value of a field.
    pub(crate) fn field(self, name: &'a str) -> Self {
        match self {
            Topology::Builtin { kind, field, .. } => Topology::Builtin {
                kind,
                parent: field,
                field: name,
            },
            Topology::CustomObject(_) if name == "metadata" => Topology::builtin("").field(name),
            Topology::CustomObject(schema) | Topology::Custom(schema) => {
                let named = &schema["properties"][name];
                Topology::Custom(if named.is_null() {
                    &schema["additionalProperties"]
                } else {
                    named
                })
            }
        }
    }

    /// An element of a list.
    pub(crate) fn element(self) -> Self {
        match self {
            Topology::Builtin { .. } => self,
            Topology::CustomObject(schema) | Topology::Custom(schema) => Topology::Custom(&schema["items"]),
        }
    }

    pub(crate) fn elements(self) -> Elements<'a> {
        match self {
            Topology::Builtin { kind, parent, field } => builtin_elements(kind, parent, field),
            Topology::CustomObject(schema) | Topology::Custom(schema) => {
                match schema["x-kubernetes-list-type"].as_str() {
                    Some("map") => {
                        let keys = schema["x-kubernetes-list-map-keys"].as_array();
                        let mut keys: Vec<&str> =
                            keys.into_iter().flatten().filter_map(Value::as_str).collect();
                        keys.sort_unstable();
                        Elements::Keyed(keys)
                    }
                    Some("set") => Elements::Set,
                    _ => Elements::Atomic,
                }
            }
        }
    }

    /// What a key field of an element is where the element leaves it out.
    pub(crate) fn default_of_key(self, key: &str) -> Option<Value> {
        match self {
            Topology::Builtin { .. } => (key == "protocol").then(|| json!("TCP")),
            Topology::CustomObject(schema) | Topology::Custom(schema) => {
                let default = &schema["items"]["properties"][key]["default"];
                (!default.is_null()).then(|| default.clone())
            }
        }
    }

    /// Whether an object here is replaced whole.
    pub(crate) fn is_atomic_map(self) -> bool {
        match self {
            Topology::Builtin { kind, parent, field } => is_atomic_builtin(kind, parent, field),
            Topology::CustomObject(schema) | Topology::Custom(schema) => {
                schema["x-kubernetes-map-type"] == "atomic"
            }
        }
    }

    /// Whether the type here names the field, as opposed to a map with any keys.
    pub(crate) fn names(self, field: &str) -> bool {
        match self {
            Topology::Builtin { .. } => true,
            Topology::CustomObject(schema) => field == "metadata" || !schema["properties"][field].is_null(),
            Topology::Custom(schema) => !schema["properties"][field].is_null(),
        }
    }

    /// What there is of every object of the type before anybody writes it, so that nobody owns it.
    pub(crate) fn blank(self) -> &'static Value {
        match self {
            Topology::Builtin { kind: "Pod", .. } => &BLANK_POD,
            Topology::Builtin {
                kind: "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet",
                ..
            } => &BLANK_WORKLOAD,
            Topology::Builtin { .. } => &BLANK_BUILTIN,
            Topology::CustomObject(_) | Topology::Custom(_) => &BLANK_CUSTOM,
        }
    }
}

static BLANK_POD: LazyLock<Value> =
    LazyLock::new(|| json!({"metadata": {}, "spec": {"containers": null}, "status": {}}));
/// Of the four kinds together: what one does not have, none of its objects have.
static BLANK_WORKLOAD: LazyLock<Value> = LazyLock::new(|| {
    json!({
        "metadata": {},
        "spec": {
            "selector": null, "strategy": {}, "updateStrategy": {}, "serviceName": "",
            "template": {"metadata": {}, "spec": {"containers": null}},
        },
        "status": {
            "replicas": 0, "availableReplicas": 0, "currentNumberScheduled": 0, "desiredNumberScheduled": 0,
            "numberMisscheduled": 0, "numberReady": 0,
        },
    })
});
static BLANK_BUILTIN: LazyLock<Value> = LazyLock::new(|| json!({"metadata": {}, "spec": {}, "status": {}}));
static BLANK_CUSTOM: LazyLock<Value> = LazyLock::new(|| json!({"metadata": {}}));

/// The `patchMergeKey`, `listType` and `listMapKey` tags of the built-in types.
pub(crate) fn builtin_elements(kind: &str, parent: &str, field: &str) -> Elements<'static> {
    let keys: &[&str] = match (parent, field) {
        ("containers" | "initContainers" | "ephemeralContainers", "ports") => &["containerPort", "protocol"],
        ("spec", "ports") if kind == "Service" => &["port", "protocol"],
        (
            "spec",
            "containers"
            | "initContainers"
            | "ephemeralContainers"
            | "volumes"
            | "imagePullSecrets"
            | "resourceClaims"
            | "schedulingGates",
        )
        | ("containers" | "initContainers" | "ephemeralContainers", "env")
        | ("resources", "claims") => &["name"],
        ("containers" | "initContainers" | "ephemeralContainers", "volumeMounts") => &["mountPath"],
        ("containers" | "initContainers" | "ephemeralContainers", "volumeDevices") => &["devicePath"],
        ("containerStatuses" | "initContainerStatuses" | "ephemeralContainerStatuses", "volumeMounts") => {
            &["mountPath"]
        }
        ("spec", "hostAliases") | ("status", "podIPs") => &["ip"],
        ("spec", "topologySpreadConstraints") => &["topologyKey", "whenUnsatisfiable"],
        ("status", "conditions" | "addresses") => &["type"],
        ("metadata", "ownerReferences") => &["uid"],
        ("", "secrets") if kind == "ServiceAccount" => &["name"],
        ("", "webhooks") | ("webhooks", "matchConditions") | ("status", "resourceClaimStatuses") => &["name"],
        ("metadata", "finalizers")
        | ("spec", "podCIDRs")
        | ("endpoints", "addresses")
        | ("onExitCodes" | "exitCodes", "values")
        | ("uncountedTerminatedPods", "succeeded" | "failed") => return Elements::Set,
        _ => return Elements::Atomic,
    };
    Elements::Keyed(keys.to_vec())
}

/// The `mapType=atomic` and `structType=atomic` tags of the built-in types.
fn is_atomic_builtin(kind: &str, parent: &str, field: &str) -> bool {
    matches!(
        (parent, field),
        ("spec", "selector" | "nodeSelector" | "podSelector" | "claimRef")
            | ("webhooks", "namespaceSelector" | "objectSelector")
            | ("", "involvedObject" | "related")
            | (
                "valueFrom",
                "configMapKeyRef" | "secretKeyRef" | "fieldRef" | "resourceFieldRef"
            )
            | ("metadata", "ownerReferences")
            | ("topologySpreadConstraints", "labelSelector")
            | ("spec", "imagePullSecrets")
            | ("nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    ) || (kind == "ServiceAccount" && field == "secrets")
}
