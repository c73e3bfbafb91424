//! Ways: whether the points that saw a probe, in the order of time, are those of a path.

use scenario::assertion::{PathPattern, PathStep, PointKind};

use super::Reading;
use crate::evidence::{CapturePoint, ProbeJourney};

/// A path made ready for the points of one run. Sets of steps are bits: bit N is the step N.
pub(super) struct Way {
    /// For each point: the steps that take a sighting there; `None` where a sighting is that of a copy, and of no step.
    takes: Vec<Option<u64>>,
    /// The steps that may take none.
    skippable: u64,
    steps: usize,
}

impl Way {
    pub(super) fn new(path: &PathPattern, points: &[CapturePoint]) -> Self {
        let steps = path.0.iter().enumerate();
        let of = |is: &dyn Fn(&PathStep) -> bool| {
            let taking = steps.clone().filter(|(_, step)| is(step));
            taking.fold(0, |bits, (number, _)| bits | 1 << number)
        };
        let takes = points.iter().map(|point| {
            let named = of(&|step| {
                step.pattern()
                    .is_some_and(|pattern| pattern.matches(&point.name()))
            });
            if named == 0 && point.kind == PointKind::Inspection {
                return None;
            }
            Some(named | of(&|step| *step == PathStep::Any))
        });
        Self {
            takes: takes.collect(),
            skippable: of(&|step| matches!(step, PathStep::Any | PathStep::Perhaps(_))),
            steps: path.0.len(),
        }
    }

    /// A probe that went another way for certain has a sighting which no more sightings could bring into the path.
    pub(super) fn read(&self, journey: &ProbeJourney, complete: bool) -> Reading {
        let holds = self.accepts(journey, self.skippable);
        Reading {
            holds,
            certain: complete || !(holds || self.accepts(journey, u64::MAX)),
        }
    }

    /// Whether the sightings are those of the steps, of which these may be passed over.
    fn accepts(&self, journey: &ProbeJourney, skippable: u64) -> bool {
        // Bit N of the state: the first N steps are done, and the last of them may take more.
        let mut state = self.skip(1, skippable);
        for hop in &journey.hops {
            let Some(takes) = self.takes.get(usize::from(hop.point)).copied().flatten() else {
                continue;
            };
            state = self.skip((state | state << 1) & (takes << 1), skippable);
        }
        state & (1 << self.steps) != 0
    }

    fn skip(&self, mut state: u64, skippable: u64) -> u64 {
        for _ in 0..self.steps {
            state |= (state & skippable) << 1;
        }
        state
    }
}
