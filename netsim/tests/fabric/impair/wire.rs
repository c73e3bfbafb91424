//! Two hosts with a router between them, where lines are impaired, and what passes from one to the other.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netsim::fabric::{Families, Forwarding, Host, LinkEnd, Mac, TABLE_MAIN};
use netsim::impair::{Backend, Impairer, Impairment, Line};
use netsim::netns::counters;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use socket2::{Domain, Socket, Type};

/// No packet came for so long: none will. The machine may stand still for half of it.
pub const QUIET: Duration = Duration::from_millis(300);
/// How long something that must happen may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// Most datagrams under way at once, so that no socket overflows, however long the machine stands still.
const WINDOW: u32 = 60;
/// The number behind the first window, sent until one such arrives; they count up.
const FIRST_MARKER: u32 = 1 << 31;

/// The IP version of a wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V4,
    V6,
}

impl Version {
    /// The addresses of the two hosts.
    fn ends(self) -> [IpAddr; 2] {
        match self {
            Self::V4 => [[10, 0, 0, 1].into(), [10, 0, 1, 1].into()],
            Self::V6 => [0, 1].map(|end| Ipv6Addr::new(0xfd00, 0, end, 0, 0, 0, 0, 1).into()),
        }
    }

    /// Octets of the headers of IP and UDP.
    fn headers(self) -> usize {
        match self {
            Self::V4 => 20 + 8,
            Self::V6 => 40 + 8,
        }
    }

    fn families(self) -> Families {
        match self {
            Self::V4 => Families::Ipv4,
            Self::V6 => Families::Both,
        }
    }

    fn everything(self) -> IpNet {
        match self {
            Self::V4 => Ipv4Net::default().into(),
            Self::V6 => Ipv6Net::default().into(),
        }
    }
}

/// Two hosts with a router between them.
pub struct Wire {
    pub hosts: Vec<Host>,
    pub router: Host,
    pub impairer: Impairer,
    version: Version,
}

/// A datagram that arrived.
pub struct Arrival {
    pub number: u32,
    pub took: Duration,
    pub at: Instant,
}

impl Wire {
    pub async fn build(backend: Backend, version: Version) -> Self {
        let families = version.families();
        let router = Host::create_speaking("router", Forwarding::On, families)
            .await
            .unwrap();
        let mut hosts = Vec::new();
        for (number, end) in (0_u32..).zip(version.ends()) {
            let host = Host::create_speaking(&format!("end{number}"), Forwarding::Off, families)
                .await
                .unwrap();
            let (gateway, prefix): (IpAddr, u8) = match end {
                IpAddr::V4(end) => (Ipv4Addr::from(u32::from(end) + 1).into(), 30),
                IpAddr::V6(end) => (Ipv6Addr::from(u128::from(end) + 1).into(), 126),
            };
            let side = |interface: &str, kind, address| LinkEnd {
                interface: interface.into(),
                mac: Mac::local(kind, number),
                addresses: vec![IpNet::new(address, prefix).unwrap()],
            };
            let far = side(&format!("end{number}"), 2, gateway);
            host.link(&side("eth0", 1, end), &router, &far, 1500)
                .await
                .unwrap();
            host.add_route(TABLE_MAIN, version.everything(), "eth0", Some(gateway))
                .await
                .unwrap();
            hosts.push(host);
        }
        let impairer = Impairer::with_backend(router.netns(), 7, Some(backend));
        Self {
            hosts,
            router,
            impairer,
            version,
        }
    }

    /// The line to a host.
    pub fn line(&self, to: usize) -> Line {
        Line {
            to: self.version.ends()[to],
            from: None,
        }
    }

    /// Impairs the line to the second host.
    pub fn impair(&mut self, impairment: Impairment) {
        let lines = [(self.line(1), impairment)];
        self.impairer.set(&lines.into()).unwrap();
    }

    /// A socket of a host.
    pub fn open(&self, end: usize) -> UdpSocket {
        let address = SocketAddr::new(self.version.ends()[end], 0);
        let bound = self.hosts[end].netns().run(|| UdpSocket::bind(address));
        bound.unwrap().unwrap()
    }

