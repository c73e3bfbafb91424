use serde_json::json;

use super::*;

fn schema() -> Schema {
    let schema = json!({"type": "object", "properties": {"spec": {
        "type": "object",
        "properties": {
            "min": {"type": "integer"}, "max": {"type": "integer"},
            "fixed": {"type": "string", "x-kubernetes-validations": [
                {"rule": "self == oldSelf", "message": "fixed is immutable"},
            ]},
        },
        "x-kubernetes-validations": [{"rule": "self.min <= self.max"}],
    }}});
    Schema::parse(&schema).expect("a schema")
}

fn broken(current: Option<Value>, spec: Value) -> Vec<String> {
    let current = current.map(|spec| json!({"spec": spec}));
    let errors = schema().broken_rules(current.as_ref(), &json!({"spec": spec}), &[]);
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn a_rule_holds_or_is_told_with_the_type_of_its_place() {
    assert_eq!(broken(None, json!({"min": 1, "max": 2})), [""; 0]);
    assert_eq!(
        broken(None, json!({"min": 3, "max": 2})),
        ["spec: Invalid value: \"object\": failed rule: self.min <= self.max"]
    );
}

#[test]
fn a_rule_about_a_change_is_only_held_against_changes() {
    let spec = |fixed: &str| json!({"min": 1, "max": 2, "fixed": fixed});
    assert_eq!(broken(None, spec("a")), [""; 0]);
    assert_eq!(broken(Some(spec("a")), spec("a")), [""; 0]);
    assert_eq!(
        broken(Some(spec("a")), spec("b")),
        ["spec.fixed: Invalid value: \"string\": fixed is immutable"]
    );
}

#[test]
fn what_broke_a_rule_before_may_stay_as_it_is() {
    let worse = json!({"min": 3, "max": 2});
    assert_eq!(broken(Some(worse.clone()), worse), [""; 0]);
    assert_eq!(
        broken(Some(json!({"min": 3, "max": 2})), json!({"min": 4, "max": 2})).len(),
        1
    );
}

#[test]
fn an_object_of_the_wrong_shape_is_not_held_against_rules() {
    let shape = [FieldError::required("spec.min")];
    let errors = schema().broken_rules(None, &json!({"spec": {"max": 2}}), &shape);
    assert!(
        matches!(&errors[..], [error] if error.to_string().contains("were not checked")),
        "{errors:?}"
    );
    let none = Schema::parse(&json!({"type": "object"})).expect("a schema");
    assert_eq!(none.broken_rules(None, &json!({}), &shape), []);
}

/// The problems of a rule of a spec.
fn problems(rule: &str) -> Vec<String> {
    let schema = Schema::parse(&json!({"type": "object", "properties": {"spec": {
        "type": "object",
        "properties": {
            "count": {"type": "integer"}, "share": {"type": "number"}, "name": {"type": "string", "maxLength": 63}, "is": {"type": "boolean"},
            "a-b": {"type": "string"}, "namespace": {"type": "string"},
            "port": {"x-kubernetes-int-or-string": true},
            "when": {"type": "string", "format": "date-time"}, "wait": {"type": "string", "format": "duration"},
            "names": {"type": "array", "maxItems": 10, "items": {"type": "string"}},
            "parts": {"type": "array", "maxItems": 10, "items": {"type": "object", "properties": {"size": {"type": "integer"}}}},
            "labels": {"type": "object", "maxProperties": 10, "additionalProperties": {"type": "string"}},
            "template": {"type": "object", "x-kubernetes-embedded-resource": true,
                "x-kubernetes-preserve-unknown-fields": true},
        },
        "x-kubernetes-validations": [{"rule": rule, "message": "m"}],
    }}}));
    let errors = definition::violations(&schema.expect("a schema"), "s");
    let told = errors.iter().map(FieldError::message);
    told.map(|text| text.rsplit("\": ").next().unwrap_or_default().to_owned())
        .map(|text| text.rsplit("}: ").next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn rules_that_fit_the_schema_are_taken() {
    for rule in [
        "self.count < 3 && self.share >= 1 && self.share * 2.0 != 3.0",
        "has(self.name) && self.name.startsWith('a') && size(self.name) + 1 == self.count",
        "self.a__dash__b == self.__namespace__",
        "self.names.all(name, name.endsWith('x')) && self.parts.exists(part, part.size > 1)",
        "self.parts.map(part, part.size).sum() < 5 || self.names[0] == self.labels['a']",
        "self.labels.all(key, key.contains('/') && self.labels[key] == 'x') && self.labels.app != ''",
        "self.template.kind == 'Pod' && self.template.metadata.name != ''",
        "type(self.port) == int ? self.port > 0 : self.port.endsWith('%')",
        "self.when > timestamp('2020-01-01T00:00:00Z') && self.when + self.wait < self.when",
        "quantity(self.name).isLessThan(quantity('1Gi')) && cidr(self.name).containsIP(ip('10.0.0.1'))",
        "sets.contains(self.names, ['a']) && math.greatest(self.count, 2) > 1",
        "!format.dns1123Label().validate(self.name).hasValue()",
        "self.?name.orValue('') != '' && self == oldSelf",
    ] {
        assert_eq!(problems(rule), [""; 0], "{rule}");
    }
}

#[test]
fn rules_that_do_not_fit_the_schema_are_refused() {
    for (rule, expected) in [
        ("self.none > 1", "undefined field 'none'"),
        ("has(self.none)", "undefined field 'none'"),
        ("self.parts.all(part, part.none == 1)", "undefined field 'none'"),
        ("self.template.metadata.labels == 1", "undefined field 'labels'"),
        ("self.template.spec == 1", "undefined field 'spec'"),
        ("other == 1", "undeclared reference to 'other' (in container '')"),
        (
            "self.names.all(name, nam == '')",
            "undeclared reference to 'nam' (in container '')",
        ),
        (
            "self.name.shout() == ''",
            "undeclared reference to 'shout' (in container '')",
        ),
        (
            "self.count == self.name",
            "found no matching overload for '_==_' applied to '(int, string)'",
        ),
        (
            "self.count == self.share",
            "found no matching overload for '_==_' applied to '(int, double)'",
        ),
        (
            "self.count + self.share > 1.0",
            "found no matching overload for '_+_' applied to '(int, double)'",
        ),
        (
            "self.names.exists(name, name > 1)",
            "found no matching overload for '_>_' applied to '(string, int)'",
        ),
        (
            "self.count.startsWith('a')",
            "found no matching overload for 'startsWith' applied to 'int.(string)'",
        ),
        (
            "self.count && true",
            "expected type 'bool' but found 'int' as operand of '_&&_'",
        ),
        (
            "self.count.all(x, x > 1)",
            "expression of type 'int' cannot be range of a comprehension",
        ),
        (
            "self.name.size == 1",
            "type 'string' does not support field selection",
        ),
        ("self.name", "cel expression must evaluate to a bool"),
    ] {
        let found = problems(rule);
        assert!(
            found.iter().any(|problem| problem.ends_with(expected)),
            "{rule}: {found:?}"
        );
    }
}
