//! Impairments: what an author can do to transports, from the beginning or as an event.
//!
//! Owns the words and their ranges, which are those of the lab's lines.

use std::time::Duration;

use super::fields::{Fields, string};
use super::topology::{SITE, TRANSPORT};
use super::unknown;
use crate::document::{Entry, Meaning, Node, Notes, Scalar, Value};
use crate::model::{Event, Impairment, Loss, Share, Topology};
use crate::quantity::{QuantityError, format_duration, parse_bit_rate, parse_duration, parse_share};

const DELAY_MAX: Duration = Duration::from_secs(10);
const RATE_MIN: u64 = 10_000;
const RATE_MAX: u64 = 10_000_000_000;

const WORDS: [&str; 8] = [
    "delay",
    "jitter",
    "loss",
    "burst",
    "rate",
    "reorder",
    "duplicate",
    "blackHole",
];

/// `impair: {…}` of a transport in a topology.
pub(super) fn in_topology(notes: &mut Notes<'_>, entry: &Entry) -> Option<Impairment> {
    if has_corrupt(notes, entry) {
        return None;
    }
    let before = notes.count();
    let fields = Fields::of(notes, entry.key.span, &entry.value, "`impair`", &WORDS)?;
    impairment(notes, entry, &fields, before)
}

/// The event that `impair: {…}`, `cut: {…}` or `heal: {…}` describes.
pub(super) fn event(notes: &mut Notes<'_>, entry: &Entry, topology: Option<&Topology>) -> Option<Event> {
    let what = format!("`{}`", entry.key.text);
    let is_impair = entry.key.text == "impair";
    let mut keys = vec!["transport"];
    if is_impair {
        if has_corrupt(notes, entry) {
            return None;
        }
        keys.extend(["from", "to"]);
        keys.extend(WORDS);
    }
    let before = notes.count();
    let fields = Fields::of(notes, entry.key.span, &entry.value, &what, &keys)?;
    let known = notes.count();
    let transport = fields.required(notes, "transport").and_then(|entry| {
        let names = topology.map(|topology| topology.transports.iter().map(|transport| &transport.name));
        reference(notes, &entry.value, &TRANSPORT, names)
    });
    if is_impair {
        let direction = direction(notes, entry, &fields, topology);
        // Problems elsewhere in the mapping do not make its impairment incomplete; unknown keys do.
        let before = notes.count() + before - known;
        let impairment = impairment(notes, entry, &fields, before);
        return Some(Event::Impair {
            transport: transport?,
            direction: direction?,
            impairment: impairment?,
        });
    }
    let transport = transport?;
    Some(match entry.key.text.as_str() {
        "cut" => Event::Cut { transport },
        _ => Event::Heal { transport },
    })
}

fn has_corrupt(notes: &mut Notes<'_>, entry: &Entry) -> bool {
    let corrupt = entry
        .value
        .entries()
        .unwrap_or_default()
        .iter()
        .find(|entry| entry.key.text == "corrupt");
    if let Some(corrupt) = corrupt {
        notes.error(
            corrupt.key.span,
            "`corrupt` is not offered: a probe with a flipped bit can look like another probe",
            "use `loss`: a receiver drops what has a wrong checksum",
        );
    }
    corrupt.is_some()
}

/// `Some(None)`: both directions.
fn direction(
    notes: &mut Notes<'_>,
    entry: &Entry,
    fields: &Fields<'_>,
    topology: Option<&Topology>,
) -> Option<Option<(String, String)>> {
    let (from, to) = match (fields.optional("from"), fields.optional("to")) {
        (None, None) => return Some(None),
        (Some(from), Some(to)) => (from, to),
        (Some(_), None) | (None, Some(_)) => {
            notes.error(
                entry.key.span,
                "expected both or none of `from` and `to` in `impair`",
                "a direction is from one site to another",
            );
            return None;
        }
    };
    let mut site = |entry: &Entry| {
        let names = topology.map(|topology| topology.sites.iter().map(|site| &site.name));
        reference(notes, &entry.value, &SITE, names)
    };
    let sites = (site(from)?, site(to)?);
    if sites.0 == sites.1 {
        let message = format!("`from` and `to` are both site `{}`", sites.0);
        notes.error(to.value.span, message, "name two sites");
        return None;
    }
    Some(Some(sites))
}

fn reference<'n>(
    notes: &mut Notes<'_>,
    node: &Node,
    kind: &super::fields::Kind,
    names: Option<impl Iterator<Item = &'n String> + Clone>,
) -> Option<String> {
    let text = string(notes, node, &format!("the name of a {}", kind.singular))?;
    let names = names?;
    if !names.clone().any(|name| name == text) {
        unknown(notes, node.span, text, kind, names.map(String::as_str));
        return None;
    }
    Some(text.to_owned())
}

/// The impairment of a mapping in which nothing was wrong when there were `before` problems.
fn impairment(
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
            "expected a bit rate from 10kbit to 10gbit, found {}",
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
        Some(_) => first.map_or(Loss::None, |entry| black_hole(notes, &entry.value)),
        None => Loss::None,
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

fn black_hole(notes: &mut Notes<'_>, node: &Node) -> Loss {
    if let Value::Scalar(Scalar {
        meaning: Meaning::Boolean(true),
        ..
    }) = node.value
    {
        return Loss::All;
    }
    let message = format!("expected `true` for `blackHole`, found {}", node.describe());
    notes.error(node.span, message, "write `blackHole: true`, or remove the key");
    Loss::None
}

fn quantity<T>(
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
