//! A session of `kubectl` with a custom resource, from its definition to its end.

use serde_json::json;

use crate::custom::{widget, widgets};
use crate::kubectl::{Kubectl, row, text};

/// A cluster in which `kubectl` has defined widgets and made one.
async fn with_a_widget(test: &str) -> Option<Kubectl> {
    let kubectl = Kubectl::start(test).await?;
    kubectl.write("crd.json", &widgets());
    assert_eq!(
        kubectl.run("create -f crd.json").await,
        "customresourcedefinition.apiextensions.k8s.io/widgets.example.com created\n"
    );
    let wait = "wait --for=condition=Established crd/widgets.example.com --timeout=20s";
    kubectl.run(wait).await;
    kubectl.write("widget.json", &widget("w", json!({"color": "red"})));
    assert_eq!(
        kubectl.run("apply -f widget.json").await,
        "widget.example.com/w created\n"
    );
    Some(kubectl)
}

#[tokio::test]
async fn kubectl_defines_reads_and_explains_a_custom_resource() {
    let test = "kubectl_defines_reads_and_explains_a_custom_resource";
    let Some(kubectl) = with_a_widget(test).await else {
        return;
    };
    let table = kubectl.run("get wd").await;
    assert_eq!(row(&table, "NAME"), ["NAME", "COLOR", "REPLICAS"]);
    assert_eq!(row(&table, "w"), ["w", "red", "1"]);
    let wide = kubectl.run("get widgets.v1beta1.example.com -o wide").await;
    assert_eq!(row(&wide, "NAME"), ["NAME", "COLOR", "REPLICAS", "PHASE"]);
    assert!(kubectl.run("get all").await.contains("widget.example.com/w"));
    assert_eq!(
        kubectl
            .run("get wd --field-selector spec.color=blue -o name")
            .await,
        ""
    );
    assert!(kubectl.run("get crd").await.contains("widgets.example.com"));
    let kind = kubectl.run("explain widget").await;
    for expected in [
        "KIND:       Widget",
        "VERSION:    v1",
        "A thing of many parts.",
        "What is wanted.",
    ] {
        assert!(kind.contains(expected), "{expected} in\n{kind}");
    }
    let field = kubectl.run("explain widget.spec.color").await;
    assert!(
        field.contains("The paint.") && field.contains("<string>"),
        "{field}"
    );
    let metadata = kubectl.run("explain widget.metadata").await;
    assert!(metadata.contains("ObjectMeta"), "{metadata}");
}

#[tokio::test]
async fn kubectl_changes_scales_and_deletes_a_custom_resource() {
    let test = "kubectl_changes_scales_and_deletes_a_custom_resource";
    let Some(kubectl) = with_a_widget(test).await else {
        return;
    };
    assert_eq!(
        kubectl.run("apply -f widget.json").await,
        "widget.example.com/w unchanged\n"
    );
    kubectl.write("widget.json", &widget("w", json!({"color": "blue"})));
    assert_eq!(
        kubectl.run("apply -f widget.json").await,
        "widget.example.com/w configured\n"
    );
    assert_eq!(
        kubectl.run("scale widget/w --replicas=3").await,
        "widget.example.com/w scaled\n"
    );
    let widget_now = kubectl.json("get widget w -o json").await;
    assert_eq!(widget_now["spec"], json!({"color": "blue", "replicas": 3}));
    kubectl.write("bad.json", &widget("bad", json!({"color": "red", "size": 1})));
    let refused = text(&kubectl.output("create -f bad.json").await.stderr);
    assert!(
        refused.contains("strict decoding error: unknown field \"spec.size\""),
        "{refused}"
    );
    kubectl.write("bad.json", &widget("bad", json!({"color": 3})));
    let refused = text(&kubectl.output("create -f bad.json").await.stderr);
    assert!(
        refused.contains("spec.color in body must be of type string: \"integer\""),
        "{refused}"
    );
    kubectl.write("unknown.json", &widget("u", json!({"color": "red", "size": 1})));
    let warned = kubectl.output("create --validate=warn -f unknown.json").await;
    assert_eq!(text(&warned.stdout), "widget.example.com/u created\n");
    assert!(text(&warned.stderr).contains("Warning: unknown field \"spec.size\""));

    assert_eq!(
        kubectl.run("delete crd widgets.example.com").await,
        "customresourcedefinition.apiextensions.k8s.io \"widgets.example.com\" deleted\n"
    );
    assert!(!kubectl.output("get widgets").await.status.success());
    assert!(!kubectl.run("api-resources").await.contains("widgets"));
}
