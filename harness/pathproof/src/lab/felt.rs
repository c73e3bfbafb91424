//! The proof that a fault was felt.
//!
//! Invariant: a fault that nothing felt until it was healed or the run ended is an error, because the scenario would
//! prove nothing.

use serde::Serialize;

/// Nothing felt a fault.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("verify the fault of event `{event}`: {whose} was asked for nothing that felt it")]
pub struct Unfelt {
    /// The event that injected it.
    event: String,
    /// Whose fault it was.
    whose: &'static str,
}

/// A fault that was felt.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The event that injected it.
    event: String,
    /// How often it was felt, at least once.
    felt: u64,
}

/// The proof that the fault of an event was `felt` so often by whoever asked `whose` API.
///
/// # Errors
/// [`Unfelt`].
pub(super) fn verified(event: String, whose: &'static str, felt: u64) -> Result<Verified, Unfelt> {
    match felt {
        0 => Err(Unfelt { event, whose }),
        _ => Ok(Verified { event, felt }),
    }
}
