//! What a Manager is started with.
//!
//! Owns the configuration and its rules. Invariant: a configuration that passed its check can be served.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use secrecy::SecretString;

use super::controllers::Controller;
use super::faults::ExpiryShape;
use super::limits::Limits;
use super::push_delay::{PushDelay, PushDelayError};
use super::task::Target;
use super::template::TemplateKind;
use super::tenants::{Tenant, TenantError, check_tenants};
use super::tls::TlsError;
use super::value;

/// What a Manager is started with.
#[derive(Debug)]
pub struct Config {
    /// Where it serves, at least one; already bound, so they may belong to another network namespace.
    pub listeners: Vec<TcpListener>,
    /// The one user; HTTP Basic carries no colon in a name (RFC 7617, 2).
    pub username: String,
    /// Their password; never logged.
    pub password: SecretString,
    /// The WAN edges, one for each site.
    pub devices: Vec<Device>,
    /// The Controllers, at least one.
    pub controllers: Vec<Controller>,
    /// How they are configured.
    pub controller_template: TemplateKind,
    /// From the acceptance of an activation to the programming of each edge.
    pub push_delay: PushDelay,
    /// Between two rows of statistics of a tunnel, above zero; longer where that would be too many rows, see `history`.
    /// The product has 10 min.
    pub statistics_interval: Duration,
    /// An edge that tells nothing for so long counts as one that does not answer.
    pub edge_patience: Duration,
    /// What it takes before it refuses.
    pub limits: Limits,
    /// How clients with a cookie find out that their session has expired.
    pub expiry: ExpiryShape,
    /// From the start until `/client/server/ready` says so. Requests are answered all the same.
    pub ready_after: Duration,
    /// Who shares the edges; the Manager is of a single tenant if there are none.
    pub tenants: Vec<Tenant>,
}

impl Config {
    /// One user and no tenants, one Controller, edges that are programmed at once, statistics every second, and the
    /// product's limits.
    #[must_use]
    pub fn new(
        listeners: Vec<TcpListener>,
        username: String,
        password: SecretString,
        devices: Vec<Device>,
    ) -> Self {
        Self {
            listeners,
            username,
            password,
            devices,
            controllers: vec![Controller::default()],
            controller_template: TemplateKind::default(),
            push_delay: PushDelay::default(),
            statistics_interval: Duration::from_secs(1),
            edge_patience: Duration::from_secs(10),
            limits: Limits::PRODUCT,
            expiry: ExpiryShape::default(),
            ready_after: Duration::ZERO,
            tenants: Vec::new(),
        }
    }

    /// Checks all but the listeners.
    pub(super) fn check(&self) -> Result<(), StartError> {
        if !is_user_name(&self.username) {
            return Err(StartError::UserName(self.username.clone()));
        }
        check_devices(&self.devices)?;
        check_controllers(&self.controllers)?;
        self.push_delay.check()?;
        check_tenants(&self.tenants)?;
        if self.statistics_interval.is_zero() {
            return Err(StartError::NoStatisticsInterval);
        }
        Ok(())
    }
}

/// A WAN edge that the Manager manages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name.
    pub host_name: String,
    /// The address that identifies it.
    pub system_ip: Ipv4Addr,
    /// Its site.
    pub site_id: u32,
    /// The service VPNs that it has.
    pub service_vpns: Vec<u16>,
    /// The colors of its TLOCs.
    pub colors: Vec<String>,
}

impl Device {
    /// Its UUID in the inventory.
    pub(super) fn uuid(&self) -> String {
        format!("C8K-{}", self.system_ip)
    }

    /// As a task tells of it.
    pub(super) fn target(&self) -> Target {
        Target {
            host_name: self.host_name.clone(),
            system_ip: self.system_ip,
            site_id: self.site_id,
            uuid: self.uuid(),
            device_type: "vedge",
        }
    }
}

/// Why a Manager did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is nowhere to serve.
    #[error("serve the Manager without a listener")]
    NoListener,
    /// The user could not log in everywhere.
    #[error(
        "name the user `{0}`; at least one character, and neither a colon nor a control character, is accepted"
    )]
    UserName(String),
    /// Two devices have one site; policy could not tell them apart.
    #[error("manage two WAN edges of site {0}")]
    SiteTwice(u32),
    /// A TLOC has a color that does not exist.
    #[error("manage WAN edge `{host_name}` with color `{color}`, which is not one of the 22 colors")]
    Color {
        /// The device.
        host_name: String,
        /// The color.
        color: String,
    },
    /// There is no Controller.
    #[error("manage WAN edges without a Controller")]
    NoController,
    /// Two Controllers have one name, or one system IP.
    #[error("manage two Controllers that are both `{0}`")]
    ControllerTwice(String),
    /// The delays of pushes.
    #[error(transparent)]
    PushDelay(#[from] PushDelayError),
    /// Tenants cannot be told apart.
    #[error(transparent)]
    Tenants(#[from] TenantError),
    /// Statistics would have a row in no time.
    #[error("record statistics every 0 s; the interval is above zero")]
    NoStatisticsInterval,
    /// A listener cannot be used.
    #[error("use a listener of the Manager")]
    Listener(#[source] std::io::Error),
    /// There is no certificate.
    #[error("prepare TLS for the Manager")]
    Tls(#[from] TlsError),
}

/// Whether HTTP Basic can carry a user's name (RFC 7617, 2).
#[must_use]
pub fn is_user_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c == ':' || c.is_control())
}

fn check_controllers(controllers: &[Controller]) -> Result<(), StartError> {
    if controllers.is_empty() {
        return Err(StartError::NoController);
    }
    let mut known = BTreeSet::new();
    for controller in controllers {
        let identity = [controller.host_name.clone(), controller.system_ip.to_string()];
        if let Some(twice) = identity.into_iter().find(|word| !known.insert(word.clone())) {
            return Err(StartError::ControllerTwice(twice));
        }
    }
    Ok(())
}

fn check_devices(devices: &[Device]) -> Result<(), StartError> {
    let mut sites = BTreeSet::new();
    for device in devices {
        if !sites.insert(device.site_id) {
            return Err(StartError::SiteTwice(device.site_id));
        }
        if let Some(color) = device.colors.iter().find(|color| value::color(color).is_err()) {
            return Err(StartError::Color {
                host_name: device.host_name.clone(),
                color: color.clone(),
            });
        }
    }
    Ok(())
}
