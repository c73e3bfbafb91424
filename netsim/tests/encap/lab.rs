//! Edges around one transport, and a tunnel of any encapsulation between them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::{Duration, Instant};

use netlink_packet_route::neighbour::NeighbourFlags;
use netlink_packet_route::route::RouteScope;
use netsim::encap::gre::{GretapSpec, add_gretap};
use netsim::encap::ipsec::{self, IpsecPeer};
use netsim::encap::keys::{PrivateKey, RunSecret};
use netsim::encap::wireguard::{Wireguard, WireguardPeer, WireguardSpec, establish_by};
use netsim::encap::{EncapError, Encapsulation, Means, Underlay, ip_overhead};
use netsim::fabric::{Families, Forwarding, Host, LinkEnd, Mac};
use rtnetlink::{Handle, LinkMessageBuilder, LinkVxlan, RouteMessageBuilder};

use super::Case;
use super::carry::bind;

pub const PATH_MTU: u32 = 1500;
const VNI: u32 = 10;
pub const VXLAN_PORT: u16 = 4789;
const WIREGUARD_PORT: u16 = 51820;
/// Index of the VXLAN device, apart from those of the host and of `netsim::encap`.
const VXLAN_INDEX: u32 = 9000;

pub struct Lab {
    pub edges: Vec<Host>,
    pub underlay: Underlay,
    transport: Host,
    /// What ends with the lab.
    pub wireguards: Vec<Wireguard>,
}

/// The address of an edge inside the tunnel.
pub fn overlay(edge: usize) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, 0, octet(edge))
}

/// The address of an edge inside WireGuard.
pub fn inside(edge: usize) -> IpAddr {
    Ipv4Addr::new(198, 19, 0, octet(edge)).into()
}

pub fn octet(edge: usize) -> u8 {
    u8::try_from(edge).unwrap() + 1
}

pub fn mac(kind: u8, edge: usize) -> Mac {
    Mac::local(kind, u32::from(octet(edge)))
}

pub fn key(edge: usize) -> PrivateKey {
    RunSecret::of_seed(7).wireguard(&format!("edge{edge}"))
}

impl Lab {
    pub async fn build(edges: usize, underlay: Underlay) -> Self {
        let transport = host("transport").await;
        let mut lab = Self {
            edges: Vec::new(),
            underlay,
            transport,
            wireguards: Vec::new(),
        };
        for edge in 0..edges {
            lab.attach(edge, edges).await;
        }
        lab.wait_for_carrier();
        lab
    }

    /// Waits until the underlay carries packets every way. A link whose two ends have the same index, as the first
    /// one of two hosts has, may take a second for that.
    fn wait_for_carrier(&self) {
        let sockets: Vec<UdpSocket> = (0..self.edges.len())
            .map(|edge| bind(&self.edges[edge], self.uplink(edge), 6999))
            .collect();
        let deadline = Instant::now() + Duration::from_secs(20);
        for (from, sender) in sockets.iter().enumerate() {
            for to in self.others(from) {
                let receiver = &sockets[to];
                receiver
                    .set_read_timeout(Some(Duration::from_millis(20)))
                    .unwrap();
                loop {
                    assert!(Instant::now() < deadline, "nothing goes from {from} to {to}");
                    sender.send_to(&[octet(from)], (self.uplink(to), 6999)).ok();
                    let mut buffer = [0; 8];
                    let arrived = receiver.recv(&mut buffer).is_ok();
                    if arrived && buffer[0] == octet(from) {
                        break;
                    }
                }
            }
        }
    }

    pub fn uplink(&self, edge: usize) -> IpAddr {
        match self.underlay {
            Underlay::V4 => Ipv4Addr::new(100, 64, 0, octet(edge)).into(),
            Underlay::V6 => Ipv6Addr::new(0xfd00, 0x64, 0, 0, 0, 0, 0, octet(edge).into()).into(),
        }
    }

    /// What the edge's frames on the underlay are addressed to.
    pub fn gateway(edge: usize) -> Mac {
        mac(4, edge)
    }

    async fn attach(&mut self, edge: usize, edges: usize) {
        let host = host(&format!("edge{edge}")).await;
        let near = LinkEnd {
            interface: "wan0".into(),
            mac: mac(3, edge),
            addresses: vec![],
        };
        let far = LinkEnd {
            interface: format!("edge{edge}"),
            mac: Self::gateway(edge),
            addresses: vec![],
        };
        host.link(&near, &self.transport, &far, PATH_MTU).await.unwrap();
        let own = self.uplink(edge);
        let (netlink, index) = (
            host.netns().netlink().unwrap(),
            host.interface("wan0").unwrap().index,
        );
        add_address(&netlink, index, own).await;
        for other in (0..edges).filter(|other| *other != edge) {
            add_neighbour(&netlink, index, self.uplink(other), far.mac).await;
            add_route(&netlink, index, self.uplink(other)).await;
        }
        let router = self.transport.netns().netlink().unwrap();
        let index = self.transport.interface(&far.interface).unwrap().index;
        add_neighbour(&router, index, own, near.mac).await;
        add_route(&router, index, own).await;
        self.edges.push(host);
    }

