//! The table of served resources.
//!
//! Owns what discovery, routing and the store need to know of each resource; adding one is one row in
//! [`Resources::builtin`]. Rules of a kind that are more than data live in `strategy`, its printer columns in
//! `table`. Several rows may share one storage (the two Event APIs do).

use std::sync::Arc;

use serde_json::Value;

use crate::access::RBAC_GROUP;
use crate::events_api;
use crate::selector::SelectableField;
use crate::status::{Status, Subject};
use crate::strategy::Strategy;

/// One served resource of one group and version.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) scope: Scope,
    pub(crate) verbs: &'static [&'static str],
    pub(crate) subresources: Vec<Subresource>,
    pub(crate) selectable: Vec<SelectableField>,
    pub(crate) strategy: Strategy,
    pub(crate) form: Form,
    /// The name of the collection in the store.
    pub(crate) storage: Arc<str>,
}

/// Whether objects live in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Namespaced,
    Cluster,
}

/// A part of an object with its own path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subresource {
    Status,
}

/// How the stored object relates to the served one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Served as stored.
    Stored,
    /// `events.k8s.io/v1` over a stored core Event.
    EventsApi,
}

/// The verbs every stored resource has, in discovery order.
pub(crate) const VERBS: [&str; 8] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

/// The verbs of a resource that is answered and not stored.
const QUESTION_VERBS: [&str; 1] = ["create"];

/// The verbs of a status subresource.
pub(crate) const STATUS_VERBS: [&str; 3] = ["get", "patch", "update"];

impl Resource {
    fn new(group: &str, kind: &str, plural: &str, scope: Scope) -> Self {
        let storage = if group.is_empty() {
            plural.to_owned()
        } else {
            format!("{plural}.{group}")
        };
        Resource {
            group: group.to_owned(),
            version: "v1".to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            singular: kind.to_lowercase(),
            short_names: Vec::new(),
            categories: Vec::new(),
            scope,
            verbs: &VERBS,
            subresources: Vec::new(),
            selectable: Vec::new(),
            strategy: Strategy::Plain,
            form: Form::Stored,
            storage: storage.into(),
        }
    }

    fn short(mut self, names: &[&str]) -> Self {
        self.short_names = names.iter().map(|&name| name.to_owned()).collect();
        self
    }

    fn in_category_all(mut self) -> Self {
        self.categories = vec!["all".to_owned()];
        self
    }

    fn with_status(mut self) -> Self {
        self.subresources.push(Subresource::Status);
        self
    }

    /// A question to the server, whose answer is not stored.
    fn question(mut self) -> Self {
        self.verbs = &QUESTION_VERBS;
        self
    }

    fn selectable(mut self, fields: impl IntoIterator<Item = SelectableField>) -> Self {
        self.selectable.extend(fields);
        self
    }

    fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    fn stored_in(mut self, storage: &str, form: Form) -> Self {
        self.storage = storage.into();
        self.form = form;
        self
    }

    pub(crate) fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// Whether there are objects of it in the store.
    pub(crate) fn is_stored(&self) -> bool {
        self.verbs.len() > QUESTION_VERBS.len()
    }

    pub(crate) fn has(&self, subresource: Subresource) -> bool {
        self.subresources.contains(&subresource)
    }

    pub(crate) fn subject<'a>(&'a self, name: &'a str) -> Subject<'a> {
        Subject {
            group: &self.group,
            plural: &self.plural,
            name,
        }
    }

    /// The object as this resource serves it.
    pub(crate) fn encode(&self, stored: &Arc<Value>) -> Arc<Value> {
        match self.form {
            Form::Stored => Arc::clone(stored),
            Form::EventsApi => Arc::new(events_api::from_core(stored)),
        }
    }

    /// The object as it is stored.
    pub(crate) fn decode(&self, served: Value) -> Value {
        match self.form {
            Form::Stored => served,
            Form::EventsApi => events_api::to_core(served),
        }
    }
}

/// Every served resource.
#[derive(Debug)]
pub(crate) struct Resources(Vec<Arc<Resource>>);

