//! The client of the Cisco Catalyst SD-WAN Manager's REST API.
//!
//! Owns sessions, requests and their retries, the JSON of the API, reading the operator's objects
//! ([`ManagerClient::observe`]) and writing a change set ([`ManagerClient::apply`]). Decides nothing: what to write
//! comes from [`crate::core`].
//!
//! Invariants: every request and every wait has a deadline; only objects with the owner mark are written or
//! deleted; no call deactivates a policy.

mod apply;
mod credentials;
mod error;
mod groups;
mod login;
mod observe;
mod plan;
mod reply;
mod session;
mod statistics;
mod task;
mod transport;
mod uninstall;
mod wire;
mod write;

pub use self::credentials::{Credentials, LoginKind, Password};
pub use self::error::{Call, ManagerError, Taken};
pub use self::observe::{Backend, Identity, Observed};
pub use self::plan::{Plan, Previewed, Step, Verb};
pub use self::transport::{ManagerClient, Patience, Trust};
pub use self::uninstall::Uninstalled;
pub use reqwest::Url;
