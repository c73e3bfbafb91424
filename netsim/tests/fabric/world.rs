//! Sites, transports and service VPNs of any number: what most tests here send packets through.

mod plan;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netsim::bfd::{State, Totals};
use netsim::fabric::{Edge, Forwarding, Host, LinkEnd, TABLE_MAIN};
use netsim::sla::TunnelKey;
use nix::sys::socket::{setsockopt, sockopt};

pub use plan::{BOTH, Ip, Plan, inspection_address, site_id, system_ip, uplink};
use plan::{mac, small};

/// The port that probes go to unless a test says otherwise.
pub const PORT: u16 = 8080;
/// How long what has to arrive may take: the machine may stand still.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How long what must not arrive is waited for.
pub const QUIET: Duration = Duration::from_millis(40);

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
        let (arrived, sent) = self.send(flow, PATIENCE).await;
        assert_eq!(
            arrived,
            flow.count(),
            "arrived of {flow:?}; sent by tunnel: {sent:?}"
        );
        sent
    }

    /// Sends the probes, none of which may arrive or enter a tunnel.
    pub async fn vanish(&self, flow: &Flow) {
        let (arrived, sent) = self.send(flow, QUIET).await;
        assert_eq!(arrived, 0, "arrived of {flow:?}; sent by tunnel: {sent:?}");
        assert_eq!(
            sent.iter().sum::<u64>(),
            0,
            "sent by tunnel of {flow:?}: {sent:?}"
        );
    }

    /// Sends the probes: how many arrived within `patience`, and how many took the tunnel of each transport.
    pub async fn send(&self, flow: &Flow, patience: Duration) -> (u32, Vec<u64>) {
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
