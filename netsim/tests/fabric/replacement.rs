//! Policy replacements under traffic: what may not move does not, and what moves goes only where a policy sends it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use netsim::bfd::State;
use netsim::capture::{Capture, Frame, RingSize, Sink, Tap, Way, decode};
use netsim::fabric::{Families, Mac};
use netsim::policy::{
    Action, DataPath, DataPolicy, DefaultAction, EdgePolicy, LocalTlocs, Match, PolicyDirection, Sequence,
};

use super::world::{Flow, Ip, Plan, World};

const REPLACEMENTS: u64 = 1000;
const VPN: u16 = 10;
const COLORS: [&str; 3] = ["biz-internet", "default", "lte"];
/// Positions of the colors.
const BIZ: usize = 0;
const DEFAULT: usize = 1;
const LTE: usize = 2;
/// Pinned to biz-internet by every policy.
const STEADY: u16 = 8080;
/// Pinned to biz-internet by every other policy, to the default tunnel by those between.
const MOVING: u16 = 8081;
/// Pinned to biz-internet by every other policy, dropped by those between: no policy lets it on the default tunnel,
/// where it would go unmatched.
const BANNED: u16 = 8082;
/// In no policy.
const UNMATCHED: u16 = 8083;
/// TCP, as `MOVING`.
const STREAM: u16 = 8084;
/// On lte while that is up, else on the default tunnel; by every policy.
const FLAPPING: u16 = 8085;
/// How long anything may take; the machine may stall for a while.
const PATIENCE: Duration = Duration::from_secs(10);

/// Packets that left each tunnel of site 0, by destination port.
#[derive(Default)]
struct Departures(BTreeMap<u16, [u64; 3]>);

impl Sink for Departures {
    fn frame(&mut self, tap: usize, frame: Frame<'_>) {
        if let (Way::Out, Some(packet)) = (frame.way, decode::packet(frame.data, &[])) {
            self.0.entry(packet.destination.port()).or_default()[tap] += 1;
        }
    }
}

impl Departures {
    fn of(&self, port: u16) -> [u64; 3] {
        self.0.get(&port).copied().unwrap_or_default()
    }
}

/// How the next policy differs from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// In what sequences match, and in sequences.
    Matches,
    /// In the choices as well: their marks and tables come and go, though the same tunnels are chosen.
    Choices,
}

fn plan() -> Plan {
    Plan {
        colors: COLORS.to_vec(),
        families: Families::Ipv4,
        ..Plan::default()
    }
}

fn host_address(site: u8) -> IpAddr {
    plan().address(site, 0, Ip::V4, 2)
}

fn sequence(id: u16, ports: Vec<RangeInclusive<u16>>, color: Option<usize>) -> Sequence {
    Sequence {
        id,
        matching: Match {
            destination_ports: ports,
            ..Match::default()
        },
        action: color.map_or(Action::Drop, |color| over(vec![COLORS[color].into()], true)),
        counter: None,
    }
}

fn over(colors: Vec<String>, restrict: bool) -> Action {
    Action::Accept {
        path: Some(DataPath::Local(LocalTlocs { colors, restrict })),
        inspect: false,
        dscp: None,
    }
}

fn policy(sequences: Vec<Sequence>) -> EdgePolicy {
    EdgePolicy {
        site_id: 100,
        app_route: Vec::new(),
        data: vec![DataPolicy {
            service_vpn: VPN,
            direction: PolicyDirection::FromService,
            default_action: DefaultAction::Accept,
            sequences: sequences.into(),
        }],
    }
}

