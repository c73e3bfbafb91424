//! What tunnels show and refuse.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use netsim::capture::{Capture, Frame, RingSize, Sink, Tap};
use netsim::encap::Means;
use netsim::encap::keys::RunSecret;

use super::Case;
use super::carry::{bind, passes};
use super::lab::{Lab, inside, overlay};

/// How long nothing is waited for.
const SILENCE: Duration = Duration::from_millis(300);

/// Keeps every frame.
#[derive(Default, Clone)]
pub struct Kept(Arc<Mutex<Vec<Vec<u8>>>>);

impl Sink for Kept {
    fn frame(&mut self, _: usize, frame: Frame<'_>) {
        self.0.lock().unwrap().push(frame.data.to_vec());
    }
}

/// The frames on the uplink of edge 0 while `traffic` runs.
pub async fn watch(lab: &Lab, traffic: impl AsyncFnOnce()) -> Vec<Vec<u8>> {
    let tap = Tap {
        host: &lab.edges[0],
        interface: "wan0",
        neighbour: Lab::gateway(0),
    };
    let kept = Kept::default();
    let capture = Capture::start(&[tap], RingSize::default(), kept.clone()).unwrap();
    assert_eq!(capture.sweep().unwrap(), [true]);
    traffic().await;
    assert_eq!(capture.sweep().unwrap(), [true]);
    let (_, counts) = capture.finish().unwrap();
    assert_eq!(counts[0].dropped, 0);
    let frames = kept.0.lock().unwrap();
    frames.clone()
}

pub async fn hides_what_it_should(case: Case) {
    let mut lab = Lab::build(2, case.underlay).await;
    lab.tunnel(case).await;
    assert!(passes(&lab, 0, 1, Duration::from_secs(10)));
    let mut marker = [0; 32];
    marker[..16].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    marker[16..].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    let sender = bind(&lab.edges[0], overlay(0), 0);
    let receiver = bind(&lab.edges[1], overlay(1), 0);
    let frames = watch(&lab, async || {
        for _ in 0..20 {
            sender.send_to(&marker, receiver.local_addr().unwrap()).unwrap();
            let mut buffer = [0; 64];
            assert_eq!(receiver.recv(&mut buffer).unwrap(), marker.len());
            assert_eq!(buffer[..marker.len()], marker);
        }
    })
    .await;
    let shows = |frame: &&Vec<u8>| frame.windows(marker.len()).any(|window| window == marker);
    let shown = frames.iter().filter(shows).count();
    assert!(frames.len() >= 20, "only {} frames on the underlay", frames.len());
    // The same check finds all of them where nothing is encrypted, so it can be trusted where it finds none.
    let expected = if case.encapsulation.is_encrypted() { 0 } else { 20 };
    assert_eq!(shown, expected, "of {} frames", frames.len());
}

pub async fn a_wrong_key_passes_nothing(case: Case) {
    let mut lab = Lab::build(2, case.underlay).await;
    let mtu = case.encapsulation.tunnel_mtu(1500, case.underlay);
    for edge in 0..2 {
        let mut spec = lab.wireguard_spec(edge);
        if edge == 0 {
            spec.peers[0].public_key = RunSecret::of_seed(99).wireguard("another").public();
        }
        lab.add_wireguard(edge, case.means, &spec).await;
        lab.add_vxlan(edge, mtu, |_, edge| inside(edge)).await;
    }
    for (from, to) in [(0, 1), (1, 0)] {
        assert!(!passes(&lab, from, to, SILENCE), "from {from} to {to}");
    }
    if case.means == Means::Userspace {
        let refused: u64 = lab.wireguards.iter().map(|w| w.count().unwrap().refused).sum();
        assert!(refused > 0, "no handshake was refused");
    }
}

pub async fn another_peers_address_is_refused(case: Case) {
    let mut lab = Lab::build(3, case.underlay).await;
    let mtu = case.encapsulation.tunnel_mtu(1500, case.underlay);
    for edge in 0..3 {
        let mut spec = lab.wireguard_spec(edge);
        // Edge 1 has its own key, and says that it is edge 2.
        if edge == 1 {
            spec.peers.retain(|peer| peer.address == inside(0));
            spec.address = inside(2);
        }
        lab.add_wireguard(edge, case.means, &spec).await;
        let outer = |_: &Lab, other| inside(if (edge, other) == (1, 1) { 2 } else { other });
        if edge != 1 {
            lab.add_vxlan(edge, mtu, outer).await;
        }
    }
    assert!(
        passes(&lab, 2, 0, Duration::from_secs(10)),
        "the peer that has the address"
    );
    let hub = bind(&lab.edges[0], inside(0), 7100);
    hub.set_read_timeout(Some(SILENCE)).unwrap();
    let liar = bind(&lab.edges[1], inside(2), 7100);
    for _ in 0..3 {
        liar.send_to(b"I am edge 2", (inside(0), 7100)).unwrap();
    }
    assert!(
        hub.recv(&mut [0; 64]).is_err(),
        "a packet with another peer's address came through"
    );
    // The same packet from the peer itself does.
    let honest = bind(&lab.edges[2], inside(2), 7100);
    honest.send_to(b"I am edge 2", (inside(0), 7100)).unwrap();
    hub.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert_eq!(hub.recv(&mut [0; 64]).unwrap(), 11);
    if case.means == Means::Userspace {
        let deadline = Instant::now() + Duration::from_secs(5);
        while lab.wireguards[0].count().unwrap().refused < 3 {
            assert!(Instant::now() < deadline, "{:?}", lab.wireguards[0].count());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

pub async fn ipsec_drops_cleartext(case: Case) {
    let lab = Lab::build(2, case.underlay).await;
    let mtu = case.encapsulation.tunnel_mtu(1500, case.underlay);
    lab.protect(1);
    for edge in 0..2 {
        lab.add_vxlan(edge, mtu, |lab, edge| lab.uplink(edge)).await;
    }
    assert!(
        !passes(&lab, 0, 1, SILENCE),
        "edge 0 does not encrypt, and edge 1 took it"
    );
    lab.protect(0);
    assert!(passes(&lab, 0, 1, Duration::from_secs(10)));
}
