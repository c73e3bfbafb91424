//! The real `kubectl` as someone who may not do everything.

use serde_json::json;

use crate::kubectl::{Kubectl, text};

#[tokio::test]
async fn kubectl_sets_up_a_service_account_and_is_it() {
    let Some(kubectl) = Kubectl::start("kubectl_sets_up_a_service_account_and_is_it").await else {
        return;
    };
    assert_eq!(kubectl.run("create sa op").await, "serviceaccount/op created\n");
    kubectl
        .run("create role reader --verb=get,list,watch --resource=services,pods/status")
        .await;
    kubectl
        .run("create rolebinding op --role=reader --serviceaccount=default:op")
        .await;
    let roles = kubectl.run("get rolebinding op -o wide").await;
    assert!(
        roles.contains("Role/reader") && roles.contains("default/op"),
        "{roles}"
    );
    let token = kubectl.run("create token op --duration=20m").await;
    let config = kubectl.lab.server.kubeconfig_for_service_account("default", "op");
    kubectl.write_text("op.config", &config.unwrap());
    for (user, name) in [
        (format!("--token={}", token.trim()), "a token"),
        ("--kubeconfig=op.config".to_owned(), "a kubeconfig"),
        (
            "--as=system:serviceaccount:default:op".to_owned(),
            "impersonation",
        ),
    ] {
        let listed = kubectl.run(&format!("get services -o name {user}")).await;
        assert_eq!(listed, "service/kubernetes\n", "{name}");
        let refused = kubectl.output(&format!("get pods {user}")).await;
        assert_eq!(
            text(&refused.stderr),
            "Error from server (Forbidden): pods is forbidden: User \"system:serviceaccount:default:op\" cannot list \
             resource \"pods\" in API group \"\" in the namespace \"default\"\n",
            "{name}"
        );
    }
}

#[tokio::test]
async fn kubectl_asks_what_it_may() {
    let Some(kubectl) = Kubectl::start("kubectl_asks_what_it_may").await else {
        return;
    };
    kubectl.run("create sa op").await;
    kubectl
        .run("create clusterrole watcher --verb=get,list --resource=nodes")
        .await;
    kubectl
        .run("create clusterrolebinding op --clusterrole=watcher --serviceaccount=default:op")
        .await;
    let config = kubectl.lab.server.kubeconfig_for_service_account("default", "op");
    kubectl.write_text("op.config", &config.unwrap());
    let op = "--kubeconfig=op.config";
    assert_eq!(kubectl.run("auth can-i * *").await, "yes\n");
    for (question, answer) in [
        ("list nodes", "yes\n"),
        ("list services", "no\n"),
        ("create selfsubjectaccessreviews.authorization.k8s.io", "yes\n"),
        ("get /version", "yes\n"),
        ("get /metrics", "no\n"),
    ] {
        let output = kubectl.output(&format!("auth can-i {question} {op}")).await;
        assert_eq!(text(&output.stdout), answer, "{question}");
    }
    let list = kubectl.run(&format!("auth can-i --list {op}")).await;
    let nodes = list.lines().find(|line| line.starts_with("nodes "));
    assert!(nodes.is_some_and(|line| line.ends_with("[get list]")), "{list}");
    assert!(list.contains("[/openapi/*]"), "{list}");
    let me = kubectl.run(&format!("auth whoami {op}")).await;
    for expected in [
        "system:serviceaccount:default:op",
        "system:serviceaccounts:default",
    ] {
        assert!(me.contains(expected), "{expected} in\n{me}");
    }
    assert!(kubectl.run("auth whoami").await.contains("system:masters"));
}

#[tokio::test]
async fn kubectl_applies_the_rights_of_an_operator() {
    let Some(kubectl) = Kubectl::start("kubectl_applies_the_rights_of_an_operator").await else {
        return;
    };
    let rbac = "rbac.authorization.k8s.io";
    let metadata = json!({"name": "op"});
    let api_version = format!("{rbac}/v1");
    kubectl.write(
        "rbac.json",
        &json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
            {
                "apiVersion": api_version, "kind": "ClusterRole", "metadata": metadata,
                "rules": [{"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "watch"]}],
            },
            {
                "apiVersion": api_version, "kind": "ClusterRoleBinding", "metadata": metadata,
                "subjects": [{"kind": "ServiceAccount", "name": "op", "namespace": "default"}],
                "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "op"},
            },
        ]}),
    );
    let applied = kubectl.run("apply -f rbac.json").await;
    assert_eq!(applied.matches(" created\n").count(), 3, "{applied}");
    let again = kubectl.run("apply -f rbac.json").await;
    assert_eq!(again.matches(" unchanged\n").count(), 3, "{again}");
    let services = kubectl
        .run("get services -A -o name --as=system:serviceaccount:default:op")
        .await;
    assert_eq!(services, "service/kubernetes\n");
    let described = kubectl.run("describe clusterrole op").await;
    assert!(described.contains("[get list watch]"), "{described}");
}
