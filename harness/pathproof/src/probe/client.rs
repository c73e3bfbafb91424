//! Senders of probes.
//!
//! Owns the clients' sockets, which live in pods' namespaces, and the pace. A client sends a probe every interval, over
//! the connection that it was given last. Invariants: a probe is in the ledger before its packet is on the wire; a
//! connection takes replies until the client is dropped, also when another has taken its place; no two TCP connections
//! of a run have the same client port, so that they are told apart by addresses and ports even where clusters share
//! addresses.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use netsim::netns::Netns;
use scenario::model::Protocol;
use scenario::plan::StreamPlan;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval};
use verdict::evidence::Direction;

use super::agent::{AgentError, BUFFER, Context, into_udp, read_record, socket_error};
use super::identity::Identity;

/// How long a connection may take to be established.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);

/// Ports that belong to one TCP connection each, whichever pod it is from.
#[derive(Debug, Default)]
pub struct ClientPorts(Mutex<BTreeSet<u16>>);

impl ClientPorts {
    /// A socket in the caller's network namespace, bound to a port that no other connection of the run has had.
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

/// A connected socket from a pod to a backend.
#[derive(Debug)]
pub struct Connection {
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

impl Connection {
    /// Connects a pod to a backend, for packets of this DSCP.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn open(
        pod: &Netns,
        protocol: Protocol,
        remote: SocketAddr,
        ports: &ClientPorts,
        dscp: u8,
    ) -> Result<Self, AgentError> {
        let failed = |source| socket_error("connect to", protocol, remote, pod, source);
        let (wire, local) = match protocol {
            Protocol::Udp => {
                let opened = pod.run(|| {
                    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
                    mark(&socket, dscp)?;
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
                    let socket = ports.bind()?;
                    mark(&socket, dscp)?;
                    Ok(socket)
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
        Ok(Self { wire, local, remote })
    }

    /// What sends over it, while `receivers` take replies.
    fn split(self, receivers: &mut JoinSet<()>, context: &Context) -> Sender {
        let context = context.clone();
        match self.wire {
            Wire::Udp(socket) => {
                let socket = Arc::new(socket);
                receivers.spawn(receive_udp(Arc::clone(&socket), context));
                Sender::Udp(socket)
            }
            Wire::Tcp(socket) => {
                let (mut read, write) = socket.into_split();
                receivers.spawn(async move { receive_tcp(&mut read, &context).await });
                Sender::Tcp(write)
            }
        }
    }
}

#[derive(Debug)]
enum Sender {
    Udp(Arc<UdpSocket>),
    Tcp(OwnedWriteHalf),
}

impl Sender {
    /// Sends a probe. A refused or unroutable one is lost: it is in the ledger and never arrives.
    async fn send(&mut self, record: &[u8]) {
        match self {
            Self::Udp(socket) => drop(socket.send(record).await),
            Self::Tcp(write) => drop(write.write_all(record).await),
        }
    }
}

/// Gives a socket of IPv4 its DSCP, the upper six bits of what ip(7) calls `IP_TOS`.
fn mark<'s>(socket: impl Into<socket2::SockRef<'s>>, dscp: u8) -> io::Result<()> {
    socket.into().set_tos_v4(u32::from(dscp) << 2)
}

/// A client, connected and ready to send.
#[derive(Debug)]
pub struct Client {
    /// Position of its stream in the plan.
    pub stream: u16,
    /// Its stream.
    pub plan: StreamPlan,
    /// Of its run.
    pub context: Context,
    /// What it sends over at first.
    pub connection: Connection,
    /// What it sends over from then on.
    pub next: UnboundedReceiver<Connection>,
}

impl Client {
    /// Sends until told to stop, and takes replies until dropped.
    pub async fn run(mut self) {
        let mut probes = Probes::new(self.stream, &self.plan, self.context.clone());
        // Dropping the set, when the agent is ended, ends the receivers, too.
        let mut receivers = JoinSet::new();
        let mut sender = self.connection.split(&mut receivers, &self.context);
        // Connections that were left stay open: a FIN is no probe.
        let mut left = Vec::new();
        loop {
            tokio::select! {
                biased;
                Some(connection) = self.next.recv() => {
                    let next = connection.split(&mut receivers, &self.context);
                    left.push(std::mem::replace(&mut sender, next));
                }
                probe = probes.next() => match probe {
                    Some(record) => sender.send(&record).await,
                    None => break,
                },
            }
        }
        std::future::pending().await
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

async fn receive_udp(socket: Arc<UdpSocket>, context: Context) {
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

#[cfg(test)]
mod tests {
    use scenario::model::{PodRef, ServiceRef};
    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::probe::ledger::Ledger;

    const DEADLINE: Duration = Duration::from_secs(10);

    fn stream() -> StreamPlan {
        let (kube_namespace, name) = ("default".to_owned(), "any".to_owned());
        StreamPlan {
            flow: "any".to_owned(),
            protocol: Protocol::Udp,
            from: PodRef {
                cluster: None,
                kube_namespace: kube_namespace.clone(),
                name: name.clone(),
            },
            to: ServiceRef {
                cluster: None,
                kube_namespace,
                name,
            },
            service_port: 1,
            interval_us: 1000,
            phase_us: 0,
            size_bytes: 64,
            dscp: 0,
        }
    }

    async fn bound() -> UdpSocket {
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
    }

    async fn connection(to: &UdpSocket) -> Connection {
        let (socket, remote) = (bound().await, to.local_addr().unwrap());
        socket.connect(remote).await.unwrap();
        Connection {
            local: socket.local_addr().unwrap(),
            wire: Wire::Udp(socket),
            remote,
        }
    }

    async fn next_at(server: &UdpSocket) -> Identity {
        let mut buffer = [0; BUFFER];
        let received = tokio::time::timeout(DEADLINE, server.recv(&mut buffer)).await;
        Identity::parse(&buffer[..received.unwrap().unwrap()]).unwrap()
    }

    #[tokio::test]
    async fn a_client_goes_on_over_its_next_connection_and_takes_replies_of_the_one_before() {
        let (first, second) = (bound().await, bound().await);
        let (_running, stop) = watch::channel(false);
        let context = Context {
            run: 7,
            ledger: Arc::new(Ledger::default()),
            stop,
            ports: Arc::default(),
        };
        let ledger = Arc::clone(&context.ledger);
        let connection_before = connection(&first).await;
        let client = connection_before.local;
        let (sender, next) = mpsc::unbounded_channel();
        let running = Client {
            stream: 0,
            plan: stream(),
            context,
            connection: connection_before,
            next,
        };
        let running = tokio::spawn(running.run());
        let reply = next_at(&first).await;
        assert_eq!(reply.sequence, 0);
        sender.send(connection(&second).await).unwrap();
        let moved = next_at(&second).await.sequence;
        for sequence in 1..moved {
            assert_eq!(next_at(&first).await.sequence, sequence);
        }
        assert_eq!(next_at(&second).await.sequence, moved + 1);
        first.send_to(&reply.record(), client).await.unwrap();
        let arrived = async {
            while ledger.counts().1 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(DEADLINE, arrived).await.unwrap();
        running.abort();
    }

    #[tokio::test]
    async fn a_port_that_another_connection_has_is_passed_over() {
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
