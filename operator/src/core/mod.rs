//! Decisions: what is asked for the Services, and which Manager objects say the same.
//!
//! Owns the types and the pure functions `compile`, `render` and `diff`. Does no I/O, reads no clock, and uses
//! no randomness.
//!
//! Invariant: every function is deterministic and does not depend on the order of its inputs.

mod annotations;
mod bucket;
mod choice;
mod claim;
mod classes;
mod color;
mod compile;
mod counting;
mod diff;
mod holdback;
mod intent;
mod keep;
mod ledger;
mod member;
mod naming;
mod objects;
mod outcome;
mod preference;
mod render;
mod rule;
mod settle;
mod sla;
mod tunnel;
mod view;

#[cfg(test)]
mod tests;

pub use self::annotations::{AnnotationPrefix, UnacceptablePrefix};
pub(crate) use self::annotations::{color, fallback, word};
pub use self::choice::{Choice, Choices, Compliance, LEAVE_AFTER, RETURN_AFTER};
pub use self::color::{Color, UnknownColor};
pub use self::compile::{Change, Compiler, compile};
pub use self::diff::{Activation, ChangeSet, diff};
pub use self::holdback::{Held, HoldBack, Search, Suspicion};
pub use self::intent::{Action, Encryption, Intent, IntentError, Mode, Place, PortKey, Settings, Tunnel};
pub use self::keep::{keep, keep_for};
pub use self::naming::{ListName, Owner, PolicyName, UnacceptableName};
pub use self::objects::{
    AppliedAt, Assembly, CentralPolicy, Definition, DefinitionKey, DefinitionKind, Inspection, List,
    ListKind, ObjectKey, Objects, Sequence, SequenceAction, ServiceType, Tunnels,
};
pub use self::outcome::{Accepted, Compiled, Conflict, Outcome, Refusal, Subject};
pub use self::preference::{Path, Preference};
pub use self::render::{Scope, render};
pub use self::rule::{
    Class, Direction, Encapsulations, Family, Hosts, Protocol, SteeringPolicy, SteeringRule,
};
pub use self::sla::{Quality, Sla, UnacceptableSla};
pub use self::tunnel::{Encapsulation, TunnelReport, TunnelReports, TunnelState};
pub use self::view::{
    Cluster, Conventions, EndpointState, Endpoints, NamespaceView, ObjectRef, PolicyView, ServiceKind,
    ServicePort, ServiceRef, ServiceView, SlicePort, SliceView, View,
};
