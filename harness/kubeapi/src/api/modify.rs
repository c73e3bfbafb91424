//! `PUT` and `PATCH`: a new state for an existing object.

use std::sync::Arc;

use serde_json::{Value, json};

use super::apply::{AppliedTo, creation};
use super::create::{check, refuse};
use super::{Api, Effect, Target, Write, decode, fetch};
use crate::access::{authorize_requester, refuse_escalation};
use crate::custom;
use crate::decoding::{self, FieldValidation};
use crate::managed_fields::{Applied, Claims};
use crate::object;
use crate::patch::Patch;
use crate::resources::{Resource, Subresource};
use crate::status::{FieldError, FieldRule, Reason, Status};
use crate::store::State;
use crate::strategy::{Held, Part, Strategy, Workload, held};

/// A new state of an object.
#[derive(Debug)]
pub(super) struct Proposal {
    pub(super) object: Value,
    /// Who owns which fields of it, where that is settled: after an apply.
    pub(super) claims: Option<Claims>,
}

impl From<Value> for Proposal {
    fn from(object: Value) -> Self {
        Proposal { object, claims: None }
    }
}

impl From<Applied> for Proposal {
    fn from(Applied { object, claims }: Applied) -> Self {
        Proposal {
            object,
            claims: Some(claims),
        }
    }
}

/// What becomes of fields in a patch that are unknown or come twice.
#[derive(Debug, Default)]
pub(crate) struct Strictness {
    pub(crate) validation: FieldValidation,
    /// Those of the patch itself.
    pub(crate) of_patch: Vec<String>,
}

