//! Tenants that share WAN edges, and each see a Manager of their own.
//!
//! Owns the division of an edge's policy by service VPN: a tenant has some, the provider has the rest. Every tenant has
//! objects, activations and tasks of its own; [`Part`] stands between them and the edges. Invariant: what a tenant activates
//! is in force in its service VPNs alone, and changes nothing of what another has activated.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::Device;
use crate::fabric::edge::Counted;
use crate::policy::{ApplyError, EdgePolicy, Edges};
use crate::telemetry::{PolicyReport, Telemetry, TelemetryError, TunnelReport};

/// A tenant of a Manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Names it in paths.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The service VPNs that are its own, on all edges; no other tenant has them.
    pub service_vpns: BTreeSet<u16>,
}

/// Why tenants cannot share a Manager.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TenantError {
    /// An id is empty, or has something else than letters, digits, `-`, `_` and `.`.
    #[error("name a tenant `{0}`; an id has letters, digits, `-`, `_` and `.`")]
    Id(String),
    /// Two have one id.
    #[error("manage two tenants with the id `{0}`")]
    IdTwice(String),
    /// Two have one service VPN; their policies could not be told apart.
    #[error("give service VPN {service_vpn} to tenant `{second}`; tenant `{first}` has it")]
    ServiceVpnTwice {
        /// The service VPN.
        service_vpn: u16,
        /// Who has it.
        first: String,
        /// Who should have it too.
        second: String,
    },
}

/// Checks that tenants can be told apart.
pub(super) fn check(tenants: &[Tenant]) -> Result<(), TenantError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let mut owners: BTreeMap<u16, &str> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for tenant in tenants {
        if tenant.id.is_empty() || !tenant.id.chars().all(is_plain) {
            return Err(TenantError::Id(tenant.id.clone()));
        }
        if !ids.insert(&tenant.id) {
            return Err(TenantError::IdTwice(tenant.id.clone()));
        }
        for &service_vpn in &tenant.service_vpns {
            if let Some(first) = owners.insert(service_vpn, &tenant.id) {
                return Err(TenantError::ServiceVpnTwice {
                    service_vpn,
                    first: first.to_owned(),
                    second: tenant.id.clone(),
                });
            }
        }
    }
    Ok(())
}

/// The edges as a tenant has them, or the provider without one: with its service VPNs only.
pub(super) fn devices_of(tenant: Option<&Tenant>, tenants: &[Tenant], devices: &[Device]) -> Vec<Device> {
    let is_own = |service_vpn: &u16| match tenant {
        Some(tenant) => tenant.service_vpns.contains(service_vpn),
        None => !tenants
            .iter()
            .any(|other| other.service_vpns.contains(service_vpn)),
    };
    let own = devices.iter().cloned().map(|mut device| {
        device.service_vpns.retain(is_own);
        device
    });
    own.collect()
}

/// What each edge was told, by whom; the provider is the empty id.
#[derive(Debug)]
pub(super) struct Shares(BTreeMap<u32, Mutex<BTreeMap<String, EdgePolicy>>>);

impl Shares {
    /// Nothing was told.
    pub(super) fn new(devices: &[Device]) -> Self {
        let sites = devices.iter().map(|device| (device.site_id, Mutex::default()));
        Self(sites.collect())
    }
}

/// One tenant's part in the edges, or the provider's.
pub(super) struct Part<E> {
    /// All of them.
    pub(super) edges: Arc<E>,
    /// What the others have told them.
    pub(super) shares: Arc<Shares>,
    /// Nobody: the provider, who sees all policy.
    pub(super) tenant: Option<Tenant>,
}

#[async_trait]
impl<E: Edges> Edges for Part<E> {
    async fn apply(&self, policy: &EdgePolicy) -> Result<(), ApplyError> {
        let site_id = policy.site_id;
        let shares = self.shares.0.get(&site_id).ok_or_else(|| ApplyError {
            site_id,
            reason: "no WAN edge has this site".to_owned(),
        })?;
        // Held while the edge works: another tenant's policy must be merged with what this leaves.
        let mut shares = shares.lock().await;
        let whose = self.tenant.as_ref().map_or("", |tenant| &tenant.id);
        let others = shares.iter().filter(|(other, _)| *other != whose);
        let all = merged(policy, others.map(|(_, share)| share));
        self.edges.apply(&all).await?;
        shares.insert(whose.to_owned(), policy.clone());
        Ok(())
    }
}

#[async_trait]
impl<E: Telemetry> Telemetry for Part<E> {
    async fn tunnels(&self, site_id: u32) -> Result<Vec<TunnelReport>, TelemetryError> {
        self.edges.tunnels(site_id).await
    }

    async fn policy(&self, site_id: u32) -> Result<PolicyReport, TelemetryError> {
        let report = self.edges.policy(site_id).await?;
        Ok(match &self.tenant {
            Some(tenant) => share_of(tenant, report),
            None => report,
        })
    }
}

fn merged<'a>(own: &EdgePolicy, others: impl Iterator<Item = &'a EdgePolicy>) -> EdgePolicy {
    let mut all = own.clone();
    for share in others {
        all.app_route.extend(share.app_route.iter().cloned());
        all.data.extend(share.data.iter().cloned());
    }
    all.app_route.sort_by_key(|policy| policy.service_vpn);
    all.data
        .sort_by_key(|policy| (policy.service_vpn, policy.direction));
    all
}

/// What of a report is in a tenant's service VPNs; counts name their policies by position.
fn share_of(tenant: &Tenant, report: PolicyReport) -> PolicyReport {
    let is_own = |service_vpn: u16| tenant.service_vpns.contains(&service_vpn);
    let (app_route, app_route_at) = kept(report.policy.app_route, |policy| is_own(policy.service_vpn));
    let (data, data_at) = kept(report.policy.data, |policy| is_own(policy.service_vpn));
    let counts = report.counts.into_iter().filter_map(|mut count| {
        count.of = match count.of {
            Counted::AppRoute(at) => Counted::AppRoute(*app_route_at.get(&at)?),
            Counted::Data(at) => Counted::Data(*data_at.get(&at)?),
        };
        Some(count)
    });
    PolicyReport {
        counts: counts.collect(),
        policy: EdgePolicy {
            site_id: report.policy.site_id,
            app_route,
            data,
        },
    }
}

/// Those that are kept, and their new positions by the old ones.
fn kept<T>(all: Vec<T>, is_kept: impl Fn(&T) -> bool) -> (Vec<T>, BTreeMap<usize, usize>) {
    let (mut kept, mut positions) = (Vec::new(), BTreeMap::new());
    for (at, one) in all.into_iter().enumerate().filter(|(_, one)| is_kept(one)) {
        positions.insert(at, kept.len());
        kept.push(one);
    }
    (kept, positions)
}

#[cfg(test)]
mod tests;
