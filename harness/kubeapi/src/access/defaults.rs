//! The ClusterRoles that every cluster has, and their bindings: those of kube-apiserver that speak of what is served.
//!
//! The roles for people (`admin`, `edit`, `view`) are put together from others by their labels, as there.

use serde_json::{Value, json};

use super::RBAC_GROUP;
use super::rule::Rule;
use crate::resources::VERBS;

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
const ALL: &[&str] = &VERBS;
const CREATE: &[&str] = &["create"];

const AUTHORIZATION: &str = "authorization.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";

const STATE_PATHS: [&str; 5] = ["/healthz", "/livez", "/readyz", "/version", "/version/"];
const DISCOVERY_PATHS: [&str; 6] = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"];

/// The roles: first those that others are put together from.
pub(crate) fn cluster_roles() -> Vec<Value> {
    let discovery = [DISCOVERY_PATHS.as_slice(), STATE_PATHS.as_slice()].concat();
    vec![
        role("cluster-admin", &[Rule::all_resources(), Rule::all_paths()]),
        role("system:discovery", &[paths(&discovery)]),
        role("system:public-info-viewer", &[paths(&STATE_PATHS)]),
        role(
            "system:basic-user",
            &[
                on(
                    AUTHORIZATION,
                    &["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
                    CREATE,
                ),
                on(AUTHENTICATION, &["selfsubjectreviews"], CREATE),
            ],
        ),
        role(
            "system:auth-delegator",
            &[
                on(AUTHENTICATION, &["tokenreviews"], CREATE),
                on(AUTHORIZATION, &["subjectaccessreviews"], CREATE),
            ],
        ),
        part_of("admin", role("system:aggregate-to-admin", &admin_rules())),
        part_of(
            "edit",
            role(
                "system:aggregate-to-edit",
                &[&edit_rules()[..], &edit_kept_rules()].concat(),
            ),
        ),
        part_of(
            "view",
            role(
                "system:aggregate-to-view",
                &[&view_rules()[..], &view_kept_rules()].concat(),
            ),
        ),
        part_of("edit", aggregate("view")),
        part_of("admin", aggregate("edit")),
        aggregate("admin"),
    ]
}

/// The bindings of the roles that do not wait for one.
pub(crate) fn cluster_role_bindings() -> Vec<Value> {
    let everyone = "system:authenticated";
    [
        ("cluster-admin", &["system:masters"][..]),
        ("system:discovery", &[everyone]),
        ("system:basic-user", &[everyone]),
        ("system:public-info-viewer", &[everyone, "system:unauthenticated"]),
    ]
    .map(|(role, groups)| {
        let subjects: Vec<Value> = groups
            .iter()
            .map(|group| json!({"kind": "Group", "apiGroup": RBAC_GROUP, "name": group}))
            .collect();
        json!({
            "metadata": metadata(role), "subjects": subjects,
            "roleRef": {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": role},
        })
    })
    .to_vec()
}

fn admin_rules() -> [Rule; 2] {
    [
        on(AUTHORIZATION, &["localsubjectaccessreviews"], CREATE),
        on(RBAC_GROUP, &["rolebindings", "roles"], ALL),
    ]
}

fn edit_rules() -> [Rule; 7] {
    [
        on("", &["secrets"], READ),
        on("", &["serviceaccounts"], &["impersonate"]),
        on("", &["pods"], WRITE),
        on(
            "",
            &["configmaps", "events", "secrets", "serviceaccounts", "services"],
            WRITE,
        ),
        on("", &["serviceaccounts/token"], CREATE),
        on("coordination.k8s.io", &["leases"], ALL),
        on(
            "apps",
            &[
                "daemonsets",
                "deployments",
                "deployments/rollback",
                "deployments/scale",
                "replicasets",
                "replicasets/scale",
                "statefulsets",
                "statefulsets/scale",
            ],
            WRITE,
        ),
    ]
}

fn view_rules() -> [Rule; 5] {
    [
        on(
            "",
            &[
                "configmaps",
                "pods",
                "serviceaccounts",
                "services",
                "services/status",
            ],
            READ,
        ),
        on("", &["events", "namespaces/status", "pods/status"], READ),
        on("", &["namespaces"], READ),
        on("discovery.k8s.io", &["endpointslices"], READ),
        on(
            "apps",
            &[
                "controllerrevisions",
                "daemonsets",
                "daemonsets/status",
                "deployments",
                "deployments/scale",
                "deployments/status",
                "replicasets",
                "replicasets/scale",
                "replicasets/status",
                "statefulsets",
                "statefulsets/scale",
                "statefulsets/status",
            ],
            READ,
        ),
    ]
}

fn edit_kept_rules() -> [Rule; 5] {
    [
        on("", &["persistentvolumeclaims"], WRITE),
        on("autoscaling", &["horizontalpodautoscalers"], WRITE),
        on("batch", &["cronjobs", "jobs"], WRITE),
        on("policy", &["poddisruptionbudgets"], WRITE),
        on("networking.k8s.io", &["ingresses", "networkpolicies"], WRITE),
    ]
}

fn view_kept_rules() -> [Rule; 5] {
    let core = [
        "endpoints",
        "limitranges",
        "persistentvolumeclaims",
        "persistentvolumeclaims/status",
        "resourcequotas",
        "resourcequotas/status",
    ];
    let autoscalers = ["horizontalpodautoscalers", "horizontalpodautoscalers/status"];
    let jobs = ["cronjobs", "cronjobs/status", "jobs", "jobs/status"];
    let budgets = ["poddisruptionbudgets", "poddisruptionbudgets/status"];
    let networking = ["ingresses", "ingresses/status", "networkpolicies"];
    [
        on("", &core, READ),
        on("autoscaling", &autoscalers, READ),
        on("batch", &jobs, READ),
        on("policy", &budgets, READ),
        on("networking.k8s.io", &networking, READ),
    ]
}

fn on(group: &str, resources: &[&str], verbs: &[&str]) -> Rule {
    Rule {
        verbs: owned(verbs),
        api_groups: owned(&[group]),
        resources: owned(resources),
        ..Rule::default()
    }
}

fn paths(urls: &[&str]) -> Rule {
    Rule {
        verbs: owned(&["get"]),
        non_resource_urls: owned(urls),
        ..Rule::default()
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn role(name: &str, rules: &[Rule]) -> Value {
    json!({"metadata": metadata(name), "rules": rules})
}

/// The role put together from those with its label.
fn aggregate(name: &str) -> Value {
    let selector = json!({"matchLabels": {label(name): "true"}});
    json!({"metadata": metadata(name), "aggregationRule": {"clusterRoleSelectors": [selector]}, "rules": null})
}

fn part_of(whole: &str, mut role: Value) -> Value {
    role["metadata"]["labels"][label(whole)] = json!("true");
    role
}

fn label(whole: &str) -> String {
    format!("{RBAC_GROUP}/aggregate-to-{whole}")
}

fn metadata(name: &str) -> Value {
    json!({
        "name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    })
}
