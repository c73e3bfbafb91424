//! Records built by hand.

use std::collections::BTreeMap;

use verdict::evidence::{CapturePoint, Direction, EventMark, Way};
use verdict::{
    AssertionVerdict, CounterExample, Encapsulation, Environment, HopTrace, Latency, Outcome, PointFault,
    PointKind, ProbeTrace, Protocol, Reason, RunInfo, RunOutcome, RunRecord, SCHEMA, SourcePlace, Spending,
    StageTime, StreamDoubt, StreamId, StreamTotals, StreamVerdict, Transition, Verdicts,
};

const START: u64 = 1_700_000_000_000_000_000;

pub(crate) fn info(scenario: &str) -> RunInfo {
    let stage = |stage: &str, took_us: u64| StageTime {
        stage: stage.to_owned(),
        took_ns: took_us * 1_000,
    };
    RunInfo {
        scenario: scenario.to_owned(),
        purpose: "business traffic takes bizinternet while its Service asks for it".to_owned(),
        file: format!("scenarios/core/{scenario}.yaml"),
        seed: 7,
        environment: Environment {
            kernel: "6.12.4".to_owned(),
            user: "uid 1000".to_owned(),
            pathproof: "0.1.0".to_owned(),
            impairments: "netem".to_owned(),
            operator_user: "system:serviceaccount:sdwan-operator:sdwan-operator".to_owned(),
            encapsulations: ["bizinternet", "default"]
                .into_iter()
                .zip(["wireguard (userspace)", "vxlan"])
                .map(|(transport, how)| (transport.to_owned(), how.to_owned()))
                .collect(),
        },
        stages: vec![
            stage("provision", 181_200),
            stage("arm", 12_040),
            stage("play", 2_612_007),
            stage("judge", 9_001),
        ],
        folder: format!("runs/{scenario}-7"),
        repeat: format!("pathproof run scenarios/core/{scenario}.yaml --seed 7"),
    }
}

pub(crate) fn stream(flow: &str, protocol: Protocol, direction: Direction) -> StreamId {
    let stream = u16::from(flow != "business") * 2 + u16::from(protocol == Protocol::Tcp);
    StreamId {
        stream,
        flow: flow.to_owned(),
        protocol,
        direction,
    }
}

/// A verdict that passes, on requests over UDP.
pub(crate) fn verdict(name: &str, line: usize, text: &str) -> AssertionVerdict {
    let per_tunnel = BTreeMap::from([("bizinternet".to_owned(), 1_965), ("default".to_owned(), 35)]);
    AssertionVerdict {
        name: name.to_owned(),
        text: text.to_owned(),
        place: SourcePlace {
            file: "scenarios/core/demo.yaml".to_owned(),
            line,
            column: 5,
        },
        outcome: Outcome::Pass,
        window_event: Some("annotate".to_owned()),
        considered: 2_000,
        satisfied: 1_965,
        violations: 0,
        convergence_ns: None,
        limit_ns: None,
        first_bad: None,
        last_bad: None,
        first_good_after: None,
        per_tunnel: per_tunnel.clone(),
        spending: Spending {
            misrouted: 35,
            p99_ns: Some(204_880),
            gap_ns: Some(2_310_400),
            misroute_ns: Some(33_120_010),
            ..Spending::default()
        },
        streams: vec![StreamVerdict {
            stream: stream("business", Protocol::Udp, Direction::Request),
            considered: 2_000,
            exempt: 0,
            satisfied: 1_965,
            settling: 35,
            violations: 0,
            undecided: 0,
            convergence_ns: None,
            per_tunnel,
            spending: Spending::default(),
        }],
    }
}

/// `all business via tunnel/bizinternet only`, converged in time.
pub(crate) fn steered() -> AssertionVerdict {
    AssertionVerdict {
        convergence_ns: Some(34_218_000),
        limit_ns: Some(500_000_000),
        ..verdict(
            "steered",
            38,
            "all business via tunnel/bizinternet only when within 500ms of annotate until remove",
        )
    }
}

fn hop(site: &str, kind: PointKind, name: &str, way: Way) -> HopTrace {
    HopTrace {
        site: site.to_owned(),
        kind,
        name: name.to_owned(),
        service_vpn: None,
        way,
        at_ns: START,
        carried: (kind == PointKind::Underlay).then_some(Encapsulation::Vxlan),
        dscp: 0,
    }
}

