//! How many pods each ReplicaSet of a Deployment should have next. Pure.
//!
//! The invariants of a rolling update: the sets never ask for more than `replicas + max_surge` pods together, and
//! none is taken from that would leave fewer than `replicas - max_unavailable` pods available.

use serde_json::Value;

use crate::object;

/// What a Deployment allows itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) replicas: i64,
    pub(super) max_surge: i64,
    pub(super) max_unavailable: i64,
}

/// One ReplicaSet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Set {
    /// How many pods it asks for.
    pub(super) size: i64,
    /// How many of its pods are available.
    pub(super) available: i64,
}

impl Bounds {
    pub(super) fn of(deployment: &Value) -> Self {
        let replicas = object::number(deployment, "/spec/replicas");
        let rolling = &deployment["spec"]["strategy"]["rollingUpdate"];
        if deployment["spec"]["strategy"]["type"] == "Recreate" {
            return Bounds {
                replicas,
                max_surge: 0,
                max_unavailable: 0,
            };
        }
        let max_surge = amount(&rolling["maxSurge"], replicas, Round::Up);
        let mut max_unavailable = amount(&rolling["maxUnavailable"], replicas, Round::Down);
        if max_surge == 0 && max_unavailable == 0 {
            // Percentages of few replicas: without this nothing could ever move.
            max_unavailable = 1;
        }
        Bounds {
            replicas,
            max_surge,
            max_unavailable: max_unavailable.min(replicas),
        }
    }

    /// With how many available pods the Deployment itself is available.
    pub(super) fn min_available(self) -> i64 {
        self.replicas - self.max_unavailable
    }

    /// How many pods there may be at most.
    pub(super) fn max_size(self) -> i64 {
        if self.replicas == 0 {
            0
        } else {
            self.replicas + self.max_surge
        }
    }

    /// The size a new ReplicaSet beside others of `all` pods together grows to.
    pub(super) fn grown(self, size: i64, all: i64) -> i64 {
        let room = (self.replicas + self.max_surge - all).max(0);
        (size + room).min(self.replicas).max(size)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::controllers::workloads) enum Round {
    Up,
    Down,
}

/// A number, or a percentage of `whole`.
pub(in crate::controllers::workloads) fn amount(value: &Value, whole: i64, round: Round) -> i64 {
    let percent = value
        .as_str()
        .and_then(|text| text.strip_suffix('%')?.parse::<i64>().ok());
    match (percent, round) {
        (None, _) => value.as_i64().unwrap_or(0),
        (Some(percent), Round::Up) => (whole * percent + 99) / 100,
        (Some(percent), Round::Down) => whole * percent / 100,
    }
}

/// The next sizes of the new ReplicaSet and of the old ones, which come oldest first.
pub(super) fn rolling_update(bounds: Bounds, new: Set, old: &[Set]) -> (i64, Vec<i64>) {
    let sizes: Vec<i64> = old.iter().map(|set| set.size).collect();
    let all = new.size + sizes.iter().sum::<i64>();
    let new_size = if new.size > bounds.replicas {
        bounds.replicas
    } else {
        bounds.grown(new.size, all)
    };
    if new_size != new.size {
        return (new_size, sizes);
    }
    (new_size, shrink(bounds, new, old, all))
}

fn shrink(bounds: Bounds, new: Set, old: &[Set], all: i64) -> Vec<i64> {
    let mut sizes: Vec<i64> = old.iter().map(|set| set.size).collect();
    // Pods that were asked to go are still counted as available until they are seen to be gone.
    let available = |set: &Set| set.available.min(set.size);
    let mut spare = all - bounds.min_available() - (new.size - available(&new));
    if spare <= 0 {
        return sizes;
    }
    for (size, set) in sizes.iter_mut().zip(old) {
        let unhealthy = (set.size - available(set)).min(spare);
        *size -= unhealthy;
        spare -= unhealthy;
    }
    let mut spare = available(&new) + old.iter().map(available).sum::<i64>() - bounds.min_available();
    for size in &mut sizes {
        let taken = spare.clamp(0, *size);
        *size -= taken;
        spare -= taken;
    }
    sizes
}

/// The next sizes when everything old goes before anything new comes. `old_is_gone`: no old pod is left.
pub(super) fn recreate(bounds: Bounds, new: Set, old: &[Set], old_is_gone: bool) -> (i64, Vec<i64>) {
    let size = if old_is_gone { bounds.replicas } else { new.size };
    (size, vec![0; old.len()])
}

/// One ReplicaSet of a Deployment whose replicas were changed in the middle of a rolling update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scaled {
    pub(super) size: i64,
    /// `replicas + max_surge` when the set got its size.
    pub(super) max_size_before: i64,
}

/// Spreads a change of replicas over the ReplicaSets by their sizes; they come newest first.
pub(super) fn proportional(bounds: Bounds, sets: &[Scaled]) -> Vec<i64> {
    let mut sizes: Vec<i64> = sets.iter().map(|set| set.size).collect();
    let to_add = bounds.max_size() - sizes.iter().sum::<i64>();
    let mut order: Vec<usize> = (0..sets.len()).filter(|&at| sets[at].size > 0).collect();
    // Large sets first; of equal ones the newest grows and the oldest shrinks.
    order.sort_by_key(|&at| {
        let age = i64::try_from(at).unwrap_or(i64::MAX);
        (-sets[at].size, if to_add > 0 { age } else { -age })
    });
    let mut left = to_add;
    for &at in &order {
        let set = sets[at];
        let share = if bounds.replicas == 0 {
            -set.size
        } else if set.max_size_before == 0 {
            0
        } else {
            rounded(set.size * bounds.max_size(), set.max_size_before) - set.size
        };
        let share = if to_add > 0 {
            share.clamp(0, left)
        } else {
            share.clamp(left, 0)
        };
        sizes[at] += share;
        left -= share;
    }
    for &at in &order {
        let rest = left.max(-sizes[at]);
        sizes[at] += rest;
        left -= rest;
    }
    sizes
}

/// The quotient of two numbers that are not negative, to the nearest whole one.
fn rounded(dividend: i64, divisor: i64) -> i64 {
    (2 * dividend + divisor) / (2 * divisor)
}

#[cfg(test)]
mod tests;
