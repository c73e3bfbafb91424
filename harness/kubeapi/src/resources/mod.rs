//! The table of served resources.
//!
//! Owns what discovery, routing and the store need to know of each resource; adding one is one row in
//! [`Resources::builtin`]. Rules of a kind that are more than data live in `strategy`, its printer columns in
//! `table`. Several rows may share one storage (the two Event APIs and the versions of a custom resource do).
//! The table changes while it is served: a reader takes one state of it and keeps that for its request.

mod kept;

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;

use crate::access::RBAC_GROUP;
use crate::custom::{Custom, Life, rank};
use crate::events_api;
use crate::selector::SelectableField;
use crate::status::{Status, Subject};
use crate::strategy::{Strategy, Workload};
use crate::topology::Topology;
use crate::types;

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
    /// `autoscaling/v1 Scale`.
    Scale,
}

/// How the stored object relates to the served one.
#[derive(Debug, Clone)]
pub(crate) enum Form {
    /// Served as stored.
    Stored,
    /// `events.k8s.io/v1` over a stored core Event.
    EventsApi,
    /// One version of a custom resource over the stored one.
    Custom(Arc<Custom>),
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

/// The verbs of a resource whose objects are not deleted together.
const SINGLE_VERBS: [&str; 7] = ["create", "delete", "get", "list", "patch", "update", "watch"];

/// The verbs of a resource that is answered and not stored.
const QUESTION_VERBS: [&str; 1] = ["create"];

/// The verbs of a subresource.
pub(crate) const SUBRESOURCE_VERBS: [&str; 3] = ["get", "patch", "update"];

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

    fn in_category(mut self, category: &str) -> Self {
        self.categories = vec![category.to_owned()];
        self
    }

    fn with_status(mut self) -> Self {
        self.subresources.push(Subresource::Status);
        self
    }

    fn with_scale(mut self) -> Self {
        self.subresources.push(Subresource::Scale);
        self
    }

    /// Its objects are not deleted together.
    fn deleted_singly(mut self) -> Self {
        self.verbs = &SINGLE_VERBS;
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

    /// The kind of a list of these.
    pub(crate) fn list_kind(&self) -> String {
        match self.custom() {
            Some(custom) => custom.list_kind.clone(),
            None => format!("{}List", self.kind),
        }
    }

    /// Whether a deletion is answered with the object that is gone.
    pub(crate) fn shows_deleted(&self) -> bool {
        self.group.is_empty() && matches!(self.kind.as_str(), "Pod" | "Service" | "ServiceAccount")
    }

    /// Whether an update of an object that is not there creates it.
    pub(crate) fn is_made_by_update(&self) -> bool {
        let kinds = [
            "Event",
            "Lease",
            "Role",
            "RoleBinding",
            "ClusterRole",
            "ClusterRoleBinding",
            "Service",
        ];
        self.custom().is_none() && kinds.contains(&self.kind.as_str())
    }

    /// Whether there are objects of it in the store.
    pub(crate) fn is_stored(&self) -> bool {
        self.verbs.len() > QUESTION_VERBS.len()
    }

    pub(crate) fn has(&self, subresource: Subresource) -> bool {
        self.subresources.contains(&subresource)
    }

    /// How objects of the kind merge.
    pub(crate) fn topology(&self) -> Topology<'_> {
        match self.custom() {
            Some(custom) => Topology::CustomObject(&custom.document),
            None => Topology::builtin(&self.kind),
        }
    }

    pub(crate) fn subject<'a>(&'a self, name: &'a str) -> Subject<'a> {
        Subject {
            group: &self.group,
            plural: &self.plural,
            name,
        }
    }

    /// What the definition of a custom resource says; `None` for a built-in one.
    pub(crate) fn custom(&self) -> Option<&Custom> {
        match &self.form {
            Form::Custom(custom) => Some(custom),
            Form::Stored | Form::EventsApi => None,
        }
    }

    /// What tells one definition of a custom resource from another.
    fn edition(&self) -> Option<u64> {
        self.custom().map(|custom| custom.edition)
    }

    /// The object as this resource serves it.
    pub(crate) fn encode(&self, stored: &Arc<Value>) -> Arc<Value> {
        match &self.form {
            Form::Stored => Arc::clone(stored),
            Form::EventsApi => Arc::new(events_api::from_core(stored)),
            Form::Custom(custom) => Arc::new(custom.serve(self.api_version(), stored)),
        }
    }

