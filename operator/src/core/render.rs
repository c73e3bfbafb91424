//! Rendering: from steering rules to the Manager objects that say the same.
//!
//! Owns the shape of the operator's objects. Invariant: an operator that was never asked for anything wants no
//! object at all, and one that no longer is asked for anything keeps its policy with no sequence: traffic then
//! takes the default action, `accept`, and the policy in force is never deactivated.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::compile::{Family, SteeringPolicy, SteeringRule};
use super::naming::{ListName, Owner};
use super::objects::{Assembly, CentralPolicy, Definition, List, ListKind, Objects, Sequence};

/// Where steering applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The ids of all sites that have a WAN edge.
    pub sites: BTreeSet<String>,
    /// The service VPN of the cluster.
    pub service_vpn: u16,
}

/// Renders a policy to the objects that shall exist, given those that exist.
#[must_use]
pub fn render(policy: &SteeringPolicy, scope: &Scope, owner: &Owner, observed: &Objects) -> Objects {
    if policy.rules.is_empty() {
        return at_rest(observed);
    }
    let mut lists = Lists {
        owner,
        by_name: BTreeMap::new(),
    };
    let sequences = policy
        .rules
        .iter()
        .map(|rule| sequence(rule, &mut lists))
        .collect();
    let sites = lists.add(ListKind::Site, "sites", scope.sites.clone());
    let service_vpn = scope.service_vpn.to_string();
    let service_vpns = lists.add(
        ListKind::Vpn,
        &format!("vpn{service_vpn}"),
        BTreeSet::from([service_vpn.clone()]),
    );
    Objects {
        lists: lists.by_name,
        definition: Some(Definition::Sequences(sequences)),
        policy: Some(CentralPolicy {
            assembly: Assembly::Service { sites, service_vpns },
            active: true,
        }),
        unconfirmed: false,
    }
}

/// The objects of an operator that steers nothing: what is referenced stays, emptied.
fn at_rest(observed: &Objects) -> Objects {
    let mut lists = observed.lists.clone();
    match observed.policy.as_ref().map(|policy| &policy.assembly) {
        Some(Assembly::Service { sites, service_vpns }) => {
            lists.retain(|name, _| name == sites || name == service_vpns);
        }
        // Which lists an altered policy refers to is not known: keep those that it could.
        Some(Assembly::Altered) => {
            lists.retain(|_, list| matches!(list.kind, ListKind::Site | ListKind::Vpn));
        }
        None => lists.clear(),
    }
    Objects {
        lists,
        definition: observed
            .definition
            .as_ref()
            .map(|_| Definition::Sequences(Vec::new())),
        policy: observed.policy.clone(),
        unconfirmed: false,
    }
}

fn sequence(rule: &SteeringRule, lists: &mut Lists<'_>) -> Sequence {
    let flow = &rule.flow;
    let (kind, length) = match flow.family {
        Family::V4 => (ListKind::DataPrefix, 32),
        Family::V6 => (ListKind::DataIpv6Prefix, 128),
    };
    let entries = flow
        .hosts
        .iter()
        .map(|host: &IpAddr| format!("{host}/{length}"))
        .collect();
    let initial = &flow.protocol.as_str()[..1];
    let label = format!(
        "{initial}{}-{}-{}",
        flow.port,
        rule.prefer.color,
        rule.prefer.mode.as_str()
    );
    Sequence {
        direction: flow.direction,
        family: flow.family,
        hosts: lists.add(kind, &label, entries),
        protocol: flow.protocol,
        port: flow.port,
        prefer: rule.prefer,
    }
}

struct Lists<'a> {
    owner: &'a Owner,
    by_name: BTreeMap<ListName, List>,
}

impl Lists<'_> {
    fn add(&mut self, kind: ListKind, label: &str, entries: BTreeSet<String>) -> ListName {
        let list = List { kind, entries };
        let mut attempt = 0;
        loop {
            let name = self.owner.list_name(kind, label, &list.entries, attempt);
            match self.by_name.get(&name) {
                Some(taken) if *taken != list => attempt += 1,
                Some(_) => return name,
                None => {
                    self.by_name.insert(name.clone(), list);
                    return name;
                }
            }
        }
    }
}
