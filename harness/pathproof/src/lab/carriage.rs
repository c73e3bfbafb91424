//! How the tunnels over each transport carry packets, and what is set up on an edge for that.
//!
//! Owns the choice for each transport, by what this machine can do, the keys of a run, and WireGuard and ESP beneath
//! the tunnel devices, which are [`netsim::fabric::Edge`]'s. Invariant: an encrypted transport is encrypted before its
//! tunnel devices are there, so nothing ever crosses it in clear.

use std::collections::BTreeMap;
use std::net::IpAddr;

use netsim::encap::ipsec::{self, IpsecPeer};
use netsim::encap::keys::RunSecret;
use netsim::encap::wireguard::{self, Wireguard, WireguardPeer, WireguardSpec};
use netsim::encap::{Abilities, Choice, EncapError, Encapsulation, Requested, Underlay, ip_overhead};
use netsim::fabric::{Framing, Host};
use scenario::model::Encap;
use scenario::plan::{Plan, TlocPlan};

/// Why the tunnels of a transport cannot carry packets as it asks.
#[derive(Debug, thiserror::Error)]
pub enum CarriageError {
    /// This machine lacks what the transport asks for.
    #[error("carry the tunnels over transport `{transport}`")]
    Transport {
        /// The transport.
        transport: String,
        /// What is lacking.
        #[source]
        source: EncapError,
    },
    /// It could not be found out what this machine can do.
    #[error("find out which encapsulations this machine can do")]
    Abilities(#[source] EncapError),
}

impl CarriageError {
    /// Whether another machine could do it.
    #[must_use]
    pub fn is_lacking(&self) -> bool {
        matches!(self, Self::Transport { source, .. } if matches!(source, EncapError::Unsupported { .. }))
    }
}

/// How the tunnels of a plan carry packets.
#[derive(Debug)]
pub struct Carriage<'a> {
    plan: &'a Plan,
    /// In the order of the transports.
    choices: Vec<Choice>,
    secret: RunSecret,
}

/// The tunnels of an edge over one transport, as they are on the underlay.
#[derive(Debug, Clone)]
pub struct Outside {
    /// How they carry packets.
    pub carried: Choice,
    /// The address of the uplink.
    pub local: IpAddr,
    /// Those of the remotes, in their order.
    pub remotes: Vec<IpAddr>,
    /// The UDP port of both ends; 0 where outer packets are not UDP.
    pub port: u16,
}

impl<'a> Carriage<'a> {
    /// Chooses what this machine can do for what each transport asks.
    ///
    /// # Errors
    /// [`CarriageError`].
    pub async fn of(plan: &'a Plan) -> Result<Self, CarriageError> {
        let mut abilities = None;
        let mut choices = Vec::with_capacity(plan.transports.len());
        for transport in &plan.transports {
            let requested = requested(transport.encap);
            if requested == Requested::default() {
                choices.push(Choice::VXLAN);
                continue;
            }
            let found = match abilities.take() {
                Some(found) => found,
                None => Abilities::probe().await.map_err(CarriageError::Abilities)?,
            };
            let chosen = requested.resolve(&found);
            abilities = Some(found);
            choices.push(chosen.map_err(|source| CarriageError::Transport {
                transport: transport.name.clone(),
                source,
            })?);
        }
        Ok(Self {
            plan,
            choices,
            // The same for each run of a seed: what protects nothing else may be repeated.
            secret: RunSecret::of_seed(plan.run_id),
        })
    }

    /// The choices in words, by transport.
    #[must_use]
    pub fn words(&self) -> BTreeMap<String, String> {
        let transports = self.plan.transports.iter().zip(&self.choices);
        transports
            .map(|(transport, choice)| (transport.name.clone(), choice.to_string()))
            .collect()
    }

    /// What the tunnel devices over a transport are.
    #[must_use]
    pub fn framing(&self, transport: usize) -> Framing {
        match self.choices[transport].encapsulation {
            Encapsulation::Gre => Framing::Gre,
            Encapsulation::Vxlan | Encapsulation::Wireguard | Encapsulation::Ipsec => Framing::Vxlan {
                port: self.plan.transports[transport].vxlan_port,
            },
        }
    }

    /// The address that the tunnel devices of an edge have on the outside: within `WireGuard`, where there is one.
    ///
    /// # Panics
    /// When the plan has no `WireGuard` where one was chosen, or the edge is not attached to the transport.
    #[must_use]
    pub fn address(&self, edge: usize, transport: usize) -> IpAddr {
        let tloc = self.tloc(edge, transport);
        match self.choices[transport].encapsulation {
            Encapsulation::Wireguard => device(tloc).address.into(),
            Encapsulation::Vxlan | Encapsulation::Gre | Encapsulation::Ipsec => tloc.uplink_address.addr(),
        }
    }

