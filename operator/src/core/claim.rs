//! Claims: what one Service asks of the fabric, before it is compared with what others ask.
//!
//! Owns which of the intents for a Service counts, what it amounts to for each port, and what refuses it whatever
//! other Services ask.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::color::Color;
use super::intent::{
    Encryption, Intent, IntentError, Mode, Path, Place, PortKey, Preference, Settings, Tunnel,
};
use super::outcome::{Outcome, Refusal, Subject};
use super::rule::{Class, Family, Protocol};
use super::tunnel::{TunnelReport, TunnelReports};
use super::view::{
    Conventions, NamespaceView, PolicyView, ServiceKind, ServicePort, ServiceRef, ServiceView, SliceView,
};

/// What traffic is steered by: where it goes to, or comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Destination {
    pub(super) service_vpn: u16,
    pub(super) host: IpAddr,
    pub(super) protocol: Protocol,
    pub(super) port: u16,
}

/// What one Service asks of the fabric.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) service_vpn: u16,
    pub(super) destinations: BTreeMap<Destination, Arc<Preference>>,
}

/// The intent that counts for a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counting {
    pub(super) subject: Subject,
    pub(super) intent: Result<Intent, Refusal>,
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

/// Finds the intent that counts for a Service, and the outcomes of those that do not.
///
/// The oldest SteeringPolicy goes first, and any of them before annotations.
pub(super) fn counting<'a>(
    service: &ServiceView,
    namespace: Option<&NamespaceView>,
    policies: impl IntoIterator<Item = &'a PolicyView>,
) -> (Option<Counting>, Vec<Outcome>) {
    let mut policies: Vec<_> = policies.into_iter().collect();
    policies.sort_by_key(|policy| (policy.created, &policy.name));
    let mut policies = policies.into_iter();
    let Some(first) = policies.next() else {
        return (annotated(service, namespace), Vec::new());
    };
    let overruled = |subject| Outcome {
        service: service.service.clone(),
        subject,
        intent: None,
        verdict: Err(Refusal::Overruled {
            policy: first.name.clone(),
        }),
    };
    let annotated = service.intent.as_ref().map(|_| annotations_of(service));
    let others = policies
        .map(Subject::of)
        .chain(annotated)
        .map(overruled)
        .collect();
    let counting = Counting {
        subject: Subject::of(first),
        intent: first.intent.clone().map_err(Refusal::Intent),
    };
    (Some(counting), others)
}

fn annotated(service: &ServiceView, namespace: Option<&NamespaceView>) -> Option<Counting> {
    if service.intent.is_none() && namespace.is_none() {
        return None;
    }
    let intent = service.intent.clone().unwrap_or_else(|| Ok(Intent::default()));
    let intent = match (intent, namespace) {
        (Err(error), _) => Err(Refusal::Intent(error)),
        (Ok(intent), None) => Ok(intent),
        // Who opts out need not care what the namespace says.
        (Ok(intent), _) if intent.all.tunnel == Some(Tunnel::None) => Ok(intent),
        (Ok(intent), Some(namespace)) => with_defaults(intent, namespace),
    };
    Some(Counting {
        subject: annotations_of(service),
        intent,
    })
}

fn with_defaults(intent: Intent, namespace: &NamespaceView) -> Result<Intent, Refusal> {
    let kube_namespace = namespace.name.clone();
    let defaults = match &namespace.intent {
        Ok(defaults) => defaults,
        Err(error) => {
            let error = error.clone();
            return Err(Refusal::Namespace {
                kube_namespace,
                error,
            });
        }
    };
    if let Some(port) = defaults.ports.keys().next() {
        let port = port.clone();
        return Err(Refusal::NamespacePort { kube_namespace, port });
    }
    Ok(Intent {
        all: intent.all.or(&defaults.all),
        tenant: intent.tenant.or_else(|| defaults.tenant.clone()),
        ports: intent.ports,
    })
}

fn annotations_of(service: &ServiceView) -> Subject {
    Subject::Annotations {
        uid: service.uid.clone(),
    }
}

impl Subject {
    pub(super) fn of(policy: &PolicyView) -> Self {
        Self::Policy {
            name: policy.name.clone(),
            uid: policy.uid.clone(),
            generation: policy.generation,
        }
    }
}

