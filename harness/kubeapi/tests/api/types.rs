//! The types of built-in kinds: what is refused, dropped and warned of in all writes, and what documents tell.

use axum::http::Request;
use kube::client::Body;
use serde_json::{Value, json};

use crate::lab::Lab;
use crate::protocol::{get, send};

const SERVICES: &str = "/api/v1/namespaces/default/services";

/// The code, the warnings and the body of an answer.
async fn write(
    lab: &Lab,
    method: &str,
    path: &str,
    media_type: &str,
    body: &str,
) -> (u16, Vec<String>, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", media_type)
        .body(Body::from(body.as_bytes().to_vec()));
    let response = lab.client.send(request.unwrap()).await.unwrap();
    let code = response.status().as_u16();
    let warnings = response.headers().get_all("warning").iter();
    let warnings = warnings.map(|value| value.to_str().unwrap().to_owned()).collect();
    let body = http_body_util::BodyExt::collect(response.into_body()).await;
    (
        code,
        warnings,
        serde_json::from_slice(&body.unwrap().to_bytes()).unwrap(),
    )
}

async fn create(lab: &Lab, query: &str, body: &str) -> (u16, Vec<String>, Value) {
    write(
        lab,
        "POST",
        &format!("{SERVICES}{query}"),
        "application/json",
        body,
    )
    .await
}

fn message(status: &Value) -> &str {
    status["message"].as_str().unwrap()
}

#[tokio::test]
async fn a_value_of_another_type_is_refused_and_not_stored() {
    let lab = Lab::start().await;
    let body = r#"{"metadata": {"name": "a"}, "spec": {"ports": {}}}"#;
    let (code, _, status) = create(&lab, "?fieldValidation=Ignore", body).await;
    assert_eq!(code, 400);
    assert_eq!(
        message(&status),
        "Service in version \"v1\" cannot be handled as a Service: json: cannot unmarshal object into Go struct \
         field ServiceSpec.spec.ports of type []v1.ServicePort"
    );
    let (code, _, _) = get(&lab, &format!("{SERVICES}/a"), "application/json").await;
    assert_eq!(code, 404);
    let manifest =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": 1}});
    let refused = lab.server.local().create(&manifest).unwrap_err();
    assert_eq!(refused.code(), 400, "{refused}");
}

#[tokio::test]
async fn unknown_and_repeated_fields_are_judged_by_the_rule_of_the_client() {
    let lab = Lab::start().await;
    let body = |name: &str| {
        format!(
            r#"{{"metadata": {{"name": "{name}"}}, "spec": {{"foo": 1, "type": "ClusterIP", "type": "ClusterIP",
                "ports": [{{"port": 80, "bar": {{}}}}]}}}}"#
        )
    };
    let (code, _, status) = create(&lab, "?fieldValidation=Strict", &body("a")).await;
    assert_eq!(code, 400);
    assert_eq!(
        message(&status),
        "Service in version \"v1\" cannot be handled as a Service: strict decoding error: unknown field \
         \"spec.foo\", duplicate field \"spec.type\", unknown field \"spec.ports[0].bar\""
    );
    let warned = [
        r#"299 - "unknown field \"spec.foo\"""#,
        r#"299 - "duplicate field \"spec.type\"""#,
        r#"299 - "unknown field \"spec.ports[0].bar\"""#,
    ]
    .map(str::to_owned);
    for (query, name, expected) in [("", "a", &warned[..]), ("?fieldValidation=Ignore", "b", &[])] {
        let (code, warnings, stored) = create(&lab, query, &body(name)).await;
        assert_eq!((code, &warnings[..]), (201, expected), "{query}");
        assert_eq!(stored["spec"].get("foo"), None);
        assert_eq!(stored["spec"]["ports"][0].get("bar"), None);
    }
    // An answer warns also where it refuses for another reason.
    let (code, warnings, _) = create(&lab, "", &body("a")).await;
    assert_eq!((code, &warnings[..]), (409, &warned[..]));
}

