//! The operator is killed before its first call to the Manager, before its second, and so on until a run needs no more:
//! whenever that is, its successor has the fabric as it shall be with nothing left over, and no strict packet went another
//! way meanwhile.
//!
//! A call is every request to the Manager, reads and logins among them. The one that the operator is killed at, and all
//! that it sends beside that, is held back until its connections are gone, and so never done. What is left over is told
//! by the next change, too: a lock that died with its holder would hold it up for half an hour.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use netsim::manager::faults::{Fault, Requests};
use netsim::manager::{Activities, Event};
use netsim::policy::EdgePolicy;
use pathproof_trials::{Fate, Operator, Rest};
use rstest::rstest;
use sdwan_operator::controller::Settings;
use sdwan_operator::core::ServiceType;
use sdwan_operator::manager::{Backend, LoginKind, Patience};

use self::support::admin::{UNUSED, names};
use self::support::{CHANCE, DEADLINE, Trial, annotation, both_ways, events, eventually, rounds, writing};

/// A Service, what it asks for, and its endpoints.
type Asking = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
);

const HELD: &str = "10.0.2.5";
const KEYS: [&str; 5] = ["tunnel", "mode", "fallback", "sla", "action"];

const NOTHING: &[Asking] = &[];
const BEFORE: &[Asking] = &[
    ("business", &[("tunnel", "biz-internet")], &[HELD, "10.0.2.6"]),
    (
        "batch",
        &[("tunnel", "mpls"), ("mode", "preferred")],
        &["10.0.2.7"],
    ),
];
const OTHER_HOSTS: &[Asking] = &[
    ("business", &[("tunnel", "biz-internet")], &[HELD, "10.0.2.8"]),
    (
        "batch",
        &[("tunnel", "mpls"), ("mode", "preferred")],
        &["10.0.2.7"],
    ),
];
/// Two Services that share a list.
const TOGETHER: &[Asking] = &[
    ("business", &[("tunnel", "biz-internet")], &[HELD]),
    ("other", &[("tunnel", "biz-internet")], &["10.0.2.12"]),
];
/// Of which one leaves for a list that does not exist yet.
const APART: &[Asking] = &[
    ("business", &[("tunnel", "mpls")], &[HELD]),
    ("other", &[("tunnel", "biz-internet")], &["10.0.2.12"]),
];
/// Of every kind of list and sequence one.
const EVERYTHING: &[Asking] = &[
    ("business", &[("tunnel", "biz-internet")], &[HELD, "10.0.2.6"]),
    ("six", &[("tunnel", "biz-internet")], &["fd00:2::5"]),
    (
        "batch",
        &[("tunnel", "mpls"), ("fallback", "biz-internet")],
        &["10.0.2.7"],
    ),
    (
        "voice",
        &[("tunnel", "mpls"), ("sla", "latency=50ms")],
        &["10.0.2.9"],
    ),
    (
        "seen",
        &[("tunnel", "mpls"), ("action", "inspect")],
        &["10.0.2.10"],
    ),
    ("secret", &[("action", "drop")], &["10.0.2.11"]),
];

/// Where a run that is killed begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// The operator runs, and sees the change.
    Running,
    /// The change came while it was away.
    Starting,
    /// It runs, and has never written anything.
    Untouched,
}

/// What a fabric and a Manager come to.
#[derive(Debug, PartialEq)]
struct Outcome {
    edges: Vec<EdgePolicy>,
    objects: Vec<String>,
}

struct Siege {
    trial: Trial,
    rest: Rest,
    settings: Settings,
    asked: &'static [Asking],
}

impl Siege {
    async fn of(backend: Backend) -> Self {
        let trial = Trial::start().await;
        Self {
            rest: trial.wan.rest().await,
            settings: Settings {
                inspection: ServiceType::IntrusionDetection,
                ..writing(backend)
            },
            trial,
            asked: NOTHING,
        }
    }

    async fn operator(&self) -> Operator {
        self.trial.operator(self.settings.clone()).await
    }

    /// Has the cluster ask for this and nothing else.
    fn ask(&mut self, asked: &'static [Asking]) {
        let cluster = &self.trial.cluster;
        let before = std::mem::replace(&mut self.asked, asked);
        let was_there = |name: &str| before.iter().any(|(service, ..)| *service == name);
        for (service, ..) in before
            .iter()
            .filter(|(name, ..)| !asked.iter().any(|(service, ..)| service == name))
        {
            cluster.delete_service(service);
        }
        for (service, annotations, hosts) in asked {
            if was_there(service) {
                for key in KEYS {
                    let value = annotations.iter().find(|(given, _)| *given == key);
                    cluster.annotate(service, &annotation(key), value.map(|(_, value)| *value));
                }
            } else {
                self.trial.service(service, annotations, &[]);
            }
            self.trial.endpoints(service, hosts);
        }
    }