/// A request of `business` that took `default` all the way.
fn on_default(sequence: u64, offset_ns: i64) -> ProbeTrace {
    ProbeTrace {
        stream: stream("business", Protocol::Udp, Direction::Request),
        sequence,
        sent_ns: START,
        offset_ns,
        delivered_ns: Some(START + 200_000),
        hops: vec![
            hop("near", PointKind::Node, "near-1", Way::In),
            hop("near", PointKind::Tunnel, "default", Way::Out),
            hop("near", PointKind::Underlay, "default", Way::Out),
            hop("far", PointKind::Underlay, "default", Way::In),
            hop("far", PointKind::Tunnel, "default", Way::In),
            hop("far", PointKind::Node, "far-1", Way::Out),
        ],
    }
}

/// The same, but lost on its way.
fn lost_on_default(sequence: u64, offset_ns: i64) -> ProbeTrace {
    let mut probe = on_default(sequence, offset_ns);
    probe.delivered_ns = None;
    probe.hops.truncate(3);
    probe
}

/// The same, but on `bizinternet`.
fn on_bizinternet(sequence: u64, offset_ns: i64) -> ProbeTrace {
    let mut probe = on_default(sequence, offset_ns);
    for hop in probe.hops.iter_mut().filter(|hop| hop.kind != PointKind::Node) {
        "bizinternet".clone_into(&mut hop.name);
    }
    probe
}

fn bad(expected: &str, probe: ProbeTrace) -> CounterExample {
    CounterExample {
        expected: expected.to_owned(),
        observed: "seen at near:tunnel/default(out)".to_owned(),
        probe,
    }
}

/// [`steered`], but two seconds late.
fn late() -> AssertionVerdict {
    AssertionVerdict {
        outcome: Outcome::Fail,
        violations: 958,
        satisfied: 791,
        convergence_ns: Some(2_418_004_000),
        first_bad: Some(bad("via tunnel/bizinternet only", on_default(501, 502_118_000))),
        last_bad: Some(bad(
            "via tunnel/bizinternet only",
            on_default(1_458, 2_416_003_000),
        )),
        first_good_after: Some(on_bizinternet(1_459, 2_418_004_000)),
        per_tunnel: BTreeMap::from([("bizinternet".to_owned(), 791), ("default".to_owned(), 1_209)]),
        ..steered()
    }
}

/// Nothing on `default` in 750 probes.
fn zero_leak() -> AssertionVerdict {
    AssertionVerdict {
        considered: 750,
        satisfied: 0,
        per_tunnel: BTreeMap::from([("bizinternet".to_owned(), 750), ("default".to_owned(), 0)]),
        ..verdict(
            "zero-leak",
            39,
            "no business at tunnel/default when from annotate+500ms until remove",
        )
    }
}

/// [`zero_leak`], but one probe leaked and was lost.
fn one_leak() -> AssertionVerdict {
    let example = bad("not at tunnel/default", lost_on_default(711, 812_004_000));
    AssertionVerdict {
        outcome: Outcome::Fail,
        satisfied: 1,
        violations: 1,
        first_bad: Some(example.clone()),
        last_bad: Some(example),
        first_good_after: None,
        per_tunnel: BTreeMap::from([("bizinternet".to_owned(), 749), ("default".to_owned(), 1)]),
        ..zero_leak()
    }
}

pub(crate) fn undecided(mut verdict: AssertionVerdict, reasons: Vec<Reason>) -> AssertionVerdict {
    verdict.outcome = Outcome::Inconclusive { reasons };
    verdict
}

pub(crate) fn points() -> Vec<CapturePoint> {
    let point = |site: &str, kind, name: &str| CapturePoint {
        site: site.to_owned(),
        kind,
        name: name.to_owned(),
        service_vpn: None,
        interface: format!("{site}-{name}"),
        armed: true,
        kernel_drops: 0,
        captured_packets: 8_017,
        interface_packets: 8_017,
        hidden: BTreeMap::new(),
    };
    vec![
        point("near", PointKind::Node, "near-1"),
        point("near", PointKind::Tunnel, "bizinternet"),
        point("near", PointKind::Tunnel, "default"),
        point("far", PointKind::Node, "far-1"),
    ]
}