    /// The object as it is stored.
    pub(crate) fn decode(&self, served: Value) -> Value {
        match &self.form {
            Form::Stored => served,
            Form::EventsApi => events_api::to_core(served),
            Form::Custom(custom) => custom.store(served),
        }
    }

    /// As [`Self::decode`], of a part of an object: what is applied owns no defaults.
    pub(crate) fn decode_part(&self, served: Value) -> Value {
        match self.custom() {
            Some(custom) => custom.store_part(served),
            None => self.decode(served),
        }
    }

    /// Brings a stored object into the form in which upstream writes it; of a custom resource, its metadata.
    pub(crate) fn settle(&self, stored: &mut Value) {
        let shape = match &self.form {
            Form::Stored => types::of_kind(&self.group, &self.version, &self.kind),
            Form::EventsApi => types::of_kind("", "v1", "Event"),
            Form::Custom(_) => None,
        };
        match (shape, types::object_meta()) {
            (Some(shape), _) => types::write_as(shape, stored),
            (None, Some(shape)) => types::write_as(shape, &mut stored["metadata"]),
            (None, None) => {}
        }
    }

    /// Sets what the schema of a custom resource has defaults for.
    pub(crate) fn fill_in(&self, stored: &mut Value) {
        if let Some(custom) = self.custom() {
            custom.schema.fill_in(stored);
        }
    }
}

/// Every resource of one moment.
#[derive(Debug, Clone)]
pub(crate) struct Resources(Vec<Arc<Resource>>);

/// The resources as they are now.
#[derive(Debug)]
pub(crate) struct Registry(watch::Sender<Arc<Resources>>);

/// How long a resource is served as it is now.
#[derive(Debug)]
pub(crate) struct Term {
    resource: Arc<Resource>,
    resources: watch::Receiver<Arc<Resources>>,
}

impl Term {
    /// Waits until it is no longer served, or by another definition; for a built-in one without end.
    pub(crate) async fn end(&mut self) {
        let is_same = |resources: &Arc<Resources>| {
            let Resource {
                group,
                version,
                plural,
                ..
            } = &*self.resource;
            let found = resources.at_path(group, version, plural);
            found.is_ok_and(|found| found.edition() == self.resource.edition())
        };
        if self
            .resources
            .wait_for(|resources| !is_same(resources))
            .await
            .is_err()
        {
            std::future::pending().await
        }
    }
}

impl Registry {
    pub(crate) fn new() -> Self {
        Registry(watch::Sender::new(Arc::new(Resources::builtin())))
    }

    /// The resources of this moment.
    pub(crate) fn current(&self) -> Arc<Resources> {
        Arc::clone(&self.0.borrow())
    }

    /// How long the resource is served as it is.
    pub(crate) fn term(&self, resource: &Arc<Resource>) -> Term {
        Term {
            resource: Arc::clone(resource),
            resources: self.0.subscribe(),
        }
    }

    /// Serves these custom resources from now on, and no others. A built-in group and version stays as it is.
    pub(crate) fn replace_custom(&self, rows: impl IntoIterator<Item = Arc<Resource>>) {
        let mut resources = Resources::builtin();
        let builtin = resources.clone();
        let is_free = |row: &Arc<Resource>| !builtin.serves(&row.group, &row.version);
        resources.0.extend(rows.into_iter().filter(is_free));
        self.0.send_replace(Arc::new(resources));
    }

    /// As [`Resources::at_path`], now.
    pub(crate) fn at_path(&self, group: &str, version: &str, plural: &str) -> Result<Arc<Resource>, Status> {
        self.current().at_path(group, version, plural).map(Arc::clone)
    }

    /// As [`Resources::of_kind`], now.
    pub(crate) fn of_kind(&self, api_version: &str, kind: &str) -> Result<Arc<Resource>, Status> {
        self.current().of_kind(api_version, kind).map(Arc::clone)
    }
}

