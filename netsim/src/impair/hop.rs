//! The thread that lets packets of impaired lines go when their time has come.
//!
//! Owns the waiting. Packets stay in the kernel; the thread holds their numbers. Invariants: packets leave in the
//! order of their times; those that leave together go with one verdict where none between them stays; what the
//! kernel could not hand over is counted as an overrun.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::io;
use std::net::SocketAddrV6;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, sendto, socket,
};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

use super::impairment::{Impairment, Percent};
use super::queue::{Copy, News, QueueSocket, Verdict};
use super::schedule::{Fate, Scheduler};
use crate::fabric::nft::{NftError, Socket, Table};
use crate::netns::{Netns, NetnsError};

/// News taken before packets that are due have their turn again.
const NEWS_AT_ONCE: usize = 64;
/// How late a packet may become while news are taken: each costs a microsecond or two, so 64 of them would be felt.
const LATE_MAX_NS: u64 = 20_000;
/// Octets of verdicts that are told at once.
const VERDICTS_MAX: usize = 1 << 15;
/// How long the thread may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// Why the thread does not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum HopError {
    /// The namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The kernel refused a queue or a socket.
    #[error(
        "queue packets of netns `{netns}` (needs CONFIG_NETFILTER_XT_TARGET_NFQUEUE and CONFIG_NETFILTER_NETLINK_QUEUE)"
    )]
    Queue {
        /// The namespace.
        netns: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The rules that feed the queues were refused.
    #[error("take the packets of impaired lines in netns `{netns}`")]
    Rules {
        /// The namespace.
        netns: String,
        /// The kernel's answer.
        #[source]
        source: NftError,
    },
    /// The thread could not be started, or has ended.
    #[error("run the impairment thread of netns `{netns}`")]
    Thread {
        /// The namespace.
        netns: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// A queue and the line that it stands for.
#[derive(Debug, Clone)]
pub(super) struct QueuedLine {
    pub(super) queue: u16,
    pub(super) impairment: Impairment,
    /// For the chances of a line that is new.
    pub(super) seed: u64,
}

struct Request {
    lines: Vec<QueuedLine>,
    tables: Vec<Table>,
    reply: mpsc::Sender<Result<(), Refusal>>,
}

/// What the kernel did not do.
enum Refusal {
    Queue(io::Error),
    Rules(NftError),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Queue(error)
    }
}

/// The thread, from outside. It ends when this is dropped; packets that still wait are then lost.
#[derive(Debug)]
pub(super) struct Hop {
    netns: String,
    requests: mpsc::Sender<Request>,
    wake: OwnedFd,
    overruns: Arc<AtomicU64>,
}

impl Hop {
    pub(super) fn start(netns: &Netns) -> Result<Self, HopError> {
        let name = netns.name().to_owned();
        let opened = netns.run(|| {
            let raw = |family| socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw);
            let copies = Copies {
                ipv4: raw(AddressFamily::Inet)?,
                // A kernel without IPv6 has no packets of it either.
                ipv6: raw(AddressFamily::Inet6).ok(),
            };
            Ok::<_, io::Error>((QueueSocket::open()?, copies))
        })?;
        let queue = |source| HopError::Queue {
            netns: name.clone(),
            source,
        };
        let (socket, copies) = opened.map_err(queue)?;
        let (woken, wake) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC | nix::fcntl::OFlag::O_NONBLOCK)
            .map_err(|errno| queue(errno.into()))?;
        let (requests, inbox) = mpsc::channel();
        let overruns = Arc::new(AtomicU64::new(0));
        let nft = Socket::open(netns).map_err(|source| HopError::Rules {
            netns: name.clone(),
            source,
        })?;
        let work = Work {
            nft,
            tables: Vec::new(),
            socket,
            copies,
            lines: BTreeMap::new(),
            due: BinaryHeap::new(),
            arrivals: 0,
            overruns: Arc::clone(&overruns),
        };
        let thread = std::thread::Builder::new().name("impair".into());
        let started = thread.spawn(move || run(work, &inbox, &woken));
        started.map_err(|source| HopError::Thread {
            netns: name.clone(),
            source,
        })?;
        Ok(Self {
            netns: name,
            requests,
            wake,
            overruns,
        })
    }

    /// Makes these the lines, and these the rules that feed them. Other lines end once no packet waits in them;
    /// with the last line the table goes, unless it has other rules.
    pub(super) fn set(&self, lines: Vec<QueuedLine>, tables: Vec<Table>) -> Result<(), HopError> {
        let gone = |source| HopError::Thread {
            netns: self.netns.clone(),
            source,
        };
        let (reply, answer) = mpsc::channel();
        self.requests
            .send(Request { lines, tables, reply })
            .map_err(|_| gone(io::Error::other("it has ended")))?;
        // A full pipe wakes the thread as well as one more byte would.
        nix::unistd::write(&self.wake, &[0]).ok();
        let answered = answer.recv_timeout(DEADLINE);
        answered
            .map_err(|error| gone(io::Error::other(error)))?
            .map_err(|refusal| match refusal {
                Refusal::Queue(source) => HopError::Queue {
                    netns: self.netns.clone(),
                    source,
                },
                Refusal::Rules(source) => HopError::Rules {
                    netns: self.netns.clone(),
                    source,
                },
            })
    }

    /// How often the kernel had to drop packets because the thread did not keep up.
    pub(super) fn overruns(&self) -> u64 {
        self.overruns.load(Ordering::Relaxed)
    }
}

