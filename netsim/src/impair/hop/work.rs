//! What the thread does: packets that are due go, news are taken, lines change.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

use super::line::{Action, Arrival, Due, Line, Lost, copy};
use super::packets::Copies;
use super::{QueuedLine, Refusal, Request};
use crate::fabric::nft::{Socket, Table};
use crate::impair::queue::{News, QueueSocket, Verdict};

/// News taken before packets that are due have their turn again.
const NEWS_AT_ONCE: usize = 64;
/// How long a line outlives the rules that feed it, in nanoseconds: a packet on another processor that met them is in
/// the queue microseconds later, unless the machine stands still.
const LINGER_NS: u64 = 200_000_000;
/// How late a packet may become while news are taken: each costs a microsecond or two, so 64 of them would be felt.
const LATE_MAX_NS: u64 = 20_000;
/// Octets of verdicts that are told at once.
const VERDICTS_MAX: usize = 1 << 15;
/// What the thread works with.
pub(super) struct Work {
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

/// Works until nobody can ask any more, or the kernel refuses.
pub(super) fn run(mut work: Work, inbox: &mpsc::Receiver<Request>, woken: &OwnedFd) {
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
    pub(super) fn new(nft: Socket, socket: QueueSocket, copies: Copies, overruns: Arc<AtomicU64>) -> Self {
        Self {
            nft,
            tables: Vec::new(),
            socket,
            copies,
            lines: BTreeMap::new(),
            due: BinaryHeap::new(),
            arrivals: 0,
            overruns,
        }
    }

    /// Lets go what is due, waits for the next moment or news, and takes the news.
    fn turn(&mut self, woken: &OwnedFd) -> io::Result<()> {
        self.release()?;
        self.wait(woken);
        let mut is_drained = false;
        for _ in 0..NEWS_AT_ONCE {
            let Some(news) = self.socket.receive()? else {
                is_drained = true;
                break;
            };
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
        self.socket.flush()?;
        // A packet that nobody has read yet would be dropped with its queue.
        if is_drained {
            self.end_lines()?;
        }
        Ok(())
    }

    /// Waits for the next moment, for news or for a request; not at all when a packet is due.
    fn wait(&self, woken: &OwnedFd) {
        if self.is_due(0) {
            return;
        }
        let packet = self.due.peek().map(|Reverse(due)| due.at_ns);
        let idle = self.lines.values().filter(|line| line.is_empty());
        let moments = packet.into_iter().chain(idle.filter_map(Line::ends_at));
        let timeout = moments.min().map(|at_ns| {
            let left = at_ns.saturating_sub(now_ns());
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
            let lines = self.lines.entry(wanted.queue);
            let line = lines.or_insert_with(|| Line::new(wanted.impairment, wanted.seed));
            line.set(wanted.impairment);
            let copy = copy(&wanted.impairment);
            self.with_news(|socket, news| socket.configure(wanted.queue, is_new, copy, news))?;
        }
        // A queue is there before the first rule that feeds it, and ends after the last.
        self.nft.replace_rules(&tables).map_err(Refusal::Rules)?;
        self.tables = tables;
        for (queue, line) in &mut self.lines {
            if !wanted.iter().any(|wanted| wanted.queue == *queue) {
                line.end(now_ns() + LINGER_NS);
            }
        }
        Ok(())
    }

    fn end_lines(&mut self) -> io::Result<()> {
        let now = now_ns();
        let over: Vec<u16> = self
            .lines
            .iter()
            .filter(|(_, line)| line.is_over(now))
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

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has this clock");
    u64::try_from(Duration::from(now).as_nanos()).expect("an uptime is below 584 years")
}
