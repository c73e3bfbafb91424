//! All pairs of 100 hosts: each asks each other one, and every question and answer is received by a program.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use netsim::fabric::Host;
use nix::sys::socket::{setsockopt, sockopt};

use crate::figure::{Baseline, Better, Figure, Target, median};
use crate::nodes::{milliseconds, mininet};
use crate::sites::{Star, star_address};
use crate::tools;

const HOSTS: u32 = 100;
const PORT: u16 = 9;
const REPETITIONS: usize = 5;
/// The usual net.core.rmem_max, of which the kernel gives the double.
const RECEIVE_BUFFER: usize = 212_992;
/// How long one datagram may take.
const DEADLINE: Duration = Duration::from_secs(2);

/// Measures the proof of 9,900 pairs.
pub async fn measure() -> Result<Vec<Figure>> {
    let star = Star::build(HOSTS).await?;
    let sockets = star
        .hosts
        .iter()
        .enumerate()
        .map(|(n, host)| open(host, address(n)))
        .collect::<Result<Vec<_>>>()?;
    let times = (0..REPETITIONS)
        .map(|_| prove(&sockets, address))
        .collect::<Result<Vec<_>>>()?;
    let figure = median(times);
    let by_mininet = mininet().as_ref().map(|run| run.ping_all * 1000.0);
    let pairs = |name, target, baseline| Figure {
        name,
        figure,
        unit: "ms",
        target,
        baseline,
    };
    Ok(vec![
        pairs("all-pairs-100", Target::AtMost(250.0), Baseline::None),
        pairs(
            "all-pairs-100-vs-mininet",
            Target::Ratio(50.0),
            tools::baseline("pingall", &by_mininet.map_err(Clone::clone), Better::Less),
        ),
    ])
}

/// A socket of a host that waits no longer than a datagram may take.
pub fn open(host: &Host, address: SocketAddr) -> Result<UdpSocket> {
    let socket = host.netns().run(|| UdpSocket::bind(address))??;
    // What every user may have: the answers of all others wait in it.
    setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
    socket.set_read_timeout(Some(DEADLINE))?;
    Ok(socket)
}

/// Milliseconds until every host has the answer of every other one; `address` is that of a host's socket.
pub fn prove(sockets: &[UdpSocket], address: impl Fn(usize) -> SocketAddr) -> Result<f64> {
    let start = Instant::now();
    for (asking, socket) in sockets.iter().enumerate() {
        let others = || (0..sockets.len()).filter(|other| *other != asking);
        for other in others() {
            socket.send_to(&question(asking, other), address(other))?;
        }
        for other in others() {
            let (text, from) = receive(&sockets[other])?;
            ensure!(
                text == question(asking, other) && from == address(asking),
                "host {other} got a stray datagram"
            );
            sockets[other].send_to(&question(other, asking), from)?;
        }
        let mut answered = vec![false; sockets.len()];
        for _ in others() {
            let (text, from) = receive(socket)?;
            let other = usize::from(u16::from_be_bytes([text[0], text[1]]));
            ensure!(
                other < sockets.len() && text == question(other, asking) && from == address(other),
                "host {asking} got a stray datagram"
            );
            answered[other] = true;
        }
        ensure!(
            others().all(|other| answered[other]),
            "host {asking} misses an answer"
        );
    }
    Ok(milliseconds(start))
}

fn question(from: usize, to: usize) -> [u8; 4] {
    let number = |host: usize| u16::try_from(host).expect("a hundred hosts").to_be_bytes();
    let ([a, b], [c, d]) = (number(from), number(to));
    [a, b, c, d]
}

fn address(host: usize) -> SocketAddr {
    let n = u32::try_from(host).expect("a hundred hosts");
    (star_address(n), PORT).into()
}

fn receive(socket: &UdpSocket) -> Result<([u8; 4], SocketAddr)> {
    let mut text = [0; 4];
    let (_, from) = socket.recv_from(&mut text)?;
    Ok((text, from))
}
