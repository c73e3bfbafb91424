//! `fieldValidation`: what becomes of a write with fields that are unknown or come twice.

use crate::status::Status;

/// The rule a client asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    /// The fields are dropped.
    #[default]
    Ignore,
    /// The fields are dropped, and the answer says so.
    Warn,
    /// The write is refused.
    Strict,
}

impl FieldValidation {
    /// What the answer warns of, or the refusal, which is made of the reason.
    pub(crate) fn judge(
        self,
        strict: Vec<String>,
        refusal: impl FnOnce(&str) -> Status,
    ) -> Result<Vec<String>, Status> {
        match self {
            FieldValidation::Strict if !strict.is_empty() => {
                Err(refusal(&format!("strict decoding error: {}", strict.join(", "))))
            }
            FieldValidation::Warn => Ok(strict),
            FieldValidation::Ignore | FieldValidation::Strict => Ok(Vec::new()),
        }
    }
}
