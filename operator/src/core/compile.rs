//! Compilation: from a view to steering rules and to what became of each intent.
//!
//! Owns the rule for contradictions. Invariant: a destination (service VPN, address, protocol, port) is steered by at
//! most one preference. Where Services contradict each other the oldest wins and the others are refused, so an
//! existing Service cannot be re-steered by a newer one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::bucket;
use super::choice::{Choices, Compliance};
use super::claim::{Claims, Counting, Destination, claims, counting};
use super::intent::{Encryption, Preference};
use super::outcome::{Accepted, Compiled, Conflict, Outcome, Refusal, Subject};
use super::rule::{Class, Encapsulations, SteeringPolicy, SteeringRule};
use super::tunnel::{TunnelReport, TunnelReports};
use super::view::{NamespaceView, PolicyView, ServiceRef, ServiceView, SliceView, View};

/// Compiles a view to the rules for the fabric.
#[must_use]
pub fn compile(view: &View) -> Compiled {
    let by_service = ByService::of(view);
    let mut services: Vec<_> = view.services.iter().collect();
    services.retain(|service| view.conventions.clusters.contains_key(&service.service.cluster));
    services.sort_by_key(|service| (service.created, &service.service));

    let mut held: BTreeMap<Destination, (Arc<Preference>, &ServiceRef)> = BTreeMap::new();
    let mut outcomes = by_service.orphaned_policies(view);
    for service in services {
        let (intent, others) = by_service.counting(service);
        outcomes.extend(others);
        let Some(intent) = intent else { continue };
        let slices = by_service
            .slices
            .get(&service.service)
            .into_iter()
            .flatten()
            .copied();
        let claims = claims(service, &intent, slices, &view.conventions, &view.tunnels)
            .and_then(|claims| claims.map(|claims| without_conflict(claims, &held)).transpose());
        let Some(claims) = claims.transpose() else {
            continue;
        };
        let verdict = claims.map(|claims| {
            let accepted = accepted(&claims, &view.choices, &view.tunnels);
            let own = claims.destinations.into_iter();
            held.extend(own.map(|(to, preference)| (to, (preference, &service.service))));
            accepted
        });
        outcomes.push(Outcome {
            service: service.service.clone(),
            subject: intent.subject,
            intent: intent.intent.ok(),
            verdict,
        });
    }
    outcomes.sort_by(|a, b| (&a.service, &a.subject).cmp(&(&b.service, &b.subject)));
    Compiled {
        policy: policy(&held, &view.choices, &view.tunnels),
        outcomes: outcomes.into_iter().map(Arc::new).collect(),
    }
}

/// What a view has, by Service.
struct ByService<'a> {
    slices: HashMap<&'a ServiceRef, Vec<&'a SliceView>>,
    policies: HashMap<&'a ServiceRef, Vec<&'a PolicyView>>,
    namespaces: HashMap<(&'a str, &'a str), &'a NamespaceView>,
}

impl<'a> ByService<'a> {
    fn of(view: &'a View) -> Self {
        let mut slices: HashMap<_, Vec<_>> = HashMap::new();
        for slice in &view.slices {
            slices.entry(&slice.service).or_default().push(slice);
        }
        let mut policies: HashMap<_, Vec<_>> = HashMap::new();
        for policy in &view.policies {
            policies.entry(&policy.service).or_default().push(policy);
        }
        let namespaces = view.namespaces.iter();
        let namespaces =
            namespaces.map(|namespace| ((namespace.cluster.as_str(), namespace.name.as_str()), namespace));
        Self {
            slices,
            policies,
            namespaces: namespaces.collect(),
        }
    }

    fn counting(&self, service: &ServiceView) -> (Option<Counting>, Vec<Outcome>) {
        let ServiceRef {
            cluster,
            kube_namespace,
            ..
        } = &service.service;
        let namespace = self.namespaces.get(&(cluster.as_str(), kube_namespace.as_str()));
        let policies = self.policies.get(&service.service).into_iter().flatten();
        counting(service, namespace.copied(), policies.copied())
    }

