//! Claims: what one Service asks of the fabric, before it is compared with what others ask.
//!
//! Owns what the intent that counts amounts to for each port, and what refuses it whatever other Services ask.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::color::Color;
use super::counting::Counting;
use super::intent::{Encryption, Intent, IntentError, Mode, Place, PortKey, Settings};
use super::outcome::{Refusal, Subject};
use super::preference::{Path, Preference};
use super::rule::{Class, Family, Protocol};
use super::tunnel::{TunnelReport, TunnelReports};
use super::view::{Conventions, Endpoints, ServiceKind, ServicePort, ServiceRef, ServiceView, SliceView};

/// What traffic is steered by: where it goes to, or comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Destination {
    pub(super) service_vpn: u16,
    pub(super) host: IpAddr,
    pub(super) protocol: Protocol,
    pub(super) port: u16,
}

/// What an intent amounts to, whatever the endpoints are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) service_vpn: u16,
    /// What is asked for ports that are not in `by_port`.
    all: Option<Arc<Preference>>,
    /// What is asked for ports for which something else is asked than for all, by the port's name.
    by_port: BTreeMap<String, Option<Arc<Preference>>>,
}

/// What one EndpointSlice claims.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Claims {
    /// Sorted, nothing twice.
    pub(super) destinations: Vec<(Destination, Arc<Preference>)>,
    /// The addresses among them.
    pub(super) endpoints: usize,
    /// A protocol that cannot be steered, the first by name.
    pub(super) unsupported: Option<String>,
}

impl Destination {
    /// The class that the destination is in if this is what is asked for it.
    pub(super) fn class(&self, preference: &Preference) -> Class {
        Class {
            service_vpn: self.service_vpn,
            preference: preference.clone(),
            protocol: self.protocol,
            port: self.port,
            family: Family::of(self.host),
        }
    }
}

impl Subject {
    fn place(&self, setting: &str, port: Option<&ServicePort>, conventions: &Conventions) -> Place {
        match (self, port) {
            (Self::Policy { .. }, None) => Place::Field(format!("spec.{setting}")),
            (Self::Policy { .. }, Some(port)) => {
                Place::Field(format!("spec.ports[{}].{setting}", port.number))
            }
            (Self::Annotations { .. }, None) => conventions.annotation_prefix.place(setting),
            (Self::Annotations { .. }, Some(port)) => conventions
                .annotation_prefix
                .place(&format!("{setting}.{}", port.number)),
        }
    }
}

impl Terms {
    /// Finds what an intent for a Service amounts to; `None` if it asks for nothing.
    pub(super) fn find(
        service: &ServiceView,
        counting: &Counting,
        conventions: &Conventions,
        tunnels: &TunnelReports,
    ) -> Result<Option<Self>, Refusal> {
        let intent = counting.intent.as_ref().map_err(Refusal::clone)?;
        let preference = |settings: &Settings, port: Option<&ServicePort>| {
            let place = |setting: &str| counting.subject.place(setting, port, conventions);
            Ok::<_, IntentError>(settings.preference(place)?.map(Arc::new))
        };
        let unknown = |key: &&PortKey| !service.ports.iter().any(|port| key.is(port));
        if let Some(port) = intent.ports.keys().find(unknown) {
            return Err(Refusal::UnknownPort {
                port: port.clone(),
                known: known_ports(&service.ports),
            });
        }
        let mut by_port = BTreeMap::new();
        for port in &service.ports {
            let own = intent.ports.iter().filter(|(key, _)| key.is(port));
            let own = own.fold(Settings::default(), |own, (_, settings)| own.or(settings));
            if own != Settings::default() {
                let preference = preference(&own.or(&intent.all), Some(port))?;
                by_port.insert(port.name.clone(), preference);
            }
        }
        // What is said for all may make sense only together with what is said for each.
        let leaves_some_port = service.ports.is_empty() || by_port.len() < service.ports.len();
        let all = match preference(&intent.all, None) {
            Err(IntentError::TunnelMissing { .. }) if by_port.values().any(Option::is_some) => None,
            all if leaves_some_port => all?,
            _ => None,
        };
        let terms = Self {
            service_vpn: service_vpn(intent, &service.service, conventions)?,
            all,
            by_port,
        };
        if terms.preferences().next().is_none() {
            return Ok(None);
        }
        terms.check_encryption(tunnels)?;
        match service.kind {
            ServiceKind::ExternalName => Err(Refusal::ExternalName),
            ServiceKind::Endpoints => Ok(Some(terms)),
        }
    }