/// The policy of a turn: from even to odd ones only elements of sets change, of several at once, from odd to even ones
/// rules, too.
fn policy_of(turn: u64, change: Change) -> EdgePolicy {
    let single = |ports: &[u16]| ports.iter().map(|port| *port..=*port).collect();
    // Ports 1 to 4 carry nothing; a sequence without ports would match everything.
    let [biz, default, drop] = if turn.is_multiple_of(2) {
        [
            single(&[1, STEADY, MOVING, BANNED, STREAM]),
            single(&[2]),
            single(&[3]),
        ]
    } else {
        [
            single(&[1, STEADY]),
            single(&[2, MOVING, STREAM]),
            single(&[3, BANNED]),
        ]
    };
    let mut sequences = vec![
        sequence(1, biz, Some(BIZ)),
        sequence(2, default, Some(DEFAULT)),
        sequence(3, drop, None),
    ];
    if turn % 4 >= 2 {
        sequences.push(sequence(4, single(&[4]), None));
    }
    let flapping = Sequence {
        action: over(vec![COLORS[LTE].into()], false),
        ..sequence(5, single(&[FLAPPING]), None)
    };
    sequences.push(flapping);
    if change == Change::Choices {
        for sequence in &mut sequences {
            if let Action::Accept {
                path: Some(DataPath::Local(tlocs)),
                ..
            } = &mut sequence.action
            {
                // A color that no edge has.
                tlocs.colors.push(format!("none-{}", turn % 5));
            }
        }
    }
    policy(sequences)
}

/// What the traffic threads share with the test.
#[derive(Default)]
struct Progress {
    rounds: AtomicU64,
    stop: AtomicBool,
}

/// Ends the traffic, also when the test fails.
struct StopOnDrop(Arc<Progress>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

/// Sends one datagram of each class after the other until told to stop; all but those of `BANNED` have to arrive.
fn start_datagrams(lab: &World, progress: &Arc<Progress>) -> JoinHandle<()> {
    let from = lab.bind(0, 0, Ip::V4, 40_000);
    let arriving = [STEADY, MOVING, UNMATCHED, FLAPPING].map(|port| lab.bind(1, 0, Ip::V4, port));
    // A port that nobody listens on would be answered by ICMP messages.
    let banned = lab.bind(1, 0, Ip::V4, BANNED);
    let progress = Arc::clone(progress);
    std::thread::spawn(move || {
        while !progress.stop.load(Ordering::Relaxed) {
            let number = progress.rounds.load(Ordering::Relaxed).to_be_bytes();
            from.send_to(&number, (host_address(1), BANNED)).unwrap();
            for socket in &arriving {
                from.send_to(&number, socket.local_addr().unwrap()).unwrap();
                let mut got = [0; 8];
                socket
                    .recv(&mut got)
                    .expect("a datagram that every policy lets through arrives");
                assert_eq!(got, number, "no datagram is lost or late");
            }
            progress.rounds.fetch_add(1, Ordering::Relaxed);
        }
        drop(banned);
    })
}

/// One connection that asks and answers until told to stop; how often it did.
fn start_stream(lab: &World, progress: &Arc<Progress>) -> JoinHandle<u64> {
    let address = SocketAddr::from((host_address(1), STREAM));
    let listener = lab.hosts[1][0]
        .netns()
        .run(|| TcpListener::bind(address))
        .unwrap()
        .unwrap();
    let mut client = lab.hosts[0][0]
        .netns()
        .run(|| TcpStream::connect_timeout(&address, PATIENCE))
        .unwrap()
        .unwrap();
    let (mut server, _) = listener.accept().unwrap();
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
    }
    let progress = Arc::clone(progress);
    std::thread::spawn(move || {
        let mut exchanges = 0_u64;
        while !progress.stop.load(Ordering::Relaxed) {
            let mut text = [0; 64];
            client.write_all(&[7; 64]).unwrap();
            server.read_exact(&mut text).unwrap();
            server.write_all(&text).unwrap();
            client.read_exact(&mut text).unwrap();
            exchanges += 1;
        }
        exchanges
    })
}

pub async fn a_thousand_replacements_are_atomic() {
    let (departures, rounds) = replace(Change::Matches, false).await;
    assert_eq!(departures.of(FLAPPING), [0, 0, rounds]);
}

pub async fn a_thousand_choices_come_and_go_while_a_tunnel_flaps() {
    let (departures, rounds) = replace(Change::Choices, true).await;
    let [biz, default, lte] = departures.of(FLAPPING);
    assert!(
        biz == 0 && default > 0 && lte > 0 && default + lte == rounds,
        "{biz} {default} {lte}"
    );
}

