//! Sites, transports and service VPNs of any number: what most tests here send packets through.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netsim::bfd::{State, Totals};
use netsim::fabric::{
    DeviceSpec, Edge, EdgeSpec, Families, Forwarding, Host, InspectionSpec, LinkEnd, Mac, NextHop,
    RemotePrefix, RemoteSpec, RemoteVpn, SiteRoute, TABLE_MAIN, TunnelSpec, VpnSpec,
};
use netsim::sla::{Polling, TunnelKey};
use nix::sys::socket::{setsockopt, sockopt};

/// The port that probes go to unless a test says otherwise.
pub const PORT: u16 = 8080;
/// How long what has to arrive may take: the machine may stand still.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long what entered no tunnel is waited for.
const QUIET: Duration = Duration::from_millis(40);

/// Which addresses probes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ip {
    V4,
    V6,
}

pub const BOTH: [Ip; 2] = [Ip::V4, Ip::V6];

/// What a world is made of; all sites are alike.
#[derive(Debug, Clone)]
pub struct Plan {
    pub sites: u8,
    pub colors: Vec<&'static str>,
    pub default_colors: Vec<&'static str>,
    pub vpns: Vec<u16>,
    pub families: Families,
    /// Outer addresses are of IPv6.
    pub underlay6: bool,
    /// All VPNs have the addresses of the first.
    pub same_addresses: bool,
    /// A site that forwards between the others.
    pub hub: Option<u8>,
    /// Pairs of sites without a tunnel.
    pub apart: Vec<(u8, u8)>,
    /// A site with an inspection service.
    pub inspection: Option<u8>,
    pub tunnel_mtu: u32,
    pub polling: Polling,
    /// (site, VPN that gets it, VPN that has it): at that site the one VPN reaches what the other has.
    pub leaks: Vec<(u8, u16, u16)>,
    /// A site that stands for every address which no other has.
    pub default_at: Option<u8>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            sites: 2,
            colors: vec!["biz-internet", "default"],
            default_colors: vec!["default"],
            vpns: vec![10],
            families: Families::Both,
            underlay6: false,
            same_addresses: false,
            hub: None,
            apart: Vec::new(),
            inspection: None,
            tunnel_mtu: 1400,
            // Each poll is judged for itself, so that a test says at once how a tunnel stands.
            polling: Polling {
                interval: Duration::from_millis(100),
                multiplier: 1,
                hold_down: Duration::ZERO,
            },
            leaks: Vec::new(),
            default_at: None,
        }
    }
}

pub struct World {
    pub plan: Plan,
    pub edges: Vec<Arc<Edge>>,
    /// By site and position of the VPN.
    pub hosts: Vec<Vec<Host>>,
    pub transports: Vec<Host>,
    /// The inspection service, if there is one.
    pub inspection: Option<Host>,
}

/// Probes from one host to another.
#[derive(Debug, Clone, Copy)]
pub struct Flow {
    pub from: u8,
    pub to: u8,
    /// Position of the VPN,
    pub vpn: usize,
    /// and of that of the host that listens.
    pub to_vpn: usize,
    pub ip: Ip,
    /// The host's own unless another is to be asked.
    pub address: Option<IpAddr>,
    pub port: u16,
    pub dscp: u8,
    /// As many flows, each from a port of its own,
    pub flows: u16,
    /// of as many packets.
    pub packets: u32,
}

impl Flow {
    pub fn new(from: u8, to: u8, ip: Ip) -> Self {
        Self {
            from,
            to,
            vpn: 0,
            to_vpn: 0,
            ip,
            address: None,
            port: PORT,
            dscp: 0,
            flows: 1,
            packets: 3,
        }
    }

    fn count(&self) -> u32 {
        u32::from(self.flows) * self.packets
    }
}

/// How a tunnel is to stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    Down,
    /// Of 1,000 hellos so many lost; mean latency and jitter in milliseconds.
    Measured {
        lost: u32,
        latency: u32,
        jitter: u32,
    },
}

impl Condition {
    /// Meets any class that a test here has.
    pub const GOOD: Self = Self::Measured {
        lost: 0,
        latency: 5,
        jitter: 1,
    };
}

pub fn uplink(plan: &Plan, site: u8, transport: u8) -> IpAddr {
    if plan.underlay6 {
        Ipv6Addr::new(0xfd64, transport.into(), 0, 0, 0, 0, 0, u16::from(site) + 1).into()
    } else {
        Ipv4Addr::new(100, 64 + transport, 0, site + 1).into()
    }
}

