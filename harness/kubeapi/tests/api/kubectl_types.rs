//! `kubectl` and the types of built-in kinds.

use serde_json::json;

use crate::kubectl::{Kubectl, text};

#[tokio::test]
async fn kubectl_explains_built_in_kinds() {
    let Some(kubectl) = Kubectl::start("kubectl_explains_built_in_kinds").await else {
        return;
    };
    let containers = kubectl.run("explain pod.spec.containers").await;
    for expected in [
        "KIND:       Pod",
        "FIELD: containers <[]Container>",
        "  name\t<string> -required-",
        "  resources\t<ResourceRequirements>",
    ] {
        assert!(containers.contains(expected), "{expected} in\n{containers}");
    }
    let whole = kubectl.run("explain service --recursive").await;
    for expected in [
        "targetPort\t<IntOrString>",
        "selector\t<map[string]string>",
        "ownerReferences",
    ] {
        assert!(whole.contains(expected), "{expected} in\n{whole}");
    }
    let rules = kubectl.run("explain clusterrole.rules").await;
    assert!(rules.contains("verbs\t<[]string> -required-"), "{rules}");
    let unknown = kubectl.output("explain pod.spec.nothing").await;
    assert!(
        text(&unknown.stderr).contains("field \"nothing\" does not exist"),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn kubectl_is_told_of_fields_that_a_kind_does_not_have() {
    let Some(kubectl) = Kubectl::start("kubectl_is_told_of_fields_that_a_kind_does_not_have").await else {
        return;
    };
    let manifest = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"},
        "spec": {"ports": [{"port": 80}], "foo": 1},
    });
    kubectl.write("service.json", &manifest);
    for line in ["create -f service.json", "apply -f service.json"] {
        let refused = kubectl.output(line).await;
        let told = text(&refused.stderr);
        assert!(
            told.contains("strict decoding error: unknown field \"spec.foo\""),
            "{line}: {told}"
        );
    }
    let refused = kubectl.output("apply --server-side -f service.json").await;
    let told = text(&refused.stderr);
    assert!(told.contains(".spec.foo: field not declared in schema"), "{told}");
    let warned = kubectl.output("create --validate=warn -f service.json").await;
    assert!(warned.status.success(), "{warned:?}");
    assert!(
        text(&warned.stderr).contains("Warning: unknown field \"spec.foo\""),
        "{warned:?}"
    );
    let refused = kubectl.output(r#"patch svc a -p {"spec":{"ports":"x"}}"#).await;
    assert!(
        text(&refused.stderr).contains("cannot restore slice from string"),
        "{refused:?}"
    );
}
