//! Impaired lines: what was asked for and what the packets felt.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use ipnet::Ipv4Net;
use netsim::fabric::{Forwarding, Host, LinkEnd, Mac, TABLE_MAIN};
use netsim::impair::{Backend, Impairer, Impairment, Line, Loss, Percent, schedule};
use socket2::{Domain, Socket, Type};

const ENDS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 1, 1)];
/// No packet came for so long: none will. The machine may stand still for half of it.
const QUIET: Duration = Duration::from_millis(300);
/// Most datagrams under way at once, so that no socket overflows, however long the machine stands still.
const WINDOW: usize = 60;
/// The number behind the first window, sent until one such arrives; they count up.
const FIRST_MARKER: u32 = 1 << 31;

/// Two hosts with a router between them, where lines are impaired.
struct Wire {
    hosts: Vec<Host>,
    router: Host,
    impairer: Impairer,
}

/// A datagram that arrived.
struct Arrival {
    number: u32,
    took: Duration,
    at: Instant,
}

impl Wire {
    async fn build(backend: Backend) -> Self {
        let router = Host::create("router", Forwarding::On).await.unwrap();
        let mut hosts = Vec::new();
        for (number, end) in (0_u32..).zip(ENDS) {
            let host = Host::create(&format!("end{number}"), Forwarding::Off)
                .await
                .unwrap();
            let gateway = Ipv4Addr::from(u32::from(end) + 1);
            let side = |interface: &str, kind, address| LinkEnd {
                interface: interface.into(),
                mac: Mac::local(kind, number),
                addresses: vec![Ipv4Net::new(address, 30).unwrap().into()],
            };
            let far = side(&format!("end{number}"), 2, gateway);
            host.link(&side("eth0", 1, end), &router, &far, 1500)
                .await
                .unwrap();
            host.add_route(
                TABLE_MAIN,
                Ipv4Net::default().into(),
                "eth0",
                Some(gateway.into()),
            )
            .await
            .unwrap();
            hosts.push(host);
        }
        let impairer = Impairer::with_backend(router.netns(), 7, Some(backend));
        Self {
            hosts,
            router,
            impairer,
        }
    }

    /// Impairs the line to the second host.
    fn impair(&mut self, impairment: Impairment) {
        self.impairer.set(&[(line(1), impairment)].into()).unwrap();
    }

    /// Sends datagrams from one host to the other, a window at a time; `took` is never too short.
    fn send(&self, from: usize, count: u32, octets: usize) -> Vec<Arrival> {
        let open = |end: usize| {
            let netns = self.hosts[end].netns();
            netns.run(|| UdpSocket::bind((ENDS[end], 0))).unwrap().unwrap()
        };
        let (sender, receiver) = (open(from), open(1 - from));
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        receiver.set_read_timeout(Some(QUIET / 10)).unwrap();
        let mut payload = vec![0_u8; octets - 28];
        let mut send = |number: u32| {
            payload[..4].copy_from_slice(&number.to_be_bytes());
            sender.send(&payload).unwrap();
        };
        let (mut sent, mut arrivals) = (Vec::new(), Vec::new());
        let mut receive = |sent: &[Instant]| {
            let mut buffer = [0; 2048];
            receiver.recv(&mut buffer).ok()?;
            let number = u32::from_be_bytes(buffer[..4].try_into().unwrap());
            let at = Instant::now();
            if let Some(sent) = sent.get(number as usize) {
                arrivals.push(Arrival {
                    number,
                    took: at - *sent,
                    at,
                });
            }
            Some((number, arrivals.len()))
        };
        let mut marker = FIRST_MARKER;
        while sent.len() < count as usize {
            marker += 1;
            let window = WINDOW.min(count as usize - sent.len());
            for _ in 0..window {
                sent.push(Instant::now());
                send(u32::try_from(sent.len() - 1).unwrap());
            }
            let last = Instant::now();
            send(marker);
            while last.elapsed() < QUIET {
                match receive(&sent) {
                    Some((number, arrived)) if number == marker || arrived == sent.len() => break,
                    Some(_) => {}
                    None => send(marker),
                }
            }
        }
        // What overtook may have ended the last window too early.
        while receive(&sent).is_some() {}
        arrivals
    }

