//! Which pods of a StatefulSet to make and which to delete next. Pure.
//!
//! The invariant of the ordered policy: no pod is made while one of a lower number is not available, and pods that
//! are too many go one by one, the highest number first. An update replaces one pod at a time, whatever the policy.

use std::collections::BTreeMap;

/// What a StatefulSet asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    /// The lowest number.
    pub(super) start: i64,
    pub(super) replicas: i64,
    pub(super) order: Order,
    /// From which number on pods get the new template; `None` when whoever wants that deletes the pods.
    pub(super) update_from: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    OneByOne,
    Parallel,
}

/// A pod of the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Replica {
    pub(super) state: State,
    /// Whether it is of the newest revision.
    pub(super) is_updated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// On its way, or ready for too short a time.
    Unavailable,
    Available,
    /// Come to its end, and still there.
    Ended,
    Terminating,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Create(i64),
    Delete(i64),
    /// Delete a pod that came to its end, for another one to take its place.
    Replace(i64),
}

/// What can be done now; `pods` are by their numbers.
pub(super) fn next(rules: Rules, pods: &BTreeMap<i64, Replica>) -> Vec<Step> {
    let ordered = rules.order == Order::OneByOne;
    let wanted = rules.start..rules.start + rules.replicas;
    let mut steps = Vec::new();
    for number in wanted.clone() {
        match pods.get(&number).map(|pod| pod.state) {
            None => steps.push(Step::Create(number)),
            Some(State::Ended) => steps.push(Step::Replace(number)),
            Some(State::Available) => continue,
            Some(State::Unavailable | State::Terminating) => {}
        }
        if ordered {
            return steps;
        }
    }
    for (number, pod) in pods.iter().rev().filter(|(number, _)| !wanted.contains(number)) {
        if pod.state != State::Terminating {
            steps.push(Step::Delete(*number));
        }
        if ordered {
            return steps;
        }
    }
    steps.extend(update(rules, pods));
    steps
}

/// The next pod to be made anew by the new template, unless an earlier one has not come up yet.
fn update(rules: Rules, pods: &BTreeMap<i64, Replica>) -> Option<Step> {
    let from = rules.update_from?;
    let to_update = from.max(rules.start)..rules.start + rules.replicas;
    for number in to_update.rev() {
        match pods.get(&number)? {
            Replica {
                state: State::Unavailable | State::Available,
                is_updated: false,
            } => return Some(Step::Delete(number)),
            Replica {
                state: State::Available,
                is_updated: true,
            } => {}
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        start: 0,
        replicas: 3,
        order: Order::OneByOne,
        update_from: Some(0),
    };

    fn pods(states: &[(i64, State, bool)]) -> BTreeMap<i64, Replica> {
        let pod = |&(number, state, is_updated): &(i64, State, bool)| (number, Replica { state, is_updated });
        states.iter().map(pod).collect()
    }

    use State::{Available, Ended, Terminating, Unavailable};

    #[test]
    fn pods_come_up_one_after_the_other() {
        assert_eq!(next(RULES, &pods(&[])), [Step::Create(0)]);
        assert_eq!(next(RULES, &pods(&[(0, Unavailable, true)])), []);
        assert_eq!(next(RULES, &pods(&[(0, Available, true)])), [Step::Create(1)]);
    }

    #[test]
    fn a_parallel_set_comes_and_goes_at_once() {
        let rules = Rules {
            order: Order::Parallel,
            ..RULES
        };
        assert_eq!(
            next(rules, &pods(&[])),
            [Step::Create(0), Step::Create(1), Step::Create(2)]
        );
        let none = Rules { replicas: 0, ..rules };
        let all = pods(&[(0, Available, true), (1, Unavailable, true)]);
        assert_eq!(next(none, &all), [Step::Delete(1), Step::Delete(0)]);
    }

    #[test]
    fn surplus_pods_go_from_the_top_and_one_at_a_time() {
        let rules = Rules { replicas: 1, ..RULES };
        let all = [(0, Available, true), (1, Available, true), (2, Available, true)];
        assert_eq!(next(rules, &pods(&all)), [Step::Delete(2)]);
        let going = [(0, Available, true), (1, Available, true), (2, Terminating, true)];
        assert_eq!(next(rules, &pods(&going)), []);
    }

    #[test]
    fn an_update_goes_down_to_its_partition() {
        let rules = Rules {
            update_from: Some(1),
            ..RULES
        };
        let stale = [
            (0, Available, false),
            (1, Available, false),
            (2, Available, false),
        ];
        assert_eq!(next(rules, &pods(&stale)), [Step::Delete(2)]);
        let coming = [
            (0, Available, false),
            (1, Available, false),
            (2, Unavailable, true),
        ];
        assert_eq!(next(rules, &pods(&coming)), []);
        let half = [(0, Available, false), (1, Available, false), (2, Available, true)];
        assert_eq!(next(rules, &pods(&half)), [Step::Delete(1)]);
        let done = [(0, Available, false), (1, Available, true), (2, Available, true)];
        assert_eq!(next(rules, &pods(&done)), []);
        let on_delete = Rules {
            update_from: None,
            ..RULES
        };
        assert_eq!(next(on_delete, &pods(&stale)), []);
    }

    #[test]
    fn a_pod_that_ended_is_replaced() {
        let ended = [(0, Available, true), (1, Ended, true), (2, Available, true)];
        assert_eq!(next(RULES, &pods(&ended)), [Step::Replace(1)]);
    }
}