struct Line {
    scheduler: Scheduler,
    /// Numbers of the packets that wait, in the order of arrival; `None` for those gone already.
    waiting: VecDeque<Option<u32>>,
    /// How many of `waiting` are left.
    count: usize,
    /// Position of the first of `waiting` among all arrivals of the line.
    first: u64,
    ends: bool,
}

/// A packet, or a second copy of one, and when it goes.
struct Due {
    at_ns: u64,
    /// Breaks ties, so that packets of one time stay in order.
    order: u64,
    queue: u16,
    action: Action,
}

enum Action {
    /// The packet at this position of its line goes on, with this payload if there is one.
    Release(u64, Option<Box<[u8]>>),
    /// These octets are sent as a packet.
    Send(Box<[u8]>),
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ns, self.order).cmp(&(other.at_ns, other.order))
    }
}

/// Sockets for packets of ours, from the IP header on.
struct Copies {
    ipv4: OwnedFd,
    ipv6: Option<OwnedFd>,
}

struct Work {
    nft: Socket,
    /// The rules, if there are any in the kernel.
    tables: Vec<Table>,
    socket: QueueSocket,
    copies: Copies,
    lines: BTreeMap<u16, Line>,
    due: BinaryHeap<Reverse<Due>>,
    arrivals: u64,
    overruns: Arc<AtomicU64>,
}

fn run(mut work: Work, inbox: &mpsc::Receiver<Request>, woken: &OwnedFd) {
    // The default slack of 50 us would be added to every delay. A kernel that refuses leaves it so.
    nix::sys::prctl::set_timerslack(1).ok();
    loop {
        match inbox.try_recv() {
            Ok(request) => {
                let result = work.change(&request.lines, request.tables);
                // The asker may have given up; that is its affair.
                request.reply.send(result).ok();
            }
            Err(mpsc::TryRecvError::Disconnected) => return,
            Err(mpsc::TryRecvError::Empty) => {}
        }
        if let Err(error) = work.turn(woken) {
            tracing::error!(%error, "an impairment thread ended");
            return;
        }
    }
}

impl Work {
    /// Lets go what is due, waits for the next moment or news, and takes the news.
    fn turn(&mut self, woken: &OwnedFd) -> io::Result<()> {
        self.release()?;
        self.end_lines()?;
        self.wait(woken);
        for _ in 0..NEWS_AT_ONCE {
            let Some(news) = self.socket.receive()? else { break };
            match news {
                News::Packet { queue, id, octets } => {
                    let verdict = self.lines.get_mut(&queue).and_then(|line| {
                        let payload = self.socket.payload();
                        let mut arrival = Arrival {
                            // Read after the packet was: an earlier time would let it go too early.
                            now: now_ns(),
                            order: &mut self.arrivals,
                            due: &mut self.due,
                        };
                        line.arrive(&mut arrival, queue, (id, octets), payload)
                    });
                    if verdict.is_some() {
                        self.socket.verdict(queue, id, Verdict::Drop);
                    }
                }
                News::Overrun => {
                    self.overruns.fetch_add(1, Ordering::Relaxed);
                }
                // The kernel answers only verdicts on packets that it has dropped with their interface.
                News::Answer { .. } => {}
            }
            if self.is_due(LATE_MAX_NS) {
                break;
            }
        }
        self.socket.flush()
    }

    /// Waits for the next moment, for news or for a request; not at all when a packet is due.
    fn wait(&self, woken: &OwnedFd) {
        if self.is_due(0) {
            return;
        }
        let timeout = self.due.peek().map(|Reverse(due)| {
            let left = due.at_ns.saturating_sub(now_ns());
            TimeSpec::from_duration(Duration::from_nanos(left))
        });
        let mut fds = [
            PollFd::new(self.socket.as_fd(), PollFlags::POLLIN),
            PollFd::new(woken.as_fd(), PollFlags::POLLIN),
        ];
        // An interrupted wait is as good as an empty one.
        ppoll(&mut fds, timeout, None).ok();
        if fds[1].any().unwrap_or(false) {
            let mut wakes = [0; 64];
            while nix::unistd::read(woken, &mut wakes).is_ok_and(|read| read > 0) {}
        }
    }

