//! The embedded lab: namespaces, fabric, Kubernetes API and Manager of one run.
//!
//! [`network`] builds the wires of a plan; [`carriage`] has the encapsulations of its transports; [`clusters`] are its
//! Kubernetes clusters, [`pods`] runs their pods as namespaces, [`kubeconfigs`] lead to them; [`edges`] is what the
//! Manager programs; [`faults`] breaks the WAN as a scenario asks; [`wan`] puts these together; [`manager_faults`] breaks
//! the Manager, [`api_faults`] Kubernetes APIs; [`operator`] runs the implementation under test; [`embedded`] is the whole
//! lab; [`limits`] refuses what it cannot carry.

pub mod api_faults;
pub mod carriage;
pub mod clusters;
pub mod edges;
pub mod embedded;
mod fault_check;
pub mod faults;
pub mod felt;
pub mod kubeconfigs;
pub mod limits;
pub mod manager_faults;
pub mod network;
pub mod operator;
pub mod pods;
pub mod sabotage;
mod telemetry;
pub mod wan;

pub use embedded::{Lab, LabError, LabOptions, Listeners};
pub use wan::{Wan, WanOptions};