pub fn system_ip(site: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 255, 0, site + 1)
}

pub fn site_id(site: u8) -> u32 {
    100 + u32::from(site)
}

fn mac(kind: u8, site: u8, position: u8) -> Mac {
    Mac::local(kind, u32::from(site) * 256 + u32::from(position))
}

fn small(position: usize) -> u8 {
    u8::try_from(position).unwrap()
}

impl Plan {
    fn families(&self) -> impl Iterator<Item = Ip> + use<> {
        let both = self.families == Families::Both;
        BOTH.into_iter().filter(move |ip| *ip == Ip::V4 || both)
    }

    /// The address of host `octet` in a VPN of a site, 1 being the edge.
    pub fn address(&self, site: u8, vpn: usize, ip: Ip, octet: u8) -> IpAddr {
        let vpn = if self.same_addresses { 0 } else { small(vpn) };
        match ip {
            Ip::V4 => Ipv4Addr::new(10, 200 + vpn, site, octet).into(),
            Ip::V6 => Ipv6Addr::new(0xfd10, vpn.into(), site.into(), 0, 0, 0, 0, octet.into()).into(),
        }
    }

    pub fn prefix(&self, site: u8, vpn: usize, ip: Ip) -> IpNet {
        let len = match ip {
            Ip::V4 => 24,
            Ip::V6 => 64,
        };
        IpNet::new(self.address(site, vpn, ip, 0), len).unwrap()
    }

    fn overlay(&self, site: u8, transport: u8, vpn: usize, ip: Ip) -> IpNet {
        let vpn = small(vpn);
        match ip {
            Ip::V4 => Ipv4Net::new(Ipv4Addr::new(198, 18, 8 * transport + vpn, site + 1), 24)
                .unwrap()
                .into(),
            Ip::V6 => {
                let address = Ipv6Addr::new(
                    0xfd18,
                    transport.into(),
                    vpn.into(),
                    0,
                    0,
                    0,
                    0,
                    u16::from(site) + 1,
                );
                Ipv6Net::new(address, 64).unwrap().into()
            }
        }
    }

    fn linked(&self, one: u8, other: u8) -> bool {
        let apart = |pair: &(u8, u8)| *pair == (one, other) || *pair == (other, one);
        one != other && !self.apart.iter().any(apart)
    }

    /// The sites at the other ends of a site's tunnels, in the order of [`TunnelKey`].
    pub fn remotes(&self, site: u8) -> Vec<u8> {
        (0..self.sites)
            .filter(|other| self.linked(site, *other))
            .collect()
    }

    fn vpn_position(&self, service_vpn: u16) -> usize {
        self.vpns.iter().position(|vpn| *vpn == service_vpn).unwrap()
    }

    fn spec(&self, site: u8) -> EdgeSpec {
        let vpns = self
            .vpns
            .iter()
            .enumerate()
            .map(|(position, service_vpn)| VpnSpec {
                service_vpn: *service_vpn,
                interfaces: vec![format!("lan{position}")],
                routes: self.site_routes(site, position),
            });
        let inspects = self.inspection == Some(site);
        let addresses = self.families().map(|ip| inspection_address(ip, 2));
        EdgeSpec {
            site_id: site_id(site),
            system_ip: system_ip(site),
            vpns: vpns.collect(),
            tunnels: (0..small(self.colors.len()))
                .map(|transport| self.tunnel(site, transport))
                .collect(),
            default_colors: self
                .default_colors
                .iter()
                .map(|color| (*color).to_owned())
                .collect(),
            polling: self.polling,
            inspection: inspects.then(|| InspectionSpec {
                interface: "inspect0".into(),
                addresses: addresses.collect(),
            }),
        }
    }

    fn site_routes(&self, site: u8, position: usize) -> Vec<SiteRoute> {
        let own = [position].into_iter();
        let leaked = self
            .leaks
            .iter()
            .filter(|(at, gets, _)| *at == site && *gets == self.vpns[position])
            .map(|(_, _, has)| self.vpn_position(*has));
        own.chain(leaked)
            .flat_map(|vpn| self.families().map(move |ip| (vpn, ip)))
            .map(|(vpn, ip)| SiteRoute {
                prefix: self.prefix(site, vpn, ip),
                hop: NextHop::new(&format!("lan{vpn}"), None),
            })
            .collect()
    }

