//! What the taps see.

use netsim::capture::decode::{self, Segment};
use netsim::capture::{Capture, Frame, RingSize, Sink, Tap, Way};
use netsim::fabric::Mac;

use super::two_sites::TwoSites;

#[derive(Default)]
struct Probes {
    plain_out: u32,
    encapsulated_out: u32,
    in_order: bool,
    last_ns: u64,
}

impl Sink for Probes {
    fn frame(&mut self, tap: usize, frame: Frame<'_>) {
        let packet = decode::packet(frame.data, &[4789, 4790]).expect("only UDP is on these wires");
        assert_eq!(packet.segment, Segment::Udp(b"probe"));
        assert_eq!(frame.way, Way::Out);
        match tap {
            0 => self.plain_out += u32::from(packet.tunnel.is_none()),
            _ => self.encapsulated_out += u32::from(packet.tunnel.is_some_and(|tunnel| tunnel.network == 10)),
        }
        self.in_order = tap != 0 || frame.at_ns >= self.last_ns;
        self.last_ns = if tap == 0 { frame.at_ns } else { self.last_ns };
    }
}

/// The default tunnel of site 0 and its uplink.
fn taps(lab: &TwoSites) -> [Tap<'_>; 2] {
    ["tun1v0", "wan1"].map(|interface| Tap {
        host: lab.edges[0].host(),
        interface,
        neighbour: Mac::local(9, 9),
    })
}

pub async fn every_packet_is_captured() {
    let lab = TwoSites::build().await;
    let taps = taps(&lab);
    let capture = Capture::start(&taps, RingSize::default(), Probes::default()).unwrap();
    assert_eq!(capture.sweep().unwrap(), [true, true]);
    let before = lab.sent_by_tunnel().await[1];
    assert_eq!(lab.send(500), 500);
    assert_eq!(capture.sweep().unwrap(), [true, true]);
    let (probes, counts) = capture.finish().unwrap();
    assert_eq!((probes.plain_out, probes.encapsulated_out), (500, 500));
    assert!(probes.in_order);
    for count in counts {
        assert_eq!((count.captured, count.dropped), (500, 0));
    }
    assert_eq!(lab.sent_by_tunnel().await[1] - before, 500);
}

pub async fn a_ring_that_overflows_says_so() {
    let lab = TwoSites::build().await;
    let taps = taps(&lab);
    let capture = Capture::start(&taps, RingSize::of_bytes(4096), Probes::default()).unwrap();
    capture.sweep().unwrap();
    assert_eq!(lab.send(500), 500);
    let (_, counts) = capture.finish().unwrap();
    for count in counts {
        assert!(count.dropped > 0, "{count:?}");
        assert!(count.captured < 500, "{count:?}");
    }
}
