//! The result of one run for a person at a terminal.
//!
//! The order is that of interest: what was run, a line for each assertion, the figures, everything that did not
//! pass in full, and last, where the eye is when the prompt returns, the summary.

use std::fmt::Write as _;

use verdict::{AssertionVerdict, Environment, Outcome, RunOutcome, RunRecord, Verdicts};

use crate::figures::{capture, events, flows, losses, stages, transitions};
use crate::findings::{block, headline, measured};
use crate::status::{Colour, Status, WIDTH, tally};
use crate::text::took;

/// The result of a run, for a terminal about 120 columns wide.
#[must_use]
pub fn human(record: &RunRecord, colour: Colour) -> String {
    let run = &record.run;
    let environment = &run.environment;
    let mut text = format!("{}: {}\n", run.scenario, run.purpose);
    // A `String` takes every write, here and below.
    let _ = writeln!(
        text,
        "{}, seed {}, kernel {}, {}, pathproof {}{}\n",
        run.file,
        run.seed,
        environment.kernel,
        environment.user,
        environment.pathproof,
        encapsulations(environment)
    );
    let Some(verdicts) = &record.verdicts else {
        return text + &unjudged(record, colour);
    };
    text += &assertion_lines(&verdicts.assertions, colour);
    text += &figures(record, verdicts);
    for verdict in verdicts
        .assertions
        .iter()
        .filter(|verdict| verdict.outcome != Outcome::Pass)
    {
        let status = Status::from(&verdict.outcome).paint(colour);
        let _ = writeln!(text, "\n{status} {}  {}", verdict.name, verdict.place);
        text += &block(verdict, run);
    }
    text + &summary_line(record, verdicts)
}

/// How transports carry packets, but for those of the usual way.
fn encapsulations(environment: &Environment) -> String {
    let unusual = environment.encapsulations.iter();
    unusual
        .filter(|(_, how)| *how != "vxlan")
        .map(|(transport, how)| format!(", {transport} by {how}"))
        .collect()
}

fn assertion_lines(verdicts: &[AssertionVerdict], colour: Colour) -> String {
    let name_width = verdicts
        .iter()
        .map(|verdict| verdict.name.chars().count())
        .max()
        .unwrap_or(0);
    let number_width = verdicts.len().to_string().len();
    let mut text = String::new();
    for (index, verdict) in verdicts.iter().enumerate() {
        let status = Status::from(&verdict.outcome).column(colour);
        let says = match verdict.outcome {
            Outcome::Inconclusive { .. } => headline(verdict),
            Outcome::Pass | Outcome::Fail => measured(verdict),
        };
        let (number, of) = (index + 1, verdicts.len());
        let _ = writeln!(
            text,
            "{status} ({number:>number_width$}/{of}) {:<name_width$}  {says}",
            verdict.name
        );
    }
    text
}

fn figures(record: &RunRecord, verdicts: &Verdicts) -> String {
    let mut text = format!("\n{}", flows(&verdicts.totals));
    if !verdicts.transitions.is_empty() {
        text += &format!("\n{}", transitions(&verdicts.transitions));
    }
    text.push('\n');
    for line in losses(&verdicts.totals)
        .into_iter()
        .chain(capture(&record.points))
    {
        text += &format!("  {line}\n");
    }
    if let Some(events) = events(record) {
        text += &format!("  events     {events}\n");
    }
    text + &format!("  stages     {}\n", stages(record))
}

fn summary_line(record: &RunRecord, verdicts: &Verdicts) -> String {
    let statuses: Vec<Status> = verdicts
        .assertions
        .iter()
        .map(|verdict| Status::from(&verdict.outcome))
        .collect();
    let noun = if statuses.len() == 1 {
        "assertion"
    } else {
        "assertions"
    };
    let (took, count) = (took(record.took()), statuses.len());
    let tally = if count == 0 {
        "nothing was claimed".to_owned()
    } else {
        tally(&statuses)
    };
    format!(
        "\n{:>WIDTH$} {took} {count} {noun}: {tally}; evidence in {}\n",
        "Summary", record.run.folder
    )
}

fn unjudged(record: &RunRecord, colour: Colour) -> String {
    let status = Status::from(&record.outcome).column(colour);
    match &record.outcome {
        RunOutcome::Skipped { reason } => format!("{status} {reason}\n"),
        RunOutcome::Error { message } => {
            let message = message.trim_end().replace('\n', &format!("\n{:WIDTH$} ", ""));
            let run = &record.run;
            format!(
                "{status} {message}\n\n  evidence   {}\n  repeat     {}\n",
                run.folder, run.repeat
            )
        }
        RunOutcome::Pass | RunOutcome::Fail | RunOutcome::Inconclusive => format!("{status}\n"),
    }
}