    fn edges(&self) -> Vec<EdgePolicy> {
        [100, 200].map(|site| self.trial.wan.edges.policy_of(site)).into()
    }

    async fn outcome(&self) -> Outcome {
        let objects = names(&self.rest, self.settings.identity.backend).await;
        let edges = self.edges();
        Outcome { edges, objects }
    }

    /// What an operator that nobody disturbs makes of this.
    async fn undisturbed(&mut self, asked: &'static [Asking]) -> Outcome {
        self.ask(asked);
        let hosts = asked
            .iter()
            .flat_map(|(_, asked, hosts)| hosts.iter().map(|host| (*host, fate_of(asked))));
        let mut fates: BTreeMap<&str, Fate> = hosts.collect();
        fates.entry(HELD).or_insert_with(|| Fate::over("default"));
        for (host, fate) in fates {
            let is_so = || {
                both_ways(host)
                    .iter()
                    .all(|packet| self.trial.fate(packet) == fate)
            };
            eventually(&format!("{host} {fate:?}"), is_so).await;
        }
        let mut outcome = self.outcome().await;
        loop {
            tokio::time::sleep(CHANCE).await;
            let next = self.outcome().await;
            if next == outcome && !next.objects.iter().any(|name| name.starts_with(UNUSED)) {
                return next;
            }
            outcome = next;
        }
    }

    async fn until(&self, expected: &Outcome, when: &str) {
        let started = Instant::now();
        loop {
            // A round goes on for a while after its push; asking all the time would only slow it down.
            tokio::time::sleep(Duration::from_millis(20)).await;
            if self.edges() == expected.edges && self.outcome().await == *expected {
                return;
            }
            if started.elapsed() > DEADLINE {
                panic!("never {expected:#?}, {when}: {:#?}", self.outcome().await);
            }
        }
    }

    /// Takes all that the operator has away from the Manager.
    async fn uninstall(&self) {
        let client = self.trial.wan.client(LoginKind::Auto, Patience::default());
        let uninstalled = client.uninstall(&self.settings.identity).await.unwrap();
        assert!(uninstalled.left.is_empty(), "{uninstalled:?}");
        client.logout().await.unwrap();
        assert_eq!(self.outcome().await, nothing());
    }
}

/// What becomes of the packets of a Service that asks for this, while all tunnels are up and meet every class.
fn fate_of(asked: &[(&str, &str)]) -> Fate {
    let tunnel = asked.iter().find(|(key, _)| *key == "tunnel");
    tunnel.map_or(Fate::Dropped, |(_, color)| Fate::over(color))
}

/// As the Manager was found.
fn nothing() -> Outcome {
    Outcome {
        edges: [100, 200].map(EdgePolicy::none).into(),
        objects: Vec::new(),
    }
}

/// Holds back all calls to the Manager after so many.
fn hold_back(trial: &Trial, calls: u32) {
    let after = Some(calls).filter(|calls| *calls > 0);
    let requests = Requests {
        after,
        ..Requests::default()
    };
    let by_ms = 60 * 60 * 1000;
    trial
        .wan
        .manager
        .faults()
        .inject(Fault::DelayRequests { by_ms, requests });
}

fn is_held_back(trial: &Trial) -> bool {
    trial.wan.manager.faults().delaying() > 0
}

/// Waits until what was held back is gone with its client.
async fn let_go(trial: &Trial) {
    eventually("its calls are gone", || !is_held_back(trial)).await;
    trial.wan.manager.faults().heal_all();
}

