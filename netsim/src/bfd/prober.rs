//! The sessions of a lab, in operation.
//!
//! Owns one socket for each tunnel of each edge, bound to the tunnel's device, and one thread that sends hellos,
//! returns those of others and judges. It is one thread on purpose: when the machine stalls, it stalls for asker
//! and answerer alike, and no session is judged before everything that arrived has been read. Invariants: while
//! the prober is paused no hello is sent and no session judged; an edge is told of every change of a session, and
//! of the totals of its sessions at the end of each poll interval.

use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ipnet::IpNet;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, recvmsg,
    setsockopt, socket, sockopt,
};
use tokio::sync::{mpsc as tasks, oneshot, watch};

use super::packet::PACKET_LEN;
use super::{ECHO_PORT, Packet, PacketKind, Session, State, Timing, Totals, Transition};
use crate::fabric::{DeviceSpec, Edge, HostError};
use crate::netns::NetnsError;
use crate::policy::SlaClass;
use crate::sla::{SlaChange, TunnelKey};

/// Class selector 6, as Cisco marks its BFD packets (DSCP 48), in the upper six bits of the TOS octet.
const TOS_CS6: u8 = 48 << 2;
/// A pause does not wait longer for the echoes of the last hellos: they may all be lost.
const QUIET_DEADLINE: Duration = Duration::from_millis(500);

/// A session of a prober.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    /// Position of the edge.
    pub edge: usize,
    /// Position of the tunnel on the edge.
    pub tunnel: usize,
    /// Position of the remote edge among those behind the tunnel.
    pub remote: usize,
}

/// A session at one moment.
#[derive(Debug, Clone)]
pub struct SessionView {
    /// Which it is.
    pub id: SessionId,
    /// Its state and statistics.
    pub session: Session,
}

/// What an edge has learned of a tunnel.
#[derive(Debug)]
pub struct TunnelChange {
    /// The tunnel's session.
    pub id: SessionId,
    /// What it is.
    pub news: News,
    /// Whether the edge could route accordingly.
    pub applied: Result<(), Arc<HostError>>,
}

/// A change of a tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Its session changed its state.
    Session(Transition),
    /// It meets a class from now on, or no longer.
    Class {
        /// The class.
        class: SlaClass,
        /// Whether it is met.
        met: bool,
    },
}

/// Why probing could not start.
#[derive(Debug, thiserror::Error)]
pub enum ProberError {
    /// An edge's namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// A socket could not be opened.
    #[error("open a probing socket on `{interface}` of `{host}`")]
    Socket {
        /// The edge's host.
        host: String,
        /// The tunnel device.
        interface: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The thread could not be started.
    #[error("run the probing thread")]
    Thread(#[source] io::Error),
}

/// All sessions of some edges; dropping it ends them.
#[derive(Debug)]
pub struct Prober {
    sessions: Arc<Mutex<Vec<(SessionId, Session)>>>,
    thread: Arc<Remote>,
    pending: watch::Receiver<usize>,
    _routing: tokio::task::JoinSet<()>,
}

/// No hello is sent while one of these lives.
#[derive(Debug)]
pub struct Paused(Arc<Remote>);

/// The way to the thread.
#[derive(Debug)]
struct Remote {
    requests: mpsc::Sender<Request>,
    wake: OwnedFd,
}

#[derive(Debug)]
enum Request {
    Pause(oneshot::Sender<()>),
    Resume,
    End,
}

impl Prober {
    /// Starts a session for each tunnel and remote edge of `edges`, in the first service VPN that both have;
    /// `observe` is told of every change, after the edge has acted on it.
    ///
    /// # Errors
    /// [`ProberError`].
    ///
    /// # Panics
    /// Outside a tokio runtime, and when an edge has no device in a VPN that a remote edge is probed in.
    pub fn start(
        edges: &[Arc<Edge>],
        timing: Timing,
        observe: impl Fn(TunnelChange) + Send + Sync + 'static,
    ) -> Result<Self, ProberError> {
        let now = Instant::now();
        let (mut sockets, mut sessions, mut by_peer) = (Vec::new(), Vec::new(), HashMap::new());
        for (position, edge) in edges.iter().enumerate() {
            for (probed, socket) in open(edge)? {
                for (id, address) in probed.sessions(position) {
                    by_peer.insert((sockets.len(), address), sessions.len());
                    sessions.push((id, Session::new(timing, now)));
                }
                sockets.push(socket);
            }
        }
        let peers = peers(&by_peer, sessions.len());
        let (pending_now, pending) = watch::channel(sessions.len());
        let sessions = Arc::new(Mutex::new(sessions));
        let (wake, woken) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC | nix::fcntl::OFlag::O_NONBLOCK)
            .map(|(read, write)| (write, read))
            .map_err(|errno| ProberError::Thread(errno.into()))?;
        let (requests, inbox) = mpsc::channel();
        let (routing, changes) = route(edges, observe);
        let worker = Worker {
            timing,
            sockets,
            sessions: Arc::clone(&sessions),
            by_peer,
            peers,
            inbox,
            woken,
            changes,
            pending: pending_now,
            polling: edges.iter().map(|edge| edge.spec().polling.interval).min(),
            pauses: 0,
            pausing: Vec::new(),
        };
        let thread = std::thread::Builder::new().name("bfd".into());
        thread.spawn(move || worker.run()).map_err(ProberError::Thread)?;
        Ok(Self {
            sessions,
            thread: Arc::new(Remote { requests, wake }),
            pending,
            _routing: routing,
        })
    }

    /// Every session as it is now, edge by edge.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionView> {
        let sessions = lock(&self.sessions);
        let views = sessions.iter().map(|(id, session)| SessionView {
            id: *id,
            session: session.clone(),
        });
        views.collect()
    }

