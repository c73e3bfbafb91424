//! Keeping what is there: for clusters that could not be looked at yet, and for what the Manager refuses.
//!
//! Owns the union of what is desired and what is on the Manager. Invariant: hosts that nothing is desired for keep
//! their rules, all of them or those that are asked for; hosts that something is desired for have only that.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::naming::ListName;
use super::objects::{Assembly, Definition, DefinitionKey, List, Objects, Sequence};
use super::rule::{Family, Protocol, SteeringRule};

/// The traffic of all endpoints of a port in a service VPN.
type Traffic = (u16, Family, Protocol, u16);

fn traffic(service_vpn: u16, sequence: &Sequence) -> Traffic {
    (service_vpn, sequence.family, sequence.protocol, sequence.port)
}

/// What is desired, and the rules that are there for other hosts.
#[must_use]
pub fn keep(desired: Objects, observed: &Objects) -> Objects {
    keep_where(desired, observed, |_, _| true)
}

/// What is desired, and the rules that are there for the hosts of these rules.
#[must_use]
pub fn keep_for<'a>(
    desired: Objects,
    observed: &Objects,
    rules: impl Iterator<Item = &'a SteeringRule>,
) -> Objects {
    let mut hosts: HashMap<Traffic, HashSet<IpAddr>> = HashMap::new();
    for rule in rules {
        let class = &rule.class;
        let traffic = (class.service_vpn, class.family, class.protocol, class.port);
        hosts.entry(traffic).or_default().extend(rule.hosts());
    }
    keep_where(desired, observed, |traffic, host| {
        hosts.get(traffic).is_some_and(|hosts| hosts.contains(host))
    })
}

fn keep_where(
    mut desired: Objects,
    observed: &Objects,
    is_wanted: impl Fn(&Traffic, &IpAddr) -> bool,
) -> Objects {
    let claimed = claimed(&desired);
    let mut kept: BTreeSet<ListName> = BTreeSet::new();
    for (key, definition) in &observed.definitions {
        let others = definition.sequences().iter().filter(|sequence| {
            let traffic = traffic(key.service_vpn, sequence);
            let claimed = claimed.get(&traffic);
            let is_free = |host: &IpAddr| claimed.is_none_or(|claimed| !claimed.contains(host));
            keep_hosts(&mut desired, observed, &sequence.hosts, |host| {
                is_free(host) && is_wanted(&traffic, host)
            })
        });
        let others: Vec<Sequence> = others.cloned().collect();
        if others.is_empty() {
            continue;
        }
        kept.extend(others.iter().flat_map(Sequence::lists).cloned());
        let own = desired
            .definitions
            .get(key)
            .map_or(&[][..], Definition::sequences);
        let is_own = |other: &Sequence| {
            let same = |own: &Sequence| own.hosts == other.hosts && own.direction == other.direction;
            own.iter().any(same)
        };
        let others = others.iter().filter(|other| !is_own(other));
        let sequences = own.iter().chain(others).cloned().collect();
        desired.definitions.insert(*key, Definition::Sequences(sequences));
        keep_assembly(&mut desired, observed, *key);
    }
    for name in &kept {
        keep_list(&mut desired, observed, name);
    }
    desired
}

/// The hosts that something is desired for.
fn claimed(desired: &Objects) -> HashMap<Traffic, HashSet<IpAddr>> {
    let mut claimed: HashMap<Traffic, HashSet<IpAddr>> = HashMap::new();
    for (key, definition) in &desired.definitions {
        for sequence in definition.sequences() {
            let hosts = desired.lists.get(&sequence.hosts).and_then(|list| list.hosts());
            let entry = claimed.entry(traffic(key.service_vpn, sequence)).or_default();
            entry.extend(hosts.into_iter().flat_map(|hosts| hosts.iter().copied()));
        }
    }
    claimed
}