    /// Whether a packet should have left so many nanoseconds ago.
    fn is_due(&self, late_ns: u64) -> bool {
        self.due
            .peek()
            .is_some_and(|Reverse(due)| due.at_ns + late_ns <= now_ns())
    }

    fn release(&mut self) -> io::Result<()> {
        // Packets that go together: the queue, and the number up to which all of it goes.
        let mut together: Option<(u16, u32)> = None;
        let now = now_ns();
        while self.due.peek().is_some_and(|Reverse(due)| due.at_ns <= now) {
            let Some(Reverse(due)) = self.due.pop() else { break };
            let Some(line) = self.lines.get_mut(&due.queue) else {
                continue;
            };
            let (position, payload) = match due.action {
                Action::Send(octets) => {
                    self.copies.send(&octets);
                    continue;
                }
                Action::Release(position, payload) => (position, payload),
            };
            let Some((id, is_first)) = line.leave(position) else {
                continue;
            };
            if is_first && payload.is_none() {
                if let Some((queue, last)) = together.replace((due.queue, id))
                    && queue != due.queue
                {
                    self.socket.accept_up_to(queue, last);
                }
                continue;
            }
            if let Some((queue, last)) = together.take() {
                self.socket.accept_up_to(queue, last);
            }
            let verdict = payload.as_deref().map_or(Verdict::Accept, Verdict::Replace);
            self.socket.verdict(due.queue, id, verdict);
            if self.socket.noted() > VERDICTS_MAX {
                self.socket.flush()?;
            }
        }
        if let Some((queue, last)) = together {
            self.socket.accept_up_to(queue, last);
        }
        self.socket.flush()
    }

    fn change(&mut self, wanted: &[QueuedLine], tables: Vec<Table>) -> Result<(), Refusal> {
        for wanted in wanted {
            let is_new = !self.lines.contains_key(&wanted.queue);
            let line = self.lines.entry(wanted.queue).or_insert_with(|| Line {
                scheduler: Scheduler::new(wanted.impairment, wanted.seed),
                waiting: VecDeque::new(),
                count: 0,
                first: 0,
                ends: false,
            });
            line.ends = false;
            line.scheduler.set(wanted.impairment);
            let copy = copy(&wanted.impairment);
            self.with_news(|socket, news| socket.configure(wanted.queue, is_new, copy, news))?;
        }
        // A queue is there before the first rule that feeds it, and ends after the last.
        self.nft.replace_rules(&tables).map_err(Refusal::Rules)?;
        self.tables = tables;
        for (queue, line) in &mut self.lines {
            line.ends = !wanted.iter().any(|wanted| wanted.queue == *queue);
        }
        Ok(())
    }

