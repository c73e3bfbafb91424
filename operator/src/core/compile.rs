//! Compilation: from a view to steering rules and to what became of each intent.
//!
//! Owns the facts, change by change, and finds anew only what a change can reach. Invariants: a destination (service
//! VPN, address, protocol, port) is steered by at most one preference. Where Services contradict each other the oldest
//! wins and the others are refused, so an existing Service cannot be re-steered by a newer one. What comes out depends
//! on the facts, not on the way to them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::choice::Choices;
use super::claim::{Claims, Destination};
use super::classes::Classes;
use super::ledger::{Ledger, ServiceId};
use super::member::{Member, Slice};
use super::outcome::Compiled;
use super::tunnel::TunnelReports;
use super::view::{
    Cluster, Conventions, NamespaceView, ObjectRef, PolicyView, ServiceRef, ServiceView, SliceView, View,
};

/// Compiles a view to the rules for the fabric.
#[must_use]
pub fn compile(view: &View) -> Compiled {
    Compiler::of(view).compiled()
}

/// Keeps a view compiled while it changes.
#[derive(Debug, Default)]
pub struct Compiler {
    pub(super) conventions: Conventions,
    pub(super) namespaces: HashMap<(Cluster, String), NamespaceView>,
    pub(super) tunnels: TunnelReports,
    pub(super) choices: Choices,
    pub(super) members: Vec<Member>,
    /// Places in `members` that are not used.
    pub(super) vacant: Vec<ServiceId>,
    pub(super) by_name: BTreeMap<ServiceRef, ServiceId>,
    /// The Service of each EndpointSlice.
    slices: HashMap<ObjectRef, ServiceRef>,
    /// The Service of each SteeringPolicy.
    policies: HashMap<ObjectRef, ServiceRef>,
    pub(super) ledger: Ledger,
    pub(super) classes: Classes,
    pub(super) pending: Pending,
}

/// What has changed since the last time rules were asked for.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Services of which something was changed.
    members: BTreeSet<ServiceId>,
    /// Services to be reviewed, with the destinations that this is about.
    pub(super) reviews: HashMap<ServiceId, HashSet<Destination>>,
    /// Destinations that may have another holder.
    pub(super) touched: HashSet<Destination>,
}

/// A change of one fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A Service is there, or another than before.
    Service(ServiceView),
    /// A Service is gone.
    ServiceGone(ServiceRef),
    /// An EndpointSlice is there, or another than before.
    Slice(SliceView),
    /// An EndpointSlice is gone.
    SliceGone(ObjectRef),
    /// A namespace with annotations is there, or another than before.
    Namespace(NamespaceView),
    /// A namespace is gone, or has no annotation any more.
    NamespaceGone(Cluster, String),
    /// A SteeringPolicy is there, or another than before.
    Policy(PolicyView),
    /// A SteeringPolicy is gone.
    PolicyGone(ObjectRef),
    /// The Manager was polled for its tunnels.
    Tunnels(TunnelReports),
}

impl Compiler {
    /// A compiler that knows no facts yet.
    #[must_use]
    pub fn new(conventions: Conventions) -> Self {
        Self {
            conventions,
            ..Self::default()
        }
    }

    /// A compiler that knows a view.
    #[must_use]
    pub fn of(view: &View) -> Self {
        let mut compiler = Self::new(view.conventions.clone());
        compiler.tunnels.clone_from(&view.tunnels);
        compiler.choices.clone_from(&view.choices);
        let namespaces = view.namespaces.iter().cloned().map(Change::Namespace);
        let services = view.services.iter().cloned().map(Change::Service);
        let policies = view.policies.iter().cloned().map(Change::Policy);
        let slices = view.slices.iter().cloned().map(Change::Slice);
        for change in namespaces.chain(services).chain(policies).chain(slices) {
            compiler.apply(change);
        }
        compiler
    }