/// Keeps the hosts of a list that are to stay; whether there are any.
fn keep_hosts(
    desired: &mut Objects,
    observed: &Objects,
    name: &ListName,
    stays: impl Fn(&IpAddr) -> bool,
) -> bool {
    let Some((list, hosts)) = observed
        .lists
        .get(name)
        .and_then(|list| Some((list, list.hosts()?)))
    else {
        return false;
    };
    let mut all: BTreeSet<IpAddr> = hosts.iter().filter(|host| stays(host)).copied().collect();
    if all.is_empty() {
        return false;
    }
    if let Some(own) = desired.lists.get(name).and_then(|list| list.hosts()) {
        all.extend(own.iter().copied());
    }
    let all = Arc::new(all);
    let list = match list {
        List::V6Hosts(_) => List::V6Hosts(all),
        _ => List::V4Hosts(all),
    };
    desired.lists.insert(name.clone(), list);
    true
}

/// Keeps the place where a definition applies, if nothing else is desired for it.
fn keep_assembly(desired: &mut Objects, observed: &Objects, key: DefinitionKey) {
    let Some(policy) = &observed.policy else { return };
    let Assembly::Service(there) = &policy.assembly else {
        return;
    };
    let Some(at) = there.get(&key) else { return };
    let wanted = desired.policy.get_or_insert_with(|| policy.clone());
    let Assembly::Service(wanted) = &mut wanted.assembly else {
        return;
    };
    if wanted.contains_key(&key) {
        return;
    }
    wanted.insert(key, at.clone());
    for name in [&at.sites, &at.service_vpns] {
        keep_list(desired, observed, name);
    }
}

/// Keeps a list, unless one of its name is desired.
fn keep_list(desired: &mut Objects, observed: &Objects, name: &ListName) {
    if let (false, Some(list)) = (desired.lists.contains_key(name), observed.lists.get(name)) {
        desired.lists.insert(name.clone(), list.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{DefinitionKind, Direction, Owner, SequenceAction};

    /// What a Manager with one data definition has, whose lists have these hosts.
    fn objects(lists: &[(&str, &[&str])]) -> Objects {
        let mut objects = Objects::default();
        let mut sequences = Vec::new();
        for (name, hosts) in lists {
            let name = Owner::default().own_list(name).unwrap();
            let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
            objects.lists.insert(name.clone(), List::V4Hosts(Arc::new(hosts)));
            sequences.extend(Direction::BOTH.map(|direction| Sequence {
                direction,
                family: Family::V4,
                hosts: name.clone(),
                protocol: Protocol::Tcp,
                port: 80,
                action: SequenceAction::Drop,
            }));
        }
        let key = DefinitionKey {
            service_vpn: 10,
            kind: DefinitionKind::Data,
        };
        objects.definitions.insert(key, Definition::Sequences(sequences));
        objects
    }

    #[test]
    fn what_nothing_is_desired_for_stays_and_is_desired_once() {
        let observed = objects(&[("ppo-a", &["10.0.0.1", "10.0.0.2"]), ("ppo-b", &["10.0.0.3"])]);
        let desired = objects(&[("ppo-a", &["10.0.0.1", "10.0.0.4"]), ("ppo-c", &["10.0.0.2"])]);
        let kept = keep(desired, &observed);
        let expected = objects(&[
            ("ppo-a", &["10.0.0.1", "10.0.0.4"]),
            ("ppo-c", &["10.0.0.2"]),
            ("ppo-b", &["10.0.0.3"]),
        ]);
        assert_eq!(kept, expected);
        assert_eq!(keep(kept.clone(), &observed), kept);
    }

    #[test]
    fn nothing_desired_leaves_everything_as_it_is() {
        let observed = objects(&[("ppo-a", &["10.0.0.1"]), ("ppo-b", &["10.0.0.2"])]);
        assert_eq!(keep(Objects::default(), &observed), observed);
        assert_eq!(keep(observed.clone(), &Objects::default()), observed);
    }
}