/// Waits until a call is held back, or the change is made without that; whether it is held back.
async fn is_stopped(
    siege: &Siege,
    operator: &Operator,
    activities: &mut Activities,
    expected: &Outcome,
) -> bool {
    let begun = operator.metric("sdwan_operator_activations_total");
    let mut pushes = 0.0;
    let started = Instant::now();
    while !is_held_back(&siege.trial) {
        let pushed = events(activities);
        let begins = |event: &&Event| matches!(event, Event::PushStarted { .. });
        pushes += pushed.iter().filter(begins).map(|_| 1.0).sum::<f64>();
        let ended = operator.metric("sdwan_operator_activations_total") - begun;
        if pushes > 0.0 && ended == pushes && siege.edges() == expected.edges {
            return is_held_back(&siege.trial);
        }
        assert!(started.elapsed() < DEADLINE, "neither stopped nor done");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    true
}

#[rstest]
#[case::first_intent(Backend::Classic, Begin::Untouched, NOTHING, BEFORE, &["default", "biz-internet"])]
#[case::edit_of_lists(Backend::Classic, Begin::Running, BEFORE, OTHER_HOSTS, &["biz-internet"])]
#[case::edit_at_the_start(Backend::Classic, Begin::Starting, BEFORE, OTHER_HOSTS, &["biz-internet"])]
#[case::move_to_another_list(Backend::Classic, Begin::Running, TOGETHER, APART, &["biz-internet", "mpls"])]
#[case::every_kind(Backend::Classic, Begin::Running, BEFORE, EVERYTHING, &["biz-internet"])]
#[case::removal(Backend::Classic, Begin::Running, EVERYTHING, NOTHING, &["biz-internet", "default"])]
#[case::first_group(Backend::PolicyGroups, Begin::Untouched, NOTHING, BEFORE, &["default", "biz-internet"])]
#[case::edit_in_a_group(Backend::PolicyGroups, Begin::Running, BEFORE, OTHER_HOSTS, &["biz-internet"])]
#[case::move_in_a_group(Backend::PolicyGroups, Begin::Running, TOGETHER, APART, &["biz-internet", "mpls"])]
#[case::kinds_of_a_group(Backend::PolicyGroups, Begin::Running, BEFORE, EVERYTHING, &["biz-internet"])]
#[case::removal_from_a_group(Backend::PolicyGroups, Begin::Running, EVERYTHING, NOTHING, &["biz-internet", "default"])]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_finishes_what_was_begun(
    #[case] backend: Backend,
    #[case] begin: Begin,
    #[case] from: &'static [Asking],
    #[case] to: &'static [Asking],
    #[case] colors: &[&str],
) {
    let mut siege = Siege::of(backend).await;
    let mut operator = siege.operator().await;
    siege.undisturbed(from).await;
    let after = siege.undisturbed(to).await;
    // A definition that has been in force stays, if only without sequences.
    let before = siege.undisturbed(from).await;
    for calls in 0.. {
        siege.ask(from);
        if begin == Begin::Untouched {
            operator.stop().await;
            siege.uninstall().await;
            operator = siege.operator().await;
            eventually("it has looked", || rounds(&operator) > 0.0).await;
        } else {
            siege.until(&before, "before").await;
        }
        let since = siege.trial.wan.edges.count();
        let mut activities = siege.trial.wan.manager.activity();
        if begin == Begin::Starting {
            operator.stop().await;
            siege.ask(to);
            hold_back(&siege.trial, calls);
            operator = siege.operator().await;
        } else {
            hold_back(&siege.trial, calls);
            siege.ask(to);
        }
        let stopped = is_stopped(&siege, &operator, &mut activities, &after).await;
        if stopped {
            operator.kill();
            let_go(&siege.trial).await;
            operator = siege.operator().await;
        }
        siege.trial.wan.manager.faults().heal_all();
        siege.until(&after, &format!("after {calls} calls")).await;
        siege.trial.never_left(since, HELD, colors);
        if !stopped {
            assert!(calls >= 3, "only {calls} calls");
            break;
        }
    }
    operator.stop().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_uninstall_that_was_killed_is_finished_by_the_next(
    #[values(Backend::Classic, Backend::PolicyGroups)] backend: Backend,
) {
    let mut siege = Siege::of(backend).await;
    siege.ask(EVERYTHING);
    for calls in 0.. {
        let operator = siege.operator().await;
        siege.trial.until_taken(HELD, "biz-internet").await;
        operator.stop().await;
        hold_back(&siege.trial, calls);
        let client = siege.trial.wan.client(LoginKind::Auto, Patience::default());
        let ended = tokio::select! {
            uninstalled = client.uninstall(&siege.settings.identity) => uninstalled.is_ok(),
            () = eventually("a call is held back", || is_held_back(&siege.trial)) => false,
        };
        drop(client);
        let_go(&siege.trial).await;
        if ended {
            assert!(calls > 15, "only {calls} calls");
            assert_eq!(siege.outcome().await, nothing());
            break;
        }
        siege.uninstall().await;
        for packet in both_ways(HELD) {
            assert_eq!(
                siege.trial.fate(&packet),
                Fate::over("default"),
                "after {calls} calls"
            );
        }
    }
}
