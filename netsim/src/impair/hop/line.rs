//! The packets of one line: which wait, and when each goes.
//!
//! Pure but for the octets of copies. Invariant: a packet waits from its arrival until it leaves, once.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::packets::flipped;
use crate::impair::impairment::{Impairment, Loss, Percent};
use crate::impair::queue::Copy;
use crate::impair::schedule::{Fate, Scheduler};

/// A line: what happens to its packets, and which of them wait.
pub(super) struct Line {
    scheduler: Scheduler,
    /// Numbers of the packets that wait, in the order of arrival; `None` for those gone already.
    waiting: VecDeque<Option<u32>>,
    /// How many of `waiting` are left.
    count: usize,
    /// Position of the first of `waiting` among all arrivals of the line.
    first: u64,
    /// From when on it ends once no packet waits in it.
    ends_at: Option<u64>,
}

/// A packet, or a second copy of one, and when it goes.
pub(super) struct Due {
    pub(super) at_ns: u64,
    /// Breaks ties, so that packets of one time stay in order.
    order: u64,
    pub(super) queue: u16,
    pub(super) action: Action,
}

pub(super) enum Action {
    /// The packet at this position of its line goes on, with this payload if there is one.
    Release(u64, Option<Box<[u8]>>),
    /// These octets are sent as a packet.
    Send(Box<[u8]>),
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ns, self.order).cmp(&(other.at_ns, other.order))
    }
}

/// A packet is to be dropped.
pub(super) struct Lost;

/// What an arrival needs besides its line.
pub(super) struct Arrival<'a> {
    pub(super) now: u64,
    pub(super) order: &'a mut u64,
    pub(super) due: &'a mut BinaryHeap<Reverse<Due>>,
}

impl Line {
    pub(super) fn new(impairment: Impairment, seed: u64) -> Self {
        Self {
            scheduler: Scheduler::new(impairment, seed),
            waiting: VecDeque::new(),
            count: 0,
            first: 0,
            ends_at: None,
        }
    }

    /// Impairs packets that arrive from now on otherwise; a line that was to end does not.
    pub(super) fn set(&mut self, impairment: Impairment) {
        self.ends_at = None;
        self.scheduler.set(impairment);
    }

    /// Lets it end, if it is not to already: not before `ends_at`, because packets that met the old rules may still be
    /// on their way into its queue.
    pub(super) fn end(&mut self, ends_at: u64) {
        self.ends_at.get_or_insert(ends_at);
    }

    /// Whether no packet waits in it.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// When it may end, if it is to end.
    pub(super) fn ends_at(&self) -> Option<u64> {
        self.ends_at
    }

    /// Whether it is to end by now and no packet waits in it.
    pub(super) fn is_over(&self, now: u64) -> bool {
        self.ends_at.is_some_and(|ends_at| ends_at <= now) && self.is_empty()
    }

    /// Takes in a packet of so many octets, of which `payload` is what was copied.
    pub(super) fn arrive(
        &mut self,
        arrival: &mut Arrival<'_>,
        queue: u16,
        (id, octets): (u32, u32),
        payload: &[u8],
    ) -> Option<Lost> {
        let Fate::Sent {
            at_ns,
            flip,
            again_ns,
        } = self.scheduler.packet(arrival.now, octets)
        else {
            return Some(Lost);
        };
        let position = self.first + u64::try_from(self.waiting.len()).expect("a u64 holds a usize");
        self.waiting.push_back(Some(id));
        self.count += 1;
        let changed = flip.map(|random| flipped(payload, random));
        let again = again_ns.map(|at_ns| (at_ns, Action::Send(payload.into())));
        for (at_ns, action) in [(at_ns, Action::Release(position, changed))]
            .into_iter()
            .chain(again)
        {
            *arrival.order += 1;
            arrival.due.push(Reverse(Due {
                at_ns,
                order: *arrival.order,
                queue,
                action,
            }));
        }
        None
    }

    /// Takes a packet out; returns its number and whether none that came before it waits any more.
    pub(super) fn leave(&mut self, position: u64) -> Option<(u32, bool)> {
        let index = usize::try_from(position - self.first).ok()?;
        let id = self.waiting.get_mut(index)?.take()?;
        self.count -= 1;
        let is_first = index == 0;
        while let Some(None) = self.waiting.front() {
            self.waiting.pop_front();
            self.first += 1;
        }
        Some((id, is_first))
    }
}

/// How much of its packets a line has to see.
pub(super) fn copy(impairment: &Impairment) -> Copy {
    let is_segmented = !matches!(impairment.loss, Loss::None)
        || impairment.reorder > Percent::ZERO
        || !impairment.jitter.is_zero();
    if impairment.corrupt > Percent::ZERO || impairment.duplicate > Percent::ZERO {
        Copy::Everything
    } else if is_segmented || impairment.rate.is_some() || impairment.mtu.is_some() {
        Copy::Length
    } else {
        Copy::Nothing
    }
}
