//! The SLA classes in force on an edge, as the product numbers them.
//!
//! Owns the numbers: 0 is the class that every tunnel meets, the others follow in their order.

use std::collections::BTreeSet;

use crate::policy::{AppRoutePolicy, EdgePolicy, SlaClass};

/// The name of the class of index 0, which every tunnel meets.
pub(super) const ALL_TUNNELS: &str = "__all_tunnels__";

/// The classes that a policy names, each once; the index of a class is one more than its position.
pub(super) fn of(policy: &EdgePolicy) -> Vec<SlaClass> {
    let of_policy = |policy: &AppRoutePolicy| {
        let choices = policy
            .sequences
            .iter()
            .filter_map(|sequence| sequence.choice.clone());
        let classes = choices.filter_map(|choice| choice.class);
        classes.chain(policy.default_class.clone()).collect::<Vec<_>>()
    };
    let mut classes: Vec<_> = policy.app_route.iter().flat_map(of_policy).collect();
    classes.sort_unstable();
    classes.dedup();
    classes
}

/// The indexes of the classes that a tunnel meets.
pub(super) fn met(classes: &[SlaClass], met: &BTreeSet<SlaClass>) -> Vec<usize> {
    let indexes = (1..).zip(classes).filter(|(_, class)| met.contains(class));
    std::iter::once(0)
        .chain(indexes.map(|(index, _)| index))
        .collect()
}

/// The name of the class of an index.
pub(super) fn name(classes: &[SlaClass], index: usize) -> &str {
    let class = index.checked_sub(1).and_then(|position| classes.get(position));
    class.map_or(ALL_TUNNELS, |class| &class.name)
}

/// Indexes as the product writes them: `0,2`.
pub(super) fn list(indexes: &[usize]) -> String {
    let texts: Vec<_> = indexes.iter().map(ToString::to_string).collect();
    texts.join(",")
}
