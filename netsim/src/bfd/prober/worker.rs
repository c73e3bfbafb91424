//! The thread of a prober.
//!
//! Owns what is sent, returned and judged when. Invariants: nothing is judged before everything that arrived has been
//! read; while somebody wants it paused, no hello is sent and no session judged.

use std::collections::HashMap;
use std::io::IoSliceMut;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg};
use tokio::sync::{oneshot, watch};

use super::{Changes, Request, SessionId, Told, lock};
use crate::bfd::packet::PACKET_LEN;
use crate::bfd::{ECHO_PORT, Packet, PacketKind, Session, State, Timing, Totals, Transition};
use crate::sla::TunnelKey;

/// A pause does not wait longer for the echoes of the last hellos: they may all be lost.
const QUIET_DEADLINE: Duration = Duration::from_millis(500);

/// What the thread has.
pub(super) struct Worker {
    pub(super) timing: Timing,
    pub(super) sockets: Vec<UdpSocket>,
    pub(super) sessions: Arc<Mutex<Vec<(SessionId, Session)>>>,
    /// Positions of sessions, each by its socket and the peer's address.
    pub(super) by_peer: HashMap<(usize, Ipv4Addr), usize>,
    /// Where the hellos of each session go: its socket and the peer's address.
    pub(super) peers: Vec<(usize, Ipv4Addr)>,
    pub(super) inbox: mpsc::Receiver<Request>,
    pub(super) woken: OwnedFd,
    pub(super) changes: Changes,
    pub(super) pending: watch::Sender<usize>,
    /// Time between polls; none when there is no edge.
    pub(super) polling: Option<Duration>,
    /// How many want hellos to stop.
    pub(super) pauses: u32,
    /// Who still waits for quiet, and until when.
    pub(super) pausing: Vec<(oneshot::Sender<()>, Instant)>,
}

impl Worker {
    pub(super) fn run(mut self) {
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

fn realtime_ns() -> u64 {
    nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
