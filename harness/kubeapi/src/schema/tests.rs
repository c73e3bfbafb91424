use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::status::Status;

fn schema(properties: Value) -> Schema {
    let root =
        json!({"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}});
    Schema::parse(&root).expect("a schema")
}

/// The messages of the causes for a spec.
fn causes(properties: Value, spec: Value) -> Vec<String> {
    let errors = schema(properties).validate(None, &json!({"spec": spec}));
    errors.iter().map(ToString::to_string).collect()
}

fn violations(root: Value) -> Vec<String> {
    let schema = Schema::parse(&root).expect("a schema");
    let errors = schema.violations("s");
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn what_breaks_a_rule_is_told_in_the_words_of_upstream() {
    for (property, value, expected) in [
        (
            json!({"type": "integer"}),
            json!("3"),
            r#"spec.a: Invalid value: "string": spec.a in body must be of type integer: "string""#,
        ),
        (
            json!({"type": "string"}),
            json!(null),
            r#"spec.a: Invalid value: "null": spec.a in body must be of type string: "null""#,
        ),
        (
            json!({"type": "integer", "maximum": 10}),
            json!(11),
            "spec.a: Invalid value: 11: spec.a in body should be less than or equal to 10",
        ),
        (
            json!({"type": "number", "minimum": 0.5, "exclusiveMinimum": true}),
            json!(0.5),
            "spec.a: Invalid value: 0.5: spec.a in body should be greater than 0.5",
        ),
        (
            json!({"type": "integer", "multipleOf": 4}),
            json!(6),
            "spec.a: Invalid value: 6: spec.a in body should be a multiple of 4",
        ),
        (
            json!({"type": "string", "minLength": 1}),
            json!(""),
            r#"spec.a: Invalid value: "": spec.a in body should be at least 1 chars long"#,
        ),
        (
            json!({"type": "string", "maxLength": 2}),
            json!("abc"),
            "spec.a: Too long: may not be more than 2 bytes",
        ),
        (
            json!({"type": "string", "pattern": "^[a-z]+$"}),
            json!("A"),
            r#"spec.a: Invalid value: "A": spec.a in body should match '^[a-z]+$'"#,
        ),
        (
            json!({"type": "string", "enum": ["x", "y"]}),
            json!("z"),
            r#"spec.a: Unsupported value: "z": supported values: "x", "y""#,
        ),
        (
            json!({"type": "string", "format": "ipv4"}),
            json!("x"),
            r#"spec.a: Invalid value: "x": spec.a in body must be of type ipv4: "x""#,
        ),
    ] {
        assert_eq!(
            causes(json!({"a": property}), json!({"a": value})),
            [expected],
            "{value}"
        );
    }
}

#[test]
fn so_is_what_is_wrong_inside_of_lists_and_objects() {
    for (property, value, expected) in [
        (
            json!({"type": "array", "items": {"type": "string"}, "maxItems": 1}),
            json!(["x", "y"]),
            "spec.a: Too many: 2: must have at most 1 item",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}}),
            json!(["x", 1]),
            r#"spec.a[1]: Invalid value: "integer": spec.a[1] in body must be of type string: "integer""#,
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}),
            json!(["x", "x"]),
            r#"spec.a[1]: Duplicate value: "x""#,
        ),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!(true),
            r#"spec.a: Invalid value: "boolean": spec.a in body must be of type integer,string: "boolean""#,
        ),
        (
            json!({"type": "object", "required": ["b"], "properties": {"b": {"type": "string"}}}),
            json!({}),
            "spec.a.b: Required value",
        ),
    ] {
        assert_eq!(
            causes(json!({"a": property}), json!({"a": value})),
            [expected],
            "{value}"
        );
    }
}

