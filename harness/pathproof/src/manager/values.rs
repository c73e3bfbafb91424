//! What the options of `pathproof manager` take.
//!
//! Pure: texts become parts of the Manager's configuration, or are refused with the form that is accepted.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use clap::ValueEnum;
use netsim::manager::faults::ExpiryShape;
use netsim::manager::limits::Limits;
use netsim::manager::{
    Controller, Distribution, TemplateKind, Tenant, TenantError, check_tenants, is_user_name,
};
use scenario::quantity::parse_duration;

/// Most Controllers, which are enough to lose some.
pub(super) const CONTROLLERS_MAX: u8 = 12;

/// How clients with a cookie find out that their session has expired.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub enum Expiry {
    /// 200 with the login page.
    #[default]
    LoginPage,
    /// 302 to the login page.
    Redirect,
    /// 403 with JSON.
    Forbidden,
    /// 403 with JSON, and the cookie is taken away.
    Cookie,
}

impl From<Expiry> for ExpiryShape {
    fn from(expiry: Expiry) -> Self {
        match expiry {
            Expiry::LoginPage => Self::LoginPage,
            Expiry::Redirect => Self::Redirect,
            Expiry::Forbidden => Self::Forbidden,
            Expiry::Cookie => Self::Cookie,
        }
    }
}

/// How the Controllers are configured.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub enum Template {
    /// By feature templates.
    #[default]
    Feature,
    /// By a text of commands.
    Cli,
}

impl From<Template> for TemplateKind {
    fn from(template: Template) -> Self {
        match template {
            Template::Feature => Self::Feature,
            Template::Cli => Self::Cli,
        }
    }
}

/// Tenants that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum UnfitTenants {
    /// They cannot be told apart.
    #[error(transparent)]
    Alike(#[from] TenantError),
    /// A service VPN that is nowhere.
    #[error(
        "give service VPN {service_vpn} to tenant `{tenant}`: the edges have {}",
        listed(known)
    )]
    ServiceVpn {
        /// The tenant.
        tenant: String,
        /// The service VPN.
        service_vpn: u16,
        /// Those that there are.
        known: BTreeSet<u16>,
    },
}

/// Checks that tenants share what there is.
pub(super) fn check(tenants: &[Tenant], known: &BTreeSet<u16>) -> Result<(), UnfitTenants> {
    check_tenants(tenants)?;
    for tenant in tenants {
        if let Some(&service_vpn) = tenant.service_vpns.difference(known).next() {
            return Err(UnfitTenants::ServiceVpn {
                tenant: tenant.id.clone(),
                service_vpn,
                known: known.clone(),
            });
        }
    }
    Ok(())
}

/// Numbers, with commas.
pub(super) fn listed(numbers: &BTreeSet<u16>) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    numbers.join(", ")
}

/// So many Controllers, from `vsmart1` on.
pub(super) fn controllers(count: u8) -> Vec<Controller> {
    let first = u32::from(Controller::default().system_ip);
    let controller = |number: u8| Controller {
        host_name: format!("vsmart{number}"),
        system_ip: Ipv4Addr::from(first + u32::from(number) - 1),
    };
    (1..=count).map(controller).collect()
}

pub(super) fn tenant(text: &str) -> Result<Tenant, String> {
    let form = "an id and its service VPNs are accepted, such as red=10,20";
    let (id, service_vpns) = text.split_once('=').ok_or(form)?;
    let service_vpns: Result<BTreeSet<u16>, _> = service_vpns.split(',').map(str::parse).collect();
    Ok(Tenant {
        id: id.to_owned(),
        name: id.to_owned(),
        service_vpns: service_vpns.map_err(|_| form)?,
    })
}

pub(super) fn rate_limit(text: &str) -> Result<Limits, String> {
    if text == "none" {
        return Ok(Limits::SESSIONS_ONLY);
    }
    let limit: NonZeroU32 = text
        .parse()
        .map_err(|_| "a number from 1, or none, is accepted")?;
    Ok(Limits {
        requests_per_second: Some(limit),
        ..Limits::PRODUCT
    })
}

pub(super) fn user_name(text: &str) -> Result<String, String> {
    if is_user_name(text) {
        return Ok(text.to_owned());
    }
    Err("at least one character, and neither a colon nor a control character, is accepted".to_owned())
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

pub(super) fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval.is_zero() {
        return Err("a time above zero is accepted, such as 10s".to_owned());
    }
    Ok(interval)
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| "an IP address and a port are accepted, such as 127.0.0.1:8443 or [::1]:0".to_owned())?;
    // Clients check the certificate against the address that they connect to.
    if address.ip().is_unspecified() {
        return Err("one address of this machine is accepted: the certificate has to name it".to_owned());
    }
    Ok(address)
}

pub(super) fn push_delay(text: &str) -> Result<Distribution, String> {
    Ok(match text.split_once("..") {
        None => Distribution::Fixed(duration(text)?),
        Some((min, max)) => {
            let (min, max) = (duration(min)?, duration(max)?);
            if min > max {
                return Err("the shortest comes first, such as 1s..3s".to_owned());
            }
            Distribution::Uniform { min, max }
        }
    })
}
