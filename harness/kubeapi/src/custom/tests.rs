use serde_json::json;

use super::*;
use crate::status::FieldError;

/// A definition of `widgets.example.com` that breaks no rule, as it is stored.
pub(crate) fn widgets() -> Value {
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"replicas": {"type": "integer", "default": 1}}},
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }});
    let mut definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"], "categories": null},
            "versions": [
                {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
                 "subresources": {"status": {}}},
                {"name": "v1beta1", "served": false, "storage": false, "schema": {"openAPIV3Schema": schema}},
            ],
        },
    });
    default_new(&mut definition).expect("readable");
    definition
}

fn messages(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn what_a_definition_leaves_open_is_filled_in() {
    let definition = widgets();
    assert_eq!(messages(&validate(&definition)), [""; 0]);
    assert_eq!(
        definition["spec"]["names"],
        json!({"plural": "widgets", "kind": "Widget", "singular": "widget", "listKind": "WidgetList", "shortNames": ["wd"]})
    );
    assert_eq!(definition["spec"]["conversion"], json!({"strategy": "None"}));
    assert_eq!(definition["status"]["storedVersions"], json!(["v1"]));
}

#[test]
fn each_broken_rule_of_a_definition_is_named() {
    let cases = [
        (
            "/metadata/name",
            json!("other.example.com"),
            "metadata.name: Invalid value: \"other.example.com\": must be spec.names.plural+\".\"+spec.group",
        ),
        ("/spec/scope", json!(""), "spec.scope: Required value"),
        (
            "/spec/scope",
            json!("Galaxy"),
            "spec.scope: Unsupported value: \"Galaxy\": supported values: \"Cluster\", \"Namespaced\"",
        ),
        (
            "/spec/versions/1/storage",
            json!(true),
            "must have exactly one version marked as storage version",
        ),
        (
            "/spec/versions/1/name",
            json!("v1"),
            "must contain unique version names",
        ),
        (
            "/spec/versions/0/schema",
            json!({}),
            "spec.versions[0].schema.openAPIV3Schema: Required value",
        ),
        (
            "/spec/versions/0/schema/openAPIV3Schema/properties/spec",
            json!({}),
            "spec.versions[0].schema.openAPIV3Schema.properties[spec].type: Required value: must not be empty for \
             specified object fields",
        ),
        (
            "/spec/conversion",
            json!({"strategy": "Webhook", "webhook": {
                "clientConfig": {"url": "https://example.com"}, "conversionReviewVersions": ["v1"],
            }}),
            "spec.conversion.strategy: Forbidden: this server calls no conversion webhooks",
        ),
        (
            "/spec/names/listKind",
            json!("Widget"),
            "spec.names.listKind: Invalid value: \"Widget\": kind and listKind may not be the same",
        ),
        (
            "/status/storedVersions",
            json!(["v1", "v0"]),
            "status.storedVersions[1]: Invalid value: \"v0\": missing from spec.versions; v0 was previously a storage \
             version, and must remain in spec.versions until a storage migration ensures no data remains persisted in \
             v0 and removes v0 from status.storedVersions",
        ),
    ];
    for (pointer, value, expected) in cases {
        let mut definition = widgets();
        *definition.pointer_mut(pointer).expect(pointer) = value;
        let told = messages(&validate(&definition));
        assert!(
            matches!(&told[..], [told] if told.ends_with(expected)),
            "{pointer}: {told:?}"
        );
    }
}

#[test]
fn of_two_definitions_with_a_name_in_common_the_first_has_it() {
    let first = settled(&widgets(), std::iter::empty());
    assert!(object::condition_is_true(&first, "NamesAccepted"));
    assert!(object::condition_is_true(&first, "Established"));
    assert_eq!(first["status"]["acceptedNames"], first["spec"]["names"]);

    let mut second = widgets();
    second["spec"]["names"]["plural"] = json!("gadgets");
    let second = settled(&second, std::iter::once(&first));
    assert!(!object::condition_is_true(&second, "Established"));
    let condition = &second["status"]["conditions"][0];
    assert_eq!(
        (&condition["reason"], &condition["message"]),
        (
            &json!("ListKindConflict"),
            &json!("\"WidgetList\" is already in use")
        )
    );
    assert_eq!(second["status"]["acceptedNames"]["plural"], "gadgets");
    assert!(rows(&second).is_empty());

    let freed = settled(&second, std::iter::empty());
    assert!(object::condition_is_true(&freed, "Established"));
    assert_eq!(settled(&freed, std::iter::empty()), freed);
}

#[test]
fn each_version_of_an_established_definition_is_a_row_over_one_storage() {
    let established = settled(&widgets(), std::iter::empty());
    let rows = rows(&established);
    let told: Vec<_> = rows
        .iter()
        .map(|row| (row.version.as_str(), row.custom().map(|custom| custom.life)))
        .collect();
    assert_eq!(
        told,
        [("v1", Some(Life::Served)), ("v1beta1", Some(Life::Hidden))]
    );
    let beta = rows[1].decode(json!({"apiVersion": "example.com/v1beta1", "spec": {"x": 1}}));
    assert_eq!(
        beta,
        json!({"apiVersion": "example.com/v1", "spec": {"replicas": 1}})
    );
    let served = rows[1].encode(&Arc::new(beta));
    assert_eq!(served["apiVersion"], "example.com/v1beta1");
}

#[test]
fn deleting_a_definition_holds_it_back_once() {
    let mut definition = widgets();
    begin_deletion(&mut definition);
    begin_deletion(&mut definition);
    assert_eq!(
        object::items(&definition, "/metadata/finalizers"),
        ["customresourcecleanup.apiextensions.k8s.io"]
    );
    assert!(object::condition_is_true(&definition, "Terminating"));
    assert!(end_deletion(&mut definition));
    assert!(!object::has_finalizers(&definition));
    assert!(!end_deletion(&mut definition));
}
