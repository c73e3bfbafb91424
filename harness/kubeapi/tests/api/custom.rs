//! Custom resources, by kube-rs.

use axum::http::Request;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent,
    WatchParams,
};
use kube::client::Body;
use kube::discovery::Discovery;
use kube::runtime::wait::{await_condition, conditions};
use kube::{Error, ResourceExt};
use kubeapi::{Collection, ObjectRef};
use serde_json::{Value, json};

use crate::lab::{Lab, deadline, soon};
use crate::protocol::send;

/// A definition with everything: two versions, a status, a scale, columns, selectable fields.
pub fn widgets() -> Value {
    let schema = json!({
        "type": "object", "description": "A thing of many parts.", "required": ["spec"],
        "properties": {
            "spec": {
                "type": "object", "description": "What is wanted.", "required": ["color"],
                "x-kubernetes-validations": [{
                    "rule": "self.color != 'blue' || self.replicas < 9", "message": "blue is scarce",
                }],
                "properties": {
                    "color": {"type": "string", "enum": ["red", "blue"], "description": "The paint."},
                    "replicas": {"type": "integer", "minimum": 0, "default": 1},
                    "ports": {
                        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                        "items": {"type": "object", "required": ["name"], "properties": {
                            "name": {"type": "string"}, "number": {"type": "integer"},
                        }},
                    },
                },
            },
            "status": {"type": "object", "properties": {
                "replicas": {"type": "integer"}, "selector": {"type": "string"}, "phase": {"type": "string"},
            }},
        },
    });
    let version = |name: &str, storage: bool| {
        json!({
            "name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema": schema},
            "subresources": {"status": {}, "scale": {
                "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            }},
            "additionalPrinterColumns": [
                {"name": "Color", "type": "string", "jsonPath": ".spec.color"},
                {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
                {"name": "Phase", "type": "string", "jsonPath": ".status.phase", "priority": 1},
            ],
            "selectableFields": [{"jsonPath": ".spec.color"}],
        })
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {
                "plural": "widgets", "kind": "Widget", "listKind": "Widgets", "shortNames": ["wd"], "categories": ["all"],
            },
            "versions": [version("v1", true), version("v1beta1", false)],
        },
    })
}

