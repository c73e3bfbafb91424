//! Faults of a Kubernetes API: what an author can do to it as an event.
//!
//! Owns the words of `api: {…}`. What each fault does is the lab's business.

use std::time::Duration;

use super::fields::{Fields, is_set, label, quoted, set, string, word};
use super::manager::{bounded, count, delay, described};
use super::manifests::Inventory;
use crate::document::{Entry, Node, Notes};
use crate::model::{ApiAnswer, ApiFault, ApiRequests, Event, Skew, Verb};
use crate::names;

/// What can be done to an API.
const KINDS: [&str; 8] = [
    "answer",
    "cutReplies",
    "delay",
    "dropWatches",
    "compact",
    "down",
    "skewLeases",
    "heal",
];
/// Whose requests are meant, and how many.
const WHOSE: [&str; 3] = ["count", "namespace", "user"];
/// What the requests ask for.
const WHAT: [&str; 2] = ["verbs", "resources"];
/// What is wrong with other skews.
const HOW_WRONG: &str = "Leases would not show it, or the writer would be called broken";
const SKEW: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(60 * 60));

/// The event that `api: {…}` describes.
pub(super) fn event(notes: &mut Notes<'_>, entry: &Entry, inventory: &Inventory) -> Option<Event> {
    let before = notes.count();
    let keys = [&["cluster"][..], &KINDS].concat();
    let fields = Fields::of(notes, entry.key.span, &entry.value, "`api`", &keys)?;
    let place = "the event: add `cluster: NAME` in `api`";
    let cluster = inventory.cluster_of(notes, entry.key.span, fields.optional("cluster"), place);
    let kind = fields.only(notes, &KINDS);
    if kind.is_none() && notes.count() == before {
        let message = format!("expected one of {} beside `cluster`", quoted(&KINDS));
        notes.error(entry.key.span, message, "say what goes wrong with its API");
    }
    let kind = kind?;
    let fault = match kind.key.text.as_str() {
        "heal" => {
            let heals = is_set(notes, &fields, "heal");
            return heals.then_some(Event::HealApi { cluster: cluster? });
        }
        "compact" => is_set(notes, &fields, "compact").then_some(ApiFault::Compact),
        "down" => is_set(notes, &fields, "down").then_some(ApiFault::Down),
        "answer" => answer(notes, kind),
        "cutReplies" => cut_replies(notes, kind),
        "delay" => {
            let (fields, requests) = of_requests(notes, kind, &["by"], &WHAT)?;
            delay(notes, &fields)
                .zip(requests)
                .map(|(by, requests)| ApiFault::Delay { by, requests })
        }
        "dropWatches" => {
            let (_, requests) = of_requests(notes, kind, &[], &["resources"])?;
            requests.map(|requests| ApiFault::DropWatches { requests })
        }
        _ => skew_leases(notes, kind),
    };
    Some(Event::ApiFault {
        fault: fault?,
        cluster: cluster?,
    })
}

fn answer(notes: &mut Notes<'_>, kind: &Entry) -> Option<ApiFault> {
    let (fields, requests) = of_requests(notes, kind, &["with"], &WHAT)?;
    let with = fields.required(notes, "with")?;
    let with = word(notes, &with.value, "answer", &ApiAnswer::NAMES)?;
    let requests = requests?;
    if with == ApiAnswer::Conflict {
        strikes(
            notes,
            &fields,
            &requests,
            &[Verb::Update, Verb::Patch, Verb::Delete],
        )?;
    }
    Some(ApiFault::Answer { with, requests })
}

fn cut_replies(notes: &mut Notes<'_>, kind: &Entry) -> Option<ApiFault> {
    let (fields, requests) = of_requests(notes, kind, &[], &WHAT)?;
    let requests = requests?;
    // The reply to a watch has no middle.
    let others = Verb::NAMES.map(|(_, verb)| verb);
    let others: Vec<Verb> = others.into_iter().filter(|verb| *verb != Verb::Watch).collect();
    strikes(notes, &fields, &requests, &others)?;
    Some(ApiFault::CutReplies { requests })
}

