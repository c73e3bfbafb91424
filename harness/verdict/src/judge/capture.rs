//! How far a run's capture can be trusted, at each point and as a whole.

use super::JudgeOptions;
use crate::evidence::{CapturePoint, Evidence};
use crate::trace::point_name;
use crate::{PointFault, Reason};

/// A run's evidence with its weaknesses worked out.
pub(super) struct Capture<'e> {
    pub(super) evidence: &'e Evidence,
    /// For each point: whether a packet that it did not show was not there.
    pub(super) complete: Vec<bool>,
    /// What keeps every universal claim of this run from passing.
    pub(super) faults: Vec<Reason>,
}

impl<'e> Capture<'e> {
    pub(super) fn survey(evidence: &'e Evidence, options: &JudgeOptions) -> Self {
        let point_faults: Vec<Vec<Reason>> = evidence.points.iter().map(point_faults).collect();
        let complete = point_faults.iter().map(Vec::is_empty).collect();
        let mut faults: Vec<Reason> = point_faults.into_iter().flatten().collect();
        if evidence.points.is_empty() {
            faults.push(Reason::NoCapturePoint);
        }
        if u128::from(evidence.clock_step_ns.unsigned_abs()) > options.clock_tolerance.as_nanos() {
            faults.push(Reason::ClockStepped {
                step_ns: evidence.clock_step_ns,
            });
        }
        if evidence.strays > 0 {
            faults.push(Reason::Strays {
                count: evidence.strays,
            });
        }
        let dangling = dangling(evidence);
        if dangling > 0 {
            faults.push(Reason::Dangling { count: dangling });
        }
        Self {
            evidence,
            complete,
            faults,
        }
    }
}

fn point_faults(point: &CapturePoint) -> Vec<Reason> {
    let mut faults = Vec::new();
    if !point.armed {
        faults.push(PointFault::NotArmed);
    }
    if point.kernel_drops > 0 {
        faults.push(PointFault::KernelDrops {
            dropped: point.kernel_drops,
        });
    }
    let (captured, interface) = (point.captured_packets, point.interface_packets);
    if captured != interface {
        faults.push(PointFault::CountMismatch { captured, interface });
    }
    let name = point_name(point);
    faults
        .into_iter()
        .map(|fault| Reason::Point {
            point: name.clone(),
            fault,
        })
        .collect()
}

/// References to points or streams that the evidence does not list.
fn dangling(evidence: &Evidence) -> u64 {
    let (points, streams) = (evidence.points.len(), evidence.streams.len());
    let references = evidence.journeys.iter().map(|journey| {
        let hops = journey
            .hops
            .iter()
            .filter(|hop| usize::from(hop.point) >= points)
            .count();
        hops as u64 + u64::from(usize::from(journey.stream) >= streams)
    });
    references.sum()
}
