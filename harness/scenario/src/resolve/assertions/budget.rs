//! Budgets: how much the probes of a window may fall short of perfect.

use std::time::Duration;

use crate::assertion::{Amount, Budget, Clause, Formula, PatternKind, PointKind};
use crate::document::{Entry, Node, Notes};
use crate::quantity::parse_duration;
use crate::resolve::fields::{Fields, integer, string};

const KEYS: [&str; 6] = ["lost", "gap", "dup", "reorder", "misrouted", "p99"];

pub(super) fn resolve(notes: &mut Notes<'_>, entry: &Entry, formula: &Formula) -> Option<Budget> {
    let fields = Fields::of(notes, entry.key.span, &entry.value, "`budget`", &KEYS)?;
    if fields.is_empty() {
        notes.error(
            entry.value.span,
            "expected at least one limit, found none",
            "write one, such as `lost: 1%`, or remove the key",
        );
    }
    if let Some(entry) = fields.optional("misrouted").filter(|_| !names_tunnels(formula)) {
        notes.error(
            entry.key.span,
            "no probe can be misrouted: the assertion has no `via` with a tunnel",
            "say which tunnel is right: `via tunnel/NAME`",
        );
    }
    let mut count = |key: &str| {
        let entry = fields.optional(key)?;
        let count = integer(notes, &entry.value, "a number of probes", 0..=i64::from(u32::MAX))?;
        u64::try_from(count).ok()
    };
    let (duplicates, reordered, misrouted) = (count("dup"), count("reorder"), count("misrouted"));
    let mut time = |key: &str| duration(notes, &fields.optional(key)?.value);
    let (gap, p99) = (time("gap"), time("p99"));
    let lost = fields
        .optional("lost")
        .and_then(|entry| amount(notes, &entry.value));
    Some(Budget {
        lost,
        gap,
        duplicates,
        reordered,
        misrouted,
        p99,
    })
}

fn names_tunnels(formula: &Formula) -> bool {
    let vias = formula.clauses.iter().filter_map(|clause| match clause {
        Clause::Via { points, .. } => Some(points),
        _ => None,
    });
    vias.flat_map(|points| &points.0)
        .any(|pattern| matches!(pattern.kind, PatternKind::Of(PointKind::Tunnel) | PatternKind::If))
}

fn amount(notes: &mut Notes<'_>, node: &Node) -> Option<Amount> {
    let Some(share) = node.text().and_then(|text| text.strip_suffix('%')) else {
        let count = integer(
            notes,
            node,
            "a number of probes or a percentage",
            0..=i64::from(u32::MAX),
        )?;
        return u64::try_from(count).ok().map(Amount::Count);
    };
    let is_number = share.starts_with(|c: char| c.is_ascii_digit());
    let percent = share
        .parse()
        .ok()
        .filter(|percent| is_number && (0.0..=100.0).contains(percent));
    if percent.is_none() {
        let message = format!("expected a percentage such as `0.5%`, found `{share}%`");
        notes.error(node.span, message, "a percentage is between 0% and 100%");
    }
    percent.map(Amount::Percent)
}

fn duration(notes: &mut Notes<'_>, node: &Node) -> Option<Duration> {
    let text = string(notes, node, "a duration such as `500ms`")?;
    parse_duration(text)
        .map_err(|error| {
            let hint = "a duration is a number and one of the units us, ms, s, m";
            notes.error(node.span, error.to_string(), hint);
        })
        .ok()
}