/// Finds what a Service claims with an intent; `None` if that asks for nothing.
pub(super) fn claims<'a>(
    service: &ServiceView,
    counting: &Counting,
    slices: impl IntoIterator<Item = &'a SliceView>,
    conventions: &Conventions,
    tunnels: &TunnelReports,
) -> Result<Option<Claims>, Refusal> {
    let intent = counting.intent.as_ref().map_err(Refusal::clone)?;
    let preferences = Preferences::find(service, counting, intent, conventions)?;
    if preferences.ask_for_nothing() {
        return Ok(None);
    }
    preferences.check_encryption(tunnels)?;
    if service.kind == ServiceKind::ExternalName {
        return Err(Refusal::ExternalName);
    }
    let service_vpn = service_vpn(intent, &service.service, conventions)?;
    let mut destinations = BTreeMap::new();
    // Sorted, so that the refusal names the same protocol whatever the order of slices and ports.
    let mut unsupported = BTreeSet::new();
    for slice in slices {
        for port in &slice.ports {
            let Some(preference) = preferences.of(&port.name) else {
                continue;
            };
            let Some(protocol) = Protocol::from_kubernetes(&port.protocol) else {
                unsupported.insert(&port.protocol);
                continue;
            };
            let steered = slice
                .endpoints
                .iter()
                .filter(|(_, state)| conventions.endpoints.include(*state));
            for (host, _) in steered {
                let destination = Destination {
                    service_vpn,
                    host: *host,
                    protocol,
                    port: port.port,
                };
                let other = destinations.insert(destination, preference.clone());
                if other.is_some_and(|other| other != *preference) {
                    return Err(Refusal::PortsDisagree {
                        protocol,
                        port: port.port,
                    });
                }
            }
        }
    }
    match unsupported.first() {
        Some(&protocol) => Err(Refusal::UnsupportedProtocol {
            protocol: protocol.clone(),
        }),
        None => Ok(Some(Claims {
            service_vpn,
            destinations,
        })),
    }
}

/// What is asked for each port of a Service.
struct Preferences {
    all: Option<Arc<Preference>>,
    /// Of those ports for which something else is asked than for all.
    by_name: BTreeMap<String, Option<Arc<Preference>>>,
}

impl Preferences {
    fn find(
        service: &ServiceView,
        counting: &Counting,
        intent: &Intent,
        conventions: &Conventions,
    ) -> Result<Self, Refusal> {
        let preference = |settings: &Settings, port: Option<&ServicePort>| {
            let place = |setting: &str| match (&counting.subject, port) {
                (Subject::Policy { .. }, _) => Place::Field(format!("spec.{setting}")),
                (Subject::Annotations { .. }, None) => conventions.annotation_prefix.place(setting),
                (Subject::Annotations { .. }, Some(port)) => conventions
                    .annotation_prefix
                    .place(&format!("{setting}.{}", port.number)),
            };
            Ok::<_, IntentError>(settings.preference(place)?.map(Arc::new))
        };
        let refers_to = |key: &PortKey, port: &ServicePort| match key {
            PortKey::Number(number) => *number == port.number,
            PortKey::Name(name) => *name == port.name,
        };
        let unknown = |key: &&PortKey| !service.ports.iter().any(|port| refers_to(key, port));
        if let Some(port) = intent.ports.keys().find(unknown) {
            return Err(Refusal::UnknownPort {
                port: port.clone(),
                known: known_ports(&service.ports),
            });
        }
        let mut by_name = BTreeMap::new();
        for port in &service.ports {
            let own = intent.ports.iter().filter(|(key, _)| refers_to(key, port));
            let own = own.fold(Settings::default(), |own, (_, settings)| own.or(settings));
            if own != Settings::default() {
                let preference = preference(&own.or(&intent.all), Some(port))?;
                by_name.insert(port.name.clone(), preference);
            }
        }
        // Ports may each ask for something that only makes sense with what is said for all.
        let needs_no_sense = !service.ports.is_empty() && by_name.len() == service.ports.len();
        let all = match preference(&intent.all, None) {
            Err(_) if needs_no_sense => None,
            all => all?,
        };
        Ok(Self { all, by_name })
    }

    fn of(&self, port: &str) -> Option<&Arc<Preference>> {
        self.by_name.get(port).unwrap_or(&self.all).as_ref()
    }

    fn ask_for_nothing(&self) -> bool {
        self.all.is_none() && self.by_name.values().all(Option::is_none)
    }

    fn check_encryption(&self, tunnels: &TunnelReports) -> Result<(), Refusal> {
        for preference in self.by_name.values().chain([&self.all]).flatten() {
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
