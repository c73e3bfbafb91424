//! What there is to say about one assertion: one line of figures, and the block of a verdict that is no pass.

use std::fmt::Write as _;

use verdict::text::{count, counted, ms};
use verdict::{AssertionVerdict, CounterExample, Outcome, ProbeTrace, Reason, RunInfo, Spending};

use crate::figures::TUNNELS_FEW;
use crate::text::{journey, sent};

/// Reasons of an inconclusive verdict that a person is shown; the first few tell what to mend.
const REASONS_SHOWN: usize = 6;

/// Width of the labels in a block.
const LABEL: usize = 11;

/// What was measured, in one line.
pub(crate) fn measured(verdict: &AssertionVerdict) -> String {
    let (violations, probes) = (
        counted(verdict.violations, "violation"),
        counted(verdict.considered, "probe"),
    );
    let mut text = format!("{violations} in {probes}");
    if let Some(convergence) = convergence(verdict) {
        text += &format!(", {convergence}");
    }
    let all = verdict.per_tunnel.len();
    let named = verdict.per_tunnel.iter();
    let named = named.filter(|(_, probes)| all <= TUNNELS_FEW || **probes > 0);
    let mut tunnels: Vec<String> = named
        .map(|(tunnel, probes)| format!("{tunnel} {}", count(*probes)))
        .collect();
    if tunnels.len() < all {
        tunnels.push(format!("{} others 0", all - tunnels.len()));
    }
    if !tunnels.is_empty() {
        text += &format!("; {}", tunnels.join(", "));
    }
    text
}

/// How long the claim took to hold, against its limit.
fn convergence(verdict: &AssertionVerdict) -> Option<String> {
    let limit = ms(verdict.limit_ns?);
    Some(
        match verdict.convergence_ns {
            Some(ns) => format!("converged after {} (limit {limit})", ms(ns)),
            None => format!("not converged (limit {limit})"),
        } + &readings(&verdict.spending),
    )
}

/// The other readings of a convergence: by the gap, by what was lost and by what went wrong.
fn readings(spending: &Spending) -> String {
    let time = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), ms);
    format!(
        ", gap {}, loss {}, last misrouted {}",
        time(spending.gap_ns),
        ms(spending.loss_ns),
        time(spending.misroute_ns)
    )
}

/// The verdict in one sentence: why it is no pass, or what was measured.
pub(crate) fn headline(verdict: &AssertionVerdict) -> String {
    match (&verdict.outcome, &verdict.first_bad) {
        (Outcome::Inconclusive { reasons }, _) => headline_of(reasons),
        (Outcome::Fail, Some(bad)) => {
            format!(
                "expected {}, {} #{} was {}",
                bad.expected, bad.probe.stream, bad.probe.sequence, bad.observed
            )
        }
        _ => measured(verdict),
    }
}

fn headline_of(reasons: &[Reason]) -> String {
    match reasons {
        [] => String::new(),
        [only] => only.to_string(),
        [first, more @ ..] => format!("{first} (and {})", counted(more.len() as u64, "more reason")),
    }
}

/// The claim, why it does not pass, the probes that tell, and how to look further.
pub(crate) fn block(verdict: &AssertionVerdict, run: &RunInfo) -> String {
    let mut block = Block::default();
    block.line("claim", &verdict.text);
    block.line("measured", &measured(verdict));
    match &verdict.outcome {
        Outcome::Inconclusive { reasons } => {
            for (index, reason) in reasons.iter().take(REASONS_SHOWN).enumerate() {
                block.line(if index == 0 { "no proof" } else { "" }, &reason.to_string());
            }
            if let Some(more) = reasons.len().checked_sub(REASONS_SHOWN + 1) {
                let more = count(u64::try_from(more + 1).unwrap_or(u64::MAX));
                block.line("", &format!("and {more} more, in verdict.json"));
            }
            if let Some(suspect) = &verdict.first_bad {
                block.counter_example("suspect", suspect, verdict);
            }
        }
        Outcome::Fail | Outcome::Pass => block.counter_examples(verdict),
    }
    block.line("evidence", &run.folder);
    block.line("repeat", &run.repeat);
    block.text
}

#[derive(Default)]
struct Block {
    text: String,
}

impl Block {
    fn line(&mut self, label: &str, content: &str) {
        // A `String` takes every write.
        let _ = writeln!(self.text, "  {label:<LABEL$}{content}");
    }

    fn counter_examples(&mut self, verdict: &AssertionVerdict) {
        let Some(first) = &verdict.first_bad else { return };
        self.counter_example("first bad", first, verdict);
        if let Some(last) = verdict.last_bad.as_ref().filter(|last| *last != first) {
            self.probe("last bad", &last.probe, verdict);
            if (&last.expected, &last.observed) != (&first.expected, &first.observed) {
                self.line("", &format!("expected {}", last.expected));
                self.line("", &format!("observed {}", last.observed));
            }
        }
        if let Some(good) = &verdict.first_good_after {
            self.probe("then good", good, verdict);
        }
    }

    fn counter_example(&mut self, label: &str, example: &CounterExample, verdict: &AssertionVerdict) {
        self.line("expected", &example.expected);
        self.line("observed", &example.observed);
        self.probe(label, &example.probe, verdict);
    }

    fn probe(&mut self, label: &str, probe: &ProbeTrace, verdict: &AssertionVerdict) {
        let sent = sent(probe, verdict.window_event.as_deref().unwrap_or("the start"));
        self.line(
            label,
            &format!("{} #{}, sent {sent}", probe.stream, probe.sequence),
        );
        for line in journey(probe) {
            self.line("", &line);
        }
    }
}