    /// The sessions of the edge at a position, as they are now.
    #[must_use]
    pub fn sessions_of(&self, edge: usize) -> Vec<SessionView> {
        let sessions = lock(&self.sessions);
        // They were made edge by edge.
        let first = sessions.partition_point(|(id, _)| id.edge < edge);
        let of_edge = sessions[first..].iter().take_while(|(id, _)| id.edge == edge);
        let views = of_edge.map(|(id, session)| SessionView {
            id: *id,
            session: session.clone(),
        });
        views.collect()
    }

    /// Waits until every session is up or down; returns at once when all have been before.
    pub async fn settled(&self) {
        // The sender lives as long as the thread; without it nothing will be decided any more.
        self.pending.clone().wait_for(|pending| *pending == 0).await.ok();
    }

    /// Stops hellos and judging until the guard is dropped; returns when the echoes of the last hellos have come,
    /// or half a second later. Hellos of others are still returned.
    pub async fn pause(&self) -> Paused {
        let (quiet, is_quiet) = oneshot::channel();
        self.thread.ask(Request::Pause(quiet));
        // A thread that has ended sends nothing either.
        is_quiet.await.ok();
        Paused(Arc::clone(&self.thread))
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.thread.ask(Request::End);
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        self.0.ask(Request::Resume);
    }
}

impl Remote {
    fn ask(&self, request: Request) {
        // A thread that has ended has nothing to do any more.
        self.requests.send(request).ok();
        // A full pipe wakes the thread as well as one more byte would.
        nix::unistd::write(&self.wake, &[0]).ok();
    }
}

/// An interface of tunnels, and the remote edges that are probed over it.
struct Probed<'a> {
    tunnel: usize,
    interface: String,
    device: &'a DeviceSpec,
    /// Each by its position and its address on the device's link.
    remotes: Vec<(usize, Ipv4Addr)>,
}

impl Probed<'_> {
    fn sessions(&self, edge: usize) -> impl Iterator<Item = (SessionId, Ipv4Addr)> {
        self.remotes.iter().map(move |&(remote, address)| {
            let id = SessionId {
                edge,
                tunnel: self.tunnel,
                remote,
            };
            (id, address)
        })
    }
}

/// The interfaces that tunnels of an edge are probed over.
fn probed(edge: &Edge) -> Vec<Probed<'_>> {
    let mut probed: Vec<Probed<'_>> = Vec::new();
    for (tunnel, spec) in edge.tunnels().iter().enumerate() {
        for device in &spec.devices {
            let remotes = spec.remotes.iter().enumerate().filter_map(|(position, remote)| {
                let vpn = remote
                    .vpns
                    .first()
                    .filter(|vpn| vpn.service_vpn == device.service_vpn)?;
                let addresses = vpn.addresses.iter();
                let address = addresses.into_iter().find_map(|address| match address {
                    IpAddr::V4(address) => Some(*address),
                    IpAddr::V6(_) => None,
                })?;
                Some((position, address))
            });
            let mut by_interface: Vec<Probed<'_>> = Vec::new();
            for remote in remotes {
                let interface = spec.interface(device, remote.0);
                match by_interface.iter_mut().find(|of| of.interface == interface) {
                    Some(of) => of.remotes.push(remote),
                    None => by_interface.push(Probed {
                        tunnel,
                        interface,
                        device,
                        remotes: vec![remote],
                    }),
                }
            }
            probed.append(&mut by_interface);
        }
    }
    probed
}

