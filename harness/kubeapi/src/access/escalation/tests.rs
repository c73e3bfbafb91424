use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::access::on_behalf_of;
use crate::api::{Api, Effect, Target};
use crate::patch::Patch;
use crate::strategy::Part;

const RBAC: &str = "rbac.authorization.k8s.io/v1";

/// A cluster in which `jane` may write roles and bindings of the namespace `ns`, and read its pods; with more rules.
fn api(more: &[Value]) -> Api {
    let api = Api::new("10.96.0.0/24".parse::<ipnet::Ipv4Net>().expect("a network"), 64);
    let create = |kind: &str, namespace: &str, body: Value| {
        let api_version = if kind == "Namespace" { "v1" } else { RBAC };
        let resource = api.resources.of_kind(api_version, kind).expect("served");
        api.create(&resource, namespace, body, Effect::Persist)
            .expect(kind);
    };
    create("Namespace", "", json!({"metadata": {"name": "ns"}}));
    let mut rules = vec![
        json!({"verbs": ["*"], "apiGroups": [RBAC_GROUP], "resources": ["nothing"]}),
        json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}),
    ];
    rules.extend_from_slice(more);
    create("Role", "ns", json!({"metadata": {"name": "own"}, "rules": rules}));
    create("RoleBinding", "ns", binding("own", "Role", "own"));
    create("Role", "ns", role("secrets", &["get"]));
    create("ClusterRole", "", role("secrets", &["get"]));
    api
}

fn role(resource: &str, verbs: &[&str]) -> Value {
    json!({
        "metadata": {"name": resource},
        "rules": [{"verbs": verbs, "apiGroups": [""], "resources": [resource]}],
    })
}

fn binding(name: &str, kind: &str, role: &str) -> Value {
    json!({
        "metadata": {"name": name}, "roleRef": {"kind": kind, "name": role},
        "subjects": [{"kind": "User", "name": "jane"}],
    })
}

async fn create(api: &Api, kind: &str, body: Value) -> Result<Arc<Value>, Status> {
    let resource = api.resources.of_kind(RBAC, kind).expect("served");
    let namespace = if kind.starts_with("Cluster") { "" } else { "ns" };
    let jane = Arc::new(User::authenticated("jane", []));
    on_behalf_of(jane, async {
        api.create(&resource, namespace, body, Effect::Persist)
    })
    .await
}

#[tokio::test]
async fn a_role_gives_only_what_its_writer_holds() {
    let api = api(&[]);
    create(&api, "Role", role("pods", &["list"])).await.expect("held");
    let refused = create(&api, "Role", role("configmaps", &["get", "list"]))
        .await
        .expect_err("not held");
    assert_eq!(refused.reason, Reason::Forbidden);
    assert_eq!(
        refused.message,
        "roles.rbac.authorization.k8s.io \"configmaps\" is forbidden: user \"jane\" (groups=[\"system:authenticated\"]) \
         is attempting to grant RBAC permissions not currently held:\n\
         {APIGroups:[\"\"], Resources:[\"configmaps\"], Verbs:[\"get\" \"list\"]}"
    );
}

#[tokio::test]
async fn a_role_does_not_grow_by_a_patch() {
    let api = api(&[]);
    let resource = api.resources.of_kind(RBAC, "Role").expect("served");
    let target = Target::new(&resource, "ns", "secrets");
    let patch = |body: Value| {
        let (api, target) = (&api, &target);
        let jane = Arc::new(User::authenticated("jane", []));
        on_behalf_of(jane, async move {
            api.patch(target, Part::Main, &Patch::Merge(body), Effect::Persist)
        })
    };
    let more = json!({"rules": [{"verbs": ["*"], "apiGroups": [""], "resources": ["secrets"]}]});
    assert_eq!(patch(more).await.map_err(|status| status.code()), Err(403));
    let held_back = json!({"metadata": {"finalizers": ["example.org/hold"]}});
    patch(held_back).await.expect("no rights are in a finalizer");
    let fewer = json!({"rules": []});
    patch(fewer).await.expect("nothing is given away");
}

#[tokio::test]
async fn whoever_may_escalate_writes_any_role() {
    let escalate = json!({"verbs": ["escalate"], "apiGroups": [RBAC_GROUP], "resources": ["roles"]});
    let api = api(&[escalate]);
    create(&api, "Role", role("configmaps", &["*"]))
        .await
        .expect("allowed");
}

#[tokio::test]
async fn a_binding_gives_only_what_its_writer_holds_or_may_bind() {
    let bind = json!({
        "verbs": ["bind"], "apiGroups": [RBAC_GROUP], "resources": ["clusterroles"], "resourceNames": ["secrets"],
    });
    let api = api(&[bind]);
    create(&api, "RoleBinding", binding("mine", "Role", "own"))
        .await
        .expect("held");
    create(&api, "RoleBinding", binding("bound", "ClusterRole", "secrets"))
        .await
        .expect("may bind");
    // From here on jane holds what she bound, so another role has to be out of reach.
    let jobs = role("jobs", &["get"]);
    let roles = api.resources.of_kind(RBAC, "Role").expect("served");
    api.create(&roles, "ns", jobs, Effect::Persist)
        .expect("no requester");
    let refused = create(&api, "RoleBinding", binding("other", "Role", "jobs")).await;
    assert_eq!(refused.map_err(|status| status.code()), Err(403));
    let missing = create(&api, "RoleBinding", binding("none", "Role", "none")).await;
    let missing = missing.expect_err("no such role");
    assert_eq!(
        (missing.code(), missing.message.as_str()),
        (404, "role.rbac.authorization.k8s.io \"none\" not found")
    );
}

#[tokio::test]
async fn only_who_may_do_everything_lets_a_role_aggregate() {
    let api = api(&[]);
    let everything = json!({
        "metadata": {"name": "sum"}, "rules": [], "aggregationRule": {"clusterRoleSelectors": [{}]},
    });
    let refused = create(&api, "ClusterRole", everything)
        .await
        .expect_err("gathers anything");
    assert_eq!(
        refused.message,
        "clusterroles.rbac.authorization.k8s.io \"sum\" is forbidden: \
         must have cluster-admin privileges to use the aggregationRule"
    );
}
