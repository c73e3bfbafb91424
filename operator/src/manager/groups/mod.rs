//! The backend for policy groups (UX 2.0).
//!
//! The operator has one policy group with two profiles: one of policy objects, which are its lists, and one for
//! application priority, with a traffic policy for each service VPN. Which sites follow it is said by the devices that
//! are associated with the group, and that an edit has not reached them by the Manager itself: they are not up to date.
//! So there are no site and VPN lists, no lock and no mark.
//!
//! Invariants: as of the classic backend; and an edge never leaves the group but when the operator is uninstalled.

mod apply;
mod observe;
mod parcel;
mod traffic;
mod uninstall;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use self::observe::Ids;
use self::traffic::Pair;
use crate::core::{Assembly, Definition, DefinitionKey, DefinitionKind, Objects};

/// The path of the profiles of policy objects.
const OBJECTS: &str = "v1/feature-profile/sdwan/policy-object";
/// The path of the profiles for application priority.
const PRIORITIES: &str = "v1/feature-profile/sdwan/application-priority";
const GROUPS: &str = "v1/policy-group";

/// Desired objects as far as policy groups can show them: without lists of sites and VPNs and where they are referred to,
/// and without definitions that a traffic policy does not show.
pub(super) fn fit(mut desired: Objects) -> Objects {
    desired
        .lists
        .retain(|_, list| parcel::segment(list.kind()).is_some());
    desired.definitions = definitions(pairs(desired.definitions));
    if let Some(policy) = &mut desired.policy {
        policy.assembly = Assembly::Service(BTreeMap::new());
    }
    desired
}

fn pairs(definitions: BTreeMap<DefinitionKey, Definition>) -> BTreeMap<u16, Pair> {
    let mut pairs: BTreeMap<u16, Pair> = BTreeMap::new();
    for (key, definition) in definitions {
        *pairs.entry(key.service_vpn).or_default().of(key.kind) = Some(definition);
    }
    pairs
        .into_iter()
        .map(|(service_vpn, pair)| (service_vpn, pair.normalized()))
        .filter(|(_, pair)| !pair.is_empty())
        .collect()
}

fn definitions(pairs: BTreeMap<u16, Pair>) -> BTreeMap<DefinitionKey, Definition> {
    let mut definitions = BTreeMap::new();
    for (service_vpn, pair) in pairs {
        for (kind, definition) in [
            (DefinitionKind::Data, pair.data),
            (DefinitionKind::AppRoute, pair.app_route),
        ] {
            let key = DefinitionKey { service_vpn, kind };
            definitions.extend(definition.map(|definition| (key, definition)));
        }
    }
    definitions
}

/// The service VPNs whose traffic policies these keys are in.
fn service_vpns<'a>(keys: impl Iterator<Item = &'a DefinitionKey>) -> BTreeSet<u16> {
    keys.map(|key| key.service_vpn).collect()
}
