//! The answers to the review resources of `authorization.k8s.io/v1`: who may do what.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::index::joined;
use super::{Action, Decision, ResourceAction, Rule, RuleIndex, User};
use crate::status::{FieldError, FieldRule, Status};

/// The `spec` of the access reviews.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AccessSpec {
    user: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
    uid: String,
    resource_attributes: Option<ResourceAttributes>,
    non_resource_attributes: Option<PathAttributes>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ResourceAttributes {
    namespace: String,
    verb: String,
    group: String,
    resource: String,
    subresource: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PathAttributes {
    path: String,
    verb: String,
}

/// Whom an access review asks about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ReviewedUser<'a> {
    /// The one who asks.
    Requester(&'a User),
    /// The one in the `spec`.
    Named,
    /// The one in the `spec`, in this namespace only.
    NamedIn(&'a str),
}

/// The `status` of an access review with this `spec`.
pub(crate) fn review_access(
    index: &RuleIndex,
    whom: ReviewedUser<'_>,
    spec: &Value,
) -> Result<Value, Status> {
    let spec: AccessSpec = Option::deserialize(spec)
        .map_err(|error| Status::bad_request(format!("spec: {error}")))?
        .unwrap_or_default();
    if let ReviewedUser::NamedIn(namespace) = whom {
        let asked = spec.resource_attributes.as_ref();
        if asked.map(|attributes| attributes.namespace.as_str()) != Some(namespace) {
            let message =
                format!("spec.resourceAttributes.namespace must match metadata.namespace ({namespace})");
            return Err(Status::bad_request(message));
        }
    }
    let action = match (spec.resource_attributes, spec.non_resource_attributes) {
        (Some(asked), None) => Action::Resource(ResourceAction {
            verb: asked.verb,
            group: asked.group,
            resource: asked.resource,
            subresource: asked.subresource,
            namespace: asked.namespace,
            name: asked.name,
        }),
        (None, Some(asked)) => Action::Path {
            verb: asked.verb,
            path: asked.path,
        },
        _ => {
            let rule = FieldRule::Limit {
                value: Value::Null,
                expected: "exactly one of nonResourceAttributes or resourceAttributes must be specified"
                    .to_owned(),
            };
            let error = FieldError::new("spec.resourceAttributes", rule);
            return Err(Status::unprocessable("", "authorization.k8s.io", "", &[error]));
        }
    };
    let named = User {
        name: spec.user,
        groups: spec.groups,
        uid: spec.uid,
        extra: spec.extra,
    };
    let user = match whom {
        ReviewedUser::Requester(user) => user,
        ReviewedUser::Named | ReviewedUser::NamedIn(_) => &named,
    };
    if user.name.is_empty() && user.groups.is_empty() {
        return Err(Status::bad_request(
            "spec: at least one of user or group must be specified",
        ));
    }
    let decision = index.decide(user, &action);
    let mut status = json!({"allowed": matches!(decision, Decision::Allowed(_))});
    let reason = decision.reason();
    if !reason.is_empty() {
        status["reason"] = json!(reason);
    }
    Ok(status)
}

/// The `status` of a `SelfSubjectRulesReview`.
pub(crate) fn review_rules(index: &RuleIndex, user: &User, namespace: &str) -> Value {
    let held = index.held_by(user, namespace);
    let (paths, resources): (Vec<Rule>, Vec<Rule>) = held
        .rules
        .into_iter()
        .partition(|rule| !rule.non_resource_urls.is_empty());
    let mut status = json!({
        "resourceRules": resources, "nonResourceRules": paths, "incomplete": !held.missing_roles.is_empty(),
    });
    if !held.missing_roles.is_empty() {
        status["evaluationError"] = json!(joined(&held.missing_roles));
    }
    status
}