    /// Lays the tunnel between all edges, with the MTU that its encapsulation leaves.
    pub async fn tunnel(&mut self, case: Case) -> u32 {
        let mtu = case.encapsulation.tunnel_mtu(PATH_MTU, case.underlay);
        for edge in 0..self.edges.len() {
            match case.encapsulation {
                Encapsulation::Vxlan => self.add_vxlan(edge, mtu, |lab, edge| lab.uplink(edge)).await,
                Encapsulation::Gre => self.add_gre(edge, mtu).await,
                Encapsulation::Wireguard => {
                    let spec = self.wireguard_spec(edge);
                    self.add_wireguard(edge, case.means, &spec).await;
                    self.add_vxlan(edge, mtu, |_, edge| inside(edge)).await;
                }
                Encapsulation::Ipsec => {
                    self.protect(edge);
                    self.add_vxlan(edge, mtu, |lab, edge| lab.uplink(edge)).await;
                }
            }
        }
        mtu
    }

    pub fn others(&self, edge: usize) -> impl Iterator<Item = usize> + use<> {
        (0..self.edges.len()).filter(move |other| *other != edge)
    }

    pub fn wireguard_spec(&self, edge: usize) -> WireguardSpec {
        let peer = |other| WireguardPeer {
            underlay: self.uplink(other),
            port: WIREGUARD_PORT,
            address: inside(other),
            public_key: key(other).public(),
        };
        WireguardSpec {
            interface: "wg0".to_owned(),
            underlay: self.uplink(edge),
            port: WIREGUARD_PORT,
            address: inside(edge),
            private_key: key(edge),
            peers: self.others(edge).map(peer).collect(),
            mtu: PATH_MTU - ip_overhead(self.underlay),
        }
    }

    pub async fn add_wireguard(&mut self, edge: usize, means: Means, spec: &WireguardSpec) {
        self.try_wireguard(edge, means, spec).await.unwrap();
    }

    pub async fn try_wireguard(
        &mut self,
        edge: usize,
        means: Means,
        spec: &WireguardSpec,
    ) -> Result<(), EncapError> {
        let wireguard = establish_by(means, &self.edges[edge], spec).await?;
        assert_eq!(wireguard.means(), means);
        self.wireguards.push(wireguard);
        Ok(())
    }

    pub fn protect(&self, edge: usize) {
        let secret = RunSecret::of_seed(9);
        let name = |edge: usize| format!("edge{edge}");
        let peers: Vec<IpsecPeer> = self
            .others(edge)
            .map(|other| {
                let local = (name(edge), self.uplink(edge));
                let remote = (name(other), self.uplink(other));
                IpsecPeer::derive(&secret, (&local.0, local.1), (&remote.0, remote.1))
            })
            .collect();
        ipsec::protect(&self.edges[edge], VXLAN_PORT, &peers).unwrap();
    }

    /// Adds the VXLAN device of an edge over the addresses that `outer` gives.
    pub async fn add_vxlan(&self, edge: usize, mtu: u32, outer: impl Fn(&Self, usize) -> IpAddr) {
        let netlink = self.edges[edge].netns().netlink().unwrap();
        let device = LinkMessageBuilder::<LinkVxlan>::new("tun0")
            .index(VXLAN_INDEX)
            .address(mac(5, edge).0.to_vec())
            .mtu(mtu)
            .id(VNI)
            .port(VXLAN_PORT)
            .learning(false)
            .arp(false)
            .multicast(false);
        let device = match outer(self, edge) {
            IpAddr::V4(local) => device.local(local),
            IpAddr::V6(local) => device.local6(local),
        };
        netlink.link().add(device.up().build()).execute().await.unwrap();
        add_address(&netlink, VXLAN_INDEX, overlay(edge).into()).await;
        for other in self.others(edge) {
            let entry = netlink
                .neighbours()
                .add_bridge(VXLAN_INDEX, &mac(5, other).0)
                .destination(outer(self, other))
                .flags(NeighbourFlags::Own);
            entry.execute().await.unwrap();
            add_neighbour(&netlink, VXLAN_INDEX, overlay(other).into(), mac(5, other)).await;
            add_route(&netlink, VXLAN_INDEX, overlay(other).into()).await;
        }
    }

    async fn add_gre(&self, edge: usize, mtu: u32) {
        for other in self.others(edge) {
            let spec = self.gretap_spec(edge, other, mtu);
            add_gretap(&self.edges[edge], &spec).await.unwrap();
        }
    }

    pub fn gretap_spec(&self, edge: usize, other: usize, mtu: u32) -> GretapSpec {
        GretapSpec {
            interface: format!("tun{other}"),
            key: VNI,
            local: self.uplink(edge),
            remote: self.uplink(other),
            mac: mac(5, edge),
            addresses: vec![overlay(edge).into()],
            peer_mac: mac(5, other),
            peer_addresses: vec![overlay(other).into()],
            mtu,
        }
    }
}

/// A router of both families.
async fn host(name: &str) -> Host {
    Host::create_speaking(name, Forwarding::On, Families::Both)
        .await
        .unwrap()
}

async fn add_address(netlink: &Handle, index: u32, address: IpAddr) {
    let added = netlink.address().add(index, address, whole(address)).execute();
    added.await.unwrap();
}

async fn add_neighbour(netlink: &Handle, index: u32, address: IpAddr, mac: Mac) {
    let neighbour = netlink
        .neighbours()
        .add(index, address)
        .link_layer_address(&mac.0);
    neighbour.execute().await.unwrap();
}

pub async fn add_route(netlink: &Handle, index: u32, address: IpAddr) {
    let route = RouteMessageBuilder::<IpAddr>::new()
        .output_interface(index)
        .scope(RouteScope::Link)
        .destination_prefix(address, whole(address))
        .unwrap();
    netlink.route().add(route.build()).execute().await.unwrap();
}

fn whole(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}
