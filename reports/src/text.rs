//! Numbers, times and probes as people read them.

use std::time::Duration;

use tabled::builder::Builder;
use tabled::settings::object::Columns;
use tabled::settings::{Alignment, Padding, Style};
use verdict::ProbeTrace;
use verdict::text::ms;

/// When a probe was sent, `34.2 ms after annotate`.
pub(crate) fn sent(probe: &ProbeTrace, origin: &str) -> String {
    let side = if probe.offset_ns < 0 { "before" } else { "after" };
    format!("{} {side} {origin}", ms(probe.offset_ns.unsigned_abs()))
}

/// A duration in brackets, `[   3.412s]`.
pub(crate) fn took(duration: Duration) -> String {
    format!("[{:>8.3}s]", duration.as_secs_f64())
}

/// A journey, broken where it leaves one site for another.
pub(crate) fn journey(probe: &ProbeTrace) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut site = None;
    for hop in &probe.hops {
        match lines.last_mut() {
            Some(line) if site == Some(&hop.site) => *line += &format!(" → {hop}"),
            Some(_) => lines.push(format!("→ {hop}")),
            None => lines.push(hop.to_string()),
        }
        site = Some(&hop.site);
    }
    match (lines.last_mut(), probe.delivered_ns) {
        (Some(line), Some(_)) => line.push_str(" → delivered"),
        (Some(line), None) => line.push_str(" → lost"),
        (None, Some(_)) => lines.push("delivered without being seen".to_owned()),
        (None, None) => lines.push("lost without being seen".to_owned()),
    }
    lines
}

/// A table under a header, numbers to the right from column `numbers` on, without trailing blanks.
pub(crate) fn table(header: Vec<String>, rows: Vec<Vec<String>>, numbers: usize) -> String {
    let mut builder = Builder::default();
    builder.push_record(header);
    for row in rows {
        builder.push_record(row);
    }
    let mut table = builder.build();
    table.with(Style::empty()).with(Padding::new(2, 0, 0, 0));
    table.modify(Columns::new(numbers..), Alignment::right());
    let lines = table.to_string();
    lines
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}
