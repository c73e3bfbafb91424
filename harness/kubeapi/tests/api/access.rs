//! Users other than the administrator, as kube-rs clients: who they are, what they may, what they are told.

use axum::http::Request;
use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::api::authentication::v1::{SelfSubjectReview, TokenReview, TokenReviewSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, Role};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::client::Body;
use kube::config::Kubeconfig;
use kube::{Client, Error, Resource};
use kubeapi::{Access, Local, ObjectRef};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::lab::{Lab, connect_with, deadline, service, soon};

const RBAC: &str = "rbac.authorization.k8s.io/v1";
const RBAC_GROUP: &str = "rbac.authorization.k8s.io";

/// The ServiceAccount `op` of `default`, with a Role of these rules, and a client that is it.
async fn operator(lab: &Lab, rules: Value) -> Client {
    let local = lab.server.local();
    local
        .create(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "op"}}))
        .unwrap();
    give(
        &local,
        "op",
        json!({"kind": "ServiceAccount", "name": "op"}),
        rules,
    );
    let kubeconfig = lab
        .server
        .kubeconfig_for_service_account("default", "op")
        .unwrap();
    connect_with(&kubeconfig).await
}

/// Binds a Role of these rules to the subject, in `default`.
fn give(local: &Local, name: &str, subject: Value, rules: Value) {
    local
        .create(&json!({"apiVersion": RBAC, "kind": "Role", "metadata": {"name": name}, "rules": rules}))
        .unwrap();
    local
        .create(&json!({
            "apiVersion": RBAC, "kind": "RoleBinding", "metadata": {"name": name}, "subjects": [subject],
            "roleRef": {"apiGroup": RBAC_GROUP, "kind": "Role", "name": name},
        }))
        .unwrap();
}

/// The code and the message of a refusal.
fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> (u16, String) {
    match result {
        Err(Error::Api(status)) => (status.code, status.message.clone()),
        other => panic!("expected a refusal, found {other:?}"),
    }
}

fn configmap(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()
}

