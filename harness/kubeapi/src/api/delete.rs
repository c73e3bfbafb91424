//! `DELETE`: the request to remove an object, and what holds it back.
//!
//! An object goes at once unless it has finalizers or a grace period; until then it is terminating, and the
//! request can only be repeated or shortened. Dependents are not collected.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Api, Effect, Target, fetch};
use crate::custom;
use crate::object;
use crate::resources::Resource;
use crate::selector::Selector;
use crate::status::{Status, Subject};
use crate::store::State;
use crate::strategy::Strategy;

/// `meta/v1 DeleteOptions`, as far as it is obeyed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct DeleteOptions {
    pub(crate) grace_period_seconds: Option<i64>,
    pub(crate) preconditions: Option<Preconditions>,
    dry_run: Vec<String>,
}

/// What must hold of the object for the deletion to go ahead.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Preconditions {
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
}

impl DeleteOptions {
    /// At once, and only the object that was looked at.
    pub(crate) fn now(uid: &str) -> Self {
        DeleteOptions {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            dry_run: Vec::new(),
        }
    }

    /// Whether the body asks for a dry run.
    pub(crate) fn effect(&self) -> Effect {
        if self.dry_run.iter().any(|stage| stage == "All") {
            Effect::DryRun
        } else {
            Effect::Persist
        }
    }
}

/// What became of the object.
#[derive(Debug, Clone)]
pub(crate) enum Deleted {
    /// It is gone; this is its last state.
    Gone(Arc<Value>),
    /// It is terminating.
    Terminating(Arc<Value>),
}

impl Api {
    pub(crate) fn delete(
        &self,
        target: &Target,
        options: &DeleteOptions,
        effect: Effect,
    ) -> Result<Deleted, Status> {
        let deleted = self
            .store
            .write(|state| self.delete_in(state, target, options, effect))?;
        let resource = &target.resource;
        Ok(match deleted {
            Deleted::Gone(object) => Deleted::Gone(resource.encode(&object)),
            Deleted::Terminating(object) => Deleted::Terminating(resource.encode(&object)),
        })
    }

    /// Deletes what the selector matches and returns it.
    pub(crate) fn delete_collection(
        &self,
        resource: &Arc<Resource>,
        namespace: Option<&str>,
        selector: &Selector,
        options: &DeleteOptions,
        effect: Effect,
    ) -> Result<Vec<Arc<Value>>, Status> {
        self.store.write(|state| {
            let matching: Vec<Arc<Value>> = state
                .scan(&resource.storage, namespace)
                .filter(|(_, object)| selector.matches(object))
                .map(|(_, object)| Arc::clone(object))
                .collect();
            for object in &matching {
                let target = Target::new(resource, object::namespace(object), object::name(object));
                self.delete_in(state, &target, options, effect)?;
            }
            Ok(matching.iter().map(|object| resource.encode(object)).collect())
        })
    }

    /// Takes the namespace finalizer away once nothing is left inside. Whether it did.
    pub(crate) fn finalize_namespace(&self, target: &Target) -> Result<bool, Status> {
        self.store.write(|state| {
            let current = fetch(state, target)?;
            if !object::is_terminating(&current) || !state.namespace_is_empty(&target.key.name) {
                return Ok(false);
            }
            let mut next = (*current).clone();
            next["spec"]["finalizers"] = json!([]);
            if !object::has_finalizers(&next) {
                self.remove(state, target);
            } else if next != *current {
                state.put(&target.resource.storage, next);
            }
            Ok(true)
        })
    }

    fn delete_in(
        &self,
        state: &mut State,
        target: &Target,
        options: &DeleteOptions,
        effect: Effect,
    ) -> Result<Deleted, Status> {
        let current = fetch(state, target)?;
        check_preconditions(target, &current, options)?;
        let strategy = target.resource.strategy;
        let wanted = strategy.grace_seconds(&current, options.grace_period_seconds);
        let running = current
            .pointer("/metadata/deletionGracePeriodSeconds")
            .and_then(Value::as_i64);
        let grace = running.map_or(wanted, |running| running.min(wanted));
        let is_free = !object::has_finalizers(&current) && strategy != Strategy::Definition;
        if grace == 0 && is_free {
            return Ok(Deleted::Gone(match effect {
                Effect::Persist => self.remove(state, target).unwrap_or(current),
                Effect::DryRun => current,
            }));
        }
        if running == Some(grace) {
            return Ok(Deleted::Terminating(current));
        }
        let next = terminating(strategy, &current, grace);
        Ok(Deleted::Terminating(match effect {
            Effect::Persist => self.put(state, &target.resource, next),
            Effect::DryRun => Arc::new(next),
        }))
    }
}

fn check_preconditions(target: &Target, current: &Value, options: &DeleteOptions) -> Result<(), Status> {
    let Some(preconditions) = &options.preconditions else {
        return Ok(());
    };
    let checks = [
        ("UID", preconditions.uid.as_deref(), object::uid(current)),
        (
            "ResourceVersion",
            preconditions.resource_version.as_deref(),
            object::resource_version(current),
        ),
    ];
    for (what, expected, found) in checks {
        if let Some(expected) = expected
            && expected != found
        {
            let since = match what {
                "UID" => "deleted and then recreated",
                _ => "modified",
            };
            let why = format!(
                "the {what} in the precondition ({expected}) does not match the {what} in record ({found}). \
                 The object might have been {since}"
            );
            let subject = Subject {
                plural: &target.resource.kind,
                ..target.resource.subject(&target.key.name)
            };
            return Err(Status::conflict(&subject, &why));
        }
    }
    Ok(())
}

fn terminating(strategy: Strategy, current: &Value, grace: i64) -> Value {
    let mut next = current.clone();
    let at = Timestamp::now() + SignedDuration::from_secs(grace);
    next["metadata"]["deletionTimestamp"] = json!(object::whole_seconds(at));
    next["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
    if let Some(generation) = current.pointer("/metadata/generation").and_then(Value::as_i64) {
        next["metadata"]["generation"] = json!(generation + 1);
    }
    match strategy {
        Strategy::Namespace => next["status"]["phase"] = json!("Terminating"),
        Strategy::Definition => custom::begin_deletion(&mut next),
        _ => {}
    }
    next
}