impl Resources {
    pub(crate) fn builtin() -> Self {
        use Scope::{Cluster, Namespaced};
        let rows = [
            Resource::new("", "Namespace", "namespaces", Cluster)
                .short(&["ns"])
                .deleted_singly()
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
                .in_category("all")
                .with_status()
                .selectable(POD_FIELDS)
                .strategy(Strategy::Pod),
            Resource::new("", "Service", "services", Namespaced)
                .short(&["svc"])
                .in_category("all")
                .with_status()
                .selectable([
                    SelectableField::at("spec.clusterIP"),
                    SelectableField::at("spec.type"),
                ])
                .strategy(Strategy::Service),
            Resource::new("", "ConfigMap", "configmaps", Namespaced)
                .short(&["cm"])
                .strategy(Strategy::ConfigMap),
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
                .strategy(Strategy::NewEvent)
                .stored_in("events", Form::EventsApi),
            Resource::new("discovery.k8s.io", "EndpointSlice", "endpointslices", Namespaced)
                .strategy(Strategy::EndpointSlice),
            Resource::new("coordination.k8s.io", "Lease", "leases", Namespaced).strategy(Strategy::Lease),
            Resource::new(
                "apiextensions.k8s.io",
                "CustomResourceDefinition",
                "customresourcedefinitions",
                Cluster,
            )
            .short(&["crd", "crds"])
            .in_category("api-extensions")
            .with_status()
            .strategy(Strategy::Definition),
        ];
        let rows = rows.into_iter().chain(access_rows());
        let rows = rows.chain(apps_rows()).chain(kept::rows());
        Resources(rows.map(Arc::new).collect())
    }

    /// The resources that are served.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.all()
            .filter(|row| row.custom().is_none_or(|custom| custom.life != Life::Hidden))
    }

    /// Those, and the versions of custom resources that exist and are not served.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.0.iter()
    }

    /// Whether anything is served of this version of a group.
    pub(crate) fn serves(&self, group: &str, version: &str) -> bool {
        self.iter()
            .any(|row| row.group == group && row.version == version)
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

    /// Every group once, in table order, the legacy group first.
    pub(crate) fn groups(&self) -> Vec<&str> {
        let mut seen = Vec::new();
        for row in self.iter() {
            if !seen.contains(&row.group.as_str()) {
                seen.push(&row.group);
            }
        }
        seen
    }

    /// The versions of a group, the preferred one first.
    pub(crate) fn versions(&self, group: &str) -> Vec<&str> {
        let rows = self.iter().filter(|row| row.group == group);
        let mut versions: Vec<&str> = rows.map(|row| row.version.as_str()).collect();
        versions.sort_by_cached_key(|version| rank(version));
        versions.dedup();
        versions
    }

    /// The resources of one version of a group.
    pub(crate) fn in_version(&self, group: &str, version: &str) -> impl Iterator<Item = &Arc<Resource>> {
        self.iter()
            .filter(move |row| row.group == group && row.version == version)
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

/// What keeps pods running.
fn apps_rows() -> [Resource; 5] {
    let row = |kind, plural| Resource::new("apps", kind, plural, Scope::Namespaced);
    let workload = |kind, plural, short, workload| {
        row(kind, plural)
            .short(&[short])
            .in_category("all")
            .with_status()
            .strategy(Strategy::Workload(workload))
    };
    [
        row("ControllerRevision", "controllerrevisions").strategy(Strategy::ControllerRevision),
        workload("DaemonSet", "daemonsets", "ds", Workload::DaemonSet),
        workload("Deployment", "deployments", "deploy", Workload::Deployment).with_scale(),
        workload("ReplicaSet", "replicasets", "rs", Workload::ReplicaSet)
            .with_scale()
            .selectable([SelectableField {
                absent: "0",
                ..SelectableField::at("status.replicas")
            }]),
        workload("StatefulSet", "statefulsets", "sts", Workload::StatefulSet).with_scale(),
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
    SelectableField::renamed("source", "source.component"),
    SelectableField::at("type"),
];

const EVENTS_API_FIELDS: [SelectableField; 8] = [
    SelectableField::renamed("regarding.kind", "involvedObject.kind"),
    SelectableField::renamed("regarding.namespace", "involvedObject.namespace"),
    SelectableField::renamed("regarding.name", "involvedObject.name"),
    SelectableField::renamed("regarding.uid", "involvedObject.uid"),
    SelectableField::renamed("regarding.apiVersion", "involvedObject.apiVersion"),
    SelectableField::at("reason"),
    SelectableField::renamed("reportingController", "reportingComponent"),
    SelectableField::at("type"),
];
