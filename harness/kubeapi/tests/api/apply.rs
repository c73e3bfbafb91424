//! Server-side apply and the owners of fields, as kube-rs and plain HTTP see them.

use axum::http::{Request, Response};
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::client::Body;
use kubeapi::ObjectRef;
use serde_json::{Value, json};

use crate::lab::{Lab, service, soon};

const MAP: &str = "/api/v1/namespaces/default/configmaps/c";
const APPLY: &str = "application/apply-patch+yaml";

fn config_map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data})
}

fn status(error: kube::Error) -> Box<kube::core::Status> {
    match error {
        kube::Error::Api(status) => status,
        other => panic!("{other}"),
    }
}

/// The code and the body of the answer to a `PATCH`.
async fn patch(lab: &Lab, path: &str, media_type: &str, body: &str) -> (u16, Value) {
    let request = Request::patch(path)
        .header("content-type", media_type)
        .header("user-agent", "curl/8.5.0")
        .body(Body::from(body.as_bytes().to_vec()));
    let response: Response<_> = lab.client.send(request.unwrap()).await.unwrap();
    let code = response.status().as_u16();
    let body = http_body_util::BodyExt::collect(response.into_body()).await;
    (code, serde_json::from_slice(&body.unwrap().to_bytes()).unwrap())
}

#[tokio::test]
async fn an_apply_creates_merges_and_takes_back() {
    let lab = Lab::start().await;
    let maps: Api<ConfigMap> = Api::namespaced(lab.client.clone(), "default");
    let apply = async |manager: &str, data: Value| {
        let patch = Patch::Apply(config_map(data));
        maps.patch("c", &PatchParams::apply(manager), &patch)
            .await
            .unwrap()
    };
    let created = apply("a", json!({"x": "1"})).await;
    assert!(created.uid().is_some());
    let merged = apply("b", json!({"y": "1"})).await;
    assert_eq!(merged.data.unwrap().len(), 2);
    let owners: Vec<_> = merged.metadata.managed_fields.unwrap();
    let names: Vec<_> = owners
        .iter()
        .map(|owner| owner.manager.as_deref().unwrap())
        .collect();
    assert_eq!(names, ["a", "b"]);
    assert!(owners[0].time.is_some());
    let left = apply("a", json!({})).await;
    assert_eq!(left.data.unwrap().keys().collect::<Vec<_>>(), ["y"]);
}

#[tokio::test]
async fn a_conflict_is_refused_until_it_is_forced() {
    let lab = Lab::start().await;
    let maps: Api<ConfigMap> = Api::namespaced(lab.client.clone(), "default");
    let object = serde_json::from_value(config_map(json!({"x": "1"}))).unwrap();
    let by_a = PostParams {
        field_manager: Some("a".to_owned()),
        ..PostParams::default()
    };
    maps.create(&by_a, &object).await.unwrap();
    let params = PatchParams::apply("b");
    let patch = Patch::Apply(config_map(json!({"x": "2"})));
    let refused = status(maps.patch("c", &params, &patch).await.unwrap_err());
    assert_eq!((refused.code, refused.reason.as_str()), (409, "Conflict"));
    assert_eq!(
        refused.message,
        "Apply failed with 1 conflict: conflict with \"a\" using v1: .data.x"
    );
    let cause = &refused.details.unwrap().causes[0];
    assert_eq!(
        (cause.reason.as_str(), cause.field.as_str()),
        ("FieldManagerConflict", ".data.x")
    );
    let forced = maps.patch("c", &params.force(), &patch).await.unwrap();
    assert_eq!(forced.data.unwrap()["x"], "2");
}

#[tokio::test]
async fn an_apply_that_changes_nothing_is_no_event() {
    let lab = Lab::start().await;
    let maps: Api<ConfigMap> = Api::namespaced(lab.client.clone(), "default");
    let patch = Patch::Apply(config_map(json!({"x": "1"})));
    let params = PatchParams::apply("a");
    let first = maps.patch("c", &params, &patch).await.unwrap();
    let second = maps.patch("c", &params, &patch).await.unwrap();
    assert_eq!(first, second);

    let version = first.resource_version().unwrap();
    let watch = WatchParams::default().fields("metadata.name=c");
    let mut events = Box::pin(maps.watch(&watch, &version).await.unwrap());
    let changed = Patch::Apply(config_map(json!({"x": "2"})));
    let changed = maps.patch("c", &params, &changed).await.unwrap();
    let event = soon("the event", futures::StreamExt::next(&mut events)).await;
    let Some(Ok(WatchEvent::Modified(seen))) = event else {
        panic!("{event:?}");
    };
    assert_eq!(seen.resource_version(), changed.resource_version());
}

#[tokio::test]
async fn a_dry_run_of_an_apply_stores_nothing() {
    let lab = Lab::start().await;
    let maps: Api<ConfigMap> = Api::namespaced(lab.client.clone(), "default");
    let patch = Patch::Apply(config_map(json!({"x": "1"})));
    let dry = maps
        .patch("c", &PatchParams::apply("a").dry_run(), &patch)
        .await
        .unwrap();
    assert_eq!(dry.managed_fields().len(), 1);
    assert!(maps.get_opt("c").await.unwrap().is_none());
}

