//! Why a claim could be neither proved nor refuted.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::StreamId;
use crate::text::{count as thousands, counted, ms};

/// One thing that stands between the evidence and a pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reason {
    /// The scenario claims nothing.
    NoAssertion,
    /// An event that the window hangs on did not fire, or not after the event that opens the window.
    EventNeverFired {
        /// Its name.
        event: String,
    },
    /// The phase that the window is never began.
    PhaseNeverBegan {
        /// Its name.
        phase: String,
    },
    /// The window closes before it opens.
    EmptyWindow {
        /// By how much.
        by_ns: u64,
    },
    /// The flow selector matches no stream.
    NoStream {
        /// As written.
        selector: String,
    },
    /// No capture point matches this alternative of a point set.
    NoSuchPoint {
        /// As written.
        pattern: String,
    },
    /// There was no capture point at all.
    NoCapturePoint,
    /// One capture point cannot be trusted.
    Point {
        /// Which, `near:tunnel/default`.
        point: String,
        /// Why.
        fault: PointFault,
    },
    /// The wall clock was set while probes were sent, so send times cannot be compared with events.
    ClockStepped {
        /// By how much.
        step_ns: i64,
    },
    /// Packets carried this run's mark but belong to no probe that was sent.
    Strays {
        /// How many.
        count: u64,
    },
    /// Receivers' hosts dropped datagrams that had arrived, so a missing probe may have come through.
    ReceiverDrops {
        /// How many.
        count: u64,
    },
    /// The evidence refers to points or streams that it does not list.
    Dangling {
        /// How many references.
        count: u64,
    },
    /// The probes of one direction of one stream do not decide the claim.
    Stream {
        /// Which.
        stream: StreamId,
        /// Why.
        doubt: StreamDoubt,
    },
}

/// Why a capture point cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PointFault {
    /// It was not proved to see before the first probe was sent.
    NotArmed,
    /// The kernel dropped packets before the capture read them.
    KernelDrops {
        /// How many.
        dropped: u64,
    },
    /// The capture and the interface's own counters disagree.
    CountMismatch {
        /// Packets captured.
        captured: u64,
        /// Packets that the interface counted.
        interface: u64,
    },
}

/// Why the probes of a stream do not decide a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StreamDoubt {
    /// Vacuous: too few probes to mean anything; with `within`, too few from convergence on.
    TooFewProbes {
        /// How many there were.
        considered: u64,
        /// How many it takes.
        needed: u64,
    },
    /// Probes were delivered without being seen at any tunnel or underlay: they went where nobody looked.
    CaptureHole {
        /// How many.
        count: u64,
        /// The first one.
        first_sequence: u64,
    },
    /// The reading of these probes rests on not being seen where the capture is incomplete.
    Undecided {
        /// How many.
        count: u64,
    },
    /// The last probe that broke the claim was sent before the limit, the first that kept it for good after it
    /// or never.
    ConvergenceUnresolved {
        /// When the last offender was sent, from the event.
        last_bad_ns: u64,
        /// When the first good one after it was sent, from the event.
        first_good_ns: Option<u64>,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAssertion => f.write_str("the scenario claims nothing"),
            Self::EventNeverFired { event } => write!(f, "event `{event}` never fired in time"),
            Self::PhaseNeverBegan { phase } => write!(f, "phase `{phase}` never began"),
            Self::EmptyWindow { by_ns } => write!(f, "the window closes {} before it opens", ms(*by_ns)),
            Self::NoStream { selector } => write!(f, "no stream matches `{selector}`"),
            Self::NoSuchPoint { pattern } => write!(f, "no capture point matches {pattern}"),
            Self::NoCapturePoint => f.write_str("nothing was captured"),
            Self::Point { point, fault } => write!(f, "{point}: {fault}"),
            Self::ClockStepped { step_ns } => {
                let sign = if *step_ns < 0 { "-" } else { "+" };
                write!(
                    f,
                    "the clock was stepped by {sign}{} during the run",
                    ms(step_ns.unsigned_abs())
                )
            }
            Self::Strays { count } => {
                write!(
                    f,
                    "{} of this run belong to no probe sent",
                    counted(*count, "packet")
                )
            }
            Self::ReceiverDrops { count } => {
                let datagrams = counted(*count, "datagram");
                write!(f, "receivers' hosts dropped {datagrams} that had arrived")
            }
            Self::Dangling { count } => {
                let references = counted(*count, "reference");
                write!(
                    f,
                    "the evidence makes {references} to points or streams that it does not list"
                )
            }
            Self::Stream { stream, doubt } => write!(f, "{stream}: {doubt}"),
        }
    }
}

impl fmt::Display for PointFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotArmed => f.write_str("capture was not armed"),
            Self::KernelDrops { dropped } => write!(f, "the kernel dropped {}", counted(*dropped, "packet")),
            Self::CountMismatch { captured, interface } => {
                let (captured, interface) = (counted(*captured, "packet"), thousands(*interface));
                write!(f, "{captured} captured, but the interface counted {interface}")
            }
        }
    }
}

impl fmt::Display for StreamDoubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let probes = |number: &u64| counted(*number, "probe");
        match self {
            Self::TooFewProbes { considered, needed } => {
                write!(f, "vacuous: {} count, {needed} are needed", probes(considered))
            }
            Self::CaptureHole {
                count,
                first_sequence,
            } => {
                let first = format!("first #{first_sequence}");
                write!(
                    f,
                    "{} delivered, but seen at no tunnel or underlay ({first})",
                    probes(count)
                )
            }
            Self::Undecided { count } => {
                write!(
                    f,
                    "{} undecided: not seen or not received where the evidence is incomplete",
                    probes(count)
                )
            }
            Self::ConvergenceUnresolved {
                last_bad_ns,
                first_good_ns: Some(first_good_ns),
            } => {
                let (from, to) = (ms(*last_bad_ns), ms(*first_good_ns));
                write!(
                    f,
                    "converged between {from} and {to} after the event, around the limit"
                )
            }
            Self::ConvergenceUnresolved {
                last_bad_ns,
                first_good_ns: None,
            } => {
                write!(
                    f,
                    "not converged {} after the event, and no probe followed",
                    ms(*last_bad_ns)
                )
            }
        }
    }
}
