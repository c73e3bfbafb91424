//! Scenarios: YAML to typed values to a plan. Pure: no files, no clock, no tokio.
//!
//! | module | from -> to |
//! |---|---|
//! | [`document`] | text -> a tree with places |
//! | [`resolve`] | tree -> [`model::Scenario`], or every problem as [`diagnostic::Diagnostics`] |
//! | [`assertion`] | the text of a claim -> [`assertion::Formula`], and back |
//! | [`quantity`] | durations, rates and sizes <-> text |
//! | [`plan`] | scenario and seed -> the plan of a run |

pub mod assertion;
pub mod diagnostic;
pub mod document;
pub mod model;
mod names;
mod overlay;
pub mod plan;
pub mod quantity;
pub mod resolve;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use document::{SourceError, Sources};
pub use resolve::{read, read_topology};
