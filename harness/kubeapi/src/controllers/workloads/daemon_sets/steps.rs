//! Which pods of a DaemonSet to make and which to delete next. Pure.
//!
//! The invariant: an update alone never leaves more than `max_unavailable` nodes without an available pod, nor more
//! than `max_surge` nodes with two.

use std::collections::BTreeMap;

/// How a new template reaches the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Update {
    /// Whoever wants it deletes the pods.
    OnDelete,
    /// Delete so many old pods at a time; their successors follow.
    Unavailable { max: i64 },
    /// Make so many new pods beside old ones at a time, which go when those are available.
    Surge { max: i64 },
}

/// A node and the pods on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Node {
    /// Whether a pod should be there.
    pub(super) is_wanted: bool,
    /// The oldest first; the numbers are the caller's.
    pub(super) pods: Vec<Pod>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) id: usize,
    pub(super) state: State,
    pub(super) is_updated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Unavailable,
    Available,
    Ended,
    Terminating,
}

/// Nodes to make a pod for, and pods to delete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Steps<'a> {
    pub(super) create: Vec<&'a str>,
    pub(super) delete: Vec<usize>,
}

pub(super) fn next(update: Update, nodes: &BTreeMap<String, Node>) -> Steps<'_> {
    let mut steps = place(update, nodes);
    match update {
        Update::OnDelete => {}
        Update::Unavailable { max } => replace(max, nodes, &mut steps),
        Update::Surge { max } => surge(max, nodes, &mut steps),
    }
    steps.delete.sort_unstable();
    steps.delete.dedup();
    steps
}

/// One pod on each wanted node, and none elsewhere.
fn place(update: Update, nodes: &BTreeMap<String, Node>) -> Steps<'_> {
    let mut steps = Steps::default();
    for (name, node) in nodes {
        if node.is_wanted && node.pods.is_empty() {
            steps.create.push(name);
        }
        let ended = node.pods.iter().filter(|pod| pod.state == State::Ended);
        steps.delete.extend(ended.map(|pod| pod.id));
        let live: Vec<&Pod> = node.live().collect();
        let surplus = match update {
            _ if !node.is_wanted => &live[..],
            // Of each template there may be one.
            Update::Surge { .. } if live.iter().any(|pod| pod.is_updated != live[0].is_updated) => {
                live.get(2..).unwrap_or_default()
            }
            _ => live.get(1..).unwrap_or_default(),
        };
        steps.delete.extend(surplus.iter().map(|pod| pod.id));
    }
    steps
}

fn replace(max: i64, nodes: &BTreeMap<String, Node>, steps: &mut Steps<'_>) {
    let (mut unavailable, mut candidates) = (0, Vec::new());
    for node in nodes.values().filter(|node| node.is_wanted) {
        match node.live().next() {
            Some(pod) if pod.state == State::Available && pod.is_updated => {}
            Some(pod) if pod.state == State::Available => candidates.push(pod.id),
            Some(pod) => {
                unavailable += 1;
                if !pod.is_updated {
                    // Nobody misses it.
                    steps.delete.push(pod.id);
                }
            }
            None => unavailable += 1,
        }
    }
    let budget = usize::try_from(max - unavailable).unwrap_or(0);
    steps.delete.extend(candidates.into_iter().take(budget));
}

fn surge<'a>(max: i64, nodes: &'a BTreeMap<String, Node>, steps: &mut Steps<'a>) {
    let (mut surging, mut candidates) = (0, Vec::new());
    for (name, node) in nodes.iter().filter(|(_, node)| node.is_wanted) {
        let old = node.live().find(|pod| !pod.is_updated);
        let new = node.live().find(|pod| pod.is_updated);
        match (old, new) {
            (Some(old), Some(new)) if new.state == State::Available => steps.delete.push(old.id),
            (Some(_), Some(_)) => surging += 1,
            (Some(old), None) if old.state == State::Available => candidates.push(name.as_str()),
            // The old one serves nobody, so a new one beside it is no surge.
            (Some(_), None) => steps.create.push(name),
            (None, _) => {}
        }
    }
    let budget = usize::try_from(max - surging).unwrap_or(0);
    steps.create.extend(candidates.into_iter().take(budget));
}

