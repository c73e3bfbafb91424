//! Several runs at a glance: a line for each, what did not pass, and the tally.

use std::fmt::Write as _;

use verdict::text::counted;
use verdict::text::ms;
use verdict::{Outcome, RunOutcome, RunRecord, Verdicts};

use crate::findings::headline;
use crate::status::{Colour, Status, WIDTH, tally};
use crate::text::took;

/// One line for each run, then the runs that did not pass with the command that repeats each, then the tally.
#[must_use]
pub fn summary(records: &[RunRecord], colour: Colour) -> String {
    let name_width = records
        .iter()
        .map(|record| record.run.scenario.chars().count())
        .max()
        .unwrap_or(0);
    let number_width = records.len().to_string().len();
    let of = records.len();
    let mut text = String::new();
    for (index, record) in records.iter().enumerate() {
        let status = Status::from(&record.outcome).column(colour);
        let (took, number, name) = (took(record.took()), index + 1, &record.run.scenario);
        let says = in_short(record);
        // A `String` takes every write, here and below.
        let _ = writeln!(
            text,
            "{status} {took} ({number:>number_width$}/{of}) {name:<name_width$}  {says}"
        );
    }
    let unfinished =
        |record: &&RunRecord| !matches!(record.outcome, RunOutcome::Pass | RunOutcome::Skipped { .. });
    for record in records.iter().filter(unfinished) {
        text += &details(record, colour);
    }
    let statuses: Vec<Status> = records
        .iter()
        .map(|record| Status::from(&record.outcome))
        .collect();
    let total = took(records.iter().map(RunRecord::took).sum());
    let tally = if records.is_empty() {
        "nothing was selected".to_owned()
    } else {
        tally(&statuses)
    };
    let _ = writeln!(
        text,
        "\n{:>WIDTH$} {total} {}: {tally}",
        "Summary",
        counted(of as u64, "run")
    );
    text
}

fn in_short(record: &RunRecord) -> String {
    match (&record.outcome, &record.verdicts) {
        (RunOutcome::Skipped { reason }, _) => reason.clone(),
        (RunOutcome::Error { message }, _) => message.lines().next().unwrap_or_default().to_owned(),
        (_, Some(verdicts)) => verdicts_in_short(verdicts),
        (_, None) => String::new(),
    }
}

fn verdicts_in_short(verdicts: &Verdicts) -> String {
    let statuses: Vec<Status> = verdicts
        .assertions
        .iter()
        .map(|verdict| Status::from(&verdict.outcome))
        .collect();
    let mut text = counted(statuses.len() as u64, "assertion");
    if statuses.iter().any(|status| *status != Status::Pass) {
        text += &format!(": {}", tally(&statuses));
    }
    text + &first_packets(verdicts)
}

/// For each event that moved traffic, how soon the first packet was on the new tunnel.
fn first_packets(verdicts: &Verdicts) -> String {
    let mut first: Vec<(&str, &str, u64)> = Vec::new();
    for transition in &verdicts.transitions {
        let (event, to, ns) = (
            &*transition.event,
            &*transition.to_tunnel,
            transition.first_on_new_path_ns,
        );
        match first.iter_mut().find(|known| (known.0, known.1) == (event, to)) {
            Some(known) => known.2 = known.2.min(ns),
            None => first.push((event, to, ns)),
        }
    }
    let told = first
        .iter()
        .map(|(event, to, ns)| format!("; {event}: first packet on {to} after {}", ms(*ns)));
    told.collect()
}

fn details(record: &RunRecord, colour: Colour) -> String {
    let run = &record.run;
    let mut text = format!(
        "\n{} {}\n",
        Status::from(&record.outcome).paint(colour),
        run.scenario
    );
    let verdicts = record.verdicts.iter().flat_map(|verdicts| &verdicts.assertions);
    for verdict in verdicts.filter(|verdict| verdict.outcome != Outcome::Pass) {
        let _ = writeln!(
            text,
            "  {}  {}\n    {}",
            verdict.name,
            verdict.place,
            headline(verdict)
        );
    }
    if let RunOutcome::Error { message } = &record.outcome {
        let _ = writeln!(text, "  {}", message.trim_end().replace('\n', "\n  "));
    }
    let _ = writeln!(text, "  evidence   {}\n  repeat     {}", run.folder, run.repeat);
    text
}
