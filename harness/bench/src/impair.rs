//! An impaired line beside the same line unimpaired: how fast it is, how exact, and whether its losses repeat.
//!
//! Owns the senders and receivers. The two lines take turns, so that other work on the machine meets both.

use std::collections::BTreeMap;
use std::io::{IoSliceMut, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::num::NonZeroU64;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, ensure};
use netsim::impair::{Impairer, Impairment, Line, Loss, Percent, schedule};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};

use crate::figure::{Baseline, Better, Figure, Target, median};
use crate::sites::{Wire, star_address};

/// Turns of the unimpaired and the impaired line.
const TURNS: u32 = 5;
/// Probes of one measurement of delays, one each millisecond.
const PROBES: u32 = 1_000;
/// Packets of a train, and octets of each from the IP header on.
const TRAIN: u32 = 100;
const TRAIN_OCTETS: u32 = 1_400;
/// Trains of which the middle one counts.
const TRAINS: u32 = 41;
/// Octets of IPv4 and UDP headers.
const HEADERS: u32 = 28;
/// What of a full-size frame, Ethernet header included, is TCP's payload; TCP's header has timestamps.
const TCP_PAYLOAD: f64 = 1_448.0 / 1_514.0;
/// Octets that a receiver asks for.
const BUFFER: usize = 1 << 20;
const MS: Duration = Duration::from_millis(1);
/// No packet came for so long: none will.
const QUIET: Duration = Duration::from_millis(300);

/// Measures throughput, delays, rates and repeated losses.
pub async fn measure(sending: Duration) -> Result<Vec<Figure>> {
    let mut bench = Bench::build(7).await?;
    let mut figures = throughput(&mut bench, sending)?;
    figures.extend(delays(&mut bench)?);
    figures.extend(rates(&mut bench, sending)?);
    figures.push(repeated_losses().await?);
    Ok(figures)
}

fn throughput(bench: &mut Bench, sending: Duration) -> Result<Vec<Figure>> {
    let (mut plain, mut delayed) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        bench.heal()?;
        plain.push(bench.tcp_gigabits(sending / TURNS)?);
        bench.impair(delay(MS))?;
        delayed.push(bench.tcp_gigabits(sending / TURNS)?);
    }
    let (plain, delayed) = (median(plain), median(delayed));
    let figure = |name, figure, target, baseline| Figure {
        name,
        figure,
        unit: "Gbit/s",
        target,
        baseline,
    };
    let baseline = Baseline::Measured {
        way: "unimpaired",
        value: plain,
        better: Better::More,
    };
    Ok(vec![figure(
        "impair-1ms-tcp",
        delayed,
        Target::AtLeast(10.0),
        baseline,
    )])
}

/// Microseconds more than asked for, of the middle probe and of the 99th in a hundred.
fn delays(bench: &mut Bench) -> Result<Vec<Figure>> {
    let mut more: [[Vec<f64>; 2]; 3] = Default::default();
    for _ in 0..TURNS {
        for (asked, more) in [Duration::ZERO, MS, 10 * MS].into_iter().zip(&mut more) {
            if asked.is_zero() {
                bench.heal()?;
            } else {
                bench.impair(delay(asked))?;
            }
            let (middle, most) = bench.delays(asked)?;
            more[0].push(middle);
            more[1].push(most);
        }
    }
    let [plain, one, ten] = more.map(|more| more.map(median));
    let figure = |name, figure, most, beside| Figure {
        name,
        figure,
        unit: "us",
        target: Target::AtMost(most),
        baseline: Baseline::Beside("unimpaired", beside),
    };
    Ok(vec![
        figure("impair-1ms-delay-error-p50", one[0], 60.0, plain[0]),
        figure("impair-1ms-delay-error-p99", one[1], 150.0, plain[1]),
        figure("impair-10ms-delay-error-p50", ten[0], 60.0, plain[0]),
        figure("impair-10ms-delay-error-p99", ten[1], 150.0, plain[1]),
    ])
}

