//! Faults of the Manager: what an author can do to it as an event.
//!
//! Owns the words of `manager: {…}`. What each fault does is the lab's business.

use std::time::Duration;

use super::faults::reference;
use super::fields::{Fields, integer, is_set, set, string, word};
use super::impair::quantity;
use super::topology::SITE;
use crate::document::{Entry, Node, Notes};
use crate::model::{Event, ExpiryShape, GatewayAnswer, ManagerFault, Method, Requests, Topology};
use crate::quantity::{format_duration, parse_duration};

/// What can be done to the Manager.
const KINDS: [&str; 9] = [
    "failPushes",
    "holdLock",
    "delayTasks",
    "answer",
    "cutReplies",
    "delayRequests",
    "expireSessions",
    "loseController",
    "heal",
];
/// Words that say which requests are meant.
const REQUESTS: [&str; 4] = ["count", "after", "method", "path"];
/// No run has more requests or pushes.
const COUNT_MAX: u32 = 1_000_000;
const DELAY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(60));
/// What the lab itself asks of the Manager; no fault is felt there.
const OWN_PATHS: &str = "/pathproof";

/// The event that `manager: {…}` describes.
pub(super) fn event(notes: &mut Notes<'_>, entry: &Entry, topology: Option<&Topology>) -> Option<Event> {
    let what = "`manager`";
    let fields = Fields::of(notes, entry.key.span, &entry.value, what, &KINDS)?;
    let kind = fields.only(notes, &KINDS)?;
    match kind.key.text.as_str() {
        "holdLock" => is_set(notes, &fields, "holdLock").then_some(ManagerFault::HoldLock),
        "loseController" => is_set(notes, &fields, "loseController").then_some(ManagerFault::LoseController),
        "heal" => return is_set(notes, &fields, "heal").then_some(Event::HealManager),
        "expireSessions" => {
            let shape = word(notes, &kind.value, "expiry shape", &ExpiryShape::NAMES);
            shape.map(ManagerFault::ExpireSessions)
        }
        "failPushes" => fail_pushes(notes, kind, topology),
        "delayTasks" => delay_tasks(notes, kind),
        "answer" => answer(notes, kind),
        "cutReplies" => {
            let (_, requests) = of_requests(notes, kind, &[])?;
            Some(ManagerFault::CutReplies { requests: requests? })
        }
        _ => delay_requests(notes, kind),
    }
    .map(|fault| Event::ManagerFault { fault })
}

fn fail_pushes(notes: &mut Notes<'_>, kind: &Entry, topology: Option<&Topology>) -> Option<ManagerFault> {
    let before = notes.count();
    let fields = described(notes, kind, &["count", "sites"])?;
    let count = count(notes, &fields);
    let sites = fields.optional("sites").map_or_else(Vec::new, |entry| {
        let names = topology.map(|topology| topology.sites.iter().map(|site| site.name.as_str()).collect());
        sites(notes, &entry.value, names)
    });
    (notes.count() == before).then_some(ManagerFault::FailPushes { count, sites })
}

fn sites(notes: &mut Notes<'_>, node: &Node, names: Option<Vec<&str>>) -> Vec<String> {
    let before = notes.count();
    let is_site = |notes: &mut Notes<'_>, node: &Node, _: &str| {
        reference(notes, node, &SITE, names.as_deref()).is_some()
    };
    let sites = set(notes, node, "names of sites", is_site);
    if sites.is_empty() && notes.count() == before && names.is_some() {
        notes.error(
            node.span,
            "expected at least one site in `sites`, found none",
            "name one, or remove the key: all sites are meant then",
        );
    }
    sites.into_iter().map(ToOwned::to_owned).collect()
}

fn delay_tasks(notes: &mut Notes<'_>, kind: &Entry) -> Option<ManagerFault> {
    let before = notes.count();
    let fields = described(notes, kind, &["by", "count"])?;
    let (by, count) = (delay(notes, &fields), count(notes, &fields));
    let by = by.filter(|_| notes.count() == before)?;
    Some(ManagerFault::DelayTasks { by, count })
}

