//! What kube-rs finds out about resources, and how it waits for a new one.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::{self, Discovery, Scope, verbs};
use kube::runtime::wait::{await_condition, conditions};
use serde_json::json;

use crate::custom::{widget, widgets};
use crate::lab::{Lab, soon};

#[tokio::test]
async fn a_new_kind_is_found_by_its_group_and_used_by_what_was_found() {
    let lab = Lab::start().await;
    let kind = GroupVersionKind::gvk("example.com", "v1", "Widget");
    discovery::pinned_kind(&lab.client, &kind).await.unwrap_err();

    let definitions: Api<CustomResourceDefinition> = Api::all(lab.client.clone());
    let established = await_condition(
        definitions.clone(),
        "widgets.example.com",
        conditions::is_crd_established(),
    );
    let definition = serde_json::from_value(widgets()).unwrap();
    let params = PostParams::default();
    let (established, created) = tokio::join!(
        soon("established", established),
        definitions.create(&params, &definition)
    );
    established.unwrap();
    created.unwrap();

    let (resource, capabilities) = discovery::pinned_kind(&lab.client, &kind).await.unwrap();
    assert_eq!(resource.plural, "widgets");
    assert!(capabilities.scope == Scope::Namespaced && capabilities.supports_operation(verbs::PATCH));
    let objects: Api<DynamicObject> = Api::namespaced_with(lab.client.clone(), "default", &resource);
    let object = serde_json::from_value(widget("w", json!({"color": "red"}))).unwrap();
    objects.create(&params, &object).await.unwrap();
}

#[tokio::test]
async fn both_ways_of_discovery_find_the_same_of_every_kind() {
    let lab = Lab::start().await;
    let found = |discovery: &Discovery| {
        let resources = discovery
            .groups()
            .flat_map(|group| group.resources_by_stability());
        let mut found: Vec<String> = resources
            .map(|(resource, capabilities)| {
                let subresources: Vec<_> = capabilities
                    .subresources
                    .iter()
                    .map(|(part, _)| part.plural.clone())
                    .collect();
                let mut operations = capabilities.operations;
                operations.sort();
                let scope = capabilities.scope == Scope::Namespaced;
                format!(
                    "{}/{} {scope} {operations:?} {subresources:?}",
                    resource.api_version, resource.plural
                )
            })
            .collect();
        found.sort();
        found
    };
    let legacy = Discovery::new(lab.client.clone()).run().await.unwrap();
    let aggregated = Discovery::new(lab.client.clone()).run_aggregated().await.unwrap();
    assert_eq!(found(&legacy), found(&aggregated));
    let some = Discovery::new(lab.client.clone())
        .filter(&["apps"])
        .run_aggregated()
        .await
        .unwrap();
    assert_eq!(
        some.groups().map(|group| group.name()).collect::<Vec<_>>(),
        ["apps"]
    );
    let (resource, capabilities) = some
        .resolve_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"))
        .unwrap();
    assert_eq!(resource.plural, "deployments");
    let parts: Vec<_> = capabilities
        .subresources
        .iter()
        .map(|(part, _)| part.plural.as_str())
        .collect();
    assert_eq!(parts, ["scale", "status"]);
}
