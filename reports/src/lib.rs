//! Reports: what a run record looks like to people and to machines.
//!
//! Every report is a function of run records and nothing else: no files, no clock, no terminal. The same record
//! gives the same bytes, so a report can be made again from a kept record.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod figures;
mod findings;
mod human;
mod junit;
mod status;
mod summary;
mod text;

#[cfg(test)]
mod testing;

use thiserror::Error;
use verdict::RunRecord;

pub use human::human;
pub use junit::junit;
pub use status::Colour;
pub use summary::summary;

/// Why a report could not be written.
#[derive(Debug, Error)]
pub enum ReportError {
    /// The record has no JSON form.
    #[error("write the record of `{scenario}` as JSON")]
    Json {
        /// The scenario's name.
        scenario: String,
        /// What serde said.
        source: serde_json::Error,
    },
    /// The records have no JUnit form.
    #[error("write the JUnit report")]
    Junit(#[source] quick_junit::SerializeError),
}

/// The record as pretty JSON, the content of `verdict.json`.
///
/// # Errors
/// When serde refuses the record.
pub fn json(record: &RunRecord) -> Result<String, ReportError> {
    let text = serde_json::to_string_pretty(record);
    let text = text.map_err(|source| ReportError::Json {
        scenario: record.run.scenario.clone(),
        source,
    })?;
    Ok(text + "\n")
}

#[cfg(test)]
mod tests;