    /// The tunnels of a TLOC as they are on the underlay.
    #[must_use]
    pub fn outside(&self, tloc: &TlocPlan) -> Outside {
        let (transport, carried) = (
            &self.plan.transports[tloc.transport],
            self.choices[tloc.transport],
        );
        let remotes = tloc.remotes.iter();
        Outside {
            carried,
            local: tloc.uplink_address.addr(),
            remotes: remotes
                .map(|remote| self.uplink(remote.edge, tloc.transport))
                .collect(),
            port: match carried.encapsulation {
                Encapsulation::Vxlan => transport.vxlan_port,
                Encapsulation::Wireguard => transport.wireguard_port.unwrap_or(0),
                Encapsulation::Gre | Encapsulation::Ipsec => 0,
            },
        }
    }

    /// Sets up what lies beneath the tunnel devices of a TLOC; what is returned has to live as long as they do.
    ///
    /// # Errors
    /// [`EncapError`].
    pub async fn establish(
        &self,
        edge: usize,
        tloc: &TlocPlan,
        host: &Host,
    ) -> Result<Option<Wireguard>, EncapError> {
        let Choice { encapsulation, means } = self.choices[tloc.transport];
        match encapsulation {
            Encapsulation::Vxlan | Encapsulation::Gre => Ok(None),
            Encapsulation::Ipsec => {
                let port = self.plan.transports[tloc.transport].vxlan_port;
                ipsec::protect(host, port, &self.ipsec_peers(edge, tloc))?;
                Ok(None)
            }
            Encapsulation::Wireguard => {
                let spec = self.wireguard_spec(edge, tloc);
                wireguard::establish_by(means, host, &spec).await.map(Some)
            }
        }
    }

    fn ipsec_peers(&self, edge: usize, tloc: &TlocPlan) -> Vec<IpsecPeer> {
        let end = |edge| (self.name(edge, tloc.transport), self.uplink(edge, tloc.transport));
        let (name, address) = end(edge);
        let remotes = tloc.remotes.iter().map(|remote| end(remote.edge));
        remotes
            .map(|(other, remote)| IpsecPeer::derive(&self.secret, (&name, address), (&other, remote)))
            .collect()
    }

    fn wireguard_spec(&self, edge: usize, tloc: &TlocPlan) -> WireguardSpec {
        let number = tloc.transport;
        let transport = &self.plan.transports[number];
        let underlay = tloc.uplink_address.addr();
        let port = transport
            .wireguard_port
            .expect("a plan has a port where there may be WireGuard");
        let peers = tloc.remotes.iter().map(|remote| WireguardPeer {
            underlay: self.uplink(remote.edge, number),
            port,
            address: self.address(remote.edge, number),
            public_key: self.secret.wireguard(&self.name(remote.edge, number)).public(),
        });
        WireguardSpec {
            interface: device(tloc).interface.clone(),
            underlay,
            port,
            address: self.address(edge, number),
            private_key: self.secret.wireguard(&self.name(edge, number)),
            peers: peers.collect(),
            mtu: transport.mtu - ip_overhead(Underlay::of(underlay)),
        }
    }

    /// What the keys of an edge on a transport are derived from.
    fn name(&self, edge: usize, transport: usize) -> String {
        let site = &self.plan.edges[edge].site;
        format!("{site}/{}", self.plan.transports[transport].name)
    }

    fn uplink(&self, edge: usize, transport: usize) -> IpAddr {
        self.tloc(edge, transport).uplink_address.addr()
    }

    fn tloc(&self, edge: usize, transport: usize) -> &TlocPlan {
        self.plan.tloc(edge, transport).expect("a tunnel has two ends")
    }
}

fn device(tloc: &TlocPlan) -> &scenario::plan::WireguardPlan {
    let device = tloc.wireguard.as_ref();
    device.expect("a plan has a device where there may be WireGuard")
}

fn requested(encap: Encap) -> Requested {
    match encap {
        Encap::Vxlan => Requested::Only(Encapsulation::Vxlan),
        Encap::Gre => Requested::Only(Encapsulation::Gre),
        Encap::Wireguard => Requested::Only(Encapsulation::Wireguard),
        Encap::Ipsec => Requested::Only(Encapsulation::Ipsec),
        Encap::Auto => Requested::Auto,
    }
}

#[cfg(test)]
mod tests {
    use scenario::model::IpVersion;

    use super::*;

    #[test]
    fn a_plan_leaves_tunnels_the_room_that_the_fabric_gives_them() {
        let underlays = [(IpVersion::V4, Underlay::V4), (IpVersion::V6, Underlay::V6)];
        for (word, encap) in Encap::NAMES {
            for (version, underlay) in underlays {
                for mtu in 576..=9000 {
                    let given = match requested(encap) {
                        Requested::Only(encapsulation) => encapsulation.tunnel_mtu(mtu, underlay),
                        // Whichever it turns out to be.
                        Requested::Auto => [Encapsulation::Ipsec, Encapsulation::Wireguard]
                            .map(|encapsulation| encapsulation.tunnel_mtu(mtu, underlay))
                            .into_iter()
                            .fold(u32::MAX, u32::min),
                    };
                    let planned = encap.tunnel_mtu(mtu, version);
                    assert_eq!(planned, given, "{word} over {version}, {mtu} octets");
                }
            }
        }
    }
}