impl Api {
    /// `PUT`: replaces one part of the object by the client's.
    pub(crate) fn update<'w>(
        &self,
        target: &Target,
        part: Part,
        body: Value,
        write: impl Into<Write<'w>>,
    ) -> Result<Arc<Value>, Status> {
        let proposed = decode(&target.resource, &target.key.namespace, body)?;
        target.check_name(&proposed)?;
        self.modify(target, part, write, |_| {
            require_version(&target.resource, &proposed)?;
            Ok(proposed)
        })
    }

    /// `PUT`: as [`Self::update`]; of some kinds it creates what is not there.
    pub(crate) fn update_or_create(
        &self,
        target: &Target,
        part: Part,
        body: Value,
        write: Write<'_>,
    ) -> Result<AppliedTo, Status> {
        let resource = &target.resource;
        if part != Part::Main || !resource.is_made_by_update() {
            return self.update(target, part, body, write).map(AppliedTo::Existing);
        }
        match self.update(target, part, body.clone(), write) {
            Err(status) if status.reason == Reason::NotFound => {
                authorize_requester(&self.rules, || creation(target))?;
                let created = self.create(resource, &target.key.namespace, body, write);
                created.map(AppliedTo::New)
            }
            updated => updated.map(AppliedTo::Existing),
        }
    }

    /// `PATCH`: applies the patch to the served form of the object.
    pub(crate) fn patch<'w>(
        &self,
        target: &Target,
        part: Part,
        patch: &Patch,
        write: impl Into<Write<'w>>,
    ) -> Result<Arc<Value>, Status> {
        let (object, _) = self.patch_strictly(target, part, patch, Strictness::default(), write)?;
        Ok(object)
    }

    /// As [`Self::patch`], with the rule of the client on fields that the kind does not know; also returns the
    /// warnings about them.
    pub(crate) fn patch_strictly<'w>(
        &self,
        target: &Target,
        part: Part,
        patch: &Patch,
        strictness: Strictness,
        write: impl Into<Write<'w>>,
    ) -> Result<(Arc<Value>, Vec<String>), Status> {
        let resource = &target.resource;
        let mut warnings = Vec::new();
        if resource.custom().is_some() {
            patch.admit_custom()?;
        }
        let object = self.modify(target, part, write, |current| {
            let mut proposed = (*resource.encode(current)).clone();
            patch.apply(&resource.kind, &mut proposed)?;
            let refusal = |why: &str| patch.refusal(&proposed, why);
            let decoded =
                decoding::reread(resource, &proposed, patch.words()).map_err(|why| refusal(&why))?;
            let strict = [strictness.of_patch, decoded.strict].concat();
            warnings = strictness.validation.judge(strict, refusal)?;
            let kind = object::text(&decoded.object, "/kind");
            if resource.custom().is_none() && !kind.is_empty() && kind != resource.kind {
                return Err(refusal("converting it: unknown conversion"));
            }
            target.check_name(&decoded.object)?;
            check_uid(resource, current, &decoded.object)?;
            decode(resource, &target.key.namespace, decoded.object)
        })?;
        Ok((object, warnings))
    }

    /// Reads, changes and stores the object in one transaction; `change` sees and returns the stored form.
    pub(crate) fn modify<'w>(
        &self,
        target: &Target,
        part: Part,
        write: impl Into<Write<'w>>,
        change: impl FnOnce(&Arc<Value>) -> Result<Value, Status>,
    ) -> Result<Arc<Value>, Status> {
        let write = write.into();
        let stored = self.store.write(|state| {
            let current = fetch(state, target)?;
            let proposed = Proposal::from(change(&current)?);
            self.replace(state, target, part, &current, proposed, write)
        })?;
        Ok(target.resource.encode(&stored))
    }

    /// Stores `proposed` in place of `current`, unless nothing changes; removes the object if the change took
    /// away the last thing that held back its deletion.
    pub(super) fn replace(
        &self,
        state: &mut State,
        target: &Target,
        part: Part,
        current: &Arc<Value>,
        proposal: Proposal,
        write: Write<'_>,
    ) -> Result<Arc<Value>, Status> {
        let resource = &target.resource;
        let mut proposed = proposal.object;
        check_version(target, current, &proposed)?;
        keep_server_owned(current, &mut proposed)?;
        let mut next = assemble(resource, part, current, proposed)?;
        match part {
            Part::Main => resource.strategy.default_replacement(current, &mut next)?,
            Part::Status => resource.strategy.default_status(&mut next),
            Part::Binding | Part::Finalizers => {}
        }
        resource.settle(&mut next);
        if matches!(part, Part::Main | Part::Finalizers) {
            let errors = resource.strategy.validate_change(current, &next);
            refuse(resource, &next, &errors)?;
        }
        check(resource, Some(current), &next)?;
        refuse_escalation(&self.rules, resource, Some(current), &next)?;
        self.skew(resource, Some(current), &mut next, write.effect);
        if is_new_generation(resource, part, current, &next)
            && let Some(generation) = current.pointer("/metadata/generation").and_then(Value::as_i64)
        {
            next["metadata"]["generation"] = json!(generation + 1);
        }
        match proposal.claims {
            Some(claims) => claims.settle(current, &mut next),
            None => write.of(resource, part).update(current, &mut next),
        }
        if next == **current {
            return Ok(Arc::clone(current));
        }
        if resource.strategy == Strategy::Service && part == Part::Main {
            self.change_grants(resource, current, &mut next, write.effect)?;
        }
        if write.effect == Effect::DryRun {
            return Ok(Arc::new(next));
        }
        if is_released(&next) {
            state.amend(&resource.storage, next);
            return self.remove(state, target).ok_or_else(|| target.not_found());
        }
        Ok(self.put(state, resource, next))
    }

    /// Gives a Service what it lacks, and takes back what it no longer holds; a dry run leaves all as it was.
    fn change_grants(
        &self,
        resource: &Resource,
        current: &Value,
        next: &mut Value,
        effect: Effect,
    ) -> Result<(), Status> {
        self.assign_grants(resource, Some(current), next)?;
        let (before, after) = (held(current), held(next));
        let given_back: Vec<Held> = match effect {
            Effect::Persist => before.difference(&after).copied().collect(),
            Effect::DryRun => after.difference(&before).copied().collect(),
        };
        self.grants().release(given_back);
        Ok(())
    }
}

/// A patch makes no other object of it.
fn check_uid(resource: &Resource, current: &Value, proposed: &Value) -> Result<(), Status> {
    let uid = object::uid(proposed);
    let is_other = !uid.is_empty() && uid != object::uid(current);
    let value = uid.to_owned();
    let error = is_other.then(|| FieldError::new("metadata.uid", FieldRule::Immutable { value }));
    // Upstream tells it twice.
    let errors: Vec<FieldError> = std::iter::repeat_n(error, 2).flatten().collect();
    refuse(resource, current, &errors)
}

