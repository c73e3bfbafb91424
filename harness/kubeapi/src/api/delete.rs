//! `DELETE`: the request to remove an object, and what holds it back.
//!
//! An object goes at once unless it has finalizers or a grace period; until then it is terminating, and the
//! request can only be repeated or shortened. What it owns is for the garbage collector.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::propagation::{self, Propagation};
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
    pub(crate) propagation_policy: Option<String>,
    pub(crate) orphan_dependents: Option<bool>,
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
    /// Only the object that was looked at.
    pub(crate) fn only(uid: &str) -> Self {
        DeleteOptions {
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteOptions::default()
        }
    }

    /// As [`Self::only`], at once.
    pub(crate) fn now(uid: &str) -> Self {
        DeleteOptions {
            grace_period_seconds: Some(0),
            ..DeleteOptions::only(uid)
        }
    }

    /// As [`Self::only`], in the state it was looked at in.
    pub(crate) fn of_state(object: &Value, propagation: Option<Propagation>) -> Self {
        DeleteOptions {
            preconditions: Some(Preconditions {
                uid: Some(object::uid(object).to_owned()),
                resource_version: Some(object::resource_version(object).to_owned()),
            }),
            propagation_policy: propagation.map(|propagation| format!("{propagation:?}")),
            ..DeleteOptions::default()
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
                .map(|(_, object)| object)
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
            if let Some(finalizers) = next["spec"]["finalizers"].as_array_mut() {
                finalizers.retain(|finalizer| finalizer != "kubernetes");
            }
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
        let mut next = (*current).clone();
        // Nothing owns or is owned by an Event, and a definition has a finalizer of its own.
        if !matches!(strategy, Strategy::Event | Strategy::NewEvent) {
            let propagation =
                propagation::parse(options.propagation_policy.as_deref(), options.orphan_dependents)?;
            set_finalizers(&mut next, propagation::finalizers(&current, propagation))?;
        }
        let is_free = !object::has_finalizers(&next) && strategy != Strategy::Definition;
        if grace == 0 && is_free {
            // As in kube-apiserver, a pod is terminating before it is gone, and who watches sees both.
            if strategy == Strategy::Pod && running != Some(0) && effect == Effect::Persist {
                begin_deletion(strategy, &mut next, grace);
                self.put(state, &target.resource, next);
            }
            return Ok(Deleted::Gone(match effect {
                Effect::Persist => self.remove(state, target).unwrap_or(current),
                Effect::DryRun => current,
            }));
        }
        if running != Some(grace) {
            begin_deletion(strategy, &mut next, grace);
        } else if next == *current {
            return Ok(Deleted::Terminating(current));
        }
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

fn set_finalizers(object: &mut Value, finalizers: Vec<Value>) -> Result<(), Status> {
    let metadata = object::metadata_mut(object)?;
    if finalizers.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".to_owned(), json!(finalizers));
    }
    Ok(())
}

fn begin_deletion(strategy: Strategy, next: &mut Value, grace: i64) {
    let at = Timestamp::now() + SignedDuration::from_secs(grace);
    next["metadata"]["deletionTimestamp"] = json!(object::whole_seconds(at));
    next["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
    if let Some(generation) = next.pointer("/metadata/generation").and_then(Value::as_i64) {
        next["metadata"]["generation"] = json!(generation + 1);
    }
    match strategy {
        Strategy::Namespace => next["status"]["phase"] = json!("Terminating"),
        Strategy::Definition => custom::begin_deletion(next),
        _ => {}
    }
}
