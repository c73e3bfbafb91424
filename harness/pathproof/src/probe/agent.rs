//! What the agents of a run share, and the responders to probes. The senders are [`super::client`].
//!
//! Owns the servers' sockets, which live in pods' namespaces. A server notes a probe and sends a reply of its own, with
//! the same number. Invariants: a probe is in the ledger before its packet is on the wire; a request that arrives twice
//! is answered once.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use netsim::netns::{Netns, NetnsError, counters};
use scenario::model::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use verdict::evidence::Direction;

use super::client::ClientPorts;
use super::identity::{IDENTITY_LEN, Identity, now_ns};
use super::ledger::{Entry, Ledger};

/// Larger than any probe.
pub(super) const BUFFER: usize = 2048;
/// Octets of received datagrams that a socket may hold unread, if the kernel grants as much.
const RECEIVE_BUFFER: usize = 8 << 20;
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
    /// The client ports of the run's TCP connections.
    pub ports: Arc<ClientPorts>,
}

impl Context {
    pub(super) fn next(&self, stream: u16, direction: Direction, sequence: u64, size: u16) -> Identity {
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

    pub(super) fn arrived(&self, probe: &Identity) {
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
pub(super) async fn read_record(read: &mut (impl AsyncReadExt + Unpin)) -> Option<Identity> {
    let mut buffer = [0; BUFFER];
    read.read_exact(&mut buffer[..IDENTITY_LEN]).await.ok()?;
    let probe = Identity::parse(&buffer[..IDENTITY_LEN])?;
    let padding = usize::from(probe.size).checked_sub(IDENTITY_LEN)?;
    read.read_exact(buffer.get_mut(..padding)?).await.ok()?;
    Some(probe)
}

pub(super) fn into_udp(socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
    // As much as the kernel grants (net.core.rmem_max): it is what a reader that is held up has to live on.
    socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

pub(super) fn socket_error(
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
