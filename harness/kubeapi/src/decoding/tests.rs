use serde_json::json;

use super::*;
use crate::resources::Resources;

fn decoded(api_version: &str, kind: &str, body: &str) -> Result<Decoded, String> {
    let resources = Resources::builtin();
    let resource = resources.of_kind(api_version, kind).expect("a served kind");
    from_body(resource, body.as_bytes()).map_err(|status| status.message)
}

fn service(body: &str) -> Result<Decoded, String> {
    decoded("v1", "Service", body)
}

#[test]
fn values_of_another_type_are_refused_with_their_place() {
    for (spec, expected) in [
        (
            r#"[]"#,
            "array into Go struct field Service.spec of type v1.ServiceSpec",
        ),
        (
            r#"{"ports": {}}"#,
            "object into Go struct field ServiceSpec.spec.ports of type []v1.ServicePort",
        ),
        (
            r#"{"ports": [{"port": 1.5}]}"#,
            "number 1.5 into Go struct field ServicePort.spec.ports.port of type int32",
        ),
        (
            r#"{"ports": [{"port": 99999999999}]}"#,
            "number 99999999999 into Go struct field ServicePort.spec.ports.port of type int32",
        ),
        (
            r#"{"ports": [{"targetPort": true}]}"#,
            "bool into Go struct field ServicePort.spec.ports.targetPort of type int32",
        ),
        (
            r#"{"selector": {"a": 1}}"#,
            "number into Go struct field ServiceSpec.spec.selector of type string",
        ),
    ] {
        let refused = service(&format!(r#"{{"spec": {spec}}}"#)).expect_err(spec);
        let expected = format!(
            "Service in version \"v1\" cannot be handled as a Service: json: cannot unmarshal {expected}"
        );
        assert_eq!(refused, expected);
    }
}

#[test]
fn the_first_value_of_another_type_is_told_and_no_unknown_field() {
    let refused = service(r#"{"foo": 1, "spec": {"type": 5, "ports": "x"}}"#).expect_err("two wrong types");
    assert!(
        refused.ends_with("number into Go struct field ServiceSpec.spec.type of type v1.ServiceType"),
        "{refused}"
    );
}

#[test]
fn unknown_and_repeated_fields_are_told_in_order_and_dropped() {
    let body = r#"{"metadata": {"labels": {"x": "1", "x": "2"}}, "foo": 1,
        "spec": {"zoo": {"a": 1}, "bar": [2], "type": "ClusterIP", "type": "NodePort", "ports": [{"port": 80, "foo": 1}]}}"#;
    let decoded = service(body).expect("a service");
    assert_eq!(
        decoded.strict,
        [
            "duplicate field \"metadata.labels.x\"",
            "unknown field \"foo\"",
            "unknown field \"spec.zoo\"",
            "unknown field \"spec.bar\"",
            "duplicate field \"spec.type\"",
            "unknown field \"spec.ports[0].foo\"",
        ]
    );
    assert_eq!(
        decoded.object,
        json!({"metadata": {"labels": {"x": "2"}}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}})
    );
}

#[test]
fn a_null_is_no_field_and_an_empty_value_of_a_map() {
    let decoded =
        decoded("v1", "ConfigMap", r#"{"immutable": null, "data": {"a": null}}"#).expect("a configmap");
    assert_eq!(decoded.object, json!({"data": {"a": ""}}));
}

#[test]
fn texts_with_a_form_are_held_to_it() {
    for (kind, body, expected) in [
        (
            "Secret",
            r#"{"data": {"x": "%%"}}"#,
            "illegal base64 data at input byte 0",
        ),
        (
            "Pod",
            r#"{"metadata": {"creationTimestamp": "x"}}"#,
            "parsing time \"x\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"x\" as \"2006\"",
        ),
        (
            "Pod",
            r#"{"spec": {"overhead": {"cpu": "abc"}}}"#,
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            "Pod",
            r#"{"spec": {"overhead": {"cpu": "1Kx"}}}"#,
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            "Pod",
            r#"{"spec": {"overhead": {"cpu": "1mm"}}}"#,
            "unable to parse quantity's suffix",
        ),
    ] {
        let refused = decoded("v1", kind, body).expect_err(body);
        assert!(refused.ends_with(expected), "{refused}");
    }
}

#[test]
fn texts_with_a_form_are_kept_in_it() {
    let body = r#"{"metadata": {"creationTimestamp": "2026-01-02T03:04:05.678+01:00"},
        "spec": {"overhead": {"cpu": 2, "memory": "1.5Gi", "pods": "1e3"}}}"#;
    let decoded = decoded("v1", "Pod", body).expect("a pod");
    assert_eq!(
        decoded.object,
        json!({
            "metadata": {"creationTimestamp": "2026-01-02T02:04:05Z"},
            "spec": {"overhead": {"cpu": "2", "memory": "1536Mi", "pods": "1e3"}},
        })
    );
    let lease = r#"{"spec": {"renewTime": "2026-01-02T03:04:05Z"}}"#;
    let decoded = self::decoded("coordination.k8s.io/v1", "Lease", lease).expect("a lease");
    assert_eq!(decoded.object["spec"]["renewTime"], "2026-01-02T03:04:05.000000Z");
}

#[test]
fn a_body_of_another_kind_is_left_to_be_refused_as_such() {
    let decoded =
        service(r#"{"kind": "Deployment", "apiVersion": "apps/v1", "spec": []}"#).expect("not judged");
    assert_eq!(decoded.object["kind"], "Deployment");
    assert!(decoded.strict.is_empty());
}

#[test]
fn a_strategic_patch_is_refused_in_words_of_its_own() {
    let resources = Resources::builtin();
    let resource = resources.of_kind("v1", "Service").expect("services");
    for (object, expected) in [
        (
            json!({"spec": {"ports": "x"}}),
            "cannot restore slice from string",
        ),
        (json!({"spec": []}), "cannot restore struct from: slice"),
        (
            json!({"spec": {"selector": "x"}}),
            "cannot restore map from string",
        ),
        (
            json!({"spec": {"ports": [{"port": "x"}]}}),
            "unrecognized type: int32",
        ),
        (
            json!({"metadata": {"labels": {"a": 1}}}),
            "cannot convert int64 to string",
        ),
    ] {
        let refused = reread(resource, &object, Words::Maps).expect_err("another type");
        assert_eq!(refused, expected, "{object}");
    }
}

#[test]
fn what_is_applied_is_held_against_the_type_by_keys() {
    let resources = Resources::builtin();
    let resource = resources.of_kind("v1", "Service").expect("services");
    for (spec, expected) in [
        (json!({"foo": 1}), ".spec.foo: field not declared in schema"),
        (json!({"ports": "x"}), ".spec.ports: expected list, got &{x}"),
        (
            json!({"ports": [{"port": "x"}]}),
            ".spec.ports[port=\"x\",protocol=\"TCP\"].port: expected numeric (int or float), got string",
        ),
        (
            json!({"selector": {"a": 1}}),
            ".spec.selector.a: expected string, got &value.valueUnstructured{Value:1}",
        ),
    ] {
        assert_eq!(
            undeclared(resource, &json!({"spec": spec})).as_deref(),
            Some(expected)
        );
    }
    let fine = json!({"spec": {"ports": [{"port": 80, "targetPort": "http"}], "type": null}});
    assert_eq!(undeclared(resource, &fine), None);
}

#[test]
fn a_schema_within_a_schema_is_read_by_its_type() {
    let read = |field: &str, value: &str| {
        let body = format!(
            r#"{{"spec": {{"versions": [{{"schema": {{"openAPIV3Schema": {{"{field}": {value}}}}}}}]}}}}"#
        );
        let decoded = decoded("apiextensions.k8s.io/v1", "CustomResourceDefinition", &body)?;
        let schema = "/spec/versions/0/schema/openAPIV3Schema";
        let schema = decoded.object.pointer(schema).expect("a schema");
        Ok::<_, String>((schema[field].clone(), decoded.strict.len()))
    };
    for (field, kept) in [
        ("additionalProperties", json!(true)),
        ("additionalProperties", json!({"type": "string"})),
        ("items", json!({"anyOf": [{"type": "string"}]})),
        ("items", json!([{"type": "string"}])),
        ("dependencies", json!({"a": ["b"], "c": {"type": "string"}})),
    ] {
        assert_eq!(read(field, &kept.to_string()), Ok((kept, 0)));
    }
    assert_eq!(read("items", r#"{"typ": "string"}"#), Ok((json!({}), 1)));
    let refused = read("items", r#"{"anyOf": [[]]}"#).expect_err("a list is no schema");
    assert!(refused.contains("cannot unmarshal array into"), "{refused}");
    assert!(refused.contains("v1.JSONSchemaProps"), "{refused}");
}
