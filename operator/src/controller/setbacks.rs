//! What keeps accepted intents from being in force on the whole fabric.
//!
//! Owns the translation from classes that are held back to the Services that have endpoints in them. Invariant: only the
//! Manager's own words make a refusal; a Service whose class is merely suspected waits.

use std::collections::{BTreeMap, BTreeSet};

use tracing::{info, warn};

use super::publish::Programming;
use crate::core::{Class, Compiler, Held, ServiceRef};

/// The reason in Events and conditions of what the Manager refuses.
const REFUSED: &str = "RefusedByManager";

/// How far the fabric is with the Services that have endpoints in classes that are held back.
pub(super) fn setbacks<'a>(
    held: impl Iterator<Item = &'a Held>,
    compiler: &Compiler,
) -> BTreeMap<ServiceRef, Programming> {
    let held: BTreeMap<&Class, &Held> = held.map(|held| (&held.rule.class, held)).collect();
    let classes: BTreeSet<&Class> = held.keys().copied().collect();
    let services = compiler.services_in(&classes).into_iter();
    let services = services.map(|(service, classes)| {
        let words = classes.iter().find_map(|class| held[class].words.as_ref());
        let programming = match words {
            None => Programming::Pending,
            Some(words) => Programming::Failed {
                reason: REFUSED.to_owned(),
                message: format!("the Manager refuses it, what was in force stays: {words}"),
            },
        };
        (service, programming)
    });
    services.collect()
}

/// Has the log say which devices do not have the policy yet, when they are others than before.
pub(super) fn tell_waiting(before: &[String], now: &[String]) {
    match now {
        _ if before == now => {}
        [] => info!("all devices have the policy"),
        devices => warn!(
            ?devices,
            "devices are offline, they get the policy when they are back"
        ),
    }
}
