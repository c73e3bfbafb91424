//! Firewall marks and routing tables: one for each service VPN, and one for each way of choosing that a policy asks
//! for.
//!
//! Owns the layout of the mark. Pure. Invariants: a choice keeps its slot as long as it is in force, and a slot that
//! a policy gives up is not used by the policy that follows it, so that packets marked under either find the
//! table that was meant.
//!
//! | bits | what |
//! |---|---|
//! | 24 to 31 | service VPN: 1 + its position on the edge |
//! | 12 to 23 | slot of the data policy's choice; 0: none |
//! | 0 to 11 | slot of app-route's choice; 0: none |
//!
//! The number of a table is the mark that leads to it. An app-route choice has a second table for what it drops,
//! which is asked before the data policy's.

use std::collections::{BTreeMap, BTreeSet};

use super::host::routes::MarkRule;
use crate::policy::{Action, AppRoute, AppRoutePolicy, DataPath, DataPolicy, EdgePolicy, SlaClass, Unmet};

/// The bits of a mark that a choice sets.
pub const CHOICE_MASK: u32 = 0x00ff_ffff;
const VPN_SHIFT: u32 = 24;
/// The bits of a mark that tell the service VPN; any is set in a mark of a VPN.
const VPN_MASK: u32 = 0xff00_0000;
const DATA_SHIFT: u32 = 12;
const DATA_MASK: u32 = 0x00ff_f000;
const APP_ROUTE_MASK: u32 = 0x0000_0fff;
/// Set in the number of the table of what app-route drops.
const DROPS: u32 = 0x0000_0800;
/// Slots of one kind in one VPN; app-route's leave a bit for [`DROPS`].
const SLOTS: u32 = 0x07ff;

/// The priority of the rule by which what the edge itself sends by UDP meets the main table: the outer packets of
/// tunnels carry the marks of the inner ones. The edge's errors (ICMP) carry the marks of the packets that they are
/// about, and go back in the VPN.
pub const PRIORITY_OUTPUT: u32 = 999;
/// Priorities of rules: what app-route drops goes before what the data policy sets, that before what app-route
/// chooses, and that before normal routing. All come before the main table, which has 32766.
const PRIORITY_DROPS: u32 = 1000;
const PRIORITY_DATA: u32 = 1001;
const PRIORITY_APP_ROUTE: u32 = 1002;
const PRIORITY_VPN: u32 = 1003;

/// Service VPNs that an edge can have.
pub const VPNS_MAX: usize = 255;

/// One way of choosing among tunnels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Choice {
    /// App-route's.
    AppRoute(AppRoute),
    /// A data policy's.
    Data(DataPath),
}

/// Bits to set in a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarkBits {
    /// Which.
    pub mask: u32,
    /// To what.
    pub value: u32,
}

/// A policy has more different choices than there are slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a policy of more than {SLOTS} different choices of tunnels in one service VPN")]
pub struct TooManyChoices;

/// The slots in use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choices {
    slots: BTreeMap<(usize, Choice), u32>,
}

impl Choices {
    /// The slots of these and of all that `policy` asks for; `position` tells where a service VPN is on the edge.
    ///
    /// # Errors
    /// [`TooManyChoices`].
    pub fn with(
        &self,
        policy: &EdgePolicy,
        position: impl Fn(u16) -> Option<usize>,
    ) -> Result<Self, TooManyChoices> {
        let mut slots = self.slots.clone();
        for key in asked_for(policy, position) {
            if !slots.contains_key(&key) {
                let free = free_slot(&slots, &key).ok_or(TooManyChoices)?;
                slots.insert(key, free);
            }
        }
        Ok(Self { slots })
    }

    /// Those of them that `policy` asks for.
    #[must_use]
    pub fn only(&self, policy: &EdgePolicy, position: impl Fn(u16) -> Option<usize>) -> Self {
        let wanted: BTreeSet<_> = asked_for(policy, position).collect();
        let slots = self.slots.iter().filter(|(key, _)| wanted.contains(*key));
        Self {
            slots: slots.map(|(key, slot)| (key.clone(), *slot)).collect(),
        }
    }

    /// The bits that stand for a choice in the VPN at a position.
    ///
    /// # Panics
    /// When the choice is not among these.
    #[must_use]
    pub fn bits(&self, vpn: usize, choice: Choice) -> MarkBits {
        let slot = self.slots[&(vpn, choice.clone())];
        match choice {
            Choice::AppRoute(_) => MarkBits {
                mask: APP_ROUTE_MASK,
                value: slot,
            },
            Choice::Data(_) => MarkBits {
                mask: DATA_MASK,
                value: slot << DATA_SHIFT,
            },
        }
    }