    fn end_lines(&mut self) -> io::Result<()> {
        let over: Vec<u16> = self
            .lines
            .iter()
            .filter(|(_, line)| line.ends && line.count == 0)
            .map(|(queue, _)| *queue)
            .collect();
        for queue in over {
            self.lines.remove(&queue);
            self.with_news(|socket, news| socket.unbind(queue, news))?;
        }
        // A chain costs every packet something, even without rules.
        let mut chains = self.tables.iter().flat_map(|table| &table.chains);
        if self.lines.is_empty() && chains.all(|chain| chain.rules.is_empty()) {
            let mut tables = std::mem::take(&mut self.tables);
            tables.iter_mut().for_each(|table| table.chains.clear());
            self.nft.replace_tables(&tables).map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Talks to the kernel while packets go on arriving.
    fn with_news(
        &mut self,
        talk: impl FnOnce(&mut QueueSocket, &mut dyn FnMut(News, &[u8])) -> io::Result<()>,
    ) -> io::Result<()> {
        let Self {
            socket,
            lines,
            due,
            arrivals,
            overruns,
            ..
        } = self;
        let mut lost = Vec::new();
        let mut news = |news: News, payload: &[u8]| match news {
            News::Packet { queue, id, octets } => {
                let mut arrival = Arrival {
                    now: now_ns(),
                    order: arrivals,
                    due,
                };
                let verdict = lines
                    .get_mut(&queue)
                    .and_then(|line| line.arrive(&mut arrival, queue, (id, octets), payload));
                lost.extend(verdict.map(|Lost| (queue, id)));
            }
            News::Overrun => {
                overruns.fetch_add(1, Ordering::Relaxed);
            }
            News::Answer { .. } => {}
        };
        talk(socket, &mut news)?;
        for (queue, id) in lost {
            socket.verdict(queue, id, Verdict::Drop);
        }
        socket.flush()
    }
}

/// A packet is to be dropped.
struct Lost;

/// What an arrival needs besides its line.
struct Arrival<'a> {
    now: u64,
    order: &'a mut u64,
    due: &'a mut BinaryHeap<Reverse<Due>>,
}

impl Line {
    fn arrive(
        &mut self,
        arrival: &mut Arrival<'_>,
        queue: u16,
        (id, octets): (u32, u32),
        payload: &[u8],
    ) -> Option<Lost> {
        let Fate::Sent {
            at_ns,
            flip,
            again_ns,
        } = self.scheduler.packet(arrival.now, octets)
        else {
            return Some(Lost);
        };
        let position = self.first + u64::try_from(self.waiting.len()).expect("a u64 holds a usize");
        self.waiting.push_back(Some(id));
        self.count += 1;
        let changed = flip.map(|random| flipped(payload, random));
        let again = again_ns.map(|at_ns| (at_ns, Action::Send(payload.into())));
        for (at_ns, action) in [(at_ns, Action::Release(position, changed))]
            .into_iter()
            .chain(again)
        {
            *arrival.order += 1;
            arrival.due.push(Reverse(Due {
                at_ns,
                order: *arrival.order,
                queue,
                action,
            }));
        }
        None
    }

    /// Takes a packet out; returns its number and whether none that came before it waits any more.
    fn leave(&mut self, position: u64) -> Option<(u32, bool)> {
        let index = usize::try_from(position - self.first).ok()?;
        let id = self.waiting.get_mut(index)?.take()?;
        self.count -= 1;
        let is_first = index == 0;
        while let Some(None) = self.waiting.front() {
            self.waiting.pop_front();
            self.first += 1;
        }
        Some((id, is_first))
    }
}

/// How much of its packets a line has to see.
fn copy(impairment: &Impairment) -> Copy {
    let is_segmented = !matches!(impairment.loss, super::Loss::None)
        || impairment.reorder > Percent::ZERO
        || !impairment.jitter.is_zero();
    if impairment.corrupt > Percent::ZERO || impairment.duplicate > Percent::ZERO {
        Copy::Everything
    } else if is_segmented || impairment.rate.is_some() || impairment.mtu.is_some() {
        Copy::Length
    } else {
        Copy::Nothing
    }
}

/// A packet with one bit behind its IP header flipped.
fn flipped(packet: &[u8], random: u64) -> Box<[u8]> {
    let mut packet: Box<[u8]> = packet.into();
    let header = packet.first().map_or(0, |octet| match octet >> 4 {
        // RFC 8200 section 3.
        6 => 40,
        // Internet header length in words, RFC 791 section 3.1.
        _ => usize::from(octet & 0xf) * 4,
    });
    let bits = 8 * packet.len().saturating_sub(header);
    if let Some(bit) = usize::try_from(random).unwrap_or(usize::MAX).checked_rem(bits) {
        packet[header + bit / 8] ^= 1 << (bit % 8);
    }
    packet
}

impl Copies {
    /// Sends a packet; it is routed as the one that it is a copy of.
    fn send(&self, packet: &[u8]) {
        /// The destination address of a packet, which is at `at`.
        fn destination<const N: usize>(packet: &[u8], at: usize) -> Option<[u8; N]> {
            packet.get(at..at + N)?.try_into().ok()
        }
        let flags = MsgFlags::MSG_DONTWAIT;
        // A copy that the kernel does not take is one that a full line dropped.
        match (packet.first().map(|octet| octet >> 4), &self.ipv6) {
            (Some(6), Some(socket)) => {
                let Some(to) = destination::<16>(packet, 24) else {
                    return;
                };
                let to = SockaddrIn6::from(SocketAddrV6::new(to.into(), 0, 0, 0));
                sendto(socket.as_raw_fd(), packet, &to, flags).ok();
            }
            (Some(4), _) => {
                let Some([a, b, c, d]) = destination(packet, 16) else {
                    return;
                };
                sendto(
                    self.ipv4.as_raw_fd(),
                    packet,
                    &SockaddrIn::new(a, b, c, d, 0),
                    flags,
                )
                .ok();
            }
            _ => {}
        }
    }
}

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has this clock");
    u64::try_from(Duration::from(now).as_nanos()).expect("an uptime is below 584 years")
}
