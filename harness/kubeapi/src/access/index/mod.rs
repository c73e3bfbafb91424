//! The stored roles and bindings, arranged by whom they are for.
//!
//! The invariant: after each write to the store, the index says what the stored roles and bindings say. With it goes what
//! was asked of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use serde_json::Value;

use super::asked::Asked;
use super::rule::{Rule, rules_of};
use super::user::service_account_name;
use super::{Access, Action, RBAC_GROUP, User};
use crate::object;
use crate::store::{Change, ChangeKind, Observer};

/// Decides by the roles and bindings of one cluster.
#[derive(Debug, Default)]
pub(crate) struct RuleIndex {
    index: RwLock<Index>,
    pub(super) asked: Asked,
}

/// What became of the question whether a user may.
#[derive(Debug, Clone)]
pub(crate) enum Decision {
    /// Yes, and through which binding; a master needs none.
    Allowed(Option<Arc<Grant>>),
    /// No rule says so. With the roles that are bound and do not exist.
    Denied { missing_roles: BTreeSet<String> },
}

/// A binding, to one of its subjects.
#[derive(Debug)]
pub(crate) struct Grant {
    role: RoleRef,
    /// The sentence that tells of it.
    reason: String,
}

/// The role a binding names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RoleRef {
    pub(super) kind: String,
    pub(super) name: String,
}

/// By namespace; the roles and bindings of the cluster are in the namespace without a name.
#[derive(Debug, Default)]
struct Index(HashMap<String, Scope>);

#[derive(Debug, Default)]
struct Scope {
    roles: HashMap<String, Arc<[Rule]>>,
    users: Grants,
    groups: Grants,
}

/// By the name of the subject, then by the name of the binding.
type Grants = HashMap<String, BTreeMap<String, Arc<Grant>>>;

/// The rules of one user in one namespace.
#[derive(Debug, Default)]
pub(super) struct HeldRules {
    pub(super) rules: Vec<Rule>,
    pub(super) missing_roles: BTreeSet<String>,
}

impl RuleIndex {
    /// Whether the user may, by all bindings of the cluster and those of the namespace the action is in.
    pub(crate) fn decide(&self, user: &User, action: &Action) -> Decision {
        if user.is_master() {
            return Decision::Allowed(None);
        }
        let index = self.read();
        let mut missing_roles = BTreeSet::new();
        for (namespace, grant) in index.grants(user, action.namespace()) {
            match index.rules(&grant.role, namespace) {
                Some(rules) if rules.iter().any(|rule| rule.allows(action)) => {
                    return Decision::Allowed(Some(Arc::clone(grant)));
                }
                Some(_) => {}
                None => _ = missing_roles.insert(grant.role.not_found()),
            }
        }
        Decision::Denied { missing_roles }
    }

    pub(crate) fn allows(&self, user: &User, action: &Action) -> bool {
        matches!(self.decide(user, action), Decision::Allowed(_))
    }

    /// All rules that hold for the user in the namespace.
    pub(super) fn held_by(&self, user: &User, namespace: &str) -> HeldRules {
        let index = self.read();
        let mut held = HeldRules::default();
        for (at, grant) in index.grants(user, namespace) {
            match index.rules(&grant.role, at) {
                Some(rules) => held.rules.extend_from_slice(rules),
                None => _ = held.missing_roles.insert(grant.role.not_found()),
            }
        }
        held
    }

    /// The rules of the role that a binding in `namespace` names.
    pub(super) fn rules(&self, role: &RoleRef, namespace: &str) -> Option<Arc<[Rule]>> {
        self.read().rules(role, namespace).cloned()
    }

    /// What users asked so far.
    pub(crate) fn accesses(&self) -> Vec<Access> {
        self.asked.all()
    }

    fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for RuleIndex {
    fn changed(&self, change: &Change) {
        let plural = change
            .storage
            .strip_suffix(RBAC_GROUP)
            .and_then(|rest| rest.strip_suffix('.'));
        let Some(plural) = plural else {
            return;
        };
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let scope = index.0.entry(change.key.namespace.clone()).or_default();
        let is_there = change.kind != ChangeKind::Deleted;
        match plural {
            "roles" | "clusterroles" if is_there => {
                // Validation lets no rules in that cannot be read.
                let rules = rules_of(&change.object()).unwrap_or_default();
                scope.roles.insert(change.key.name.clone(), rules.into());
            }
            "roles" | "clusterroles" => _ = scope.roles.remove(&change.key.name),
            "rolebindings" | "clusterrolebindings" => {
                if let Some(previous) = change.previous() {
                    scope.unbind(&previous);
                }
                if is_there {
                    scope.bind(&change.object());
                }
            }
            _ => {}
        }
    }
}

impl Index {
    /// The bindings of the user, each with the namespace it is in: those of the cluster, then those of `namespace`.
    fn grants<'a>(
        &'a self,
        user: &'a User,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a Arc<Grant>)> {
        let namespaces = std::iter::once("").chain((!namespace.is_empty()).then_some(namespace));
        namespaces.flat_map(move |namespace| {
            let scope = self.0.get(namespace).into_iter();
            scope.flat_map(move |scope| scope.grants(user).map(move |grant| (namespace, grant)))
        })
    }

