//! The thread that lets packets of impaired lines go when their time has come.
//!
//! Owns the thread, from outside; [`work`] is what it does. Packets stay in the kernel; the thread holds their numbers. Invariants: packets leave in the
//! order of their times; those that leave together go with one verdict where none between them stays; what the
//! kernel could not hand over is counted as an overrun.

mod line;
mod packets;
mod work;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use super::impairment::Impairment;
use super::queue::QueueSocket;
use crate::fabric::nft::{NftError, Socket, Table};
use crate::netns::{Netns, NetnsError};
use packets::Copies;
use work::Work;

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
        let opened = netns.run(|| Ok::<_, io::Error>((QueueSocket::open()?, Copies::open()?)))?;
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
        let work = Work::new(nft, socket, copies, Arc::clone(&overruns));
        let thread = std::thread::Builder::new().name("impair".into());
        let started = thread.spawn(move || work::run(work, &inbox, &woken));
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
