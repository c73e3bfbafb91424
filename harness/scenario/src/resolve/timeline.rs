//! The timeline: what starts, waits, fires and stops, in order.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fields::{Fields, list, set, string};
use super::{Name, events, flows, unknown};
use crate::document::{Entry, Meaning, Node, Notes, Scalar, Span, Value};
use crate::model::Step;
use crate::names;
use crate::quantity::{format_duration, parse_duration};

/// Longest run that a timeline may ask for.
const TOTAL_MAX: Duration = Duration::from_secs(10 * 60);

const STEP_FORM: &str =
    "a step: `start: [FLOW, …]`, `phase: NAME`, a duration such as `500ms`, the name of an event, or `stop`";

/// The steps, and when each event fires, counted from the beginning.
pub(super) struct Timeline {
    pub(super) steps: Vec<Step>,
    pub(super) moments: BTreeMap<String, Moment>,
    /// The phases, in order.
    pub(super) phases: Vec<Phase>,
    pub(super) total: Duration,
    /// Whether every step is in order, so that the moments hold.
    pub(super) is_complete: bool,
}

/// When a phase begins.
pub(super) struct Phase {
    pub(super) name: String,
    pub(super) from: Moment,
    line: usize,
}

/// When an event fires.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    pub(super) at: Duration,
    /// Its index in the timeline, which orders events of the same time.
    pub(super) step: usize,
}

pub(super) fn resolve(
    notes: &mut Notes<'_>,
    entry: &Entry,
    flows: &[Name],
    events: &[Name],
) -> Option<Timeline> {
    let items = list(notes, &entry.value, &format!("a list of steps, each {STEP_FORM}"))?;
    let mut walk = Walk {
        flows,
        events,
        started: BTreeMap::new(),
        fired: BTreeMap::new(),
        timeline: Timeline {
            steps: Vec::new(),
            moments: BTreeMap::new(),
            phases: Vec::new(),
            total: Duration::ZERO,
            is_complete: true,
        },
    };
    for (index, item) in items.iter().enumerate() {
        let before = notes.count();
        let step = walk.step(notes, index, item);
        walk.timeline.steps.extend(step);
        walk.timeline.is_complete &= notes.count() == before;
    }
    walk.check_ends(notes, entry.key.span, items);
    // A step that could not be read may have been the one that starts or fires what seems unused.
    if walk.timeline.is_complete {
        walk.check_use(notes);
    }
    Some(walk.timeline)
}

struct Walk<'d> {
    flows: &'d [Name],
    events: &'d [Name],
    /// Lines on which flows start and events fire.
    started: BTreeMap<String, usize>,
    fired: BTreeMap<String, usize>,
    timeline: Timeline,
}

