//! Rejections as Kubernetes Events.
//!
//! Owns telling the owner of a Service that its annotations were refused. Invariant: one Event per rejection, however
//! many rounds see it; an Event that cannot be written is tried again in the next round and delays no steering.

use std::collections::HashSet;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::time::timeout;
use tracing::warn;

use crate::core::Rejection;

const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct EventReporter {
    recorder: Recorder,
    reported: HashSet<Rejection>,
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

    /// Writes an Event for every rejection that the last call did not have.
    pub(super) async fn report(&mut self, rejections: &[Rejection]) {
        self.reported.retain(|reported| rejections.contains(reported));
        let new = rejections
            .iter()
            .filter(|rejection| !self.reported.contains(rejection));
        let written = join_all(new.map(|rejection| self.publish(rejection))).await;
        self.reported.extend(written.into_iter().flatten().cloned());
    }

    async fn publish<'a>(&self, rejection: &'a Rejection) -> Option<&'a Rejection> {
        let Rejection {
            service,
            uid,
            refusal,
        } = rejection;
        warn!(%service, reason = refusal.reason(), refusal = %refusal, "annotations refused");
        let regarding = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Service".to_owned()),
            namespace: Some(service.kube_namespace.clone()),
            name: Some(service.name.clone()),
            uid: Some(uid.clone()),
            ..ObjectReference::default()
        };
        let event = Event {
            type_: EventType::Warning,
            reason: refusal.reason().to_owned(),
            note: Some(format!("not steered: {refusal}")),
            action: "Steer".to_owned(),
            secondary: None,
        };
        match timeout(PATIENCE, self.recorder.publish(&event, &regarding)).await {
            Ok(Ok(())) => Some(rejection),
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