impl Node {
    /// The pods that stay.
    pub(super) fn live(&self) -> impl Iterator<Item = &Pod> {
        let is_live = |pod: &&Pod| matches!(pod.state, State::Unavailable | State::Available);
        self.pods.iter().filter(is_live)
    }
}

#[cfg(test)]
mod tests {
    use super::State::{Available, Ended, Terminating, Unavailable};
    use super::*;

    const ONE: Update = Update::Unavailable { max: 1 };

    fn nodes(pods: &[&[(State, bool)]]) -> BTreeMap<String, Node> {
        let mut ids = 0..;
        let node = |pods: &&[(State, bool)]| Node {
            is_wanted: true,
            pods: pods
                .iter()
                .zip(&mut ids)
                .map(|(&(state, is_updated), id)| Pod {
                    id,
                    state,
                    is_updated,
                })
                .collect(),
        };
        let nodes = pods.iter().map(node).collect::<Vec<_>>();
        nodes
            .into_iter()
            .enumerate()
            .map(|(at, node)| (format!("n{at}"), node))
            .collect()
    }

    fn steps(update: Update, nodes: &BTreeMap<String, Node>) -> (Vec<String>, Vec<usize>) {
        let steps = next(update, nodes);
        (
            steps.create.iter().map(|&name| name.to_owned()).collect(),
            steps.delete,
        )
    }

    fn created(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn every_wanted_node_has_one_pod_and_no_other_has() {
        let mut nodes = nodes(&[
            &[],
            &[(Available, true), (Available, true)],
            &[(Ended, true)],
            &[(Terminating, true)],
            &[(Available, true)],
        ]);
        nodes.get_mut("n4").expect("there").is_wanted = false;
        assert_eq!(steps(ONE, &nodes), (created(&["n0"]), vec![1, 2, 4]));
    }

    #[test]
    fn an_update_takes_what_serves_nobody_and_then_as_many_as_it_may() {
        let stale = nodes(&[
            &[(Available, false)],
            &[(Available, false)],
            &[(Available, false)],
        ]);
        assert_eq!(
            steps(Update::Unavailable { max: 2 }, &stale),
            (vec![], vec![0, 1])
        );
        let broken = nodes(&[
            &[(Available, false)],
            &[(Unavailable, false)],
            &[(Available, false)],
        ]);
        assert_eq!(steps(ONE, &broken), (vec![], vec![1]));
        let coming = nodes(&[&[(Unavailable, true)], &[(Available, false)]]);
        assert_eq!(steps(ONE, &coming), (vec![], vec![]));
        let going = nodes(&[&[(Terminating, false)], &[(Available, false)]]);
        assert_eq!(steps(ONE, &going), (vec![], vec![]));
        assert_eq!(steps(Update::OnDelete, &stale), (vec![], vec![]));
    }

    #[test]
    fn a_surge_brings_the_new_pod_before_it_takes_the_old_one() {
        let surge = Update::Surge { max: 1 };
        let stale = nodes(&[&[(Available, false)], &[(Available, false)]]);
        assert_eq!(steps(surge, &stale), (created(&["n0"]), vec![]));
        let coming = nodes(&[&[(Available, false), (Unavailable, true)], &[(Available, false)]]);
        assert_eq!(steps(surge, &coming), (vec![], vec![]));
        let come = nodes(&[&[(Available, false), (Available, true)], &[(Available, false)]]);
        assert_eq!(steps(surge, &come), (created(&["n1"]), vec![0]));
        let broken = nodes(&[
            &[(Available, false), (Unavailable, true)],
            &[(Unavailable, false)],
        ]);
        assert_eq!(steps(surge, &broken), (created(&["n1"]), vec![]));
    }
}
