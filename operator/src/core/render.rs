//! Rendering: from steering rules to the Manager objects that say the same.
//!
//! Owns the shape of the operator's objects. Invariant: an operator that was never asked for anything wants no
//! object at all, and one that no longer is asked for anything keeps its policy with no sequence: traffic then
//! takes the default action, `accept`, and the policy in force is never deactivated.

use std::collections::{BTreeMap, BTreeSet};

use super::naming::{ListName, Owner};
use super::objects::{
    AppliedAt, Assembly, CentralPolicy, Definition, DefinitionKey, DefinitionKind, Inspection, List,
    ListKind, Objects, Sequence, SequenceAction, ServiceType, Tunnels,
};
use super::preference::{Path, Preference};
use super::rule::{Direction, Family, Hosts, SteeringPolicy, SteeringRule};

/// Where steering applies, and with what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The ids of all sites that have a WAN edge.
    pub sites: BTreeSet<String>,
    /// The service of a site that inspects traffic.
    pub inspection: ServiceType,
}

/// Renders a policy to the objects that shall exist, given those that exist.
#[must_use]
pub fn render(policy: &SteeringPolicy, scope: &Scope, owner: &Owner, observed: &Objects) -> Objects {
    if policy.rules.is_empty() {
        return at_rest(observed);
    }
    let mut rendering = Rendering {
        owner,
        inspection: scope.inspection,
        lists: BTreeMap::new(),
        sequences: BTreeMap::new(),
    };
    for rule in &policy.rules {
        rendering.add_rule(rule);
    }
    rendering.keep_app_route(observed);
    rendering.finish(&scope.sites)
}

/// The objects of an operator that steers nothing: what is in force stays, emptied.
fn at_rest(observed: &Objects) -> Objects {
    let mut lists = observed.lists.clone();
    match observed.policy.as_ref().map(|policy| &policy.assembly) {
        Some(Assembly::Service(entries)) => {
            lists.retain(|name, _| {
                entries
                    .values()
                    .any(|at| *name == at.sites || *name == at.service_vpns)
            });
        }
        // Which lists an altered policy refers to is not known: keep those that it could.
        Some(Assembly::Altered) => {
            lists.retain(|_, list| matches!(list.kind(), ListKind::Site | ListKind::Vpn));
        }
        None => lists.clear(),
    }
    let emptied = |key: &DefinitionKey| (*key, Definition::Sequences(Vec::new()));
    Objects {
        lists,
        definitions: observed.definitions.keys().map(emptied).collect(),
        policy: observed.policy.clone(),
        unconfirmed: false,
    }
}

struct Rendering<'a> {
    owner: &'a Owner,
    inspection: ServiceType,
    lists: BTreeMap<ListName, List>,
    sequences: BTreeMap<DefinitionKey, Vec<Sequence>>,
}

