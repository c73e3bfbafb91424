//! Evidence built by hand: two sites, two transports, probes every 2 ms. Times are milliseconds from the start.

use std::collections::BTreeMap;
use std::ops::Range;

use scenario::assertion::{Assertion, Budget, Formula, Place};

use crate::evidence::{CapturePoint, Direction, EventMark, Evidence, Hop, ProbeJourney, StreamInfo, Way};
use crate::{AssertionVerdict, Encapsulation, JudgeOptions, Outcome, PointKind, Protocol, Verdicts, judge};

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const START: u64 = 1_700_000_000 * 1_000_000_000;
/// Time between two probes of a stream.
pub(crate) const INTERVAL: u64 = 2 * MS;

pub(crate) const NEAR_NODE: u16 = 0;
pub(crate) const FAR_NODE: u16 = 5;

/// Where a probe goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// Through the tunnel `bizinternet`.
    Biz,
    /// Through the tunnel `default`.
    Default,
    /// Through both tunnels, as a probe does that was rerouted half way.
    Twice,
    /// Through `bizinternet`, but in clear on its underlay.
    BizInClear,
    /// In clear over the underlay of `default`, through no tunnel.
    Breakout,
    /// Into the tunnel `bizinternet` and never out of it.
    LostInBiz,
    /// Seen nowhere and not delivered.
    Nowhere,
    /// Delivered without being seen anywhere but at the nodes.
    Unseen,
}

/// Points in the order of the request's way: near node, near tunnel and underlay of a transport, far side alike.
pub(crate) fn points() -> Vec<CapturePoint> {
    let point = |site: &str, kind, name: &str| CapturePoint {
        site: site.to_owned(),
        kind,
        name: name.to_owned(),
        service_vpn: None,
        interface: format!("{site}-{name}"),
        armed: true,
        kernel_drops: 0,
        captured_packets: 1_000,
        interface_packets: 1_000,
        hidden: BTreeMap::new(),
    };
    let edge = |site: &str, node: &str| {
        [
            point(site, PointKind::Node, node),
            point(site, PointKind::Tunnel, "bizinternet"),
            point(site, PointKind::Underlay, "bizinternet"),
            point(site, PointKind::Tunnel, "default"),
            point(site, PointKind::Underlay, "default"),
        ]
    };
    edge("near", "near-1")
        .into_iter()
        .chain(edge("far", "far-1"))
        .collect()
}

/// A run of `duration_ms` with no probes.
pub(crate) fn empty_run(duration_ms: u64) -> Evidence {
    Evidence {
        points: points(),
        streams: Vec::new(),
        events: Vec::new(),
        phases: Vec::new(),
        started_ns: START,
        stopped_ns: START + duration_ms * MS,
        journeys: Vec::new(),
        strays: 0,
        receiver_drops: 0,
        clock_step_ns: 0,
    }
}

/// Adds a stream that sends one probe every 2 ms in the given direction, routed by its send time in ms.
pub(crate) fn add_stream(
    evidence: &mut Evidence,
    flow: &str,
    protocol: Protocol,
    direction: Direction,
    route: impl Fn(u64) -> Route,
) {
    let position = evidence
        .streams
        .iter()
        .position(|s| s.flow == flow && s.protocol == protocol);
    let stream = position.unwrap_or_else(|| {
        let port = 40_000 + evidence.streams.len();
        evidence.streams.push(StreamInfo {
            flow: flow.to_owned(),
            protocol,
            client: format!("10.244.0.2:{port}"),
            server: "10.244.1.2:8080".to_owned(),
        });
        evidence.streams.len() - 1
    });
    let stream = u16::try_from(stream).unwrap();
    for sequence in 0..(evidence.stopped_ns - evidence.started_ns) / INTERVAL {
        let sent_ns = START + sequence * INTERVAL;
        let route = route(sequence * INTERVAL / MS);
        evidence
            .journeys
            .push(journey(stream, direction, sequence, sent_ns, route));
    }
}

