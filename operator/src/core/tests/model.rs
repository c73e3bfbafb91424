//! Compilation as its definition has it: all Services, the oldest first, each against all that went before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::core::claim::{Claims, Destination, Terms};
use crate::core::classes::Classes;
use crate::core::counting::counting;
use crate::core::*;

type Held<'a> = BTreeMap<Destination, (Arc<Preference>, &'a ServiceView)>;

pub(super) fn model(view: &View) -> Compiled {
    let mut services: Vec<_> = view.services.iter().collect();
    services.retain(|service| view.conventions.clusters.contains_key(&service.service.cluster));
    services.sort_by_key(|service| (service.created, &service.service));
    let mut held = Held::new();
    let mut outcomes = without_service(view);
    for service in services {
        let name = &service.service;
        let namespace = view
            .namespaces
            .iter()
            .find(|namespace| namespace.cluster == name.cluster && namespace.name == name.kube_namespace);
        let policies = view.policies.iter().filter(|policy| policy.service == *name);
        let (intent, others) = counting(service, namespace, policies);
        outcomes.extend(others);
        let Some(intent) = intent else { continue };
        let verdict = match Terms::find(service, &intent, &view.conventions, &view.tunnels) {
            Ok(None) => continue,
            Err(refusal) => Err(refusal),
            Ok(Some(terms)) => {
                hold(view, service, &terms, &mut held).map(|()| accepted(view, service, &terms))
            }
        };
        outcomes.push(Outcome {
            service: name.clone(),
            subject: intent.subject,
            intent: intent.intent.ok(),
            verdict,
        });
    }
    outcomes.sort_by(|a, b| (&a.service, &a.subject).cmp(&(&b.service, &b.subject)));
    let mut classes = Classes::default();
    for (to, (preference, _)) in &held {
        classes.insert(to.class(preference), to.host);
    }
    classes.tune(&view.choices, &view.tunnels);
    Compiled {
        policy: classes.policy(),
        outcomes: outcomes.into_iter().map(Arc::new).collect(),
    }
}

fn claims(view: &View, service: &ServiceView, terms: &Terms) -> Vec<Claims> {
    let slices = view
        .slices
        .iter()
        .filter(|slice| slice.service == service.service);
    slices
        .map(|slice| terms.claims(slice, view.conventions.endpoints))
        .collect()
}

fn hold<'a>(
    view: &View,
    service: &'a ServiceView,
    terms: &Terms,
    held: &mut Held<'a>,
) -> Result<(), Refusal> {
    let claims = claims(view, service, terms);
    if let Some(protocol) = claims
        .iter()
        .filter_map(|claims| claims.unsupported.clone())
        .min()
    {
        return Err(Refusal::UnsupportedProtocol { protocol });
    }
    let all: BTreeSet<_> = claims
        .iter()
        .flat_map(|claims| claims.destinations.iter().cloned())
        .collect();
    let mut own = BTreeMap::new();
    for (to, preference) in all {
        if own.insert(to, preference).is_some() {
            let Destination { protocol, port, .. } = to;
            return Err(Refusal::PortsDisagree { protocol, port });
        }
    }
    for (to, preference) in &own {
        if let Some((other, winner)) = held.get(to).filter(|(other, _)| other != preference) {
            return Err(Refusal::Conflict(Box::new(Conflict {
                winner: winner.service.clone(),
                held: Preference::clone(other),
                host: to.host,
                protocol: to.protocol,
                port: to.port,
            })));
        }
    }
    for (to, preference) in own {
        held.entry(to).or_insert((preference, service));
    }
    Ok(())
}

fn accepted(view: &View, service: &ServiceView, terms: &Terms) -> Accepted {
    let paths: Vec<_> = terms.preferences().map(|preference| preference.path()).collect();
    let choice = |path: &Path| view.choices.of(path, &view.tunnels);
    let tunnel = |path: &Path| match choice(path) {
        Some(choice) => choice.tunnel,
        None => path.colors.first().copied(),
    };
    let tunnels: BTreeSet<_> = paths.iter().map(|path| path.and_then(tunnel)).collect();
    Accepted {
        service_vpn: terms.service_vpn,
        endpoints: claims(view, service, terms)
            .iter()
            .map(|claims| claims.endpoints)
            .sum(),
        tunnel: if tunnels.len() == 1 {
            tunnels.into_iter().next().unwrap()
        } else {
            None
        },
        compliance: paths
            .iter()
            .filter_map(|path| Some(choice((*path)?)?.compliance))
            .max(),
    }
}

fn without_service(view: &View) -> Vec<Outcome> {
    let is_there = |name: &ServiceRef| view.services.iter().any(|service| service.service == *name);
    let alone = view.policies.iter().filter(|policy| !is_there(&policy.service));
    let known = alone.filter(|policy| view.conventions.clusters.contains_key(&policy.service.cluster));
    known
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
