//! Puts the rules of ClusterRoles with an `aggregationRule` together from the ClusterRoles it selects.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::debug;

use crate::access::{RBAC_GROUP, Rule, rules_of};
use crate::api::{Api, Effect, Target};
use crate::object::{self, items};
use crate::selector::LabelSelector;
use crate::store::{Change, State};
use crate::strategy::Part;

pub(super) async fn run(api: Arc<Api>, mut changes: UnboundedReceiver<Arc<Change>>) {
    while let Some(change) = changes.recv().await {
        if change.storage.strip_prefix("clusterroles.") == Some(RBAC_GROUP) {
            settle(&api);
        }
    }
}

/// Rewrites the aggregated roles until each says what the roles it selects say.
///
/// A role never holds more than all roles together do, so this ends; the bound is for roles that select each other
/// and are changed meanwhile.
pub(crate) fn settle(api: &Api) {
    let storage = format!("clusterroles.{RBAC_GROUP}");
    let all = |state: &State| -> Vec<Arc<Value>> {
        let roles = state.scan(&storage, None);
        roles.map(|(_, role)| role).collect()
    };
    let rounds = api.store.read(all).len();
    for _ in 0..rounds {
        let roles = api.store.read(all);
        let stale: Vec<_> = roles
            .iter()
            .filter_map(|role| Some((role, aggregated(role, &roles)?)))
            .collect();
        if stale.is_empty() {
            return;
        }
        for (role, rules) in stale {
            rewrite(api, role, &rules);
        }
    }
}

/// The rules the role should have, if it has others.
fn aggregated(role: &Value, roles: &[Arc<Value>]) -> Option<Vec<Rule>> {
    let selectors: Vec<LabelSelector> = items(role, "/aggregationRule/clusterRoleSelectors")
        .iter()
        .map(LabelSelector::from_json)
        .collect();
    if selectors.is_empty() {
        return None;
    }
    let mut rules: Vec<Rule> = Vec::new();
    for selector in &selectors {
        let selected = roles
            .iter()
            .filter(|other| object::name(other) != object::name(role) && selector.matches(other));
        for rule in selected.flat_map(|other| rules_of(other).unwrap_or_default()) {
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
    }
    (rules_of(role).unwrap_or_default() != rules).then_some(rules)
}

fn rewrite(api: &Api, role: &Value, rules: &[Rule]) {
    let Ok(resource) = api.resources.of_kind(&format!("{RBAC_GROUP}/v1"), "ClusterRole") else {
        return;
    };
    let target = Target::new(&resource, "", object::name(role));
    // The resource version goes along, so a role that changed meanwhile is left for the next round.
    let mut next = role.clone();
    next["rules"] = json!(rules);
    let written = api.update(&target, Part::Main, next, Effect::Persist);
    if let Err(error) = written {
        debug!(role = object::name(role), %error, "role not aggregated");
    }
}
