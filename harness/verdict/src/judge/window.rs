//! The span of send times that an assertion is about.

use std::time::Duration;

use scenario::assertion::Window;

use crate::Reason;
use crate::evidence::Evidence;

/// A window on the clock of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// What offsets are counted from: the event, or the start of the run.
    pub(super) origin_ns: u64,
    /// First send time inside.
    pub(super) from_ns: u64,
    /// First send time after it.
    pub(super) until_ns: u64,
    /// When the event that ends the window fired, or the phase after it began.
    pub(super) closed_ns: Option<u64>,
    /// With `within`: the longest convergence, counted from the origin.
    pub(super) limit_ns: Option<u64>,
}

impl Span {
    /// Places a window, or says why it cannot be placed.
    pub(super) fn of(window: &Window, evidence: &Evidence) -> Result<Self, Reason> {
        let span = match window {
            Window::Always => Self {
                origin_ns: evidence.started_ns,
                from_ns: 0,
                until_ns: u64::MAX,
                closed_ns: None,
                limit_ns: None,
            },
            Window::During(phase) => {
                let (origin_ns, closed_ns) = phase_span(evidence, phase)?;
                Self {
                    origin_ns,
                    from_ns: origin_ns,
                    until_ns: closed_ns.unwrap_or(u64::MAX),
                    closed_ns,
                    limit_ns: None,
                }
            }
            Window::Within { limit, event, until } => {
                let origin_ns = first_firing(evidence, event, 0)?;
                let closed_ns = closing(evidence, until.as_deref(), origin_ns)?;
                Self {
                    origin_ns,
                    from_ns: origin_ns,
                    until_ns: closed_ns.unwrap_or(u64::MAX),
                    closed_ns,
                    limit_ns: Some(nanos(*limit)),
                }
            }
            Window::From {
                event,
                delay,
                until,
                margin,
            } => {
                let origin_ns = first_firing(evidence, event, 0)?;
                let closed_ns = closing(evidence, until.as_deref(), origin_ns)?;
                Self {
                    origin_ns,
                    from_ns: origin_ns.saturating_add(nanos(*delay)),
                    until_ns: closed_ns.map_or(u64::MAX, |ns| ns.saturating_sub(nanos(*margin))),
                    closed_ns,
                    limit_ns: None,
                }
            }
        };
        match span.from_ns.checked_sub(span.until_ns) {
            Some(by_ns) if by_ns > 0 => Err(Reason::EmptyWindow { by_ns }),
            _ => Ok(span),
        }
    }

    /// With `within`: the last send time at which a probe may still break the claim.
    pub(super) fn deadline_ns(&self) -> Option<u64> {
        self.limit_ns.map(|limit| self.origin_ns.saturating_add(limit))
    }
}

/// The event that a window opens with, or the phase that it is.
pub(super) fn opening_event(window: &Window) -> Option<String> {
    match window {
        Window::Always => None,
        Window::During(phase) => Some(format!("phase {phase}")),
        Window::Within { event, .. } | Window::From { event, .. } => Some(event.clone()),
    }
}

fn closing(evidence: &Evidence, event: Option<&str>, not_before_ns: u64) -> Result<Option<u64>, Reason> {
    event
        .map(|event| first_firing(evidence, event, not_before_ns))
        .transpose()
}

/// When a phase began, and when the next one did.
fn phase_span(evidence: &Evidence, phase: &str) -> Result<(u64, Option<u64>), Reason> {
    let mut phases = evidence.phases.iter().skip_while(|mark| mark.name != phase);
    let began = phases.next().ok_or_else(|| Reason::PhaseNeverBegan {
        phase: phase.to_owned(),
    })?;
    Ok((began.from_ns, phases.next().map(|next| next.from_ns)))
}

pub(super) fn first_firing(evidence: &Evidence, event: &str, not_before_ns: u64) -> Result<u64, Reason> {
    let firings = evidence
        .events
        .iter()
        .filter(|mark| mark.name == event && mark.at_ns >= not_before_ns);
    let first = firings.map(|mark| mark.at_ns).min();
    first.ok_or_else(|| Reason::EventNeverFired {
        event: event.to_owned(),
    })
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
