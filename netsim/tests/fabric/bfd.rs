//! What sessions notice, and what their edges do about it.

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use netsim::bfd::{ECHO_PORT, News, Packet, Prober, SessionId, State, Timing, Transition, TunnelChange};
use netsim::capture::decode::{self, Segment};
use netsim::capture::{Capture, Frame, RingSize, Sink, Tap};
use netsim::fabric::Mac;
use netsim::fabric::nft::{Chain, Expression, Family, Socket, Table};
use netsim::policy::{DefaultAction, EdgePolicy, PolicyDirection};

use super::steering::{policy, sequence};
use super::two_sites::{BIZ, DEFAULT, TwoSites};

const TIMING: Timing = Timing {
    hello: Duration::from_millis(50),
    multiplier: 3,
};
const DEADLINE: Duration = Duration::from_secs(5);

/// Two sites with sessions that are all up.
struct Probed {
    lab: TwoSites,
    prober: Prober,
    changes: Receiver<TunnelChange>,
}

impl Probed {
    async fn build() -> Self {
        let lab = TwoSites::build().await;
        let (sender, changes) = channel();
        let observe = move |change| sender.send(change).unwrap();
        let prober = Prober::start(&lab.edges, TIMING, observe).unwrap();
        tokio::time::timeout(DEADLINE, prober.settled()).await.unwrap();
        let probed = Self { lab, prober, changes };
        for _ in 0..4 {
            assert_eq!(probed.change().1.from, State::Pending);
        }
        assert_eq!(probed.states(), [State::Up; 4]);
        probed
    }

    /// The next change of a session, which its edge has acted on.
    fn change(&self) -> (SessionId, Transition) {
        let TunnelChange { id, news, applied } = self.changes.recv_timeout(DEADLINE).unwrap();
        applied.unwrap();
        match news {
            News::Session(transition) => (id, transition),
            News::Class { .. } => panic!("no class is in force: {news:?}"),
        }
    }

    /// Waits until the sessions over a transport, one at each edge, have turned to `state`.
    fn both_turn(&self, transport: usize, state: State) {
        let mut edges: Vec<usize> = [(); 2]
            .map(|()| {
                let (id, transition) = self.change();
                assert_eq!((id.tunnel, transition.to), (transport, state));
                id.edge
            })
            .to_vec();
        edges.sort_unstable();
        assert_eq!(edges, [0, 1]);
    }

    fn states(&self) -> Vec<State> {
        let sessions = self.prober.sessions();
        sessions.iter().map(|view| view.session.state()).collect()
    }

    /// Sends `count` datagrams from site 0 to site 1: how many arrived, and how many took each tunnel.
    async fn send(&self, count: u32) -> (u32, [u64; 2]) {
        // No hello is counted among them.
        let _pause = self.prober.pause().await;
        let before = self.lab.sent_by_tunnel().await;
        let arrived = self.lab.send(count);
        let after = self.lab.sent_by_tunnel().await;
        (
            arrived,
            [BIZ, DEFAULT].map(|tunnel| after[tunnel] - before[tunnel]),
        )
    }

    /// Discards everything that crosses a transport; the edges' own links stay up.
    fn black_hole(&self, transport: usize) {
        self.in_transport(transport, vec![vec![Expression::Drop]]);
    }

    fn heal(&self, transport: usize) {
        self.in_transport(transport, Vec::new());
    }

    fn in_transport(&self, transport: usize, rules: Vec<Vec<Expression>>) {
        let chain = Chain {
            name: "fault".to_owned(),
            prerouting: Some(0),
            rules,
        };
        let table = Table {
            family: Family::Ipv4,
            name: "fault",
            sets: Vec::new(),
            chains: vec![chain],
        };
        let mut socket = Socket::open(self.lab.transports[transport].netns()).unwrap();
        socket.replace_table(&table).unwrap();
    }
}

