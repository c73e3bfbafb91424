use std::time::Duration;

use tokio::time::Instant;

use super::*;

fn faults() -> Faults {
    Faults::new(Arc::new(Store::new(8)))
}

fn asked(verb: Verb) -> Arc<Asked> {
    Arc::new(Asked {
        verb: Some(verb),
        resource: "services".to_owned(),
        ..Asked::default()
    })
}

fn unavailable(count: Option<u32>) -> Fault {
    Fault::Answer {
        with: Answer::ServiceUnavailable,
        requests: Requests {
            count,
            ..Requests::default()
        },
    }
}

fn minute(count: Option<u32>) -> Fault {
    Fault::Delay {
        by: Duration::from_secs(60),
        requests: Requests {
            count,
            ..Requests::default()
        },
    }
}

fn drop_watches(count: Option<u32>) -> Fault {
    Fault::DropWatches {
        requests: Requests {
            count,
            ..Requests::default()
        },
    }
}

#[test]
fn a_limited_fault_strikes_that_often() {
    let faults = faults();
    let id = faults.inject(unavailable(Some(2))).expect("it can strike");
    assert!(faults.answer(&asked(Verb::Get)).is_some());
    let [in_force] = &faults.in_force()[..] else {
        panic!("one is in force")
    };
    assert_eq!((in_force.id, in_force.struck, in_force.left), (id, 1, Some(1)));
    assert!(faults.answer(&asked(Verb::Get)).is_some());
    assert_eq!(faults.answer(&asked(Verb::Get)), None);
    assert_eq!((faults.in_force(), faults.struck(id)), (Vec::new(), Some(2)));
    assert!(!faults.heal(id), "it is over");
}

#[test]
fn a_fault_without_a_count_strikes_until_healed() {
    let faults = faults();
    let id = faults.inject(unavailable(None)).expect("it can strike");
    let other = faults.inject(minute(None)).expect("it can strike");
    for _ in 0..10 {
        assert!(faults.answer(&asked(Verb::Get)).is_some());
    }
    assert!(faults.heal(id));
    assert!(!faults.heal(id));
    assert_eq!(faults.answer(&asked(Verb::Get)), None);
    assert_eq!((faults.struck(id), faults.struck(other)), (Some(10), Some(0)));
    assert_eq!(faults.heal_all(), 1);
    assert!(!faults.are_about_requests());
}

#[test]
fn a_refused_fault_is_not_in_force() {
    let faults = faults();
    assert!(faults.inject(unavailable(Some(0))).is_err());
    assert_eq!(faults.in_force(), []);
}

#[tokio::test(start_paused = true)]
async fn a_healed_fault_delays_nobody_any_longer() {
    for count in [None, Some(1)] {
        let faults = faults();
        let id = faults.inject(minute(count)).expect("it can strike");
        let begin = Instant::now();
        let heal = async {
            tokio::time::sleep(Duration::from_millis(7)).await;
            // The end of another fault ends nothing.
            faults.heal(faults.inject(unavailable(None)).expect("it can strike"));
            tokio::time::sleep(Duration::from_millis(7)).await;
            faults.heal(id);
        };
        let get = asked(Verb::Get);
        tokio::join!(faults.delay(&get), heal);
        assert_eq!(begin.elapsed(), Duration::from_millis(14));
        assert_eq!(faults.struck(id), Some(1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_as_long_as_it_says() {
    let faults = faults();
    faults.inject(minute(Some(1))).expect("it can strike");
    let begin = Instant::now();
    faults.delay(&asked(Verb::Get)).await;
    faults.delay(&asked(Verb::Get)).await;
    assert_eq!(begin.elapsed(), Duration::from_secs(60), "it struck twice");
}

#[test]
fn only_watches_that_run_are_dropped() {
    let faults = faults();
    let watches = [(); 3].map(|()| faults.watch(asked(Verb::Watch)));
    drop(faults.watch(asked(Verb::Watch)));
    let first = faults.inject(drop_watches(Some(1))).expect("it can strike");
    let dropped = || watches.each_ref().map(RunningWatch::is_dropped);
    assert_eq!(dropped(), [true, false, false]);
    let rest = faults.inject(drop_watches(None)).expect("it can strike");
    assert_eq!(dropped(), [true, true, true]);
    assert_eq!((faults.struck(first), faults.struck(rest)), (Some(1), Some(2)));
    assert!(!faults.watch(asked(Verb::Watch)).is_dropped());
    assert_eq!(faults.in_force(), []);
}

#[test]
fn connections_are_lost_until_all_that_is_down_is_healed() {
    let faults = faults();
    let open = faults.connect();
    drop(faults.connect());
    let first = faults.inject(Fault::Down).expect("it can strike");
    let second = faults.inject(Fault::Down).expect("it can strike");
    assert!(open.is_lost() && faults.connect().is_lost());
    assert!(faults.heal(first));
    assert!(faults.connect().is_lost());
    assert!(faults.heal(second));
    assert!(!faults.connect().is_lost());
    assert!(open.is_lost(), "what is lost stays so");
    assert_eq!((faults.struck(first), faults.struck(second)), (Some(2), Some(2)));
}

#[tokio::test]
async fn times_are_wrong_only_in_what_a_client_writes() {
    let faults = faults();
    let id = faults
        .inject(Fault::SkewLeases {
            clock: Skew::Behind(Duration::from_secs(1)),
            requests: Requests::default(),
        })
        .expect("it can strike");
    let lease = serde_json::json!({"spec": {"renewTime": "2026-01-01T00:00:01.000000Z"}});
    let mut by_a_controller = lease.clone();
    faults.skew_lease(None, &mut by_a_controller);
    assert_eq!(by_a_controller, lease);
    let mut by_a_client = lease;
    asking(asked(Verb::Patch), async {
        faults.skew_lease(None, &mut by_a_client)
    })
    .await;
    assert_eq!(by_a_client["spec"]["renewTime"], "2026-01-01T00:00:00.000000Z");
    assert_eq!(faults.struck(id), Some(1));
}
