//! What policies match, in which order, and what they count and copy.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use netsim::capture::{Capture, Frame, RingSize, Sink, Tap};
use netsim::fabric::edge::Counted;
use netsim::fabric::{Families, Mac};
use netsim::policy::{
    Action, AppRoute, AppRoutePolicy, AppRouteSequence, DataPath, DataPolicy, DefaultAction, EdgePolicy,
    LocalTlocs, Match, PolicyDirection, Preference, Sequence, SlaClass, Unmet,
};
use netsim::sla::TunnelKey;

use super::marking::traffic_class;
use super::world::{BOTH, Condition, Flow, Ip, PATIENCE, PORT, Plan, QUIET, World, site_id};

/// The default one first.
const COLORS: [&str; 3] = ["default", "mpls", "lte"];
const VPN: u16 = 10;
pub const UDP: u8 = 17;

pub fn plan() -> Plan {
    Plan {
        colors: COLORS.to_vec(),
        ..Plan::default()
    }
}

pub fn class() -> SlaClass {
    SlaClass {
        name: "voice".into(),
        loss: Some(10_000),
        latency: Some(Duration::from_millis(50)),
        jitter: None,
    }
}

pub fn over(color: &str, restrict: bool) -> Action {
    Action::Accept {
        path: Some(DataPath::Local(LocalTlocs {
            colors: vec![color.into()],
            restrict,
        })),
        inspect: false,
        dscp: None,
    }
}

pub fn data(service_vpn: u16, direction: PolicyDirection, sequences: Vec<(Match, Action)>) -> DataPolicy {
    let sequences = (1..).zip(sequences).map(|(id, (matching, action))| Sequence {
        id,
        matching,
        action,
        counter: None,
    });
    DataPolicy {
        service_vpn,
        direction,
        default_action: DefaultAction::Accept,
        sequences: sequences.collect(),
    }
}

pub fn from_service(sequences: Vec<(Match, Action)>) -> DataPolicy {
    data(VPN, PolicyDirection::FromService, sequences)
}

pub fn app_route(preferred: &str, unmet: Unmet) -> AppRoutePolicy {
    AppRoutePolicy {
        service_vpn: VPN,
        sequences: [AppRouteSequence {
            id: 1,
            matching: udp(),
            choice: Some(AppRoute {
                class: Some(class()),
                preference: Preference::Colors(vec![preferred.into()]),
                unmet,
            }),
            counter: None,
        }]
        .into(),
        default_class: None,
    }
}

pub fn at(site: u8, app_route: Vec<AppRoutePolicy>, data: Vec<DataPolicy>) -> EdgePolicy {
    EdgePolicy {
        site_id: site_id(site),
        app_route,
        data,
    }
}

pub fn udp() -> Match {
    Match {
        protocols: vec![UDP],
        ..Match::default()
    }
}

pub async fn apply(world: &World, site: u8, app_route: Vec<AppRoutePolicy>, data: Vec<DataPolicy>) {
    let policy = at(site, app_route, data);
    world.edges[usize::from(site)].apply(&policy).await.unwrap();
}

/// Every tunnel of site 0 in the same condition but those of one transport.
pub async fn judge(world: &World, all: Condition, but: Option<(usize, Condition)>) {
    let remotes = world.plan.remotes(0).len();
    let keys =
        (0..world.plan.colors.len()).flat_map(|tunnel| (0..remotes).map(move |remote| (tunnel, remote)));
    let conditions: BTreeMap<TunnelKey, Condition> = keys
        .map(|key| match but {
            Some((tunnel, condition)) if tunnel == key.0 => (key, condition),
            _ => (key, all),
        })
        .collect();
    world.judge(0, &conditions).await;
}

const BAD: Condition = Condition::Measured {
    lost: 500,
    latency: 5,
    jitter: 1,
};

