//! The status of a SteeringPolicy: what became of an intent, as conditions.
//!
//! Pure: the old status and the time are parameters. Invariant: a status in which nothing changed comes out equal to
//! the old one, so that it is not written again.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::Programming;
use crate::api::{ACCEPTED, DEGRADED, PROGRAMMED, SteeringPolicyStatus};
use crate::core::{Accepted, Compliance, Outcome};

/// How many devices a message names.
const NAMED_DEVICES: usize = 10;

/// A condition without its times.
struct Word {
    status: &'static str,
    reason: String,
    message: String,
}

impl Word {
    fn new(status: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.to_owned(),
            message: message.into(),
        }
    }
}

/// The status of the policy of this generation that is the subject of `outcome`.
pub(super) fn status(
    outcome: &Outcome,
    generation: i64,
    programming: &Programming,
    old: Option<&SteeringPolicyStatus>,
    now: Timestamp,
) -> SteeringPolicyStatus {
    let old = old.cloned().unwrap_or_default();
    let programmed = match (&outcome.verdict, programming) {
        // What is on its way now does not unsay what is on the fabric.
        (Ok(_), Programming::Pending) if old.observed_generation == Some(generation) => None,
        // A device that has gone offline since then still has it.
        (Ok(accepted), Programming::Waiting(_)) if says_programmed(&old, generation, accepted) => None,
        (verdict, programming) => Some(programmed(verdict.as_ref().ok(), programming, outcome)),
    };
    let words = [
        (ACCEPTED, Some(accepted(outcome))),
        (PROGRAMMED, programmed),
        (DEGRADED, degraded(outcome)),
    ];
    let conditions = words.into_iter().filter_map(|(kind, word)| {
        let before = old.conditions.iter().find(|condition| condition.type_ == kind);
        match word {
            Some(word) => Some(condition(kind, word, generation, before, now)),
            None if kind == PROGRAMMED => before.cloned(),
            None => None,
        }
    });
    let steered = outcome.verdict.as_ref().ok();
    let mut status = SteeringPolicyStatus {
        observed_generation: Some(generation),
        conditions: conditions.collect(),
        tunnel: steered.and_then(tunnel),
        endpoints: steered.map(count),
        last_programmed: old.last_programmed.clone(),
    };
    if status != old && matches!(programming, Programming::Done) && steered.is_some() {
        status.last_programmed = Some(now.to_string());
    }
    status
}

fn accepted(outcome: &Outcome) -> Word {
    match &outcome.verdict {
        Ok(_) => Word::new("True", "Accepted", ""),
        Err(refusal) => Word::new("False", refusal.reason(), refusal.to_string()),
    }
}

fn programmed(accepted: Option<&Accepted>, programming: &Programming, outcome: &Outcome) -> Word {
    match (accepted, programming) {
        (None, _) => Word::new("False", "Refused", refusal_of(outcome)),
        (Some(_), Programming::Pending) => Word::new("Unknown", "Pending", "on its way to the Manager"),
        (Some(_), Programming::Failed { reason, message }) => Word::new("False", reason, message.clone()),
        (Some(accepted), Programming::Done | Programming::Waiting(_)) if accepted.endpoints == 0 => {
            Word::new("True", "NoEndpoints", "there is no endpoint to steer")
        }
        (Some(_), Programming::Done) => Word::new("True", "Programmed", ""),
        (Some(_), Programming::Waiting(devices)) => Word::new("False", "WaitingForDevices", missing(devices)),
    }
}

/// Whether a status says that the fabric does the same already.
fn says_programmed(old: &SteeringPolicyStatus, generation: i64, accepted: &Accepted) -> bool {
    let mut conditions = old.conditions.iter();
    old.observed_generation == Some(generation)
        && old.endpoints == Some(count(accepted))
        && old.tunnel == tunnel(accepted)
        && conditions.any(|condition| condition.type_ == PROGRAMMED && condition.status == "True")
}

/// Which devices do not have the policy yet, in words.
pub(super) fn missing(devices: &[String]) -> String {
    let named: Vec<_> = devices.iter().take(NAMED_DEVICES).map(String::as_str).collect();
    let more = match devices.len().saturating_sub(NAMED_DEVICES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "offline, and to get it when they are back: {}{more}",
        named.join(", ")
    )
}

fn count(accepted: &Accepted) -> u32 {
    u32::try_from(accepted.endpoints).unwrap_or(u32::MAX)
}

fn tunnel(accepted: &Accepted) -> Option<String> {
    accepted.tunnel.map(|color| color.to_string())
}

fn refusal_of(outcome: &Outcome) -> String {
    let refusal = outcome.verdict.as_ref().err();
    refusal.map(ToString::to_string).unwrap_or_default()
}

fn degraded(outcome: &Outcome) -> Option<Word> {
    let accepted = outcome.verdict.as_ref().ok()?;
    let tunnel = accepted
        .tunnel
        .map_or_else(|| "no tunnel".to_owned(), |color| color.to_string());
    Some(match accepted.compliance? {
        Compliance::Met => Word::new("False", "SlaMet", ""),
        Compliance::Unknown => Word::new(
            "Unknown",
            "NotMeasured",
            format!("{tunnel}: nothing was measured"),
        ),
        Compliance::Violated => Word::new(
            "True",
            "SlaViolated",
            format!("{tunnel} does not keep the SLA class"),
        ),
    })
}

