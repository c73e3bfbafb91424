//! Assertions: the grammar is [`crate::assertion`]'s; here each name in them must be declared, and each window
//! must hold some time.

mod budget;
mod points;

use std::time::Duration;

use super::fields::{Fields, Kind, integer, mismatch, named};
use super::timeline::{Moment, Timeline};
use super::{Name, events, flows, unknown};
use crate::assertion::{
    Assertion, Budget, Clause, Formula, Mention, Mentioned, Place, PointPattern, Window, parse_with_mentions,
};
use crate::document::{Entry, Node, Notes, Source, Span, Value};
use crate::model::Topology;
use crate::quantity::{format_duration, parse_duration};

const ASSERTION: Kind = Kind {
    singular: "assertion",
    plural: "assertions",
    is_word: true,
};

const PHASE: Kind = Kind {
    singular: "phase",
    plural: "phases of the timeline",
    is_word: true,
};

/// Probes that a window must hold unless `min` says otherwise.
const MIN_PROBES_DEFAULT: u64 = 20;

/// What assertions may refer to; `None` where it could not be read.
pub(super) struct Declared<'d> {
    pub(super) flows: Option<&'d [Name]>,
    pub(super) events: &'d [Name],
    pub(super) topology: Option<&'d Topology>,
    pub(super) timeline: Option<&'d Timeline>,
}

pub(super) fn resolve(notes: &mut Notes<'_>, entry: &Entry, declared: &Declared<'_>) -> Vec<Assertion> {
    let mut assertions = Vec::new();
    for entry in named(notes, entry, &ASSERTION) {
        assertions.extend(assertion(notes, entry, declared));
    }
    assertions
}

fn assertion(notes: &mut Notes<'_>, entry: &Entry, declared: &Declared<'_>) -> Option<Assertion> {
    let name = &entry.key.text;
    let mut budget_entry = None;
    let (that, min_probes) = match &entry.value.value {
        Value::Mapping(_) => {
            let what = format!("assertion `{name}`");
            let fields = Fields::of(
                notes,
                entry.key.span,
                &entry.value,
                &what,
                &["that", "min", "budget"],
            )?;
            let min = match fields.optional("min") {
                Some(entry) => integer(notes, &entry.value, "a number of probes", 1..=i64::from(u32::MAX)),
                None => None,
            };
            let min = min
                .and_then(|min| u64::try_from(min).ok())
                .unwrap_or(MIN_PROBES_DEFAULT);
            budget_entry = fields.optional("budget");
            (&fields.required(notes, "that")?.value, min)
        }
        _ => (&entry.value, MIN_PROBES_DEFAULT),
    };
    let Some(text) = that.text() else {
        return mismatch(
            notes,
            that,
            "an assertion, or a mapping of `that`, `min` and `budget`",
            None,
        );
    };
    let (formula, mentions) = match parse_with_mentions(text) {
        Ok(parsed) => parsed,
        Err(error) => {
            let span = locate(notes.source, that, text, error.offset, error.length);
            notes.push(span, error.message, error.hint);
            return None;
        }
    };
    let check = Check { that, text, declared };
    let unknown_names = mentions
        .iter()
        .filter(|mention| !check.mention(notes, mention))
        .count();
    if unknown_names == 0 {
        check.window(notes, &formula, &mentions);
    }
    let budget = match budget_entry {
        Some(entry) => budget::resolve(notes, entry, &formula)?,
        None => Budget::default(),
    };
    let place = Place {
        file: notes.source.file.clone(),
        line: entry.key.span.line,
        column: entry.key.span.column,
    };
    Some(Assertion {
        name: name.clone(),
        place,
        text: text.trim().to_owned(),
        formula,
        min_probes,
        budget,
    })
}

/// The checks of one assertion.
struct Check<'c> {
    that: &'c Node,
    text: &'c str,
    declared: &'c Declared<'c>,
}

