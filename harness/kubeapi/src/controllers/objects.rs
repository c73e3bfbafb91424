//! What controllers do to an object they have looked at, and to no successor of its name.

use std::sync::Arc;

use serde_json::Value;

use crate::api::{Api, DeleteOptions, Effect, Target};
use crate::object;
use crate::status::{Reason, Status};
use crate::strategy::Part;

/// The address of a stored object.
pub(super) fn target(api: &Api, object: &Value) -> Result<Target, Status> {
    let (api_version, kind) = (object::text(object, "/apiVersion"), object::text(object, "/kind"));
    let resources = api.resources.current();
    let resource = resources
        .all()
        .find(|row| row.kind == kind && row.api_version() == api_version)
        .ok_or_else(Status::no_such_path)?;
    Ok(Target::new(
        resource,
        object::namespace(object),
        object::name(object),
    ))
}

/// Changes the object. `NotFound` if it is gone.
pub(super) fn modify(
    api: &Api,
    object: &Value,
    part: Part,
    change: impl FnOnce(&mut Value) -> Result<(), Status>,
) -> Result<Arc<Value>, Status> {
    let target = target(api, object)?;
    api.modify(&target, part, Effect::Persist, |current| {
        if object::uid(current) != object::uid(object) {
            return Err(Status::not_found(&target.resource.subject(object::name(object))));
        }
        let mut next = (**current).clone();
        change(&mut next)?;
        Ok(next)
    })
}

/// Asks for the removal of the object. Whether it was there.
pub(crate) fn delete(api: &Api, object: &Value) -> Result<bool, Status> {
    let options = DeleteOptions::only(object::uid(object));
    match api.delete(&target(api, object)?, &options, Effect::Persist) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.reason, Reason::NotFound | Reason::Conflict) => Ok(false),
        Err(error) => Err(error),
    }
}
