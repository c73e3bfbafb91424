//! A full mesh of sites over two transports: built, proved site by site, probed, and taken down.
//!
//! Every edge has one device for each transport, and every other edge as a peer of it: devices grow with the edges,
//! not with the tunnels.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::{try_join, try_join_all};
use ipnet::{IpNet, Ipv4Net};
use netsim::bfd::{Prober, Timing};
use netsim::fabric::{
    DeviceSpec, Edge, EdgeSpec, Forwarding, Framing, Host, LinkEnd, Mac, NextHop, RemotePrefix, RemoteSpec,
    RemoteVpn, SiteRoute, TABLE_MAIN, TunnelSpec, VpnSpec,
};
use netsim::policy::{
    Action, DataPath, DataPolicy, DefaultAction, EdgePolicy, LocalTlocs, Match, PolicyDirection, Sequence,
};
use netsim::sla::Polling;

use crate::figure::{Baseline, Figure, Target};
use crate::nodes::{milliseconds, wait_for_links_to_go};
use crate::pairs::{open, prove};

/// Sites of the mesh whose targets are known.
const SITES: u32 = 200;
const VPN: u16 = 10;
const COLORS: [&str; 2] = ["biz-internet", "mpls"];
/// The port of the traffic that is pinned to the first transport; the next one is pinned to the second.
const PORT: u16 = 9000;
/// Octets of the headers of VXLAN over IPv4, and of an inner frame.
const OVERHEAD: u32 = 50;
/// How often sessions are tried here.
const HELLO: Duration = Duration::from_secs(1);
/// How long the prober is watched, once its first hellos are out.
const PROBING: Duration = Duration::from_secs(5);

/// Sites of which each has an edge and a host, and the routers of the transports.
pub struct Mesh {
    transports: Vec<Host>,
    /// One edge for each site.
    pub edges: Vec<Arc<Edge>>,
    hosts: Vec<Host>,
}

/// Measures the mesh of 200 sites.
pub async fn measure() -> Result<Vec<Figure>> {
    let available = memory("/proc/meminfo", "MemAvailable:")?;
    let resident = memory("/proc/self/status", "VmRSS:")?;
    let start = Instant::now();
    let mesh = Mesh::build(SITES).await?;
    let build = milliseconds(start) / 1000.0;
    let ours = memory("/proc/self/status", "VmRSS:")? - resident;
    let all = available - memory("/proc/meminfo", "MemAvailable:")?;
    let pings = mesh.prove().await?;
    let probing = mesh.probe().await?;
    let start = Instant::now();
    let [first, second] = <[Host; 2]>::try_from(mesh.transports)
        .ok()
        .context("two transports")?;
    // The first transport's router stays to see its links go.
    drop((mesh.edges, mesh.hosts, second));
    let returns = milliseconds(start);
    wait_for_links_to_go(&first, "site")?;
    let gone = milliseconds(start);
    let figure = |name, figure, unit, target| Figure {
        name,
        figure,
        unit,
        target,
        baseline: Baseline::None,
    };
    Ok(vec![
        figure("mesh-200-build", build, "s", Target::AtMost(60.0)),
        figure("mesh-200-memory", all, "MiB", Target::AtMost(4096.0)),
        figure("mesh-200-memory-ours", ours, "MiB", Target::None),
        figure("mesh-200-all-pairs", pings, "s", Target::None),
        figure("mesh-200-bfd-cpu", probing.cpu, "s/s", Target::None),
        figure("mesh-200-bfd-answered", probing.answered, "%", Target::None),
        figure("mesh-200-teardown-returns", returns, "ms", Target::None),
        figure("mesh-200-teardown-gone", gone, "ms", Target::None),
    ])
}

impl Mesh {
    /// Builds so many sites.
    pub async fn build(sites: u32) -> Result<Self> {
        let transports =
            (0..2).map(|n| async move { Host::create(&format!("transport{n}"), Forwarding::On).await });
        let transports = try_join_all(transports).await?;
        let sites = try_join_all((0..sites).map(|n| site(n, sites, &transports))).await?;
        let (edges, hosts) = sites.into_iter().unzip();
        Ok(Self {
            transports,
            edges,
            hosts,
        })
    }