impl Walk<'_> {
    fn step(&mut self, notes: &mut Notes<'_>, index: usize, item: &Node) -> Option<Step> {
        if matches!(item.value, Value::Mapping(_)) {
            let keys = ["start", "phase"];
            let fields = Fields::of(notes, item.span, item, "a step", &keys)?;
            return match (fields.optional("phase"), fields.optional("start")) {
                (Some(phase), None) => self.phase(notes, index, &phase.value),
                (Some(_), Some(start)) => {
                    notes.error(start.key.span, "a step does one thing", "make two steps of it");
                    None
                }
                (None, _) => {
                    let start = fields.required(notes, "start")?;
                    Some(Step::Start(self.start(notes, &start.value)))
                }
            };
        }
        if let Value::Scalar(Scalar {
            text,
            meaning: Meaning::Integer(_) | Meaning::Float(_),
        }) = &item.value
        {
            let message = format!("expected {STEP_FORM}, found {}", item.describe());
            notes.error(item.span, message, format!("did you mean `{text}ms`?"));
            return None;
        }
        match string(notes, item, STEP_FORM)? {
            "stop" => Some(Step::Stop),
            text if text.starts_with(|c: char| c.is_ascii_digit()) => self.wait(notes, item.span, text),
            text => self.fire(notes, index, item.span, text),
        }
    }

    fn start(&mut self, notes: &mut Notes<'_>, node: &Node) -> Vec<String> {
        if matches!(&node.value, Value::Sequence(items) if items.is_empty()) {
            notes.error(
                node.span,
                "expected at least one flow to start, found none",
                "name one, or remove the step",
            );
        }
        let names = set(notes, node, "names of flows", |notes, node, name| {
            let known = self.flows.iter().any(|flow| flow.text == name);
            if !known {
                unknown(
                    notes,
                    node.span,
                    name,
                    &flows::FLOW,
                    self.flows.iter().map(|flow| flow.text.as_str()),
                );
            }
            if let Some(line) = self.started.get(name) {
                notes.error(
                    node.span,
                    format!("flow `{name}` starts twice"),
                    format!("it already starts on line {line}"),
                );
            }
            known
        });
        let line = node.span.line;
        let names: Vec<String> = names.into_iter().map(ToOwned::to_owned).collect();
        self.started.extend(names.iter().map(|name| (name.clone(), line)));
        names
    }

    fn phase(&mut self, notes: &mut Notes<'_>, index: usize, node: &Node) -> Option<Step> {
        const FORM: &str = "the name of a phase";
        let name = string(notes, node, FORM)?;
        if !names::is_identifier(name) {
            let hint = "a name has at most 63 of `a-z`, `0-9` and `-`, and begins with a letter";
            notes.error(node.span, format!("expected {FORM}, found `{name}`"), hint);
            return None;
        }
        if let Some(earlier) = self.timeline.phases.iter().find(|phase| phase.name == name) {
            let hint = format!(
                "it already begins on line {}; give this one another name",
                earlier.line
            );
            notes.error(node.span, format!("phase `{name}` begins twice"), hint);
            return None;
        }
        self.timeline.phases.push(Phase {
            name: name.to_owned(),
            from: Moment {
                at: self.timeline.total,
                step: index,
            },
            line: node.span.line,
        });
        Some(Step::Phase(name.to_owned()))
    }

    fn wait(&mut self, notes: &mut Notes<'_>, span: Span, text: &str) -> Option<Step> {
        let duration = match parse_duration(text) {
            Ok(duration) if !duration.is_zero() => duration,
            Ok(_) => {
                notes.error(
                    span,
                    format!("expected a wait longer than zero, found `{text}`"),
                    "remove the step",
                );
                return None;
            }
            Err(error) => {
                let hint = "a duration is a number and one of the units us, ms, s, m";
                notes.error(span, error.to_string(), hint);
                return None;
            }
        };
        let before = self.timeline.total;
        self.timeline.total += duration;
        if before <= TOTAL_MAX && self.timeline.total > TOTAL_MAX {
            let message = format!(
                "expected a timeline of at most {}, found {} up to here",
                format_duration(TOTAL_MAX),
                format_duration(self.timeline.total)
            );
            notes.error(span, message, "shorten the waits");
        }
        Some(Step::Wait(duration))
    }

    fn fire(&mut self, notes: &mut Notes<'_>, index: usize, span: Span, name: &str) -> Option<Step> {
        if !self.events.iter().any(|event| event.text == name) {
            let known = self
                .events
                .iter()
                .map(|event| event.text.as_str())
                .chain(["stop"]);
            unknown(notes, span, name, &events::EVENT, known);
            return None;
        }
        if let Some(line) = self.fired.get(name) {
            let hint = format!("it already fires on line {line}; declare a second event that does the same");
            notes.error(span, format!("event `{name}` fires twice"), hint);
            return None;
        }
        self.fired.insert(name.to_owned(), span.line);
        self.timeline.moments.insert(
            name.to_owned(),
            Moment {
                at: self.timeline.total,
                step: index,
            },
        );
        Some(Step::Fire(name.to_owned()))
    }

    fn check_ends(&self, notes: &mut Notes<'_>, place: Span, items: &[Node]) {
        let is_stop = |item: &&Node| item.text() == Some("stop");
        let is_start = |item: &&Node| item.at(&["start"]).is_some();
        if items.first().filter(is_start).is_none() {
            let span = items.first().map_or(place, |item| item.span);
            notes.error(
                span,
                "a timeline begins with a start of flows",
                "begin with `start: [FLOW, …]`",
            );
        }
        match items.last() {
            Some(last) if !is_stop(&last) => {
                notes.error(
                    last.span,
                    "a timeline ends with `stop`",
                    "add `stop` as the last step",
                );
            }
            _ => {}
        }
        for item in items.iter().rev().skip(1).filter(is_stop) {
            notes.error(
                item.span,
                "`stop` before the end of the timeline",
                "move it to the end",
            );
        }
        if self.timeline.total.is_zero() && self.timeline.is_complete && !items.is_empty() {
            notes.error(
                place,
                "a timeline that lets no time pass proves nothing",
                "add a duration such as `500ms`",
            );
        }
    }

    fn check_use(&self, notes: &mut Notes<'_>) {
        for flow in self
            .flows
            .iter()
            .filter(|flow| !self.started.contains_key(&flow.text))
        {
            let hint = format!("add it to a `start` of the timeline: `start: [{}]`", flow.text);
            notes.error(flow.span, format!("flow `{}` is never started", flow.text), hint);
        }
        for event in self
            .events
            .iter()
            .filter(|event| !self.fired.contains_key(&event.text))
        {
            let hint = format!("add `{}` to the timeline, or remove the event", event.text);
            notes.error(event.span, format!("event `{}` is never fired", event.text), hint);
        }
    }
}