async fn added<K>(events: &mut BoxStream<'_, Result<WatchEvent<K>, Error>>) -> String
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + std::fmt::Debug,
{
    match soon("an event of the watch", events.next()).await {
        Some(Ok(WatchEvent::Added(object))) => object.meta().name.clone().unwrap(),
        other => panic!("expected an added object, found {other:?}"),
    }
}

#[tokio::test]
async fn a_service_account_does_what_its_role_says_and_no_more() {
    let lab = Lab::start().await;
    lab.server.local().create(&service("web", "web")).unwrap();
    let client = operator(
        &lab,
        json!([
            {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": [""], "resources": ["services/status"], "verbs": ["patch"]},
            {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
        ]),
    )
    .await;
    let services: Api<Service> = Api::default_namespaced(client.clone());
    assert_eq!(
        services.list(&ListParams::default()).await.unwrap().items.len(),
        2
    );
    let mut events = services
        .watch(&WatchParams::default(), "0")
        .await
        .unwrap()
        .boxed();
    assert_eq!(added(&mut events).await, "kubernetes");
    assert_eq!(added(&mut events).await, "web");

    let ready = json!({"status": {"conditions": [{
        "type": "Ready", "status": "True", "reason": "Steered", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]}});
    let patch = Patch::Merge(&ready);
    let patched = services
        .patch_status("web", &PatchParams::default(), &patch)
        .await
        .unwrap();
    assert_eq!(patched.status.unwrap().conditions.unwrap()[0].reason, "Steered");
    let event: Event = serde_json::from_value(json!({
        "metadata": {"name": "steered"}, "reason": "Steered",
        "involvedObject": {"kind": "Service", "name": "web", "namespace": "default"},
    }))
    .unwrap();
    let recorded: Api<Event> = Api::default_namespaced(client.clone());
    recorded.create(&PostParams::default(), &event).await.unwrap();

    let op = "User \"system:serviceaccount:default:op\" cannot";
    let place = "in API group \"\" in the namespace \"default\"";
    let main = services.patch("web", &PatchParams::default(), &patch).await;
    let expected = format!("services \"web\" is forbidden: {op} patch resource \"services\" {place}");
    assert_eq!(refusal(main), (403, expected));
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let expected = format!("pods is forbidden: {op} list resource \"pods\" {place}");
    assert_eq!(refusal(pods.list(&ListParams::default()).await), (403, expected));
    let expected = format!("pods is forbidden: {op} watch resource \"pods\" {place}");
    let watch = pods.watch(&WatchParams::default(), "0").await.map(|_| ());
    assert_eq!(refusal(watch), (403, expected));
    let everywhere: Api<Service> = Api::all(client.clone());
    let expected = format!(
        "services is forbidden: {op} list resource \"services\" in API group \"\" at the cluster scope"
    );
    assert_eq!(
        refusal(everywhere.list(&ListParams::default()).await),
        (403, expected)
    );
    let gone = recorded.delete("steered", &DeleteParams::default()).await;
    assert_eq!(refusal(gone).0, 403);
}

#[tokio::test]
async fn a_right_counts_from_the_write_that_gives_it_until_the_write_that_takes_it() {
    let lab = Lab::start().await;
    let client = operator(&lab, json!([])).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let role = ObjectRef::namespaced(RBAC, "Role", "default", "op");
    let local = lab.server.local();
    for _ in 0..3 {
        assert_eq!(refusal(maps.list(&ListParams::default()).await).0, 403);
        let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]);
        local.merge_patch(&role, json!({"rules": rules})).unwrap();
        maps.list(&ListParams::default()).await.unwrap();
        local.merge_patch(&role, json!({"rules": []})).unwrap();
    }
    let none = local.delete(&role).map(|_| ());
    none.unwrap();
    let (_, message) = refusal(maps.list(&ListParams::default()).await);
    assert!(
        message.ends_with("\"default\": RBAC: role.rbac.authorization.k8s.io \"op\" not found"),
        "{message}"
    );
}

#[tokio::test]
async fn a_named_object_may_be_read_alone() {
    let lab = Lab::start().await;
    let rules = json!([{
        "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mine"], "verbs": ["get", "list", "watch"],
    }]);
    let client = operator(&lab, rules).await;
    let admin: Api<ConfigMap> = Api::default_namespaced(lab.client.clone());
    for name in ["mine", "yours"] {
        admin
            .create(&PostParams::default(), &configmap(name))
            .await
            .unwrap();
    }
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    maps.get("mine").await.unwrap();
    assert_eq!(refusal(maps.get("yours").await).0, 403);
    let mine = ListParams::default().fields("metadata.name=mine");
    assert_eq!(maps.list(&mine).await.unwrap().items.len(), 1);
    assert_eq!(refusal(maps.list(&ListParams::default()).await).0, 403);
    let yours = ListParams::default().fields("metadata.name!=mine");
    assert_eq!(refusal(maps.list(&yours).await).0, 403);
}

#[tokio::test]
async fn who_may_only_patch_creates_nothing_by_an_apply() {
    let lab = Lab::start().await;
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]}]);
    let maps: Api<ConfigMap> = Api::default_namespaced(operator(&lab, rules).await);
    let applied =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}});
    let apply = async || {
        maps.patch("c", &PatchParams::apply("op"), &Patch::Apply(&applied))
            .await
    };
    let (code, message) = refusal(apply().await);
    assert_eq!(code, 403);
    assert!(
        message.contains("cannot create resource \"configmaps\""),
        "{message}"
    );
    let admin: Api<ConfigMap> = Api::default_namespaced(lab.client.clone());
    admin
        .create(&PostParams::default(), &configmap("c"))
        .await
        .unwrap();
    assert_eq!(apply().await.unwrap().data.unwrap()["a"], "1");
}