    fn tunnel(&self, site: u8, transport: u8) -> TunnelSpec {
        let vpns = || self.vpns.iter().enumerate();
        let overlay = |site, vpn| {
            self.families()
                .map(move |ip| self.overlay(site, transport, vpn, ip))
        };
        let device = |site, vpn| mac(5, site, transport * 8 + small(vpn));
        let devices = vpns().map(|(position, service_vpn)| DeviceSpec {
            service_vpn: *service_vpn,
            interface: format!("tun{transport}v{position}"),
            mac: device(site, position),
            addresses: overlay(site, position).collect(),
        });
        let remotes = self.remotes(site).into_iter().map(|remote| RemoteSpec {
            site_id: site_id(remote),
            system_ip: system_ip(remote),
            underlay: uplink(self, remote, transport),
            vpns: vpns()
                .map(|(position, service_vpn)| RemoteVpn {
                    service_vpn: *service_vpn,
                    mac: device(remote, position),
                    addresses: overlay(remote, position).map(|net| net.addr()).collect(),
                    prefixes: self.remote_prefixes(site, remote, position),
                })
                .collect(),
        });
        TunnelSpec {
            color: self.colors[usize::from(transport)].into(),
            local: uplink(self, site, transport),
            port: 4789 + u16::from(transport),
            mtu: self.tunnel_mtu,
            devices: devices.collect(),
            remotes: remotes.collect(),
        }
    }

    fn remote_prefixes(&self, site: u8, remote: u8, position: usize) -> Vec<RemotePrefix> {
        let leaked = self
            .leaks
            .iter()
            .filter(|(at, gets, _)| *at == remote && *gets == self.vpns[position])
            .map(|(_, _, has)| (remote, self.vpn_position(*has), 1));
        let is_hub = self.hub == Some(remote);
        let behind_hub = (0..self.sites)
            .filter(|other| is_hub && *other != site && *other != remote)
            .map(|other| (other, position, 2));
        let of_sites = [(remote, position, 1)]
            .into_iter()
            .chain(leaked)
            .chain(behind_hub);
        let mut prefixes: Vec<RemotePrefix> = of_sites
            .flat_map(|(site, vpn, hops)| self.families().map(move |ip| (self.prefix(site, vpn, ip), hops)))
            .map(|(prefix, hops)| RemotePrefix { prefix, hops })
            .collect();
        if self.default_at == Some(remote) {
            let defaults = [IpNet::from(Ipv4Net::default()), IpNet::from(Ipv6Net::default())];
            let defaults = defaults
                .into_iter()
                .filter(|prefix| matches!(prefix, IpNet::V4(_)) || self.families == Families::Both);
            prefixes.extend(defaults.map(|prefix| RemotePrefix { prefix, hops: 1 }));
        }
        prefixes
    }
}

pub fn inspection_address(ip: Ip, octet: u8) -> IpAddr {
    match ip {
        Ip::V4 => Ipv4Addr::new(10, 199, 0, octet).into(),
        Ip::V6 => Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, octet.into()).into(),
    }
}

impl World {
    pub async fn build(plan: Plan) -> Self {
        let mut transports = Vec::new();
        for color in &plan.colors {
            let host = Host::create_speaking(color, Forwarding::On, plan.families).await;
            transports.push(host.unwrap());
        }
        let (mut edges, mut hosts, mut inspection) = (Vec::new(), Vec::new(), None);
        for site in 0..plan.sites {
            let edge = Host::create_speaking(&format!("edge{site}"), Forwarding::On, plan.families)
                .await
                .unwrap();
            let mut of_site = Vec::new();
            for vpn in 0..plan.vpns.len() {
                of_site.push(attach_host(&plan, &edge, site, vpn).await);
            }
            for (transport, router) in (0..).zip(&transports) {
                attach_transport(&plan, &edge, site, transport, router).await;
            }
            if plan.inspection == Some(site) {
                inspection = Some(attach_inspection(&plan, &edge).await);
            }
            edges.push(Arc::new(Edge::create(edge, plan.spec(site)).await.unwrap()));
            hosts.push(of_site);
        }
        Self {
            plan,
            edges,
            hosts,
            transports,
            inspection,
        }
    }

    pub fn address(&self, site: u8, vpn: usize, ip: Ip) -> IpAddr {
        self.plan.address(site, vpn, ip, 2)
    }

