//! Whether the rules of a schema can be run at all.

use super::budget::{Budget, Times};
use super::cost::Estimate;
use super::sizes::Place;
use super::types::{Check, Type};
use super::{Parsed, Position, Rule, Schema};
use crate::schema::{Additional, ListType, MapType};
use crate::status::{FieldError, FieldRule};

/// A node of a schema on the way to its rules.
#[derive(Clone, Copy)]
struct Node<'a> {
    schema: &'a Schema,
    position: Position,
    times: Times,
    /// The innermost part around it whose old state cannot be found.
    without_old: Option<&'a str>,
}

/// What keeps the rules of a schema at `path` from being run.
pub(in crate::schema) fn violations(schema: &Schema, path: &str) -> Vec<FieldError> {
    let (mut errors, mut budget) = (Vec::new(), Budget::default());
    let root = Node {
        schema,
        position: Position::Root,
        times: Times::ONCE,
        without_old: None,
    };
    collect(root, path, &mut budget, &mut errors);
    errors.extend(budget.exceeded(path));
    errors
}

fn collect(node: Node<'_>, path: &str, budget: &mut Budget, errors: &mut Vec<FieldError>) {
    let schema = node.schema;
    let inner = |inner, has_old: bool| Node {
        schema: inner,
        position: Position::Inside,
        times: node.times.inside(schema),
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
            budget,
            errors,
        );
    }
    if let Some(Additional::Of(entry)) = &schema.additional_properties {
        collect(
            inner(entry, true),
            &format!("{path}.additionalProperties"),
            budget,
            errors,
        );
    }
    if let Some(items) = schema.items() {
        let has_old = schema.list_type() == ListType::Map;
        collect(inner(items, has_old), &format!("{path}.items"), budget, errors);
    }
    for (at, rule) in schema.rules.iter().enumerate() {
        one(
            rule,
            node,
            &format!("{path}.x-kubernetes-validations[{at}]"),
            budget,
            errors,
        );
    }
}

fn one(rule: &Rule, node: Node<'_>, path: &str, budget: &mut Budget, errors: &mut Vec<FieldError>) {
    let refusal = |field: &str, value: String, expected: String| {
        let rule = FieldRule::Printed { value, expected };
        FieldError::new(format!("{path}.{field}"), rule)
    };
    let cost_of = |parsed: &Result<Parsed, String>| {
        let root = Place::Of(node.schema, node.position);
        let mut estimate = Estimate::new(root, rule.source.optional_old_self == Some(true));
        parsed
            .as_ref()
            .map_or(0, |parsed| estimate.of(&parsed.written).cost)
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
        errors.push(refusal("rule", rule.printed(), problem));
    } else {
        let cost = node
            .times
            .cost(cost_of(&rule.condition), node.schema, node.position);
        errors.extend(budget.spend(cost, "estimated rule cost", &format!("{path}.rule")));
    }
    if let Some(computed) = &rule.computed_message {
        let otherwise = "messageExpression must evaluate to a string";
        if let Some(problem) = problem_of(computed, Type::String, otherwise, "messageExpression ") {
            errors.push(refusal("messageExpression", rule.printed(), problem));
        } else {
            let what = "estimated messageExpression cost";
            let at = format!("{path}.messageExpression");
            errors.extend(budget.spend(cost_of(computed), what, &at));
        }
    }
    if let (true, Some(around)) = (rule.uses_old, node.without_old) {
        let why =
            format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {around}");
        errors.push(refusal("rule", format!("{:?}", rule.source.rule), why));
    } else if let (false, Some(said)) = (rule.uses_old, rule.source.optional_old_self) {
        let why = "may not be set if oldSelf is not used in rule".to_owned();
        errors.push(refusal("optionalOldSelf", said.to_string(), why));
    }
}