/// A socket for each device that is probed over.
fn open(edge: &Edge) -> Result<Vec<(Probed<'_>, UdpSocket)>, ProberError> {
    let host = edge.host();
    host.netns().run(|| {
        let sockets = probed(edge).into_iter().map(|probed| {
            let socket = bind(&probed).map_err(|source| ProberError::Socket {
                host: host.name().to_owned(),
                interface: probed.interface.clone(),
                source,
            })?;
            Ok((probed, socket))
        });
        sockets.collect::<Result<Vec<_>, _>>()
    })?
}

fn bind(probed: &Probed<'_>) -> io::Result<UdpSocket> {
    let mut addresses = probed.device.addresses.iter();
    let address = addresses.find_map(|address| match address {
        IpNet::V4(address) => Some(SocketAddrV4::new(address.addr(), ECHO_PORT)),
        IpNet::V6(_) => None,
    });
    let address = address.ok_or_else(|| io::Error::other("the device has no IPv4 address"))?;
    let kind = (SockType::Datagram, SockFlag::SOCK_CLOEXEC, SockProtocol::Udp);
    let socket = socket(AddressFamily::Inet, kind.0, kind.1, kind.2)?;
    // Before it has an address: the GRE devices of a service VPN all have the same.
    setsockopt(&socket, sockopt::BindToDevice, &(&probed.interface).into())?;
    nix::sys::socket::bind(socket.as_raw_fd(), &SockaddrIn::from(address))?;
    let socket = UdpSocket::from(socket);
    setsockopt(&socket, sockopt::Ipv4Tos, &i32::from(TOS_CS6))?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    Ok(socket)
}

/// Where the hellos of each session go: its socket and the peer's address.
fn peers(by_peer: &HashMap<(usize, Ipv4Addr), usize>, count: usize) -> Vec<(usize, Ipv4Addr)> {
    let mut peers = vec![(0, Ipv4Addr::UNSPECIFIED); count];
    for (peer, session) in by_peer {
        peers[*session] = *peer;
    }
    peers
}

type Changes = Vec<tasks::UnboundedSender<Told>>;

/// What the thread tells the task of an edge.
enum Told {
    Turned(TunnelKey, Transition),
    Polled(Vec<(TunnelKey, Totals)>, Instant),
}

/// One task for each edge, which acts on what the thread tells in its order: netlink never holds up the hellos.
fn route(
    edges: &[Arc<Edge>],
    observe: impl Fn(TunnelChange) + Send + Sync + 'static,
) -> (tokio::task::JoinSet<()>, Changes) {
    let observe = Arc::new(observe);
    let mut routing = tokio::task::JoinSet::new();
    let changes = edges.iter().enumerate().map(|(position, edge)| {
        let (sender, mut inbox) = tasks::unbounded_channel();
        let (edge, observe) = (Arc::clone(edge), Arc::clone(&observe));
        routing.spawn(async move {
            while let Some(told) = inbox.recv().await {
                let (news, applied) = act(&edge, told).await;
                let applied = applied.map_err(Arc::new);
                for ((tunnel, remote), news) in news {
                    let edge = position;
                    observe(TunnelChange {
                        id: SessionId { edge, tunnel, remote },
                        news,
                        applied: applied.clone(),
                    });
                }
            }
        });
        sender
    });
    let changes = changes.collect();
    (routing, changes)
}

async fn act(edge: &Edge, told: Told) -> (Vec<(TunnelKey, News)>, Result<(), HostError>) {
    let (turned, (changes, applied)) = match told {
        Told::Turned(tunnel, transition) => {
            let done = edge.turn(tunnel, transition.to).await;
            (Some((tunnel, News::Session(transition))), done)
        }
        Told::Polled(totals, now) => (None, edge.poll(totals, now).await),
    };
    let judged = changes.into_iter().map(|SlaChange { tunnel, class, met }| {
        let news = News::Class { class, met };
        (tunnel, news)
    });
    (turned.into_iter().chain(judged).collect(), applied)
}

