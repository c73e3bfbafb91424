//! The labs that are measured: a star of hosts around one router, a router between two hosts, and two sites with a
//! tunnel between them.

use std::net::Ipv4Addr;

use anyhow::Result;
use futures::future::try_join_all;
use ipnet::{IpNet, Ipv4Net};
use netsim::fabric::{
    DeviceSpec, Edge, EdgeSpec, Forwarding, Framing, Host, LinkEnd, Mac, NextHop, RemotePrefix, RemoteSpec,
    RemoteVpn, SiteRoute, TABLE_MAIN, TunnelSpec, VpnSpec,
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
    /// Builds the two sites, unsteered.
    pub async fn build() -> Result<Self> {
        let (mut routers, mut hosts) = (Vec::new(), Vec::new());
        for site in 0..2_u8 {
            let router = Host::create(&format!("edge{site}"), Forwarding::On).await?;
            let host = Host::create(&format!("host{site}"), Forwarding::Off).await?;
            let gateway = Ipv4Addr::new(10, 244, site, 1);
            let near = LinkEnd {
                interface: "lan0".to_owned(),
                mac: gateway_mac(site),
                addresses: vec![Ipv4Net::new(gateway, 24)?.into()],
            };
            let far = LinkEnd {
                interface: "eth0".to_owned(),
                mac: host_mac(site),
                addresses: vec![Ipv4Net::new(host_address(site), 24)?.into()],
            };
            router.link(&near, &host, &far, 1450).await?;
            host.add_route(
                TABLE_MAIN,
                Ipv4Net::default().into(),
                "eth0",
                Some(gateway.into()),
            )
            .await?;
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
            let behind = |site: u8| Ipv4Net::new(Ipv4Addr::new(10, 244, site, 0), 24).map(IpNet::from);
            let remote = RemoteSpec {
                site_id: 100 + u32::from(other),
                system_ip: system_ip(other),
                underlay: uplink(other).into(),
                vpns: vec![RemoteVpn {
                    service_vpn: VPN,
                    mac: Mac::local(4, other.into()),
                    addresses: vec![overlay(other).into()],
                    prefixes: vec![RemotePrefix {
                        prefix: behind(other)?,
                        hops: 1,
                    }],
                }],
            };
            let own = SiteRoute {
                prefix: behind(site)?,
                hop: NextHop::new("lan0", None),
            };
            let spec = edge_spec(site, vec![own], tunnel(site, uplink(site), vec![remote]));
            edges.push(Edge::create(router, spec).await?);
        }
        Ok(Self { edges, hosts })
    }
}

fn system_ip(site: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 255, 0, site + 1)
}

fn overlay(site: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, 0, site + 1)
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
            addresses: vec![Ipv4Net::new(overlay(site), 24).expect("24 is at most 32").into()],
        }],
        remotes,
    }
}

/// A policy that pins UDP to port 8080 of these endpoints to the tunnel.
pub fn policy(endpoints: Vec<IpNet>) -> EdgePolicy {
    let sequence = Sequence {
        id: 1,
        matching: Match {
            destination_prefixes: Some(endpoints),
            destination_ports: vec![PORT..=PORT],
            protocols: vec![17],
            ..Match::default()
        },
        action: Action::Accept {
            path: Some(DataPath::Local(LocalTlocs {
                colors: vec![COLOR.to_owned()],
                restrict: true,
            })),
            inspect: false,
        },
        counter: None,
    };
    EdgePolicy {
        site_id: 100,
        app_route: Vec::new(),
        data: vec![DataPolicy {
            service_vpn: VPN,
            direction: PolicyDirection::FromService,
            default_action: DefaultAction::Accept,
            sequences: vec![sequence],
        }],
    }
}

/// `count` endpoints from number `first` on, apart from each other and from every host.
pub fn endpoints(first: u32, count: u32) -> Vec<IpNet> {
    (first..first + count)
        .map(|n| Ipv4Net::from(Ipv4Addr::from(0x0b00_0000 + 2 * n)).into())
        .collect()
}
