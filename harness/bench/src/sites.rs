//! The labs that are measured: a star of hosts around one router, a router between two hosts, and two sites with a
//! tunnel between them.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use futures::future::try_join_all;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netsim::fabric::{
    DeviceSpec, Edge, EdgeSpec, Families, Forwarding, Framing, Host, LinkEnd, Mac, NextHop, RemotePrefix,
    RemoteSpec, RemoteVpn, SiteRoute, TABLE_MAIN, TunnelSpec, VpnSpec,
};
use netsim::policy::{
    Action, DataPath, DataPolicy, DefaultAction, EdgePolicy, LocalTlocs, Match, PolicyDirection, Sequence,
};
use netsim::sla::Polling;

const VPN: u16 = 10;
/// The port of the traffic that is steered.
pub const PORT: u16 = 8080;
const COLOR: &str = "biz-internet";

/// Hosts, each on a link of its own to one router, which is an edge with steering.
pub struct Star {
    /// Held for its namespace.
    pub edge: Edge,
    /// The hosts.
    pub hosts: Vec<Host>,
}

/// The address of host `n` of a star.
pub fn star_address(n: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0002 + 4 * n)
}

impl Star {
    /// Builds `count` hosts with links, addresses, routes and neighbours, and steering for all of them.
    pub async fn build(count: u32) -> Result<Self> {
        let router = Host::create("router", Forwarding::On).await?;
        let hosts = try_join_all((0..count).map(|n| star_host(n, &router))).await?;
        let routes = (0..count).map(|n| SiteRoute {
            prefix: Ipv4Net::from(star_address(n)).into(),
            hop: NextHop::new(&format!("host{n}"), None),
        });
        let spec = edge_spec(0, routes.collect(), tunnel(0, Ipv4Addr::LOCALHOST, vec![]));
        let edge = Edge::create(router, spec).await?;
        let endpoints = (0..count).map(|n| Ipv4Net::from(star_address(n)).into());
        edge.apply(&policy(endpoints.collect())).await?;
        Ok(Self { edge, hosts })
    }
}

/// Two hosts of a star, and a router that does nothing but forward.
pub struct Wire {
    /// The router.
    pub router: Host,
    /// The hosts.
    pub hosts: Vec<Host>,
}

impl Wire {
    /// Builds the hosts, with links, addresses and routes.
    pub async fn build() -> Result<Self> {
        let router = Host::create("router", Forwarding::On).await?;
        let hosts = try_join_all((0..2).map(|n| star_host(n, &router))).await?;
        Ok(Self { router, hosts })
    }
}

async fn star_host(n: u32, router: &Host) -> Result<Host> {
    let host = Host::create(&format!("host{n}"), Forwarding::Off).await?;
    let address = star_address(n);
    let gateway = Ipv4Addr::from(u32::from(address) - 1);
    let end = |interface: &str, kind, address| {
        Ok::<_, ipnet::PrefixLenError>(LinkEnd {
            interface: interface.to_owned(),
            mac: Mac::local(kind, n),
            addresses: vec![Ipv4Net::new(address, 30)?.into()],
        })
    };
    let near = end(&format!("host{n}"), 1, gateway)?;
    router.link(&near, &host, &end("eth0", 2, address)?, 1500).await?;
    host.add_route(
        TABLE_MAIN,
        Ipv4Net::default().into(),
        "eth0",
        Some(gateway.into()),
    )
    .await?;
    Ok(host)
}

/// host 0 - edge 0 == tunnel == edge 1 - host 1, with the edges on one wire.
pub struct Pair {
    /// The edges.
    pub edges: Vec<Edge>,
    /// The hosts, each with an interface `eth0`.
    pub hosts: Vec<Host>,
}

/// The address of the host of site 0 or 1.
pub fn host_address(site: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, site, 2)
}

/// Its IPv6 address.
pub fn host_address6(site: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0x244, site.into(), 0, 0, 0, 0, 2)
}

/// The link-layer address of the edge's interface towards its host.
pub fn gateway_mac(site: u8) -> Mac {
    Mac::local(1, site.into())
}

/// The link-layer address of the host.
pub fn host_mac(site: u8) -> Mac {
    Mac::local(2, site.into())
}

fn uplink(site: u8) -> Ipv4Addr {
    Ipv4Addr::new(100, 64, 0, site + 1)
}