struct Worker {
    timing: Timing,
    sockets: Vec<UdpSocket>,
    sessions: Arc<Mutex<Vec<(SessionId, Session)>>>,
    by_peer: HashMap<(usize, Ipv4Addr), usize>,
    peers: Vec<(usize, Ipv4Addr)>,
    inbox: mpsc::Receiver<Request>,
    woken: OwnedFd,
    changes: Changes,
    pending: watch::Sender<usize>,
    /// Time between polls; none when there is no edge.
    polling: Option<Duration>,
    /// How many want hellos to stop.
    pauses: u32,
    /// Who still waits for quiet, and until when.
    pausing: Vec<(oneshot::Sender<()>, Instant)>,
}

impl Worker {
    fn run(mut self) {
        let mut next_hello = Instant::now();
        let mut next_poll = self.polling.map(|polling| next_hello + polling);
        loop {
            if !self.take_requests() {
                return;
            }
            let mut readable = self.wait(next_hello);
            // Nothing is judged while there is something to read.
            while !readable.is_empty() {
                for socket in readable {
                    self.read(socket);
                }
                readable = self.poll(PollTimeout::ZERO);
            }
            self.end_pausing();
            let now = Instant::now();
            if self.pauses == 0 && now >= next_hello {
                self.tick(now);
                // A tick that came late does not take its echoes' time away from the next.
                let on_time = now - next_hello < self.timing.hello / 10;
                next_hello = if on_time { next_hello } else { now } + self.timing.hello;
                if next_poll.is_some_and(|due| now >= due) {
                    self.tell_totals(now);
                    next_poll = self.polling.map(|polling| now + polling);
                }
            }
        }
    }

    /// Whether to go on.
    fn take_requests(&mut self) -> bool {
        let mut wakes = [0; 64];
        while nix::unistd::read(&self.woken, &mut wakes).is_ok_and(|read| read > 0) {}
        while let Ok(request) = self.inbox.try_recv() {
            match request {
                Request::Pause(quiet) => {
                    self.pauses += 1;
                    self.pausing.push((quiet, Instant::now() + QUIET_DEADLINE));
                }
                Request::Resume => self.pauses -= 1,
                Request::End => return false,
            }
        }
        self.end_pausing();
        true
    }

    /// Tells those who wait for quiet that it is quiet, or that it will not be.
    fn end_pausing(&mut self) {
        if self.pausing.is_empty() {
            return;
        }
        // What was sent into a tunnel that is down is lost.
        let is_quiet = |session: &Session| session.is_quiet() || session.state() == State::Down;
        let quiet = lock(&self.sessions).iter().all(|(_, session)| is_quiet(session));
        let now = Instant::now();
        let pausing = std::mem::take(&mut self.pausing);
        for (waiter, deadline) in pausing {
            if quiet || now >= deadline {
                // Whoever asked may have given up.
                waiter.send(()).ok();
            } else {
                self.pausing.push((waiter, deadline));
            }
        }
    }

    /// Waits until something is to be read, or a hello or the end of a pausing is due, or somebody wakes the thread.
    fn wait(&self, next_hello: Instant) -> Vec<usize> {
        let hello = (self.pauses == 0).then_some(next_hello);
        let deadlines = self.pausing.iter().map(|(_, deadline)| *deadline);
        let timeout = hello.into_iter().chain(deadlines).min().map(|due| {
            let left = due.saturating_duration_since(Instant::now());
            // Rounded up, or the last millisecond would be spent polling.
            let millis = left.as_nanos().div_ceil(1_000_000);
            PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
        });
        self.poll(timeout.unwrap_or(PollTimeout::NONE))
    }

    /// The sockets that have something to read within `timeout`.
    fn poll(&self, timeout: PollTimeout) -> Vec<usize> {
        let fds = self.sockets.iter().map(AsFd::as_fd).chain([self.woken.as_fd()]);
        let mut fds: Vec<PollFd<'_>> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        // An interrupted wait is as good as an empty one.
        poll(&mut fds, timeout).ok();
        let is_readable = |fd: &PollFd<'_>| fd.any().unwrap_or(false);
        let sockets = fds.iter().take(self.sockets.len()).enumerate();
        sockets
            .filter(|(_, fd)| is_readable(fd))
            .map(|(position, _)| position)
            .collect()
    }

