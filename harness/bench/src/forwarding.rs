//! Packets from host to host: edge, tunnel, edge; with steering of different sizes and with none.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use etherparse::PacketBuilder;
use ipnet::Ipv4Net;
use netsim::capture::Injector;
use netsim::fabric::Host;

use crate::figure::{Baseline, Better, Figure, Target, median};
use crate::sites::{PORT, Pair, endpoints, gateway_mac, host_address, host_mac, policy};

/// Turns through all sizes; the time to send is shared among them.
const TURNS: u32 = 6;

/// Measures thousands of packets in a second, received at the far host.
pub async fn measure(sending: Duration) -> Result<Vec<Figure>> {
    let unsteered = Pair::build().await?;
    let steered = Pair::build().await?;
    let mut rates: [Vec<f64>; 4] = Default::default();
    for _ in 0..TURNS {
        rates[0].push(rate(&unsteered, sending / TURNS).await?);
        for (rates, entries) in rates[1..].iter_mut().zip([1, 1000, 100_000]) {
            let mut prefixes = endpoints(0, entries - 1);
            prefixes.push(Ipv4Net::from(host_address(1)).into());
            steered.edges[0].apply(&policy(prefixes)).await?;
            rates.push(rate(&steered, sending / TURNS).await?);
        }
    }
    let [none, one, thousand, most] = rates.map(median);
    let beside = |way, value| Baseline::Measured {
        way,
        value,
        better: Better::More,
    };
    let figure = |name, figure, target, baseline| Figure {
        name,
        figure,
        unit: "kpps",
        target,
        baseline,
    };
    Ok(vec![
        figure("forward-unsteered", none, Target::None, Baseline::None),
        figure(
            "forward-1-entry",
            one,
            Target::Ratio(0.85),
            beside("unsteered", none),
        ),
        figure(
            "forward-1k-entries",
            thousand,
            Target::Ratio(0.95),
            beside("1 entry", one),
        ),
        figure(
            "forward-100k-entries",
            most,
            Target::Ratio(0.95),
            beside("1 entry", one),
        ),
    ])
}

/// Thousands of packets in a second that arrive while one core sends.
async fn rate(pair: &Pair, sending: Duration) -> Result<f64> {
    let [near, far] = pair.hosts.as_slice() else {
        anyhow::bail!("two hosts were expected");
    };
    // A port that nobody listens on would have each packet answered by an ICMP message.
    let listening = far.netns().run(|| UdpSocket::bind((host_address(1), PORT)))??;
    let injector = Injector::open(near, "eth0")?;
    let frame = frame(gateway_mac(0).0)?;
    let before = received(far).await?;
    let start = Instant::now();
    while start.elapsed() < sending {
        injector.burst(&frame)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    // The kernel carries a packet to its end before the call that sent it returns.
    let arrived = received(far).await?.saturating_sub(before);
    drop(listening);
    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    Ok(arrived as f64 / seconds / 1000.0)
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