pub async fn app_route_goes_before_the_data_policy() {
    let world = World::build(plan()).await;
    let mpls = |restrict| vec![from_service(vec![(udp(), over("mpls", restrict))])];
    for ip in BOTH {
        let flow = Flow::new(0, 1, ip);
        // What app-route drops goes nowhere, whatever the data policy says.
        apply(&world, 0, vec![app_route("lte", Unmet::Drop)], mpls(false)).await;
        judge(&world, BAD, None).await;
        world.vanish(&flow).await;
        // Else the data policy's color goes before app-route's,
        judge(&world, Condition::GOOD, None).await;
        assert_eq!(world.arrive(&flow).await, [0, 3, 0]);
        apply(&world, 0, vec![app_route("lte", Unmet::Any)], mpls(false)).await;
        judge(&world, BAD, Some((2, Condition::GOOD))).await;
        assert_eq!(world.arrive(&flow).await, [0, 3, 0]);
        // and without a tunnel of it app-route chooses,
        judge(&world, Condition::GOOD, Some((1, Condition::Down))).await;
        assert_eq!(world.arrive(&flow).await, [0, 0, 3]);
        // unless the data policy is restricted to it.
        apply(&world, 0, vec![app_route("lte", Unmet::Any)], mpls(true)).await;
        world.vanish(&flow).await;
        judge(&world, Condition::GOOD, None).await;
        assert_eq!(world.arrive(&flow).await, [0, 3, 0]);
    }
}

pub async fn a_default_class_is_for_what_no_sequence_matches() {
    let world = World::build(plan()).await;
    let mut policy = app_route("lte", Unmet::Drop);
    Arc::make_mut(&mut policy.sequences)[0].matching.destination_ports = vec![9000..=9000];
    policy.default_class = Some(class());
    apply(&world, 0, vec![policy], vec![]).await;
    judge(&world, BAD, Some((1, Condition::GOOD))).await;
    for ip in BOTH {
        let flow = Flow::new(0, 1, ip);
        assert_eq!(world.arrive(&flow).await, [0, 3, 0]);
        let sequence = Flow { port: 9000, ..flow };
        assert_eq!(world.arrive(&sequence).await, [0, 3, 0]);
    }
    judge(&world, BAD, None).await;
    for ip in BOTH {
        let flow = Flow::new(0, 1, ip);
        assert_eq!(world.arrive(&flow).await.iter().sum::<u64>(), 3);
        world.vanish(&Flow { port: 9000, ..flow }).await;
    }
}

pub async fn a_policy_sees_its_direction_alone() {
    let world = World::build(plan()).await;
    let drop = |direction| vec![data(VPN, direction, vec![(udp(), Action::Drop)])];
    for (direction, sends, receives) in [
        (PolicyDirection::FromService, false, true),
        (PolicyDirection::FromTunnel, true, false),
        (PolicyDirection::All, false, false),
    ] {
        apply(&world, 0, vec![], drop(direction)).await;
        for ip in BOTH {
            let there = Flow {
                packets: 1,
                ..Flow::new(0, 1, ip)
            };
            let back = Flow {
                packets: 1,
                ..Flow::new(1, 0, ip)
            };
            if sends {
                assert_eq!(world.arrive(&there).await, [1, 0, 0], "{direction:?}");
            } else {
                world.vanish(&there).await;
            }
            if receives {
                assert_eq!(world.arrive(&back).await, [1, 0, 0], "{direction:?}");
            } else {
                let before = matched(&world).await;
                let (arrived, sent) = world.send(&back, QUIET).await;
                assert_eq!((arrived, sent), (0, vec![1, 0, 0]), "{direction:?}");
                // It came as far as the policy.
                let deadline = Instant::now() + PATIENCE;
                while matched(&world).await == before {
                    assert!(Instant::now() < deadline, "nothing came to site 0: {direction:?}");
                }
            }
        }
    }
}

/// Packets that the first sequence of site 0's data policy matched.
async fn matched(world: &World) -> u64 {
    let (_, counts) = world.edges[0].policy_in_force().await.unwrap();
    counts[0].count.packets
}

pub async fn counts_are_of_each_policy_over_both_families() {
    let world = World::build(plan()).await;
    let mut first = udp();
    first.destination_ports = vec![9000..=9000];
    let data = from_service(vec![(first, Action::Drop), (udp(), over("mpls", true))]);
    apply(&world, 0, vec![app_route("lte", Unmet::Any)], vec![data]).await;
    for ip in BOTH {
        let flow = Flow::new(0, 1, ip);
        assert_eq!(world.arrive(&flow).await, [0, 3, 0]);
        world
            .vanish(&Flow {
                port: 9000,
                packets: 2,
                ..flow
            })
            .await;
    }
    let (_, counts) = world.edges[0].policy_in_force().await.unwrap();
    let counted: Vec<_> = counts
        .iter()
        .map(|count| (count.of, count.sequence, count.count.packets, count.count.octets))
        .collect();
    // Headers of IPv4 and IPv6, of UDP, and five octets; of both families.
    let octets = (20 + 8 + 5) + (40 + 8 + 5);
    assert_eq!(
        counted,
        [
            (Counted::AppRoute(0), Some(1), 10, 5 * octets),
            (Counted::AppRoute(0), None, 0, 0),
            (Counted::Data(0), Some(1), 4, 2 * octets),
            (Counted::Data(0), Some(2), 6, 3 * octets),
            (Counted::Data(0), None, 0, 0),
        ]
    );
}

