//! Classes judged by real probing over lines that are really impaired, and what becomes of packets then.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use netsim::bfd::{News, Prober, Timing, TunnelChange};
use netsim::fabric::Families;
use netsim::impair::{Impairer, Impairment, Line, Loss, Percent};
use netsim::policy::{AppRoute, AppRoutePolicy, BestPath, Criterion, Preference, SlaClass, Unmet};
use netsim::sla::Polling;

use super::policies::{app_route, at, class};
use super::world::{Flow, Ip, Plan, World, uplink};

/// So many hellos that a line with losses does not take its session down.
const TIMING: Timing = Timing {
    hello: Duration::from_millis(20),
    multiplier: 40,
};
const POLLING: Polling = Polling {
    interval: Duration::from_millis(200),
    multiplier: 2,
    hold_down: Duration::from_millis(600),
};
const DEADLINE: Duration = Duration::from_secs(10);
/// Positions of the colors.
const DEFAULT: usize = 0;
const MPLS: usize = 1;

struct Judged {
    world: World,
    impairers: Vec<Impairer>,
    prober: Prober,
    changes: Receiver<TunnelChange>,
}

impl Judged {
    async fn build() -> Self {
        let world = World::build(Plan {
            colors: vec!["default", "mpls"],
            families: Families::Ipv4,
            polling: POLLING,
            ..Plan::default()
        })
        .await;
        let impairers = world
            .transports
            .iter()
            .map(|transport| Impairer::new(transport.netns(), 7));
        let impairers = impairers.collect();
        let (sender, changes) = channel();
        // Nobody listens any more when a test is over.
        let observe = move |change| drop(sender.send(change));
        let prober = Prober::start(&world.edges, TIMING, observe).unwrap();
        tokio::time::timeout(DEADLINE, prober.settled()).await.unwrap();
        Self {
            world,
            impairers,
            prober,
            changes,
        }
    }

    async fn apply(&self, policy: AppRoutePolicy) {
        self.world.edges[0]
            .apply(&at(0, vec![policy], vec![]))
            .await
            .unwrap();
    }

    /// Does this to what comes to site 0 over a transport; `None` heals.
    fn impair(&mut self, transport: usize, impairment: Option<Impairment>) {
        let to = uplink(&self.world.plan, 0, u8::try_from(transport).unwrap());
        let IpAddr::V4(to) = to else { panic!("{to}") };
        let lines = impairment.map(|impairment| {
            (
                Line {
                    to: to.into(),
                    from: None,
                },
                impairment,
            )
        });
        let lines: BTreeMap<_, _> = lines.into_iter().collect();
        self.impairers[transport].set(&lines).unwrap();
    }

    /// Waits until the tunnel of site 0 over a transport meets the class, or no longer.
    fn meets(&self, transport: usize, expected: bool) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let change = self.changes.recv_timeout(left).unwrap();
            change.applied.unwrap();
            let is_ours = (change.id.edge, change.id.tunnel) == (0, transport);
            if let (true, News::Class { met, .. }) = (is_ours, change.news) {
                assert_eq!(met, expected, "the standing flaps");
                return;
            }
        }
    }

    /// How many probes took each tunnel.
    async fn sent(&self) -> Vec<u64> {
        let _pause = self.prober.pause().await;
        self.world.arrive(&Flow::new(0, 1, Ip::V4)).await
    }

    async fn vanishes(&self) {
        let _pause = self.prober.pause().await;
        self.world.vanish(&Flow::new(0, 1, Ip::V4)).await;
    }
}

fn delay(millis: u64) -> Option<Impairment> {
    Some(Impairment {
        delay: Duration::from_millis(millis),
        ..Impairment::default()
    })
}

/// Delay one way is latency twice as long as half the round trip.
fn of_30_ms() -> SlaClass {
    SlaClass {
        loss: None,
        latency: Some(Duration::from_millis(30)),
        ..class()
    }
}

fn by(class: SlaClass, preference: Preference, unmet: Unmet) -> AppRoutePolicy {
    let mut policy = app_route("mpls", Unmet::Any);
    Arc::make_mut(&mut policy.sequences)[0].choice = Some(AppRoute {
        class: Some(class),
        preference,
        unmet,
    });
    policy
}

/// Moves to another color by delay, stays there for the hold-down, and comes back once.
pub async fn a_delayed_color_is_left_and_taken_again() {
    let mut judged = Judged::build().await;
    let mpls = Preference::Colors(vec!["mpls".into()]);
    judged.apply(by(of_30_ms(), mpls, Unmet::Drop)).await;
    assert_eq!(judged.sent().await, [0, 3]);
    judged.impair(MPLS, delay(160));
    judged.meets(MPLS, false);
    assert_eq!(judged.sent().await, [3, 0]);
    let healed = Instant::now();
    judged.impair(MPLS, None);
    judged.meets(MPLS, true);
    assert!(healed.elapsed() >= POLLING.hold_down, "{:?}", healed.elapsed());
    assert_eq!(judged.sent().await, [0, 3]);
    // Nothing else came of it: neither did it flap, nor did the other color change, nor any session.
    tokio::time::sleep(POLLING.hold_down).await;
    let ours = judged.changes.try_iter().find(|change| change.id.edge == 0);
    assert!(ours.is_none(), "{ours:?}");
}

pub async fn strict_traffic_is_dropped_while_every_color_loses_packets() {
    let mut judged = Judged::build().await;
    let class = SlaClass {
        loss: Some(100_000),
        latency: None,
        ..class()
    };
    judged.apply(by(class, Preference::Equal, Unmet::Drop)).await;
    let sent = judged.sent().await;
    assert_eq!(sent.iter().sum::<u64>(), 3);
    let lossy = Impairment {
        loss: Loss::Random(Percent::from_millionths(500_000).unwrap()),
        ..Impairment::default()
    };
    judged.impair(MPLS, Some(lossy));
    judged.meets(MPLS, false);
    assert_eq!(judged.sent().await, [3, 0]);
    judged.impair(DEFAULT, Some(lossy));
    judged.meets(DEFAULT, false);
    judged.vanishes().await;
    judged.impair(MPLS, None);
    judged.meets(MPLS, true);
    assert_eq!(judged.sent().await, [0, 3]);
}

pub async fn the_best_of_delayed_colors_is_taken() {
    let mut judged = Judged::build().await;
    let best = Unmet::Best(BestPath {
        criteria: vec![Criterion::Latency(Duration::from_millis(10))],
    });
    judged.apply(by(of_30_ms(), Preference::Equal, best)).await;
    // Both violate the class; one by 20 ms more than the other.
    for (worse, taken) in [(DEFAULT, [0, 3]), (MPLS, [3, 0])] {
        judged.impair(worse, delay(240));
        judged.impair(1 - worse, delay(160));
        let deadline = Instant::now() + DEADLINE;
        while judged.sent().await != taken {
            assert!(Instant::now() < deadline, "the best color is not {taken:?}");
            tokio::time::sleep(POLLING.interval).await;
        }
        for tunnel in [DEFAULT, MPLS] {
            let health = judged.world.edges[0].health((tunnel, 0)).await;
            assert!(health.up && health.met.is_empty(), "{health:?}");
        }
    }
}
