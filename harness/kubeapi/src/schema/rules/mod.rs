//! `x-kubernetes-validations`: the rules of a schema that are written in CEL.
//!
//! Owns their parsed form, what they are run on, and the words for a rule that is broken. A rule that breaks while it
//! runs is broken. As with the rest of a schema, what is as it was before an update may break a rule, unless the rule
//! is about the old state.
//!
//! # Limits
//! The cost of a rule is estimated when it is defined, and not limited while it runs.

mod budget;
mod calls;
mod cost;
pub(super) mod definition;
mod functions;
mod sizes;
mod two_variables;
mod types;
mod values;

use std::sync::Arc;

use kube_cel::KubeCelExt;
use kube_cel::cel::objects::{Opaque, OptionalValue};
use kube_cel::cel::parser::{Expression, Parser};
use kube_cel::cel::{Context, ExecutionError, ResolveResult, Value as CelValue};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Position, Schema, child, element};
use crate::status::{FieldError, FieldRule};

/// One rule.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Source")]
pub(super) struct Rule {
    pub(super) source: Source,
    condition: Result<Parsed, String>,
    computed_message: Option<Result<Parsed, String>>,
    /// Whether it is about changes.
    uses_old: bool,
}

/// A rule as it was written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Source {
    pub(super) rule: String,
    pub(super) message: String,
    pub(super) message_expression: String,
    pub(super) reason: Option<String>,
    pub(super) field_path: String,
    pub(super) optional_old_self: Option<bool>,
}

impl From<Source> for Rule {
    fn from(source: Source) -> Self {
        let condition = parse(&source.rule);
        let computed = Some(&source.message_expression).filter(|text| !text.is_empty());
        Rule {
            uses_old: condition
                .as_ref()
                .is_ok_and(|parsed| parsed.written.references().has_variable("oldSelf")),
            condition,
            computed_message: computed.map(|text| parse(text)),
            source,
        }
    }
}

/// An expression, parsed.
#[derive(Debug, Clone)]
struct Parsed {
    /// As it was written, with macros unrolled.
    written: Expression,
    runnable: Expression,
}

impl Parsed {
    fn run(&self, scope: &Context<'_>) -> ResolveResult {
        CelValue::resolve(&self.runnable, scope)
    }
}

fn parse(text: &str) -> Result<Parsed, String> {
    let parsed = Parser::new().enable_optional_syntax(true).parse(text);
    let written = two_variables::expanded(parsed.map_err(|errors| errors.to_string())?)?;
    Ok(Parsed {
        runnable: two_variables::runnable(written.clone()),
        written,
    })
}

impl Rule {
    /// Whether it is run without an old state, too.
    fn takes_no_old(&self) -> bool {
        !self.uses_old || self.source.optional_old_self == Some(true)
    }

    /// The rule as Go prints it.
    fn printed(&self) -> String {
        let source = &self.source;
        let fields = [
            ("Rule", json!(source.rule)),
            ("Message", json!(source.message)),
            ("MessageExpression", json!(source.message_expression)),
            ("Reason", json!(source.reason)),
            ("FieldPath", json!(source.field_path)),
            ("OptionalOldSelf", json!(source.optional_old_self)),
        ];
        let fields = fields.map(|(name, value)| format!("{name:?}:{value}")).join(",");
        let escaped = [("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")];
        let fields = escaped
            .iter()
            .fold(fields, |text, (plain, escaped)| text.replace(plain, escaped));
        format!("{{{fields}}}")
    }

    fn message(&self, scope: &Context<'_>) -> String {
        let computed = self
            .computed_message
            .as_ref()
            .and_then(|parsed| parsed.as_ref().ok());
        if let Some(Ok(CelValue::String(text))) = computed.map(|parsed| parsed.run(scope)) {
            return text.trim().to_owned();
        }
        match self.source.message.trim() {
            "" => format!("failed rule: {}", self.source.rule.trim()),
            message => message.to_owned(),
        }
    }

    /// What it is called where it cannot be run.
    fn name(&self) -> &str {
        match self.source.message.trim() {
            "" => self.source.rule.trim(),
            message => message,
        }
    }
}

impl Schema {
    /// The rules that the object breaks, which is to follow `current`, after `errors` of its schema: an object of the
    /// wrong shape is no input for a rule.
    pub(crate) fn broken_rules(
        &self,
        current: Option<&Value>,
        object: &Value,
        errors: &[FieldError],
    ) -> Vec<FieldError> {
        if !self.has_rules() {
            return Vec::new();
        }
        if errors.iter().any(is_about_shape) {
            let expected = "some validation rules were not checked because the object was invalid; correct the \
                            existing errors to complete validation";
            let rule = FieldRule::Limit {
                value: Value::Null,
                expected: expected.to_owned(),
            };
            return vec![FieldError::new("<nil>", rule)];
        }
        self.rules_broken_by(current, object, Position::Root)
    }

