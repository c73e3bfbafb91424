//! Senders and responders of probes.
//!
//! Owns the sockets, which live in pods' namespaces, and the pace. A client sends a probe every interval; the
//! server notes it and sends a reply of its own, with the same number. Invariants: a probe is in the ledger
//! before its packet is on the wire; a request that arrives twice is answered once; no two TCP clients of a run have
//! the same port, so that connections are told apart by addresses and ports even where clusters share addresses.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use netsim::netns::{Netns, NetnsError, counters};
use scenario::model::Protocol;
use scenario::plan::StreamPlan;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval};
use verdict::evidence::Direction;

use super::identity::{IDENTITY_LEN, Identity, now_ns};
use super::ledger::{Entry, Ledger};

/// Larger than any probe.
const BUFFER: usize = 2048;
/// Octets of received datagrams that a socket may hold unread, if the kernel grants as much.
const RECEIVE_BUFFER: usize = 8 << 20;
/// How long a connection may take to be established.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// Connections that may wait for the server.
const BACKLOG: u32 = 64;

/// Why an agent could not start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The pod's namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// A socket could not be opened.
    #[error("{operation} {protocol} {address} in pod `{pod}`")]
    Socket {
        /// What was tried.
        operation: &'static str,
        /// Transport protocol.
        protocol: Protocol,
        /// Where.
        address: SocketAddr,
        /// The pod.
        pod: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// What every agent of a run shares.
#[derive(Debug, Clone)]
pub struct Context {
    /// The run's mark.
    pub run: u64,
    /// Where sendings and arrivals are noted.
    pub ledger: Arc<Ledger>,
    /// Turns true when senders have to stop.
    pub stop: watch::Receiver<bool>,
    /// The ports of the run's TCP clients.
    pub ports: Arc<ClientPorts>,
}

/// Ports that belong to one TCP client each, whichever pod it is in.
#[derive(Debug, Default)]
pub struct ClientPorts(Mutex<BTreeSet<u16>>);

impl ClientPorts {
    /// A socket in the caller's network namespace, bound to a port that no other client of the run has.
    fn bind(&self) -> io::Result<TcpSocket> {
        // Bound until the loop ends, so that the kernel chooses another port each time.
        let mut refused = Vec::new();
        loop {
            let socket = TcpSocket::new_v4()?;
            socket.bind((Ipv4Addr::UNSPECIFIED, 0).into())?;
            let port = socket.local_addr()?.port();
            let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if taken.insert(port) {
                return Ok(socket);
            }
            refused.push(socket);
        }
    }
}

impl Context {
    fn next(&self, stream: u16, direction: Direction, sequence: u64, size: u16) -> Identity {
        let probe = Identity {
            run: self.run,
            stream,
            direction,
            sequence,
            sent_ns: now_ns(),
            size,
        };
        self.ledger.sent(Entry {
            stream,
            direction,
            sequence,
            at_ns: probe.sent_ns,
        });
        probe
    }

    fn arrived(&self, probe: &Identity) {
        let Identity {
            stream,
            direction,
            sequence,
            ..
        } = *probe;
        self.ledger.received(Entry {
            stream,
            direction,
            sequence,
            at_ns: now_ns(),
        });
    }
}

/// Starts answering probes to a port of a pod, on all its addresses.
///
/// # Errors
/// [`AgentError`] when the port cannot be had.
pub fn serve(
    pod: &Netns,
    protocol: Protocol,
    port: u16,
    context: Context,
) -> Result<BoxFuture<'static, ()>, AgentError> {
    let address = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port).into();
    let failed = |source| socket_error("listen on", protocol, address, pod, source);
    match protocol {
        Protocol::Udp => {
            let socket = pod
                .run(|| std::net::UdpSocket::bind(address))?
                .and_then(into_udp)
                .map_err(failed)?;
            Ok(serve_udp(socket, context).boxed())
        }
        Protocol::Tcp => {
            // The runtime is entered on the thread in the pod, so that the socket opens there.
            let runtime = tokio::runtime::Handle::current();
            let listener = pod.run(|| {
                let _entered = runtime.enter();
                let socket = TcpSocket::new_v4()?;
                socket.set_reuseaddr(true)?;
                socket.bind(address)?;
                socket.listen(BACKLOG)
            })?;
            Ok(serve_tcp(listener.map_err(failed)?, context).boxed())
        }
    }
}