/// Takes the tunnel over lte down and up until told to stop.
fn start_flapping(lab: &World, progress: &Arc<Progress>) -> tokio::task::JoinHandle<()> {
    let (edge, progress) = (Arc::clone(&lab.edges[0]), Arc::clone(progress));
    tokio::spawn(async move {
        let mut state = State::Down;
        while !progress.stop.load(Ordering::Relaxed) {
            edge.turn((LTE, 0), state).await.1.unwrap();
            state = if state == State::Down {
                State::Up
            } else {
                State::Down
            };
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
}

/// Replaces policies under traffic, and sees to all but [`FLAPPING`]: what departed, in how many rounds.
async fn replace(change: Change, flaps: bool) -> (Departures, u64) {
    let lab = World::build(plan()).await;
    lab.edges[0].apply(&policy_of(0, change)).await.unwrap();
    let taps = ["tun0v0", "tun1v0", "tun2v0"].map(|interface| Tap {
        host: lab.edges[0].host(),
        interface,
        neighbour: Mac::local(9, 9),
    });
    let size = RingSize::of_bytes(16 << 20);
    let capture = Capture::start(&taps, size, Departures::default()).unwrap();
    assert_eq!(capture.sweep().unwrap(), [true; 3]);
    let progress = Arc::new(Progress::default());
    let stop = StopOnDrop(Arc::clone(&progress));
    let datagrams = start_datagrams(&lab, &progress);
    let stream = start_stream(&lab, &progress);
    let flapping = flaps.then(|| start_flapping(&lab, &progress));
    for turn in 1..=REPLACEMENTS {
        lab.edges[0].apply(&policy_of(turn, change)).await.unwrap();
        // Each policy meets traffic, or it would prove nothing.
        let met = progress.rounds.load(Ordering::Relaxed) + 1;
        let deadline = Instant::now() + PATIENCE;
        while progress.rounds.load(Ordering::Relaxed) < met {
            assert!(Instant::now() < deadline, "traffic stopped at replacement {turn}");
            tokio::task::yield_now().await;
        }
    }
    drop(stop);
    if let Some(flapping) = flapping {
        flapping.await.unwrap();
    }
    datagrams.join().unwrap();
    let exchanges = stream.join().unwrap();
    assert_eq!(capture.sweep().unwrap(), [true; 3]);
    let (departures, counts) = capture.finish().unwrap();
    assert!(counts.iter().all(|count| count.dropped == 0), "{counts:?}");
    let rounds = progress.rounds.load(Ordering::Relaxed);
    assert!(rounds >= REPLACEMENTS && exchanges > 0);
    assert_eq!(departures.of(STEADY), [rounds, 0, 0]);
    assert_eq!(departures.of(UNMATCHED), [0, rounds, 0]);
    let [biz, default, lte] = departures.of(MOVING);
    assert!(
        biz > 0 && default > 0 && lte == 0 && biz + default == rounds,
        "{biz} {default} {lte}"
    );
    let [biz, default, lte] = departures.of(BANNED);
    assert!(
        biz > 0 && biz < rounds && default + lte == 0,
        "{biz} {default} {lte}"
    );
    let [biz, default, lte] = departures.of(STREAM);
    assert!(biz > 0 && default > 0 && lte == 0, "{biz} {default} {lte}");
    (departures, rounds)
}

/// Ranges around one port, from a generator with a fixed seed; each next policy is changed into from the last.
pub async fn changed_ranges_match_as_fresh_ones_do() {
    let lab = World::build(plan()).await;
    let mut state = 1_u32;
    let mut random = |below: u32| {
        // The constants of "Numerical Recipes".
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % below
    };
    let edges_of_the_space = [0..=0, 65_534..=65_535];
    for turn in 0..200 {
        let mut ranges: Vec<RangeInclusive<u16>> = edges_of_the_space[..=turn % 2].to_vec();
        for _ in 0..=random(4) {
            let first = 8074 + u16::try_from(random(10)).unwrap();
            ranges.push(first..=first + u16::try_from(random(4)).unwrap());
        }
        let matches = ranges.iter().any(|range| range.contains(&8080));
        let ports = ranges.clone();
        lab.edges[0]
            .apply(&policy(vec![sequence(1, ports, Some(BIZ))]))
            .await
            .unwrap();
        let flow = Flow {
            packets: 1,
            ..Flow::new(0, 1, Ip::V4)
        };
        let sent = lab.arrive(&flow).await;
        let tunnel = if matches { BIZ } else { DEFAULT };
        assert_eq!(sent[tunnel], 1, "turn {turn}: {ranges:?}");
    }
}