#[tokio::test]
async fn a_status_is_applied_through_its_own_path_to_what_exists() {
    let lab = Lab::start().await;
    let nodes: Api<Node> = Api::all(lab.client.clone());
    let status_of = |name: &str| {
        let condition = json!({"type": "Cordoned", "status": "False"});
        Patch::Apply(json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
            "spec": {"unschedulable": true}, "status": {"conditions": [condition]},
        }))
    };
    let params = PatchParams::apply("c");
    let node = nodes.patch_status("a", &params, &status_of("a")).await.unwrap();
    let conditions = node.status.unwrap().conditions.unwrap();
    let types: Vec<_> = conditions
        .iter()
        .map(|condition| condition.type_.as_str())
        .collect();
    assert_eq!(types, ["Ready", "Cordoned"]);
    assert_eq!(node.spec.unwrap().unschedulable, None);
    let owners = node.metadata.managed_fields.unwrap();
    assert_eq!(owners[0].subresource.as_deref(), Some("status"));
    let absent = nodes
        .patch_status("z", &params, &status_of("z"))
        .await
        .unwrap_err();
    assert_eq!(status(absent).code, 404);
}

#[tokio::test]
async fn an_apply_is_held_against_its_path_and_its_versions() {
    let lab = Lab::start().await;
    let by_a = format!("{MAP}?fieldManager=a");
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\ndata: {x: '1'}\n";
    let (code, created) = patch(&lab, &by_a, APPLY, yaml).await;
    assert_eq!((code, &created["data"]["x"]), (201, &json!("1")));

    let with = |pointer: &str, value: Value| {
        let mut object = config_map(json!({}));
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[field] = value;
        object.to_string()
    };
    let stale = "Operation cannot be fulfilled on configmaps \"c\": the object has been modified; please apply \
                 your changes to the latest version and try again";
    for (body, code, message) in [
        (
            with("/kind", json!("Pod")),
            400,
            "invalid object type: /v1, Kind=Pod",
        ),
        (
            with("/apiVersion", json!("a/v1")),
            400,
            "invalid object type: a/v1, Kind=ConfigMap",
        ),
        (
            with("/metadata/managedFields", json!([])),
            400,
            "metadata.managedFields must be nil",
        ),
        (
            with("/metadata/name", json!("d")),
            400,
            "the name of the object (d) does not match the name on the URL (c)",
        ),
        (
            with("/metadata/namespace", json!("kube-system")),
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (with("/metadata/resourceVersion", json!("1")), 409, stale),
    ] {
        let (found, refused) = patch(&lab, &by_a, APPLY, &body).await;
        assert_eq!((found, refused["message"].as_str().unwrap()), (code, message));
    }
    let version = created["metadata"]["resourceVersion"].clone();
    let (code, _) = patch(&lab, &by_a, APPLY, &with("/metadata/resourceVersion", version)).await;
    assert_eq!(code, 200);
    let absent = "/api/v1/namespaces/default/configmaps/d?fieldManager=a";
    let body = with("/metadata/uid", json!("u")).replace("\"c\"", "\"d\"");
    let (code, refused) = patch(&lab, absent, APPLY, &body).await;
    let uid = "uid mismatch: the provided object specified uid u, and no existing object was found";
    assert!(
        code == 409 && refused["message"].as_str().unwrap().ends_with(uid),
        "{refused}"
    );
}

#[tokio::test]
async fn the_options_of_patches_are_checked() {
    let lab = Lab::start().await;
    let applied = config_map(json!({})).to_string();
    let long = "x".repeat(129);
    for (query, media_type, message) in [
        (
            "",
            APPLY,
            "fieldManager: Required value: is required for apply patch",
        ),
        (
            &format!("fieldManager={long}"),
            APPLY,
            "fieldManager: Too long: may not be more than 128 bytes",
        ),
        (
            "force=true",
            "application/merge-patch+json",
            "force: Forbidden: may not be specified for non-apply patch",
        ),
    ] {
        let (code, refused) = patch(&lab, &format!("{MAP}?{query}"), media_type, &applied).await;
        let expected = format!("PatchOptions.meta.k8s.io \"\" is invalid: {message}");
        assert_eq!(
            (code, refused["message"].as_str().unwrap()),
            (422, expected.as_str())
        );
    }
}

#[tokio::test]
async fn every_writer_has_a_name() {
    let lab = Lab::start().await;
    lab.server.local().create(&service("web", "web")).unwrap();
    let path = "/api/v1/namespaces/default/services/web";
    let merge = "application/merge-patch+json";
    let label = json!({"metadata": {"labels": {"a": "1"}}}).to_string();
    let (_, labelled) = patch(&lab, path, merge, &label).await;
    let named = format!("{path}?fieldManager=named");
    let label = json!({"metadata": {"labels": {"b": "1"}}}).to_string();
    let (_, named) = patch(&lab, &named, merge, &label).await;
    let owners = |object: &Value| -> Vec<String> {
        let entries = object["metadata"]["managedFields"].as_array().unwrap().iter();
        let mut names: Vec<_> = entries
            .map(|entry| entry["manager"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(owners(&labelled), ["curl", "kubeapi"]);
    assert_eq!(owners(&named), ["curl", "kubeapi", "named"]);
    let stored = lab
        .server
        .local()
        .get(&ObjectRef::namespaced("v1", "Service", "default", "web"))
        .unwrap();
    assert_eq!(*stored, named);
}