fn rates(bench: &mut Bench, sending: Duration) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (train, tcp, megabits) in [
        ("impair-100mbit-train-error", "impair-100mbit-tcp-error", 100_u64),
        ("impair-1gbit-train-error", "impair-1gbit-tcp-error", 1_000),
    ] {
        let rate = NonZeroU64::new(megabits * 1_000_000).context("a rate is above 0")?;
        // A line that is healed in between begins without a backlog.
        bench.heal()?;
        bench.impair(at_rate(rate))?;
        let errors = (0..TRAINS)
            .map(|_| bench.train_error(rate))
            .collect::<Result<Vec<_>>>()?;
        figures.push((train, median(errors)));

        let mut errors = Vec::new();
        for _ in 0..TURNS {
            bench.heal()?;
            bench.impair(at_rate(rate))?;
            let goodput = bench.tcp_gigabits(sending / TURNS)? * 1e3 / TCP_PAYLOAD;
            #[allow(clippy::cast_precision_loss, reason = "megabits are far below 2^52")]
            errors.push((goodput / megabits as f64 - 1.0) * 100.0);
        }
        figures.push((tcp, median(errors)));
    }
    Ok(figures
        .into_iter()
        .map(|(name, error)| Figure {
            name,
            figure: error.abs(),
            unit: "%",
            target: Target::AtMost(1.0),
            baseline: Baseline::None,
        })
        .collect())
}

/// Probes that one of two lines of the same seed lost, and the other did not; and of another seed.
async fn repeated_losses() -> Result<Figure> {
    let mut lost = Vec::new();
    for seed in [7, 7, 8] {
        let mut bench = Bench::build(seed).await?;
        bench.impair(Impairment {
            loss: Loss::Random(Percent::from_millionths(50_000).context("5 % is a share")?),
            ..Impairment::default()
        })?;
        lost.push(bench.lost()?);
    }
    let differences = |a: &[u32], b: &[u32]| {
        let only = a.iter().filter(|number| !b.contains(number)).count();
        only + b.iter().filter(|number| !a.contains(number)).count()
    };
    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    Ok(Figure {
        name: "impair-5%-loss-differences",
        figure: differences(&lost[0], &lost[1]) as f64,
        unit: "packets",
        target: Target::AtMost(0.0),
        baseline: Baseline::Beside("another seed", differences(&lost[0], &lost[2]) as f64),
    })
}

fn delay(delay: Duration) -> Impairment {
    Impairment {
        delay,
        ..Impairment::default()
    }
}

fn at_rate(rate: NonZeroU64) -> Impairment {
    Impairment {
        rate: Some(rate),
        ..Impairment::default()
    }
}

struct Bench {
    wire: Wire,
    impairer: Impairer,
}

impl Bench {
    async fn build(seed: u64) -> Result<Self> {
        let wire = Wire::build().await?;
        let impairer = Impairer::new(wire.router.netns(), seed);
        Ok(Self { wire, impairer })
    }

    fn heal(&mut self) -> Result<()> {
        Ok(self.impairer.set(&BTreeMap::new())?)
    }

    /// Impairs the line to the second host.
    fn impair(&mut self, impairment: Impairment) -> Result<()> {
        let line = Line {
            to: star_address(1).into(),
            from: None,
        };
        Ok(self.impairer.set(&[(line, impairment)].into())?)
    }

    fn sockets(&self) -> Result<(UdpSocket, UdpSocket)> {
        let open = |end: u32, host: &netsim::fabric::Host| -> Result<UdpSocket> {
            Ok(host.netns().run(|| UdpSocket::bind((star_address(end), 0)))??)
        };
        let (sender, receiver) = (open(0, &self.wire.hosts[0])?, open(1, &self.wire.hosts[1])?);
        sender.connect(receiver.local_addr()?)?;
        receiver.set_read_timeout(Some(QUIET))?;
        // Room for a whole train, whatever else keeps its reader from its core.
        if setsockopt(&receiver, sockopt::RcvBufForce, &BUFFER).is_err() {
            setsockopt(&receiver, sockopt::RcvBuf, &BUFFER)?;
        }
        Ok((sender, receiver))
    }

    /// What one flow carries, headers not counted, after a fifth of the time.
    fn tcp_gigabits(&self, sending: Duration) -> Result<f64> {
        let address = SocketAddr::from((star_address(1), 0));
        let listener = self.wire.hosts[1].netns().run(|| TcpListener::bind(address))??;
        let to = listener.local_addr()?;
        let receiver = std::thread::spawn(move || -> Result<f64> {
            let (mut stream, _) = listener.accept()?;
            let mut buffer = vec![0; 1 << 20];
            let (begin, end) = (Instant::now() + sending / 5, Instant::now() + sending);
            let mut octets = 0_usize;
            loop {
                let len = stream.read(&mut buffer)?;
                let now = Instant::now();
                if now >= begin && now < end {
                    octets += len;
                }
                if len == 0 {
                    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
                    return Ok(octets as f64 * 8.0 / (end - begin).as_secs_f64() / 1e9);
                }
            }
        });
        let mut stream = self.wire.hosts[0].netns().run(|| TcpStream::connect(to))??;
        let (buffer, started) = (vec![0; 1 << 18], Instant::now());
        // A little longer than is counted.
        while started.elapsed() < sending + 20 * MS {
            stream.write_all(&buffer)?;
        }
        drop(stream);
        receiver.join().map_err(|_| anyhow!("the receiver panicked"))?
    }

