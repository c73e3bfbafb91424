//! What goes wrong while a timeline is played.
//!
//! Owns when faults are put in force, checked and verified. Invariant: no run ends before all of its faults are
//! verified.

use scenario::model::Event;
use serde_json::json;

use super::{PlayError, Player};
use crate::lab::faults::{Change, FaultError};
use crate::lab::felt::{Unfelt, Verified};

impl Player<'_> {
    /// Changes what is wrong with a transport, and begins to check it.
    pub(super) async fn inject(
        &mut self,
        transport: usize,
        change: Change,
        name: &str,
    ) -> Result<(), PlayError> {
        let check = self.lab.wan.faults.change(transport, change).await?;
        self.log.note("fault", "in force", json!(name));
        self.checks.insert(transport, tokio::spawn(check.run()));
        Ok(())
    }

    /// Waits for the check of a transport's last fault, if one is under way.
    pub(super) async fn checked(&mut self, transport: usize) -> Result<(), PlayError> {
        let Some(check) = self.checks.remove(&transport) else {
            return Ok(());
        };
        let report = self
            .meanwhile(check)
            .await?
            .map_err(|source| FaultError::Check {
                transport: self.plan.transports[transport].name.clone(),
                source,
            })??;
        self.log.note("fault", "verified", report);
        Ok(())
    }

    /// Does to the Manager or to the API of a cluster what the event says.
    pub(super) fn trouble(&mut self, name: &str, event: &Event) -> Result<(), Unfelt> {
        let lab = &mut *self.lab;
        let cluster = |name: &Option<String>| self.plan.cluster(name.as_deref());
        let verified = match event {
            Event::ManagerFault { fault } => {
                lab.manager_faults.inject(name, fault);
                None
            }
            Event::ApiFault { cluster: at, fault } => {
                lab.api_faults.inject(name, cluster(at), fault);
                None
            }
            Event::HealManager => Some(lab.manager_faults.heal()?),
            Event::HealApi { cluster: at } => Some(lab.api_faults.heal(cluster(at))?),
            _ => return Ok(()),
        };
        match verified {
            Some(verified) => self.log_verified(&verified),
            None => {
                self.log.note("fault", "in force", json!(name));
            }
        }
        Ok(())
    }

    /// Verifies what was done to the Manager and to APIs, and is not verified yet.
    pub(super) fn end_trouble(&mut self) -> Result<(), Unfelt> {
        let mut verified = self.lab.manager_faults.end()?;
        verified.extend(self.lab.api_faults.end()?);
        self.log_verified(&verified);
        Ok(())
    }

    fn log_verified(&self, faults: &[Verified]) {
        for fault in faults {
            self.log.note("fault", "verified", json!(fault));
        }
    }
}
