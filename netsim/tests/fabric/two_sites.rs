//! Two sites, two transports, one host behind each edge.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use netsim::fabric::{
    DeviceSpec, Edge, EdgeSpec, Forwarding, Framing, Host, LinkEnd, Mac, NextHop, RemotePrefix, RemoteSpec,
    RemoteVpn, SiteRoute, TABLE_MAIN, TunnelSpec, VpnSpec,
};
use netsim::sla::Polling;

pub const VPN: u16 = 10;
pub const COLORS: [&str; 2] = ["biz-internet", "default"];
pub const BIZ: usize = 0;
pub const DEFAULT: usize = 1;

pub struct TwoSites {
    pub edges: Vec<Arc<Edge>>,
    pub hosts: Vec<Host>,
    pub transports: Vec<Host>,
}

pub fn host_address(site: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, site, 2)
}

fn uplink(site: u8, transport: u8) -> Ipv4Addr {
    Ipv4Addr::new(100, 64 + transport, 0, site + 1)
}

fn mac(kind: u8, site: u8, transport: u8) -> Mac {
    Mac::local(kind, u32::from(site) * 32 + u32::from(transport))
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

impl TwoSites {
    pub async fn build() -> Self {
        let mut transports = Vec::new();
        for color in COLORS {
            transports.push(Host::create(color, Forwarding::On).await.unwrap());
        }
        let (mut edges, mut hosts) = (Vec::new(), Vec::new());
        for site in 0..2_u8 {
            let edge = Host::create(&format!("edge{site}"), Forwarding::On)
                .await
                .unwrap();
            let host = Host::create(&format!("host{site}"), Forwarding::Off)
                .await
                .unwrap();
            let lan = |name: &str, octet, kind| LinkEnd {
                interface: name.into(),
                mac: mac(kind, site, 0),
                addresses: vec![net(&format!("10.244.{site}.{octet}/24"))],
            };
            edge.link(&lan("lan0", 1, 1), &host, &lan("eth0", 2, 2), 1450)
                .await
                .unwrap();
            let gateway = Ipv4Addr::new(10, 244, site, 1);
            host.add_route(
                TABLE_MAIN,
                Ipv4Net::default().into(),
                "eth0",
                Some(gateway.into()),
            )
            .await
            .unwrap();
            for (transport, router) in (0..).zip(&transports) {
                attach(&edge, site, transport, router).await;
            }
            let tunnels = (0..2).map(|transport| tunnel(site, transport)).collect();
            let spec = EdgeSpec {
                site_id: 100 + u32::from(site),
                system_ip: Ipv4Addr::new(10, 255, 0, site + 1),
                vpns: vec![VpnSpec {
                    service_vpn: VPN,
                    interfaces: vec!["lan0".into()],
                    routes: vec![SiteRoute {
                        prefix: net(&format!("10.244.{site}.0/24")),
                        hop: NextHop::new("lan0", None),
                    }],
                }],
                tunnels,
                default_colors: vec![COLORS[DEFAULT].into()],
                polling: Polling::default(),
                inspection: None,
            };
            edges.push(Arc::new(Edge::create(edge, spec).await.unwrap()));
            hosts.push(host);
        }
        Self {
            edges,
            hosts,
            transports,
        }
    }

    /// Sends `count` datagrams from the host of site 0 to port 8080 of the host of site 1; how many arrived.
    pub fn send(&self, count: u32) -> u32 {
        let to = self.hosts[1]
            .netns()
            .run(|| UdpSocket::bind((host_address(1), 8080)))
            .unwrap()
            .unwrap();
        let from = self.hosts[0]
            .netns()
            .run(|| UdpSocket::bind((host_address(0), 40_000)))
            .unwrap()
            .unwrap();
        to.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut arrived = 0;
        for _ in 0..count {
            from.send_to(b"probe", (host_address(1), 8080)).unwrap();
            arrived += u32::from(to.recv(&mut [0; 16]).is_ok());
            if arrived == 0 {
                // Nothing gets through: one time-out tells as much as many.
                break;
            }
        }
        arrived
    }

    /// Packets that each tunnel of site 0 has sent.
    pub async fn sent_by_tunnel(&self) -> [u64; 2] {
        let mut sent = [0; 2];
        for (sent, tunnel) in sent.iter_mut().zip(["tun0", "tun1"]) {
            *sent = self.edges[0].packet_count(tunnel).await.unwrap().sent;
        }
        sent
    }
}

async fn attach(edge: &Host, site: u8, transport: u8, router: &Host) {
    let near = LinkEnd {
        interface: format!("wan{transport}"),
        mac: mac(3, site, transport),
        addresses: vec![Ipv4Net::from(uplink(site, transport)).into()],
    };
    let far = LinkEnd {
        interface: format!("edge{site}"),
        mac: mac(4, site, transport),
        addresses: vec![],
    };
    edge.link(&near, router, &far, 1500).await.unwrap();
    let other = uplink(1 - site, transport);
    edge.add_neighbour(&near.interface, other.into(), far.mac)
        .await
        .unwrap();
    edge.add_route(TABLE_MAIN, Ipv4Net::from(other).into(), &near.interface, None)
        .await
        .unwrap();
    let own = uplink(site, transport);
    router
        .add_neighbour(&far.interface, own.into(), near.mac)
        .await
        .unwrap();
    router
        .add_route(TABLE_MAIN, Ipv4Net::from(own).into(), &far.interface, None)
        .await
        .unwrap();
}

fn tunnel(site: u8, transport: u8) -> TunnelSpec {
    let overlay = |site: u8| Ipv4Addr::new(198, 18, 8 * transport, site + 1);
    let other = 1 - site;
    TunnelSpec {
        color: COLORS[usize::from(transport)].into(),
        framing: Framing::Vxlan {
            port: 4789 + u16::from(transport),
        },
        local: uplink(site, transport).into(),
        mtu: 1450,
        devices: vec![DeviceSpec {
            service_vpn: VPN,
            interface: format!("tun{transport}"),
            mac: mac(5, site, transport),
            addresses: vec![Ipv4Net::new(overlay(site), 21).unwrap().into()],
        }],
        remotes: vec![RemoteSpec {
            site_id: 100 + u32::from(other),
            system_ip: Ipv4Addr::new(10, 255, 0, other + 1),
            underlay: uplink(other, transport).into(),
            vpns: vec![RemoteVpn {
                service_vpn: VPN,
                mac: mac(5, other, transport),
                addresses: vec![overlay(other).into()],
                prefixes: vec![RemotePrefix {
                    prefix: net(&format!("10.244.{other}.0/24")),
                    hops: 1,
                }],
            }],
        }],
    }
}