    /// Milliseconds that the middle one of some datagrams, sent one after another, took.
    fn median_ms(&self, from: usize) -> f64 {
        let mut took: Vec<Duration> = (0..41).map(|_| self.send_one(from)).collect();
        took.sort();
        took[took.len() / 2].as_secs_f64() * 1e3
    }

    fn send_one(&self, from: usize) -> Duration {
        let open = |end: usize| {
            let netns = self.hosts[end].netns();
            netns.run(|| UdpSocket::bind((ENDS[end], 0))).unwrap().unwrap()
        };
        let (sender, receiver) = (open(from), open(1 - from));
        receiver.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let sent = Instant::now();
        sender.send_to(b"probe", receiver.local_addr().unwrap()).unwrap();
        receiver.recv(&mut [0; 16]).unwrap();
        sent.elapsed()
    }
}

fn line(to: usize) -> Line {
    Line {
        to: ENDS[to].into(),
        from: None,
    }
}

fn percent(millionths: u32) -> Percent {
    Percent::from_millionths(millionths).unwrap()
}

/// Within 1 ms or 2 %, whichever is more.
#[track_caller]
fn assert_delay(measured_ms: f64, asked_ms: f64) {
    let tolerance = 1_f64.max(asked_ms * 0.02);
    assert!(
        (measured_ms - asked_ms).abs() <= tolerance,
        "measured {measured_ms} ms, asked for {asked_ms} ms"
    );
}

/// Within five standard deviations of a binomial count: fails once in two million times by chance.
#[track_caller]
fn assert_share(count: usize, of: u32, share: Percent) {
    let (of, p) = (f64::from(of), share.probability());
    let (count, expected) = (count as f64, of * p);
    let tolerance = 5.0 * (of * p * (1.0 - p)).sqrt();
    assert!(
        (count - expected).abs() <= tolerance,
        "counted {count}, expected {expected}"
    );
}