    /// Takes note of a change.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Service(service) => {
                let id = self.member(&service.service);
                self.members[id].service = Some(service);
            }
            Change::ServiceGone(service) => {
                if let Some(id) = self.known(&service) {
                    self.members[id].service = None;
                }
            }
            Change::Slice(slice) => self.put_slice(slice),
            Change::SliceGone(slice) => self.drop_slice(&slice),
            Change::Namespace(namespace) => {
                let key = (namespace.cluster.clone(), namespace.name.clone());
                self.touch_namespace(&key);
                self.namespaces.insert(key, namespace);
            }
            Change::NamespaceGone(cluster, name) => {
                let key = (cluster, name);
                self.touch_namespace(&key);
                self.namespaces.remove(&key);
            }
            Change::Policy(policy) => self.put_policy(policy),
            Change::PolicyGone(policy) => self.drop_policy(&policy),
            Change::Tunnels(reports) => self.put_tunnels(reports),
        }
    }

    /// The rules and outcomes of the facts as they are now.
    pub fn compiled(&mut self) -> Compiled {
        for id in std::mem::take(&mut self.pending.members) {
            self.reread(id);
        }
        let reviewed = self.review_all();
        self.hand_over();
        self.choices.hold(self.classes.paths_with_sla(), &self.tunnels);
        self.classes.tune(&self.choices, &self.tunnels);
        for id in reviewed {
            let conflict = self.conflict(id);
            self.members[id].conclude(conflict, &self.choices, &self.tunnels);
            self.vacate(id);
        }
        let outcomes = self.by_name.values().flat_map(|id| &self.members[*id].outcomes);
        Compiled {
            policy: self.classes.policy(),
            outcomes: outcomes.cloned().collect(),
        }
    }

    /// The facts as they are now.
    #[must_use]
    pub fn view(&self) -> View {
        let members = || self.by_name.values().map(|id| &self.members[*id]);
        View {
            conventions: self.conventions.clone(),
            namespaces: self.namespaces.values().cloned().collect(),
            services: members().filter_map(|member| member.service.clone()).collect(),
            slices: members()
                .flat_map(|member| member.slices.values().map(|slice| slice.view.clone()))
                .collect(),
            policies: members()
                .flat_map(|member| member.policies.values().cloned())
                .collect(),
            tunnels: self.tunnels.clone(),
            choices: self.choices.clone(),
        }
    }

    fn member(&mut self, name: &ServiceRef) -> ServiceId {
        if let Some(id) = self.known(name) {
            return id;
        }
        let member = Member::new(name.clone());
        let id = match self.vacant.pop() {
            Some(id) => {
                self.members[id] = member;
                id
            }
            None => {
                self.members.push(member);
                self.members.len() - 1
            }
        };
        self.by_name.insert(name.clone(), id);
        self.pending.members.insert(id);
        id
    }

    /// The place of a Service that something is about to change of.
    fn known(&mut self, name: &ServiceRef) -> Option<ServiceId> {
        let id = *self.by_name.get(name)?;
        self.pending.members.insert(id);
        Some(id)
    }

    fn touch_namespace(&mut self, (cluster, name): &(Cluster, String)) {
        let first = ServiceRef {
            cluster: cluster.clone(),
            kube_namespace: name.clone(),
            name: String::new(),
        };
        let services = self.by_name.range(first..);
        let services = services
            .take_while(|(service, _)| service.cluster == *cluster && service.kube_namespace == *name);
        self.pending.members.extend(services.map(|(_, id)| *id));
    }

    fn put_tunnels(&mut self, reports: TunnelReports) {
        let encapsulations = |reports: &TunnelReports| {
            let reported = reports.iter();
            let reported = reported.map(|(color, report)| (*color, report.encapsulations.clone()));
            reported.collect::<Vec<_>>()
        };
        if encapsulations(&self.tunnels) == encapsulations(&reports) {
            let chosen = self.by_name.values().filter(|id| self.members[**id].has_sla());
            for id in chosen {
                self.pending.reviews.entry(*id).or_default();
            }
        } else {
            self.pending.members.extend(self.by_name.values());
        }
        self.choices.poll(&reports);
        self.tunnels = reports;
    }

    fn put_slice(&mut self, view: SliceView) {
        let object = view.object();
        if self
            .slices
            .get(&object)
            .is_some_and(|service| *service != view.service)
        {
            self.drop_slice(&object);
        }
        let id = self.member(&view.service);
        self.slices.insert(object, view.service.clone());
        let member = &mut self.members[id];
        let claims = match &member.terms {
            Ok(Some(terms)) => terms.claims(&view, self.conventions.endpoints),
            _ => Claims::default(),
        };
        let name = view.name.clone();
        match member.slices.entry(name.clone()) {
            Entry::Occupied(mut present) => present.get_mut().view = view,
            Entry::Vacant(vacant) => {
                vacant.insert(Slice::new(view));
            }
        }
        self.replace_claims(id, &name, claims);
    }

    fn drop_slice(&mut self, object: &ObjectRef) {
        let Some(id) = self
            .slices
            .remove(object)
            .and_then(|service| self.known(&service))
        else {
            return;
        };
        self.replace_claims(id, &object.name, Claims::default());
        self.members[id].slices.remove(&object.name);
    }

    fn put_policy(&mut self, policy: PolicyView) {
        let object = policy.object();
        self.drop_policy(&object);
        let id = self.member(&policy.service);
        self.policies.insert(object, policy.service.clone());
        self.members[id].policies.insert(policy.name.clone(), policy);
    }

    fn drop_policy(&mut self, object: &ObjectRef) {
        if let Some(id) = self
            .policies
            .remove(object)
            .and_then(|service| self.known(&service))
        {
            self.members[id].policies.remove(&object.name);
        }
    }
}
