//! What edges have taken, from the active vSmart policy and from policy groups.
//!
//! Owns how both meet on an edge: side by side, as long as they do not want the same service VPN, direction and kind of
//! policy. Each is replaced without the other. Invariant: the parts of an edge never clash, and a part is here exactly while
//! the edge follows it.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::translate::{Fingerprint, Translated};
use crate::manager::compile;
use crate::manager::store::{Origin, Side};
use crate::policy::{AppRoutePolicy, DataPolicy, EdgePolicy};

/// What edges follow, by site.
#[derive(Debug, Default)]
pub(in crate::manager) struct InForce {
    /// Only where it is any policy at all.
    vsmart: BTreeMap<u32, VsmartPart>,
    groups: BTreeMap<u32, GroupPart>,
    /// What deployments under way, or waiting for a Controller, bring, by push and site.
    deploying: BTreeMap<(u64, u32), Option<GroupPart>>,
}

/// What an edge follows of a vSmart policy.
#[derive(Debug)]
struct VsmartPart {
    id: Uuid,
    push: u64,
    policy: EdgePolicy,
}

/// What an edge follows of a policy group.
#[derive(Debug)]
pub(in crate::manager) struct GroupPart {
    pub(in crate::manager) group: Uuid,
    pub(in crate::manager) fingerprint: Fingerprint,
    /// What it was made of.
    pub(in crate::manager) translated: Translated,
    pub(in crate::manager) policy: EdgePolicy,
}

/// A vSmart policy and a policy group want the same.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("site {site_id}, VPN {service_vpn}: {there} already has {kind} policy in this direction")]
pub(in crate::manager) struct Clash {
    site_id: u32,
    service_vpn: u16,
    there: &'static str,
    kind: &'static str,
}

impl InForce {
    /// The group that the edge of a site follows.
    pub(in crate::manager) fn group(&self, site_id: u32) -> Option<&GroupPart> {
        self.groups.get(&site_id)
    }

    /// Whether the edge of a site follows this group, or is to.
    pub(in crate::manager) fn is_followed(&self, site_id: u32, group: Uuid) -> bool {
        let deploying = (self.deploying.iter()).filter(|((_, site), _)| *site == site_id);
        let parts = deploying.filter_map(|(_, part)| part.as_ref());
        parts.chain(self.group(site_id)).any(|part| part.group == group)
    }

    /// Checks that `own` can stand beside what the edge follows from the other side.
    pub(in crate::manager) fn check(&self, side: Side, own: &EdgePolicy) -> Result<(), Clash> {
        self.other(side, own.site_id)
            .map_or(Ok(()), |other| check(side, own, other))
    }

    /// Everything that an edge is to follow when `own` replaces the part of this side.
    pub(in crate::manager) fn whole(&self, side: Side, own: &EdgePolicy) -> EdgePolicy {
        let mut whole = own.clone();
        if let Some(other) = self.other(side, own.site_id) {
            whole.app_route.extend(other.app_route.iter().cloned());
            whole.data.extend(other.data.iter().cloned());
            compile::sort(&mut whole);
        }
        whole
    }

    /// Notes what a push is to bring to a site; nothing where it takes the group away.
    pub(in crate::manager) fn deploy(&mut self, push: u64, site_id: u32, part: Option<GroupPart>) {
        self.deploying.insert((push, site_id), part);
    }

    /// Forgets what pushes were to bring, but for those that still wait to.
    pub(in crate::manager) fn forget_deployments(&mut self, waits: impl Fn(u64, u32) -> bool) {
        self.deploying.retain(|(push, site_id), _| waits(*push, *site_id));
    }

    /// The vSmart policies that edges follow: more than one after a push that some edges refused.
    pub(in crate::manager) fn vsmart_policies(&self) -> impl Iterator<Item = Uuid> {
        self.vsmart.values().map(|part| part.id)
    }

    /// Of the vSmart policies that edges follow, the one that was pushed last.
    pub(in crate::manager) fn newest_vsmart_policy(&self) -> Option<Uuid> {
        let newest = self.vsmart.values().max_by_key(|part| part.push);
        newest.map(|part| part.id)
    }

    /// Notes that an edge has taken `own` from a push.
    pub(in crate::manager) fn took(&mut self, from: &Origin, own: &EdgePolicy) {
        let site_id = own.site_id;
        match from.side {
            Side::Vsmart if own.app_route.is_empty() && own.data.is_empty() => {
                self.vsmart.remove(&site_id);
            }
            Side::Vsmart => {
                let part = VsmartPart {
                    id: from.policy_id,
                    push: from.number,
                    policy: own.clone(),
                };
                self.vsmart.insert(site_id, part);
            }
            Side::Groups => match self.deploying.remove(&(from.number, site_id)).flatten() {
                Some(part) => drop(self.groups.insert(site_id, part)),
                None => drop(self.groups.remove(&site_id)),
            },
        }
    }