fn answer(notes: &mut Notes<'_>, kind: &Entry) -> Option<ManagerFault> {
    let (fields, requests) = of_requests(notes, kind, &["with"])?;
    let with = fields.required(notes, "with")?;
    Some(ManagerFault::Answer {
        with: word(notes, &with.value, "answer", &GatewayAnswer::NAMES)?,
        requests: requests?,
    })
}

fn delay_requests(notes: &mut Notes<'_>, kind: &Entry) -> Option<ManagerFault> {
    let (fields, requests) = of_requests(notes, kind, &["by"])?;
    Some(ManagerFault::DelayRequests {
        by: delay(notes, &fields)?,
        requests: requests?,
    })
}

/// The fields of a fault of requests, and which requests; `None` for these where something is wrong with them.
fn of_requests<'n>(
    notes: &mut Notes<'_>,
    kind: &'n Entry,
    more: &[&'static str],
) -> Option<(Fields<'n>, Option<Requests>)> {
    let before = notes.count();
    let fields = described(notes, kind, &[more, &REQUESTS].concat())?;
    let requests = Requests {
        count: count(notes, &fields),
        after: times(notes, &fields, "after", "how many requests it lets by first"),
        method: fields
            .optional("method")
            .and_then(|entry| word(notes, &entry.value, "HTTP method", &Method::NAMES)),
        path: fields
            .optional("path")
            .and_then(|entry| path(notes, &entry.value)),
    };
    let requests = (notes.count() == before).then_some(requests);
    Some((fields, requests))
}

pub(super) fn described<'n>(notes: &mut Notes<'_>, kind: &'n Entry, keys: &[&str]) -> Option<Fields<'n>> {
    let what = format!("`{}`", kind.key.text);
    Fields::of(notes, kind.key.span, &kind.value, &what, keys)
}

pub(super) fn count(notes: &mut Notes<'_>, fields: &Fields<'_>) -> Option<u32> {
    times(notes, fields, "count", "how often it strikes")
}

fn times(notes: &mut Notes<'_>, fields: &Fields<'_>, key: &str, what: &str) -> Option<u32> {
    let entry = fields.optional(key)?;
    let times = integer(notes, &entry.value, what, 1..=i64::from(COUNT_MAX))?;
    u32::try_from(times).ok()
}

pub(super) fn delay(notes: &mut Notes<'_>, fields: &Fields<'_>) -> Option<Duration> {
    let by = fields.required(notes, "by")?;
    bounded(notes, by, DELAY, "clients would not notice, or give up")
}

/// A duration in a range; `why` hints at what is wrong with others.
pub(super) fn bounded(
    notes: &mut Notes<'_>,
    entry: &Entry,
    (least, most): (Duration, Duration),
    why: &str,
) -> Option<Duration> {
    let node = &entry.value;
    let found = quantity(notes, node, "a duration such as `500ms`", parse_duration)?;
    if (least..=most).contains(&found) {
        return Some(found);
    }
    let key = &entry.key.text;
    let [least, most, found] = [least, most, found].map(format_duration);
    let message = format!("expected from {least} to {most} for `{key}`, found {found}");
    notes.error(node.span, message, why);
    None
}

fn path(notes: &mut Notes<'_>, node: &Node) -> Option<String> {
    const FORM: &str = "the beginning of a path such as `/dataservice/template`";
    let path = string(notes, node, FORM)?;
    if !path.starts_with('/') {
        let message = format!("expected {FORM}, found `{path}`");
        notes.error(node.span, message, format!("write `/{path}`"));
        return None;
    }
    if path.starts_with(OWN_PATHS) {
        let message = format!("no fault is felt below `{OWN_PATHS}`, found `{path}`");
        let hint = "name a path of the product, or remove the key: all requests to it are meant then";
        notes.error(node.span, message, hint);
        return None;
    }
    Some(path.to_owned())
}
