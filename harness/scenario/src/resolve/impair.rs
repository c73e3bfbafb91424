//! Impairments: what can be wrong with the packets of a line.
//!
//! Owns the words and their ranges, which are those of the lab's lines. Where a fault is, and the other kinds of
//! faults, are read by [`super::faults`].

use std::time::Duration;

use super::fields::{Fields, is_set, string};
use crate::document::{Entry, Meaning, Node, Notes, Scalar, Value};
use crate::model::{Impairment, Loss, Share};
use crate::quantity::{
    QuantityError, format_duration, parse_bit_rate, parse_duration, parse_share, parse_size,
};

const DELAY_MAX: Duration = Duration::from_secs(10);
/// At a lower rate less than one packet of full size would pass in a second.
const RATE_MIN: u64 = 16_000;
const RATE_MAX: u64 = 10_000_000_000;
/// The shortest that every IPv4 host takes (RFC 791 section 3.2), and one less than the underlay carries.
const MTU: (u32, u32) = (68, 1499);

/// What can be said of an impairment.
pub(super) const WORDS: [&str; 10] = [
    "delay",
    "jitter",
    "loss",
    "burst",
    "rate",
    "reorder",
    "duplicate",
    "corrupt",
    "mtu",
    "blackHole",
];

/// The impairment of a mapping in which nothing was wrong when there were `before` problems.
pub(super) fn impairment(
    notes: &mut Notes<'_>,
    owner: &Entry,
    fields: &Fields<'_>,
    before: usize,
) -> Option<Impairment> {
    let impairment = Impairment {
        delay: duration(notes, fields, "delay"),
        jitter: duration(notes, fields, "jitter"),
        loss: loss(notes, fields),
        rate_bps: fields
            .optional("rate")
            .and_then(|entry| rate(notes, &entry.value)),
        reorder: share(notes, fields, "reorder"),
        duplicate: share(notes, fields, "duplicate"),
        corrupt: share(notes, fields, "corrupt"),
        mtu: fields.optional("mtu").and_then(|entry| mtu(notes, &entry.value)),
    };
    if notes.count() > before {
        return None;
    }
    if impairment == Impairment::default() {
        let words = super::fields::quoted(&WORDS);
        notes.error(
            owner.key.span,
            format!("expected at least one of {words} in `impair`, above zero"),
            "add one such as `delay: 20ms`",
        );
    }
    if let (Some(entry), true) = (fields.optional("jitter"), impairment.jitter > impairment.delay) {
        let message = format!(
            "expected a jitter of at most the delay, {}, found {}",
            format_duration(impairment.delay),
            format_duration(impairment.jitter)
        );
        notes.error(
            entry.value.span,
            message,
            "packets would arrive before they were sent",
        );
    }
    if let (Some(entry), true) = (
        fields.optional("reorder"),
        impairment.reorder > Share(0) && impairment.delay.is_zero(),
    ) {
        notes.error(
            entry.value.span,
            "`reorder` without a delay changes nothing",
            "reordered packets are those that skip the delay; add `delay: …`",
        );
    }
    (notes.count() == before).then_some(impairment)
}

fn mtu(notes: &mut Notes<'_>, node: &Node) -> Option<u16> {
    let octets = quantity(notes, node, "a size such as `1400B`", parse_size)?;
    if !(MTU.0..=MTU.1).contains(&octets) {
        let message = format!(
            "expected an MTU from {}B to {}B, found {}",
            MTU.0,
            MTU.1,
            node.describe()
        );
        notes.error(
            node.span,
            message,
            "packets on the underlay have at most 1500 octets",
        );
        return None;
    }
    u16::try_from(octets).ok()
}

fn duration(notes: &mut Notes<'_>, fields: &Fields<'_>, key: &str) -> Duration {
    let Some(entry) = fields.optional(key) else {
        return Duration::ZERO;
    };
    let duration = quantity(notes, &entry.value, "a duration such as `20ms`", parse_duration);
    let duration = duration.unwrap_or_default();
    if duration > DELAY_MAX {
        let message = format!(
            "expected a {key} of at most {}, found {}",
            format_duration(DELAY_MAX),
            format_duration(duration)
        );
        notes.error(entry.value.span, message, "shorten it");
    }
    duration
}

fn share(notes: &mut Notes<'_>, fields: &Fields<'_>, key: &str) -> Share {
    let entry = fields.optional(key);
    let share = entry.and_then(|entry| quantity(notes, &entry.value, "a share such as `0.5%`", parse_share));
    Share(share.unwrap_or_default())
}

fn rate(notes: &mut Notes<'_>, node: &Node) -> Option<u64> {
    let rate = quantity(notes, node, "a bit rate such as `100mbit`", parse_bit_rate)?;
    if !(RATE_MIN..=RATE_MAX).contains(&rate) {
        let message = format!(
            "expected a bit rate from 16kbit to 10gbit, found {}",
            node.describe()
        );
        notes.error(node.span, message, "choose one in that range");
        return None;
    }
    Some(rate)
}

fn loss(notes: &mut Notes<'_>, fields: &Fields<'_>) -> Loss {
    const WAYS: [&str; 3] = ["loss", "burst", "blackHole"];
    let mut ways = WAYS.into_iter().filter_map(|key| fields.optional(key));
    let (first, second) = (ways.next(), ways.next());
    if let (Some(first), Some(second)) = (first, second) {
        let message = format!("`{}` does not go with `{}`", second.key.text, first.key.text);
        notes.error(
            second.key.span,
            message,
            "remove one: they are different kinds of loss",
        );
        return Loss::None;
    }
    match first.map(|entry| entry.key.text.as_str()) {
        Some("loss") => match share(notes, fields, "loss") {
            Share(0) => Loss::None,
            share => Loss::Random(share),
        },
        Some("burst") => first.map_or(Loss::None, |entry| burst(notes, entry)),
        Some(_) if is_set(notes, fields, "blackHole") => Loss::All,
        Some(_) | None => Loss::None,
    }
}

fn burst(notes: &mut Notes<'_>, entry: &Entry) -> Loss {
    let Some(fields) = Fields::of(
        notes,
        entry.key.span,
        &entry.value,
        "`burst`",
        &["enter", "leave"],
    ) else {
        return Loss::None;
    };
    let [enter, leave] = ["enter", "leave"].map(|key| {
        let value = fields.required(notes, key);
        let before = notes.count();
        let share = share(notes, &fields, key);
        if let (Some(entry), Share(0), true) = (value, share, notes.count() == before) {
            let message = format!(
                "expected a share above 0% for `{key}`, found {}",
                entry.value.describe()
            );
            notes.error(entry.value.span, message, "a burst has a beginning and an end");
        }
        share
    });
    Loss::Burst { enter, leave }
}

pub(super) fn quantity<T>(
    notes: &mut Notes<'_>,
    node: &Node,
    form: &str,
    parse: impl FnOnce(&str) -> Result<T, QuantityError>,
) -> Option<T> {
    if let Value::Scalar(Scalar {
        text,
        meaning: Meaning::Integer(_) | Meaning::Float(_),
    }) = &node.value
    {
        notes.error(
            node.span,
            format!("expected {form}, found {text}"),
            "write its unit, too",
        );
        return None;
    }
    match parse(string(notes, node, form)?) {
        Ok(value) => Some(value),
        Err(error) => {
            notes.error(node.span, error.to_string(), format!("write {form}"));
            None
        }
    }
}
