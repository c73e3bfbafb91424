//! Members: what the compiler keeps of one Service.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::choice::{Choices, Compliance};
use super::claim::{Claims, Destination, Terms};
use super::color::Color;
use super::counting::{Counting, counting};
use super::outcome::{Accepted, Outcome, Refusal, Subject};
use super::preference::Preference;
use super::tunnel::TunnelReports;
use super::view::{Conventions, NamespaceView, PolicyView, ServiceRef, ServiceView, SliceView};

/// The order of Services: the older first.
pub(super) type Age = (Option<i64>, ServiceRef);

/// One Service, with all that is about it; the Service itself may be missing.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: ServiceRef,
    pub(super) age: Age,
    pub(super) service: Option<ServiceView>,
    pub(super) policies: BTreeMap<String, PolicyView>,
    pub(super) slices: BTreeMap<String, Slice>,
    pub(super) terms: Result<Option<Terms>, Refusal>,
    /// Destinations that it asks two different things for.
    pub(super) disagreements: BTreeSet<Destination>,
    /// Destinations that older Services hold for something else.
    pub(super) taken: BTreeSet<Destination>,
    /// It holds what it claims.
    pub(super) accepted: bool,
    pub(super) outcomes: Vec<Arc<Outcome>>,
    counting: Option<Counting>,
    others: Vec<Outcome>,
}

/// An EndpointSlice and what it claims.
#[derive(Debug)]
pub(super) struct Slice {
    pub(super) view: SliceView,
    pub(super) claims: Claims,
}

/// What was found to be something else than before.
pub(super) struct Reread {
    pub(super) terms: bool,
    pub(super) age: bool,
}

impl Slice {
    /// A slice that claims nothing yet.
    pub(super) fn new(view: SliceView) -> Self {
        Self {
            view,
            claims: Claims::default(),
        }
    }
}

impl Member {
    pub(super) fn new(name: ServiceRef) -> Self {
        Self {
            age: (None, name.clone()),
            name,
            service: None,
            policies: BTreeMap::new(),
            slices: BTreeMap::new(),
            terms: Ok(None),
            disagreements: BTreeSet::new(),
            taken: BTreeSet::new(),
            accepted: false,
            outcomes: Vec::new(),
            counting: None,
            others: Vec::new(),
        }
    }

    /// All that it claims.
    pub(super) fn destinations(&self) -> HashSet<Destination> {
        let claims = self.slices.values().flat_map(|slice| &slice.claims.destinations);
        claims.map(|(to, _)| *to).collect()
    }

    /// Whether a tunnel is chosen for it by an SLA class.
    pub(super) fn has_sla(&self) -> bool {
        let terms = self.terms.iter().flatten();
        let mut preferences = terms.flat_map(Terms::preferences);
        preferences.any(|preference| preference.path().is_some_and(|path| path.sla.is_some()))
    }

    /// Whether one of these is asked for some port.
    pub(super) fn asks_for_one_of(&self, preferences: &BTreeSet<&Preference>) -> bool {
        let mut asked = self.terms.iter().flatten().flat_map(Terms::preferences);
        asked.any(|preference| preferences.contains(&**preference))
    }

    /// Whether nothing is left of it.
    pub(super) fn is_gone(&self) -> bool {
        self.service.is_none() && self.policies.is_empty() && self.slices.is_empty()
    }

    /// Finds anew what is asked.
    pub(super) fn reread(
        &mut self,
        conventions: &Conventions,
        namespace: Option<&NamespaceView>,
        tunnels: &TunnelReports,
    ) -> Reread {
        let is_known = conventions.clusters.contains_key(&self.name.cluster);
        let (counting, others) = match &self.service {
            Some(service) if is_known => counting(service, namespace, self.policies.values()),
            None if is_known => (None, self.policies.values().map(without_service).collect()),
            _ => (None, Vec::new()),
        };
        let terms = match (&self.service, &counting) {
            (Some(service), Some(counting)) => Terms::find(service, counting, conventions, tunnels),
            _ => Ok(None),
        };
        (self.counting, self.others) = (counting, others);
        let created = self.service.as_ref().and_then(|service| service.created);
        let age = (created, self.name.clone());
        let reread = Reread {
            terms: self.terms != terms,
            age: self.age != age,
        };
        (self.terms, self.age) = (terms, age);
        reread
    }

    /// What refuses it whatever other Services ask.
    fn own_refusal(&self) -> Option<Refusal> {
        if let Err(refusal) = &self.terms {
            return Some(refusal.clone());
        }
        let unsupported = self
            .slices
            .values()
            .filter_map(|slice| slice.claims.unsupported.as_ref());
        if let Some(protocol) = unsupported.min() {
            let protocol = protocol.clone();
            return Some(Refusal::UnsupportedProtocol { protocol });
        }
        let disagreement = self.disagreements.first()?;
        Some(Refusal::PortsDisagree {
            protocol: disagreement.protocol,
            port: disagreement.port,
        })
    }

    /// Whether it may hold what it claims.
    pub(super) fn may_hold(&self) -> bool {
        self.taken.is_empty() && self.own_refusal().is_none()
    }

    /// Says anew what became of its intents. `conflict` is about the first destination that is taken.
    pub(super) fn conclude(&mut self, conflict: Option<Refusal>, choices: &Choices, tunnels: &TunnelReports) {
        let mut outcomes = self.others.clone();
        if let Some(counting) = &self.counting {
            let verdict = match (self.own_refusal().or(conflict), &self.terms) {
                (Some(refusal), _) => Some(Err(refusal)),
                (None, Ok(Some(terms))) => Some(Ok(self.accepted(terms, choices, tunnels))),
                (None, _) => None,
            };
            outcomes.extend(verdict.map(|verdict| Outcome {
                service: self.name.clone(),
                subject: counting.subject.clone(),
                intent: counting.intent.clone().ok(),
                verdict,
            }));
        }
        outcomes.sort_by(|a, b| a.subject.cmp(&b.subject));
        if !outcomes.iter().eq(self.outcomes.iter().map(|outcome| &**outcome)) {
            self.outcomes = outcomes.into_iter().map(Arc::new).collect();
        }
    }

    fn accepted(&self, terms: &Terms, choices: &Choices, tunnels: &TunnelReports) -> Accepted {
        let mut taken: BTreeSet<Option<Color>> = BTreeSet::new();
        let mut compliance: Option<Compliance> = None;
        for preference in terms.preferences() {
            let path = preference.path();
            let choice = path.and_then(|path| choices.of(path, tunnels));
            compliance = compliance.max(choice.map(|choice| choice.compliance));
            taken.insert(match choice {
                Some(choice) => choice.tunnel,
                None => path.and_then(|path| path.colors.first().copied()),
            });
        }
        Accepted {
            service_vpn: terms.service_vpn,
            endpoints: self.slices.values().map(|slice| slice.claims.endpoints).sum(),
            tunnel: taken.first().filter(|_| taken.len() == 1).copied().flatten(),
            compliance,
        }
    }
}

fn without_service(policy: &PolicyView) -> Outcome {
    Outcome {
        service: policy.service.clone(),
        subject: Subject::of(policy),
        intent: policy.intent.clone().ok(),
        verdict: Err(Refusal::ServiceNotFound {
            service: policy.service.clone(),
        }),
    }
}
