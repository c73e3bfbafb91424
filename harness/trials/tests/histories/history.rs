//! Histories: what happens to the cluster, the network, the Manager and the operator, and when.
//!
//! Invariant: every step can be done, or be left out without harm, wherever it stands, so that a history without some of
//! its steps is one.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use kubeapi::Fault as ApiFault;
use netsim::manager::faults::Fault;

use super::facts::{Port, Words};

/// The sites of a history.
pub const SITES: [u32; 2] = [100, 200];
/// The namespace of all that steps write.
pub const NAMESPACE: &str = "shop";

/// How a history is set up, and what happens.
#[derive(Debug, Clone)]
pub struct History {
    /// There are two operators, who contend for a Lease.
    pub replicas: bool,
    /// The operator's own resources are installed.
    pub resources: bool,
    /// Whether the operator looks at the Manager anew every now and then.
    pub resync: bool,
    /// How long the operator waits for a Manager that is busy.
    pub busy: Duration,
    /// It logs in for tokens.
    pub tokens: bool,
    /// In order.
    pub steps: Vec<Step>,
}

/// One thing that happens.
#[derive(Debug, Clone)]
pub enum Step {
    /// A Service is created, or its annotations are replaced.
    Service(&'static str, Words),
    /// A Service is deleted.
    ServiceGone(&'static str),
    /// The annotations of the namespace are replaced.
    Defaults(Words),
    /// A SteeringPolicy for a Service is created, or replaced.
    Policy(&'static str, &'static str, Words),
    /// A SteeringPolicy is deleted.
    PolicyGone(&'static str),
    /// An EndpointSlice of a Service is created, or its endpoints and ports are replaced.
    Slice(SliceName, BTreeSet<IpAddr>, Vec<Port>),
    /// An EndpointSlice is deleted.
    SliceGone(SliceName),
    /// All endpoints with one of these addresses are gone, slice by slice.
    NodeLost(BTreeSet<IpAddr>),
    /// Endpoints with one address come to a slice, and then leave all others.
    Moved(IpAddr, SliceName),
    /// A TLOC goes down, or up again.
    Tloc(u32, &'static str, bool),
    /// All tunnels of a color become slow, or fast again.
    Slow(&'static str, bool),
    /// Something goes wrong at the Manager.
    Manager(Fault),
    /// All faults of the Manager are over.
    ManagerHeals,
    /// Something goes wrong with the Kubernetes API.
    Api(ApiFault),
    /// All faults of the API are over.
    ApiHeals,
    /// An operator ends at once, wherever it is.
    Killed(usize),
    /// An operator is told to end.
    Stopped(usize),
    /// An operator is started.
    Started(usize),
    /// Somebody else changes the operator's objects, and activates what came of it.
    Tampered(Tampering),
    /// Somebody else makes objects of their own.
    Foreign,
    /// It is waited for some time.
    Pause(Duration),
    /// It is waited until the fabric is as asked, if it comes to that soon.
    Settle,
}

/// What somebody else does to the operator's objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tampering {
    /// Other prefixes in a list.
    List,
    /// A definition without sequences.
    Definition,
    /// The policy is not active any more.
    Deactivation,
}

/// A slice by its Service, the family of its addresses, and a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceName {
    /// Its Service.
    pub service: &'static str,
    /// Its addresses are of IPv6.
    pub v6: bool,
    /// Tells it from others.
    pub number: u8,
}

impl SliceName {
    /// As Kubernetes has it.
    pub fn name(self) -> String {
        let family = if self.v6 { 6 } else { 4 };
        format!("{}-v{family}-{}", self.service, self.number)
    }
}

/// The addresses that endpoints can have.
pub fn hosts(v6: bool) -> Vec<IpAddr> {
    if v6 {
        (1..=2)
            .map(|host| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, host]))
            .collect()
    } else {
        (1..=5).map(|host| IpAddr::from([10, 0, 2, host])).collect()
    }
}

impl History {
    /// Whether anything in it asks for an SLA class.
    pub fn has_sla(&self) -> bool {
        self.steps.iter().any(|step| match step {
            Step::Service(_, words) | Step::Defaults(words) | Step::Policy(_, _, words) => {
                words.keys().any(|key| key.starts_with("sla"))
            }
            _ => false,
        })
    }
}
