use proptest::prelude::*;
use serde_json::json;

use super::*;

fn bounds(replicas: i64, surge: i64, unavailable: i64) -> Bounds {
    Bounds {
        replicas,
        max_surge: surge,
        max_unavailable: unavailable,
    }
}

fn set(size: i64, available: i64) -> Set {
    Set { size, available }
}

#[test]
fn percentages_round_in_favour_of_availability_and_never_stand_still() {
    let of = |replicas: i64, rolling: Value| {
        Bounds::of(
            &json!({"spec": {"replicas": replicas, "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}}),
        )
    };
    let quarter = json!({"maxSurge": "25%", "maxUnavailable": "25%"});
    assert_eq!(of(10, quarter.clone()), bounds(10, 3, 2));
    assert_eq!(of(1, quarter), bounds(1, 1, 0));
    assert_eq!(
        of(3, json!({"maxSurge": 0, "maxUnavailable": "25%"})),
        bounds(3, 0, 1)
    );
    assert_eq!(
        of(2, json!({"maxSurge": 0, "maxUnavailable": 5})),
        bounds(2, 0, 2)
    );
}

#[test]
fn what_is_not_available_goes_first() {
    let next = rolling_update(bounds(10, 3, 2), set(5, 3), &[set(6, 6), set(2, 0)]);
    assert_eq!(next, (5, vec![5, 0]));
}

#[test]
fn a_recreated_deployment_starts_only_when_the_last_old_pod_is_gone() {
    let of = |gone| recreate(bounds(3, 0, 0), set(0, 0), &[set(3, 3)], gone);
    assert_eq!(of(false), (0, vec![0]));
    assert_eq!(of(true), (3, vec![0]));
}

#[test]
fn a_change_of_replicas_is_shared_by_size() {
    let scaled = |size| Scaled {
        size,
        max_size_before: 13,
    };
    assert_eq!(proportional(bounds(20, 6, 5), &[scaled(5), scaled(8)]), [10, 16]);
    assert_eq!(proportional(bounds(0, 0, 0), &[scaled(5), scaled(8)]), [0, 0]);
}

/// What a cluster can do to the pods of a set between two looks.
fn settle(sets: &mut [Set], draws: &[u8]) {
    for (set, draw) in sets.iter_mut().zip(draws) {
        // Pods that are asked to go do so, others become available one by one.
        set.available = set.available.min(set.size);
        set.available += (set.size - set.available).min(i64::from(*draw % 3));
    }
}

proptest! {
    #[test]
    fn a_rolling_update_keeps_its_bounds_and_ends(
        replicas in 0..30i64,
        surge in 0..8i64,
        unavailable in 0..8i64,
        old in prop::collection::vec(0..10i64, 1..4),
        draws in prop::collection::vec(any::<u8>(), 4 * 300),
    ) {
        prop_assume!(surge + unavailable > 0);
        let bounds = bounds(replicas, surge, unavailable.min(replicas));
        let mut sets: Vec<Set> = std::iter::once(set(0, 0)).chain(old.iter().map(|&n| set(n, n))).collect();
        for draw in draws.chunks(4) {
            let before: i64 = sets.iter().map(|set| set.size).sum();
            let available_before: i64 = sets.iter().map(|set| set.available.min(set.size)).sum();
            let (new, old) = rolling_update(bounds, sets[0], &sets[1..]);
            sets[0].size = new;
            for (set, size) in sets[1..].iter_mut().zip(old) {
                prop_assert!(size <= set.size);
                set.size = size;
            }
            let after: i64 = sets.iter().map(|set| set.size).sum();
            prop_assert!(after <= before.max(replicas + surge), "{sets:?}");
            let available: i64 = sets.iter().map(|set| set.available.min(set.size)).sum();
            prop_assert!(available >= available_before.min(bounds.min_available()), "{sets:?}");
            settle(&mut sets, draw);
        }
        // Each look that changes nothing is followed by pods that become available, some within three draws.
        for _ in 0..200 {
            let (new, old) = rolling_update(bounds, sets[0], &sets[1..]);
            sets[0].size = new;
            for (set, size) in sets[1..].iter_mut().zip(old) {
                set.size = size;
            }
            settle(&mut sets, &[2, 2, 2, 2]);
        }
        prop_assert_eq!(sets[0], set(replicas, replicas));
        prop_assert!(sets[1..].iter().all(|old| old.size == 0));
    }

    #[test]
    fn a_proportional_change_gives_the_whole_and_takes_from_nobody_who_has_none(
        replicas in 0..40i64,
        surge in 0..10i64,
        sizes in prop::collection::vec(0..20i64, 1..4),
        before in 1..40i64,
    ) {
        prop_assume!(sizes.iter().any(|&size| size > 0));
        let bounds = bounds(replicas, surge, 1);
        let sets: Vec<Scaled> =
            sizes.iter().map(|&size| Scaled { size, max_size_before: before }).collect();
        let next = proportional(bounds, &sets);
        prop_assert_eq!(next.iter().sum::<i64>(), bounds.max_size());
        prop_assert!(next.iter().zip(&sizes).all(|(next, size)| *next >= 0 && (*size > 0 || *next == 0)));
    }
}
