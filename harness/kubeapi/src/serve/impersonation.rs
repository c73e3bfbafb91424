//! Requests in the name of someone else: the `Impersonate-` headers (`kubectl --as`).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::HeaderMap;
use percent_encoding::percent_decode_str;

use crate::access::{Action, ResourceAction, RuleIndex, User, authorize, service_account_of};
use crate::status::Status;

const EXTRA: &str = "impersonate-extra-";
const IDENTITY_GROUP: &str = "authentication.k8s.io";

/// The user the headers name, if `user` may act for him with all that they say; without headers, `user`.
pub(super) fn impersonated(
    rules: &RuleIndex,
    user: Arc<User>,
    headers: &HeaderMap,
) -> Result<Arc<User>, Status> {
    let Some(asked) = Asked::of(headers)? else {
        return Ok(user);
    };
    for action in asked.actions() {
        authorize(rules, &user, &Action::Resource(action))?;
    }
    Ok(Arc::new(asked.user()))
}

/// What the headers say.
#[derive(Debug, Default)]
struct Asked {
    name: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl Asked {
    fn of(headers: &HeaderMap) -> Result<Option<Self>, Status> {
        let mut asked = Asked::default();
        let mut any = false;
        for (header, value) in headers {
            let Some(what) = header.as_str().strip_prefix("impersonate-") else {
                continue;
            };
            let value = value.to_str().map_err(|_| {
                Status::bad_request(format!("header {header}: expected visible ASCII characters"))
            })?;
            any = true;
            match what {
                "user" => asked.name = value.to_owned(),
                "uid" => asked.uid = value.to_owned(),
                "group" => asked.groups.push(value.to_owned()),
                _ => {
                    let Some(key) = header.as_str().strip_prefix(EXTRA) else {
                        continue;
                    };
                    let key = percent_decode_str(key).decode_utf8_lossy().into_owned();
                    asked.extra.entry(key).or_default().push(value.to_owned());
                }
            }
        }
        if any && asked.name.is_empty() {
            return Err(Status::bad_request(
                "impersonation of groups, a uid or extras needs the header Impersonate-User",
            ));
        }
        Ok(any.then_some(asked))
    }

    /// What it takes to be allowed to say so.
    fn actions(&self) -> Vec<ResourceAction> {
        let impersonate = |group: &str, resource: &str, name: &str| ResourceAction {
            verb: "impersonate".to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            name: name.to_owned(),
            ..ResourceAction::default()
        };
        let mut actions = vec![match service_account_of(&self.name) {
            Some((namespace, name)) => ResourceAction {
                namespace: namespace.to_owned(),
                ..impersonate("", "serviceaccounts", name)
            },
            None => impersonate("", "users", &self.name),
        }];
        actions.extend(self.groups.iter().map(|group| impersonate("", "groups", group)));
        if !self.uid.is_empty() {
            actions.push(impersonate(IDENTITY_GROUP, "uids", &self.uid));
        }
        for (key, values) in &self.extra {
            actions.extend(values.iter().map(|value| ResourceAction {
                subresource: key.clone(),
                ..impersonate(IDENTITY_GROUP, "userextras", value)
            }));
        }
        actions
    }

    fn user(self) -> User {
        let user = match service_account_of(&self.name) {
            Some((namespace, name)) if self.groups.is_empty() => User::service_account(namespace, name),
            _ => User::authenticated(&self.name, self.groups),
        };
        User {
            uid: self.uid,
            extra: self.extra,
            ..user
        }
    }
}
