//! Definitions of custom resources: how they come, change and go.

use axum::http::Request;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::client::Body;
use kube::runtime::wait::{Condition, await_condition, conditions};
use kube::{Error, ResourceExt};
use kubeapi::ObjectRef;
use serde_json::{Value, json};

use crate::custom::{Custom, refusal, widget, widgets};
use crate::lab::{Lab, soon};
use crate::protocol::get;

#[tokio::test]
async fn a_definition_goes_when_its_objects_are_gone() {
    let custom = Custom::start().await;
    custom.create("free", json!({"color": "red"})).await.unwrap();
    custom.create("held", json!({"color": "red"})).await.unwrap();
    let hold = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    custom.merge("held", hold).await.unwrap();
    let definition = custom.definitions.get("widgets.example.com").await.unwrap();
    custom
        .definitions
        .delete("widgets.example.com", &DeleteParams::default())
        .await
        .unwrap();
    let left = async || {
        let left = custom.widgets.list(&ListParams::default()).await.unwrap();
        left.iter().map(ResourceExt::name_any).collect::<Vec<_>>()
    };
    soon("the free one goes", async {
        while left().await != ["held"] {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (code, message) = refusal(custom.create("late", json!({"color": "red"})).await);
    assert_eq!(
        (code, message.as_str()),
        (
            403,
            "widgets.example.com \"late\" is forbidden: create not allowed while custom resource definition is \
             terminating"
        )
    );
    custom
        .merge("held", json!({"metadata": {"finalizers": null}}))
        .await
        .unwrap();
    let uid = definition.metadata.uid.unwrap();
    let gone = await_condition(
        custom.definitions.clone(),
        "widgets.example.com",
        conditions::is_deleted(&uid),
    );
    soon("the definition goes", gone).await.unwrap();
    let missing = custom.widgets.list(&ListParams::default()).await;
    assert!(matches!(missing, Err(Error::Api(status)) if status.code == 404));
}

#[tokio::test]
async fn a_name_that_becomes_free_goes_to_the_definition_that_waits_for_it() {
    let custom = Custom::start().await;
    let mut second = widgets();
    second["metadata"]["name"] = json!("gadgets.example.com");
    second["spec"]["names"] = json!({"plural": "gadgets", "kind": "Widget"});
    let second = serde_json::from_value(second).unwrap();
    custom
        .definitions
        .create(&PostParams::default(), &second)
        .await
        .unwrap();
    let waiting = custom.definitions.get("gadgets.example.com").await.unwrap();
    let conditions = waiting.status.unwrap().conditions.unwrap();
    let told: Vec<_> = conditions
        .iter()
        .map(|condition| (condition.type_.as_str(), condition.status.as_str()))
        .collect();
    assert_eq!(told, [("NamesAccepted", "False"), ("Established", "False")]);
    custom
        .definitions
        .delete("widgets.example.com", &DeleteParams::default())
        .await
        .unwrap();
    let established = await_condition(
        custom.definitions.clone(),
        "gadgets.example.com",
        conditions::is_crd_established(),
    );
    soon("established", established).await.unwrap();
}

#[tokio::test]
async fn what_is_served_changes_with_the_definitions() {
    let lab = Lab::start().await;
    let roots = async || {
        let mut tags = Vec::new();
        for accept in [
            "application/json",
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        ] {
            let request = Request::get("/apis").header("accept", accept);
            let answer = lab
                .client
                .send(request.body(Body::empty()).unwrap())
                .await
                .unwrap();
            tags.push(answer.headers()["etag"].clone());
        }
        let index = get(&lab, "/openapi/v3", "*/*").await.2;
        (tags, index["paths"]["apis/example.com/v1"].clone())
    };
    let (before, no_document) = roots().await;
    assert_eq!(no_document, Value::Null);
    lab.server.local().create(&widgets()).unwrap();
    let (after, document) = roots().await;
    assert!(before.iter().zip(&after).all(|(before, after)| before != after));

    let path = document["serverRelativeURL"].as_str().unwrap();
    let (code, _, document) = get(&lab, path, "*/*").await;
    let schema = &document["components"]["schemas"]["com.example.v1.Widget"];
    assert_eq!(
        (code, &schema["properties"]["spec"]["required"]),
        (200, &json!(["color"]))
    );
    let (_, _, listed) = get(&lab, "/apis/example.com/v1", "*/*").await;
    let scale = &listed["resources"][2];
    assert_eq!(
        (&scale["name"], &scale["group"], &scale["kind"]),
        (&json!("widgets/scale"), &json!("autoscaling"), &json!("Scale"))
    );
    let (_, _, list) = get(&lab, "/apis/example.com/v1/widgets", "*/*").await;
    assert_eq!(list["kind"], "Widgets");
}

#[tokio::test]
async fn a_changed_definition_is_seen_when_old_objects_are_read() {
    let custom = Custom::start().await;
    custom.create("w", json!({"color": "red"})).await.unwrap();
    let mut versions = widgets()["spec"]["versions"].clone();
    for (at, version) in versions.as_array_mut().unwrap().iter_mut().enumerate() {
        version["storage"] = json!(at == 1);
        let properties = &mut version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
        properties["size"] = json!({"type": "string", "default": "small"});
    }
    let change = async |versions: &Value| {
        let patch = Patch::Merge(json!({"spec": {"versions": versions}}));
        let parameters = PatchParams::default();
        custom
            .definitions
            .patch("widgets.example.com", &parameters, &patch)
            .await
    };
    let changed = change(&versions).await.unwrap();
    assert_eq!(
        changed.status.unwrap().stored_versions.unwrap(),
        ["v1", "v1beta1"]
    );
    let read = custom.widgets.get("w").await.unwrap();
    assert_eq!(
        read.data["spec"],
        json!({"color": "red", "replicas": 1, "size": "small"})
    );
    let without_v1 = json!([versions[1]]);
    assert!(matches!(change(&without_v1).await, Err(Error::Api(status)) if status.code == 422));
}

#[tokio::test]
async fn a_custom_kind_of_a_built_in_name_follows_its_own_rules() {
    let lab = Lab::start().await;
    let mut definition = widgets();
    definition["metadata"]["name"] = json!("services.example.com");
    definition["spec"]["names"] = json!({"plural": "services", "kind": "Service"});
    let local = lab.server.local();
    local.create(&definition).unwrap();
    let mut object = widget("w", json!({"color": "red"}));
    object["kind"] = json!("Service");
    let created = local.create(&object).unwrap();
    assert_eq!(created["spec"], json!({"color": "red", "replicas": 1}));
    local.delete(&ObjectRef::of(&created)).unwrap();
}

#[tokio::test]
async fn a_status_without_its_conditions_does_not_unsettle_a_definition() {
    let custom = Custom::start().await;
    let local = custom.lab.server.local();
    let definition = ObjectRef::cluster(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "widgets.example.com",
    );
    for (status, code) in [
        (json!("gone"), Some(422)),
        (json!({"acceptedNames": 1}), Some(422)),
        (json!({"conditions": null, "acceptedNames": null}), None),
        (Value::Null, None),
    ] {
        let written = local.merge_patch_status(&definition, json!({"status": status}));
        assert_eq!(written.err().map(|refused| refused.code()), code, "{status}");
        let kept = custom.definitions.get("widgets.example.com").await.unwrap();
        assert!(conditions::is_crd_established().matches_object(Some(&kept)));
    }
    custom.create("w", json!({"color": "red"})).await.unwrap();
}
