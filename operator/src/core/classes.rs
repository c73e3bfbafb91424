//! Classes: the rules that the holders of destinations add up to, kept up to date host by host.
//!
//! Invariant: a class exists while it has a host, and its hosts are spread over as many buckets as [`bucket`] says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::bucket;
use super::choice::Choices;
use super::intent::Encryption;
use super::preference::Path;
use super::rule::{Class, Encapsulations, Hosts, SteeringPolicy, SteeringRule};
use super::tunnel::{TunnelReport, TunnelReports};

#[derive(Debug, Default)]
pub(super) struct Classes(BTreeMap<Class, Members>);

#[derive(Debug)]
struct Members {
    rule: Arc<SteeringRule>,
    hosts: usize,
}

impl Classes {
    pub(super) fn insert(&mut self, class: Class, host: IpAddr) {
        let members = self.0.entry(class).or_insert_with_key(|class| Members {
            rule: Arc::new(SteeringRule {
                class: class.clone(),
                buckets: vec![Hosts::default()],
                choice: None,
                encapsulations: Encapsulations::Ipsec,
            }),
            hosts: 0,
        });
        members.hosts += 1;
        members.bucket_of(host).insert(host);
    }

    pub(super) fn remove(&mut self, class: &Class, host: IpAddr) {
        let Some(members) = self.0.get_mut(class) else {
            return;
        };
        members.hosts -= 1;
        if members.hosts == 0 {
            self.0.remove(class);
        } else {
            members.bucket_of(host).remove(&host);
        }
    }

    /// Has every rule say what its traffic takes at present.
    pub(super) fn tune(&mut self, choices: &Choices, tunnels: &TunnelReports) {
        for (class, members) in &mut self.0 {
            let path = class.preference.path();
            let choice = path.and_then(|path| choices.of(path, tunnels));
            let encapsulations = encapsulations(path, tunnels);
            let rule = &members.rule;
            if (rule.choice, rule.encapsulations) != (choice, encapsulations) {
                let rule = Arc::make_mut(&mut members.rule);
                rule.choice = choice;
                rule.encapsulations = encapsulations;
            }
        }
    }

    /// The paths that have an SLA class.
    pub(super) fn paths_with_sla(&self) -> impl Iterator<Item = &Path> {
        let paths = self.0.keys().filter_map(|class| class.preference.path());
        paths.filter(|path| path.sla.is_some())
    }

    pub(super) fn policy(&self) -> SteeringPolicy {
        SteeringPolicy {
            rules: self.0.values().map(|members| members.rule.clone()).collect(),
        }
    }
}

impl Members {
    /// The bucket of a host, among as many as there have to be now.
    fn bucket_of(&mut self, host: IpAddr) -> &mut BTreeSet<IpAddr> {
        let count = bucket::count(self.hosts);
        let rule = Arc::make_mut(&mut self.rule);
        if rule.buckets.len() != count {
            let mut buckets = vec![BTreeSet::new(); count];
            for host in rule.hosts() {
                buckets[bucket::of(host, count)].insert(host);
            }
            rule.buckets = buckets.into_iter().map(Arc::new).collect();
        }
        Arc::make_mut(&mut rule.buckets[bucket::of(host, count)])
    }
}

/// A pin to one color may take its GRE tunnels too, where there are any.
fn encapsulations(path: Option<&Path>, tunnels: &TunnelReports) -> Encapsulations {
    let reported = path.filter(|path| path.encryption == Encryption::Any);
    let reported = reported.and_then(|path| tunnels.get(path.colors.first()?));
    match reported {
        Some(report) if TunnelReport::has_clear_text(report) => Encapsulations::IpsecAndGre,
        _ => Encapsulations::Ipsec,
    }
}
