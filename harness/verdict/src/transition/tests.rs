use crate::evidence::Evidence;
use crate::testing::Route::{Default as OnDefault, LostInBiz};
use crate::testing::{MS, Route, biz_run, fire, steered_in};
use crate::{JudgeOptions, Transition, judge};

fn annotated(route: impl Fn(u64) -> Route) -> Evidence {
    let mut evidence = biz_run(1_000, route);
    fire(&mut evidence, "annotate", 200);
    fire(&mut evidence, "remove", 700);
    evidence
}

fn transitions(evidence: &Evidence) -> Vec<Transition> {
    judge(&[], evidence, &JudgeOptions::default()).transitions
}

#[test]
fn steering_and_reverting_are_two_transitions() {
    let found = transitions(&annotated(steered_in(230..710)));
    let moves: Vec<_> = found
        .iter()
        .map(|t| (&*t.event, &*t.from_tunnel, &*t.to_tunnel))
        .collect();
    assert_eq!(
        moves,
        [
            ("annotate", "default", "bizinternet"),
            ("remove", "bizinternet", "default")
        ]
    );
    // Sent 30 ms after the event; the second point of the way, after 20 µs, is the tunnel.
    assert_eq!(found[0].first_on_new_path_ns, 30 * MS + 20_000);
    // Sent 28 ms after the event and last seen at the far tunnel, after 50 µs.
    assert_eq!(found[0].last_on_old_path_ns, Some(28 * MS + 50_000));
    assert_eq!((found[0].loss_ns, found[0].gap_ns), (0, Some(2 * MS)));
}

#[test]
fn an_event_that_moves_nothing_is_no_transition() {
    assert_eq!(transitions(&annotated(|_| OnDefault)), []);
}

#[test]
fn one_leaked_probe_is_not_the_new_path() {
    let found = transitions(&annotated(|ms| {
        if ms == 300 || ms == 198 {
            Route::Biz
        } else {
            OnDefault
        }
    }));
    assert_eq!(found, []);
}

#[test]
fn loss_on_the_way_over_is_read_from_the_losses_and_from_the_gap() {
    let route = |ms| {
        if (200..240).contains(&ms) {
            LostInBiz
        } else {
            steered_in(240..710)(ms)
        }
    };
    let found = transitions(&annotated(route));
    assert_eq!(found[0].loss_ns, 40 * MS);
    assert_eq!(found[0].gap_ns, Some(40 * MS + 70_000));
    assert_eq!(found[0].last_on_old_path_ns, None);
}
