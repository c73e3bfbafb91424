//! The fields of the kinds that are read as protobuf, by their numbers.

use super::{kept, workloads};

/// A message type.
pub(super) struct Message {
    pub(super) name: &'static str,
    pub(super) fields: &'static [Field],
}

pub(super) struct Field {
    pub(super) number: u64,
    /// As in JSON.
    pub(super) name: &'static str,
    pub(super) is_list: bool,
    pub(super) content: Content,
}

#[derive(Clone, Copy)]
pub(super) enum Content {
    Text,
    Number,
    Flag,
    /// Zero says nothing.
    SetNumber,
    /// False says nothing.
    SetFlag,
    /// `intstr.IntOrString`.
    IntOrString,
    /// The same; zero says nothing.
    SetIntOrString,
    TextMap,
    /// The values are `resource.Quantity`.
    QuantityMap,
    /// In JSON the values are base64.
    BytesMap,
    Message(&'static Message),
    /// In JSON its fields stand beside the others.
    Inline(&'static Message),
    /// Written by the server alone.
    Ignored,
}

use Content::{BytesMap, Flag, Ignored, Number, Text, TextMap};

/// The message of the kind, if it is read.
pub(super) fn of_kind(api_version: &str, kind: &str) -> Option<&'static Message> {
    const RBAC: &str = "rbac.authorization.k8s.io/v1";
    const AUTHENTICATION: &str = "authentication.k8s.io/v1";
    const AUTHORIZATION: &str = "authorization.k8s.io/v1";
    Some(match (api_version, kind) {
        ("v1", "Namespace") => &NAMESPACE,
        ("v1", "ConfigMap") => &CONFIG_MAP,
        ("v1", "Secret") => &SECRET,
        ("v1", "Service") => &workloads::SERVICE,
        ("v1", "ServiceAccount") => &SERVICE_ACCOUNT,
        ("v1", "ResourceQuota") => &kept::RESOURCE_QUOTA,
        ("apps/v1", "Deployment") => &workloads::DEPLOYMENT,
        ("batch/v1", "Job") => &kept::JOB,
        ("batch/v1", "CronJob") => &kept::CRON_JOB,
        ("networking.k8s.io/v1", "Ingress") => &kept::INGRESS,
        ("policy/v1", "PodDisruptionBudget") => &kept::POD_DISRUPTION_BUDGET,
        ("scheduling.k8s.io/v1", "PriorityClass") => &kept::PRIORITY_CLASS,
        (RBAC, "Role") => &ROLE,
        (RBAC, "ClusterRole") => &CLUSTER_ROLE,
        (RBAC, "RoleBinding" | "ClusterRoleBinding") => &ROLE_BINDING,
        (AUTHENTICATION, "TokenRequest") => &TOKEN_REQUEST,
        (AUTHENTICATION, "SelfSubjectReview") => &SELF_SUBJECT_REVIEW,
        (AUTHORIZATION, "SelfSubjectAccessReview") => &SELF_ACCESS_REVIEW,
        (AUTHORIZATION, "SelfSubjectRulesReview") => &SELF_RULES_REVIEW,
        _ => return None,
    })
}

pub(super) const fn one(number: u64, name: &'static str, content: Content) -> Field {
    Field {
        number,
        name,
        is_list: false,
        content,
    }
}

pub(super) const fn list(number: u64, name: &'static str, content: Content) -> Field {
    Field {
        is_list: true,
        ..one(number, name, content)
    }
}

pub(super) const fn metadata() -> Field {
    one(1, "metadata", Content::Message(&OBJECT_META))
}

pub(super) const TYPE_META: Message = Message {
    name: "TypeMeta",
    fields: &[one(1, "apiVersion", Text), one(2, "kind", Text)],
};

const OBJECT_META: Message = Message {
    name: "ObjectMeta",
    fields: &[
        one(1, "name", Text),
        one(2, "generateName", Text),
        one(3, "namespace", Text),
        one(4, "selfLink", Ignored),
        one(5, "uid", Ignored),
        one(6, "resourceVersion", Text),
        one(7, "generation", Ignored),
        one(8, "creationTimestamp", Ignored),
        one(11, "labels", TextMap),
        one(12, "annotations", TextMap),
        list(13, "ownerReferences", Content::Message(&OWNER)),
        list(14, "finalizers", Text),
    ],
};

const OWNER: Message = Message {
    name: "OwnerReference",
    fields: &[
        one(1, "kind", Text),
        one(3, "name", Text),
        one(4, "uid", Text),
        one(5, "apiVersion", Text),
        one(6, "controller", Flag),
        one(7, "blockOwnerDeletion", Flag),
    ],
};

const NAMESPACE: Message = Message {
    name: "Namespace",
    fields: &[metadata(), one(2, "spec", Ignored), one(3, "status", Ignored)],
};

const CONFIG_MAP: Message = Message {
    name: "ConfigMap",
    fields: &[
        metadata(),
        one(2, "data", TextMap),
        one(3, "binaryData", BytesMap),
        one(4, "immutable", Flag),
    ],
};

const SECRET: Message = Message {
    name: "Secret",
    fields: &[
        metadata(),
        one(2, "data", BytesMap),
        one(3, "type", Text),
        one(4, "stringData", TextMap),
        one(5, "immutable", Flag),
    ],
};

const SERVICE_ACCOUNT: Message = Message {
    name: "ServiceAccount",
    fields: &[metadata(), one(4, "automountServiceAccountToken", Flag)],
};

const RULE: Message = Message {
    name: "PolicyRule",
    fields: &[
        list(1, "verbs", Text),
        list(2, "apiGroups", Text),
        list(3, "resources", Text),
        list(4, "resourceNames", Text),
        list(5, "nonResourceURLs", Text),
    ],
};

const ROLE: Message = Message {
    name: "Role",
    fields: &[metadata(), list(2, "rules", Content::Message(&RULE))],
};

const CLUSTER_ROLE: Message = Message {
    name: "ClusterRole",
    fields: &[
        metadata(),
        list(2, "rules", Content::Message(&RULE)),
        one(3, "aggregationRule", Content::Message(&AGGREGATION_RULE)),
    ],
};

const AGGREGATION_RULE: Message = Message {
    name: "AggregationRule",
    fields: &[list(1, "clusterRoleSelectors", Content::Message(&LABEL_SELECTOR))],
};

pub(super) const LABEL_SELECTOR: Message = Message {
    name: "LabelSelector",
    fields: &[one(1, "matchLabels", TextMap)],
};

const ROLE_BINDING: Message = Message {
    name: "RoleBinding",
    fields: &[
        metadata(),
        list(2, "subjects", Content::Message(&SUBJECT)),
        one(3, "roleRef", Content::Message(&ROLE_REF)),
    ],
};

const SUBJECT: Message = Message {
    name: "Subject",
    fields: &[
        one(1, "kind", Text),
        one(2, "apiGroup", Text),
        one(3, "name", Text),
        one(4, "namespace", Text),
    ],
};

const ROLE_REF: Message = Message {
    name: "RoleRef",
    fields: &[
        one(1, "apiGroup", Text),
        one(2, "kind", Text),
        one(3, "name", Text),
    ],
};

const TOKEN_REQUEST: Message = Message {
    name: "TokenRequest",
    fields: &[
        metadata(),
        one(2, "spec", Content::Message(&TOKEN_REQUEST_SPEC)),
        one(3, "status", Ignored),
    ],
};

const TOKEN_REQUEST_SPEC: Message = Message {
    name: "TokenRequestSpec",
    fields: &[
        list(1, "audiences", Text),
        one(3, "boundObjectRef", Content::Message(&BOUND_OBJECT)),
        one(4, "expirationSeconds", Number),
    ],
};

const BOUND_OBJECT: Message = Message {
    name: "BoundObjectReference",
    fields: &[
        one(1, "kind", Text),
        one(2, "apiVersion", Text),
        one(3, "name", Text),
        one(4, "uid", Text),
    ],
};

const SELF_SUBJECT_REVIEW: Message = Message {
    name: "SelfSubjectReview",
    fields: &[metadata(), one(2, "status", Ignored)],
};

const SELF_ACCESS_REVIEW: Message = Message {
    name: "SelfSubjectAccessReview",
    fields: &[
        metadata(),
        one(2, "spec", Content::Message(&SELF_ACCESS_SPEC)),
        one(3, "status", Ignored),
    ],
};

const SELF_ACCESS_SPEC: Message = Message {
    name: "SelfSubjectAccessReviewSpec",
    fields: &[
        one(1, "resourceAttributes", Content::Message(&RESOURCE_ATTRIBUTES)),
        one(2, "nonResourceAttributes", Content::Message(&PATH_ATTRIBUTES)),
    ],
};

const RESOURCE_ATTRIBUTES: Message = Message {
    name: "ResourceAttributes",
    fields: &[
        one(1, "namespace", Text),
        one(2, "verb", Text),
        one(3, "group", Text),
        one(4, "version", Text),
        one(5, "resource", Text),
        one(6, "subresource", Text),
        one(7, "name", Text),
    ],
};

const PATH_ATTRIBUTES: Message = Message {
    name: "NonResourceAttributes",
    fields: &[one(1, "path", Text), one(2, "verb", Text)],
};

const SELF_RULES_REVIEW: Message = Message {
    name: "SelfSubjectRulesReview",
    fields: &[
        metadata(),
        one(2, "spec", Content::Message(&SELF_RULES_SPEC)),
        one(3, "status", Ignored),
    ],
};

const SELF_RULES_SPEC: Message = Message {
    name: "SelfSubjectRulesReviewSpec",
    fields: &[one(1, "namespace", Text)],
};