/// How many datagrams the kernel has dropped in a pod because no socket had room for them: `RcvbufErrors` of its
/// UDP counters, proc_net(5).
///
/// # Errors
/// When the pod's namespace cannot be entered. A kernel that does not tell counts as having dropped.
pub fn dropped_datagrams(pod: &Netns) -> Result<u64, NetnsError> {
    let dropped = counters::udp(pod, IpAddr::V4(Ipv4Addr::UNSPECIFIED), "RcvbufErrors")?;
    Ok(dropped.unwrap_or(u64::from(u32::MAX)))
}

/// A client, connected and ready to send.
#[derive(Debug)]
pub struct Client {
    stream: u16,
    plan: StreamPlan,
    context: Context,
    wire: Wire,
    /// Its own address.
    pub local: SocketAddr,
    /// The backend's address.
    pub remote: SocketAddr,
}

#[derive(Debug)]
enum Wire {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Client {
    /// Connects a stream of the plan from its pod to a backend.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn connect(
        pod: &Netns,
        stream: u16,
        plan: StreamPlan,
        remote: SocketAddr,
        context: Context,
    ) -> Result<Self, AgentError> {
        let failed = |source| socket_error("connect to", plan.protocol, remote, pod, source);
        let (wire, local) = match plan.protocol {
            Protocol::Udp => {
                let opened = pod.run(|| {
                    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
                    socket.connect(remote)?;
                    Ok(socket)
                })?;
                let socket = opened.and_then(into_udp).map_err(failed)?;
                let local = socket.local_addr().map_err(failed)?;
                (Wire::Udp(socket), local)
            }
            Protocol::Tcp => {
                let runtime = tokio::runtime::Handle::current();
                let socket = pod.run(|| {
                    let _entered = runtime.enter();
                    context.ports.bind()
                })?;
                let connecting = socket.map_err(failed)?.connect(remote);
                let connected = tokio::time::timeout(CONNECT_DEADLINE, connecting).await;
                let socket = connected
                    .map_err(io::Error::from)
                    .and_then(|inner| inner)
                    .map_err(failed)?;
                // Each probe is to be a packet of its own.
                socket.set_nodelay(true).map_err(failed)?;
                let local = socket.local_addr().map_err(failed)?;
                (Wire::Tcp(socket), local)
            }
        };
        Ok(Self {
            stream,
            plan,
            context,
            wire,
            local,
            remote,
        })
    }

    /// Sends until told to stop, and takes replies until dropped.
    pub async fn run(self) {
        let receiving = self.context.clone();
        let mut probes = Probes::new(self.stream, &self.plan, self.context);
        match self.wire {
            Wire::Udp(socket) => {
                let send = async {
                    while let Some(record) = probes.next().await {
                        // A refused or unroutable probe is a lost one: it is in the ledger and never arrives.
                        socket.send(&record).await.ok();
                    }
                };
                tokio::join!(send, receive_udp(&socket, &receiving));
            }
            Wire::Tcp(socket) => {
                let (mut read, mut write) = socket.into_split();
                let send = async {
                    while let Some(record) = probes.next().await {
                        write.write_all(&record).await.ok();
                    }
                    // The write half stays open: a FIN is no probe.
                    write
                };
                tokio::join!(send, receive_tcp(&mut read, &receiving));
            }
        }
    }
}

/// The probes of a stream, at their pace.
struct Probes {
    stream: u16,
    size: u16,
    context: Context,
    ticks: Interval,
    next: u64,
}