    /// By how many per cent a train of packets arrives faster or slower than at the rate, from its first packet to
    /// its last.
    fn train_error(&self, rate: NonZeroU64) -> Result<f64> {
        let (sender, receiver) = self.sockets()?;
        // The kernel's times: whoever reads the packets may wait for a core longer than a train takes.
        setsockopt(&receiver, sockopt::ReceiveTimestampns, &true)?;
        let payload = vec![0; usize::try_from(TRAIN_OCTETS - HEADERS)?];
        for _ in 0..TRAIN {
            sender.send(&payload)?;
        }
        let first = arrival(&receiver).context("no packet of a train arrived")?;
        let mut last = first;
        for _ in 1..TRAIN {
            last = arrival(&receiver).context("a packet of a train was lost")?;
        }
        let took = last.saturating_sub(first);
        let asked = schedule::transmission_ns(TRAIN_OCTETS, rate) * u64::from(TRAIN - 1);
        Ok((Duration::from_nanos(asked).as_secs_f64() / took.as_secs_f64() - 1.0) * 100.0)
    }

    fn delays(&self, asked: Duration) -> Result<(f64, f64)> {
        let (sender, receiver) = self.sockets()?;
        setsockopt(&receiver, sockopt::ReceiveTimestampns, &true)?;
        let sending = std::thread::spawn(move || -> Result<Vec<Duration>> {
            let (started, mut sent) = (Instant::now(), Vec::new());
            for number in 0..PROBES {
                std::thread::sleep((MS * number).saturating_sub(started.elapsed()));
                sent.push(SystemTime::now().duration_since(UNIX_EPOCH)?);
                sender.send(&[0; 64])?;
            }
            Ok(sent)
        });
        // Nothing here is lost or overtakes: the order says which probe it is.
        let arrived: Vec<Duration> = std::iter::from_fn(|| arrival(&receiver).ok()).collect();
        let sent = sending.join().map_err(|_| anyhow!("the sender panicked"))??;
        ensure!(
            arrived.len() == sent.len(),
            "{} of {} probes arrived",
            arrived.len(),
            sent.len()
        );
        let took = arrived
            .iter()
            .zip(&sent)
            .map(|(arrived, sent)| arrived.as_secs_f64() - sent.as_secs_f64());
        let mut more: Vec<f64> = took.map(|took| (took - asked.as_secs_f64()) * 1e6).collect();
        more.sort_by(f64::total_cmp);
        Ok((more[more.len() / 2], more[more.len() * 99 / 100]))
    }

    /// The numbers of the probes that did not arrive.
    fn lost(&self) -> Result<Vec<u32>> {
        let (sender, receiver) = self.sockets()?;
        let sending = std::thread::spawn(move || -> Result<()> {
            for number in 0..PROBES {
                sender.send(&number.to_be_bytes())?;
                std::thread::sleep(MS / 5);
            }
            Ok(())
        });
        let mut lost: Vec<u32> = (0..PROBES).collect();
        let mut payload = [0; 4];
        while receiver.recv(&mut payload).is_ok() {
            lost.retain(|number| *number != u32::from_be_bytes(payload));
        }
        sending.join().map_err(|_| anyhow!("the sender panicked"))??;
        Ok(lost)
    }
}

/// When the kernel took the next datagram, in the time since 1970.
fn arrival(receiver: &UdpSocket) -> Result<Duration> {
    let mut payload = [0; 2_048];
    let mut buffers = [IoSliceMut::new(&mut payload)];
    let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec);
    let received = recvmsg::<()>(
        receiver.as_raw_fd(),
        &mut buffers,
        Some(&mut control),
        MsgFlags::empty(),
    )?;
    let times = received.cmsgs()?.filter_map(|message| match message {
        ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
        _ => None,
    });
    times.last().context("the kernel told no time of arrival")
}