/// One probe on its way, 10 µs from point to point.
pub(crate) fn journey(
    stream: u16,
    direction: Direction,
    sequence: u64,
    sent_ns: u64,
    route: Route,
) -> ProbeJourney {
    let (biz, default): (&[u16], &[u16]) = (&[1, 2, 7, 6], &[3, 4, 9, 8]);
    let middle: Vec<u16> = match route {
        Route::Biz | Route::BizInClear => biz.to_vec(),
        Route::Default => default.to_vec(),
        Route::Twice => [biz, default].concat(),
        Route::Breakout => vec![4, 9],
        Route::LostInBiz => biz[..2].to_vec(),
        Route::Nowhere | Route::Unseen => Vec::new(),
    };
    let arrives = !matches!(route, Route::LostInBiz | Route::Nowhere);
    let departed = (route != Route::Nowhere).then_some(NEAR_NODE);
    let mut on_the_way: Vec<u16> = departed
        .into_iter()
        .chain(middle)
        .chain(arrives.then_some(FAR_NODE))
        .collect();
    if direction == Direction::Reply {
        for point in &mut on_the_way {
            *point = (*point + 5) % 10;
        }
    }
    let in_clear = matches!(route, Route::BizInClear | Route::Breakout);
    let enters = |point: u16| {
        let at_the_sender = (point < 5) == (direction == Direction::Request);
        point.is_multiple_of(5) == at_the_sender
    };
    let hops = on_the_way.iter().enumerate().map(|(index, point)| Hop {
        point: *point,
        way: if enters(*point) { Way::In } else { Way::Out },
        at_ns: sent_ns + 10_000 * (index as u64 + 1),
        carried: (!in_clear && matches!(point % 5, 2 | 4)).then_some(Encapsulation::Vxlan),
        dscp: 0,
    });
    let hops: Vec<Hop> = hops.collect();
    ProbeJourney {
        stream,
        direction,
        sequence,
        sent_ns,
        delivered_ns: arrives.then_some(sent_ns + 10_000 * (hops.len() as u64 + 1)),
        deliveries: u32::from(arrives),
        hops,
    }
}

/// A run with one UDP flow `biz`, requests only.
pub(crate) fn biz_run(duration_ms: u64, route: impl Fn(u64) -> Route) -> Evidence {
    let mut evidence = empty_run(duration_ms);
    add_stream(&mut evidence, "biz", Protocol::Udp, Direction::Request, route);
    evidence
}

/// Marks an event.
pub(crate) fn fire(evidence: &mut Evidence, name: &str, at_ms: u64) {
    evidence.events.push(EventMark {
        name: name.to_owned(),
        at_ns: START + at_ms * MS,
    });
}

/// The route of a flow that is steered to `bizinternet` in a span of send times.
pub(crate) fn steered_in(span: Range<u64>) -> impl Fn(u64) -> Route {
    move |ms| {
        if span.contains(&ms) {
            Route::Biz
        } else {
            Route::Default
        }
    }
}

pub(crate) fn assertion(name: &str, text: &str) -> Assertion {
    Assertion {
        name: name.to_owned(),
        place: Place {
            file: "demo.yaml".to_owned(),
            line: 41,
            column: 5,
        },
        text: text.to_owned(),
        formula: Formula::parse(text).unwrap(),
        min_probes: 20,
        budget: Budget::default(),
    }
}

/// Judges one assertion.
pub(crate) fn verdict(text: &str, evidence: &Evidence) -> AssertionVerdict {
    let Verdicts { mut assertions, .. } =
        judge(&[assertion("claim", text)], evidence, &JudgeOptions::default());
    assertions.remove(0)
}

/// The reasons of an inconclusive verdict, as people read them.
#[track_caller]
pub(crate) fn reasons(verdict: &AssertionVerdict) -> Vec<String> {
    match &verdict.outcome {
        Outcome::Inconclusive { reasons } => reasons.iter().map(ToString::to_string).collect(),
        other => panic!("expected an inconclusive verdict, got {other:?}"),
    }
}