impl Probes {
    fn new(stream: u16, plan: &StreamPlan, context: Context) -> Self {
        let start = Instant::now() + Duration::from_micros(plan.phase_us);
        let ticks = tokio::time::interval_at(start, Duration::from_micros(plan.interval_us));
        Self {
            stream,
            size: plan.size_bytes,
            context,
            ticks,
            next: 0,
        }
    }

    /// The next record, when it is due; `None` when senders have to stop.
    async fn next(&mut self) -> Option<Vec<u8>> {
        tokio::select! {
            biased;
            _ = self.context.stop.wait_for(|stop| *stop) => return None,
            _ = self.ticks.tick() => {}
        }
        let probe = self
            .context
            .next(self.stream, Direction::Request, self.next, self.size);
        self.next += 1;
        Some(probe.record())
    }
}

async fn receive_udp(socket: &UdpSocket, context: &Context) {
    let mut buffer = [0; BUFFER];
    loop {
        // An ICMP error surfaces here once; the socket goes on.
        let Ok(len) = socket.recv(&mut buffer).await else {
            continue;
        };
        if let Some(probe) = Identity::parse(&buffer[..len]) {
            context.arrived(&probe);
        }
    }
}

async fn receive_tcp(read: &mut (impl AsyncReadExt + Unpin), context: &Context) {
    while let Some(probe) = read_record(read).await {
        context.arrived(&probe);
    }
}

async fn serve_udp(socket: UdpSocket, context: Context) {
    let mut buffer = [0; BUFFER];
    let mut answered = HashSet::new();
    loop {
        let Ok((len, client)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let Some(probe) = Identity::parse(&buffer[..len]) else {
            continue;
        };
        context.arrived(&probe);
        if answered.insert((probe.stream, probe.sequence)) {
            let reply = context.next(probe.stream, Direction::Reply, probe.sequence, probe.size);
            socket.send_to(&reply.record(), client).await.ok();
        }
    }
}

async fn serve_tcp(listener: TcpListener, context: Context) {
    // Dropping the set, when the agent is ended, ends the connections too.
    let mut connections = JoinSet::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            continue;
        };
        connections.spawn(answer_tcp(socket, context.clone()));
    }
}

async fn answer_tcp(socket: TcpStream, context: Context) {
    // Each reply is to be a packet of its own.
    socket.set_nodelay(true).ok();
    let (mut read, mut write) = socket.into_split();
    while let Some(probe) = read_record(&mut read).await {
        context.arrived(&probe);
        let reply = context.next(probe.stream, Direction::Reply, probe.sequence, probe.size);
        if write.write_all(&reply.record()).await.is_err() {
            return;
        }
    }
}

/// The next record of a TCP stream; `None` when the stream ends or holds something else.
async fn read_record(read: &mut (impl AsyncReadExt + Unpin)) -> Option<Identity> {
    let mut buffer = [0; BUFFER];
    read.read_exact(&mut buffer[..IDENTITY_LEN]).await.ok()?;
    let probe = Identity::parse(&buffer[..IDENTITY_LEN])?;
    let padding = usize::from(probe.size).checked_sub(IDENTITY_LEN)?;
    read.read_exact(buffer.get_mut(..padding)?).await.ok()?;
    Some(probe)
}

fn into_udp(socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
    // As much as the kernel grants (net.core.rmem_max): it is what a reader that is held up has to live on.
    socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

fn socket_error(
    operation: &'static str,
    protocol: Protocol,
    address: SocketAddr,
    pod: &Netns,
    source: io::Error,
) -> AgentError {
    AgentError::Socket {
        operation,
        protocol,
        address,
        pod: pod.name().to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_another_client_has_is_passed_over() {
        let ports = ClientPorts::default();
        let first = ports.bind().unwrap().local_addr().unwrap().port();
        // The kernel is free to choose the port again: its socket is closed.
        let every = (1..=u16::MAX).filter(|port| port % 2 == first % 2);
        ports.0.lock().unwrap().extend(every);
        let second = ports.bind().unwrap().local_addr().unwrap().port();
        assert_ne!(first % 2, second % 2);
        assert!(ports.0.lock().unwrap().contains(&second));
    }
}
