//! `x-kubernetes-validations`: the rules of a schema that are written in CEL.
//!
//! # Limits
//! Elements of a list are compared with the old ones by position, also where the list is a map. The cost of a
//! rule is not limited.

use kube_cel::{CompiledSchema, ErrorKind, Validator};
use serde_json::{Value, json};

use super::child;
use crate::status::{FieldError, FieldRule};

/// The compiled rules of a whole schema.
#[derive(Debug)]
pub(crate) struct Rules(Option<CompiledSchema>);

impl Rules {
    /// The rules in an `openAPIV3Schema`.
    pub(crate) fn parse(schema: &Value) -> Self {
        Rules(Some(kube_cel::compile_schema(schema)).filter(has_rules))
    }

    /// Why rules cannot be run, if there are such; the schema is at `path`.
    pub(crate) fn violations(&self, path: &str) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if let Some(schema) = &self.0 {
            collect_violations(schema, path, &mut errors);
        }
        errors
    }

    /// The rules the object breaks, after `errors` of its schema: an object of the wrong shape is no input for a
    /// rule.
    pub(crate) fn validate(
        &self,
        current: Option<&Value>,
        object: &Value,
        errors: &[FieldError],
    ) -> Vec<FieldError> {
        let Some(schema) = &self.0 else {
            return Vec::new();
        };
        if errors.iter().any(is_about_shape) {
            let expected = "some validation rules were not checked because the object was invalid; correct the \
                            existing errors to complete validation";
            let rule = FieldRule::Limit {
                value: Value::Null,
                expected: expected.to_owned(),
            };
            return vec![FieldError::new("<nil>", rule)];
        }
        match Validator::new().validate_compiled(schema, object, current) {
            Ok(()) => Vec::new(),
            Err(broken) => broken.iter().map(|broken| field_error(object, broken)).collect(),
        }
    }
}

fn field_error(object: &Value, broken: &kube_cel::ValidationError) -> FieldError {
    let field = match broken.field_path.as_str() {
        "" => "<nil>",
        path => path,
    };
    let message = match broken.kind {
        ErrorKind::ValidationFailure => broken.message.clone(),
        _ => format!("rule {:?} cannot be evaluated: {}", broken.rule, broken.message),
    };
    let rule = match broken.reason.as_deref() {
        Some("FieldValueRequired") => FieldRule::RequiredBecause { why: message },
        Some("FieldValueForbidden") => FieldRule::ForbiddenBecause { why: message },
        _ => FieldRule::Limit {
            value: json!(type_at(object, &broken.field_path)),
            expected: message,
        },
    };
    FieldError::new(field, rule)
}

/// Upstream shows the type of what a rule speaks of instead of the value.
fn type_at(object: &Value, path: &str) -> &'static str {
    let mut steps = path.split(['.', '[', ']']).filter(|step| !step.is_empty());
    let found = steps.try_fold(object, |value, step| match value {
        Value::Array(elements) => elements.get(step.parse::<usize>().ok()?),
        value => value.get(step),
    });
    match found {
        Some(Value::Array(_)) => "array",
        Some(Value::Bool(_)) => "boolean",
        Some(Value::Number(number)) if number.is_f64() => "number",
        Some(Value::Number(_)) => "integer",
        Some(Value::String(_)) => "string",
        Some(Value::Object(_) | Value::Null) | None => "object",
    }
}

fn is_about_shape(error: &FieldError) -> bool {
    matches!(
        error.rule,
        FieldRule::Required
            | FieldRule::RequiredBecause { .. }
            | FieldRule::Type { .. }
            | FieldRule::Unsupported { .. }
            | FieldRule::TooLong { .. }
            | FieldRule::TooMany { .. }
    )
}

fn has_rules(schema: &CompiledSchema) -> bool {
    !schema.validations.is_empty() || children(schema, "").any(|(inner, _)| has_rules(inner))
}

fn collect_violations(schema: &CompiledSchema, path: &str, errors: &mut Vec<FieldError>) {
    for (at, rule) in schema.validations.iter().enumerate() {
        if let Err(error) = rule {
            let at = format!("{path}.x-kubernetes-validations[{at}].rule");
            errors.push(FieldError::invalid(
                at,
                "",
                format!("compilation failed: {error}"),
            ));
        }
    }
    for (inner, at) in children(schema, path) {
        collect_violations(inner, &at, errors);
    }
}

fn children<'a>(
    schema: &'a CompiledSchema,
    path: &'a str,
) -> impl Iterator<Item = (&'a CompiledSchema, String)> {
    let properties = schema.properties.iter();
    let properties = properties.map(move |(name, inner)| (inner, format!("{path}.properties[{name}]")));
    let others = [
        (schema.items.as_deref(), "items"),
        (schema.additional_properties.as_deref(), "additionalProperties"),
    ];
    let others = others
        .into_iter()
        .filter_map(move |(inner, name)| Some((inner?, child(path, name))));
    properties.chain(others)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules() -> Rules {
        Rules::parse(&json!({"type": "object", "properties": {"spec": {
            "type": "object",
            "properties": {
                "min": {"type": "integer"}, "max": {"type": "integer"},
                "fixed": {"type": "string", "x-kubernetes-validations": [
                    {"rule": "self == oldSelf", "message": "fixed is immutable"},
                ]},
            },
            "x-kubernetes-validations": [{"rule": "self.min <= self.max"}],
        }}}))
    }

    fn broken(current: Option<Value>, spec: Value) -> Vec<String> {
        let current = current.map(|spec| json!({"spec": spec}));
        let errors = rules().validate(current.as_ref(), &json!({"spec": spec}), &[]);
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
    fn an_object_of_the_wrong_shape_is_not_held_against_rules() {
        let shape = [FieldError::required("spec.min")];
        let errors = rules().validate(None, &json!({"spec": {"max": 2}}), &shape);
        assert!(
            matches!(&errors[..], [error] if error.to_string().contains("were not checked")),
            "{errors:?}"
        );
        let none = Rules::parse(&json!({"type": "object"}));
        assert_eq!(none.validate(None, &json!({}), &shape), []);
    }

    #[test]
    fn a_rule_that_cannot_be_run_is_found_when_it_is_defined() {
        let rules = Rules::parse(&json!({"type": "object", "properties": {"a": {
            "type": "string", "x-kubernetes-validations": [{"rule": "self =="}],
        }}}));
        let errors = rules.violations("s");
        assert_eq!(errors.len(), 1);
        assert_eq!(
            errors[0].field,
            "s.properties[a].x-kubernetes-validations[0].rule"
        );
        assert_eq!(self::rules().violations("s"), []);
    }
}
