//! Refusals as Kubernetes Events.
//!
//! Owns telling the owner of a Service that its intent was refused. Invariant: one Event per refusal, however
//! many rounds see it; an Event that cannot be written is tried again in the next round and delays no steering.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::time::timeout;
use tracing::warn;

use crate::api;
use crate::core::{Outcome, Refusal, ServiceRef, Subject};

const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct EventReporter {
    recorder: Recorder,
    reported: HashSet<Arc<Outcome>>,
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

    /// Writes an Event for every refusal that the last call did not have.
    pub(super) async fn report(&mut self, outcomes: &[Arc<Outcome>]) {
        let refused: HashSet<_> = outcomes
            .iter()
            .filter(|outcome| outcome.verdict.is_err())
            .collect();
        self.reported.retain(|reported| refused.contains(reported));
        let new = refused
            .into_iter()
            .filter(|outcome| !self.reported.contains(*outcome));
        let written = join_all(new.map(|outcome| self.publish(outcome))).await;
        self.reported.extend(written.into_iter().flatten().cloned());
    }

    async fn publish<'a>(&self, outcome: &'a Arc<Outcome>) -> Option<&'a Arc<Outcome>> {
        let refusal = outcome.verdict.as_ref().err()?;
        let service = &outcome.service;
        warn!(%service, reason = refusal.reason(), %refusal, "intent refused");
        let regarding = regarding(service, &outcome.subject);
        let event = event(refusal);
        match timeout(PATIENCE, self.recorder.publish(&event, &regarding)).await {
            Ok(Ok(())) => Some(outcome),
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

fn event(refusal: &Refusal) -> Event {
    Event {
        type_: EventType::Warning,
        reason: refusal.reason().to_owned(),
        note: Some(format!("not steered: {refusal}")),
        action: "Steer".to_owned(),
        secondary: None,
    }
}
