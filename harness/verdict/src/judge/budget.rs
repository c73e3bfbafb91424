//! What the probes of a window spent: losses, gaps, duplicates, detours, and whether that is within a budget.

use std::time::Duration;

use scenario::assertion::{Amount, Budget};

use super::capture::Capture;
use super::clause::Test;
use super::quantifier::share_of;
use crate::evidence::ProbeJourney;
use crate::text::{counted, ms};
use crate::totals::{longest_gap, percentile};
use crate::transition::time_lost;
use crate::{Spending, StreamDoubt};

/// What the probes of one direction of one stream spent, in the order they were sent.
pub(super) fn spending(journeys: &[&ProbeJourney], tests: &[Test<'_>], origin_ns: u64) -> Spending {
    let count =
        |is: &dyn Fn(&ProbeJourney) -> bool| journeys.iter().filter(|journey| is(journey)).count() as u64;
    let mut delays: Vec<u64> = journeys.iter().filter_map(|journey| delay_ns(journey)).collect();
    delays.sort_unstable();
    let detours = journeys.iter().filter_map(|journey| detour_ns(journey, tests));
    Spending {
        lost: count(&is_lost),
        duplicates: journeys.iter().map(|journey| extra(journey)).sum(),
        reordered: reordered(journeys).len() as u64,
        misrouted: count(&|journey| detour_ns(journey, tests).is_some()),
        p99_ns: (!delays.is_empty()).then(|| percentile(&delays, 99)),
        gap_ns: longest_gap(journeys),
        loss_ns: time_lost(journeys),
        misroute_ns: detours.max().map(|at_ns| at_ns.saturating_sub(origin_ns)),
    }
}

/// A limit that was not kept.
pub(super) struct Overdraft {
    pub(super) expected: String,
    pub(super) observed: String,
    /// The first and the last probe that count against it.
    pub(super) probes: (usize, usize),
    /// What speaks against its being certain.
    pub(super) doubt: Option<StreamDoubt>,
}

/// The limits that these probes did not keep, the certain ones first.
pub(super) fn overdrafts(
    budget: &Budget,
    spending: &Spending,
    journeys: &[&ProbeJourney],
    tests: &[Test<'_>],
    capture: &Capture<'_>,
) -> Vec<Overdraft> {
    if journeys.is_empty() {
        return Vec::new();
    }
    // A probe that a receiver's host dropped looks lost, and may have come through.
    let maybe =
        (capture.evidence.receiver_drops > 0).then_some(StreamDoubt::Undecided { count: spending.lost });
    let considered = journeys.len() as u64;
    let of =
        |is: &dyn Fn(&ProbeJourney) -> bool| ends((0..journeys.len()).filter(|index| is(journeys[*index])));
    let mut found = Vec::new();
    let mut limit = |limit: Option<u64>, spent: Option<u64>, words: &dyn Fn(u64) -> String, probes, doubt| {
        let Some(limit) = limit.filter(|limit| spent.is_none_or(|spent| spent > *limit)) else {
            return;
        };
        found.push(Overdraft {
            expected: format!("at most {}", words(limit)),
            observed: spent.map_or("nothing arrived".to_owned(), words),
            probes,
            doubt,
        });
    };
    let lost = budget.lost.map(|amount| match amount {
        Amount::Count(count) => count,
        Amount::Percent(share) => share_of(share, considered).floor() as u64,
    });
    let probes = |what: &'static str| move |number: u64| format!("{} {what}", counted(number, "probe"));
    limit(
        lost,
        Some(spending.lost),
        &probes("lost"),
        of(&is_lost),
        maybe.clone(),
    );
    limit(
        budget.duplicates,
        Some(spending.duplicates),
        &probes("delivered again"),
        of(&|j| extra(j) > 0),
        None,
    );
    let late = ends(reordered(journeys).into_iter());
    limit(
        budget.reordered,
        Some(spending.reordered),
        &probes("overtaken"),
        late,
        None,
    );
    let strayed = of(&|journey| detour_ns(journey, tests).is_some());
    limit(
        budget.misrouted,
        Some(spending.misrouted),
        &probes("on other tunnels"),
        strayed,
        None,
    );
    let gap = |ns: u64| format!("{} without an arrival", ms(ns));
    let silent = of(&|journey| is_lost(journey) || spending.lost == 0);
    limit(
        budget.gap.map(nanos),
        spending.gap_ns,
        &gap,
        silent,
        maybe.clone(),
    );
    let p99 = |ns: u64| format!("{} for 99 of 100 probes to arrive", ms(ns));
    let slow = of(&|journey| delay_ns(journey) > budget.p99.map(nanos));
    limit(budget.p99.map(nanos), spending.p99_ns, &p99, slow, maybe);
    found.sort_by_key(|overdraft| overdraft.doubt.is_some());
    found
}

fn is_lost(journey: &ProbeJourney) -> bool {
    journey.delivered_ns.is_none()
}

/// How long it took to arrive.
fn delay_ns(journey: &ProbeJourney) -> Option<u64> {
    Some(journey.delivered_ns?.saturating_sub(journey.sent_ns))
}

/// Deliveries beyond the first.
fn extra(journey: &ProbeJourney) -> u64 {
    u64::from(journey.deliveries.saturating_sub(1))
}

/// When it was last seen at a tunnel that a `via` does not name, if it was.
fn detour_ns(journey: &ProbeJourney, tests: &[Test<'_>]) -> Option<u64> {
    let hops = journey.hops.iter();
    let strayed = hops.filter(|hop| tests.iter().any(|test| test.is_detour(hop)));
    strayed.map(|hop| hop.at_ns).max()
}

/// The probes that arrived after one that was sent later (RFC 4737 section 3.3), in the order they were sent.
fn reordered(journeys: &[&ProbeJourney]) -> Vec<usize> {
    let mut earliest_later = u64::MAX;
    let mut late = Vec::new();
    for (index, journey) in journeys.iter().enumerate().rev() {
        let Some(at_ns) = journey.delivered_ns else {
            continue;
        };
        if at_ns > earliest_later {
            late.push(index);
        }
        earliest_later = earliest_later.min(at_ns);
    }
    late.reverse();
    late
}

fn ends(mut indices: impl DoubleEndedIterator<Item = usize>) -> (usize, usize) {
    let first = indices.next().unwrap_or(0);
    (first, indices.next_back().unwrap_or(first))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
