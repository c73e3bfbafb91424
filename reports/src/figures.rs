//! The figures of a run: flows, transitions, and how far the capture can be trusted.

use std::collections::BTreeSet;

use verdict::evidence::CapturePoint;
use verdict::text::{count, counted, ms, ms_fixed};
use verdict::{RunRecord, StreamTotals, Transition};

use crate::text::table;

/// So many tunnels are all named, whether or not they carried anything.
pub(crate) const TUNNELS_FEW: usize = 4;

/// The table of flows; streams and directions that sent nothing are left out, and of many tunnels those that carried
/// nothing.
pub(crate) fn flows(totals: &[StreamTotals]) -> String {
    let totals: Vec<&StreamTotals> = totals.iter().filter(|totals| totals.sent > 0).collect();
    let mut tunnels: BTreeSet<&String> = totals
        .iter()
        .flat_map(|totals| totals.per_tunnel.keys())
        .collect();
    if tunnels.len() > TUNNELS_FEW {
        let carried = |tunnel: &&String| {
            let counts = totals.iter().filter_map(|totals| totals.per_tunnel.get(*tunnel));
            counts.sum::<u64>() > 0
        };
        tunnels.retain(carried);
    }
    let fixed = ["flow", "", "", "sent", "delivered", "lost", "dup"].map(str::to_owned);
    let timing = ["p50 ms", "p99 ms", "gap ms"].map(str::to_owned);
    let mut header = fixed.to_vec();
    header.extend(tunnels.iter().map(|tunnel| (*tunnel).clone()));
    header.push("no tunnel".to_owned());
    header.extend(timing);
    let rows = totals.iter().map(|totals| flow_row(totals, &tunnels)).collect();
    table(header, rows, 3)
}

fn flow_row(totals: &StreamTotals, tunnels: &BTreeSet<&String>) -> Vec<String> {
    let stream = &totals.stream;
    let mut row = vec![
        stream.flow.clone(),
        stream.protocol.to_string(),
        stream.direction.to_string(),
    ];
    row.extend([totals.sent, totals.delivered, totals.lost, totals.duplicates].map(count));
    row.extend(
        tunnels
            .iter()
            .map(|tunnel| count(totals.per_tunnel.get(*tunnel).copied().unwrap_or(0))),
    );
    row.push(count(totals.untunnelled));
    let time = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), ms_fixed);
    let latency = totals.latency;
    row.extend(
        [
            latency.map(|l| l.p50_ns),
            latency.map(|l| l.p99_ns),
            totals.longest_gap_ns,
        ]
        .map(time),
    );
    row
}

/// Where lost probes were last seen, one line for each stream that lost some.
pub(crate) fn losses(totals: &[StreamTotals]) -> Vec<String> {
    let lossy = totals.iter().filter(|totals| totals.lost > 0);
    let line = |totals: &StreamTotals| {
        let mut places: Vec<String> = totals
            .lost_after
            .iter()
            .map(|(place, lost)| format!("{} after {place}", count(*lost)))
            .collect();
        if totals.lost_unseen > 0 {
            places.push(format!("{} seen nowhere", count(totals.lost_unseen)));
        }
        format!("lost       {}: {}", totals.stream, places.join(", "))
    };
    lossy.map(line).collect()
}

/// The table of transitions.
pub(crate) fn transitions(transitions: &[Transition]) -> String {
    let header = [
        "event",
        "flow",
        "",
        "",
        "from",
        "to",
        "first on new ms",
        "last on old ms",
        "lost ms",
        "gap ms",
    ];
    let time = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), ms_fixed);
    let row = |t: &Transition| {
        let named = [
            &t.event,
            &t.stream.flow,
            &t.stream.protocol.to_string(),
            &t.stream.direction.to_string(),
        ];
        let mut row: Vec<String> = named
            .into_iter()
            .chain([&t.from_tunnel, &t.to_tunnel])
            .cloned()
            .collect();
        row.extend(
            [
                Some(t.first_on_new_path_ns),
                t.last_on_old_path_ns,
                Some(t.loss_ns),
                t.gap_ns,
            ]
            .map(time),
        );
        row
    };
    table(
        header.map(str::to_owned).to_vec(),
        transitions.iter().map(row).collect(),
        6,
    )
}

/// The capture in one line, and one more for every point that cannot be trusted.
pub(crate) fn capture(points: &[CapturePoint]) -> Vec<String> {
    let armed = points.iter().filter(|point| point.armed).count() as u64;
    let total = |figure: fn(&CapturePoint) -> u64| points.iter().map(figure).sum::<u64>();
    let mut lines = vec![format!(
        "capture    {} of {} armed, {}, {}",
        count(armed),
        counted(points.len() as u64, "point"),
        counted(total(|point| point.captured_packets), "packet"),
        counted(total(|point| point.kernel_drops), "kernel drop"),
    )];
    lines.extend(points.iter().filter_map(weakness));
    lines
}

fn weakness(point: &CapturePoint) -> Option<String> {
    let mut faults = Vec::new();
    if !point.armed {
        faults.push("not armed".to_owned());
    }
    if point.kernel_drops > 0 {
        faults.push(counted(point.kernel_drops, "kernel drop"));
    }
    if point.captured_packets != point.interface_packets {
        let (captured, interface) = (count(point.captured_packets), count(point.interface_packets));
        faults.push(format!("captured {captured} of {interface} packets"));
    }
    let name = format!(
        "{}:{}/{} ({})",
        point.site, point.kind, point.name, point.interface
    );
    (!faults.is_empty()).then(|| format!("           {name}: {}", faults.join(", ")))
}

/// The stages and how long each took.
pub(crate) fn stages(record: &RunRecord) -> String {
    let stages = record
        .run
        .stages
        .iter()
        .map(|stage| format!("{} {}", stage.stage, ms(stage.took_ns)));
    stages.collect::<Vec<_>>().join(", ")
}

/// The events and when they fired, from the start; `None` when there were none.
pub(crate) fn events(record: &RunRecord) -> Option<String> {
    let event = |at_ns: u64, name: &str| format!("{name} at {}", ms(at_ns.saturating_sub(record.started_ns)));
    let events: Vec<String> = record
        .events
        .iter()
        .map(|mark| event(mark.at_ns, &mark.name))
        .collect();
    (!events.is_empty()).then(|| events.join(", "))
}