    /// A socket of a host, which waits for [`PATIENCE`] when read.
    pub fn bind(&self, site: u8, vpn: usize, ip: Ip, port: u16) -> UdpSocket {
        let address = (self.address(site, vpn, ip), port);
        let socket = self.hosts[usize::from(site)][vpn]
            .netns()
            .run(|| UdpSocket::bind(address));
        let socket = socket.unwrap().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// Sends the probes, which all have to arrive: how many took the tunnel of each transport.
    pub async fn arrive(&self, flow: &Flow) -> Vec<u64> {
        let (arrived, sent) = self.send(flow).await;
        assert_eq!(
            arrived,
            flow.count(),
            "arrived of {flow:?}; sent by tunnel: {sent:?}"
        );
        sent
    }

    /// Sends the probes, none of which may arrive or enter a tunnel.
    pub async fn vanish(&self, flow: &Flow) {
        let (arrived, sent) = self.send_for(flow, QUIET).await;
        assert_eq!(arrived, 0, "arrived of {flow:?}; sent by tunnel: {sent:?}");
        assert_eq!(
            sent.iter().sum::<u64>(),
            0,
            "sent by tunnel of {flow:?}: {sent:?}"
        );
    }

    /// Sends the probes: how many arrived, and how many took the tunnel of each transport. What entered no tunnel is
    /// not waited for long.
    pub async fn send(&self, flow: &Flow) -> (u32, Vec<u64>) {
        self.send_for(flow, PATIENCE).await
    }

    /// As [`Self::send`], with the patience for what entered a tunnel.
    pub async fn send_for(&self, flow: &Flow, patience: Duration) -> (u32, Vec<u64>) {
        let receiver = self.bind(flow.to, flow.to_vpn, flow.ip, flow.port);
        let to = flow
            .address
            .unwrap_or_else(|| self.address(flow.to, flow.to_vpn, flow.ip));
        let before = self.sent(flow.from, flow.vpn).await;
        for source in 0..flow.flows {
            let sender = self.bind(flow.from, flow.vpn, flow.ip, 40_000 + source);
            mark_dscp(&sender, flow);
            for _ in 0..flow.packets {
                // A host that was told of no way says so once.
                sender.send_to(b"probe", SocketAddr::new(to, flow.port)).ok();
            }
        }
        // The kernel has sent a packet on before the system call returns, and what stays at a site enters no tunnel.
        let left = self.sent(flow.from, flow.vpn).await;
        let patience = if left == before && flow.from != flow.to {
            QUIET
        } else {
            patience
        };
        let mut arrived = 0;
        let deadline = Instant::now() + patience;
        while arrived < flow.count() {
            let left = deadline.saturating_duration_since(Instant::now());
            receiver
                .set_read_timeout(Some(left.max(Duration::from_millis(1))))
                .unwrap();
            match receiver.recv(&mut [0; 16]) {
                Ok(_) => arrived += 1,
                Err(_) if left.is_zero() => break,
                Err(_) => {}
            }
        }
        let after = self.sent(flow.from, flow.vpn).await;
        let sent = after.iter().zip(&before).map(|(after, before)| after - before);
        (arrived, sent.collect())
    }

    /// Packets that the device of each transport has sent, of one VPN at one site.
    pub async fn sent(&self, site: u8, vpn: usize) -> Vec<u64> {
        self.counts(site, vpn, |count| count.sent).await
    }

    /// As [`Self::sent`], received.
    pub async fn received(&self, site: u8, vpn: usize) -> Vec<u64> {
        self.counts(site, vpn, |count| count.received).await
    }

    async fn counts(
        &self,
        site: u8,
        vpn: usize,
        of: impl Fn(netsim::fabric::host::PacketCount) -> u64,
    ) -> Vec<u64> {
        let mut counts = Vec::new();
        for transport in 0..self.plan.colors.len() {
            let device = format!("tun{transport}v{vpn}");
            let count = self.edges[usize::from(site)].packet_count(&device).await;
            counts.push(of(count.unwrap()));
        }
        counts
    }

    /// Makes the tunnels of an edge stand so.
    pub async fn judge(&self, site: u8, conditions: &BTreeMap<TunnelKey, Condition>) {
        let edge = &self.edges[usize::from(site)];
        let mut measured = Vec::new();
        for (tunnel, condition) in conditions {
            let state = match condition {
                Condition::Down => State::Down,
                Condition::Measured { .. } => State::Up,
            };
            edge.turn(*tunnel, state).await.1.unwrap();
            if let Condition::Measured {
                lost,
                latency,
                jitter,
            } = *condition
            {
                measured.push((*tunnel, totals(lost, latency, jitter)));
            }
        }
        // Totals count up: what the first poll finds is what the second is told the difference to.
        let nothing = measured.iter().map(|(tunnel, _)| (*tunnel, Totals::default()));
        edge.poll(nothing, Instant::now()).await.1.unwrap();
        edge.poll(measured, Instant::now()).await.1.unwrap();
    }
}

fn totals(lost: u32, latency: u32, jitter: u32) -> Totals {
    let answered = 1000 - lost;
    let millis = |millis: u32| Duration::from_millis(millis.into());
    Totals {
        answered: answered.into(),
        lost: lost.into(),
        latency: millis(latency) * answered,
        pairs: answered.into(),
        variation: millis(jitter) * answered,
    }
}

fn mark_dscp(socket: &UdpSocket, flow: &Flow) {
    let octet = i32::from(flow.dscp) << 2;
    match flow.ip {
        Ip::V4 => setsockopt(socket, sockopt::Ipv4Tos, &octet).unwrap(),
        Ip::V6 => setsockopt(socket, sockopt::Ipv6TClass, &octet).unwrap(),
    }
}

/// A host of a site, with nothing but a default route to the edge.
async fn attach_host(plan: &Plan, edge: &Host, site: u8, vpn: usize) -> Host {
    let host = Host::create_speaking(&format!("host{site}v{vpn}"), Forwarding::Off, plan.families)
        .await
        .unwrap();
    let end = |interface: String, octet: u8| LinkEnd {
        interface,
        mac: mac(octet, site, small(vpn)),
        addresses: plan
            .families()
            .map(|ip| {
                IpNet::new(
                    plan.address(site, vpn, ip, octet),
                    plan.prefix(site, vpn, ip).prefix_len(),
                )
            })
            .map(Result::unwrap)
            .collect(),
    };
    let (near, far) = (end(format!("lan{vpn}"), 1), end("eth0".into(), 2));
    edge.link(&near, &host, &far, 1500).await.unwrap();
    for ip in plan.families() {
        let (default, gateway) = (default_route(ip), plan.address(site, vpn, ip, 1));
        let added = host.add_route(TABLE_MAIN, default, "eth0", Some(gateway)).await;
        added.unwrap();
    }
    host
}

pub fn default_route(ip: Ip) -> IpNet {
    match ip {
        Ip::V4 => Ipv4Net::default().into(),
        Ip::V6 => Ipv6Net::default().into(),
    }
}

async fn attach_transport(plan: &Plan, edge: &Host, site: u8, transport: u8, router: &Host) {
    let own = uplink(plan, site, transport);
    let near = LinkEnd {
        interface: format!("wan{transport}"),
        mac: mac(3, site, transport),
        addresses: vec![own.into()],
    };
    let far = LinkEnd {
        interface: format!("edge{site}"),
        mac: mac(4, site, transport),
        addresses: vec![],
    };
    edge.link(&near, router, &far, 1500).await.unwrap();
    for other in (0..plan.sites).filter(|other| *other != site) {
        let other = uplink(plan, other, transport);
        edge.add_neighbour(&near.interface, other, far.mac).await.unwrap();
        edge.add_route(TABLE_MAIN, other.into(), &near.interface, None)
            .await
            .unwrap();
    }
    router.add_neighbour(&far.interface, own, near.mac).await.unwrap();
    router
        .add_route(TABLE_MAIN, own.into(), &far.interface, None)
        .await
        .unwrap();
}

async fn attach_inspection(plan: &Plan, edge: &Host) -> Host {
    let host = Host::create_speaking("inspection", Forwarding::Off, plan.families)
        .await
        .unwrap();
    let end = |interface: &str, octet: u8| LinkEnd {
        interface: interface.into(),
        mac: mac(6, 0, octet),
        addresses: plan
            .families()
            .map(|ip| match ip {
                Ip::V4 => IpNet::new(inspection_address(ip, octet), 24).unwrap(),
                Ip::V6 => IpNet::new(inspection_address(ip, octet), 64).unwrap(),
            })
            .collect(),
    };
    edge.link(&end("inspect0", 1), &host, &end("inspect1", 2), 1500)
        .await
        .unwrap();
    host
}
