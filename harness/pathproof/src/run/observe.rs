//! From taps and ledgers to evidence.
//!
//! Owns the capture of a run: what each interface had counted before it, and the proof that the taps saw all of
//! it. Invariant: the frames that a tap saw are held against the kernel's own counters of the same interface
//! over the same time. Hellos of tunnel sessions cross the same interfaces without end: whoever arms or finishes
//! an observer pauses them first (`Prober::pause`), so that nothing passes between the reading of a counter and of
//! its tap that does not come to an end by itself. In between they are captured and counted like every packet.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use netsim::capture::{Capture, CaptureError, RingSize, Tap, TapCount};
use netsim::fabric::{Edge, HostError};
use netsim::netns::NetnsError;
use nix::time::{ClockId, clock_gettime};
use scenario::assertion::PointKind;
use scenario::plan::Plan;
use verdict::evidence::{CapturePoint, Direction, Evidence, Hop, ProbeJourney, Way};

use super::play::Played;
use super::watch::{self, Point};
use crate::probe::ledger::{Entry, Ledger};
use crate::probe::sightings::{Sighting, Sightings, TunnelPorts};
use crate::record::folder::RunFolder;
use crate::record::pcapng::PcapngFiles;

/// How long the counts of taps and interfaces may take to agree: a delayed acknowledgement (40 ms) may pass
/// between reading the one and the other.
const AGREEMENT_DEADLINE: Duration = Duration::from_millis(500);

/// Nothing that passed this long ago is still on its way from the kernel to the count of its tap.
const HANDED_OVER: Duration = Duration::from_millis(30);

/// Between two looks at the counts; the rings hand over what they have meanwhile.
const AGREEMENT_PAUSE: Duration = Duration::from_millis(5);