    /// Seconds until every host has the answer of every other one over each transport, and over no other.
    async fn prove(&self) -> Result<f64> {
        let start = Instant::now();
        for (position, port) in (0..COLORS.len()).zip(PORT..) {
            let before = self.carried().await?;
            let address = |n| SocketAddr::from((host_address(number(n)), port));
            let sockets = self.hosts.iter().enumerate();
            let sockets = sockets
                .map(|(n, host)| open(host, address(n)))
                .collect::<Result<Vec<_>>>()?;
            prove(&sockets, address)?;
            let after = self.carried().await?;
            let pairs = u64::from(number(self.hosts.len()) * (number(self.hosts.len()) - 1));
            for (color, carried) in after
                .iter()
                .zip(before)
                .map(|(after, before)| after - before)
                .enumerate()
            {
                // A question and an answer for each pair.
                let wanted = if color == position { 2 * pairs } else { 0 };
                ensure!(
                    carried == wanted,
                    "the devices of `{}` sent {carried} packets instead of {wanted} to port {port}",
                    COLORS[color]
                );
            }
        }
        Ok(milliseconds(start) / 1000.0)
    }

    /// Packets that the devices of each transport have sent.
    async fn carried(&self) -> Result<[u64; 2]> {
        let mut sums = [0; 2];
        for edge in &self.edges {
            for (sum, tunnel) in sums.iter_mut().zip(edge.tunnels()) {
                *sum += edge.packet_count(&tunnel.devices[0].interface).await?.sent;
            }
        }
        Ok(sums)
    }

    async fn probe(&self) -> Result<Probing> {
        let timing = Timing {
            hello: HELLO,
            multiplier: 7,
        };
        let prober = Prober::start(&self.edges, timing, |_| {})?;
        tokio::time::sleep(HELLO).await;
        let answered = || {
            prober
                .sessions()
                .iter()
                .map(|view| view.session.totals().answered)
                .sum::<u64>()
        };
        let (start, before, cpu) = (Instant::now(), answered(), process_cpu()?);
        tokio::time::sleep(PROBING).await;
        let seconds = start.elapsed().as_secs_f64();
        let cpu = (process_cpu()? - cpu).as_secs_f64() / seconds;
        let answered = answered() - before;
        let sessions = prober.sessions().len();
        drop(prober);
        #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let answered = 100.0 * answered as f64 / (sessions as f64 * seconds / HELLO.as_secs_f64());
        Ok(Probing { cpu, answered })
    }
}

/// What sessions cost and yield.
struct Probing {
    /// Seconds of processor time in each second.
    cpu: f64,
    /// Percent of the hellos that were due which were sent and answered.
    answered: f64,
}

async fn site(n: u32, sites: u32, transports: &[Host]) -> Result<(Arc<Edge>, Host)> {
    let router = Host::create(&format!("edge{n}"), Forwarding::On).await?;
    let host = Host::create(&format!("host{n}"), Forwarding::Off).await?;
    let gateway = Ipv4Addr::from(u32::from(host_address(n)) - 1);
    let lan = end("lan0", Mac::local(1, n), gateway, 24);
    let eth = end("eth0", Mac::local(2, n), host_address(n), 24);
    router.link(&lan, &host, &eth, 1500 - OVERHEAD).await?;
    let default = Ipv4Net::default().into();
    let routed = host.add_route(TABLE_MAIN, default, "eth0", Some(gateway.into()));
    let uplinks = (0..)
        .zip(transports)
        .map(|(transport, at)| attach(n, transport, &router, at));
    try_join(async { Ok(routed.await?) }, try_join_all(uplinks)).await?;
    let edge = Edge::create(router, spec(n, sites)).await?;
    edge.apply(&pinned(n)).await?;
    Ok((Arc::new(edge), host))
}

async fn attach(n: u32, transport: u8, router: &Host, at: &Host) -> Result<()> {
    let (interface, address) = (format!("wan{transport}"), uplink(n, transport));
    let peer = Ipv4Addr::from(u32::from(address) - 1);
    let near = end(&format!("site{n}"), Mac::local(3 + transport, n), peer, 30);
    let far = end(&interface, Mac::local(5 + transport, n), address, 30);
    at.link(&near, router, &far, 1500).await?;
    let transport: IpNet = Ipv4Net::new(uplink(0, transport), 16)?.trunc().into();
    router
        .add_route(TABLE_MAIN, transport, &interface, Some(peer.into()))
        .await?;
    Ok(())
}

fn end(interface: &str, mac: Mac, address: Ipv4Addr, prefix_len: u8) -> LinkEnd {
    LinkEnd {
        interface: interface.to_owned(),
        mac,
        addresses: vec![net(address, prefix_len)],
    }
}