    fn orphaned_policies(&self, view: &View) -> Vec<Outcome> {
        let services: BTreeSet<_> = view.services.iter().map(|service| &service.service).collect();
        let orphaned = view
            .policies
            .iter()
            .filter(|policy| !services.contains(&policy.service));
        orphaned
            .map(|policy| Outcome {
                service: policy.service.clone(),
                subject: Subject::of(policy),
                intent: policy.intent.clone().ok(),
                verdict: Err(Refusal::ServiceNotFound {
                    service: policy.service.clone(),
                }),
            })
            .collect()
    }
}

fn without_conflict(
    claims: Claims,
    held: &BTreeMap<Destination, (Arc<Preference>, &ServiceRef)>,
) -> Result<Claims, Refusal> {
    for (to, preference) in &claims.destinations {
        if let Some((held, winner)) = held.get(to)
            && held != preference
        {
            return Err(Refusal::Conflict(Box::new(Conflict {
                winner: (*winner).clone(),
                held: Preference::clone(held),
                host: to.host,
                protocol: to.protocol,
                port: to.port,
            })));
        }
    }
    Ok(claims)
}

fn accepted(claims: &Claims, choices: &Choices, tunnels: &TunnelReports) -> Accepted {
    let hosts: BTreeSet<_> = claims.destinations.keys().map(|to| to.host).collect();
    let preferences: BTreeSet<_> = claims.destinations.values().collect();
    let choice = |preference: &Preference| choices.of(preference.path()?, tunnels);
    let taken = |preference: &Preference| match choice(preference) {
        Some(choice) => choice.tunnel,
        None => preference.path().and_then(|path| path.colors.first().copied()),
    };
    let compliances = preferences.iter().filter_map(|preference| choice(preference));
    let compliance: Option<Compliance> = compliances.map(|choice| choice.compliance).max();
    let taken: BTreeSet<_> = preferences.iter().map(|preference| taken(preference)).collect();
    Accepted {
        service_vpn: claims.service_vpn,
        endpoints: hosts.len(),
        tunnel: match taken.first() {
            Some(tunnel) if taken.len() == 1 => *tunnel,
            _ => None,
        },
        compliance,
    }
}

fn policy(
    held: &BTreeMap<Destination, (Arc<Preference>, &ServiceRef)>,
    choices: &Choices,
    tunnels: &TunnelReports,
) -> SteeringPolicy {
    let mut classes: BTreeMap<Class, BTreeSet<IpAddr>> = BTreeMap::new();
    for (to, (preference, _)) in held {
        classes.entry(to.class(preference)).or_default().insert(to.host);
    }
    let rules = classes.into_iter().map(|(class, hosts)| {
        let mut buckets = vec![BTreeSet::new(); bucket::count(hosts.len())];
        for host in hosts {
            let bucket = bucket::of(host, buckets.len());
            buckets[bucket].insert(host);
        }
        rule(
            class,
            buckets.into_iter().map(Arc::new).collect(),
            choices,
            tunnels,
        )
    });
    SteeringPolicy {
        rules: rules.collect(),
    }
}

fn rule(
    class: Class,
    buckets: Arc<[super::rule::Hosts]>,
    choices: &Choices,
    tunnels: &TunnelReports,
) -> SteeringRule {
    let path = class.preference.path();
    let choice = path.and_then(|path| choices.of(path, tunnels));
    let may_be_gre = path.is_some_and(|path| {
        let mut reports = path
            .colors
            .first()
            .and_then(|color| tunnels.get(color))
            .into_iter();
        path.encryption == Encryption::Any && reports.any(TunnelReport::has_clear_text)
    });
    SteeringRule {
        choice,
        encapsulations: if may_be_gre {
            Encapsulations::IpsecAndGre
        } else {
            Encapsulations::Ipsec
        },
        class,
        buckets,
    }
}