/// Why a run could not be observed.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The capture failed.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// An interface counter could not be read.
    #[error(transparent)]
    Counter(#[from] HostError),
    /// A pod could not be entered.
    #[error(transparent)]
    Pod(#[from] NetnsError),
    /// A pcapng file could not be written.
    #[error("write the capture files")]
    Files(#[source] io::Error),
}

/// The taps of a run, open and armed.
pub struct Observer {
    points: Vec<Point>,
    edges: Vec<Arc<Edge>>,
    capture: Capture<Sightings>,
    armed: Vec<bool>,
    counted_before: Vec<u64>,
    clock_offset_ns: i64,
}

impl Observer {
    /// Opens a tap on every capture point and sends a sentinel through each. Sessions have to be paused.
    ///
    /// # Errors
    /// [`ObserveError`]. A tap whose sentinel does not come back is no error: the verdict will say so.
    pub async fn arm(
        plan: &Plan,
        edges: &[Arc<Edge>],
        folder: &RunFolder,
        ring: RingSize,
    ) -> Result<Self, ObserveError> {
        let points = watch::points(plan, edges);
        let titles: Vec<String> = points.iter().map(|point| point.title(plan)).collect();
        let files = PcapngFiles::create(&folder.join("capture"), &titles).map_err(ObserveError::Files)?;
        let sink = Sightings::new(plan.run_id, ports(plan), points.len(), files);
        let taps: Vec<Tap<'_>> = points.iter().map(|point| point.tap(edges)).collect();
        // Opening and sweeping wait for the kernel on other threads; the runtime goes on meanwhile.
        let (capture, armed) = tokio::task::block_in_place(|| {
            let capture = Capture::start(&taps, ring, sink)?;
            let armed = capture.sweep()?;
            Ok::<_, CaptureError>((capture, armed))
        })?;
        drop(taps);
        let counted_before = counted_before(&capture, &points, edges).await?;
        let edges = edges.to_vec();
        Ok(Self {
            points,
            edges,
            capture,
            armed,
            counted_before,
            clock_offset_ns: clock_offset_ns(),
        })
    }

    /// How many points there are and how many of them are armed.
    #[must_use]
    pub fn armed(&self) -> (usize, usize) {
        (
            self.armed.iter().filter(|armed| **armed).count(),
            self.armed.len(),
        )
    }

    /// Ends the capture and puts the evidence together. Sessions have to be paused.
    ///
    /// # Errors
    /// [`ObserveError`].
    pub async fn finish(
        self,
        plan: &Plan,
        played: &Played,
        ledger: &Ledger,
    ) -> Result<Evidence, ObserveError> {
        let clock_step_ns = clock_offset_ns() - self.clock_offset_ns;
        let deadline = Instant::now() + AGREEMENT_DEADLINE;
        tokio::task::block_in_place(|| self.capture.sweep())?;
        let (counts, counted) = loop {
            // Without further sentinels: on a slow transport the last ones are still under way.
            let counts = tokio::task::block_in_place(|| self.capture.counts())?;
            let after = interface_counts(&self.points, &self.edges).await?;
            let counted: Vec<u64> = after
                .iter()
                .zip(&self.counted_before)
                .map(|(now, then)| now.saturating_sub(*then))
                .collect();
            let agree = counts
                .iter()
                .zip(&counted)
                .all(|(tap, interface)| seen(tap) == *interface);
            // A tap that lost frames will never agree.
            if agree || counts.iter().any(|count| count.dropped > 0) || Instant::now() > deadline {
                break (counts, counted);
            }
            tokio::time::sleep(AGREEMENT_PAUSE).await;
        };
        let (mut sightings, _) = tokio::task::block_in_place(|| self.capture.finish())?;
        sightings.close_files().map_err(ObserveError::Files)?;
        let points: Vec<CapturePoint> = self
            .points
            .iter()
            .zip(self.armed.iter().zip(counts.iter().zip(counted)))
            .zip(std::mem::take(&mut sightings.hidden))
            .map(
                |((point, (armed, (tap, interface_packets))), hidden)| CapturePoint {
                    armed: *armed,
                    kernel_drops: tap.dropped,
                    captured_packets: seen(tap),
                    interface_packets,
                    hidden,
                    ..point.evidence(plan)
                },
            )
            .collect();
        let (sent, received) = ledger.take();
        let (mut journeys, unsent) = journeys(&sent, &received, &sightings.seen);
        let kinds: Vec<PointKind> = points.iter().map(|point| point.kind).collect();
        for journey in &mut journeys {
            journey.hops.sort_by_key(|hop| (hop.at_ns, passage(&kinds, hop)));
        }
        let last_sent_ns = sent.iter().map(|entry| entry.at_ns).max().unwrap_or(0);
        Ok(Evidence {
            points,
            streams: played.streams.clone(),
            events: played.events.clone(),
            phases: played.phases.clone(),
            started_ns: played.started_ns,
            stopped_ns: played.stopped_ns.max(last_sent_ns),
            journeys,
            strays: sightings.strays + unsent,
            receiver_drops: played.receiver_drops()?,
            clock_step_ns,
        })
    }
}

fn ports(plan: &Plan) -> TunnelPorts {
    let transports = plan.transports.iter();
    TunnelPorts {
        vxlan: transports.clone().map(|transport| transport.vxlan_port).collect(),
        wireguard: transports
            .filter_map(|transport| transport.wireguard_port)
            .collect(),
    }
}

/// All frames of a tap. Sentinels are frames that the interface counts, too.
fn seen(tap: &TapCount) -> u64 {
    tap.captured + tap.sentinels
}

/// What each interface had counted before its tap was there, from a moment in which both have counted the same.
///
/// It cannot be read before the taps are open: an answer to a hello may come from a slow transport in between.
async fn counted_before(
    capture: &Capture<Sightings>,
    points: &[Point],
    edges: &[Arc<Edge>],
) -> Result<Vec<u64>, ObserveError> {
    let deadline = Instant::now() + AGREEMENT_DEADLINE;
    let mut last = None;
    loop {
        let interfaces = interface_counts(points, edges).await?;
        let taps = tokio::task::block_in_place(|| capture.counts())?;
        let seen: Vec<u64> = taps.iter().map(seen).collect();
        let now = (interfaces, seen);
        if last.as_ref() == Some(&now) || Instant::now() > deadline {
            let (interfaces, seen) = now;
            let before = interfaces.iter().zip(seen);
            return Ok(before
                .map(|(interface, seen)| interface.saturating_sub(seen))
                .collect());
        }
        last = Some(now);
        tokio::time::sleep(HANDED_OVER).await;
    }
}

async fn interface_counts(points: &[Point], edges: &[Arc<Edge>]) -> Result<Vec<u64>, HostError> {
    let mut counts = Vec::with_capacity(points.len());
    for point in points {
        let count = edges[point.edge].packet_count(&point.interface).await?;
        // A tap on a tunnel sees also what the tunnel then gives up for want of a route, when a transport is cut.
        // Elsewhere what is not sent has not passed a tap: a link without carrier drops it before.
        let given_up = match point.kind {
            PointKind::Tunnel => count.unsent,
            PointKind::Underlay | PointKind::Node | PointKind::Inspection => 0,
        };
        counts.push(count.received + count.sent + given_up);
    }
    Ok(counts)
}

/// CLOCK_REALTIME less CLOCK_MONOTONIC: constant unless somebody sets the clock.
fn clock_offset_ns() -> i64 {
    let read = |clock| clock_gettime(clock).map_or(0, |time| time.tv_sec() * 1_000_000_000 + time.tv_nsec());
    read(ClockId::CLOCK_REALTIME) - read(ClockId::CLOCK_MONOTONIC)
}

type Key = (u16, Direction, u64);

/// One journey for every probe sent, its hops in the order of reading, and how many arrivals and sightings belong to none.
fn journeys(sent: &[Entry], received: &[Entry], seen: &[Sighting]) -> (Vec<ProbeJourney>, u64) {
    let mut journeys: BTreeMap<Key, ProbeJourney> = sent
        .iter()
        .map(|entry| {
            let journey = ProbeJourney {
                stream: entry.stream,
                direction: entry.direction,
                sequence: entry.sequence,
                sent_ns: entry.at_ns,
                delivered_ns: None,
                deliveries: 0,
                hops: Vec::new(),
            };
            ((entry.stream, entry.direction, entry.sequence), journey)
        })
        .collect();
    let mut strays = 0;
    for entry in received {
        match journeys.get_mut(&(entry.stream, entry.direction, entry.sequence)) {
            Some(journey) => {
                journey.deliveries += 1;
                journey.delivered_ns =
                    Some(journey.delivered_ns.map_or(entry.at_ns, |at| at.min(entry.at_ns)));
            }
            None => strays += 1,
        }
    }
    for sighting in seen {
        match journeys.get_mut(&(sighting.stream, sighting.direction, sighting.sequence)) {
            Some(journey) => journey.hops.push(sighting.hop),
            None => strays += 1,
        }
    }
    (journeys.into_values().collect(), strays)
}

/// The order in which a packet passes the points of an edge. The kernel's receive timestamp stays with a packet that is
/// decapsulated (`skb->tstamp`), so that its sightings at the uplink and at the tunnel can be of the same nanosecond.
fn passage(kinds: &[PointKind], hop: &Hop) -> u8 {
    let is_outermost = matches!(
        kinds[usize::from(hop.point)],
        PointKind::Underlay | PointKind::Inspection
    );
    match hop.way {
        Way::In => u8::from(!is_outermost),
        Way::Out => 2 + u8::from(is_outermost),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sequence: u64, at_ns: u64) -> Entry {
        Entry {
            stream: 0,
            direction: Direction::Request,
            sequence,
            at_ns,
        }
    }

    fn sighting(sequence: u64, point: u16, at_ns: u64) -> Sighting {
        let hop = Hop {
            point,
            way: Way::Out,
            at_ns,
            carried: None,
            dscp: 0,
        };
        Sighting {
            stream: 0,
            direction: Direction::Request,
            sequence,
            hop,
        }
    }

    #[test]
    fn a_probe_that_never_arrives_keeps_the_hops_it_made() {
        let (journeys, strays) = journeys(&[entry(0, 10)], &[], &[sighting(0, 2, 30), sighting(0, 1, 20)]);
        assert_eq!(strays, 0);
        assert_eq!((journeys[0].delivered_ns, journeys[0].deliveries), (None, 0));
        assert_eq!(
            journeys[0].hops.iter().map(|hop| hop.point).collect::<Vec<_>>(),
            [2, 1]
        );
    }

    #[test]
    fn sightings_of_the_same_nanosecond_are_in_the_order_of_passage() {
        let kinds = [PointKind::Tunnel, PointKind::Underlay, PointKind::Node];
        let order = |way, mut points: Vec<u16>| {
            let hop = |point| Hop {
                way,
                ..sighting(0, point, 20).hop
            };
            points.sort_by_key(|point| passage(&kinds, &hop(*point)));
            points
        };
        assert_eq!(order(Way::In, vec![0, 1]), [1, 0]);
        assert_eq!(order(Way::Out, vec![1, 0]), [0, 1]);
    }

    #[test]
    fn a_duplicate_counts_twice_and_is_delivered_at_its_first_arrival() {
        let (journeys, _) = journeys(&[entry(0, 10)], &[entry(0, 50), entry(0, 40)], &[]);
        assert_eq!((journeys[0].delivered_ns, journeys[0].deliveries), (Some(40), 2));
    }

    #[test]
    fn what_nobody_sent_is_a_stray() {
        let (journeys, strays) = journeys(&[entry(0, 10)], &[entry(7, 40)], &[sighting(8, 0, 20)]);
        assert_eq!((journeys.len(), strays), (1, 2));
    }
}
