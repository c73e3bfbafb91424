//! What the Manager did, for the event log of a run.
//!
//! Owns the records and hands them to every listener. Invariant: a listener misses nothing from the moment it began
//! to listen, and gets records in the order in which things happened.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde::{Serialize, Serializer};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::faults::Fault;
pub use super::objects::ObjectKind;
pub use super::store::Change;

/// Something that happened on the Manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Activity {
    /// When, by the wall clock; in JSON as nanoseconds since the Unix epoch.
    #[serde(rename = "at_ns", serialize_with = "unix_ns")]
    pub at: SystemTime,
    /// What.
    pub event: Event,
}

impl Activity {
    /// When, in nanoseconds since the Unix epoch (`CLOCK_REALTIME`), as kernel timestamps of packets are.
    pub fn unix_ns(&self) -> u64 {
        nanoseconds(self.at)
    }
}

fn nanoseconds(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn unix_ns<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(nanoseconds(*at))
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A client logged in.
    LoggedIn {
        /// As whom.
        user: String,
    },
    /// A client gave a wrong name or password.
    LoginRefused {
        /// As whom.
        user: String,
    },
    /// A client created an object.
    Created {
        /// Its kind.
        kind: ObjectKind,
        /// Its id.
        id: Uuid,
        /// Its name.
        name: String,
    },
    /// A client replaced an object.
    Updated {
        /// Its kind.
        kind: ObjectKind,
        /// Its id.
        id: Uuid,
        /// Its new name.
        name: String,
    },
    /// A client deleted an object.
    Deleted {
        /// Its kind.
        kind: ObjectKind,
        /// Its name.
        name: String,
    },
    /// A policy was accepted for activation or deactivation.
    PushStarted {
        /// The task.
        task: String,
        /// The policy.
        policy: String,
        /// What becomes of it.
        change: Change,
    },
    /// A WAN edge took its policy.
    Pushed {
        /// The task.
        task: String,
        /// The site of the edge.
        site_id: u32,
    },
    /// A WAN edge did not take its policy.
    PushRefused {
        /// The task.
        task: String,
        /// The site of the edge.
        site_id: u32,
        /// From the edge.
        reason: String,
    },
    /// Every WAN edge took its policy.
    TaskDone {
        /// The task.
        task: String,
    },
    /// A push waits: edges take their policy when a Controller is back.
    TaskScheduled {
        /// The task.
        task: String,
    },
    /// A task did not reach its end.
    TaskFailed {
        /// The task.
        task: String,
        /// Why.
        reason: String,
    },
    /// Something goes wrong on purpose from now on.
    FaultInjected {
        /// Names it.
        id: u64,
        /// What.
        fault: Fault,
    },
    /// A fault struck.
    FaultFelt {
        /// Which.
        id: u64,
    },
    /// A fault is over: healed, or used up.
    FaultHealed {
        /// Which.
        id: u64,
    },
}

/// Receives what happens from now on, without limit; ends with the Manager.
#[derive(Debug)]
pub struct Activities(mpsc::UnboundedReceiver<Activity>);

impl Activities {
    /// The next record; nothing when the Manager has ended and every record was given.
    pub async fn next(&mut self) -> Option<Activity> {
        self.0.recv().await
    }

    /// The next record if there already is one.
    pub fn try_next(&mut self) -> Option<Activity> {
        self.0.try_recv().ok()
    }
}

/// Where records are made.
#[derive(Debug, Default)]
pub(super) struct Log {
    listeners: Mutex<Vec<mpsc::UnboundedSender<Activity>>>,
}

impl Log {
    /// Begins to listen.
    pub(super) fn listen(&self) -> Activities {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(sender);
        Activities(receiver)
    }

    /// Records that something has just happened.
    pub(super) fn record(&self, event: Event) {
        tracing::debug!(?event, "activity");
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that the order of records is that of their times.
        let activity = Activity {
            at: SystemTime::now(),
            event,
        };
        listeners.retain(|listener| listener.send(activity.clone()).is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_listener_gets_every_record_in_order() {
        let log = Log::default();
        let mut listeners = [log.listen(), log.listen()];
        for task in ["a", "b"] {
            log.record(Event::TaskDone {
                task: task.to_owned(),
            });
        }
        drop(log);
        for listener in &mut listeners {
            let (first, second) = (listener.next().await.unwrap(), listener.next().await.unwrap());
            assert!(first.unix_ns() <= second.unix_ns());
            assert_eq!(second.event, Event::TaskDone { task: "b".to_owned() });
            assert_eq!(listener.next().await, None);
        }
    }

    #[test]
    fn a_record_says_its_kind_in_json() {
        let event = Event::Pushed {
            task: "t".to_owned(),
            site_id: 7,
        };
        let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(1_000_000_001);
        let text = serde_json::to_string(&Activity { at, event }).unwrap();
        assert_eq!(
            text,
            r#"{"at_ns":1000000001,"event":{"pushed":{"task":"t","site_id":7}}}"#
        );
    }
}
