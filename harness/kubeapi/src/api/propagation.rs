//! What a deletion means for the objects that an object owns.
//!
//! An object says it by a finalizer, so that it stays until the garbage collector has done its part: `orphan` has the
//! dependents let go of first, `foregroundDeletion` deleted first. Without either they go after their owner.

use serde_json::{Value, json};

use crate::object;
use crate::status::{FieldError, FieldRule, Status};

pub(crate) const ORPHAN: &str = "orphan";
pub(crate) const FOREGROUND: &str = "foregroundDeletion";

/// When the dependents go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// After their owner.
    Background,
    /// Before their owner, as far as they block its deletion.
    Foreground,
    /// Not at all.
    Orphan,
}

/// What a client asks for by `propagationPolicy` or the older `orphanDependents`; `None` leaves it to the object.
pub(super) fn parse(policy: Option<&str>, orphan: Option<bool>) -> Result<Option<Propagation>, Status> {
    let mut errors = Vec::new();
    if let Some(policy) = policy.filter(|_| orphan.is_some()) {
        let expected = "orphanDependents and deletionPropagation cannot be both set";
        errors.push(FieldError::invalid("propagationPolicy", policy, expected));
    }
    let propagation = match (policy, orphan) {
        (None, None) => None,
        (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
        (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
        (Some("Foreground"), _) => Some(Propagation::Foreground),
        (Some(other), _) => {
            let rule = FieldRule::Unsupported {
                value: json!(other),
                supported: ["Foreground", "Background", "Orphan", "nil"]
                    .map(str::to_owned)
                    .to_vec(),
            };
            errors.push(FieldError::new("propagationPolicy", rule));
            None
        }
    };
    if errors.is_empty() {
        return Ok(propagation);
    }
    Err(Status::unprocessable("DeleteOptions", "meta.k8s.io", "", &errors))
}

/// The finalizers of the object once it is being deleted. One that it has already counts unless the request says
/// otherwise.
pub(super) fn finalizers(object: &Value, requested: Option<Propagation>) -> Vec<Value> {
    let current = object::items(object, "/metadata/finalizers");
    let is_ours = |finalizer: &Value| finalizer == ORPHAN || finalizer == FOREGROUND;
    let own = match requested {
        None => return current.to_vec(),
        Some(Propagation::Background) => None,
        Some(Propagation::Orphan) => Some(json!(ORPHAN)),
        Some(Propagation::Foreground) => Some(json!(FOREGROUND)),
    };
    let others = current.iter().filter(|finalizer| !is_ours(finalizer)).cloned();
    let mut finalizers: Vec<Value> = others.collect();
    match own {
        // In its place, so that a repeated request changes nothing.
        Some(own) if current.contains(&own) && current.len() == finalizers.len() + 1 => current.to_vec(),
        own => {
            finalizers.extend(own);
            finalizers
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(finalizers_before: Value, requested: Option<Propagation>) -> Value {
        json!(finalizers(
            &json!({"metadata": {"finalizers": finalizers_before}}),
            requested
        ))
    }

    #[test]
    fn a_request_replaces_what_the_object_said() {
        use Propagation::{Background, Foreground, Orphan};
        assert_eq!(
            after(json!(["orphan", "x"]), Some(Foreground)),
            json!(["x", "foregroundDeletion"])
        );
        assert_eq!(
            after(json!(["orphan", "x"]), Some(Orphan)),
            json!(["orphan", "x"])
        );
        assert_eq!(after(json!(["orphan", "x"]), Some(Background)), json!(["x"]));
        assert_eq!(after(json!(["orphan", "x"]), None), json!(["orphan", "x"]));
    }

    #[test]
    fn a_policy_is_named_once_and_by_one_of_the_three() {
        assert_eq!(
            parse(Some("Background"), Some(true)).expect_err("both").message,
            "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: \"Background\": \
             orphanDependents and deletionPropagation cannot be both set"
        );
        assert_eq!(
            parse(Some("Later"), None).expect_err("unknown").message,
            "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"Later\": \
             supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
        );
    }
}