pub async fn a_delay_is_as_long_as_asked_and_heals(backend: Backend) {
    let mut wire = Wire::build(backend).await;
    // What the path itself takes is none of the impairment's.
    let path_ms = [0, 1].map(|from| wire.median_ms(from));
    for delay_ms in [1_u16, 5, 60] {
        wire.impair(Impairment {
            delay: Duration::from_millis(delay_ms.into()),
            ..Impairment::default()
        });
        assert_delay(wire.median_ms(0) - path_ms[0], delay_ms.into());
        assert_delay(wire.median_ms(1) - path_ms[1], 0.0);
        assert_eq!(wire.impairer.in_use(), [backend].into());
    }
    wire.impairer.set(&BTreeMap::new()).unwrap();
    assert_delay(wire.median_ms(0) - path_ms[0], 0.0);
    let deadline = Instant::now() + Duration::from_secs(2);
    while queues(&wire.router) > 0 {
        assert!(Instant::now() < deadline, "queues of healed lines are left");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub async fn packets_under_way_survive_changes_and_healing(backend: Backend) {
    let mut wire = Wire::build(backend).await;
    let delayed = |ms| Impairment {
        delay: Duration::from_millis(ms),
        ..Impairment::default()
    };
    wire.impair(delayed(200));
    let open = |end: usize| {
        let netns = wire.hosts[end].netns();
        netns.run(|| UdpSocket::bind((ENDS[end], 0))).unwrap().unwrap()
    };
    let (sender, receiver) = (open(0), open(1));
    receiver.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let to = receiver.local_addr().unwrap();
    let started = Instant::now();
    for number in 0..10 {
        sender.send_to(&[number], to).unwrap();
    }
    wire.impair(delayed(100));
    sender.send_to(&[10], to).unwrap();
    wire.impairer.set(&BTreeMap::new()).unwrap();
    sender.send_to(&[11], to).unwrap();
    let receive = || {
        let mut number = [0];
        receiver.recv(&mut number).unwrap();
        number[0]
    };
    let order: Vec<u8> = (0..12).map(|_| receive()).collect();
    assert_eq!(order, [11, 10, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert!(started.elapsed() >= Duration::from_millis(200));
}

pub async fn a_line_by_interface_goes_before_one_without(backend: Backend) {
    let mut wire = Wire::build(backend).await;
    let path_ms = wire.median_ms(0);
    let delayed = |ms| Impairment {
        delay: Duration::from_millis(ms),
        ..Impairment::default()
    };
    let by_interface = |interface: &str| Line {
        to: ENDS[1].into(),
        from: Some(interface.to_owned()),
    };
    let lines = [(line(1), delayed(30)), (by_interface("end0"), delayed(10))];
    wire.impairer.set(&lines.into()).unwrap();
    assert_delay(wire.median_ms(0) - path_ms, 10.0);
    let lines = [(line(1), delayed(30)), (by_interface("end1"), delayed(10))];
    wire.impairer.set(&lines.into()).unwrap();
    assert_delay(wire.median_ms(0) - path_ms, 30.0);
}

pub async fn jitter_spreads_and_loses_nothing(backend: Backend) {
    let mut wire = Wire::build(backend).await;
    let path_ms = wire.median_ms(0);
    let (delay, jitter) = (Duration::from_millis(20), Duration::from_millis(8));
    wire.impair(Impairment {
        delay,
        jitter,
        ..Impairment::default()
    });
    let arrivals = wire.send(0, 1_000, 100);
    assert_eq!(arrivals.len(), 1_000);
    assert!(arrivals.iter().all(|arrival| arrival.took >= delay - jitter));
    let mut took: Vec<f64> = arrivals
        .iter()
        .map(|arrival| arrival.took.as_secs_f64() * 1e3)
        .collect();
    took.sort_by(f64::total_cmp);
    // Quarters of an even spread from 12 to 28 ms; a window of packets is sent in some 0.5 ms.
    for (quarter, asked_ms) in [(250, 16.0), (500, 20.0), (750, 24.0)] {
        assert!(
            (took[quarter] - path_ms - asked_ms).abs() < 2.0,
            "{} ms at {quarter}, asked for {asked_ms}",
            took[quarter]
        );
    }
}

pub async fn random_loss_is_as_often_as_asked_and_the_same_for_a_seed(backend: Backend) {
    let share = percent(20_000);
    let mut runs = Vec::new();
    // Before kernel 6.7 netem's chances have no seed.
    while runs.len() < 2 && backend == Backend::Userspace {
        let mut wire = Wire::build(backend).await;
        wire.impair(Impairment {
            loss: Loss::Random(share),
            ..Impairment::default()
        });
        // No markers among them: each packet has to be at the same place of the line in both runs.
        let numbers: Vec<u32> = (0..50).flat_map(|_| wire.send_bare(60)).collect();
        runs.push(numbers);
    }
    assert_eq!(runs.first(), runs.last());
    let mut wire = Wire::build(backend).await;
    wire.impair(Impairment {
        loss: Loss::Random(share),
        ..Impairment::default()
    });
    let arrivals = wire.send(0, 10_000, 100);
    assert_share(10_000 - arrivals.len(), 10_000, share);
    assert_eq!(wire.impairer.overruns(), 0);
}

pub async fn bursts_lose_runs_of_packets(backend: Backend) {
    let mut wire = Wire::build(backend).await;
    let (enter, leave) = (percent(10_000), percent(250_000));
    wire.impair(Impairment {
        loss: Loss::Burst { enter, leave },
        ..Impairment::default()
    });
    let arrivals = wire.send(0, 10_000, 100);
    let gaps: Vec<u32> = arrivals
        .windows(2)
        .map(|pair| pair[1].number - pair[0].number - 1)
        .filter(|gap| *gap > 0)
        .collect();
    let mean = f64::from(gaps.iter().sum::<u32>()) / gaps.len() as f64;
    // About 385 bursts of 4 packets in the mean, with a standard deviation of sqrt(12).
    assert!(
        (mean - 4.0).abs() < 0.9,
        "{} bursts of {mean} packets",
        gaps.len()
    );
}

pub async fn a_rate_is_as_asked(backend: Backend) {
    let mut wire = Wire::build(backend).await;
    // The machine may stand still while packets are on their way; the best of five trains did not.
    let best = |wire: &Wire| {
        let took = (0..5).map(|_| wire.send(0, 40, 1_000)).map(|arrivals| {
            assert_eq!(arrivals.len(), 40);
            let sent = arrivals[0].at - arrivals[0].took;
            arrivals[39].at - sent
        });
        took.min().unwrap()
    };
    let path = best(&wire);
    for megabits in [5_u64, 50] {
        let rate = NonZeroU64::new(megabits * 1_000_000).unwrap();
        wire.impair(Impairment {
            rate: Some(rate),
            ..Impairment::default()
        });
        let asked = Duration::from_nanos(40 * schedule::transmission_ns(1_000, rate));
        let best = best(&wire);
        assert!(best >= asked, "{best:?} for {asked:?}");
        assert!(
            best <= asked.mul_f64(1.02) + path + Duration::from_millis(1),
            "{best:?} for {asked:?}"
        );
    }
}

pub async fn duplicates_flips_and_overtakers_are_as_many_as_asked(backend: Backend) {
    let mut wire = Wire::build(backend).await;
    let share = percent(50_000);
    wire.impair(Impairment {
        duplicate: share,
        ..Impairment::default()
    });
    let arrivals = wire.send(0, 4_000, 100);
    assert_share(arrivals.len() - 4_000, 4_000, share);

    wire.impair(Impairment {
        corrupt: share,
        ..Impairment::default()
    });
    let arrivals = wire.send(0, 4_000, 100);
    assert_share(4_000 - arrivals.len(), 4_000, share);
    assert!(checksum_errors(&wire.hosts[1]) > 0, "no checksum was wrong");

    let delay = Duration::from_millis(20);
    wire.impair(Impairment {
        delay,
        reorder: share,
        ..Impairment::default()
    });
    let arrivals = wire.send(0, 4_000, 100);
    assert_eq!(arrivals.len(), 4_000);
    let early = arrivals.iter().filter(|arrival| arrival.took < delay).count();
    assert_share(early, 4_000, share);
}

pub async fn an_mtu_drops_longer_packets_and_no_others(backend: Backend) {
    let mut wire = Wire::build(backend).await;
    wire.impair(Impairment {
        mtu: Some(1_200),
        ..Impairment::default()
    });
    for (octets, arrived) in [(100, 50), (1_200, 50), (1_201, 0), (1_500, 0)] {
        assert_eq!(wire.send(0, 50, octets).len(), arrived, "{octets}");
    }
    assert_eq!(wire.send(1, 50, 1_500).len(), 50);
    // A sender that leaves its segments to the network card is no exception.
    assert!(wire.tcp_passes(1_100), "segments of 1140 octets are dropped");
    assert!(!wire.tcp_passes(1_400), "segments of 1440 octets pass");
    wire.impairer.set(&BTreeMap::new()).unwrap();
    assert_eq!(wire.send(0, 50, 1_500).len(), 50);
}

pub async fn a_black_hole_passes_nothing_until_it_is_healed(backend: Backend) {
    let mut wire = Wire::build(backend).await;
    wire.impair(Impairment::black_hole());
    assert_eq!(wire.send(0, 50, 100).len(), 0);
    assert_eq!(wire.send(1, 50, 100).len(), 50);
    wire.impairer.set(&BTreeMap::new()).unwrap();
    assert_eq!(wire.send(0, 50, 100).len(), 50);
}

impl Wire {
    /// Whether a TCP flow with segments of at most so many octets gets data through.
    fn tcp_passes(&self, segment: u32) -> bool {
        const OCTETS: usize = 60_000;
        let open = || {
            let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            listener.set_tcp_mss(segment)?;
            listener.bind(&SocketAddr::from((ENDS[1], 0)).into())?;
            listener.listen(1)?;
            Ok::<TcpListener, std::io::Error>(listener.into())
        };
        let listener = self.hosts[1].netns().run(open).unwrap().unwrap();
        let to = listener.local_addr().unwrap();
        let connected = self.hosts[0].netns().run(|| TcpStream::connect(to));
        let mut sender = connected.unwrap().unwrap();
        let (mut receiver, _) = listener.accept().unwrap();
        receiver.set_read_timeout(Some(2 * QUIET)).unwrap();
        sender.set_write_timeout(Some(2 * QUIET)).unwrap();
        // What does not get through may not fit into the sender's buffer, either.
        sender.write_all(&[0; OCTETS]).ok();
        receiver.read_exact(&mut [0; OCTETS]).is_ok()
    }

    /// Which of some datagrams arrive, without any others on the line.
    fn send_bare(&self, count: u32) -> Vec<u32> {
        let open = |end: usize| {
            let netns = self.hosts[end].netns();
            netns.run(|| UdpSocket::bind((ENDS[end], 0))).unwrap().unwrap()
        };
        let (sender, receiver) = (open(0), open(1));
        let (_, before) = queued(&self.router);
        for number in 0..count {
            sender
                .send_to(&number.to_be_bytes(), receiver.local_addr().unwrap())
                .unwrap();
        }
        // Verdicts are given in order: when all were queued and none waits, everything has arrived that will.
        let deadline = Instant::now() + Duration::from_secs(5);
        while queued(&self.router) != (0, before + u64::from(count)) {
            assert!(Instant::now() < deadline, "packets are held");
            std::thread::sleep(Duration::from_micros(200));
        }
        receiver.set_nonblocking(true).unwrap();
        let mut arrived = Vec::new();
        let mut buffer = [0; 4];
        while receiver.recv(&mut buffer).is_ok() {
            arrived.push(u32::from_be_bytes(buffer));
        }
        arrived
    }
}

/// The kernel's table of packet queues: number, owner, waiting packets, and more.
fn queue_table(host: &Host) -> Vec<Vec<u64>> {
    let read = || std::fs::read_to_string("/proc/thread-self/net/netfilter/nfnetlink_queue");
    let text = host.netns().run(read).unwrap().unwrap();
    let numbers = |line: &str| {
        line.split_whitespace()
            .map(|word| word.parse().unwrap())
            .collect()
    };
    text.lines().map(numbers).collect()
}

fn queues(host: &Host) -> usize {
    queue_table(host).len()
}

/// How many packets wait in queues, and how many have ever come into them.
fn queued(host: &Host) -> (u64, u64) {
    let queues = queue_table(host);
    let sum = |column: usize| queues.iter().map(|queue| queue[column]).sum();
    (sum(2), sum(7))
}

/// UDP datagrams that a host dropped for a wrong checksum.
fn checksum_errors(host: &Host) -> u64 {
    let read = || std::fs::read_to_string("/proc/thread-self/net/snmp");
    let text = host.netns().run(read).unwrap().unwrap();
    let mut rows = text.lines().filter(|line| line.starts_with("Udp:"));
    let (names, values) = (rows.next().unwrap(), rows.next().unwrap());
    let mut columns = names.split_whitespace().zip(values.split_whitespace());
    let (_, value) = columns.find(|(name, _)| *name == "InCsumErrors").unwrap();
    value.parse().unwrap()
}