/// A resource version in a write says: only if nobody else wrote since.
fn check_version(target: &Target, current: &Value, proposed: &Value) -> Result<(), Status> {
    let expected = object::resource_version(proposed);
    if !expected.is_empty()
        && let Err(_not_a_number) = expected.parse::<u64>()
    {
        let message = format!("strconv.ParseUint: parsing {expected:?}: invalid syntax");
        return Err(Status::new(Reason::Unknown, message));
    }
    if !expected.is_empty() && expected != object::resource_version(current) {
        return Err(Status::modified(&target.resource.subject(&target.key.name)));
    }
    let uid = object::uid(proposed);
    if !uid.is_empty() && uid != object::uid(current) {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            object::uid(current)
        );
        return Err(target.conflict(&why));
    }
    Ok(())
}

/// Of custom resources and their definitions, none is replaced unseen.
fn require_version(resource: &Resource, proposed: &Value) -> Result<(), Status> {
    let is_checked = resource.custom().is_some() || resource.strategy == Strategy::Definition;
    if !is_checked || !object::resource_version(proposed).is_empty() {
        return Ok(());
    }
    let rule = FieldRule::Limit {
        value: json!(0),
        expected: "must be specified for an update".to_owned(),
    };
    let error = FieldError::new("metadata.resourceVersion", rule);
    let (plural, group) = (&resource.plural, &resource.group);
    Err(Status::unprocessable(
        plural,
        group,
        object::name(proposed),
        &[error],
    ))
}

/// Whether what the object asks for has changed: its spec, or of a custom resource everything but the metadata
/// and a status that is written apart.
fn is_new_generation(resource: &Resource, part: Part, current: &Value, next: &Value) -> bool {
    match resource.custom() {
        Some(_) => part == Part::Main && custom::differs_beyond_metadata(current, next),
        None => {
            let asks_by_annotations = part == Part::Main && is_deployment(resource);
            current.get("spec") != next.get("spec")
                || (asks_by_annotations
                    && current["metadata"].get("annotations") != next["metadata"].get("annotations"))
        }
    }
}

/// Upstream counts a change of a Deployment's annotations as one of its spec, and lets a write of its status bring them.
fn is_deployment(resource: &Resource) -> bool {
    resource.strategy == Strategy::Workload(Workload::Deployment)
}

/// The metadata a client can send but not change.
const SERVER_OWNED: [&str; 7] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generateName",
];

fn keep_server_owned(current: &Value, proposed: &mut Value) -> Result<(), Status> {
    let metadata = object::metadata_mut(proposed)?;
    for field in SERVER_OWNED {
        match current["metadata"].get(field) {
            Some(value) => metadata.insert(field.to_owned(), value.clone()),
            None => metadata.remove(field),
        };
    }
    Ok(())
}

/// The next state: the written part from the client, everything else as it is.
fn assemble(resource: &Resource, part: Part, current: &Value, proposed: Value) -> Result<Value, Status> {
    let mut next;
    match part {
        Part::Main | Part::Finalizers => {
            next = proposed;
            if resource.custom().is_none() || resource.has(Subresource::Status) {
                take(&mut next, current, "status");
            }
        }
        Part::Status => {
            next = current.clone();
            take(&mut next, &proposed, "status");
            if is_deployment(resource) {
                take(&mut next["metadata"], &proposed["metadata"], "annotations");
            }
        }
        Part::Binding => {
            next = current.clone();
            let node = proposed["spec"]["nodeName"].clone();
            object::map_mut(&mut next, "spec")?.insert("nodeName".to_owned(), node);
            take(&mut next, &proposed, "status");
        }
    }
    Ok(next)
}

fn take(next: &mut Value, from: &Value, field: &str) {
    let Some(fields) = next.as_object_mut() else {
        return;
    };
    match from.get(field) {
        Some(value) => fields.insert(field.to_owned(), value.clone()),
        None => fields.remove(field),
    };
}

/// Whether nothing holds back the removal of an object that is being deleted.
pub(super) fn is_released(object: &Value) -> bool {
    let grace = object
        .pointer("/metadata/deletionGracePeriodSeconds")
        .and_then(Value::as_i64)
        .unwrap_or(0);
    object::is_terminating(object) && grace == 0 && !object::has_finalizers(object)
}
