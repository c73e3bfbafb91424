//! Whether the rules of a schema can be run at all.

use super::types::{Check, Type};
use super::{Parsed, Position, Rule, Schema};
use crate::schema::{Additional, ListType, MapType};
use crate::status::{FieldError, FieldRule};

/// A node of a schema on the way to its rules.
#[derive(Clone, Copy)]
struct Node<'a> {
    schema: &'a Schema,
    position: Position,
    /// The innermost part around it whose old state cannot be found.
    without_old: Option<&'a str>,
}

/// What keeps the rules of a schema at `path` from being run.
pub(in crate::schema) fn violations(schema: &Schema, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let root = Node {
        schema,
        position: Position::Root,
        without_old: None,
    };
    collect(root, path, &mut errors);
    errors
}

fn collect(node: Node<'_>, path: &str, errors: &mut Vec<FieldError>) {
    let schema = node.schema;
    let inner = |schema, has_old: bool| Node {
        schema,
        position: Position::Inside,
        without_old: if has_old {
            node.without_old
        } else {
            node.without_old.or(Some(path))
        },
    };
    for (name, property) in &schema.properties {
        let has_old = schema.map_type() == MapType::Granular;
        collect(
            inner(property, has_old),
            &format!("{path}.properties[{name}]"),
            errors,
        );
    }
    if let Some(Additional::Of(entry)) = &schema.additional_properties {
        collect(
            inner(entry, true),
            &format!("{path}.additionalProperties"),
            errors,
        );
    }
    if let Some(items) = schema.items() {
        let has_old = schema.list_type() == ListType::Map;
        collect(inner(items, has_old), &format!("{path}.items"), errors);
    }
    for (at, rule) in schema.rules.iter().enumerate() {
        one(
            rule,
            node,
            &format!("{path}.x-kubernetes-validations[{at}]"),
            errors,
        );
    }
}

fn one(rule: &Rule, node: Node<'_>, path: &str, errors: &mut Vec<FieldError>) {
    let mut refuse = |field: &str, value: String, expected: String| {
        let rule = FieldRule::Printed { value, expected };
        errors.push(FieldError::new(format!("{path}.{field}"), rule));
    };
    let own = Type::of(node.schema, node.position);
    let problem_of = |parsed: &Result<Parsed, String>, expected, otherwise: &str, start: &str| {
        let expression = match parsed {
            Ok(parsed) => &parsed.written,
            Err(error) => return Some(format!("{start}compilation failed: {error}")),
        };
        let mut check = Check::new(own, rule.source.optional_old_self == Some(true));
        let found = check.type_of(expression);
        if !check.problems.is_empty() {
            let problems: Vec<String> = check
                .problems
                .iter()
                .map(|one| format!("ERROR: <input>: {one}"))
                .collect();
            return Some(format!("{start}compilation failed: {}", problems.join("\n")));
        }
        (found != Type::Any && found != expected).then(|| otherwise.to_owned())
    };
    let otherwise = "cel expression must evaluate to a bool";
    if let Some(problem) = problem_of(&rule.condition, Type::Bool, otherwise, "") {
        refuse("rule", rule.printed(), problem);
    }
    if let Some(computed) = &rule.computed_message {
        let otherwise = "messageExpression must evaluate to a string";
        if let Some(problem) = problem_of(computed, Type::String, otherwise, "messageExpression ") {
            refuse("messageExpression", rule.printed(), problem);
        }
    }
    if let (true, Some(around)) = (rule.uses_old, node.without_old) {
        let why =
            format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {around}");
        refuse("rule", format!("{:?}", rule.source.rule), why);
    } else if let (false, Some(said)) = (rule.uses_old, rule.source.optional_old_self) {
        let why = "may not be set if oldSelf is not used in rule".to_owned();
        refuse("optionalOldSelf", said.to_string(), why);
    }
}
