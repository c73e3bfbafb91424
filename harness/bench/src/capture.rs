//! Capturing 64-byte packets as fast as one and two cores can send them.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use netsim::capture::{Capture, Frame, Injector, RingSize, Sink, Tap};
use netsim::fabric::Mac;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::figure::{Baseline, Better, Figure, Target};
use crate::forwarding::frame;
use crate::sites::{Pair, host_mac};
use crate::tools;

/// The receiving host drops these right after its taps: they are to another link-layer address.
const NOBODY: [u8; 6] = [0x02, 0xff, 0, 0, 0, 1];
/// A fifth of a second at a million packets in a second.
const RING: u32 = 32 << 20;

/// Packets by the thousand in a second, and what was lost of them.
#[derive(Debug, Default, Clone, Copy)]
struct Rate {
    kpps: f64,
    dropped: u64,
    reader_ns: f64,
}

/// Measures one and two senders, beside `tcpdump -w`.
pub async fn measure(sending: Duration) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (senders, names, least) in [
        (
            1,
            [
                "capture-1-core",
                "capture-1-core-dropped",
                "capture-1-core-reader",
            ],
            600.0,
        ),
        (
            2,
            [
                "capture-2-cores",
                "capture-2-cores-dropped",
                "capture-2-cores-reader",
            ],
            1100.0,
        ),
    ] {
        let mut pairs = Vec::new();
        for _ in 0..senders {
            pairs.push(Pair::build().await?);
        }
        let ours = by_ring(&pairs, sending)?;
        let tcpdump = by_tcpdump(&pairs, sending);
        let [kpps, dropped, reader] = names;
        #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let lost = |rate: &Rate| rate.dropped as f64;
        figures.extend([
            Figure {
                name: kpps,
                figure: ours.kpps,
                unit: "kpps",
                target: Target::AtLeast(least),
                baseline: tools::baseline(
                    "tcpdump -w",
                    &tcpdump.as_ref().map(|rate| rate.kpps).map_err(Clone::clone),
                    Better::More,
                ),
            },
            Figure {
                name: dropped,
                figure: lost(&ours),
                unit: "packets",
                target: Target::AtMost(0.0),
                baseline: match &tcpdump {
                    Ok(rate) => Baseline::Beside("tcpdump -w", lost(rate)),
                    Err(why) => Baseline::NotMeasured(why.clone()),
                },
            },
            Figure {
                name: reader,
                figure: ours.reader_ns,
                unit: "ns/packet",
                target: Target::AtMost(50.0),
                baseline: Baseline::None,
            },
        ]);
    }
    Ok(figures)
}

/// Looks at each packet as the least that a recorder of journeys does.
#[derive(Default)]
struct Sum(u64);

impl Sink for Sum {
    fn frame(&mut self, _tap: usize, frame: Frame<'_>) {
        self.0 = self.0.wrapping_add(frame.at_ns ^ u64::from(frame.wire_len));
    }
}

fn by_ring(pairs: &[Pair], sending: Duration) -> Result<Rate> {
    // Threads inherit the cores of the one that starts them: the reader gets the last core to itself if it can.
    let cores = sched_getaffinity(Pid::from_raw(0))?;
    sched_setaffinity(Pid::from_raw(0), &only(last_core()))?;
    let taps: Vec<Tap<'_>> = pairs
        .iter()
        .map(|pair| Tap {
            host: pair.edges[0].host(),
            interface: "lan0",
            neighbour: Mac(host_mac(0).0),
        })
        .collect();
    let capture = Capture::start(&taps, RingSize::of_bytes(RING), Sum::default());
    sched_setaffinity(Pid::from_raw(0), &cores)?;
    let capture = capture?;
    anyhow::ensure!(capture.sweep()?.iter().all(|seen| *seen), "a tap is not armed");
    let reader = reader_thread()?;
    let before = reader.cpu_ns()?;
    let sent = send(pairs, sending)?;
    capture.sweep()?;
    let spent = reader.cpu_ns()?.saturating_sub(before);
    let (_, counts) = capture.finish()?;
    let captured: u64 = counts.iter().map(|count| count.captured).sum();
    let dropped: u64 = counts.iter().map(|count| count.dropped).sum();
    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    Ok(Rate {
        kpps: captured as f64 / sent.seconds / 1000.0,
        // What the ring did not count would be lost as well.
        dropped: dropped.max(sent.packets.saturating_sub(captured)),
        reader_ns: spent as f64 / captured.max(1) as f64,
    })
}

fn last_core() -> usize {
    std::thread::available_parallelism().map_or(0, |cores| cores.get() - 1)
}

