//! `PATCH` with `application/apply-patch+yaml`: server-side apply.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Api, Target, Write, decode_part};
use crate::access::{Action, ResourceAction, authorize_requester};
use crate::decoding;
use crate::managed_fields::OnConflict;
use crate::object;
use crate::status::{Reason, Status};
use crate::strategy::Part;

/// What an apply or an update did to the object.
#[derive(Debug, Clone)]
pub(crate) enum AppliedTo {
    /// It was not there before.
    New(Arc<Value>),
    Existing(Arc<Value>),
}

impl Api {
    /// Merges what the client applies into the object, or creates it.
    pub(crate) fn apply(
        &self,
        target: &Target,
        part: Part,
        applied: Value,
        on_conflict: OnConflict,
        write: Write<'_>,
    ) -> Result<AppliedTo, Status> {
        let resource = &target.resource;
        let applied = check(target, applied)?;
        let writing = write.of(resource, part);
        self.store.write(|state| {
            let Some(current) = state.get(&resource.storage, &target.key) else {
                if part != Part::Main {
                    return Err(target.not_found());
                }
                let uid = object::uid(&applied);
                if !uid.is_empty() {
                    return Err(target.conflict(&format!(
                        "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                    )));
                }
                authorize_requester(&self.rules, || creation(target))?;
                let mut merged = writing.apply(&json!({}), &applied, on_conflict)?;
                resource.fill_in(&mut merged.object);
                let created = self.create_in(state, resource, merged.into(), write)?;
                return Ok(AppliedTo::New(resource.encode(&created)));
            };
            let mut merged = writing.apply(&current, &applied, on_conflict)?;
            resource.fill_in(&mut merged.object);
            let stored = self.replace(state, target, part, &current, merged.into(), write)?;
            Ok(AppliedTo::Existing(resource.encode(&stored)))
        })
    }
}

/// What an apply or an update of an absent object does, besides what it was allowed as.
pub(super) fn creation(target: &Target) -> Action {
    Action::Resource(ResourceAction {
        verb: "create".to_owned(),
        group: target.resource.group.clone(),
        resource: target.resource.plural.clone(),
        subresource: String::new(),
        namespace: target.key.namespace.to_string(),
        name: target.key.name.to_string(),
    })
}

/// Holds what is applied against the path it was sent to, and brings it into its stored form.
fn check(target: &Target, applied: Value) -> Result<Value, Status> {
    let resource = &target.resource;
    let (api_version, kind) = (
        object::text(&applied, "/apiVersion"),
        object::text(&applied, "/kind"),
    );
    if api_version != resource.api_version() || kind != resource.kind {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        return Err(Status::bad_request(format!(
            "invalid object type: {group}/{version}, Kind={kind}"
        )));
    }
    if applied
        .pointer("/metadata/managedFields")
        .is_some_and(|entries| !entries.is_null())
    {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    if let Some(why) = decoding::undeclared(resource, &applied) {
        let object = &target.key;
        let (group, version) = (&resource.group, &resource.version);
        let message = format!(
            "failed to create typed patch object ({}/{}; {group}/{version}, Kind={kind}): {why}",
            object::namespace(&applied),
            object.name
        );
        return Err(Status::new(Reason::Unknown, message));
    }
    target.check_name(&applied)?;
    decode_part(resource, &target.key.namespace, applied)
}