fn net(address: Ipv4Addr, prefix_len: u8) -> IpNet {
    Ipv4Net::new(address, prefix_len)
        .expect("a length of an IPv4 prefix")
        .into()
}

fn spec(site: u32, sites: u32) -> EdgeSpec {
    let own = SiteRoute {
        prefix: net(host_address(site), 24).trunc(),
        hop: NextHop::new("lan0", None),
    };
    EdgeSpec {
        site_id: 1 + site,
        system_ip: system_ip(site),
        vpns: vec![VpnSpec {
            service_vpn: VPN,
            interfaces: vec!["lan0".to_owned()],
            routes: vec![own],
        }],
        tunnels: (0..)
            .zip(COLORS)
            .map(|(transport, color)| tunnel(site, sites, transport, color))
            .collect(),
        default_colors: COLORS.map(str::to_owned).to_vec(),
        polling: Polling::default(),
        inspection: None,
    }
}

fn tunnel(site: u32, sites: u32, transport: u8, color: &str) -> TunnelSpec {
    let remote = |site| RemoteSpec {
        site_id: 1 + site,
        system_ip: system_ip(site),
        underlay: uplink(site, transport).into(),
        vpns: vec![RemoteVpn {
            service_vpn: VPN,
            mac: Mac::local(7 + transport, site),
            addresses: vec![overlay(site, transport).into()],
            prefixes: vec![RemotePrefix {
                prefix: net(host_address(site), 24).trunc(),
                hops: 1,
            }],
        }],
    };
    TunnelSpec {
        color: color.to_owned(),
        local: uplink(site, transport).into(),
        framing: Framing::Vxlan {
            port: 4789 + u16::from(transport),
        },
        mtu: 1500 - OVERHEAD,
        devices: vec![DeviceSpec {
            service_vpn: VPN,
            interface: format!("tun{transport}"),
            mac: Mac::local(7 + transport, site),
            addresses: vec![net(overlay(site, transport), 16)],
        }],
        remotes: (0..sites).filter(|other| *other != site).map(remote).collect(),
    }
}

/// Traffic to one port over the first transport and to the next one over the second, or not at all.
fn pinned(site: u32) -> EdgePolicy {
    let sequences = (1..).zip(PORT..).zip(COLORS).map(|((id, port), color)| Sequence {
        id,
        matching: Match {
            destination_ports: vec![port..=port],
            protocols: vec![17],
            ..Match::default()
        },
        action: Action::Accept {
            path: Some(DataPath::Local(LocalTlocs {
                colors: vec![color.to_owned()],
                restrict: true,
            })),
            inspect: false,
            dscp: None,
        },
        counter: None,
    });
    EdgePolicy {
        site_id: 1 + site,
        app_route: Vec::new(),
        data: vec![DataPolicy {
            service_vpn: VPN,
            direction: PolicyDirection::FromService,
            default_action: DefaultAction::Accept,
            sequences: sequences.collect(),
        }],
    }
}

fn host_address(site: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0af4_0002 + (site << 8))
}

fn system_ip(site: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0aff_0001 + site)
}

fn uplink(site: u32, transport: u8) -> Ipv4Addr {
    Ipv4Addr::from(0x6440_0002 + (u32::from(transport) << 16) + 4 * site)
}

fn overlay(site: u32, transport: u8) -> Ipv4Addr {
    Ipv4Addr::from(0xc612_0001 + (u32::from(transport) << 16) + site)
}

fn number(position: usize) -> u32 {
    u32::try_from(position).expect("some hundreds of sites")
}

/// A line of /proc in kibibytes, as mebibytes.
fn memory(file: &str, line: &str) -> Result<f64> {
    let text = std::fs::read_to_string(file)?;
    let value = text.lines().find_map(|text| text.strip_prefix(line));
    let value = value.and_then(|value| value.split_whitespace().next());
    let kib: f64 = value
        .with_context(|| format!("`{file}` has no `{line}`"))?
        .parse()?;
    Ok(kib / 1024.0)
}

/// Processor time of this process so far, in its own code and in the kernel.
fn process_cpu() -> Result<Duration> {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF)?;
    let seconds = [usage.user_time(), usage.system_time()].map(|time| {
        let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
        Duration::from_micros(u64::try_from(micros).unwrap_or_default())
    });
    Ok(seconds.into_iter().sum())
}
