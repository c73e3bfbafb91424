//! What the sequences of the policy in force have matched.
//!
//! Owns how the kernel's counters of rules become counts of sequences: a sequence is one rule or several, in the table of
//! each address family.

use super::{Edge, State};
use crate::fabric::nft::{NftError, RuleCount};
use crate::fabric::steering;
use crate::policy::EdgePolicy;

/// What a sequence of the policy in force has matched since its rules were last written: a policy that differs from
/// the one before only in the prefixes or the ports of one sequence goes on with its counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceCount {
    /// Its policy.
    pub of: Counted,
    /// The sequence; `None` is the default action.
    pub sequence: Option<u16>,
    /// What it matched.
    pub count: RuleCount,
}

/// A policy of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// The app-route policy at this position.
    AppRoute(usize),
    /// The data policy at this position.
    Data(usize),
}

impl Edge {
    /// The policy in force, and what each of its sequences has matched ([`SequenceCount`] says since when).
    ///
    /// # Errors
    /// [`NftError`].
    pub async fn policy_in_force(&self) -> Result<(EdgePolicy, Vec<SequenceCount>), NftError> {
        let mut state = self.state.lock().await;
        let policy = state.policy.clone();
        let mut counts = Vec::new();
        for (position, app_route) in policy.app_route.iter().enumerate() {
            let sequences = app_route.sequences.iter();
            let rules = steering::rules_of(sequences.map(|sequence| (sequence.id, &sequence.matching)));
            let of = Counted::AppRoute(position);
            counts.extend(state.counts(of, &steering::app_route_chain(app_route), rules)?);
        }
        for (position, data) in policy.data.iter().enumerate() {
            let sequences = data.sequences.iter();
            let rules = steering::rules_of(sequences.map(|sequence| (sequence.id, &sequence.matching)));
            let of = Counted::Data(position);
            counts.extend(state.counts(of, &steering::data_chain(data), rules)?);
        }
        Ok((policy, counts))
    }
}

impl State {
    /// The counts of a chain's sequences, over all address families.
    fn counts(
        &mut self,
        of: Counted,
        chain: &str,
        rules: impl Iterator<Item = Option<u16>>,
    ) -> Result<Vec<SequenceCount>, NftError> {
        let mut sums: Vec<RuleCount> = Vec::new();
        for family in self.tables.iter().map(|table| table.family) {
            let counts = self.nft.counts((family, steering::TABLE), chain)?;
            sums.resize(sums.len().max(counts.len()), RuleCount::default());
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum = sum.plus(count);
            }
        }
        let mut counts: Vec<SequenceCount> = Vec::new();
        for (sequence, count) in rules.zip(sums) {
            match counts.last_mut() {
                // One sequence of several protocols is several rules.
                Some(last) if last.sequence == sequence => last.count = last.count.plus(count),
                _ => counts.push(SequenceCount { of, sequence, count }),
            }
        }
        Ok(counts)
    }
}
