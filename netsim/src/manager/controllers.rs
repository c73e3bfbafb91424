//! The Controllers (vSmart), which stand between the Manager and the edges.
//!
//! Owns who they are and whether the Manager reaches them. Invariant: a Controller that comes back has the newest
//! policy at once, so edges can get policy while any Controller is online.

use std::net::Ipv4Addr;

use uuid::Uuid;

use super::faults::{Fault, Faults};
use super::task::Target;

/// A Controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controller {
    /// Its name.
    pub host_name: String,
    /// The address that identifies it.
    pub system_ip: Ipv4Addr,
}

impl Default for Controller {
    /// `vsmart1`.
    fn default() -> Self {
        Self {
            host_name: "vsmart1".to_owned(),
            system_ip: Ipv4Addr::new(172, 16, 255, 5),
        }
    }
}

impl Controller {
    /// Its row in a task.
    pub(super) fn target(&self) -> Target {
        Target {
            host_name: self.host_name.clone(),
            system_ip: self.system_ip,
            site_id: 0,
            uuid: self.uuid().to_string(),
            device_type: "vsmart",
        }
    }

    /// The UUID of its chassis, which is always the same.
    pub(super) fn uuid(&self) -> Uuid {
        let [a, b, c, d] = self.system_ip.octets();
        Uuid::from_fields(0x0b2e_6a3c, 0x3f0e, 0x4a0e, &[0x9a, 0x52, 0x6f, 0x5b, a, b, c, d])
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Controllers {
    all: Vec<Controller>,
    faults: Faults,
}

impl Controllers {
    /// These, as far as the faults leave them online.
    pub(super) fn new(all: Vec<Controller>, faults: Faults) -> Self {
        Self { all, faults }
    }

    /// All, in the order of the configuration.
    pub(super) fn all(&self) -> &[Controller] {
        &self.all
    }

    /// Whether the Manager reaches this one.
    pub(super) fn is_online(&self, controller: &Controller) -> bool {
        !self.faults.is_in_force(|fault| loses(fault, controller))
    }

    /// How many the Manager reaches.
    pub(super) fn online(&self) -> usize {
        let online = |controller: &&Controller| self.is_online(controller);
        self.all.iter().filter(online).count()
    }

    /// Those that a push does not reach; the faults are thereby felt.
    pub(super) fn feel_away(&self) -> Vec<Controller> {
        let away = |controller: &&Controller| {
            let lost = self.faults.feel(|fault| loses(fault, controller).then_some(()));
            lost.is_some()
        };
        self.all.iter().filter(away).cloned().collect()
    }
}

fn loses(fault: &Fault, controller: &Controller) -> bool {
    match fault {
        Fault::LoseController { controllers } => {
            controllers.is_empty() || controllers.contains(&controller.host_name)
        }
        _ => false,
    }
}