pub fn widget(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

pub struct Custom {
    pub lab: Lab,
    pub definitions: Api<CustomResourceDefinition>,
    pub widgets: Api<DynamicObject>,
}

pub fn resource(version: &str) -> ApiResource {
    ApiResource {
        group: "example.com".to_owned(),
        version: version.to_owned(),
        api_version: format!("example.com/{version}"),
        kind: "Widget".to_owned(),
        plural: "widgets".to_owned(),
    }
}

impl Custom {
    /// A cluster with widgets.
    pub async fn start() -> Custom {
        let lab = Lab::start().await;
        let definitions: Api<CustomResourceDefinition> = Api::all(lab.client.clone());
        let definition = serde_json::from_value(widgets()).unwrap();
        definitions
            .create(&PostParams::default(), &definition)
            .await
            .unwrap();
        let established = await_condition(
            definitions.clone(),
            "widgets.example.com",
            conditions::is_crd_established(),
        );
        soon("established", established).await.unwrap();
        let widgets = Api::namespaced_with(lab.client.clone(), "default", &resource("v1"));
        Custom {
            lab,
            definitions,
            widgets,
        }
    }

    pub async fn create(&self, name: &str, spec: Value) -> Result<DynamicObject, Error> {
        let object = serde_json::from_value(widget(name, spec)).unwrap();
        self.widgets.create(&PostParams::default(), &object).await
    }

    pub async fn merge(&self, name: &str, patch: Value) -> Result<DynamicObject, Error> {
        let patch = Patch::Merge(patch);
        self.widgets.patch(name, &PatchParams::default(), &patch).await
    }
}

pub fn refusal(result: Result<DynamicObject, Error>) -> (u16, String) {
    match result {
        Err(Error::Api(status)) => (status.code, status.message.clone()),
        other => panic!("expected a refusal, found {other:?}"),
    }
}

#[tokio::test]
async fn a_custom_resource_is_served_as_soon_as_it_is_defined() {
    let custom = Custom::start().await;
    let created = custom
        .create("w", json!({"color": "red", "unknown": 1}))
        .await
        .unwrap();
    assert_eq!(created.data["spec"], json!({"color": "red", "replicas": 1}));
    assert_eq!(created.metadata.generation, Some(1));

    let patched = custom
        .merge("w", json!({"spec": {"color": "blue"}}))
        .await
        .unwrap();
    assert_eq!(
        (patched.metadata.generation, &patched.data["spec"]["color"]),
        (Some(2), &json!("blue"))
    );
    let labelled = custom
        .merge("w", json!({"metadata": {"labels": {"a": "b"}}}))
        .await
        .unwrap();
    assert_eq!(labelled.metadata.generation, Some(2));

    custom.create("x", json!({"color": "red"})).await.unwrap();
    for parameters in [
        ListParams::default().fields("spec.color=blue"),
        ListParams::default().labels("a=b"),
    ] {
        let found = custom.widgets.list(&parameters).await.unwrap();
        assert_eq!(found.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["w"]);
    }
    let strategic = Patch::Strategic(json!({"spec": {"color": "red"}}));
    let refused = custom
        .widgets
        .patch("w", &PatchParams::default(), &strategic)
        .await;
    assert_eq!(refusal(refused).0, 415);
    let mut unversioned = labelled.clone();
    unversioned.metadata.resource_version = None;
    let refused = custom
        .widgets
        .replace("w", &PostParams::default(), &unversioned)
        .await;
    assert_eq!(refusal(refused).0, 422);
    custom
        .widgets
        .delete_collection(&DeleteParams::default(), &ListParams::default())
        .await
        .unwrap();
    let left = custom.widgets.list(&ListParams::default()).await.unwrap();
    assert!(left.items.is_empty());
}

#[tokio::test]
async fn what_breaks_the_schema_is_refused_with_each_cause() {
    let custom = Custom::start().await;
    let (code, message) = refusal(
        custom
            .create("w", json!({"color": "green", "replicas": "3"}))
            .await,
    );
    assert_eq!(code, 422);
    assert_eq!(
        message,
        "Widget.example.com \"w\" is invalid: [spec.color: Unsupported value: \"green\": supported values: \"red\", \
         \"blue\", spec.replicas: Invalid value: \"string\": spec.replicas in body must be of type integer: \"string\", \
         <nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the \
         existing errors to complete validation]"
    );
    let ports = json!([{"name": "a"}, {"name": "a"}]);
    let (_, message) = refusal(custom.create("w", json!({"color": "red", "ports": ports})).await);
    assert!(
        message.ends_with("spec.ports[1]: Duplicate value: {\"name\":\"a\"}"),
        "{message}"
    );
    let (code, message) = refusal(custom.create("w", json!({"color": "blue", "replicas": 9})).await);
    assert_eq!(
        (code, message.as_str()),
        (
            422,
            "Widget.example.com \"w\" is invalid: spec: Invalid value: \"object\": blue is scarce"
        )
    );
    let path = "/apis/example.com/v1/namespaces/default/widgets?fieldValidation=Strict";
    let body = widget("w", json!({"color": "red", "size": 1})).to_string();
    let refused = send(&custom.lab, "POST", path, "application/json", &body).await;
    assert_eq!(
        (&refused["code"], refused["message"].as_str()),
        (
            &json!(400),
            Some(
                "Widget in version \"v1\" cannot be handled as a Widget: strict decoding error: unknown field \"spec.size\""
            )
        )
    );
}

#[tokio::test]
async fn the_status_and_the_rest_are_written_apart() {
    let custom = Custom::start().await;
    let mut body = widget("w", json!({"color": "red"}));
    body["status"] = json!({"phase": "Early"});
    let object = serde_json::from_value(body).unwrap();
    let created = custom
        .widgets
        .create(&PostParams::default(), &object)
        .await
        .unwrap();
    assert_eq!(created.data.get("status"), None);
    let both = json!({"spec": {"color": "blue"}, "status": {"phase": "Ready", "replicas": 1}});
    let status = custom
        .widgets
        .patch_status("w", &PatchParams::default(), &Patch::Merge(&both))
        .await
        .unwrap();
    assert_eq!(status.data["status"]["phase"], "Ready");
    assert_eq!(
        (&status.data["spec"]["color"], status.metadata.generation),
        (&json!("red"), Some(1))
    );
    let main = custom
        .merge(
            "w",
            json!({"spec": {"color": "blue"}, "status": {"phase": "Late"}}),
        )
        .await
        .unwrap();
    assert_eq!(
        (
            &main.data["status"]["phase"],
            &main.data["spec"]["color"],
            main.metadata.generation
        ),
        (&json!("Ready"), &json!("blue"), Some(2))
    );
}

#[tokio::test]
async fn the_scale_is_read_and_written_by_the_paths_of_the_definition() {
    let custom = Custom::start().await;
    custom.create("w", json!({"color": "red"})).await.unwrap();
    let status = json!({"status": {"replicas": 1, "selector": "app=w"}});
    custom
        .widgets
        .patch_status("w", &PatchParams::default(), &Patch::Merge(&status))
        .await
        .unwrap();
    let scale = custom.widgets.get_scale("w").await.unwrap();
    let (spec, status) = (scale.spec.unwrap(), scale.status.unwrap());
    assert_eq!(
        (spec.replicas, status.replicas, status.selector.as_deref()),
        (Some(1), 1, Some("app=w"))
    );
    let patch = Patch::Merge(json!({"spec": {"replicas": 4}}));
    let scaled = custom
        .widgets
        .patch_scale("w", &PatchParams::default(), &patch)
        .await
        .unwrap();
    assert_eq!(scaled.spec.unwrap().replicas, Some(4));
    let object = custom.widgets.get("w").await.unwrap();
    assert_eq!(
        (&object.data["spec"]["replicas"], object.metadata.generation),
        (&json!(4), Some(2))
    );
    let patch = Patch::Merge(json!({"spec": {"replicas": -1}}));
    let refused = custom
        .widgets
        .patch_scale("w", &PatchParams::default(), &patch)
        .await;
    assert!(matches!(refused, Err(Error::Api(status)) if status.code == 422));
}

#[tokio::test]
async fn each_version_shows_the_same_objects_as_its_own() {
    let custom = Custom::start().await;
    custom.create("w", json!({"color": "red"})).await.unwrap();
    let beta: Api<DynamicObject> =
        Api::namespaced_with(custom.lab.client.clone(), "default", &resource("v1beta1"));
    let seen = beta.get("w").await.unwrap();
    assert_eq!(seen.types.unwrap().api_version, "example.com/v1beta1");
    let patch = Patch::Merge(json!({"spec": {"replicas": 2}}));
    beta.patch("w", &PatchParams::default(), &patch).await.unwrap();
    let seen = custom.widgets.get("w").await.unwrap();
    assert_eq!(seen.types.unwrap().api_version, "example.com/v1");
    assert_eq!(seen.data["spec"]["replicas"], 2);

    let discovery = Discovery::new(custom.lab.client.clone())
        .run_aggregated()
        .await
        .unwrap();
    let group = discovery.get("example.com").unwrap();
    assert_eq!(
        group.versions().collect::<Vec<_>>(),
        ["v1", "v1beta1"],
        "the preferred one first"
    );
    let (_, capabilities) = group.recommended_kind("Widget").unwrap();
    let subresources = capabilities.subresources.iter();
    let names: Vec<&str> = subresources
        .map(|(resource, _)| resource.plural.as_str())
        .collect();
    assert_eq!(names, ["status", "scale"]);
}

#[tokio::test]
async fn a_watch_of_a_custom_kind_sees_every_change() {
    let custom = Custom::start().await;
    let events = custom
        .widgets
        .watch(&WatchParams::default(), "0")
        .await
        .unwrap()
        .take(3);
    custom.create("w", json!({"color": "red"})).await.unwrap();
    custom.merge("w", json!({"spec": {"replicas": 2}})).await.unwrap();
    custom
        .widgets
        .delete("w", &DeleteParams::default())
        .await
        .unwrap();
    let events: Vec<WatchEvent<DynamicObject>> = soon("three events", events.try_collect()).await.unwrap();
    let told: Vec<_> = events
        .iter()
        .map(|event| match event {
            WatchEvent::Added(object) => ("added", object.data["spec"]["replicas"].clone()),
            WatchEvent::Modified(object) => ("modified", object.data["spec"]["replicas"].clone()),
            WatchEvent::Deleted(object) => ("deleted", object.data["spec"]["replicas"].clone()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        told,
        [("added", json!(1)), ("modified", json!(2)), ("deleted", json!(2))]
    );
}

#[tokio::test]
async fn a_patch_with_unknown_fields_is_refused_warned_of_or_let_through() {
    let custom = Custom::start().await;
    custom.create("w", json!({"color": "red"})).await.unwrap();
    let patch = async |validation: &str| {
        let path = format!("/apis/example.com/v1/namespaces/default/widgets/w?fieldValidation={validation}");
        let body = json!({"spec": {"size": 1}}).to_string();
        let request = Request::patch(path).header("content-type", "application/merge-patch+json");
        let request = request.body(Body::from(body.into_bytes())).unwrap();
        let answer = custom.lab.client.send(request).await.unwrap();
        let warning = answer.headers().get("warning");
        let warning = warning.map(|value| value.to_str().unwrap().to_owned());
        (answer.status().as_u16(), warning)
    };
    let warning = "299 - \"unknown field \\\"spec.size\\\"\"".to_owned();
    assert_eq!(patch("Strict").await, (422, None));
    assert_eq!(patch("Warn").await, (200, Some(warning)));
    assert_eq!(patch("Ignore").await, (200, None));
}

#[tokio::test]
async fn a_deleted_namespace_takes_custom_resources_along() {
    let custom = Custom::start().await;
    let local = custom.lab.server.local();
    local
        .create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}))
        .unwrap();
    let mut inside = widget("w", json!({"color": "red"}));
    inside["metadata"]["namespace"] = json!("team");
    local.create(&inside).unwrap();
    local.create(&widget("outside", json!({"color": "red"}))).unwrap();
    let namespace = ObjectRef::cluster("v1", "Namespace", "team");
    local.delete(&namespace).unwrap();
    local
        .wait_for(&namespace, deadline(), |namespace| namespace.is_none())
        .await
        .unwrap();
    let left = local
        .list(&Collection::all("example.com/v1beta1", "Widget"))
        .unwrap();
    let names: Vec<_> = left
        .iter()
        .map(|object| object["metadata"]["name"].clone())
        .collect();
    assert_eq!(names, ["outside"]);
}

