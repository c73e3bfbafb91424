//! The refusal of what somebody may not do, in the words of kube-apiserver.

use super::requester::requester;
use super::{Action, Decision, RuleIndex, User};
use crate::status::{Reason, Status, Subject};

/// Refuses what no rule allows, and remembers that it was asked for.
pub(crate) fn authorize(rules: &RuleIndex, user: &User, action: &Action) -> Result<(), Status> {
    let decision = rules.decide(user, action);
    let is_allowed = matches!(decision, Decision::Allowed(_));
    rules.asked.note(&user.name, action, is_allowed);
    if is_allowed {
        return Ok(());
    }
    let mut why = format!("User {:?} cannot {action}", user.name);
    let reason = decision.reason();
    if !reason.is_empty() {
        why = format!("{why}: {reason}");
    }
    Err(match action {
        Action::Path { .. } => Status::undetailed(Reason::Forbidden, format!("forbidden: {why}")),
        Action::Resource(action) => {
            let subject = Subject {
                group: &action.group,
                plural: &action.resource,
                name: &action.name,
            };
            Status::forbidden(&subject, &why)
        }
    })
}

/// As [`authorize`], of whoever makes the running request: for what turns out only while it is served.
pub(crate) fn authorize_requester(rules: &RuleIndex, action: impl FnOnce() -> Action) -> Result<(), Status> {
    match requester() {
        Some(user) if !user.is_master() => authorize(rules, &user, &action()),
        _ => Ok(()),
    }
}
