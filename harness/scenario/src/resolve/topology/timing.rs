//! How tunnels are probed and judged: `bfd` and `sla`.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::document::{Entry, Node, Notes};
use crate::model::{BfdTiming, SlaTiming};
use crate::quantity::{LONGEST, format_duration, parse_duration};
use crate::resolve::fields::{Fields, integer, mismatch, string};

/// The shortest and the longest time between hellos: a lab cannot keep the pace of much less, Cisco takes no more.
const HELLO: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(300);

pub(super) fn bfd(notes: &mut Notes<'_>, fields: &Fields<'_>) -> Option<BfdTiming> {
    let default = BfdTiming::default();
    let Some(entry) = fields.optional("bfd") else {
        return Some(default);
    };
    let keys = ["hello", "multiplier"];
    let fields = Fields::of(notes, entry.key.span, &entry.value, "`bfd`", &keys)?;
    let hello = duration(
        notes,
        fields.optional("hello"),
        "the time between hellos",
        HELLO,
        default.hello,
    );
    let multiplier = multiplier(
        notes,
        &fields,
        "a number of lost hellos",
        1..=60,
        default.multiplier,
    );
    Some(BfdTiming {
        hello: hello?,
        multiplier: multiplier?,
    })
}

/// `bfd` is `None` when it is not in order; its own problems are noted.
pub(super) fn sla(notes: &mut Notes<'_>, fields: &Fields<'_>, bfd: Option<BfdTiming>) -> Option<SlaTiming> {
    let hello = bfd.unwrap_or_default().hello;
    let default = SlaTiming::of_hello(hello);
    let Some(entry) = fields.optional("sla") else {
        return Some(default);
    };
    let keys = ["pollInterval", "multiplier", "holdDown"];
    let fields = Fields::of(notes, entry.key.span, &entry.value, "`sla`", &keys)?;
    // A value needs a hello to be made of.
    let polls = hello..=LONGEST;
    let poll = fields.optional("pollInterval");
    let poll_interval = duration(
        notes,
        poll,
        "the time between polls, no less than between hellos",
        polls,
        default.poll_interval,
    );
    let multiplier = multiplier(notes, &fields, "a number of polls", 1..=6, default.multiplier);
    let means = multiplier.unwrap_or(default.multiplier);
    let of_means = u32::from(means) * poll_interval.unwrap_or(default.poll_interval);
    let hold_down = duration(
        notes,
        fields.optional("holdDown"),
        "a hold-down time",
        Duration::ZERO..=LONGEST,
        of_means.min(LONGEST),
    );
    Some(SlaTiming {
        poll_interval: poll_interval?,
        multiplier: multiplier?,
        hold_down: hold_down?,
    })
}

fn multiplier(
    notes: &mut Notes<'_>,
    fields: &Fields<'_>,
    form: &str,
    range: RangeInclusive<i64>,
    default: u8,
) -> Option<u8> {
    fields.optional("multiplier").map_or(Some(default), |entry| {
        let multiplier = integer(notes, &entry.value, form, range)?;
        u8::try_from(multiplier).ok()
    })
}

fn duration(
    notes: &mut Notes<'_>,
    entry: Option<&Entry>,
    what: &str,
    range: RangeInclusive<Duration>,
    default: Duration,
) -> Option<Duration> {
    let Some(Entry { value: node, .. }) = entry else {
        return Some(default);
    };
    in_range(notes, node, what, range)
}

fn in_range(
    notes: &mut Notes<'_>,
    node: &Node,
    what: &str,
    range: RangeInclusive<Duration>,
) -> Option<Duration> {
    let (shortest, longest) = (format_duration(*range.start()), format_duration(*range.end()));
    let form = format!("{what}, {shortest} to {longest}");
    let text = string(notes, node, &form)?;
    match parse_duration(text) {
        Ok(duration) if range.contains(&duration) => Some(duration),
        Ok(_) => mismatch(notes, node, &form, None),
        Err(error) => {
            notes.error(
                node.span,
                error.to_string(),
                "a duration is a number and one of the units us, ms, s, m",
            );
            None
        }
    }
}