fn condition(
    kind: &str,
    word: Word,
    generation: i64,
    before: Option<&Condition>,
    now: Timestamp,
) -> Condition {
    let since = before
        .filter(|before| before.status == word.status)
        .map_or(Time(now), |before| before.last_transition_time.clone());
    Condition {
        type_: kind.to_owned(),
        status: word.status.to_owned(),
        reason: word.reason,
        message: word.message,
        observed_generation: Some(generation),
        last_transition_time: since,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Cluster, Refusal, ServiceRef, Subject};

    const GENERATION: i64 = 3;

    fn outcome(verdict: Result<Accepted, Refusal>) -> Outcome {
        Outcome {
            service: ServiceRef {
                cluster: Cluster::default(),
                kube_namespace: "shop".to_owned(),
                name: "business".to_owned(),
            },
            subject: Subject::Annotations { uid: "u".to_owned() },
            intent: None,
            verdict,
        }
    }

    fn accepted(endpoints: usize, compliance: Option<Compliance>) -> Outcome {
        outcome(Ok(Accepted {
            service_vpn: 10,
            endpoints,
            tunnel: Some("mpls".parse().unwrap()),
            compliance,
        }))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn says(status: &SteeringPolicyStatus, kind: &str) -> String {
        let condition = status.conditions.iter().find(|condition| condition.type_ == kind);
        condition.map_or("-".to_owned(), |condition| {
            format!(
                "{} {} since {}",
                condition.status,
                condition.reason,
                condition.last_transition_time.0.as_second()
            )
        })
    }

    #[test]
    fn nothing_new_leaves_the_status_as_it_is() {
        let outcome = accepted(2, None);
        let first = status(&outcome, GENERATION, &Programming::Done, None, at(1));
        assert_eq!(says(&first, PROGRAMMED), "True Programmed since 1");
        assert_eq!(first.tunnel.as_deref(), Some("mpls"));
        assert_eq!(first.endpoints, Some(2));
        for programming in [Programming::Done, Programming::Pending] {
            assert_eq!(
                status(&outcome, GENERATION, &programming, Some(&first), at(9)),
                first
            );
        }
    }

    #[test]
    fn a_new_generation_is_pending_until_the_fabric_has_it() {
        let outcome = accepted(2, None);
        let first = status(&outcome, GENERATION, &Programming::Done, None, at(1));
        let pending = status(
            &outcome,
            GENERATION + 1,
            &Programming::Pending,
            Some(&first),
            at(2),
        );
        assert_eq!(says(&pending, PROGRAMMED), "Unknown Pending since 2");
        assert_eq!(says(&pending, ACCEPTED), "True Accepted since 1");
        let done = status(
            &outcome,
            GENERATION + 1,
            &Programming::Done,
            Some(&pending),
            at(3),
        );
        assert_eq!(says(&done, PROGRAMMED), "True Programmed since 3");
        assert_eq!(done.last_programmed.as_deref(), Some("1970-01-01T00:00:03Z"));
    }

    #[test]
    fn a_refusal_says_why_and_a_failure_of_the_manager_too() {
        let refused = outcome(Err(Refusal::ExternalName));
        let status_of =
            |outcome: &Outcome, programming| status(outcome, GENERATION, &programming, None, at(1));
        let status = status_of(&refused, Programming::Done);
        assert_eq!(says(&status, ACCEPTED), "False ExternalName since 1");
        assert_eq!(says(&status, PROGRAMMED), "False Refused since 1");
        assert_eq!((status.tunnel, status.last_programmed), (None, None));
        let failed = Programming::Failed {
            reason: "Busy".to_owned(),
            message: "locked".to_owned(),
        };
        let status = status_of(&accepted(1, None), failed);
        assert_eq!(says(&status, ACCEPTED), "True Accepted since 1");
        assert_eq!(says(&status, PROGRAMMED), "False Busy since 1");
    }

    #[test]
    fn a_breach_of_the_class_is_a_condition_and_heals() {
        let breach = accepted(1, Some(Compliance::Violated));
        let first = status(&breach, GENERATION, &Programming::Done, None, at(1));
        assert_eq!(says(&first, DEGRADED), "True SlaViolated since 1");
        let healed = accepted(1, Some(Compliance::Met));
        let second = status(&healed, GENERATION, &Programming::Done, Some(&first), at(2));
        assert_eq!(says(&second, DEGRADED), "False SlaMet since 2");
        let without = status(
            &accepted(1, None),
            GENERATION,
            &Programming::Done,
            Some(&second),
            at(3),
        );
        assert_eq!(says(&without, DEGRADED), "-");
    }

    #[test]
    fn without_endpoints_there_is_nothing_to_program() {
        let status = status(&accepted(0, None), GENERATION, &Programming::Done, None, at(1));
        assert_eq!(says(&status, PROGRAMMED), "True NoEndpoints since 1");
    }

    #[test]
    fn devices_that_are_offline_are_named_for_what_they_have_not_got() {
        let (old, new) = (accepted(1, None), accepted(2, None));
        let waiting = Programming::Waiting((1..=12).map(|edge| format!("edge-{edge}")).collect());
        let first = status(&old, GENERATION, &Programming::Done, None, at(1));
        assert_eq!(status(&old, GENERATION, &waiting, Some(&first), at(2)), first);
        let second = status(&new, GENERATION, &waiting, Some(&first), at(2));
        assert_eq!(says(&second, PROGRAMMED), "False WaitingForDevices since 2");
        let message = &second.conditions[1].message;
        assert!(message.ends_with("edge-9, edge-10 and 2 more"), "{message}");
        assert_eq!(second.last_programmed, first.last_programmed);
        let third = status(&new, GENERATION, &Programming::Done, Some(&second), at(3));
        assert_eq!(says(&third, PROGRAMMED), "True Programmed since 3");
    }
}