fn totals(flow: &str, protocol: Protocol, direction: Direction, bizinternet: u64, lost: u64) -> StreamTotals {
    StreamTotals {
        stream: stream(flow, protocol, direction),
        client: "10.244.0.2:40001".to_owned(),
        server: "10.244.1.2:8080".to_owned(),
        sent: 2_500,
        delivered: 2_500 - lost,
        lost,
        duplicates: 0,
        per_tunnel: BTreeMap::from([
            ("bizinternet".to_owned(), bizinternet),
            ("default".to_owned(), 2_500 - bizinternet - lost.min(1)),
        ]),
        untunnelled: lost.min(1),
        lost_after: BTreeMap::from_iter(
            (lost > 1).then(|| ("near:underlay/default(out)".to_owned(), lost - 1)),
        ),
        lost_unseen: lost.min(1),
        latency: Some(Latency {
            p50_ns: 71_204,
            p99_ns: 204_880,
            max_ns: 1_204_880,
        }),
        longest_gap_ns: Some(2_310_400 + 2_000_000 * lost),
    }
}

fn transition(event: &str, from: &str, to: &str, direction: Direction) -> Transition {
    Transition {
        event: event.to_owned(),
        stream: stream("business", Protocol::Udp, direction),
        from_tunnel: from.to_owned(),
        to_tunnel: to.to_owned(),
        first_on_new_path_ns: 34_239_500,
        last_on_old_path_ns: Some(33_120_010),
        loss_ns: 0,
        gap_ns: Some(2_310_400),
    }
}

/// The demo with these verdicts; `lost` probes of `business` never arrived.
pub(crate) fn record(scenario: &str, assertions: Vec<AssertionVerdict>, lost: u64) -> RunRecord {
    let worst = |outcome: &Outcome| match outcome {
        Outcome::Pass => RunOutcome::Pass,
        Outcome::Inconclusive { .. } => RunOutcome::Inconclusive,
        Outcome::Fail => RunOutcome::Fail,
    };
    let event = |name: &str, after_ns: u64| EventMark {
        name: name.to_owned(),
        at_ns: START + after_ns,
    };
    let (udp, request, reply) = (Protocol::Udp, Direction::Request, Direction::Reply);
    let verdicts = Verdicts {
        totals: vec![
            totals("business", udp, request, 1_231, lost),
            totals("business", udp, reply, 1_229, 0),
            totals("best-effort", udp, request, 0, 0),
            totals("best-effort", udp, reply, 0, 0),
        ],
        transitions: vec![
            transition("annotate", "default", "bizinternet", request),
            transition("annotate", "default", "bizinternet", reply),
            transition("remove", "bizinternet", "default", request),
        ],
        assertions,
    };
    RunRecord {
        schema: SCHEMA.to_owned(),
        run: info(scenario),
        outcome: worst(&verdicts.outcome()),
        verdicts: Some(verdicts),
        points: points(),
        events: vec![event("annotate", 500_000_000), event("remove", 1_502_310_000)],
        started_ns: START,
        stopped_ns: START + 2_500_000_000,
    }
}

pub(crate) fn passing() -> RunRecord {
    record("demo", vec![steered(), zero_leak()], 0)
}

/// Two failures and an inconclusive verdict beside a pass.
pub(crate) fn failing() -> RunRecord {
    let fault = |fault: PointFault| Reason::Point {
        point: "near:tunnel/default".to_owned(),
        fault,
    };
    let drops = fault(PointFault::KernelDrops { dropped: 3 });
    let counts = fault(PointFault::CountMismatch {
        captured: 8_014,
        interface: 8_017,
    });
    let mut always = verdict("be-stays", 40, "all best-effort.both via tunnel/default only");
    always.window_event = None;
    let reverted = verdict(
        "reverted",
        41,
        "some business via tunnel/default when within 500ms of remove",
    );
    let mut record = record(
        "late",
        vec![
            late(),
            one_leak(),
            undecided(always, vec![drops, counts]),
            reverted,
        ],
        6,
    );
    let point = &mut record.points[2];
    (point.kernel_drops, point.captured_packets) = (3, 8_014);
    record
}

pub(crate) fn inconclusive() -> RunRecord {
    let vacuous = Reason::Stream {
        stream: stream("business", Protocol::Udp, Direction::Reply),
        doubt: StreamDoubt::TooFewProbes {
            considered: 4,
            needed: 20,
        },
    };
    record("failover", vec![undecided(steered(), vec![vacuous])], 0)
}

pub(crate) fn skipped() -> RunRecord {
    let run = RunInfo {
        stages: Vec::new(),
        ..info("wireguard")
    };
    RunRecord::skipped(run, "needs the kernel module wireguard".to_owned())
}

pub(crate) fn broken() -> RunRecord {
    let message = "failed to create netns `near-1`\ncaused by: unshare: operation not permitted".to_owned();
    RunRecord::broken(info("unprivileged"), message)
}