fn only(core: usize) -> CpuSet {
    let mut set = CpuSet::new();
    // A core beyond the set leaves it empty, which the kernel refuses.
    set.set(core).ok();
    set
}

struct Sent {
    packets: u64,
    seconds: f64,
}

/// Sends through every pair at once, each from a core of its own, the first from the first core.
fn send(pairs: &[Pair], sending: Duration) -> Result<Sent> {
    let frame = &frame(NOBODY)?;
    let start = Instant::now();
    let packets = std::thread::scope(|scope| {
        let senders: Vec<_> = pairs
            .iter()
            .enumerate()
            .map(|(core, pair)| scope.spawn(move || send_one(pair, core, sending, frame)))
            .collect();
        senders
            .into_iter()
            .map(|sender| sender.join().map_err(|_| anyhow::anyhow!("a sender panicked"))?)
            .sum::<Result<u64>>()
    })?;
    Ok(Sent {
        packets,
        seconds: start.elapsed().as_secs_f64(),
    })
}

fn send_one(pair: &Pair, core: usize, sending: Duration, frame: &[u8]) -> Result<u64> {
    sched_setaffinity(Pid::from_raw(0), &only(core.min(last_core())))?;
    let injector = Injector::open(&pair.hosts[0], "eth0")?;
    let start = Instant::now();
    let mut packets = 0;
    while start.elapsed() < sending {
        packets += u64::try_from(injector.burst(frame)?)?;
    }
    Ok(packets)
}

/// The capture thread, by the path of its folder in /proc.
struct ReaderThread(std::path::PathBuf);

fn reader_thread() -> Result<ReaderThread> {
    for task in std::fs::read_dir("/proc/self/task")? {
        let path = task?.path();
        if std::fs::read_to_string(path.join("comm"))?.trim() == "capture" {
            return Ok(ReaderThread(path));
        }
    }
    anyhow::bail!("no thread is called `capture`")
}

impl ReaderThread {
    fn cpu_ns(&self) -> Result<u64> {
        let text = std::fs::read_to_string(self.0.join("schedstat"))?;
        let first = text.split(' ').next().context("an empty schedstat")?;
        Ok(first.parse()?)
    }
}

/// The same packets taken by one `tcpdump -w` for each pair, written nowhere.
fn by_tcpdump(pairs: &[Pair], sending: Duration) -> Result<Rate, String> {
    let program = tools::find("tcpdump")?;
    let measured = || {
        let started = pairs
            .iter()
            .map(|pair| {
                let mut command = Command::new(&program);
                command
                    .args([
                        "-i",
                        "lan0",
                        "-B",
                        "32768",
                        "-Z",
                        "root",
                        "-w",
                        "/dev/null",
                        "udp",
                    ])
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::piped());
                let child = pair.edges[0].host().netns().run(|| command.spawn())??;
                Ok(child)
            })
            .collect::<Result<Vec<Child>>>()?;
        let readers = started
            .into_iter()
            .map(TcpDump::ready)
            .collect::<Result<Vec<_>>>()?;
        let sent = send(pairs, sending)?;
        let mut captured = 0;
        for reader in readers {
            captured += reader.finish()?;
        }
        #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        Ok(Rate {
            kpps: captured as f64 / sent.seconds / 1000.0,
            dropped: sent.packets.saturating_sub(captured),
            reader_ns: 0.0,
        })
    };
    measured().map_err(|error: anyhow::Error| format!("{error:#}"))
}

struct TcpDump {
    child: Child,
    talk: std::io::BufReader<std::process::ChildStderr>,
}

impl TcpDump {
    /// Waits until it says that it listens.
    fn ready(mut child: Child) -> Result<Self> {
        let talk = child.stderr.take().context("no standard error")?;
        let mut talk = std::io::BufReader::new(talk);
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            let read = std::io::BufRead::read_line(&mut talk, &mut line)?;
            anyhow::ensure!(read > 0, "tcpdump ended before it listened");
        }
        Ok(Self { child, talk })
    }

    /// Ends it, and returns how many packets it captured.
    fn finish(mut self) -> Result<u64> {
        let pid = Pid::from_raw(self.child.id().try_into()?);
        // It may leave packets in its ring unread: they count as not captured.
        kill(pid, Signal::SIGINT)?;
        let mut text = String::new();
        std::io::Read::read_to_string(&mut self.talk, &mut text)?;
        self.child.wait()?;
        let line = text.lines().find(|line| line.contains("packets captured"));
        let count = line.and_then(|line| line.split(' ').next());
        Ok(count.context("tcpdump printed no count")?.parse()?)
    }
}
