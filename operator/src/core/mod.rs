//! Decisions: what the annotated Services ask for, and which Manager objects say the same.
//!
//! Owns the types and the pure functions `compile`, `render` and `diff`. Does no I/O, reads no clock, and uses
//! no randomness.
//!
//! Invariant: every function is deterministic and does not depend on the order of its inputs.

mod color;
mod compile;
mod diff;
mod intent;
mod naming;
mod objects;
mod render;
mod view;

#[cfg(test)]
mod tests;

pub use self::color::{Color, UnknownColor};
pub use self::compile::{
    Compiled, Direction, Family, Flow, Preference, Protocol, Refusal, Rejection, SteeringPolicy,
    SteeringRule, compile,
};
pub use self::diff::{Activation, ChangeSet, diff};
pub use self::intent::{AnnotationPrefix, Intent, IntentError, Mode, UnacceptablePrefix};
pub use self::naming::{ListName, Owner, PolicyName, UnacceptableName};
pub use self::objects::{Assembly, CentralPolicy, Definition, List, ListKind, Objects, Sequence};
pub use self::render::{Scope, render};
pub use self::view::{AnnotatedService, ServiceRef, SlicePort, SliceView, View};