#[tokio::test]
async fn a_token_dies_with_its_service_account() {
    let lab = Lab::start().await;
    let client = operator(&lab, json!([])).await;
    let who = |client: Client| async move {
        let own: Api<SelfSubjectReview> = Api::all(client);
        own.create(&PostParams::default(), &SelfSubjectReview::default())
            .await
    };
    let user = who(client.clone())
        .await
        .unwrap()
        .status
        .unwrap()
        .user_info
        .unwrap();
    assert_eq!(user.username.as_deref(), Some("system:serviceaccount:default:op"));
    assert_eq!(
        user.groups.unwrap(),
        [
            "system:serviceaccounts",
            "system:serviceaccounts:default",
            "system:authenticated"
        ]
    );
    let account = ObjectRef::namespaced("v1", "ServiceAccount", "default", "op");
    let local = lab.server.local();
    local.delete(&account).unwrap();
    assert_eq!(refusal(who(client.clone()).await).0, 401);
    local
        .create(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "op"}}))
        .unwrap();
    assert_eq!(refusal(who(client).await).0, 401, "another one of the same name");
    let missing = lab
        .server
        .kubeconfig_for_service_account("default", "none")
        .unwrap_err();
    assert_eq!(missing.code(), 404);
}

#[tokio::test]
async fn what_users_ask_for_is_remembered_with_what_came_of_it() {
    let lab = Lab::start().await;
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch", "create"]}]);
    let maps: Api<ConfigMap> = Api::default_namespaced(operator(&lab, rules).await);
    // An apply that finds nothing creates, which is asked for besides.
    let apply = PatchParams::apply("op");
    for name in ["a", "b"] {
        maps.patch(name, &apply, &Patch::Apply(configmap(name)))
            .await
            .unwrap();
    }
    maps.get("a").await.unwrap_err();
    maps.patch_status("a", &apply, &Patch::Apply(configmap("a")))
        .await
        .unwrap_err();
    let masters: Api<ConfigMap> = Api::default_namespaced(connect_with(&lab.server.kubeconfig()).await);
    masters.get("a").await.unwrap();
    let asked = |access: Access| {
        assert_eq!(access.user, "system:serviceaccount:default:op");
        (access.verb, access.group, access.resource, access.is_allowed)
    };
    let asked: Vec<_> = lab.server.accesses().into_iter().map(asked).collect();
    let expected = [
        ("create", "configmaps", true),
        ("get", "configmaps", false),
        ("patch", "configmaps", true),
        ("patch", "configmaps/status", false),
    ];
    let expected = expected.map(|(verb, resource, is_allowed)| {
        (verb.to_owned(), String::new(), resource.to_owned(), is_allowed)
    });
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn a_client_certificate_names_a_user_and_his_groups() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    let group = json!({"kind": "Group", "apiGroup": RBAC_GROUP, "name": "net-ops"});
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}]);
    give(&local, "net-ops", group, rules);
    let jane = lab
        .server
        .kubeconfig_for_user("jane", &["dev", "net-ops"])
        .unwrap();
    let jane = connect_with(&jane).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(jane.clone());
    maps.create(&PostParams::default(), &configmap("hers"))
        .await
        .unwrap();
    let secrets: Api<Secret> = Api::default_namespaced(jane);
    let (code, message) = refusal(secrets.get("s").await);
    assert_eq!(
        (code, message.as_str()),
        (
            403,
            "secrets \"s\" is forbidden: User \"jane\" cannot get resource \"secrets\" in API group \"\" \
             in the namespace \"default\""
        )
    );
    let master = lab
        .server
        .kubeconfig_for_user("root", &["system:masters"])
        .unwrap();
    let secrets: Api<Secret> = Api::all(connect_with(&master).await);
    secrets.list(&ListParams::default()).await.unwrap();
}

