//! What is wrong with the metadata of an update, as often as upstream tells it.
//!
//! Upstream holds the metadata of an update to its rules once for all kinds, and again in the rules of most kinds, each
//! in its own way. A client sees that in the causes of a refusal.

use serde_json::Value;

use super::validation::{self, NameRule};
use super::{Kept, Strategy};
use crate::status::FieldError;

/// One look at the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// At all of it.
    All,
    /// At what an update may change.
    Change,
    /// At whose the finalizers are.
    Finalizers,
}

use Look::{All, Change, Finalizers};

/// The rules that the metadata of a new object breaks.
pub(super) fn of_new(strategy: Strategy, object: &Value) -> Vec<FieldError> {
    let mut errors = validation::metadata(object, strategy.name_rule());
    if looks(strategy).contains(&Finalizers) {
        errors.extend(validation::finalizers(object));
    }
    errors
}

/// The rules that the metadata of a replacement breaks.
pub(super) fn of_replacement(strategy: Strategy, current: &Value, object: &Value) -> Vec<FieldError> {
    let look = |look: &Look| match look {
        All => validation::metadata(object, NameRule::PathSegment),
        Change => validation::metadata_change(current, object),
        Finalizers => validation::finalizers(object),
    };
    let first = [All, Change, Finalizers].iter().map(look);
    if first.into_iter().all(|errors| errors.is_empty()) {
        return Vec::new();
    }
    [All, Change]
        .iter()
        .chain(looks(strategy))
        .flat_map(look)
        .collect()
}

/// How the rules of the kind look at the metadata of a replacement.
fn looks(strategy: Strategy) -> &'static [Look] {
    match strategy {
        Strategy::Plain
        | Strategy::ConfigMap
        | Strategy::Secret
        | Strategy::Pod
        | Strategy::ControllerRevision
        | Strategy::Kept(Kept::Endpoints | Kept::Ingress | Kept::IngressClass) => {
            &[Change, Finalizers, All, Finalizers]
        }
        Strategy::Service
        | Strategy::NewEvent
        | Strategy::Definition
        | Strategy::Workload(_)
        | Strategy::Kept(Kept::Quota | Kept::CronJob | Kept::Autoscaler | Kept::PriorityClass) => {
            &[Change, Finalizers]
        }
        Strategy::EndpointSlice | Strategy::Kept(Kept::LimitRange) => &[All, Finalizers],
        Strategy::Kept(Kept::Volume) => &[All, Finalizers, All, Finalizers],
        Strategy::Kept(Kept::Claim) => &[All, Finalizers, Change, Finalizers, All, Finalizers],
        Strategy::Node
        | Strategy::Namespace
        | Strategy::Kept(Kept::Job | Kept::NetworkPolicy | Kept::StorageClass) => {
            &[All, Finalizers, Change, Finalizers]
        }
        Strategy::Role | Strategy::RoleBinding => &[All, Finalizers, All, Finalizers, Change, Finalizers],
        Strategy::Lease | Strategy::Custom => &[Change],
        Strategy::Kept(Kept::RuntimeClass) => &[All, Change],
        Strategy::Kept(Kept::Webhooks) => &[All],
        Strategy::Event | Strategy::Kept(Kept::DisruptionBudget) => &[],
    }
}
