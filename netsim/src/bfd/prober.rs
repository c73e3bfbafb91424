//! The sessions of a lab, in operation.
//!
//! Owns one socket for each tunnel of each edge (`sockets`), one thread that sends hellos, returns those of others and
//! judges (`worker`), and a task for each edge that tells it what came of it. It is one thread on purpose: when the
//! machine stalls, it stalls for asker and answerer alike, and no session is judged before everything that arrived has
//! been read. Invariants: while the prober is paused no hello is sent and no session judged; an edge is told of every
//! change of a session, and of the totals of its sessions at the end of each poll interval.

mod sockets;
mod worker;

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Instant;

use tokio::sync::{mpsc as tasks, oneshot, watch};

use super::{Session, Timing, Totals, Transition};
use crate::fabric::{Edge, HostError};
use crate::netns::NetnsError;
use crate::policy::SlaClass;
use crate::sla::{SlaChange, TunnelKey};
use worker::Worker;

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
        let (mut sockets, mut sessions) = (Vec::new(), Vec::new());
        let (mut peers, mut by_peer) = (Vec::new(), HashMap::new());
        for (position, edge) in edges.iter().enumerate() {
            for (probed, socket) in sockets::open(edge)? {
                for (id, address) in probed.sessions(position) {
                    let peer = (sockets.len(), address);
                    by_peer.insert(peer, sessions.len());
                    peers.push(peer);
                    sessions.push((id, Session::new(timing, now)));
                }
                sockets.push(socket);
            }
        }
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

fn lock<T>(sessions: &Mutex<T>) -> MutexGuard<'_, T> {
    // A session is whole after every step.
    sessions.lock().unwrap_or_else(PoisonError::into_inner)
}
