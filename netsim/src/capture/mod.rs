//! Every packet at chosen interfaces, with the kernel's timestamps and drop counts.
//!
//! Owns the packet sockets and the one thread that reads them all. It does not know what a packet means: frames
//! go to a [`Sink`]. Invariants: a tap is armed only when a sentinel frame sent through its interface came back
//! out of its ring; what a tap did not see is in its count of dropped frames.

mod checksum;
pub mod decode;
#[allow(unsafe_code)]
mod inject;
#[allow(unsafe_code)]
mod port;
#[allow(unsafe_code)]
mod ring;
mod size;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub use inject::Injector;
pub(crate) use port::{open_port, probe_ring};
pub use ring::SocketCount;
pub use size::{RingSize, RingSizeError};

use crate::fabric::{Host, HostError, Mac};
use crate::netns::NetnsError;
use ring::{Ring, Sender};

/// EtherType of sentinels: IEEE Std 802 local experimental 1, which no host answers.
pub const SENTINEL_ETHERTYPE: u16 = 0x88b5;
/// The shortest frame that Ethernet carries, without its checksum.
const ETHERNET_MIN: usize = 60;
/// How long the rings may take to show a sentinel.
const DEADLINE: Duration = Duration::from_secs(2);

/// Whether a packet came in or went out at the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Received.
    In,
    /// Sent.
    Out,
}

/// One captured frame.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The kernel's timestamp, CLOCK_REALTIME in nanoseconds.
    pub at_ns: u64,
    /// Relative to the interface.
    pub way: Way,
    /// Its length on the wire.
    pub wire_len: u32,
    /// Its bytes from the link-layer header on; all of them, as no snapshot length is set.
    pub data: &'a [u8],
}

/// Where frames go, on the capture thread.
pub trait Sink: Send + 'static {
    /// Takes one frame of the tap at that position.
    fn frame(&mut self, tap: usize, frame: Frame<'_>);
}

/// An interface to watch.
#[derive(Debug)]
pub struct Tap<'a> {
    /// Its host.
    pub host: &'a Host,
    /// Its name.
    pub interface: &'a str,
    /// A neighbour there, which sentinels are addressed to.
    pub neighbour: Mac,
}

/// What one tap saw since it was armed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TapCount {
    /// Frames handed to the sink, sentinels not counted.
    pub captured: u64,
    /// Sentinel frames seen.
    pub sentinels: u64,
    /// Frames that the kernel dropped because the ring was full.
    pub dropped: u64,
}

