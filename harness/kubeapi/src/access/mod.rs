//! Who asks, and what they may do: users, their tokens, the rules of RBAC.
//!
//! Owns the decision on every request that comes over the network, as kube-apiserver 1.34 takes it. The rules are
//! the stored roles and bindings; [`RuleIndex`] follows them inside each write, so a request that comes after a
//! write is judged by it. Controllers and the client inside this process are not asked.

mod action;
mod asked;
mod authorize;
mod defaults;
mod escalation;
mod index;
mod requester;
mod reviews;
mod rule;
mod tokens;
mod user;

pub(crate) use action::{Action, ResourceAction};
pub use asked::Access;
pub(crate) use authorize::{authorize, authorize_requester};
pub(crate) use defaults::{cluster_role_bindings, cluster_roles};
pub(crate) use escalation::refuse_escalation;
pub(crate) use index::{Decision, RuleIndex};
pub(crate) use requester::on_behalf_of;
pub(crate) use reviews::{ReviewedUser, review_access, review_rules};
pub(crate) use rule::{Rule, rules_of};
pub(crate) use tokens::{Authenticator, Lifetime, TokenRequest};
pub(crate) use user::{User, service_account_of};

/// The group of the RBAC API.
pub(crate) const RBAC_GROUP: &str = "rbac.authorization.k8s.io";