impl Check<'_> {
    /// Whether a name is declared; notes it when it is not.
    fn mention(&self, notes: &mut Notes<'_>, mention: &Mention) -> bool {
        let span = locate(notes.source, self.that, self.text, mention.offset, mention.length);
        match &mention.what {
            Mentioned::Flow(name) => {
                let Some(flows) = self.declared.flows else {
                    return true;
                };
                let known = flows.iter().any(|flow| flow.text == *name);
                if !known {
                    unknown(
                        notes,
                        span,
                        name,
                        &flows::FLOW,
                        flows.iter().map(|flow| flow.text.as_str()),
                    );
                }
                known
            }
            Mentioned::Event(name) => {
                let events = self.declared.events.iter().map(|event| event.text.as_str());
                let known = events.clone().any(|event| event == name);
                match margin_in_name(name, events.clone()) {
                    Some(hint) if !known => notes.error(span, format!("unknown event `{name}`"), hint),
                    None if !known => unknown(notes, span, name, &events::EVENT, events),
                    _ => {}
                }
                known
            }
            Mentioned::Phase(name) => self.phase(notes, span, name),
            Mentioned::Points(pattern) => self.points(notes, span, pattern),
        }
    }

    fn phase(&self, notes: &mut Notes<'_>, span: Span, name: &str) -> bool {
        let timeline = self.declared.timeline.filter(|timeline| timeline.is_complete);
        let Some(timeline) = timeline else { return false };
        let phases = timeline.phases.iter().map(|phase| phase.name.as_str());
        let known = phases.clone().any(|phase| phase == name);
        if !known {
            unknown(notes, span, name, &PHASE, phases);
        }
        known
    }

    fn points(&self, notes: &mut Notes<'_>, span: Span, pattern: &PointPattern) -> bool {
        self.declared
            .topology
            .is_none_or(|topology| points::check(notes, span, pattern, topology))
    }

    /// Notes a window that ends before it opens.
    fn window(&self, notes: &mut Notes<'_>, formula: &Formula, mentions: &[Mention]) {
        let Some(timeline) = self.declared.timeline.filter(|timeline| timeline.is_complete) else {
            return;
        };
        let Some(Bounds {
            opens,
            delay,
            closes,
            margin,
        }) = bounds(&formula.window, timeline)
        else {
            return;
        };
        let Some(last) = mentions.last() else { return };
        let span = locate(notes.source, self.that, self.text, last.offset, last.length);
        if let Some((event, until)) = opening_and_closing(&formula.window).filter(|_| closes <= opens) {
            let hint = format!("the timeline fires `{until}` first; a window ends with a later event");
            notes.error(
                span,
                format!("event `{until}` does not fire after `{event}`"),
                hint,
            );
        } else if opens.at + delay >= closes.at.saturating_sub(margin) {
            let end = closes.at.saturating_sub(margin);
            let message = format!(
                "the window is empty: it opens {} into the timeline and ends at {}",
                format_duration(opens.at + delay),
                format_duration(end)
            );
            notes.error(
                span,
                message,
                "let more time pass between the two in the timeline",
            );
        } else {
            self.halves(notes, formula, mentions, (opens, closes));
        }
    }

    /// Notes events across which a path cannot be compared, because the window holds nothing on one side of them.
    fn halves(
        &self,
        notes: &mut Notes<'_>,
        formula: &Formula,
        mentions: &[Mention],
        (opens, closes): (Moment, Moment),
    ) {
        let Some(timeline) = self.declared.timeline else {
            return;
        };
        for clause in &formula.clauses {
            let Clause::SamePath(event) = clause else { continue };
            let Some(moment) = timeline.moments.get(event) else {
                continue;
            };
            let of_event = |mention: &&Mention| mention.what == Mentioned::Event(event.clone());
            let Some(mention) = mentions.iter().find(of_event) else {
                continue;
            };
            if opens.at < moment.at && moment.at < closes.at {
                continue;
            }
            let span = locate(notes.source, self.that, self.text, mention.offset, mention.length);
            let message = format!(
                "`{event}` fires {} into the timeline, not within the window, which is from {} to {}",
                format_duration(moment.at),
                format_duration(opens.at),
                format_duration(closes.at)
            );
            notes.error(
                span,
                message,
                "a path is compared before and after, both in the window",
            );
        }
    }
}

/// A window on the timeline.
struct Bounds {
    opens: Moment,
    delay: Duration,
    closes: Moment,
    margin: Duration,
}

/// Where a window lies; `None` when an event of it never fires, which is reported where the event is declared.
fn bounds(window: &Window, timeline: &Timeline) -> Option<Bounds> {
    let end = Moment {
        at: timeline.total,
        step: usize::MAX,
    };
    let moment = |event: &String| timeline.moments.get(event).copied();
    let closing = |until: &Option<String>| until.as_ref().map_or(Some(end), moment);
    let (opens, delay, closes, margin) = match window {
        Window::Always => (Moment::default(), Duration::ZERO, end, Duration::ZERO),
        Window::Within { limit, event, until } => (moment(event)?, *limit, closing(until)?, Duration::ZERO),
        Window::From {
            event,
            delay,
            until,
            margin,
        } => (moment(event)?, *delay, closing(until)?, *margin),
        Window::During(phase) => {
            let mut phases = timeline.phases.iter().skip_while(|other| other.name != *phase);
            let from = phases.next()?.from;
            let next = phases.next().map_or(end, |next| next.from);
            (from, Duration::ZERO, next, Duration::ZERO)
        }
    };
    Some(Bounds {
        opens,
        delay,
        closes,
        margin,
    })
}

/// The events that open and close a window, if one closes it.
fn opening_and_closing(window: &Window) -> Option<(&str, &str)> {
    match window {
        Window::Within { event, until, .. } | Window::From { event, until, .. } => {
            until.as_ref().map(|until| (event.as_str(), until.as_str()))
        }
        Window::Always | Window::During(_) => None,
    }
}

/// A hint for `until remove-100ms`, where the margin reads as part of the name.
fn margin_in_name<'e>(name: &str, mut events: impl Iterator<Item = &'e str>) -> Option<String> {
    let (event, margin) = name.rsplit_once('-')?;
    parse_duration(margin).ok()?;
    events
        .any(|known| known == event)
        .then(|| format!("did you mean `{event} - {margin}`, with spaces?"))
}

/// The place of a part of a scalar. Exact as far as the line holds the text letter for letter, which escapes and
/// further lines of the scalar do not; else the whole scalar.
fn locate(source: &Source, node: &Node, text: &str, offset: usize, length: usize) -> Span {
    let line = source.slice(node.span);
    let quotes = usize::from(line.starts_with(['"', '\'']));
    let upto = text.get(..offset + length).unwrap_or(text);
    if !line.get(quotes..).is_some_and(|line| line.starts_with(upto)) {
        return node.span;
    }
    let characters = |text: &str| text.chars().count();
    let before = characters(&text[..offset]);
    Span {
        line: node.span.line,
        column: node.span.column + quotes + before,
        width: characters(upto) - before,
    }
}