    /// All that is asked for some port.
    pub(super) fn preferences(&self) -> impl Iterator<Item = &Arc<Preference>> {
        self.by_port.values().chain([&self.all]).flatten()
    }

    /// What a slice claims.
    pub(super) fn claims(&self, slice: &SliceView, endpoints: Endpoints) -> Claims {
        let mut hosts: Vec<_> = slice
            .endpoints
            .iter()
            .filter(|(_, state)| endpoints.include(*state))
            .map(|(host, _)| *host)
            .collect();
        hosts.sort_unstable();
        hosts.dedup();
        let mut claims = Claims::default();
        for port in &slice.ports {
            let Some(preference) = self.by_port.get(&port.name).unwrap_or(&self.all) else {
                continue;
            };
            let Some(protocol) = Protocol::from_kubernetes(&port.protocol) else {
                let first = claims
                    .unsupported
                    .take()
                    .into_iter()
                    .chain([port.protocol.clone()])
                    .min();
                claims.unsupported = first;
                continue;
            };
            claims.endpoints = hosts.len();
            claims.destinations.extend(hosts.iter().map(|host| {
                let destination = Destination {
                    service_vpn: self.service_vpn,
                    host: *host,
                    protocol,
                    port: port.port,
                };
                (destination, preference.clone())
            }));
        }
        claims.destinations.sort_unstable();
        claims.destinations.dedup();
        claims
    }

    fn check_encryption(&self, tunnels: &TunnelReports) -> Result<(), Refusal> {
        for preference in self.preferences() {
            let path = preference
                .path()
                .filter(|path| path.encryption == Encryption::Required);
            if let Some(color) = path.and_then(|path| clear_text(path, tunnels)) {
                return Err(Refusal::NotEncrypted {
                    preference: Preference::clone(preference),
                    color,
                });
            }
        }
        Ok(())
    }
}

impl PortKey {
    fn is(&self, port: &ServicePort) -> bool {
        match self {
            Self::Number(number) => *number == port.number,
            Self::Name(name) => *name == port.name,
        }
    }
}

/// A color whose tunnels in clear text a path could take.
///
/// Only a pin to one color can name the encapsulation; color groups, SLA classes and routing take what there is.
fn clear_text(path: &Path, tunnels: &TunnelReports) -> Option<Color> {
    let of =
        |color: &Color, is: fn(&TunnelReport) -> bool| tunnels.get(color).is_some_and(is).then_some(*color);
    match path.colors.as_slice() {
        _ if path.mode == Mode::Preferred || path.sla.is_some() => tunnels
            .keys()
            .find_map(|color| of(color, TunnelReport::has_clear_text)),
        [color] => of(color, TunnelReport::is_clear_text),
        colors => colors
            .iter()
            .find_map(|color| of(color, TunnelReport::has_clear_text)),
    }
}

fn known_ports(ports: &[ServicePort]) -> String {
    let ports: Vec<_> = ports
        .iter()
        .map(|port| match port.name.as_str() {
            "" => port.number.to_string(),
            name => format!("{name} ({})", port.number),
        })
        .collect();
    if ports.is_empty() {
        "none".to_owned()
    } else {
        ports.join(", ")
    }
}

fn service_vpn(intent: &Intent, service: &ServiceRef, conventions: &Conventions) -> Result<u16, Refusal> {
    let Some(tenant) = &intent.tenant else {
        return Ok(conventions
            .clusters
            .get(&service.cluster)
            .copied()
            .unwrap_or_default());
    };
    conventions.tenants.get(tenant).copied().ok_or_else(|| {
        let known: Vec<_> = conventions.tenants.keys().map(String::as_str).collect();
        Refusal::UnknownTenant {
            tenant: tenant.clone(),
            known: if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            },
        }
    })
}
