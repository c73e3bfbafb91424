//! ControllerRevisions: the templates that a StatefulSet or DaemonSet has had.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{claims, encoded};
use crate::api::{Api, Effect};
use crate::controllers::objects::{delete, modify};
use crate::object::{self, number};
use crate::status::{Reason, Status};
use crate::strategy::Part;

const STORAGE: &str = "controllerrevisions.apps";
/// The label of a pod that tells its revision.
pub(super) const HASH: &str = "controller-revision-hash";
const NAME_TRIES: u32 = 8;

/// The revisions of one workload, the newest last; it is that of the template as it is now.
pub(super) struct Revisions(Vec<Arc<Value>>);

impl Revisions {
    /// Finds or makes the revision of the template.
    pub(super) fn sync(api: &Api, owner: &Value) -> Result<Self, Status> {
        let mut all = claims::claim(api, owner, STORAGE, |_| true)?;
        all.sort_by_cached_key(|revision| (number_of(revision), object::name(revision).to_owned()));
        let mut template = owner["spec"]["template"].clone();
        // So says a strategic merge patch, which `kubectl rollout undo` makes of it.
        template["$patch"] = json!("replace");
        let data = json!({"spec": {"template": template}});
        let next = all.last().map_or(0, |newest| number_of(newest)) + 1;
        match all.iter().rposition(|revision| revision["data"] == data) {
            Some(at) if at + 1 == all.len() => {}
            Some(at) => {
                let revived = all.remove(at);
                all.push(modify(api, &revived, Part::Main, |revision| {
                    revision["revision"] = json!(next);
                    Ok(())
                })?);
            }
            None => all.push(create(api, owner, &data, next)?),
        }
        Ok(Revisions(all))
    }

    /// That of the template as it is now.
    pub(super) fn update(&self) -> &Value {
        self.0.last().map_or(&Value::Null, |newest| &**newest)
    }

    pub(super) fn named(&self, name: &str) -> Option<&Value> {
        let mut named = self.0.iter().filter(|revision| object::name(revision) == name);
        named.next().map(|revision| &**revision)
    }

    /// Deletes the oldest revisions beyond `revisionHistoryLimit` that `is_live` does not hold.
    pub(super) fn delete_surplus(
        &self,
        api: &Api,
        owner: &Value,
        is_live: impl Fn(&Value) -> bool,
    ) -> Result<(), Status> {
        let limit = usize::try_from(number(owner, "/spec/revisionHistoryLimit")).unwrap_or(0);
        let [history @ .., _] = &self.0[..] else {
            return Ok(());
        };
        let dead: Vec<&Arc<Value>> = history.iter().filter(|revision| !is_live(revision)).collect();
        for revision in &dead[..dead.len().saturating_sub(limit)] {
            delete(api, revision)?;
        }
        Ok(())
    }
}

/// The template that a revision holds, as it was.
pub(super) fn template(revision: &Value) -> Value {
    let mut template = revision["data"]["spec"]["template"].clone();
    if let Some(fields) = template.as_object_mut() {
        fields.remove("$patch");
    }
    template
}

/// The hash in a revision's name.
pub(super) fn hash(revision: &Value) -> &str {
    object::label(revision, HASH).unwrap_or_default()
}

fn number_of(revision: &Value) -> i64 {
    number(revision, "/revision")
}

fn create(api: &Api, owner: &Value, data: &Value, number: i64) -> Result<Arc<Value>, Status> {
    let resource = api.resources.of_kind("apps/v1", "ControllerRevision")?;
    let mut refused = Status::new(Reason::AlreadyExists, "no free name");
    for attempt in 0..NAME_TRIES {
        let hash = encoded(object::fnv1a(&format!("{data}{attempt}")));
        let mut labels = owner["spec"]["template"]["metadata"]["labels"].clone();
        labels[HASH] = json!(hash);
        let revision = json!({
            "apiVersion": "apps/v1", "kind": "ControllerRevision",
            "metadata": {
                "name": format!("{}-{hash}", object::name(owner)), "labels": labels,
                "ownerReferences": [object::controller_reference(owner)],
            },
            "data": data, "revision": number,
        });
        match api.create(&resource, object::namespace(owner), revision, Effect::Persist) {
            Err(taken) if taken.reason == Reason::AlreadyExists => refused = taken,
            other => return other,
        }
    }
    Err(refused)
}
