//! Kubernetes Events: an intent refused, here or by the Manager, in force for the first time, its SLA class broken and kept
//! again.
//!
//! Invariant: one Event for each such turn, however many rounds see it; a refusal that cannot be told is tried again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::time::timeout;
use tracing::{info, warn};

use super::policies::Name;
use super::status::missing;
use super::{BATCH_WRITES, Key, PARALLEL_WRITES, Programming, WRITE_PATIENCE, key};
use crate::api;
use crate::core::{Compliance, Intent, Outcome, ServiceRef, Subject};

/// An Event that is to be written, and what it is about.
pub(super) type Due = (Arc<Outcome>, Event);

pub(super) struct EventReporter {
    recorder: Recorder,
    /// Refusals that were told.
    reported: HashSet<Told>,
}

/// What was told: of what, and the words.
type Told = (ServiceRef, Subject, Option<Intent>, Option<String>);

fn told((outcome, event): &Due) -> Told {
    let Outcome {
        service,
        subject,
        intent,
        ..
    } = &**outcome;
    (
        service.clone(),
        subject.clone(),
        intent.clone(),
        event.note.clone(),
    )
}

impl EventReporter {
    pub(super) fn new(kubernetes: kube::Client) -> Self {
        let reporter = Reporter {
            controller: "sdwan-operator".to_owned(),
            instance: None,
        };
        Self {
            recorder: Recorder::new(kubernetes, reporter),
            reported: HashSet::new(),
        }
    }

    /// Writes the Events that are due, refusals only once; whether all refusals are told.
    pub(super) async fn report(&mut self, refusals: Vec<Due>, turns: Vec<Due>) -> bool {
        let refused: HashSet<_> = refusals.iter().map(told).collect();
        self.reported.retain(|reported| refused.contains(reported));
        let new = refusals
            .into_iter()
            .filter(|due| !self.reported.contains(&told(due)));
        let mut new: Vec<_> = new.chain(turns).collect();
        while !new.is_empty() {
            let batch = new.drain(..new.len().min(BATCH_WRITES));
            let batch: Vec<_> = batch.map(|due| self.publish(due)).collect();
            let written: Vec<_> = stream::iter(batch)
                .buffer_unordered(PARALLEL_WRITES)
                .collect()
                .await;
            let told = written.into_iter().flatten();
            self.reported.extend(told.filter(|told| refused.contains(told)));
        }
        refused.len() == self.reported.len()
    }

    async fn publish(&self, due: Due) -> Option<Told> {
        let (outcome, event) = &due;
        let service = &outcome.service;
        info!(%service, reason = event.reason, note = event.note, "event");
        let regarding = regarding(service, &outcome.subject);
        match timeout(WRITE_PATIENCE, self.recorder.publish(event, &regarding)).await {
            Ok(Ok(())) => Some(told(&due)),
            Ok(Err(error)) => {
                warn!(%service, error = &error as &dyn std::error::Error, "event not written");
                None
            }
            Err(_) => {
                warn!(%service, "event not written in time");
                None
            }
        }
    }
}

/// The Events of all refusals, those of the Manager among them.
pub(super) fn refusals(outcomes: &[Arc<Outcome>], setbacks: &BTreeMap<ServiceRef, Programming>) -> Vec<Due> {
    let refused = outcomes.iter().filter_map(|outcome| {
        let setback = setbacks.get(&outcome.service);
        let event = refusal(outcome).or_else(|| refusal_by_manager(setback?))?;
        Some((outcome.clone(), event))
    });
    refused.collect()
}

/// The Events of what came into force and of SLA classes that turned. `already` are the policies that say so, if
/// something may have come into force; `waiting_for` the devices that get it later.
pub(super) fn turns(
    outcomes: &[Arc<Outcome>],
    known: &HashMap<Key, Arc<Outcome>>,
    already: Option<&HashSet<Name>>,
    waiting_for: &[String],
) -> Vec<Due> {
    let mut due = Vec::new();
    for outcome in outcomes {
        let before = known.get(&key(outcome));
        let is_new = before.is_none_or(|before| before.intent != outcome.intent);
        let shown = (
            outcome.service.kube_namespace.clone(),
            outcome.service.name.clone(),
        );
        if is_new && already.is_some_and(|already| before.is_some() || !already.contains(&shown)) {
            due.extend(in_force(outcome, waiting_for).map(|event| (outcome.clone(), event)));
        }
        due.extend(turn(before, outcome).map(|event| (outcome.clone(), event)));
    }
    due
}

fn regarding(service: &ServiceRef, subject: &Subject) -> ObjectReference {
    let (api_version, kind, name, uid) = match subject {
        Subject::Annotations { uid } => ("v1".to_owned(), "Service", &service.name, uid),
        Subject::Policy { name, uid, .. } => {
            let api_version = format!("{}/{}", api::GROUP, api::VERSION);
            (api_version, "SteeringPolicy", name, uid)
        }
    };
    ObjectReference {
        api_version: Some(api_version),
        kind: Some(kind.to_owned()),
        namespace: Some(service.kube_namespace.clone()),
        name: Some(name.clone()),
        uid: Some(uid.clone()),
        ..ObjectReference::default()
    }
}

fn refusal(outcome: &Outcome) -> Option<Event> {
    let refusal = outcome.verdict.as_ref().err()?;
    Some(event(
        EventType::Warning,
        refusal.reason(),
        format!("not steered: {refusal}"),
    ))
}

fn refusal_by_manager(setback: &Programming) -> Option<Event> {
    let Programming::Failed { reason, message } = setback else {
        return None;
    };
    Some(event(EventType::Warning, reason, message.clone()))
}

fn in_force(outcome: &Outcome, waiting_for: &[String]) -> Option<Event> {
    let accepted = outcome.verdict.as_ref().ok()?;
    let endpoints = match accepted.endpoints {
        1 => "1 endpoint is steered".to_owned(),
        endpoints => format!("{endpoints} endpoints are steered"),
    };
    let way = match accepted.tunnel {
        Some(color) => format!("{endpoints} to {color}"),
        None => endpoints,
    };
    let note = match waiting_for {
        [] => way,
        devices => format!("{way}; {}", missing(devices)),
    };
    Some(event(EventType::Normal, "Programmed", note))
}

/// What is to be said of an SLA class that is kept or broken otherwise than before.
fn turn(before: Option<&Arc<Outcome>>, outcome: &Outcome) -> Option<Event> {
    let compliance = |outcome: &Outcome| {
        outcome
            .verdict
            .as_ref()
            .ok()
            .and_then(|accepted| accepted.compliance)
    };
    let tunnel = outcome.verdict.as_ref().ok().and_then(|accepted| accepted.tunnel);
    let tunnel = tunnel.map_or_else(|| "no tunnel".to_owned(), |color| color.to_string());
    match (before.and_then(|before| compliance(before)), compliance(outcome)?) {
        (Some(Compliance::Violated), Compliance::Met) => Some(event(
            EventType::Normal,
            "SlaMet",
            format!("{tunnel} keeps the SLA class again"),
        )),
        (before, Compliance::Violated) if before != Some(Compliance::Violated) => Some(event(
            EventType::Warning,
            "SlaViolated",
            format!("{tunnel} does not keep the SLA class, and no other one does"),
        )),
        _ => None,
    }
}

fn event(type_: EventType, reason: &str, note: String) -> Event {
    Event {
        type_,
        reason: reason.to_owned(),
        note: Some(note),
        action: "Steer".to_owned(),
        secondary: None,
    }
}