pub async fn sessions_come_up_and_measure_their_tunnels() {
    let probed = Probed::build().await;
    let sessions = loop {
        let sessions = probed.prober.sessions();
        if sessions.iter().all(|view| view.session.statistics().total >= 5) {
            break sessions;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let ids: Vec<_> = sessions.iter().map(|view| view.id).collect();
    let id = |edge, tunnel| SessionId {
        edge,
        tunnel,
        remote: 0,
    };
    assert_eq!(ids, [id(0, 0), id(0, 1), id(1, 0), id(1, 1)]);
    for view in sessions {
        let statistics = view.session.statistics();
        assert_eq!((statistics.lost, view.session.transitions()), (0, 0), "{view:?}");
        let latency = statistics.latency_p50.unwrap();
        assert!(latency > Duration::ZERO && latency < TIMING.hello, "{latency:?}");
        assert!(statistics.jitter.unwrap() < TIMING.hello);
    }
}

pub async fn a_black_hole_is_detected_in_time() {
    const ROUNDS: u32 = 7;
    let probed = Probed::build().await;
    let mut detections = Vec::new();
    for round in 0..ROUNDS {
        // Failures at all phases of the hellos, which the last round ended with.
        tokio::time::sleep(TIMING.hello * round / ROUNDS).await;
        let failed = Instant::now();
        probed.black_hole(BIZ);
        // Both edges notice: the remote edge's echoes are lost as well.
        probed.both_turn(BIZ, State::Down);
        detections.push(failed.elapsed());
        probed.heal(BIZ);
        probed.both_turn(BIZ, State::Up);
    }
    detections.sort_unstable();
    eprintln!("detections: {detections:?}");
    // The machine may stand still in some rounds; in most it does not.
    assert!(
        detections[detections.len() / 2] <= TIMING.detection_max(),
        "{detections:?}"
    );
    assert!(detections[0] >= TIMING.hello * 2, "{detections:?}");
    let biz = probed.prober.sessions().swap_remove(BIZ).session;
    assert_eq!(biz.transitions(), u64::from(2 * ROUNDS));
}

pub async fn strict_traffic_is_dropped_while_its_session_is_down() {
    let probed = Probed::build().await;
    let strict = policy(
        vec![sequence(1, 8080, "biz-internet", true)],
        DefaultAction::Accept,
    );
    probed.lab.edges[0].apply(&strict).await.unwrap();
    assert_eq!(probed.send(5).await, (5, [5, 0]));
    probed.black_hole(BIZ);
    probed.both_turn(BIZ, State::Down);
    assert_eq!(probed.send(5).await, (0, [0, 0]));
    probed.heal(BIZ);
    probed.both_turn(BIZ, State::Up);
    assert_eq!(probed.send(5).await, (5, [5, 0]));
}

pub async fn preferred_traffic_falls_back_while_its_session_is_down() {
    let probed = Probed::build().await;
    let preferred = policy(
        vec![sequence(1, 8080, "biz-internet", false)],
        DefaultAction::Accept,
    );
    probed.lab.edges[0].apply(&preferred).await.unwrap();
    assert_eq!(probed.send(5).await, (5, [5, 0]));
    probed.black_hole(BIZ);
    probed.both_turn(BIZ, State::Down);
    assert_eq!(probed.send(5).await, (5, [0, 5]));
    probed.heal(BIZ);
    probed.both_turn(BIZ, State::Up);
    assert_eq!(probed.send(5).await, (5, [5, 0]));
}

pub async fn unmatched_traffic_has_no_other_way() {
    let probed = Probed::build().await;
    probed.black_hole(DEFAULT);
    probed.both_turn(DEFAULT, State::Down);
    assert_eq!(probed.send(5).await, (0, [0, 0]));
    probed.heal(DEFAULT);
    probed.both_turn(DEFAULT, State::Up);
    assert_eq!(probed.send(5).await, (5, [0, 5]));
}

pub async fn no_policy_touches_hellos() {
    let probed = Probed::build().await;
    for edge in &probed.lab.edges {
        let mut everything = policy(Vec::new(), DefaultAction::Drop);
        everything.data[0].direction = PolicyDirection::All;
        let everything = EdgePolicy {
            site_id: edge.site_id(),
            ..everything
        };
        edge.apply(&everything).await.unwrap();
    }
    assert_eq!(probed.lab.send(1), 0);
    tokio::time::sleep(TIMING.detection_max() * 2).await;
    assert_eq!(probed.states(), [State::Up; 4]);
    assert!(probed.changes.try_recv().is_err());
}

#[derive(Default)]
struct Hellos(u32);

impl Sink for Hellos {
    fn frame(&mut self, _: usize, frame: Frame<'_>) {
        let packet = decode::packet(frame.data, &[]).unwrap();
        assert_eq!(packet.source.port(), ECHO_PORT);
        assert_eq!(packet.destination.port(), ECHO_PORT);
        // The TOS octet, RFC 791 section 3.1, behind 14 octets of Ethernet: DSCP 48.
        assert_eq!(frame.data[15] >> 2, 48);
        let Segment::Udp(payload) = packet.segment else {
            panic!("{packet:?}")
        };
        assert!(Packet::parse(payload).is_some());
        self.0 += 1;
    }
}

pub async fn a_paused_prober_is_silent() {
    let probed = Probed::build().await;
    let pause = probed.prober.pause().await;
    let tap = Tap {
        host: probed.lab.edges[0].host(),
        interface: "tun0v0",
        neighbour: Mac::local(9, 9),
    };
    let capture = Capture::start(&[tap], RingSize::default(), Hellos::default()).unwrap();
    capture.sweep().unwrap();
    probed.black_hole(BIZ);
    tokio::time::sleep(TIMING.detection_max() * 2).await;
    probed.heal(BIZ);
    capture.sweep().unwrap();
    assert_eq!(capture.counts().unwrap()[0].captured, 0);
    assert_eq!(probed.states(), [State::Up; 4]);

    drop(pause);
    let deadline = Instant::now() + DEADLINE;
    while capture.counts().unwrap()[0].captured < 8 {
        assert!(Instant::now() < deadline, "no hellos after the pause");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let _again = probed.prober.pause().await;
    capture.sweep().unwrap();
    let (hellos, counts) = capture.finish().unwrap();
    assert_eq!(u64::from(hellos.0), counts[0].captured);
    assert_eq!(hellos.0 % 4, 0, "hellos and echoes, both ways");
    assert!(probed.changes.try_recv().is_err());
}
