//! Which objects are a workload's own: those it made, less those its selector no longer matches, and orphans it matches.

use std::sync::Arc;

use serde_json::Value;

use super::selector;
use crate::api::Api;
use crate::controllers::objects::modify;
use crate::object;
use crate::status::{Reason, Status};
use crate::strategy::Part;

/// The objects of the collection that belong to `owner`, after it has let go of some and adopted others. An owner that
/// is being deleted does neither.
pub(super) fn claim(
    api: &Api,
    owner: &Value,
    storage: &str,
    is_candidate: impl Fn(&Value) -> bool,
) -> Result<Vec<Arc<Value>>, Status> {
    let selector = selector(owner);
    let matches = |object: &Value| selector.matches(object) && is_candidate(object);
    let concerned: Vec<Arc<Value>> = api.store.read(|state| {
        let objects = state.scan(storage, Some(object::namespace(owner)));
        let objects = objects.map(|(_, object)| object);
        let concerned = objects.filter(|object| match object::controller(object) {
            Some(controller) => controller["uid"] == owner["metadata"]["uid"],
            None => matches(object),
        });
        concerned.collect()
    });
    let is_free = !object::is_terminating(owner);
    let mut claimed = Vec::new();
    for object in concerned {
        match object::controller(&object) {
            Some(_) if matches(&object) => claimed.push(object),
            Some(_) if is_free => release(api, owner, &object)?,
            None if is_free && !object::is_terminating(&object) => {
                claimed.extend(adopt(api, owner, &object)?);
            }
            _ => {}
        }
    }
    Ok(claimed)
}

/// `None` if somebody else was quicker.
fn adopt(api: &Api, owner: &Value, object: &Value) -> Result<Option<Arc<Value>>, Status> {
    let adopted = modify(api, object, Part::Main, |object| {
        if object::controller(object).is_some() {
            return Err(Status::new(Reason::Conflict, "it has a controller"));
        }
        let metadata = object::metadata_mut(object)?;
        let owners = metadata
            .entry("ownerReferences")
            .or_insert_with(|| Value::Array(Vec::new()));
        if let Some(owners) = owners.as_array_mut() {
            owners.push(object::controller_reference(owner));
        }
        Ok(())
    });
    match adopted {
        Ok(object) => Ok(Some(object)),
        Err(error) if matches!(error.reason, Reason::Conflict | Reason::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

fn release(api: &Api, owner: &Value, object: &Value) -> Result<(), Status> {
    let released = modify(api, object, Part::Main, |object| {
        let owners = object["metadata"]["ownerReferences"].as_array_mut();
        if let Some(owners) = owners {
            owners.retain(|reference| reference["uid"] != owner["metadata"]["uid"]);
        }
        Ok(())
    });
    match released {
        Err(error) if error.reason != Reason::NotFound => Err(error),
        _ => Ok(()),
    }
}