#[derive(Default)]
struct Copies(Vec<Vec<u8>>);

impl Sink for Copies {
    fn frame(&mut self, _: usize, frame: Frame<'_>) {
        self.0.push(frame.data.to_vec());
    }
}

pub async fn an_inspected_packet_goes_its_way_and_is_copied_once() {
    let world = World::build(Plan {
        inspection: Some(0),
        ..plan()
    })
    .await;
    let action = |color: Option<&str>| Action::Accept {
        path: color.map(|color| {
            DataPath::Local(LocalTlocs {
                colors: vec![color.into()],
                restrict: true,
            })
        }),
        inspect: true,
        dscp: Some(34),
    };
    let tap = Tap {
        host: world.inspection.as_ref().unwrap(),
        interface: "inspect1",
        neighbour: Mac::local(9, 9),
    };
    for (color, taken) in [(None, [3, 0, 0]), (Some("lte"), [0, 0, 3])] {
        let mut inspected = udp();
        inspected.destination_ports = vec![PORT..=PORT];
        apply(
            &world,
            0,
            vec![],
            vec![from_service(vec![(inspected, action(color))])],
        )
        .await;
        for ip in BOTH {
            let capture =
                Capture::start(std::slice::from_ref(&tap), RingSize::default(), Copies::default()).unwrap();
            assert_eq!(capture.sweep().unwrap(), [true]);
            let flow = Flow::new(0, 1, ip);
            assert_eq!(world.arrive(&flow).await, taken);
            // What is not inspected is not copied.
            world.arrive(&Flow { port: 9000, ..flow }).await;
            assert_eq!(capture.sweep().unwrap(), [true]);
            let (copies, counts) = capture.finish().unwrap();
            assert_eq!((copies.0.len(), counts[0].dropped), (3, 0), "{ip:?} {color:?}");
            let (destination, at) = match world.address(1, 0, ip) {
                std::net::IpAddr::V4(address) => (address.octets().to_vec(), 14 + 16),
                std::net::IpAddr::V6(address) => (address.octets().to_vec(), 14 + 24),
            };
            for copy in &copies.0 {
                assert_eq!(
                    copy[at..at + destination.len()],
                    destination,
                    "the packet as it was"
                );
                assert_eq!(traffic_class(&copy[14..]), 0, "marked only after it was copied");
                assert!(copy.ends_with(b"probe"), "{copy:?}");
            }
        }
    }
}

pub async fn many_flows_share_colors_and_one_keeps_to_its_own() {
    let world = World::build(Plan {
        default_colors: vec!["default", "lte"],
        ..plan()
    })
    .await;
    for shares in [[true, false, true], [true, true, false]] {
        for ip in BOTH {
            let many = Flow {
                flows: 100,
                packets: 1,
                ..Flow::new(0, 1, ip)
            };
            let sent = world.arrive(&many).await;
            // Of 100 coins fewer than 20 show one side once in ten billion times.
            let shared: Vec<bool> = sent.iter().map(|sent| *sent >= 20).collect();
            assert_eq!(shared, shares, "{sent:?}");
            let one = Flow {
                packets: 100,
                ..Flow::new(0, 1, ip)
            };
            let sent = world.arrive(&one).await;
            assert!(sent.contains(&100), "one flow took several ways: {sent:?}");
        }
        let both = DataPath::Local(LocalTlocs {
            colors: vec!["mpls".into(), "default".into()],
            restrict: true,
        });
        let action = Action::Accept {
            path: Some(both),
            inspect: false,
            dscp: None,
        };
        apply(&world, 0, vec![], vec![from_service(vec![(udp(), action)])]).await;
    }
}

pub async fn ipv4_alone_is_served_as_well() {
    let world = World::build(Plan {
        families: Families::Ipv4,
        ..plan()
    })
    .await;
    let mut anything = udp();
    anything.destination_prefixes = Some(["::/0".parse().unwrap(), "10.0.0.0/8".parse().unwrap()].into());
    apply(
        &world,
        0,
        vec![],
        vec![from_service(vec![(anything, over("mpls", true))])],
    )
    .await;
    assert_eq!(world.arrive(&Flow::new(0, 1, Ip::V4)).await, [0, 3, 0]);
}
