//! Numbers that are handed out one after the other: addresses and ports.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// A range of numbers, each of which has one holder at most. A number that is given back is handed out again only
/// after the rest of the range, so that a late packet to one holder does not reach its successor.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    range: RangeInclusive<u128>,
    used: BTreeSet<u128>,
    last: Option<u128>,
}

/// Why a number cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    OutOfRange,
    Taken,
}

impl Pool {
    pub(super) fn new(range: RangeInclusive<u128>) -> Self {
        Pool {
            range,
            used: BTreeSet::new(),
            last: None,
        }
    }

    pub(super) fn reserve(&mut self, number: u128) -> Result<(), Refusal> {
        if !self.range.contains(&number) {
            return Err(Refusal::OutOfRange);
        }
        match self.used.insert(number) {
            true => Ok(()),
            false => Err(Refusal::Taken),
        }
    }

    /// `None` if every number has a holder.
    pub(super) fn next_free(&mut self) -> Option<u128> {
        let (first, end) = (*self.range.start(), *self.range.end());
        let after = self.last.map_or(first, |last| last + 1);
        let number = (after..=end)
            .chain(first..after)
            .find(|number| !self.used.contains(number))?;
        self.used.insert(number);
        self.last = Some(number);
        Some(number)
    }

    pub(super) fn release(&mut self, number: u128) {
        self.used.remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_number_is_reused_only_after_the_rest_of_the_range() {
        let mut pool = Pool::new(1..=6);
        assert_eq!(pool.next_free(), Some(1));
        pool.release(1);
        assert_eq!(pool.reserve(3), Ok(()));
        let rest: Vec<_> = (0..5).filter_map(|_| pool.next_free()).collect();
        assert_eq!(rest, [2, 4, 5, 6, 1]);
        assert_eq!(pool.next_free(), None);
    }

    #[test]
    fn a_taken_or_foreign_number_is_refused() {
        let mut pool = Pool::new(1..=6);
        assert_eq!(pool.reserve(6), Ok(()));
        assert_eq!(pool.reserve(6), Err(Refusal::Taken));
        assert_eq!(pool.reserve(7), Err(Refusal::OutOfRange));
    }
}
