//! The edges of one push that refuse it, as the fault `failPushes` wants.
//!
//! Invariant: a fault strikes what reaches an edge while it is in force, and counts once for each push, on however many edges it
//! strikes that. A push that reaches no edge is struck by none.

use std::sync::{Mutex, PoisonError};

use crate::manager::faults::{Fault, Faults};

/// The edges of one push that refuse it.
pub(super) struct Refusing {
    faults: Faults,
    /// What has struck this push.
    struck: Mutex<Vec<Struck>>,
}

struct Struck {
    id: u64,
    sites: Vec<u32>,
    /// This push used the fault up, which strikes all of it nevertheless.
    is_last: bool,
}

impl Refusing {
    /// Those of a push that has reached no edge yet.
    pub(super) fn new(faults: &Faults) -> Self {
        Self {
            faults: faults.clone(),
            struck: Mutex::default(),
        }
    }

    /// Whether the edge of this site, which the push has reached, refuses; the fault is thereby felt.
    pub(super) fn has(&self, site_id: u32) -> bool {
        let strikes = |sites: &[u32]| sites.is_empty() || sites.contains(&site_id);
        let mut struck = self.struck.lock().unwrap_or_else(PoisonError::into_inner);
        let strikes_on =
            |known: &Struck| strikes(&known.sites) && (known.is_last || self.faults.is_named(known.id));
        if struck.iter().any(strikes_on) {
            return true;
        }
        let felt = self.faults.feel_in_force(|fault| match &fault.fault {
            Fault::FailPushes { sites, .. } if strikes(sites) => Some(Struck {
                id: fault.id,
                sites: sites.clone(),
                is_last: fault.left == Some(1),
            }),
            _ => None,
        });
        let refuses = felt.is_some();
        struck.extend(felt);
        refuses
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn fail(faults: &Faults, count: Option<u32>, sites: &[u32]) -> u64 {
        faults.inject(Fault::FailPushes {
            count,
            sites: sites.to_vec(),
        })
    }

    #[test]
    fn a_fault_counts_once_for_each_push() {
        let faults = Faults::new(Arc::default());
        fail(&faults, Some(2), &[1, 2]);
        for left in [Some(Some(1)), None] {
            let push = Refusing::new(&faults);
            assert_eq!([1, 2, 3].map(|site| push.has(site)), [true, true, false]);
            let in_force = faults.in_force();
            assert_eq!(in_force.first().map(|fault| fault.left), left);
        }
        assert!(!Refusing::new(&faults).has(1));
    }

    #[test]
    fn a_fault_strikes_from_its_injection_until_it_is_healed() {
        let faults = Faults::new(Arc::default());
        let push = Refusing::new(&faults);
        assert!(!push.has(1));
        let id = fail(&faults, None, &[]);
        assert!(push.has(2));
        faults.heal(id);
        assert!(!push.has(3));
    }

    #[test]
    fn another_fault_strikes_where_the_first_does_not() {
        let faults = Faults::new(Arc::default());
        let ids = [fail(&faults, None, &[1]), fail(&faults, Some(1), &[2])];
        let push = Refusing::new(&faults);
        assert_eq!([1, 2, 1, 2].map(|site| push.has(site)), [true; 4]);
        let in_force = faults.in_force();
        assert_eq!(
            in_force
                .iter()
                .map(|fault| (fault.id, fault.felt))
                .collect::<Vec<_>>(),
            [(ids[0], 1)]
        );
    }
}
