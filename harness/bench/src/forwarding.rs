//! Packets from host to host: edge, tunnel, edge; with steering of different sizes and with none.

use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use etherparse::PacketBuilder;
use ipnet::IpNet;
use netsim::capture::Injector;
use netsim::fabric::{Families, Host};
use netsim::policy::EdgePolicy;
use nix::time::{ClockId, clock_gettime};

use crate::figure::{Baseline, Better, Figure, Target, median};
use crate::sites::{
    PORT, Pair, endpoints, endpoints6, gateway_mac, host_address, host_address6, host_mac, policy,
    policy_among,
};

/// Turns through all sizes; the time to send is shared among them.
const TURNS: u32 = 6;
/// Service VPNs beside the one that packets are in.
const OTHER_VPNS: u16 = 19;
/// Choices among tunnels in each of them: 100 in all.
const CHOICES: u16 = 5;

/// Measures thousands of packets in a second, received at the far host.
pub async fn measure(sending: Duration) -> Result<Vec<Figure>> {
    let unsteered = Pair::build().await?;
    let steered = Pair::build().await?;
    let both = Pair::build_as(Families::Both, 0).await?;
    let among = Pair::build_as(Families::Ipv4, OTHER_VPNS).await?;
    let turn = sending / TURNS;
    let (v4, v6) = (host_address(1).into(), host_address6(1).into());
    let mut rates: [Vec<f64>; 8] = Default::default();
    for _ in 0..TURNS {
        rates[0].push(rate(&unsteered, v4, turn).await?);
        for (rates, entries) in rates[1..4].iter_mut().zip([1, 1000, 100_000]) {
            steer(&steered, &policy(with(endpoints(0, entries - 1), v4))).await?;
            rates.push(rate(&steered, v4, turn).await?);
        }
        for (rates, entries) in rates[4..6].iter_mut().zip([1, 100_000]) {
            steer(&both, &policy(with(endpoints6(entries - 1), v6))).await?;
            rates.push(rate(&both, v6, turn).await?);
        }
        for (rates, choices) in rates[6..].iter_mut().zip([1, CHOICES]) {
            steer(&among, &policy_among(OTHER_VPNS, choices, &with(vec![], v4))).await?;
            rates.push(rate(&among, v4, turn).await?);
        }
    }
    Ok(figures(rates.map(median)))
}

async fn steer(pair: &Pair, policy: &EdgePolicy) -> Result<()> {
    Ok(pair.edges[0].apply(policy).await?)
}

fn with(mut endpoints: Vec<IpNet>, host: IpAddr) -> Vec<IpNet> {
    endpoints.push(host.into());
    endpoints
}

fn figures([none, one, thousand, most, one6, most6, vpns, choices]: [f64; 8]) -> Vec<Figure> {
    let figure = |name, figure, target, way, value| Figure {
        name,
        figure,
        unit: "kpps",
        target,
        baseline: Baseline::Measured {
            way,
            value,
            better: Better::More,
        },
    };
    let (steered, same) = (Target::Ratio(0.85), Target::Ratio(0.95));
    vec![
        Figure {
            name: "forward-unsteered",
            figure: none,
            unit: "kpps",
            target: Target::None,
            baseline: Baseline::None,
        },
        figure("forward-1-entry", one, steered, "unsteered", none),
        figure("forward-1k-entries", thousand, same, "1 entry", one),
        figure("forward-100k-entries", most, same, "1 entry", one),
        figure("forward-ipv6-100k-entries", most6, same, "1 entry of IPv6", one6),
        figure("forward-20-vpns", vpns, Target::None, "1 service VPN", one),
        figure(
            "forward-20-vpns-100-choices",
            choices,
            Target::None,
            "1 choice",
            one,
        ),
    ]
}

/// Thousands of packets that arrive for each second of a core that sends; other work on the machine takes none of it.
async fn rate(pair: &Pair, to: IpAddr, sending: Duration) -> Result<f64> {
    let [near, far] = pair.hosts.as_slice() else {
        anyhow::bail!("two hosts were expected");
    };
    // A port that nobody listens on would have each packet answered by an ICMP message.
    let listening = far.netns().run(|| UdpSocket::bind((to, PORT)))??;
    let injector = Injector::open(near, "eth0")?;
    let frame = match to {
        IpAddr::V4(_) => frame(gateway_mac(0).0)?,
        IpAddr::V6(to) => frame6(gateway_mac(0).0, to)?,
    };
    let before = received(far).await?;
    let (start, cpu) = (Instant::now(), thread_cpu()?);
    while start.elapsed() < sending {
        injector.burst(&frame)?;
    }
    let seconds = (thread_cpu()? - cpu).as_secs_f64();
    // The kernel carries a packet to its end before the call that sent it returns.
    let arrived = received(far).await?.saturating_sub(before);
    drop(listening);
    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    Ok(arrived as f64 / seconds / 1000.0)
}

/// Processor time of this thread so far.
fn thread_cpu() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

async fn received(host: &Host) -> Result<u64> {
    Ok(host.packet_count("eth0").await?.received)
}

/// A UDP datagram of 64 bytes on the wire, its checksum included, from host 0 to host 1.
pub fn frame(destination: [u8; 6]) -> Result<Vec<u8>> {
    /// An Ethernet frame of 64 bytes less its headers and checksum: 14, 20, 8 and 4.
    const PAYLOAD: [u8; 18] = [0; 18];
    let builder = PacketBuilder::ethernet2(host_mac(0).0, destination)
        .ipv4(host_address(0).octets(), host_address(1).octets(), 64)
        .udp(40_000, PORT);
    let mut frame = Vec::with_capacity(builder.size(PAYLOAD.len()));
    builder.write(&mut frame, &PAYLOAD).context("build a frame")?;
    Ok(frame)
}

/// The smallest IPv6 datagram, of 66 bytes on the wire.
fn frame6(destination: [u8; 6], to: Ipv6Addr) -> Result<Vec<u8>> {
    let builder = PacketBuilder::ethernet2(host_mac(0).0, destination)
        .ipv6(host_address6(0).octets(), to.octets(), 64)
        .udp(40_000, PORT);
    let mut frame = Vec::with_capacity(builder.size(0));
    builder.write(&mut frame, &[]).context("build a frame")?;
    Ok(frame)
}
