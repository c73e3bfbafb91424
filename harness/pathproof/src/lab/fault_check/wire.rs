//! The probes of a check: numbered datagrams from one end of a path to the other.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use netsim::impair::{Impairment, Percent};
use netsim::netns::{Netns, counters};

use super::Path;
use super::judge::{self, Felt, Size};

/// No probe came for so long: none will, even if the machine stood still for half of it.
pub(super) const QUIET: Duration = Duration::from_millis(300);
/// Most probes under way at once, so that no socket overflows, however long the machine stands still.
const WINDOW: u32 = 60;
/// Probes of each size where there is an MTU to be felt.
pub(super) const SIZED: u32 = 10;
/// Octets of the smallest probes: the headers of IPv6 and UDP, and a number.
pub(super) const SMALLEST: u32 = 40 + 8 + 4;
/// Numbers of the first packets of their kinds, so that late ones are not mistaken for others.
const TRAIN_FIRST: u32 = 1 << 30;
const LONG_FIRST: u32 = 1 << 29;
const FITTING_FIRST: u32 = 1 << 28;
pub(super) const FLAP_FIRST: u32 = 1 << 27;

/// Sockets at both ends of a path.
pub(super) struct Wire {
    sender: UdpSocket,
    pub(super) receiver: UdpSocket,
    receiver_netns: Netns,
    to: SocketAddr,
    /// Octets of the headers of IP and UDP.
    headers: u32,
}

impl Wire {
    /// Opens the sockets of a path.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let open = |(netns, address): &(Netns, IpAddr)| {
            let bound = netns.run(|| UdpSocket::bind((*address, 0)));
            bound.map_err(io::Error::other)?
        };
        let (sender, receiver) = (open(&path.from)?, open(&path.to)?);
        receiver.set_read_timeout(Some(QUIET / 20))?;
        Ok(Self {
            to: receiver.local_addr()?,
            sender,
            receiver,
            receiver_netns: path.to.0.clone(),
            headers: if path.to.1.is_ipv4() { 20 + 8 } else { 40 + 8 },
        })
    }

    /// Sends all that an impairment, and one before it, take to be felt.
    pub(super) fn feel(&self, asked: &Impairment, before: Option<&Impairment>) -> Felt {
        let spoiled = self.checksum_errors();
        let (floor, quiet) = (asked.delay - asked.jitter, QUIET + asked.delay + asked.jitter);
        let mut felt = self.probes(judge::probe_count(asked), floor, asked.delay);
        felt.train = judge::train(asked.rate).map(|(count, octets)| self.train(count, octets, quiet));
        let mtu = asked.mtu.or(before.and_then(|before| before.mtu));
        felt.sized = mtu.map(|mtu| self.sized(u32::from(mtu), quiet + judge::slowest(asked)));
        if asked.corrupt > Percent::ZERO {
            felt.spoiled = self.checksum_errors().saturating_sub(spoiled);
        }
        felt
    }

    /// Sends probes a window at a time. Behind each window go markers until one arrives: then the window has, too.
    fn probes(&self, count: u32, floor: Duration, delay: Duration) -> Felt {
        let mut felt = Felt::default();
        let mut sent: Vec<(Instant, bool)> = Vec::new();
        let receive = |sent: &mut Vec<(Instant, bool)>, felt: &mut Felt| {
            let number = self.receive()?;
            if let Some((at, arrived)) = usize::try_from(number)
                .ok()
                .and_then(|number| sent.get_mut(number))
            {
                let took = at.elapsed();
                felt.again += u32::from(*arrived);
                if !*arrived {
                    felt.arrived += 1;
                    felt.early += u32::from(took < floor);
                    felt.late += u32::from(took >= delay);
                    felt.least = Some(felt.least.map_or(took, |least| least.min(took)));
                }
                *arrived = true;
            }
            Some(number)
        };
        while felt.sent < count {
            for _ in 0..WINDOW.min(count - felt.sent) {
                sent.push((Instant::now(), false));
                self.send(felt.sent, SMALLEST);
                felt.sent += 1;
            }
            let marker = u32::MAX - felt.sent;
            let last = Instant::now();
            self.send(marker, SMALLEST);
            while felt.arrived < felt.sent && last.elapsed() < delay + QUIET {
                match receive(&mut sent, &mut felt) {
                    Some(number) if number == marker => break,
                    Some(_) => {}
                    None => self.send(marker, SMALLEST),
                }
            }
            if felt.arrived == 0 {
                // Nothing gets through: one window tells as much as many.
                break;
            }
        }
        // What overtook may have ended the last window too early, and second copies come late.
        let last = Instant::now();
        let longest = delay.saturating_mul(2) + QUIET / 20;
        while last.elapsed() < longest && receive(&mut sent, &mut felt).is_some() {}
        felt
    }

    fn train(&self, count: u32, octets: u32, quiet: Duration) -> (u32, Duration) {
        let started = Instant::now();
        for number in 0..count {
            self.send(TRAIN_FIRST + number, octets);
        }
        let (mut arrived, mut took, mut last) = (0, Duration::ZERO, Instant::now());
        while arrived < count && last.elapsed() < quiet {
            match self.receive() {
                Some(number) if (TRAIN_FIRST..TRAIN_FIRST + count).contains(&number) => {
                    (arrived, took, last) = (arrived + 1, started.elapsed(), Instant::now());
                }
                _ => {}
            }
        }
        (arrived, took)
    }

    /// Sends packets that an MTU passes and packets that are one octet longer.
    fn sized(&self, mtu: u32, quiet: Duration) -> Size {
        for number in 0..SIZED {
            self.send(LONG_FIRST + number, mtu + 1);
            self.send(FITTING_FIRST + number, mtu);
        }
        let (mut size, mut last) = (Size::default(), Instant::now());
        while size.long + size.fitting < 2 * SIZED && last.elapsed() < quiet {
            let Some(number) = self.receive() else { continue };
            size.long += u32::from((LONG_FIRST..LONG_FIRST + SIZED).contains(&number));
            size.fitting += u32::from((FITTING_FIRST..FITTING_FIRST + SIZED).contains(&number));
            last = Instant::now();
            if size.fitting == SIZED && size.long == 0 {
                // The last one that fits was sent last: no longer one is still to come.
                break;
            }
        }
        size
    }

    /// A packet that cannot be sent, such as over a link that is down, is a lost one.
    pub(super) fn send(&self, number: u32, octets: u32) {
        let mut payload = [0; 1_500];
        payload[..4].copy_from_slice(&number.to_be_bytes());
        let len = usize::try_from(octets - self.headers)
            .unwrap_or(0)
            .min(payload.len());
        self.sender.send_to(&payload[..len], self.to).ok();
    }

    /// The number of the next packet, if one comes in time.
    pub(super) fn receive(&self) -> Option<u32> {
        let mut payload = [0; 1_500];
        self.receiver.recv(&mut payload).ok()?;
        Some(u32::from_be_bytes([
            payload[0], payload[1], payload[2], payload[3],
        ]))
    }

    /// Datagrams that the receiver's namespace has dropped for a wrong checksum so far; 0 where it does not say.
    fn checksum_errors(&self) -> u64 {
        let counted = counters::udp(&self.receiver_netns, self.to.ip(), "InCsumErrors");
        counted.ok().flatten().unwrap_or(0)
    }
}
