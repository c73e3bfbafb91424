//! Choices: which tunnel an SLA class takes, by what the Manager reports.
//!
//! Owns the choice and its hysteresis. Time is counted in polls, each call of [`Choices::poll`] being one, so that
//! a figure that nobody measured anew is not counted twice.
//!
//! Invariant: a tunnel that is kept is left at once when it is down, and else only after it violated its class in
//! [`LEAVE_AFTER`] polls one after the other; a more wanted one is returned to only after it met the class in
//! [`RETURN_AFTER`].

use std::collections::BTreeMap;

use super::color::Color;
use super::preference::Path;
use super::sla::Sla;
use super::tunnel::{TunnelReport, TunnelReports, TunnelState};

/// Polls that a chosen tunnel has to violate its class in, one after the other, before it is left.
pub const LEAVE_AFTER: u32 = 3;
/// Polls that a more wanted tunnel has to meet the class in, one after the other, before it is chosen.
pub const RETURN_AFTER: u32 = 10;

/// The tunnels that are chosen, by what is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choices(BTreeMap<(Sla, Vec<Color>), Held>);

/// A chosen tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Choice {
    /// Its color; `None` if no tunnel is known.
    pub tunnel: Option<Color>,
    /// Whether it keeps the class.
    pub compliance: Compliance,
}

/// Whether a tunnel keeps its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compliance {
    /// It is up, and what was measured is within the bounds.
    Met,
    /// Nothing was measured.
    Unknown,
    /// It is down, or out of bounds.
    Violated,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Held {
    tunnel: Option<Color>,
    /// Polls in which it violated the class, up to the last.
    violated: u32,
    /// Polls in which others met the class, up to the last.
    met: BTreeMap<Color, u32>,
}

impl Choices {
    /// The choice for a path with an SLA class: what is held, or else what would be.
    #[must_use]
    pub fn of(&self, path: &Path, reports: &TunnelReports) -> Option<Choice> {
        let sla = path.sla?;
        let tunnel = match self.0.get(&(sla, path.colors.clone())) {
            Some(held) => held.tunnel,
            None => first_choice(sla, &path.colors, reports),
        };
        let compliance = tunnel.map_or(Compliance::Unknown, |color| compliance(sla, reports.get(&color)));
        Some(Choice { tunnel, compliance })
    }

    /// Holds the choices for these paths, and those of no others.
    pub fn hold<'a>(&mut self, paths: impl IntoIterator<Item = &'a Path>, reports: &TunnelReports) {
        let mut held = BTreeMap::new();
        for path in paths {
            let Some(sla) = path.sla else { continue };
            let key = (sla, path.colors.clone());
            let kept = self.0.remove(&key).unwrap_or_else(|| Held {
                tunnel: first_choice(sla, &path.colors, reports),
                ..Held::default()
            });
            held.entry(key).or_insert(kept);
        }
        self.0 = held;
    }

    /// Reviews all choices after a poll.
    pub fn poll(&mut self, reports: &TunnelReports) {
        for ((sla, colors), held) in &mut self.0 {
            held.count(*sla, reports);
            held.review(*sla, colors, reports);
        }
    }
}

impl Held {
    fn count(&mut self, sla: Sla, reports: &TunnelReports) {
        let met = |color: &Color| compliance(sla, reports.get(color)) == Compliance::Met;
        self.met.retain(|color, _| met(color));
        for color in reports.keys().filter(|color| met(color)) {
            *self.met.entry(*color).or_default() += 1;
        }
        let violated = |color| compliance(sla, reports.get(&color)) == Compliance::Violated;
        self.violated = match self.tunnel {
            Some(color) if violated(color) => self.violated + 1,
            _ => 0,
        };
    }

    fn review(&mut self, sla: Sla, colors: &[Color], reports: &TunnelReports) {
        let is_up = |color: &Color| reports.get(color).is_some_and(is_up);
        let Some(held) = self.tunnel else {
            self.tunnel = first_choice(sla, colors, reports);
            return;
        };
        let must_go = !is_up(&held) || self.violated >= LEAVE_AFTER;
        let next = if must_go {
            let best = first_choice(sla, colors, reports);
            best.filter(|color| !is_up(&held) || self.met.contains_key(color))
        } else {
            // Without colors none is more wanted than another, so that one that will do is kept.
            let more_wanted = colors.iter().take_while(|color| **color != held);
            more_wanted
                .copied()
                .find(|color| self.met.get(color).is_some_and(|polls| *polls >= RETURN_AFTER))
        };
        if let Some(next) = next.filter(|next| *next != held) {
            self.tunnel = Some(next);
            self.violated = 0;
        }
    }
}

/// The first that meets the class; else the first of which nothing is known; else the first that is up; else the first.
fn first_choice(sla: Sla, colors: &[Color], reports: &TunnelReports) -> Option<Color> {
    let candidates = candidates(colors, reports);
    let first = |wanted| {
        candidates
            .iter()
            .copied()
            .find(|color| compliance(sla, reports.get(color)) == wanted)
    };
    let first_up = || {
        candidates
            .iter()
            .copied()
            .find(|color| reports.get(color).is_some_and(is_up))
    };
    first(Compliance::Met)
        .or_else(|| first(Compliance::Unknown))
        .or_else(first_up)
        .or_else(|| candidates.first().copied())
}

/// The colors that are asked for in their order, or else all that are known, the best first.
fn candidates(colors: &[Color], reports: &TunnelReports) -> Vec<Color> {
    if !colors.is_empty() {
        return colors.to_vec();
    }
    let mut known: Vec<_> = reports.iter().collect();
    known.sort_by_key(|(color, report)| {
        let measured = report.quality.map(|q| (q.loss_ppm, q.latency, q.jitter));
        (!is_up(report), measured.is_none(), measured, **color)
    });
    known.into_iter().map(|(color, _)| *color).collect()
}