    /// Each choice with the position of its VPN and the tables for what it sends somewhere and for what it drops,
    /// which are one for a data policy's.
    pub fn tables(&self) -> impl Iterator<Item = (usize, &Choice, u32, u32)> {
        self.slots.iter().map(|((vpn, choice), slot)| {
            let base = vpn_table(*vpn);
            match choice {
                Choice::AppRoute(_) => (*vpn, choice, base | slot, base | slot | DROPS),
                Choice::Data(_) => {
                    let table = base | slot << DATA_SHIFT;
                    (*vpn, choice, table, table)
                }
            }
        })
    }

    /// The classes that app-route judges tunnels by.
    pub fn classes(&self) -> impl Iterator<Item = &SlaClass> {
        self.slots.keys().filter_map(|(_, choice)| match choice {
            Choice::AppRoute(choice) => choice.class.as_ref(),
            Choice::Data(_) => None,
        })
    }

    /// Whether any chooses by the figures of tunnels, which change without any class.
    #[must_use]
    pub fn use_figures(&self) -> bool {
        self.slots.keys().any(|(_, choice)| match choice {
            Choice::AppRoute(choice) => matches!(choice.unmet, Unmet::Best(_)),
            Choice::Data(_) => false,
        })
    }

    /// The rules that lead marked packets to the tables.
    #[must_use]
    pub fn rules(&self) -> BTreeSet<MarkRule> {
        let rules = self.tables().flat_map(|(_, choice, table, drops)| {
            let rule = |priority, bits, to| MarkRule {
                priority,
                mark: table,
                mask: VPN_MASK | bits,
                table: to,
            };
            match choice {
                Choice::AppRoute(_) => vec![
                    rule(PRIORITY_DROPS, APP_ROUTE_MASK, drops),
                    rule(PRIORITY_APP_ROUTE, APP_ROUTE_MASK, table),
                ],
                Choice::Data(_) => vec![rule(PRIORITY_DATA, DATA_MASK, table)],
            }
        });
        rules.collect()
    }
}

/// The mark of packets of the VPN at a position, and its table.
#[must_use]
pub fn vpn_table(vpn: usize) -> u32 {
    let number = u32::try_from(vpn + 1).expect("an edge has at most 255 service VPNs");
    number << VPN_SHIFT
}

/// The bits that stand for a VPN.
#[must_use]
pub fn vpn_bits(vpn: usize) -> MarkBits {
    MarkBits {
        mask: u32::MAX,
        value: vpn_table(vpn),
    }
}

/// The rule that leads packets of the VPN at a position to its table.
#[must_use]
pub fn vpn_rule(vpn: usize) -> MarkRule {
    MarkRule {
        priority: PRIORITY_VPN,
        mark: vpn_table(vpn),
        mask: VPN_MASK,
        table: vpn_table(vpn),
    }
}

fn asked_for(
    policy: &EdgePolicy,
    position: impl Fn(u16) -> Option<usize>,
) -> impl Iterator<Item = (usize, Choice)> {
    let mut asked = Vec::new();
    for app_route in &policy.app_route {
        if let Some(vpn) = position(app_route.service_vpn) {
            asked.extend(app_route_choices(app_route).map(|choice| (vpn, choice)));
        }
    }
    for data in &policy.data {
        if let Some(vpn) = position(data.service_vpn) {
            asked.extend(data_choices(data).map(|choice| (vpn, choice)));
        }
    }
    asked.into_iter()
}

fn app_route_choices(policy: &AppRoutePolicy) -> impl Iterator<Item = Choice> {
    let sequences = policy
        .sequences
        .iter()
        .filter_map(|sequence| sequence.choice.clone());
    let default = policy.default_class.clone().map(AppRoute::of_class);
    sequences.chain(default).map(Choice::AppRoute)
}

fn data_choices(policy: &DataPolicy) -> impl Iterator<Item = Choice> {
    policy
        .sequences
        .iter()
        .filter_map(|sequence| match &sequence.action {
            Action::Accept { path: Some(path), .. } => Some(Choice::Data(path.clone())),
            Action::Accept { path: None, .. } | Action::Drop => None,
        })
}

fn free_slot(slots: &BTreeMap<(usize, Choice), u32>, (vpn, choice): &(usize, Choice)) -> Option<u32> {
    let same_kind = |other: &Choice| std::mem::discriminant(other) == std::mem::discriminant(choice);
    let taken: BTreeSet<u32> = slots
        .iter()
        .filter(|((of, other), _)| of == vpn && same_kind(other))
        .map(|(_, slot)| *slot)
        .collect();
    (1..=SLOTS).find(|slot| !taken.contains(slot))
}

#[cfg(test)]
mod tests;
