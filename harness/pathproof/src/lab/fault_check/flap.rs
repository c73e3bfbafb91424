//! What a flap feels like: probes are lost for a while, arrive for a while, and are lost again.
//!
//! Owns the recognition of the phases. Both phases may look longer than they are on a machine that stands still;
//! each has to last half of what was asked, and the machine cannot make a cut of a whole path, nor pass a packet.

use std::time::{Duration, Instant};

use super::wire::{FLAP_FIRST, QUIET, SMALLEST, Wire};

/// So many probes in the shorter of the two phases.
const PER_PHASE: u32 = 20;
/// Probes come no faster and no slower than this.
const INTERVAL: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(50));
/// Longer than it takes to see every phase on a machine that stands still.
const MARGIN: Duration = Duration::from_secs(3);

/// A probe: when it was sent, and whether it arrived.
type Sent = (Duration, bool);

/// Watches a path until it has been cut, whole and cut again.
pub(super) fn watch(wire: &Wire, down: Duration, up: Duration) -> Result<(), String> {
    let interval = (down.min(up) / PER_PHASE).clamp(INTERVAL.0, INTERVAL.1);
    let started = Instant::now();
    let deadline = 3 * (down + up) + MARGIN;
    let (mut sent, mut judged): (Vec<Sent>, Duration) = (Vec::new(), down + up);
    loop {
        let number = u32::try_from(sent.len()).unwrap_or(u32::MAX >> 8);
        sent.push((started.elapsed(), false));
        wire.send(FLAP_FIRST + number, SMALLEST);
        let next = started + interval * (number + 1);
        while let Some(left) = next
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
        {
            // Shorter waits are rounded up by the kernel.
            wire.receiver.set_read_timeout(Some(left)).ok();
            let arrived = wire.receive().and_then(|number| number.checked_sub(FLAP_FIRST));
            let arrived = arrived.and_then(|number| usize::try_from(number).ok());
            if let Some((_, has_arrived)) = arrived.and_then(|number| sent.get_mut(number)) {
                *has_arrived = true;
            }
        }
        let now = started.elapsed();
        if now < judged {
            continue;
        }
        // The last ones may still be under way.
        let settled = sent.iter().take_while(|(at, _)| now > *at + QUIET);
        let seen = phases(&settled.copied().collect::<Vec<_>>(), down / 2, up / 2);
        if seen == SEEN_ALL {
            return Ok(());
        }
        if now > deadline {
            let phases = ["it was never cut", "it stayed cut", "it was cut once only"];
            return Err(format!("in {now:?} of probes {}", phases[seen]));
        }
        judged = now + down.min(up) / 2;
    }
}

/// Cut, whole and cut again.
const SEEN_ALL: usize = 3;

/// How many of the phases cut, whole and cut were seen, in this order, each at least so long.
fn phases(sent: &[Sent], down: Duration, up: Duration) -> usize {
    let mut seen = 0;
    let mut first: Option<Duration> = None;
    for (at, arrived) in sent {
        let wants_arrivals = seen == 1;
        if *arrived == wants_arrivals {
            let first = *first.get_or_insert(*at);
            let least = if wants_arrivals { up } else { down };
            seen += usize::from(*at - first >= least);
        } else if !wants_arrivals {
            // What arrives ends a cut; what is lost does not make a line cut that also loses some.
            first = None;
            continue;
        } else {
            continue;
        }
        if seen == SEEN_ALL {
            break;
        }
        if (seen == 1) != wants_arrivals {
            first = None;
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A probe every 5 ms through phases of these lengths, cut first.
    fn line(phases_ms: &[u32]) -> Vec<Sent> {
        let mut sent = Vec::new();
        let mut at = 0;
        for (position, length) in phases_ms.iter().enumerate() {
            for _ in 0..length / 5 {
                sent.push((at * MS, position % 2 == 1));
                at += 5;
            }
        }
        sent
    }

    #[test]
    fn a_path_that_never_or_always_passes_does_not_flap() {
        for (line, seen) in [
            (line(&[200, 200, 200]), 3),
            // Begun late, ended early, and with a pause of the machine in a phase.
            (line(&[120, 350, 120]), 3),
            (line(&[1_000]), 1),
            (line(&[0, 1_000]), 0),
            (line(&[200, 1_000]), 2),
            // Too short to be a cut.
            (line(&[50, 200, 50, 200]), 0),
            (line(&[200, 50, 200]), 1),
        ] {
            assert_eq!(phases(&line, 100 * MS, 100 * MS), seen, "{line:?}");
        }
    }

    #[test]
    fn single_losses_are_no_cuts_and_do_not_hide_a_whole_phase() {
        let mut lossy = line(&[200, 200, 200]);
        lossy[50].1 = false;
        assert_eq!(phases(&lossy, 100 * MS, 100 * MS), 3);
        let mut whole = line(&[0, 1_000]);
        for sent in whole.iter_mut().step_by(10) {
            sent.1 = false;
        }
        assert_eq!(phases(&whole, 100 * MS, 100 * MS), 0);
    }
}