#[test]
fn what_keeps_the_rules_is_accepted() {
    for (property, value) in [
        (json!({"type": "integer"}), json!(3.0)),
        (json!({"type": "number"}), json!(3)),
        (
            json!({"type": "string", "nullable": true, "enum": ["x"]}),
            json!(null),
        ),
        (json!({"x-kubernetes-int-or-string": true}), json!("50%")),
        (json!({"x-kubernetes-int-or-string": true}), json!(5)),
        (json!({"x-kubernetes-preserve-unknown-fields": true}), json!([{}])),
        (
            json!({"type": "object", "additionalProperties": {"type": "integer"}}),
            json!({"any": 1}),
        ),
    ] {
        assert_eq!(
            causes(json!({"a": property}), json!({"a": value})),
            [""; 0],
            "{value}"
        );
    }
}

#[test]
fn elements_of_a_map_like_list_are_told_apart_by_their_keys() {
    let ports = json!({
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
        "items": {"type": "object", "required": ["port"], "properties": {
            "port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}, "name": {"type": "string"},
        }},
    });
    let schema = schema(json!({"ports": ports}));
    let mut object = json!({"spec": {"ports": [
        {"port": 53, "name": "a"}, {"port": 53, "protocol": "UDP"}, {"port": 53, "name": "b"},
    ]}});
    schema.fill_in(&mut object);
    let errors = schema.validate(None, &object);
    assert_eq!(errors.len(), 1);
    assert_eq!(
        errors[0].to_string(),
        r#"spec.ports[2]: Duplicate value: {"port":53,"protocol":"TCP"}"#
    );
}

#[test]
fn of_alternatives_exactly_one_must_hold() {
    let either = json!({
        "type": "object", "properties": {"x": {"type": "string"}, "y": {"type": "string"}},
        "oneOf": [{"required": ["x"]}, {"required": ["y"]}],
    });
    let check = |value: Value| causes(json!({"a": either}), json!({"a": value}));
    assert_eq!(check(json!({"x": "1"})), [""; 0]);
    assert_eq!(
        check(json!({})),
        [
            r#"<nil>: Invalid value: "": "spec.a" must validate one and only one schema (oneOf). Found none valid"#,
            "spec.a.x: Required value",
        ]
    );
    assert_eq!(
        check(json!({"x": "1", "y": "2"})),
        [
            r#"<nil>: Invalid value: "": "spec.a" must validate one and only one schema (oneOf). Found 2 valid alternatives"#
        ]
    );
}

#[test]
fn unknown_fields_go_and_their_paths_are_told() {
    let schema = schema(json!({
        "known": {"type": "integer"},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
            "properties": {"strict": {"type": "object"}}},
        "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
        "map": {"type": "object", "additionalProperties": {"type": "object"}},
        "template": {"type": "object", "x-kubernetes-embedded-resource": true,
            "properties": {"spec": {"type": "object"}}},
    }));
    let mut object = json!({
        "apiVersion": "g/v1", "kind": "K", "metadata": {"name": "n"}, "extra": 1,
        "spec": {
            "known": 1, "unknown": {"deep": 1},
            "free": {"kept": {"deep": 1}, "strict": {"x": 1}},
            "list": [{"a": "1", "b": "2"}],
            "map": {"key": {"x": 1}},
            "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"x": 1}, "status": {}},
        },
    });
    let removed = schema.prune(&mut object);
    assert_eq!(
        removed,
        [
            "extra",
            "spec.free.strict.x",
            "spec.list[0].b",
            "spec.map.key.x",
            "spec.template.spec.x",
            "spec.template.status",
            "spec.unknown",
        ]
    );
    assert_eq!(object["metadata"]["name"], "n");
    assert_eq!(
        object["spec"],
        json!({
            "known": 1, "free": {"kept": {"deep": 1}, "strict": {}}, "list": [{"a": "1"}], "map": {"key": {}},
            "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {}},
        })
    );
}

#[test]
fn defaults_fill_what_is_absent_in_objects_that_are_there() {
    let schema = schema(json!({
        "replicas": {"type": "integer", "default": 1},
        "strategy": {"type": "object", "default": {}, "properties": {"type": {"type": "string", "default": "Fast"}}},
        "absent": {"type": "object", "properties": {"deep": {"type": "string", "default": "x"}}},
        "null": {"type": "string"},
        "nullable": {"type": "string", "nullable": true, "default": "x"},
    }));
    let mut object = json!({"spec": {"replicas": null, "null": null, "nullable": null}});
    schema.fill_in(&mut object);
    assert_eq!(
        object["spec"],
        json!({"replicas": 1, "strategy": {"type": "Fast"}, "nullable": null})
    );
    let mut without = json!({});
    schema.fill_in(&mut without);
    assert_eq!(without, json!({}));
}