impl Rendering<'_> {
    fn add_rule(&mut self, rule: &SteeringRule) {
        let service_vpn = rule.class.service_vpn;
        let key = |kind| DefinitionKey { service_vpn, kind };
        // Every service VPN has a data definition, for the policy to hold when nothing else is left.
        self.sequences.entry(key(DefinitionKind::Data)).or_default();
        let lists: Vec<_> = (0..)
            .zip(&rule.buckets)
            .map(|(index, hosts)| self.hosts(rule, index, hosts))
            .collect();
        let actions = [
            (DefinitionKind::Data, self.data_action(rule)),
            (DefinitionKind::AppRoute, self.app_route_action(rule)),
        ];
        for (kind, action) in actions {
            let Some(action) = action else { continue };
            let sequences = lists.iter().flat_map(|hosts| {
                Direction::BOTH.map(|direction| Sequence {
                    direction,
                    family: rule.class.family,
                    hosts: hosts.clone(),
                    protocol: rule.class.protocol,
                    port: rule.class.port,
                    action: action.clone(),
                })
            });
            self.sequences.entry(key(kind)).or_default().extend(sequences);
        }
    }

    fn data_action(&mut self, rule: &SteeringRule) -> Option<SequenceAction> {
        let (inspect, path) = match &rule.class.preference {
            Preference::Drop => return Some(SequenceAction::Drop),
            Preference::Inspect(path) => (
                Some(Inspection {
                    service: self.inspection,
                    service_vpn: rule.class.service_vpn,
                }),
                path.as_ref(),
            ),
            Preference::Allow(path) => (None, Some(path)),
        };
        let tunnels = path.and_then(|path| self.tunnels(rule, path));
        (inspect.is_some() || tunnels.is_some()).then_some(SequenceAction::Set { inspect, tunnels })
    }

    /// The tunnels that a data definition sets; none if the SLA class chooses them.
    fn tunnels(&mut self, rule: &SteeringRule, path: &Path) -> Option<Tunnels> {
        let mode = path.mode;
        match path.colors.as_slice() {
            _ if path.sla.is_some() => None,
            [] => None,
            [color] => Some(Tunnels::Color {
                color: *color,
                encapsulations: rule.encapsulations,
                mode,
            }),
            colors => {
                let names: Vec<_> = colors.iter().map(|color| color.as_str()).collect();
                let group = self.add("colors", &names.join(" "), List::ColorGroup(colors.to_vec()));
                Some(Tunnels::Group { group, mode })
            }
        }
    }

    fn app_route_action(&mut self, rule: &SteeringRule) -> Option<SequenceAction> {
        let path = rule.class.preference.path()?;
        let sla = path.sla?;
        Some(SequenceAction::KeepSla {
            class: self.add("sla", &sla.to_string(), List::Sla(sla)),
            preferred: rule.choice.and_then(|choice| choice.tunnel),
            mode: path.mode,
        })
    }

    fn hosts(&mut self, rule: &SteeringRule, index: usize, hosts: &Hosts) -> ListName {
        let class = &rule.class;
        let list = match class.family {
            Family::V4 => List::V4Hosts(hosts.clone()),
            Family::V6 => List::V6Hosts(hosts.clone()),
        };
        let (initial, port) = (&class.protocol.as_str()[..1], class.port);
        let way = match &class.preference {
            Preference::Drop => "drop",
            Preference::Inspect(None) => "inspect",
            Preference::Inspect(Some(path)) | Preference::Allow(path) => match path.colors.as_slice() {
                [] => "any",
                [color, ..] => color.as_str(),
            },
        };
        let bucket = match rule.buckets.len() {
            1 => String::new(),
            count => format!("-{}of{count}", index + 1),
        };
        let label = format!("{initial}{port}{bucket}-{way}");
        let identity = format!("{}/{}", class.service_vpn, class.preference);
        self.add(&label, &identity, list)
    }

    fn add(&mut self, label: &str, identity: &str, list: List) -> ListName {
        let mut attempt = 0;
        loop {
            let name = self.owner.list_name(list.kind(), label, identity, attempt);
            match self.lists.get(&name) {
                Some(taken) if *taken != list => attempt += 1,
                Some(_) => return name,
                None => {
                    self.lists.insert(name.clone(), list);
                    return name;
                }
            }
        }
    }

    /// Keeps app-route definitions whose classes are gone: to leave the assembly, they would have to leave it before the
    /// data definition that takes over is in force.
    fn keep_app_route(&mut self, observed: &Objects) {
        for key in observed.definitions.keys() {
            let data = DefinitionKey {
                kind: DefinitionKind::Data,
                ..*key
            };
            if self.sequences.contains_key(&data) {
                self.sequences.entry(*key).or_default();
            }
        }
    }

    fn finish(mut self, sites: &BTreeSet<String>) -> Objects {
        let sites = self.add("sites", "", List::Sites(sites.clone()));
        let mut applied = BTreeMap::new();
        let mut definitions = BTreeMap::new();
        for (key, sequences) in std::mem::take(&mut self.sequences) {
            let service_vpn = key.service_vpn;
            let at = AppliedAt {
                sites: sites.clone(),
                service_vpns: self.add(&format!("vpn{service_vpn}"), "", List::ServiceVpn(service_vpn)),
            };
            applied.insert(key, at);
            definitions.insert(key, Definition::Sequences(sequences));
        }
        Objects {
            lists: self.lists,
            definitions,
            policy: Some(CentralPolicy {
                assembly: Assembly::Service(applied),
                active: true,
            }),
            unconfirmed: false,
        }
    }
}