    /// What the edge of a site follows: of the vSmart policy, and in all.
    #[cfg(test)]
    pub(in crate::manager) fn followed(&self, site_id: u32) -> (EdgePolicy, EdgePolicy) {
        let vsmart = self.vsmart.get(&site_id);
        let vsmart = vsmart.map_or_else(|| EdgePolicy::none(site_id), |part| part.policy.clone());
        let whole = self.whole(Side::Vsmart, &vsmart);
        (vsmart, whole)
    }

    /// What the edge follows of the other side.
    fn other(&self, side: Side, site_id: u32) -> Option<&EdgePolicy> {
        match side {
            Side::Groups => self.vsmart.get(&site_id).map(|part| &part.policy),
            Side::Vsmart => self.groups.get(&site_id).map(|part| &part.policy),
        }
    }
}

/// Checks that `own` can stand beside `other`, which is of the other side.
pub(in crate::manager) fn check(side: Side, own: &EdgePolicy, other: &EdgePolicy) -> Result<(), Clash> {
    let clash = |service_vpn, kind| Clash {
        site_id: own.site_id,
        service_vpn,
        there: match side {
            Side::Groups => "the active vSmart policy",
            Side::Vsmart => "a policy group",
        },
        kind,
    };
    for policy in &own.app_route {
        let same = |known: &AppRoutePolicy| known.service_vpn == policy.service_vpn;
        if other.app_route.iter().any(same) {
            return Err(clash(policy.service_vpn, "an app-route"));
        }
    }
    for policy in &own.data {
        let same = |known: &DataPolicy| {
            known.service_vpn == policy.service_vpn
                && compile::same_traffic(known.direction, policy.direction)
        };
        if other.data.iter().any(same) {
            return Err(clash(policy.service_vpn, "a data"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::policy::DefaultAction;
    use crate::policy::PolicyDirection::{self, All, FromService, FromTunnel};

    fn classic_push() -> Origin {
        Origin {
            task: "t".to_owned(),
            number: 1,
            side: Side::Vsmart,
            policy_id: Uuid::nil(),
        }
    }

    fn data(service_vpn: u16, direction: PolicyDirection) -> EdgePolicy {
        let mut edge = EdgePolicy::none(1);
        edge.data.push(DataPolicy {
            service_vpn,
            direction,
            default_action: DefaultAction::Accept,
            sequences: [].into(),
        });
        edge
    }

    fn app_route(service_vpn: u16) -> EdgePolicy {
        let mut edge = EdgePolicy::none(1);
        edge.app_route.push(AppRoutePolicy {
            service_vpn,
            sequences: [].into(),
            default_class: None,
        });
        edge
    }

    #[rstest]
    #[case::same(data(10, FromService), data(10, FromService), false)]
    #[case::wider(data(10, FromService), data(10, All), false)]
    #[case::other_direction(data(10, FromService), data(10, FromTunnel), true)]
    #[case::other_vpn(data(10, All), data(20, All), true)]
    #[case::other_kind(data(10, FromService), app_route(10), true)]
    #[case::same_app_route(app_route(10), app_route(10), false)]
    fn both_sides_stand_beside_each_other_unless_they_want_the_same(
        #[case] classic: EdgePolicy,
        #[case] own: EdgePolicy,
        #[case] fits: bool,
    ) {
        let mut in_force = InForce::default();
        in_force.took(&classic_push(), &classic);
        assert_eq!(in_force.check(Side::Groups, &own).is_ok(), fits);
        // The next vSmart policy replaces the first.
        assert_eq!(in_force.check(Side::Vsmart, &classic), Ok(()));
        if fits {
            let whole = in_force.whole(Side::Groups, &own);
            let sizes = |edge: &EdgePolicy| edge.app_route.len() + edge.data.len();
            assert_eq!(sizes(&whole), sizes(&own) + sizes(&classic));
        }
    }

    #[test]
    fn a_whole_is_in_order() {
        let mut in_force = InForce::default();
        in_force.took(&classic_push(), &data(10, FromTunnel));
        let whole = in_force.whole(Side::Groups, &data(10, FromService));
        let directions: Vec<_> = whole.data.iter().map(|policy| policy.direction).collect();
        assert_eq!(directions, [FromService, FromTunnel]);
    }
}