#[test]
fn a_schema_that_is_not_structural_is_refused_with_the_place() {
    for (root, expected) in [
        (json!({}), "s.type: Required value: must not be empty at the root"),
        (
            json!({"type": "string"}),
            "s.type: Invalid value: \"string\": must be object at the root",
        ),
        (
            json!({"type": "object", "properties": {"a": {}}}),
            "s.properties[a].type: Required value: must not be empty for specified object fields",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "array"}}}),
            "s.properties[a].items: Required value: must be specified",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "text"}}}),
            "s.properties[a].type: Unsupported value: \"text\": supported values: \"array\", \"boolean\", \"integer\", \
             \"number\", \"object\", \"string\"",
        ),
        (
            json!({"type": "object", "properties": {"m": {
                "type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"},
            }}}),
            "s.properties[m].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
        ),
        (
            json!({"type": "object", "anyOf": [{"properties": {"a": {"minimum": 1}}}]}),
            "s.properties[a]: Required value: because it is defined in s.anyOf[0].properties[a]",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "integer", "default": "x"}}}),
            "s.properties[a].default: Invalid value: \"string\":  in body must be of type integer: \"string\"",
        ),
    ] {
        assert_eq!(violations(root), [expected]);
    }
    let unreadable =
        violations(json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}}));
    assert!(
        unreadable[0].starts_with("s.properties[a].pattern: Invalid value"),
        "{unreadable:?}"
    );
}

/// Any JSON, with field names that schemas of `any_schema` use.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3..3i64).prop_map(Value::from),
        "[ab]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[abc]", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Any structural schema below the root, as JSON.
fn any_schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "integer"})),
        Just(json!({"type": "integer", "default": 1})),
        Just(json!({"type": "string", "nullable": true})),
        Just(json!({"type": "boolean", "default": true})),
        Just(json!({"x-kubernetes-int-or-string": true, "default": "a"})),
        Just(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            prop::collection::btree_map("[abc]", inner.clone(), 0..4)
                .prop_map(|properties| json!({"type": "object", "properties": properties})),
            inner
                .clone()
                .prop_map(|inner| json!({"type": "object", "additionalProperties": inner})),
            inner.prop_map(|inner| json!({"type": "array", "items": inner})),
        ]
    })
}

proptest! {
    #[test]
    fn pruning_and_defaults_are_settled_after_the_first_time(properties in any_schema(), value in any_value()) {
        let schema = schema(json!({"a": properties}));
        let mut once = json!({"spec": {"a": value}});
        schema.prune(&mut once);
        schema.fill_in(&mut once);
        let mut twice = once.clone();
        prop_assert_eq!(schema.prune(&mut twice), [""; 0]);
        schema.fill_in(&mut twice);
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn pruning_changes_an_object_only_where_it_says_so(properties in any_schema(), value in any_value()) {
        let schema = schema(json!({"a": properties}));
        let before = json!({"spec": {"a": value}});
        let mut after = before.clone();
        let removed = schema.prune(&mut after);
        prop_assert_eq!(removed.is_empty(), after == before);
    }

    #[test]
    fn every_refusal_names_a_field_and_validation_never_changes_its_mind(properties in any_schema(), value in any_value()) {
        let schema = schema(json!({"a": properties}));
        let object = json!({"spec": {"a": value}});
        let errors = schema.validate(None, &object);
        prop_assert_eq!(&errors, &schema.validate(None, &object));
        prop_assert!(errors.iter().all(|error| error.field.starts_with("spec.a")));
        let status = Status::unprocessable("K", "g", "n", &errors).to_json();
        prop_assert_eq!(status["details"]["causes"].as_array().map(Vec::len), Some(errors.len()));
    }
}