    /// Judges every session and sends its next hello.
    fn tick(&self, now: Instant) {
        let mut sessions = lock(&self.sessions);
        for ((id, session), (socket, peer)) in sessions.iter_mut().zip(&self.peers) {
            let (sequence, transition) = session.tick(now);
            if let Some(transition) = transition {
                self.changed(*id, transition);
            }
            let hello = Packet {
                kind: PacketKind::Hello,
                sequence,
                sent_ns: realtime_ns(),
                held_ns: 0,
            };
            self.send(*socket, *peer, &hello);
        }
    }

    /// Tells each edge what its sessions have counted so far.
    fn tell_totals(&self, now: Instant) {
        let mut totals: Vec<Vec<(TunnelKey, Totals)>> = vec![Vec::new(); self.changes.len()];
        for (id, session) in lock(&self.sessions).iter() {
            totals[id.edge].push(((id.tunnel, id.remote), session.totals()));
        }
        for (change, totals) in self.changes.iter().zip(totals) {
            // The task ends with the prober.
            change.send(Told::Polled(totals, now)).ok();
        }
    }

    /// Reads what a socket has: returns hellos, takes echoes.
    fn read(&self, socket: usize) {
        let mut octets = [0; PACKET_LEN + 1];
        let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec);
        loop {
            let mut slices = [IoSliceMut::new(&mut octets)];
            let fd = self.sockets[socket].as_raw_fd();
            let received = recvmsg::<SockaddrIn>(fd, &mut slices, Some(&mut control), MsgFlags::MSG_DONTWAIT);
            // Empty, or an error that the read has cleared: poll(2) tells whether there is more.
            let Ok(received) = received else { return };
            let (len, from) = (received.bytes, received.address);
            let arrived_ns = received.cmsgs().ok().and_then(|mut messages| {
                messages.find_map(|message| match message {
                    ControlMessageOwned::ScmTimestampns(time) => Some(nanos(Duration::from(time))),
                    _ => None,
                })
            });
            let (Some(packet), Some(from)) = (octets.get(..len).and_then(Packet::parse), from) else {
                continue;
            };
            self.take(socket, from.ip(), packet, arrived_ns.unwrap_or_else(realtime_ns));
        }
    }

    fn take(&self, socket: usize, from: Ipv4Addr, packet: Packet, arrived_ns: u64) {
        // Whoever is no peer on this tunnel is not answered.
        let Some(session) = self.by_peer.get(&(socket, from)) else {
            return;
        };
        match packet.kind {
            PacketKind::Hello => {
                let echo = Packet {
                    kind: PacketKind::Echo,
                    held_ns: realtime_ns().saturating_sub(arrived_ns),
                    ..packet
                };
                self.send(socket, from, &echo);
            }
            PacketKind::Echo => {
                let away = arrived_ns.saturating_sub(packet.sent_ns);
                let latency = Duration::from_nanos(away.saturating_sub(packet.held_ns) / 2);
                let (id, session) = &mut lock(&self.sessions)[*session];
                if let Some(transition) = session.echo(packet.sequence, latency, Instant::now()) {
                    self.changed(*id, transition);
                }
            }
        }
    }

    fn changed(&self, id: SessionId, transition: Transition) {
        if transition.from == State::Pending {
            self.pending.send_modify(|pending| *pending -= 1);
        }
        // The task ends with the prober, which then needs no routes any more.
        self.changes[id.edge]
            .send(Told::Turned((id.tunnel, id.remote), transition))
            .ok();
    }

    fn send(&self, socket: usize, to: Ipv4Addr, packet: &Packet) {
        // What cannot be sent, because the device is down say, is lost like what does not arrive.
        self.sockets[socket]
            .send_to(&packet.octets(), (to, ECHO_PORT))
            .ok();
    }
}

fn lock<T>(sessions: &Mutex<T>) -> MutexGuard<'_, T> {
    // A session is whole after every step.
    sessions.lock().unwrap_or_else(PoisonError::into_inner)
}

fn realtime_ns() -> u64 {
    nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
