//! Nobody gives rights away that he does not hold, unless he is allowed to `escalate` or to `bind`.

use serde_json::Value;

use super::index::{RoleRef, joined};
use super::requester::requester;
use super::rule::{Rule, missing, quoted, rules_of};
use super::{Action, RBAC_GROUP, ResourceAction, RuleIndex, User};
use crate::object;
use crate::resources::Resource;
use crate::status::{Reason, Status};

/// Refuses the write of a role or a binding that would give away rights which the requester does not hold.
///
/// `next` is the object as it would be stored, `current` the one it would replace.
pub(crate) fn refuse_escalation(
    index: &RuleIndex,
    resource: &Resource,
    current: Option<&Value>,
    next: &Value,
) -> Result<(), Status> {
    if resource.group != RBAC_GROUP {
        return Ok(());
    }
    let Some(user) = requester().filter(|user| !user.is_master()) else {
        return Ok(());
    };
    if current.is_some_and(|current| differ_in_collection_only(current, next)) {
        return Ok(());
    }
    let write = Write {
        index,
        user: &user,
        resource,
        next,
    };
    if resource.kind.ends_with("Binding") {
        write.check_binding()
    } else {
        write.check_role(current)
    }
}

struct Write<'a> {
    index: &'a RuleIndex,
    user: &'a User,
    resource: &'a Resource,
    next: &'a Value,
}

impl Write<'_> {
    fn check_role(&self, current: Option<&Value>) -> Result<(), Status> {
        // The path of a new role does not name it.
        let name = current.map(object::name).unwrap_or_default();
        if self.may("escalate", &self.resource.plural, name) {
            return Ok(());
        }
        self.check_rules(&rules_of(self.next).unwrap_or_default())?;
        let aggregates = |role: &Value| role.get("aggregationRule").is_some_and(|rule| !rule.is_null());
        if aggregates(self.next) || current.is_some_and(aggregates) {
            let everything = [Rule::all_resources(), Rule::all_paths()];
            if self.check_rules(&everything).is_err() {
                return Err(self.forbidden("must have cluster-admin privileges to use the aggregationRule"));
            }
        }
        Ok(())
    }

    fn check_binding(&self) -> Result<(), Status> {
        let role = RoleRef::of(self.next);
        let plural = format!("{}s", role.kind.to_lowercase());
        if self.may("bind", &plural, &role.name) {
            return Ok(());
        }
        let Some(rules) = self.index.rules(&role, object::namespace(self.next)) else {
            return Err(Status::new(Reason::NotFound, role.not_found()));
        };
        self.check_rules(&rules)
    }

    fn may(&self, verb: &str, plural: &str, name: &str) -> bool {
        let action = ResourceAction {
            verb: verb.to_owned(),
            group: RBAC_GROUP.to_owned(),
            resource: plural.to_owned(),
            namespace: object::namespace(self.next).to_owned(),
            name: name.to_owned(),
            ..ResourceAction::default()
        };
        self.index.allows(self.user, &Action::Resource(action))
    }

    fn check_rules(&self, wanted: &[Rule]) -> Result<(), Status> {
        let held = self.index.held_by(self.user, object::namespace(self.next));
        let missing = missing(&held.rules, wanted);
        if missing.is_empty() {
            return Ok(());
        }
        let mut lines: Vec<String> = missing.iter().map(Rule::to_string).collect();
        lines.sort();
        lines.dedup();
        let mut why = format!(
            "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
            self.user.name,
            quoted(&self.user.groups),
            lines.join("\n")
        );
        if !held.missing_roles.is_empty() {
            why.push_str(&format!("; resolution errors: {}", joined(&held.missing_roles)));
        }
        Err(self.forbidden(&why))
    }

    fn forbidden(&self, why: &str) -> Status {
        Status::forbidden(&self.resource.subject(object::name(self.next)), why)
    }
}

/// Whether a write is only about who holds back the deletion of the object.
fn differ_in_collection_only(current: &Value, next: &Value) -> bool {
    let rest = |object: &Value| {
        let mut rest = object.clone();
        if let Some(metadata) = rest.get_mut("metadata").and_then(Value::as_object_mut) {
            for field in ["ownerReferences", "finalizers", "managedFields"] {
                metadata.remove(field);
            }
        }
        rest
    };
    rest(current) == rest(next)
}

#[cfg(test)]
mod tests;
