//! How much the rules of a definition may cost.

use super::super::Schema;
use super::Position;
use super::sizes::{times_inside, values_max};
use crate::status::{FieldError, FieldRule};

/// What one rule may cost.
const RULE_MAX: u64 = 10_000_000;
/// What all rules of a schema may cost.
const SCHEMA_MAX: u64 = 100_000_000;
/// How many of the dearest rules are named.
const NAMED: usize = 4;

/// The costs of the rules of a schema so far.
#[derive(Debug, Default)]
pub(super) struct Budget {
    total: u64,
    /// The dearest rules, the dearest first.
    dearest: Vec<(u64, String)>,
}

impl Budget {
    /// Counts the cost of what is at `path`; `what` it is, in the words of the refusal.
    pub(super) fn spend(&mut self, cost: u64, what: &str, path: &str) -> Option<FieldError> {
        self.total = self.total.saturating_add(cost);
        if cost >= SCHEMA_MAX / 100 {
            let at = self.dearest.partition_point(|(other, _)| *other >= cost);
            self.dearest.insert(at, (cost, path.to_owned()));
            self.dearest.truncate(NAMED);
        }
        (cost > RULE_MAX).then(|| forbidden(path, too_dear(what, cost, RULE_MAX)))
    }

    /// What is wrong with the rules of the schema at `path` together.
    pub(super) fn exceeded(self, path: &str) -> Vec<FieldError> {
        if self.total <= SCHEMA_MAX {
            return Vec::new();
        }
        let why = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
        let named = self.dearest.iter();
        let mut errors: Vec<FieldError> = named.map(|(_, path)| forbidden(path, why.to_owned())).collect();
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        errors.push(forbidden(path, too_dear(what, self.total, SCHEMA_MAX)));
        errors
    }
}

/// How often a node comes in an object; `None` if only the size of the request limits it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times(Option<u64>);

impl Times {
    pub(super) const ONCE: Times = Times(Some(1));

    /// Of the parts of the schema.
    pub(super) fn inside(self, schema: &Schema) -> Self {
        Times(
            self.0
                .zip(times_inside(schema))
                .map(|(outer, inner)| outer.saturating_mul(inner)),
        )
    }

    /// What a rule of the schema costs, every time.
    pub(super) fn cost(self, once: u64, schema: &Schema, position: Position) -> u64 {
        let times = self.0.unwrap_or_else(|| values_max(schema, position));
        once.saturating_mul(times)
    }
}

#[expect(clippy::cast_precision_loss, reason = "the factor is rounded anyway")]
fn too_dear(what: &str, cost: u64, max: u64) -> String {
    let factor = cost as f64 / max as f64;
    let factor = if factor > 100.0 {
        "more than 100x".to_owned()
    } else if factor < 1.5 {
        format!("{factor:.6}x")
    } else {
        format!("{factor:.1}x")
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, \
         and maxLength where arrays, maps, and strings are declared)"
    )
}

fn forbidden(path: &str, why: String) -> FieldError {
    FieldError::new(path, FieldRule::ForbiddenBecause { why })
}