impl Resources {
    pub(crate) fn builtin() -> Self {
        use Scope::{Cluster, Namespaced};
        let rows = [
            Resource::new("", "Namespace", "namespaces", Cluster)
                .short(&["ns"])
                .with_status()
                .selectable([SelectableField::at("status.phase")])
                .strategy(Strategy::Namespace),
            Resource::new("", "Node", "nodes", Cluster)
                .short(&["no"])
                .with_status()
                .selectable([SelectableField {
                    absent: "false",
                    ..SelectableField::at("spec.unschedulable")
                }])
                .strategy(Strategy::Node),
            Resource::new("", "Pod", "pods", Namespaced)
                .short(&["po"])
                .in_category_all()
                .with_status()
                .selectable(POD_FIELDS)
                .strategy(Strategy::Pod),
            Resource::new("", "Service", "services", Namespaced)
                .short(&["svc"])
                .in_category_all()
                .with_status()
                .selectable([
                    SelectableField::at("spec.clusterIP"),
                    SelectableField::at("spec.type"),
                ])
                .strategy(Strategy::Service),
            Resource::new("", "ConfigMap", "configmaps", Namespaced).short(&["cm"]),
            Resource::new("", "Secret", "secrets", Namespaced)
                .selectable([SelectableField::at("type")])
                .strategy(Strategy::Secret),
            Resource::new("", "ServiceAccount", "serviceaccounts", Namespaced).short(&["sa"]),
            Resource::new("", "Event", "events", Namespaced)
                .short(&["ev"])
                .selectable(CORE_EVENT_FIELDS)
                .strategy(Strategy::Event),
            Resource::new("events.k8s.io", "Event", "events", Namespaced)
                .short(&["ev"])
                .selectable(EVENTS_API_FIELDS)
                .strategy(Strategy::Event)
                .stored_in("events", Form::EventsApi),
            Resource::new("discovery.k8s.io", "EndpointSlice", "endpointslices", Namespaced)
                .strategy(Strategy::EndpointSlice),
            Resource::new("coordination.k8s.io", "Lease", "leases", Namespaced),
        ];
        let rows = rows.into_iter().chain(access_rows());
        Resources(rows.map(Arc::new).collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.0.iter()
    }

    /// The resource at `/apis/GROUP/VERSION/PLURAL`.
    pub(crate) fn at_path(&self, group: &str, version: &str, plural: &str) -> Result<&Arc<Resource>, Status> {
        self.iter()
            .find(|row| row.group == group && row.version == version && row.plural == plural)
            .ok_or_else(Status::no_such_path)
    }

    /// The resource of a manifest's `apiVersion` and `kind`.
    pub(crate) fn of_kind(&self, api_version: &str, kind: &str) -> Result<&Arc<Resource>, Status> {
        self.iter()
            .find(|row| row.kind == kind && row.api_version() == api_version)
            .ok_or_else(|| {
                Status::bad_request(format!(
                    "no resource of kind \"{kind}\" in \"{api_version}\" is served"
                ))
            })
    }

    /// Every group and version once, in table order, the legacy group first.
    pub(crate) fn group_versions(&self) -> Vec<(&str, &str)> {
        let mut seen = Vec::new();
        for row in self.iter() {
            let group_version = (row.group.as_str(), row.version.as_str());
            if !seen.contains(&group_version) {
                seen.push(group_version);
            }
        }
        seen
    }
}

/// Roles, bindings, and the questions on who may do what.
fn access_rows() -> [Resource; 10] {
    use Scope::{Cluster, Namespaced};
    let rbac = |kind, plural, scope| Resource::new(RBAC_GROUP, kind, plural, scope);
    let identity = |kind, plural| Resource::new("authentication.k8s.io", kind, plural, Cluster).question();
    let access = |kind, plural, scope| Resource::new("authorization.k8s.io", kind, plural, scope).question();
    [
        rbac("ClusterRole", "clusterroles", Cluster).strategy(Strategy::Role),
        rbac("ClusterRoleBinding", "clusterrolebindings", Cluster).strategy(Strategy::RoleBinding),
        rbac("Role", "roles", Namespaced).strategy(Strategy::Role),
        rbac("RoleBinding", "rolebindings", Namespaced).strategy(Strategy::RoleBinding),
        identity("SelfSubjectReview", "selfsubjectreviews"),
        identity("TokenReview", "tokenreviews"),
        access(
            "LocalSubjectAccessReview",
            "localsubjectaccessreviews",
            Namespaced,
        ),
        access("SelfSubjectAccessReview", "selfsubjectaccessreviews", Cluster),
        access("SelfSubjectRulesReview", "selfsubjectrulesreviews", Cluster),
        access("SubjectAccessReview", "subjectaccessreviews", Cluster),
    ]
}

const POD_FIELDS: [SelectableField; 7] = [
    SelectableField::at("spec.nodeName"),
    SelectableField::at("spec.restartPolicy"),
    SelectableField::at("spec.schedulerName"),
    SelectableField::at("spec.serviceAccountName"),
    SelectableField::at("status.phase"),
    SelectableField::at("status.podIP"),
    SelectableField::at("status.nominatedNodeName"),
];

const CORE_EVENT_FIELDS: [SelectableField; 11] = [
    SelectableField::at("involvedObject.kind"),
    SelectableField::at("involvedObject.namespace"),
    SelectableField::at("involvedObject.name"),
    SelectableField::at("involvedObject.uid"),
    SelectableField::at("involvedObject.apiVersion"),
    SelectableField::at("involvedObject.resourceVersion"),
    SelectableField::at("involvedObject.fieldPath"),
    SelectableField::at("reason"),
    SelectableField::at("reportingComponent"),
    SelectableField {
        label: "source",
        ..SelectableField::at("source.component")
    },
    SelectableField::at("type"),
];

const EVENTS_API_FIELDS: [SelectableField; 8] = [
    SelectableField {
        label: "regarding.kind",
        ..SelectableField::at("involvedObject.kind")
    },
    SelectableField {
        label: "regarding.namespace",
        ..SelectableField::at("involvedObject.namespace")
    },
    SelectableField {
        label: "regarding.name",
        ..SelectableField::at("involvedObject.name")
    },
    SelectableField {
        label: "regarding.uid",
        ..SelectableField::at("involvedObject.uid")
    },
    SelectableField {
        label: "regarding.apiVersion",
        ..SelectableField::at("involvedObject.apiVersion")
    },
    SelectableField::at("reason"),
    SelectableField {
        label: "reportingController",
        ..SelectableField::at("reportingComponent")
    },
    SelectableField::at("type"),
];
