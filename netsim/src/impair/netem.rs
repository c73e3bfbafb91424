//! The kernel's own impairments, tc-netem(8), where it has them: a netem queue for each line, on the interface that
//! its packets leave by.
//!
//! Owns which line has which band. Each such interface has a `prio` queue of 16 bands; packets with the mark of a line go to its
//! band by a `fw` filter, all others to the first one, unimpaired. Which packets get a mark is not decided here.
//! Invariant: a band that was made stays, so that packets on their way keep the delays that they were given.
//!
//! # Limits
//! What netem means otherwise than [`super::schedule`], it is not asked for: flipped bits (netem flips them in
//! Ethernet and IP headers, too), duplicates (newer kernels refuse them below another queue), MTUs and jitter above
//! two seconds. Segments that a sender left to the network card stay together, so that they are lost together.
//! With a rate, the packets that may wait are counted, not timed: as many of full size as pass in 100 ms and the
//! delay; reordered packets do not wait for it. Before kernel 6.7 netem's chances have no seed.

mod queues;
mod socket;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use super::impairment::{Impairment, Loss, Percent};
use super::{Line, seed_of};
use crate::netns::{Netns, NetnsError};
use queues::BANDS;
use socket::RouteSocket;

/// netem keeps jitter in 31 bits of nanoseconds.
const JITTER_MAX: Duration = Duration::from_secs(2);

/// Why netem did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum NetemError {
    /// The namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The kernel refused a queue, a filter or a socket.
    #[error(
        "impair packets by netem in netns `{netns}` (needs CONFIG_NET_SCH_NETEM, NET_SCH_PRIO and NET_CLS_FW)"
    )]
    Refused {
        /// The namespace.
        netns: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// Whether netem means the same by an impairment as the userspace hop.
#[must_use]
pub fn has_words_for(impairment: &Impairment) -> bool {
    impairment.mtu.is_none()
        && impairment.corrupt == Percent::ZERO
        && impairment.duplicate == Percent::ZERO
        && impairment.jitter <= JITTER_MAX
        && impairment.loss != Loss::All
}

/// Whether the kernel of a namespace has netem, and lets the caller use it; tried on its loopback interface.
///
/// # Errors
/// When the namespace cannot be entered.
pub fn is_available(netns: &Netns) -> Result<bool, NetnsError> {
    netns.run(|| {
        let tried = || -> io::Result<()> {
            let index = nix::net::if_::if_nametoindex("lo")?;
            queues::try_netem(&mut RouteSocket::open()?, index)
        };
        tried().is_ok()
    })
}

/// The netem queues of one host.
#[derive(Debug)]
pub(super) struct Netem {
    netns: Netns,
    seed: u64,
    /// The indices of the interfaces that the lines leave by, and their bands there.
    bands: BTreeMap<Line, (u32, u32)>,
    /// Interfaces that have their `prio` queue.
    roots: BTreeSet<u32>,
}

impl Netem {
    pub(super) fn new(netns: &Netns, seed: u64) -> Self {
        Self {
            netns: netns.clone(),
            seed,
            bands: BTreeMap::new(),
            roots: BTreeSet::new(),
        }
    }

    /// Makes queues for those of these lines that it can; returns the marks of their packets. A line that it cannot
    /// impair has no mark: netem has not the words, the interface has no band left, or no route leads to the line.
    pub(super) fn set(
        &mut self,
        lines: &BTreeMap<Line, Impairment>,
    ) -> Result<BTreeMap<Line, u32>, NetemError> {
        self.bands.retain(|line, _| lines.contains_key(line));
        let netns = self.netns.clone();
        let done = netns.run(|| {
            let mut socket = RouteSocket::open()?;
            let mut marks = BTreeMap::new();
            for (line, impairment) in lines.iter().filter(|(_, impairment)| has_words_for(impairment)) {
                let (index, band) = match self.bands.get(line) {
                    Some(place) => *place,
                    None => match socket
                        .interface_to(line.to)?
                        .and_then(|index| self.free_band(index))
                    {
                        Some(place) => place,
                        None => continue,
                    },
                };
                if self.roots.insert(index)
                    && let Err(error) = queues::add_bands(&mut socket, index)
                {
                    self.roots.remove(&index);
                    return Err(error);
                }
                let seed = seed_of(self.seed, line);
                queues::set_netem(&mut socket, index, band, impairment, seed)?;
                self.bands.insert(line.clone(), (index, band));
                marks.insert(line.clone(), band);
            }
            Ok(marks)
        })?;
        done.map_err(|source| NetemError::Refused {
            netns: self.netns.name().to_owned(),
            source,
        })
    }

    /// An interface with a band that no line has.
    fn free_band(&self, interface: u32) -> Option<(u32, u32)> {
        let mut bands = BANDS.map(|band| (interface, band));
        bands.find(|place| !self.bands.values().any(|taken| taken == place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_an_interface_has_a_band_of_its_own_until_none_is_left() {
        let mut netem = Netem::new(&Netns::current().unwrap(), 7);
        let line = |from: u32| Line {
            to: [10, 0, 0, 1].into(),
            from: Some(format!("edge{from}")),
        };
        for from in 0..15 {
            let place = netem.free_band(9).unwrap();
            assert_eq!(place, (9, from + 2));
            netem.bands.insert(line(from), place);
        }
        assert_eq!(netem.free_band(9), None);
        assert_eq!(netem.free_band(8), Some((8, 2)));
        netem.bands.remove(&line(3));
        assert_eq!(netem.free_band(9), Some((9, 5)));
    }

    #[test]
    fn what_netem_means_otherwise_is_left_to_the_hop() {
        let plain = Impairment {
            delay: Duration::from_millis(1),
            ..Impairment::default()
        };
        assert!(has_words_for(&plain));
        let share = Percent::from_millionths(1).unwrap();
        for other in [
            Impairment {
                mtu: Some(1_400),
                ..plain
            },
            Impairment {
                corrupt: share,
                ..plain
            },
            Impairment {
                duplicate: share,
                ..plain
            },
            Impairment::black_hole(),
        ] {
            assert!(!has_words_for(&other), "{other:?}");
        }
    }
}