impl Pair {
    /// Builds the two sites with one service VPN that carries IPv4, unsteered.
    pub async fn build() -> Result<Self> {
        Self::build_as(Families::Ipv4, 0).await
    }

    /// Builds the two sites, unsteered, with so many service VPNs before the one of the hosts.
    pub async fn build_as(families: Families, others: u16) -> Result<Self> {
        let (mut routers, mut hosts) = (Vec::new(), Vec::new());
        for site in 0..2_u8 {
            let router = Host::create_speaking(&format!("edge{site}"), Forwarding::On, families).await?;
            let host = Host::create_speaking(&format!("host{site}"), Forwarding::Off, families).await?;
            let near = LinkEnd {
                interface: "lan0".to_owned(),
                mac: gateway_mac(site),
                addresses: spoken(families, behind(site, 1)),
            };
            let far = LinkEnd {
                interface: "eth0".to_owned(),
                mac: host_mac(site),
                addresses: spoken(families, behind(site, 2)),
            };
            router.link(&near, &host, &far, 1430).await?;
            for gateway in spoken(families, behind(site, 1)) {
                let default = IpNet::new(gateway.network(), 0)?.trunc();
                host.add_route(TABLE_MAIN, default, "eth0", Some(gateway.addr()))
                    .await?;
            }
            routers.push(router);
            hosts.push(host);
        }
        let wan = |site: u8| {
            Ok::<_, ipnet::PrefixLenError>(LinkEnd {
                interface: "wan0".to_owned(),
                mac: Mac::local(3, site.into()),
                addresses: vec![Ipv4Net::new(uplink(site), 24)?.into()],
            })
        };
        routers[0].link(&wan(0)?, &routers[1], &wan(1)?, 1500).await?;
        let mut edges = Vec::new();
        for (site, router) in (0..).zip(routers) {
            let other = 1 - site;
            let routed = spoken(families, behind(other, 0)).into_iter();
            let remote = RemoteSpec {
                site_id: 100 + u32::from(other),
                system_ip: system_ip(other),
                underlay: uplink(other).into(),
                vpns: vec![RemoteVpn {
                    service_vpn: VPN,
                    mac: Mac::local(4, other.into()),
                    addresses: spoken(families, overlay(other)).iter().map(IpNet::addr).collect(),
                    prefixes: routed.map(|prefix| RemotePrefix { prefix, hops: 1 }).collect(),
                }],
            };
            let own = spoken(families, behind(site, 0)).into_iter();
            let own = own.map(|prefix| SiteRoute {
                prefix,
                hop: NextHop::new("lan0", None),
            });
            let mut tunnel = tunnel(site, uplink(site), vec![remote]);
            tunnel.devices[0].addresses = spoken(families, overlay(site));
            let mut spec = edge_spec(site, own.collect(), tunnel);
            (0..others).for_each(|vpn| add_vpn(&mut spec, site, vpn));
            edges.push(Edge::create(router, spec).await?);
        }
        Ok(Self { edges, hosts })
    }
}

fn system_ip(site: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 255, 0, site + 1)
}

/// The addresses of a site's tunnel device.
fn overlay(site: u8) -> [IpNet; 2] {
    let number = site + 1;
    nets([
        format!("198.18.0.{number}/24"),
        format!("fd00:198:18::{number}/64"),
    ])
}

/// The addresses of a number at a site.
fn behind(site: u8, number: u8) -> [IpNet; 2] {
    nets([
        format!("10.244.{site}.{number}/24"),
        format!("fd00:244:{site}::{number}/64"),
    ])
}

fn nets(texts: [String; 2]) -> [IpNet; 2] {
    texts.map(|text| text.parse().expect("an address and the length of a prefix"))
}

fn spoken(families: Families, [v4, v6]: [IpNet; 2]) -> Vec<IpNet> {
    match families {
        Families::Ipv4 => vec![v4],
        Families::Both => vec![v4, v6],
    }
}

/// Puts a service VPN that nothing is sent in before those of an edge.
fn add_vpn(spec: &mut EdgeSpec, site: u8, vpn: u16) {
    spec.tunnels[0].devices.push(other_device(site, vpn));
    let idle = VpnSpec {
        service_vpn: VPN + 1 + vpn,
        interfaces: vec![format!("lan{}", 1 + vpn)],
        routes: Vec::new(),
    };
    spec.vpns.insert(0, idle);
}