fn compliance(sla: Sla, report: Option<&TunnelReport>) -> Compliance {
    match report {
        None => Compliance::Unknown,
        Some(report) if !is_up(report) => Compliance::Violated,
        Some(report) => match &report.quality {
            None => Compliance::Unknown,
            Some(quality) if sla.is_met_by(quality) => Compliance::Met,
            Some(_) => Compliance::Violated,
        },
    }
}

fn is_up(report: &TunnelReport) -> bool {
    report.state() != TunnelState::Down
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::super::intent::{Encryption, Mode};
    use super::super::sla::Quality;
    use super::*;

    fn color(name: &str) -> Color {
        name.parse().unwrap()
    }

    fn path(colors: &[&str]) -> Path {
        Path {
            colors: colors.iter().map(|name| color(name)).collect(),
            sla: Some("latency=50ms".parse().unwrap()),
            mode: Mode::Strict,
            encryption: Encryption::Any,
        }
    }

    /// Tunnels by color and latency; those without latency are down.
    fn reports(tunnels: &[(&str, Option<u64>)]) -> TunnelReports {
        let report = |latency: &Option<u64>| TunnelReport {
            up: u32::from(latency.is_some()),
            total: 1,
            quality: latency.map(|ms| Quality {
                loss_ppm: 0,
                latency: Duration::from_millis(ms),
                jitter: Duration::ZERO,
            }),
            ..TunnelReport::default()
        };
        tunnels
            .iter()
            .map(|(name, latency)| (color(name), report(latency)))
            .collect()
    }

    /// What is chosen after each poll.
    fn chosen(path: &Path, polls: &[&[(&str, Option<u64>)]]) -> Vec<&'static str> {
        let mut choices = Choices::default();
        choices.hold([path], &reports(polls[0]));
        let mut chosen = Vec::new();
        for poll in polls {
            let reports = reports(poll);
            choices.poll(&reports);
            let choice = choices.of(path, &reports).unwrap();
            chosen.push(choice.tunnel.map_or("none", Color::as_str));
        }
        chosen
    }

    const GOOD: &[(&str, Option<u64>)] = &[("mpls", Some(10)), ("lte", Some(20))];
    const SLOW: &[(&str, Option<u64>)] = &[("mpls", Some(90)), ("lte", Some(20))];
    const DOWN: &[(&str, Option<u64>)] = &[("mpls", None), ("lte", Some(20))];
    const ALL_SLOW: &[(&str, Option<u64>)] = &[("mpls", Some(90)), ("lte", Some(80))];

    #[test]
    fn a_tunnel_is_left_only_after_it_violated_in_a_row() {
        let polls = [GOOD, SLOW, SLOW, GOOD, SLOW, SLOW, SLOW, SLOW];
        let chosen = chosen(&path(&["mpls", "lte"]), &polls);
        assert_eq!(
            chosen,
            ["mpls", "mpls", "mpls", "mpls", "mpls", "mpls", "lte", "lte"]
        );
    }

    #[test]
    fn a_tunnel_that_is_down_is_left_at_once_and_returned_to_after_a_while() {
        let mut polls = vec![GOOD, DOWN];
        polls.resize(2 + RETURN_AFTER as usize, GOOD);
        let chosen = chosen(&path(&["mpls", "lte"]), &polls);
        let (last, before) = chosen.split_last().unwrap();
        assert_eq!(before[0], "mpls");
        assert!(before[1..].iter().all(|chosen| *chosen == "lte"), "{before:?}");
        assert_eq!(*last, "mpls");
    }

    #[test]
    fn what_violates_is_kept_while_nothing_is_better() {
        let chosen = chosen(
            &path(&["mpls", "lte"]),
            &[GOOD, ALL_SLOW, ALL_SLOW, ALL_SLOW, ALL_SLOW, SLOW],
        );
        assert_eq!(chosen, ["mpls", "mpls", "mpls", "mpls", "mpls", "lte"]);
    }

    #[test]
    fn of_any_tunnel_the_best_is_taken_and_kept_while_it_will_do() {
        let better: &[_] = &[("mpls", Some(30)), ("lte", Some(5))];
        let chosen = chosen(&path(&[]), &[GOOD, better, better, SLOW, SLOW, SLOW]);
        assert_eq!(chosen, ["mpls", "mpls", "mpls", "mpls", "mpls", "lte"]);
    }

    #[rstest]
    #[case::meets(&[("mpls", Some(10)), ("lte", Some(5))], "mpls", Compliance::Met)]
    #[case::second_meets(SLOW, "lte", Compliance::Met)]
    #[case::none_meets(&[("mpls", None), ("lte", Some(80))], "lte", Compliance::Violated)]
    #[case::all_down(&[("mpls", None), ("lte", None)], "mpls", Compliance::Violated)]
    #[case::nothing_known(&[], "mpls", Compliance::Unknown)]
    fn the_first_choice(
        #[case] tunnels: &[(&str, Option<u64>)],
        #[case] tunnel: &str,
        #[case] compliance: Compliance,
    ) {
        let tunnel = Some(color(tunnel));
        let choice = Choices::default().of(&path(&["mpls", "lte"]), &reports(tunnels));
        assert_eq!(choice, Some(Choice { tunnel, compliance }));
    }

    #[test]
    fn what_is_asked_no_longer_is_forgotten() {
        let (mut choices, path) = (Choices::default(), path(&["mpls"]));
        choices.hold([&path], &reports(GOOD));
        assert_ne!(choices, Choices::default());
        choices.hold([], &reports(GOOD));
        assert_eq!(choices, Choices::default());
    }
}
