//! Any definition of a custom resource, and any objects of it.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use super::kinds::{KINDS, Kind, NAMES};
use super::mutations::{Mutation, any_mutation, odd_value, words};
use super::requests::Asked;

/// One rule of a schema beside its structure.
fn any_rule() -> impl Strategy<Value = (&'static str, Value)> {
    let cel = words(
        "self==oldSelf size(self)>1 self.all(x,x!='') self.a.b has(self.a) 1/0==1 self.exists(x,x==self) [1,2].map(x, \
         self.matches('(') duration('1s')<self quantity(self).isGreaterThan(quantity('1')) oldSelf.orValue(1)==1",
    );
    let cel = cel.prop_map(|rule| json!([{"rule": rule, "message": "m", "optionalOldSelf": true}]));
    let number = select(vec![
        json!(0),
        json!(1),
        json!(-1),
        json!(1.5),
        json!(i64::MAX),
        json!(1e300),
    ]);
    let pattern = words("( ^a+$ (a+)+$ [ \\p{L} a{1,100000} (?=x) \\").prop_map(|pattern| json!(pattern));
    let format =
        words("date-time int32 int64 ipv4 cidr uuid byte duration none").prop_map(|format| json!(format));
    let numeric =
        words("minimum maximum minLength maxLength minItems maxItems minProperties maxProperties multipleOf");
    let list_type = words("map set atomic none").prop_map(|list_type| json!(list_type));
    let flags = words(
        "nullable x-kubernetes-preserve-unknown-fields x-kubernetes-int-or-string x-kubernetes-embedded-resource \
         uniqueItems exclusiveMinimum exclusiveMaximum additionalProperties",
    );
    prop_oneof![
        2 => cel.prop_map(|rule| ("x-kubernetes-validations", rule)),
        3 => (numeric, number),
        1 => pattern.prop_map(|pattern| ("pattern", pattern)),
        1 => format.prop_map(|format| ("format", format)),
        2 => odd_value().prop_map(|value| ("default", value)),
        1 => vec(odd_value(), 0..3).prop_map(|values| ("enum", json!(values))),
        1 => vec("[ab]", 0..3).prop_map(|names| ("required", json!(names))),
        1 => list_type.prop_map(|list_type| ("x-kubernetes-list-type", list_type)),
        1 => vec("[ab]", 0..2).prop_map(|keys| ("x-kubernetes-list-map-keys", json!(keys))),
        2 => (flags, any::<bool>()).prop_map(|(flag, value)| (flag, json!(value))),
        1 => odd_value().prop_map(|value| ("anyOf", json!([{"required": ["a"]}, value]))),
    ]
}

/// A schema that is structural more often than not.
fn any_schema() -> impl Strategy<Value = Value> {
    let rules = || {
        vec(any_rule(), 0..3).prop_map(|rules| {
            let named = |(name, value): (&str, Value)| (name.to_owned(), value);
            Value::Object(rules.into_iter().map(named).collect::<Map<_, _>>())
        })
    };
    let scalar = (words("string integer number boolean object array null"), rules());
    let leaf = scalar.prop_map(|(type_name, rules)| with(rules, "type", json!(type_name)));
    leaf.prop_recursive(3, 12, 3, move |inner| {
        let fields = (btree_map("[abc]", inner.clone(), 0..3), rules());
        let elements = || (inner.clone(), rules());
        prop_oneof![
            3 => fields.prop_map(|(fields, rules)| with(with(rules, "properties", json!(fields)), "type", json!("object"))),
            2 => elements().prop_map(|(items, rules)| with(with(rules, "items", items), "type", json!("array"))),
            1 => elements().prop_map(|(values, rules)| {
                with(with(rules, "additionalProperties", values), "type", json!("object"))
            }),
        ]
    })
}

fn with(mut schema: Value, field: &str, value: Value) -> Value {
    schema[field] = value;
    schema
}

/// A value of the fields that schemas speak of.
fn any_object() -> impl Strategy<Value = Value> {
    odd_value().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            btree_map("[abc]", inner.clone(), 0..3).prop_map(|fields| json!(fields)),
            vec(inner, 0..3).prop_map(|elements| json!(elements)),
        ]
    })
}

/// A definition is written, objects are, the definition is changed, and objects are written again.
pub(super) fn any_history() -> impl Strategy<Value = Vec<Asked>> {
    let definition = || (any_schema(), vec(any_mutation(), 0..3), any::<bool>());
    let objects = || vec((select(&NAMES[..]), select(vec!["v1", "v2"]), any_object()), 1..5);
    (definition(), objects(), definition(), objects()).prop_map(|(first, before, second, after)| {
        let mut history = write_definition(&first.0, &first.1, first.2);
        history.extend(before.iter().flat_map(write_object));
        history.extend(write_definition(&second.0, &second.1, second.2));
        history.extend(after.iter().flat_map(write_object));
        history
    })
}

fn kind(name: &str, version: &str) -> Option<&'static Kind> {
    KINDS
        .iter()
        .find(|kind| kind.name == name && kind.api_version.ends_with(version))
}

/// Of `bs`, which the server does not have yet; a mutated one may well be refused, so there is a whole one before it.
fn write_definition(schema: &Value, mutations: &[Mutation], in_spec: bool) -> Vec<Asked> {
    let Some(kind) = kind("CustomResourceDefinition", "v1") else {
        return Vec::new();
    };
    let mut object = kind.sample("bs");
    for version in 0..2 {
        let root = &mut object["spec"]["versions"][version]["schema"]["openAPIV3Schema"];
        root["properties"]["spec"] = match in_spec {
            true => json!({"type": "object", "properties": {"a": schema, "b": schema}}),
            false => schema.clone(),
        };
    }
    let mut mutated = object.clone();
    mutations
        .iter()
        .for_each(|mutation| mutation.change(&mut mutated));
    let one = format!("{}/{}", kind.path(None), kind.named("bs"));
    let merge = |object: &Value| Asked {
        method: "PATCH".to_owned(),
        headers: vec![("content-type", b"application/merge-patch+json".to_vec())],
        body: object.to_string().into_bytes(),
        ..Asked::get(&one, "")
    };
    vec![
        Asked::create(&kind.path(None), &object),
        merge(&object),
        merge(&mutated),
    ]
}

fn write_object((name, version, spec): &(&str, &str, Value)) -> Vec<Asked> {
    let Some(kind) = kind("BS", version) else {
        return Vec::new();
    };
    let mut object = kind.sample(name);
    object["spec"] = json!({"a": spec, "b": spec});
    let one = format!("{}/{name}", kind.path(Some("default")));
    let apply = Asked {
        method: "PATCH".to_owned(),
        headers: vec![("content-type", b"application/apply-patch+yaml".to_vec())],
        body: object.to_string().into_bytes(),
        ..Asked::get(&one, "fieldManager=me&force=true")
    };
    let mut bare = object.clone();
    bare["spec"] = spec.clone();
    let table = Asked {
        headers: vec![("accept", b"application/json;as=Table;g=meta.k8s.io;v=v1".to_vec())],
        ..Asked::get(&kind.path(None), "")
    };
    let path = kind.path(Some("default"));
    vec![
        Asked::create(&path, &bare),
        Asked::create(&path, &object),
        apply,
        table,
    ]
}