#[tokio::test]
async fn appliers_of_a_custom_resource_share_its_lists_by_their_keys_and_own_no_defaults() {
    let custom = Custom::start().await;
    let apply = async |manager: &str, spec: Value| {
        let applied = Patch::Apply(widget("w", spec));
        custom
            .widgets
            .patch("w", &PatchParams::apply(manager), &applied)
            .await
    };
    apply(
        "a",
        json!({"color": "red", "ports": [{"name": "web", "number": 80}]}),
    )
    .await
    .unwrap();
    let both = apply(
        "b",
        json!({"color": "red", "replicas": 3, "ports": [{"name": "admin", "number": 81}]}),
    )
    .await
    .unwrap();
    assert_eq!(both.data["spec"]["replicas"], 3, "nobody owned the default");
    let names = |widget: &DynamicObject| {
        let ports = widget.data["spec"]["ports"].as_array().unwrap();
        ports.iter().map(|port| port["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&both), ["web", "admin"]);
    let left = apply("a", json!({"color": "red"})).await.unwrap();
    assert_eq!(names(&left), ["admin"]);
    let refused = apply("b", json!({"color": "blue"})).await.unwrap_err();
    assert!(
        matches!(refused, Error::Api(status) if status.code == 409),
        "the color is shared with a"
    );
}