/// Why a capture could not start or end properly.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The host has no such interface.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The host's namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// A packet socket could not be opened or used.
    #[error("capture on `{interface}` of `{host}`")]
    Socket {
        /// The host.
        host: String,
        /// The interface.
        interface: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The capture thread could not be started, or ended by itself.
    #[error("run the capture thread")]
    Thread(#[source] io::Error),
}

enum Request {
    Counts(mpsc::Sender<Vec<TapCount>>),
    Finish,
}

/// A running capture.
pub struct Capture<S: Sink> {
    sentinels: Vec<Sentinel>,
    requests: mpsc::Sender<Request>,
    wake: OwnedFd,
    thread: JoinHandle<(S, Vec<TapCount>, Vec<Ring>)>,
}

impl<S: Sink> Capture<S> {
    /// Opens a ring on every tap and starts reading.
    ///
    /// # Errors
    /// [`CaptureError`].
    pub fn start(taps: &[Tap<'_>], size: RingSize, sink: S) -> Result<Self, CaptureError> {
        // Setting a ring up waits for an RCU grace period, some 20 ms; side by side they share it.
        let opened = at_once(taps, |tap| open(tap, size)).map_err(CaptureError::Thread)?;
        let opened = opened.into_iter().collect::<Result<Vec<_>, _>>()?;
        let (rings, sentinels): (Vec<Ring>, Vec<Sentinel>) = opened.into_iter().unzip();
        let (wake, woken) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC | nix::fcntl::OFlag::O_NONBLOCK)
            .map(|(read, write)| (write, read))
            .map_err(|errno| CaptureError::Thread(errno.into()))?;
        let (requests, inbox) = mpsc::channel();
        let counts = vec![TapCount::default(); rings.len()];
        let reader = Reader {
            rings,
            counts,
            sink,
            inbox,
            woken,
        };
        let thread = std::thread::Builder::new()
            .name("capture".into())
            .spawn(move || reader.run());
        Ok(Self {
            sentinels,
            requests,
            wake,
            thread: thread.map_err(CaptureError::Thread)?,
        })
    }

    /// Sends a sentinel through every tap and waits until each ring showed one; `true` where it did.
    ///
    /// A ring hands frames over in order, so everything that passed a tap before the call is with the sink when
    /// its sentinel is seen. Called before traffic this arms the taps; after traffic it empties the rings.
    ///
    /// # Errors
    /// [`CaptureError`] when a sentinel cannot be sent.
    pub fn sweep(&self) -> Result<Vec<bool>, CaptureError> {
        let before = self.counts()?;
        for sentinel in &self.sentinels {
            sentinel.send()?;
        }
        let deadline = Instant::now() + DEADLINE;
        loop {
            let counts = self.counts()?;
            let pairs = before.iter().zip(&counts);
            let seen: Vec<bool> = pairs
                .map(|(before, now)| now.sentinels > before.sentinels)
                .collect();
            if seen.iter().all(|seen| *seen) || Instant::now() > deadline {
                return Ok(seen);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// What each tap saw so far.
    ///
    /// # Errors
    /// [`CaptureError::Thread`] when the capture thread is gone.
    pub fn counts(&self) -> Result<Vec<TapCount>, CaptureError> {
        let (reply, counts) = mpsc::channel();
        self.request(Request::Counts(reply))?;
        counts
            .recv_timeout(DEADLINE)
            .map_err(|error| CaptureError::Thread(io::Error::other(error)))
    }

    /// Ends the thread and returns the sink and the final counts; [`Capture::sweep`] first, to have every frame.
    ///
    /// # Errors
    /// [`CaptureError::Thread`] when the capture thread panicked.
    pub fn finish(self) -> Result<(S, Vec<TapCount>), CaptureError> {
        self.request(Request::Finish)?;
        let joined = self.thread.join();
        let (sink, counts, rings) =
            joined.map_err(|_| CaptureError::Thread(io::Error::other("the capture thread panicked")))?;
        // Closing a ring waits as setting it up does.
        at_once(rings.into_iter().zip(self.sentinels), drop).map_err(CaptureError::Thread)?;
        Ok((sink, counts))
    }

    fn request(&self, request: Request) -> Result<(), CaptureError> {
        self.requests
            .send(request)
            .map_err(|_| CaptureError::Thread(io::Error::other("it has ended")))?;
        // A full pipe wakes the thread as well as one more byte would.
        nix::unistd::write(&self.wake, &[0]).ok();
        Ok(())
    }
}

fn open(tap: &Tap<'_>, size: RingSize) -> Result<(Ring, Sentinel), CaptureError> {
    let interface = tap.host.interface(tap.interface)?;
    let opened = tap.host.netns().run(|| {
        let ring = Ring::open(interface.index, size)?;
        Ok::<_, io::Error>((ring, Sender::open(interface.index)?))
    })?;
    let (ring, sender) = opened.map_err(|source| CaptureError::Socket {
        host: tap.host.name().to_owned(),
        interface: tap.interface.to_owned(),
        source,
    })?;
    Ok((ring, Sentinel::new(tap, interface.mac, sender)))
}

/// The way to send a tap's sentinel. Its socket stays open: closing one waits for an RCU grace period.
struct Sentinel {
    sender: Sender,
    frame: Vec<u8>,
    host: String,
    interface: String,
}

impl Sentinel {
    fn new(tap: &Tap<'_>, source: Mac, sender: Sender) -> Self {
        let mut frame = Vec::with_capacity(ETHERNET_MIN);
        frame.extend(tap.neighbour.0);
        frame.extend(source.0);
        frame.extend(SENTINEL_ETHERTYPE.to_be_bytes());
        frame.resize(ETHERNET_MIN, 0);
        Self {
            sender,
            frame,
            host: tap.host.name().to_owned(),
            interface: tap.interface.to_owned(),
        }
    }

    fn send(&self) -> Result<(), CaptureError> {
        self.sender
            .send(&self.frame)
            .map_err(|source| CaptureError::Socket {
                host: self.host.clone(),
                interface: self.interface.clone(),
                source,
            })
    }
}

/// Does `work` with every item, each on a thread of its own; the results are in the order of the items.
fn at_once<I: Send, T: Send>(
    items: impl IntoIterator<Item = I>,
    work: impl Fn(I) -> T + Sync,
) -> io::Result<Vec<T>> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = items
            .into_iter()
            .map(|item| std::thread::Builder::new().spawn_scoped(scope, || work(item)))
            .collect::<io::Result<_>>()?;
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .map_err(|_| io::Error::other("a thread of the capture panicked"))
            })
            .collect()
    })
}

struct Reader<S> {
    rings: Vec<Ring>,
    counts: Vec<TapCount>,
    sink: S,
    inbox: mpsc::Receiver<Request>,
    woken: OwnedFd,
}

impl<S: Sink> Reader<S> {
    fn run(mut self) -> (S, Vec<TapCount>, Vec<Ring>) {
        loop {
            self.wait();
            self.drain();
            let mut finish = false;
            while let Ok(request) = self.inbox.try_recv() {
                match request {
                    Request::Counts(reply) => {
                        self.read_drops();
                        // The asker may have given up; that is its affair.
                        reply.send(self.counts.clone()).ok();
                    }
                    Request::Finish => finish = true,
                }
            }
            if finish {
                self.read_drops();
                return (self.sink, self.counts, self.rings);
            }
        }
    }

    /// Waits for a finished block or a request.
    fn wait(&self) {
        let mut fds: Vec<PollFd<'_>> = self
            .rings
            .iter()
            .map(|ring| PollFd::new(ring.as_fd(), PollFlags::POLLIN))
            .collect();
        fds.push(PollFd::new(self.woken.as_fd(), PollFlags::POLLIN));
        // An interrupted wait is as good as an empty one.
        poll(&mut fds, PollTimeout::NONE).ok();
        let mut wakes = [0; 64];
        while nix::unistd::read(&self.woken, &mut wakes).is_ok_and(|read| read > 0) {}
    }

    fn drain(&mut self) {
        for (tap, (ring, count)) in self.rings.iter_mut().zip(&mut self.counts).enumerate() {
            ring.drain(|frame| {
                if decode::is_sentinel(frame.data) {
                    count.sentinels += 1;
                } else {
                    count.captured += 1;
                    self.sink.frame(tap, frame);
                }
            });
        }
    }

    fn read_drops(&mut self) {
        for (ring, count) in self.rings.iter_mut().zip(&mut self.counts) {
            // A socket that cannot be asked any more lost what it lost: that must not read as zero.
            count.dropped = ring.count().map_or(u64::MAX, |socket| socket.dropped);
        }
    }
}