fn skew_leases(notes: &mut Notes<'_>, kind: &Entry) -> Option<ApiFault> {
    const CLOCKS: [&str; 2] = ["ahead", "behind"];
    let before = notes.count();
    let (fields, requests) = of_requests(notes, kind, &CLOCKS, &[])?;
    let mut clock = None;
    match (fields.optional("ahead"), fields.optional("behind")) {
        (Some(entry), None) => clock = bounded(notes, entry, SKEW, HOW_WRONG).map(Skew::Ahead),
        (None, Some(entry)) => clock = bounded(notes, entry, SKEW, HOW_WRONG).map(Skew::Behind),
        _ if notes.count() == before => {
            let message = "expected either `ahead` or `behind` in `skewLeases`";
            notes.error(kind.key.span, message, "a clock is wrong in one way");
        }
        _ => {}
    }
    Some(ApiFault::SkewLeases {
        clock: clock?,
        requests: requests?,
    })
}

/// Notes verbs that a fault does not strike.
fn strikes(notes: &mut Notes<'_>, fields: &Fields<'_>, requests: &ApiRequests, verbs: &[Verb]) -> Option<()> {
    let other = requests.verbs.iter().find(|verb| !verbs.contains(verb));
    let (Some(other), Some(entry)) = (other, fields.optional("verbs")) else {
        return Some(());
    };
    let name = |wanted: &Verb| Verb::NAMES.into_iter().find(|(_, verb)| verb == wanted);
    let name = |verb: &Verb| name(verb).map_or("", |(name, _)| name);
    let known: Vec<&str> = verbs.iter().map(name).collect();
    let message = format!("no request of verb `{}` is struck", name(other));
    notes.error(
        entry.value.span,
        message,
        format!("verbs that are: {}", known.join(", ")),
    );
    None
}

/// The fields of a fault of requests, and which requests; `None` for these where something is wrong with them.
fn of_requests<'n>(
    notes: &mut Notes<'_>,
    kind: &'n Entry,
    own: &[&'static str],
    what: &[&'static str],
) -> Option<(Fields<'n>, Option<ApiRequests>)> {
    let before = notes.count();
    let fields = described(notes, kind, &[own, what, &WHOSE].concat())?;
    let given = |key: &str| fields.optional(key).map(|entry| &entry.value);
    let requests = ApiRequests {
        count: count(notes, &fields),
        verbs: given("verbs").map_or_else(Vec::new, |node| verbs(notes, node)),
        resources: given("resources").map_or_else(Vec::new, |node| resources(notes, node)),
        namespace: given("namespace")
            .and_then(|node| label(notes, node, "the name of a namespace"))
            .map(str::to_owned),
        user: given("user").and_then(|node| user(notes, node)),
    };
    let requests = (notes.count() == before).then_some(requests);
    Some((fields, requests))
}

fn verbs(notes: &mut Notes<'_>, node: &Node) -> Vec<Verb> {
    let verb = |text: &str| Verb::NAMES.into_iter().find(|(name, _)| *name == text);
    let names = some(notes, node, "verbs", |notes, node, text| {
        let is_known = verb(text).is_some();
        if !is_known {
            let known = Verb::NAMES.into_iter().map(|(name, _)| name);
            let hint = names::suggestion(text, "verbs", known);
            notes.error(node.span, format!("unknown verb `{text}`"), hint);
        }
        is_known
    });
    names.into_iter().filter_map(verb).map(|(_, verb)| verb).collect()
}

fn resources(notes: &mut Notes<'_>, node: &Node) -> Vec<String> {
    let names = some(notes, node, "resources", |notes, node, text| {
        let is_name = names::is_resource(text);
        if !is_name {
            let message = format!("expected the plural of a resource, found `{text}`");
            let hint = "such as `services`, `leases.coordination.k8s.io` or `pods/status`";
            notes.error(node.span, message, hint);
        }
        is_name
    });
    names.into_iter().map(str::to_owned).collect()
}

/// As [`set`], of one element or more.
fn some<'n>(
    notes: &mut Notes<'_>,
    node: &'n Node,
    what: &str,
    check: impl FnMut(&mut Notes<'_>, &'n Node, &'n str) -> bool,
) -> Vec<&'n str> {
    let before = notes.count();
    let found = set(notes, node, what, check);
    if found.is_empty() && notes.count() == before {
        let message = format!("expected at least one of {what}, found none");
        notes.error(
            node.span,
            message,
            "name one, or remove the key: all are meant then",
        );
    }
    found
}

fn user(notes: &mut Notes<'_>, node: &Node) -> Option<String> {
    const FORM: &str = "the name of a user such as `system:serviceaccount:default:operator`";
    let user = string(notes, node, FORM)?;
    if user.is_empty() {
        let hint = "name one, or remove the key: all users are meant then";
        notes.error(node.span, format!("expected {FORM}, found an empty string"), hint);
        return None;
    }
    Some(user.to_owned())
}