#[tokio::test]
async fn a_certificate_of_another_cluster_opens_nothing() {
    let (lab, other) = (Lab::start().await, Lab::start().await);
    let mut config = Kubeconfig::from_yaml(&lab.server.kubeconfig()).unwrap();
    let foreign = other
        .server
        .kubeconfig_for_user("root", &["system:masters"])
        .unwrap();
    config.auth_infos = Kubeconfig::from_yaml(&foreign).unwrap().auth_infos;
    config.contexts[0].context.as_mut().unwrap().user = Some("root".to_owned());
    let config = kube::Config::from_custom_kubeconfig(config, &Default::default())
        .await
        .unwrap();
    let refused = Client::try_from(config).unwrap().apiserver_version().await;
    assert!(
        matches!(refused, Err(Error::HyperError(_) | Error::Service(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn everyone_known_may_look_around_and_ask_about_himself() {
    let lab = Lab::start().await;
    let jane = connect_with(&lab.server.kubeconfig_for_user("jane", &[]).unwrap()).await;
    let code = async |method: &str, path: &str| {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json");
        let response = jane
            .send(request.body(Body::from(b"{}".to_vec())).unwrap())
            .await
            .unwrap();
        response.status().as_u16()
    };
    for path in [
        "/version",
        "/healthz",
        "/readyz",
        "/api",
        "/api/v1",
        "/apis",
        "/openapi/v3",
    ] {
        assert_eq!(code("GET", path).await, 200, "{path}");
    }
    for (method, path) in [
        ("GET", "/metrics"),
        ("POST", "/version"),
        ("GET", "/api/v1/pods"),
        ("GET", "/apis/a/v1/b"),
    ] {
        assert_eq!(code(method, path).await, 403, "{method} {path}");
    }
    let tokens: Api<TokenReview> = Api::all(jane);
    assert_eq!(
        refusal(
            tokens
                .create(&PostParams::default(), &TokenReview::default())
                .await
        )
        .0,
        403
    );
}

#[tokio::test]
async fn a_token_review_tells_whose_a_token_is() {
    let lab = Lab::start().await;
    let kubeconfig = lab
        .server
        .kubeconfig_for_service_account("default", "default")
        .unwrap();
    let kubeconfig: Value = serde_saphyr::from_str(&kubeconfig).unwrap();
    let token = kubeconfig["users"][0]["user"]["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let reviews: Api<TokenReview> = Api::all(lab.client.clone());
    for (token, name) in [
        (token, Some("system:serviceaccount:default:default")),
        ("x".to_owned(), None),
    ] {
        let spec = TokenReviewSpec {
            token: Some(token),
            audiences: None,
        };
        let review = TokenReview {
            spec,
            ..TokenReview::default()
        };
        let status = reviews
            .create(&PostParams::default(), &review)
            .await
            .unwrap()
            .status
            .unwrap();
        assert_eq!(status.authenticated.unwrap_or_default(), name.is_some());
        assert_eq!(
            status
                .user
                .unwrap()
                .username
                .as_deref()
                .filter(|name| !name.is_empty()),
            name
        );
    }
}

#[tokio::test]
async fn who_may_impersonate_acts_in_the_name_of_others() {
    let lab = Lab::start().await;
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]);
    operator(&lab, rules).await;
    let rules = json!([{"apiGroups": [""], "resources": ["serviceaccounts"], "resourceNames": ["op"], "verbs": ["impersonate"]}]);
    let jane = json!({"kind": "User", "apiGroup": RBAC_GROUP, "name": "jane"});
    give(&lab.server.local(), "jane", jane, rules);
    let jane = connect_with(&lab.server.kubeconfig_for_user("jane", &[]).unwrap()).await;
    let op = "system:serviceaccount:default:op";
    let maps = "/api/v1/namespaces/default/configmaps";
    for (client, headers, code) in [
        (&jane, &[][..], 403),
        (&jane, &[("impersonate-user", op)], 200),
        (
            &jane,
            &[("impersonate-user", op), ("impersonate-group", "system:masters")],
            403,
        ),
        (&jane, &[("impersonate-user", "root")], 403),
        (&lab.client, &[("impersonate-user", op)], 200),
        (&lab.client, &[("impersonate-user", "nobody")], 403),
        (
            &lab.client,
            &[
                ("impersonate-user", "nobody"),
                ("impersonate-group", "system:masters"),
            ],
            200,
        ),
        (&lab.client, &[("impersonate-group", "system:masters")], 400),
    ] {
        let mut request = Request::get(maps);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = client.send(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status().as_u16(), code, "{headers:?}");
    }
}

#[tokio::test]
async fn roles_for_people_are_put_together_by_their_labels() {
    let lab = Lab::start().await;
    let roles: Api<ClusterRole> = Api::all(lab.client.clone());
    let may = async |role: &str, resource: &str, verb: &str| {
        let rules = roles.get(role).await.unwrap().rules.unwrap_or_default();
        rules.iter().any(|rule| {
            let resources = rule.resources.clone().unwrap_or_default();
            resources.iter().any(|found| found == resource) && rule.verbs.iter().any(|found| found == verb)
        })
    };
    for (role, resource, verb, expected) in [
        ("view", "services", "list", true),
        ("view", "secrets", "get", false),
        ("edit", "services", "list", true),
        ("edit", "secrets", "update", true),
        ("edit", "roles", "create", false),
        ("admin", "services", "list", true),
        ("admin", "roles", "create", true),
    ] {
        assert_eq!(
            may(role, resource, verb).await,
            expected,
            "{role} {verb} {resource}"
        );
    }
    let tunnels = json!({
        "apiVersion": RBAC, "kind": "ClusterRole",
        "metadata": {"name": "tunnels", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [{"apiGroups": ["example.org"], "resources": ["tunnels"], "verbs": ["get"]}],
    });
    let local = lab.server.local();
    local.create(&tunnels).unwrap();
    let sees = |role: Option<&Value>| role.is_some_and(|role| role["rules"].to_string().contains("tunnels"));
    for role in ["view", "edit", "admin"] {
        let reference = ObjectRef::cluster(RBAC, "ClusterRole", role);
        local.wait_for(&reference, deadline(), sees).await.unwrap();
    }
    local.delete(&ObjectRef::of(&tunnels)).unwrap();
    let admin = ObjectRef::cluster(RBAC, "ClusterRole", "admin");
    local
        .wait_for(&admin, deadline(), |role| !sees(role))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_administrator_of_a_namespace_gives_away_only_what_he_holds() {
    let lab = Lab::start().await;
    lab.server
        .local()
        .create(&json!({
            "apiVersion": RBAC, "kind": "RoleBinding", "metadata": {"name": "jane"},
            "subjects": [{"kind": "User", "apiGroup": RBAC_GROUP, "name": "jane"}],
            "roleRef": {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": "admin"},
        }))
        .unwrap();
    let jane = connect_with(&lab.server.kubeconfig_for_user("jane", &[]).unwrap()).await;
    let roles: Api<Role> = Api::default_namespaced(jane);
    let role = |resource: &str| -> Role {
        let rules = json!([{"apiGroups": [""], "resources": [resource], "verbs": ["get"]}]);
        serde_json::from_value(json!({"metadata": {"name": resource}, "rules": rules})).unwrap()
    };
    roles
        .create(&PostParams::default(), &role("services"))
        .await
        .unwrap();
    let (code, message) = refusal(roles.create(&PostParams::default(), &role("nodes")).await);
    assert_eq!(code, 403);
    assert!(
        message.ends_with(
            "is attempting to grant RBAC permissions not currently held:\n\
             {APIGroups:[\"\"], Resources:[\"nodes\"], Verbs:[\"get\"]}"
        ),
        "{message}"
    );
    let more = json!({"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]});
    let grown = roles
        .patch("services", &PatchParams::default(), &Patch::Merge(&more))
        .await;
    assert_eq!(refusal(grown).0, 403);
}

#[tokio::test]
async fn each_namespace_has_its_service_account() {
    let lab = Lab::start().await;
    let accounts: Api<ServiceAccount> = Api::default_namespaced(lab.client.clone());
    accounts.get("default").await.unwrap();
    let local = lab.server.local();
    local
        .create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}))
        .unwrap();
    let account = ObjectRef::namespaced("v1", "ServiceAccount", "team", "default");
    let first = local
        .wait_for(&account, deadline(), |account| account.is_some())
        .await
        .unwrap()
        .unwrap();
    local.delete(&account).unwrap();
    let is_another = |account: Option<&Value>| {
        account.is_some_and(|account| account["metadata"]["uid"] != first["metadata"]["uid"])
    };
    local.wait_for(&account, deadline(), is_another).await.unwrap();
    let team = ObjectRef::cluster("v1", "Namespace", "team");
    local.delete(&team).unwrap();
    local
        .wait_for(&team, deadline(), |team| team.is_none())
        .await
        .unwrap();
}