/// The tunnel device of a service VPN that nothing is sent in.
fn other_device(site: u8, vpn: u16) -> DeviceSpec {
    DeviceSpec {
        service_vpn: VPN + 1 + vpn,
        interface: format!("tun{}", 1 + vpn),
        mac: Mac::local(5, u32::from(vpn) << 8 | u32::from(site)),
        addresses: vec![
            Ipv4Net::new(
                Ipv4Addr::from(0xc613_0001 + (u32::from(vpn) << 8) + u32::from(site)),
                24,
            )
            .expect("24 is at most 32")
            .into(),
        ],
    }
}

fn edge_spec(site: u8, routes: Vec<SiteRoute>, tunnel: TunnelSpec) -> EdgeSpec {
    EdgeSpec {
        site_id: 100 + u32::from(site),
        system_ip: system_ip(site),
        vpns: vec![VpnSpec {
            service_vpn: VPN,
            interfaces: routes.iter().map(|route| route.hop.interface.clone()).collect(),
            routes,
        }],
        tunnels: vec![tunnel],
        default_colors: vec![COLOR.to_owned()],
        polling: Polling::default(),
        inspection: None,
    }
}

fn tunnel(site: u8, local: Ipv4Addr, remotes: Vec<RemoteSpec>) -> TunnelSpec {
    TunnelSpec {
        color: COLOR.to_owned(),
        framing: Framing::Vxlan { port: 4789 },
        local: local.into(),
        mtu: 1450,
        devices: vec![DeviceSpec {
            service_vpn: VPN,
            interface: "tun0".to_owned(),
            mac: Mac::local(4, site.into()),
            addresses: spoken(Families::Ipv4, overlay(site)),
        }],
        remotes,
    }
}

/// A policy that pins UDP to port 8080 of these endpoints to the tunnel.
pub fn policy(endpoints: Vec<IpNet>) -> EdgePolicy {
    EdgePolicy {
        site_id: 100,
        app_route: Vec::new(),
        data: vec![data_policy(VPN, vec![pin(1, endpoints, &[COLOR])])],
    }
}

/// The same beside so many other service VPNs, each of them with so many choices among tunnels in force; the one that
/// the endpoints meet is the last.
pub fn policy_among(others: u16, choices: u16, endpoints: &[IpNet]) -> EdgePolicy {
    let vpns = (VPN + 1..=VPN + others).chain([VPN]);
    let data = vpns.map(|vpn| {
        // Prefixes that nothing is sent to, and for each another choice that comes down to the same tunnel.
        let pins = (1..=choices).map(|id| {
            let last = vpn == VPN && id == choices;
            let unused = vec![Ipv4Net::from(Ipv4Addr::from(0x0c00_0000 + u32::from(id))).into()];
            let to = if last { endpoints.to_vec() } else { unused };
            pin(id, to, &[COLOR, &format!("unknown-{id:03}")])
        });
        data_policy(vpn, pins.collect())
    });
    EdgePolicy {
        site_id: 100,
        app_route: Vec::new(),
        data: data.collect(),
    }
}

fn data_policy(service_vpn: u16, sequences: Vec<Sequence>) -> DataPolicy {
    DataPolicy {
        service_vpn,
        direction: PolicyDirection::FromService,
        default_action: DefaultAction::Accept,
        sequences: sequences.into(),
    }
}

fn pin(id: u16, endpoints: Vec<IpNet>, colors: &[&str]) -> Sequence {
    Sequence {
        id,
        matching: Match {
            destination_prefixes: Some(endpoints.into()),
            destination_ports: vec![PORT..=PORT],
            protocols: vec![17],
            ..Match::default()
        },
        action: Action::Accept {
            path: Some(DataPath::Local(LocalTlocs {
                colors: colors.iter().map(|color| (*color).to_owned()).collect(),
                restrict: true,
            })),
            inspect: false,
            dscp: None,
        },
        counter: None,
    }
}

/// `count` endpoints of IPv6, apart from each other and from every host.
pub fn endpoints6(count: u32) -> Vec<IpNet> {
    (0..count)
        .map(|n| Ipv6Net::from(Ipv6Addr::from(0xfd0b_u128 << 112 | u128::from(2 * n))).into())
        .collect()
}

/// `count` endpoints from number `first` on, apart from each other and from every host.
pub fn endpoints(first: u32, count: u32) -> Vec<IpNet> {
    (first..first + count)
        .map(|n| Ipv4Net::from(Ipv4Addr::from(0x0b00_0000 + 2 * n)).into())
        .collect()
}