    fn rules(&self, role: &RoleRef, namespace: &str) -> Option<&Arc<[Rule]>> {
        let namespace = if role.kind == "ClusterRole" { "" } else { namespace };
        self.0.get(namespace)?.roles.get(&role.name)
    }
}

impl Scope {
    fn grants<'a>(&'a self, user: &'a User) -> impl Iterator<Item = &'a Arc<Grant>> {
        let own = self.users.get(&user.name);
        let shared = user.groups.iter().filter_map(|group| self.groups.get(group));
        own.into_iter().chain(shared).flat_map(BTreeMap::values)
    }

    fn bind(&mut self, binding: &Value) {
        let role = RoleRef::of(binding);
        let place = match object::namespace(binding) {
            "" => format!("ClusterRoleBinding {:?}", object::name(binding)),
            namespace => format!("RoleBinding \"{}/{namespace}\"", object::name(binding)),
        };
        for (subject, described) in subjects(binding) {
            let RoleRef { kind, name } = &role;
            let grant = Grant {
                role: role.clone(),
                reason: format!("RBAC: allowed by {place} of {kind} {name:?} to {described}"),
            };
            self.grants_of(subject.kind)
                .entry(subject.name)
                .or_default()
                .insert(object::name(binding).to_owned(), Arc::new(grant));
        }
    }

    fn unbind(&mut self, binding: &Value) {
        for (subject, _) in subjects(binding) {
            let grants = self.grants_of(subject.kind);
            let Some(held) = grants.get_mut(&subject.name) else {
                continue;
            };
            held.remove(object::name(binding));
            if held.is_empty() {
                grants.remove(&subject.name);
            }
        }
    }

    fn grants_of(&mut self, kind: SubjectKind) -> &mut Grants {
        match kind {
            SubjectKind::User => &mut self.users,
            SubjectKind::Group => &mut self.groups,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SubjectKind {
    User,
    Group,
}

/// Whom a binding is for; a ServiceAccount by its user name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Subject {
    kind: SubjectKind,
    name: String,
}

/// The subjects of a binding, each with its description.
fn subjects(binding: &Value) -> impl Iterator<Item = (Subject, String)> {
    let of = |subject: &Value| {
        let name = object::text(subject, "/name");
        let (kind, name, described) = match object::text(subject, "/kind") {
            "User" => (SubjectKind::User, name.to_owned(), format!("User {name:?}")),
            "Group" => (SubjectKind::Group, name.to_owned(), format!("Group {name:?}")),
            "ServiceAccount" => {
                let namespace = match object::text(subject, "/namespace") {
                    "" => object::namespace(binding),
                    namespace => namespace,
                };
                let described = format!("ServiceAccount \"{name}/{namespace}\"");
                (
                    SubjectKind::User,
                    service_account_name(namespace, name),
                    described,
                )
            }
            _ => return None,
        };
        Some((Subject { kind, name }, described))
    };
    object::items(binding, "/subjects").iter().filter_map(of)
}

impl RoleRef {
    pub(super) fn of(binding: &Value) -> Self {
        RoleRef {
            kind: object::text(binding, "/roleRef/kind").to_owned(),
            name: object::text(binding, "/roleRef/name").to_owned(),
        }
    }

    pub(super) fn not_found(&self) -> String {
        format!(
            "{}.{RBAC_GROUP} {:?} not found",
            self.kind.to_lowercase(),
            self.name
        )
    }
}

impl Decision {
    /// Why, as reviews and refusals say it; empty where there is nothing to say.
    pub(crate) fn reason(&self) -> String {
        match self {
            Decision::Allowed(grant) => grant
                .as_ref()
                .map_or_else(String::new, |grant| grant.reason.clone()),
            Decision::Denied { missing_roles } => match joined(missing_roles) {
                roles if roles.is_empty() => roles,
                roles => format!("RBAC: {roles}"),
            },
        }
    }
}

/// Errors as the API machinery puts them together.
pub(super) fn joined(errors: &BTreeSet<String>) -> String {
    let list: Vec<&str> = errors.iter().map(String::as_str).collect();
    match list[..] {
        [] => String::new(),
        [one] => one.to_owned(),
        _ => format!("[{}]", list.join(", ")),
    }
}

#[cfg(test)]
mod tests;