    fn rules_broken_by(&self, old: Option<&Value>, value: &Value, position: Position) -> Vec<FieldError> {
        FUNCTIONS.with(|functions| {
            let mut broken = Vec::new();
            let mut run = Run {
                functions,
                broken: &mut broken,
            };
            run.walk(self, position, old, value, "");
            broken
        })
    }

    /// The rules that a default breaks, as if it were an object.
    pub(super) fn rules_broken_by_default(&self, value: &Value) -> Vec<FieldError> {
        match self.has_rules() {
            true => self.rules_broken_by(None, value, Position::Inside),
            false => Vec::new(),
        }
    }

    fn has_rules(&self) -> bool {
        !self.rules.is_empty() || self.parts().any(Schema::has_rules)
    }
}

thread_local! {
    /// What rules can call.
    static FUNCTIONS: Context<'static> = {
        let mut functions = Context::default().with_all();
        values::add_types(&mut functions);
        two_variables::add_functions(&mut functions);
        functions
    };
}

/// One object, held against all rules of its schema.
struct Run<'a> {
    functions: &'a Context<'a>,
    broken: &'a mut Vec<FieldError>,
}

impl Run<'_> {
    fn walk(&mut self, schema: &Schema, position: Position, old: Option<&Value>, value: &Value, path: &str) {
        if value.is_null() {
            return;
        }
        self.here(schema, position, old.filter(|old| !old.is_null()), value, path);
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let at = match schema.properties.contains_key(name) {
                        true => child(path, name),
                        false => format!("{path}[{name}]"),
                    };
                    if let Some(inner) = schema.field(name) {
                        self.walk(inner, Position::Inside, schema.old_field(old, name), value, &at);
                    }
                }
            }
            Value::Array(elements) => {
                let Some(items) = schema.items() else {
                    return;
                };
                for (at, value) in elements.iter().enumerate() {
                    let old = schema.old_element(old, value);
                    self.walk(items, Position::Inside, old, value, &element(path, at));
                }
            }
            _ => {}
        }
    }

    /// The rules of one node.
    fn here(&mut self, schema: &Schema, position: Position, old: Option<&Value>, value: &Value, path: &str) {
        let mut rules = schema
            .rules
            .iter()
            .filter(|rule| old.is_some() || rule.takes_no_old())
            .peekable();
        if rules.peek().is_none() {
            return;
        }
        let mut scope = self.functions.new_inner_scope();
        scope.add_variable_from_value("self", values::of(schema, position, value));
        for rule in rules {
            let old_value = old.map(|old| values::of(schema, position, old));
            if rule.source.optional_old_self == Some(true) {
                let old_value = old_value.map_or_else(OptionalValue::none, OptionalValue::of);
                let old_value: Arc<dyn Opaque> = Arc::new(old_value);
                scope.add_variable_from_value("oldSelf", CelValue::Opaque(old_value));
            } else if let Some(old_value) = old_value {
                scope.add_variable_from_value("oldSelf", old_value);
            }
            let is_as_it_was = old == Some(value) && !rule.uses_old;
            self.broken
                .extend(outcome(rule, schema, &scope, path).filter(|_| !is_as_it_was));
        }
    }
}

/// What is wrong with the value that the scope is about, if the rule is broken.
fn outcome(rule: &Rule, schema: &Schema, scope: &Context<'_>, path: &str) -> Option<FieldError> {
    // Upstream shows the type of what a rule speaks of instead of the value.
    let value = json!(schema.type_name);
    let at = match path {
        "" => "<nil>",
        path => path,
    };
    let condition = rule.condition.as_ref().ok()?;
    let failure = match condition.run(scope) {
        Ok(CelValue::Bool(true)) => return None,
        Ok(CelValue::Bool(false)) => None,
        Ok(_) => Some("no such overload".to_owned()),
        Err(error) => Some(words(&error)),
    };
    if let Some(failure) = failure {
        let expected = format!("{failure} evaluating rule: {}", rule.name());
        return Some(FieldError::new(at, FieldRule::Limit { value, expected }));
    }
    let message = rule.message(scope);
    let broken = match rule.source.reason.as_deref() {
        Some("FieldValueRequired") => FieldRule::RequiredBecause { why: message },
        Some("FieldValueForbidden") => FieldRule::ForbiddenBecause { why: message },
        Some("FieldValueDuplicate") => FieldRule::Duplicate { value },
        _ => FieldRule::Limit {
            value,
            expected: message,
        },
    };
    let field = match rule.source.field_path.trim_start_matches('.') {
        "" => at.to_owned(),
        inner => child(path, inner),
    };
    Some(FieldError::new(field, broken))
}

/// A failure in the words of upstream, where it has such.
fn words(error: &ExecutionError) -> String {
    match error {
        ExecutionError::IndexOutOfBounds(CelValue::Int(index)) => format!("index out of bounds: {index}"),
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
        ExecutionError::RemainderByZero(_) => "modulus by zero".to_owned(),
        ExecutionError::Overflow(..) => "integer overflow".to_owned(),
        ExecutionError::FunctionError { message, .. } => message.clone(),
        error => error.to_string(),
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

#[cfg(test)]
mod tests;