    /// Sends datagrams of so many octets from the IP header on from one host to the other, a window at a time; `took`
    /// is never too short.
    pub fn send(&self, from: usize, count: u32, octets: usize) -> Vec<Arrival> {
        let (sender, receiver) = (self.open(from), self.open(1 - from));
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        receiver.set_read_timeout(Some(QUIET / 10)).unwrap();
        let mut payload = vec![0_u8; octets - self.version.headers()];
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
            let window = (WINDOW as usize).min(count as usize - sent.len());
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

    /// Milliseconds that the middle one of some datagrams, sent one after another, took; the least of five, because a
    /// machine that is busy makes packets late, never early.
    pub fn median_ms(&self, from: usize) -> f64 {
        let median = || {
            let mut took: Vec<Duration> = (0..11).map(|_| self.send_one(from)).collect();
            took.sort();
            took[took.len() / 2]
        };
        let least = (0..5).map(|_| median()).min().unwrap();
        least.as_secs_f64() * 1e3
    }

    fn send_one(&self, from: usize) -> Duration {
        let (sender, receiver) = (self.open(from), self.open(1 - from));
        receiver.set_read_timeout(Some(DEADLINE)).unwrap();
        let sent = Instant::now();
        sender.send_to(b"probe", receiver.local_addr().unwrap()).unwrap();
        receiver.recv(&mut [0; 16]).unwrap();
        sent.elapsed()
    }

    /// Whether a TCP flow of packets of at most so many octets gets data through.
    pub fn tcp_passes(&self, octets: u32) -> bool {
        const OCTETS: usize = 60_000;
        let address = SocketAddr::new(self.version.ends()[1], 0);
        // TCP's header is 12 octets longer than UDP's.
        let segment = octets - 12 - u32::try_from(self.version.headers()).unwrap();
        let open = || {
            let listener = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
            listener.set_tcp_mss(segment)?;
            listener.bind(&address.into())?;
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
    pub fn send_bare(&self, count: u32) -> BTreeSet<u32> {
        // A sender that moves to another processor may overtake what it sent on the one before.
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| {
                stay_on_one_processor();
                self.send_in_order(count)
            });
            sender.join().unwrap()
        })
    }

    fn send_in_order(&self, count: u32) -> BTreeSet<u32> {
        let (sender, receiver) = (self.open(0), self.open(1));
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        receiver.set_read_timeout(Some(QUIET)).unwrap();
        let (_, before) = queued(&self.router);
        let mut arrived = BTreeSet::new();
        let receive = || {
            let mut number = [0; 4];
            receiver.recv(&mut number).ok()?;
            Some(u32::from_be_bytes(number))
        };
        for number in 0..count {
            sender.send(&number.to_be_bytes()).unwrap();
            let sent = number + 1;
            if !sent.is_multiple_of(WINDOW) && sent < count {
                continue;
            }
            let deadline = Instant::now() + DEADLINE;
            while queued(&self.router) != (0, before + u64::from(sent)) {
                assert!(Instant::now() < deadline, "packets are held");
                std::thread::sleep(Duration::from_micros(200));
            }
            receiver.set_nonblocking(true).unwrap();
            arrived.extend(std::iter::from_fn(receive));
            receiver.set_nonblocking(false).unwrap();
        }
        // What has its verdict may still be on its way to the receiver.
        arrived.extend(std::iter::from_fn(receive));
        arrived
    }

    /// UDP datagrams that the second host dropped for a wrong checksum.
    pub fn checksum_errors(&self) -> u64 {
        let counted = counters::udp(self.hosts[1].netns(), self.version.ends()[1], "InCsumErrors");
        counted.unwrap().unwrap()
    }
}

/// Keeps this thread on the first processor it may use.
fn stay_on_one_processor() {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this).unwrap();
    let is_allowed = |&cpu: &usize| allowed.is_set(cpu).unwrap();
    let mut first = CpuSet::new();
    first.set((0..CpuSet::count()).find(is_allowed).unwrap()).unwrap();
    sched_setaffinity(this, &first).unwrap();
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

/// How many packet queues there are.
pub fn queues(host: &Host) -> usize {
    queue_table(host).len()
}

/// How many packets wait in queues, and how many have ever come into them.
fn queued(host: &Host) -> (u64, u64) {
    let queues = queue_table(host);
    let sum = |column: usize| queues.iter().map(|queue| queue[column]).sum();
    (sum(2), sum(7))
}