#[tokio::test]
async fn patches_of_every_form_are_held_against_the_type() {
    let lab = Lab::start().await;
    create(
        &lab,
        "",
        r#"{"metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}]}}"#,
    )
    .await;
    let (merge, json_patch, strategic) = (
        "application/merge-patch+json",
        "application/json-patch+json",
        "application/strategic-merge-patch+json",
    );
    let path = format!("{SERVICES}/a");
    for (media_type, body, unknown) in [
        (merge, r#"{"spec": {"foo": 1}}"#, r#"unknown field "spec.foo""#),
        (
            merge,
            r#"{"spec": {"type": "ClusterIP", "type": "ClusterIP"}}"#,
            r#"duplicate field "spec.type""#,
        ),
        (
            json_patch,
            r#"[{"op": "add", "path": "/spec/foo", "value": 1}]"#,
            r#"unknown field "spec.foo""#,
        ),
        (
            json_patch,
            r#"[{"op": "test", "op": "test", "path": "/kind", "value": "Service"}]"#,
            r#"json patch duplicate field "[0].op""#,
        ),
        (
            strategic,
            r#"{"spec": {"foo": 1}}"#,
            r#"unknown field "spec.foo""#,
        ),
    ] {
        let (code, warnings, _) = write(&lab, "PATCH", &path, media_type, body).await;
        let quoted = unknown.replace('"', "\\\"");
        assert_eq!(
            (code, &warnings[..]),
            (200, &[format!("299 - \"{quoted}\"")][..]),
            "{body}"
        );
        let strict = format!("{path}?fieldValidation=Strict");
        let (code, _, status) = write(&lab, "PATCH", &strict, media_type, body).await;
        assert_eq!(code, 422, "{body}");
        let expected = format!(": strict decoding error: {unknown}");
        assert!(message(&status).ends_with(&expected), "{status}");
        assert_eq!(status["details"]["causes"][0]["field"], "patch");
    }
    for (media_type, expected) in [
        (
            merge,
            "json: cannot unmarshal string into Go struct field ServiceSpec.spec.ports of type []v1.ServicePort",
        ),
        (
            strategic,
            " \"\" is invalid: patch: Invalid value: \"map[spec:map[ports:x]]\": cannot restore slice from string",
        ),
    ] {
        let (code, _, status) = write(&lab, "PATCH", &path, media_type, r#"{"spec": {"ports": "x"}}"#).await;
        assert_eq!(code, 422);
        assert!(message(&status).ends_with(expected), "{status}");
    }
}

#[tokio::test]
async fn what_is_applied_is_refused_where_the_type_does_not_declare_it() {
    let lab = Lab::start().await;
    let apply = async |query: &str, spec: &str| {
        let body = format!("apiVersion: v1\nkind: Service\nmetadata:\n  name: a\nspec:\n  {spec}\n");
        let path = format!("{SERVICES}/a?fieldManager=me{query}");
        write(&lab, "PATCH", &path, "application/apply-patch+yaml", &body).await
    };
    let (code, _, status) = apply("&fieldValidation=Ignore", "foo: 1").await;
    assert_eq!((code, status.get("reason")), (500, None));
    assert_eq!(
        message(&status),
        "failed to create typed patch object (/a; /v1, Kind=Service): .spec.foo: field not declared in schema"
    );
    let twice = "ports: [{port: 80}]\n  type: ClusterIP\n  type: ClusterIP";
    let (code, _, status) = apply("&fieldValidation=Strict", twice).await;
    assert_eq!(code, 400);
    assert_eq!(
        message(&status),
        "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  line 8: key \
         \"type\" already set in map"
    );
    let (code, warnings, _) = apply("", twice).await;
    assert_eq!(
        (code, &warnings[..]),
        (
            201,
            &[r#"299 - "line 8: key \"type\" already set in map""#.to_owned()][..]
        )
    );
}

#[tokio::test]
async fn documents_have_the_schemas_and_operations_of_their_kinds() {
    let lab = Lab::start().await;
    let (code, _, index) = get(&lab, "/openapi/v3", "application/json").await;
    assert_eq!(code, 200);
    let url = index["paths"]["api/v1"]["serverRelativeURL"].as_str().unwrap();
    let (_, _, document) = get(&lab, url, "application/json").await;
    let schemas = &document["components"]["schemas"];
    let pod = &schemas["io.k8s.api.core.v1.Pod"];
    assert_eq!(
        pod["x-kubernetes-group-version-kind"],
        json!([{"group": "", "version": "v1", "kind": "Pod"}])
    );
    assert_eq!(
        pod["properties"]["spec"]["allOf"][0]["$ref"],
        "#/components/schemas/io.k8s.api.core.v1.PodSpec"
    );
    let containers = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    let ports = &schemas["io.k8s.api.core.v1.ServiceSpec"]["properties"]["ports"];
    assert_eq!(ports["x-kubernetes-list-map-keys"], json!(["port", "protocol"]));
    let items = &schemas["io.k8s.api.core.v1.PodList"]["properties"]["items"]["items"];
    assert_eq!(
        items["allOf"][0]["$ref"],
        "#/components/schemas/io.k8s.api.core.v1.Pod"
    );

    let (collection, object) = (
        &document["paths"]["/api/v1/namespaces/{namespace}/pods"],
        &document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"],
    );
    assert_eq!(collection["post"]["operationId"], "createCoreV1NamespacedPod");
    assert_eq!(collection["get"]["x-kubernetes-action"], "list");
    assert_eq!(
        collection["delete"]["operationId"],
        "deleteCoreV1CollectionNamespacedPod"
    );
    assert_eq!(object["put"]["operationId"], "replaceCoreV1NamespacedPod");
    assert_eq!(object["parameters"][0]["name"], "name");
    let everywhere = &document["paths"]["/api/v1/pods"]["get"]["operationId"];
    assert_eq!(everywhere, "listCoreV1PodForAllNamespaces");
    let status = &document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}/status"];
    assert!(status["patch"].is_object());
}

#[tokio::test]
async fn every_reference_in_a_document_is_answered_in_it() {
    fn references<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(elements) => elements.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let lab = Lab::start().await;
    let (_, _, index) = get(&lab, "/openapi/v3", "application/json").await;
    for (path, entry) in index["paths"].as_object().unwrap() {
        let url = entry["serverRelativeURL"].as_str().unwrap();
        let (_, _, document) = get(&lab, url, "application/json").await;
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(!found.is_empty(), "{path}");
        for reference in found {
            let pointer = reference.trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{reference} in {path}");
        }
    }
}

#[tokio::test]
async fn a_document_that_the_client_has_is_not_sent_again() {
    let lab = Lab::start().await;
    let request = |etag: Option<&str>| {
        let request = Request::get("/openapi/v3/api/v1");
        let request = match etag {
            Some(etag) => request.header("if-none-match", etag),
            None => request,
        };
        lab.client.send(request.body(Body::empty()).unwrap())
    };
    let first = request(None).await.unwrap();
    let etag = first.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(request(Some(&etag)).await.unwrap().status().as_u16(), 304);
    assert_eq!(request(Some("\"0\"")).await.unwrap().status().as_u16(), 200);
}

#[tokio::test]
async fn fields_of_custom_resources_that_come_twice_are_told() {
    let lab = Lab::start().await;
    let definition = crate::custom::widgets().to_string();
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    send(&lab, "POST", path, "application/json", &definition).await;
    let path = "/apis/example.com/v1/namespaces/default/widgets";
    let body = r#"{"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "foo": 1},
        "spec": {"color": "red", "color": "blue", "zoo": 1}}"#;
    let strict = format!("{path}?fieldValidation=Strict");
    let (code, _, status) = write(&lab, "POST", &strict, "application/json", body).await;
    assert_eq!(code, 400);
    assert!(
        message(&status).ends_with(
            "strict decoding error: duplicate field \"spec.color\", unknown field \"metadata.foo\", unknown field \
             \"spec.zoo\""
        ),
        "{status}"
    );
    let (code, warnings, stored) = write(&lab, "POST", path, "application/json", body).await;
    assert_eq!((code, warnings.len()), (201, 3));
    assert_eq!(
        (&stored["spec"]["color"], stored["metadata"].get("foo")),
        (&json!("blue"), None)
    );
    let body = r#"{"apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": {"name": "x", "labels": {"a": 1}}, "spec": {"color": "red"}}"#;
    let (code, _, status) = write(&lab, "POST", path, "application/json", body).await;
    assert_eq!(code, 400);
    assert!(
        message(&status)
            .ends_with("cannot unmarshal number into Go struct field ObjectMeta.labels of type string"),
        "{status}"
    );
}
