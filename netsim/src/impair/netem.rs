//! The kernel's own impairments, tc-netem(8), where it has them: a netem queue for each line, on the interface that
//! its packets leave by.
//!
//! Owns the queues. Each such interface has a `prio` queue of 16 bands; packets with the mark of a line go to its
//! band by a `fw` filter, all others to the first one, unimpaired. Which packets get a mark is not decided here.
//! Invariant: a band that was made stays, so that packets on their way keep the delays that they were given.
//!
//! # Limits
//! What netem means otherwise than [`super::schedule`], it is not asked for: flipped bits (netem flips them in
//! Ethernet and IP headers, too), duplicates (newer kernels refuse them below another queue), MTUs and jitter above
//! two seconds. Segments that a sender left to the network card stay together, so that they are lost together.
//! With a rate, the packets that may wait are counted, not timed: as many of full size as pass in 100 ms and the
//! delay; reordered packets do not wait for it. Before kernel 6.7 netem's chances have no seed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use netlink_bindings::tc::{
    self, TcNetemGemodel, TcNetemQopt, TcNetemRate, TcNetemReorder, TcPrioQopt, Tcmsg,
};
use netlink_bindings::traits::{NetlinkRequest, Protocol};
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};

use super::Line;
use super::impairment::{Impairment, Loss, Percent};
use super::seed_of;
use crate::netns::{Netns, NetnsError};

/// Handle of the `prio` queue of an interface, and its bands: the first one is for everything else.
const ROOT: u32 = 1 << 16;
const BANDS: std::ops::RangeInclusive<u32> = 2..=16;
/// TC_H_ROOT of linux/pkt_sched.h.
const TC_H_ROOT: u32 = u32::MAX;
/// Packets that may wait where there is no rate, as in the queue of the userspace hop.
const WAITING_MAX: u32 = 1 << 17;
/// How long packets may wait for a rate, and octets of one of full size.
const BUFFER: Duration = Duration::from_millis(100);
const FULL_SIZE: u128 = 1_514;
/// netem keeps jitter in 31 bits of nanoseconds.
const JITTER_MAX: Duration = Duration::from_secs(2);
/// Octets of struct nlmsghdr.
const HEADER_LEN: usize = 16;

/// Why netem did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum NetemError {
    /// The namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The kernel refused a queue, a filter or a socket.
    #[error(
        "impair packets by netem in netns `{netns}` (needs CONFIG_NET_SCH_NETEM, NET_SCH_PRIO and NET_CLS_FW)"
    )]
    Refused {
        /// The namespace.
        netns: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// Whether netem means the same by an impairment as the userspace hop.
#[must_use]
pub fn has_words_for(impairment: &Impairment) -> bool {
    impairment.mtu.is_none()
        && impairment.corrupt == Percent::ZERO
        && impairment.duplicate == Percent::ZERO
        && impairment.jitter <= JITTER_MAX
        && impairment.loss != Loss::All
}

/// Whether the kernel of a namespace has netem, and lets the caller use it; tried on its loopback interface.
///
/// # Errors
/// When the namespace cannot be entered.
pub fn is_available(netns: &Netns) -> Result<bool, NetnsError> {
    netns.run(|| {
        let tried = || -> io::Result<()> {
            let mut socket = TcSocket::open()?;
            let index = nix::net::if_::if_nametoindex("lo")?;
            let message = message(index, ROOT, TC_H_ROOT);
            let mut request = tc::Request::new()
                .set_create()
                .set_excl()
                .op_newqdisc_do(&message);
            drop(request.encode().nested_options_netem(&TcNetemQopt::new()));
            socket.ask(&request)?;
            socket.ask(&tc::Request::new().op_delqdisc_do(&message))
        };
        tried().is_ok()
    })
}

/// The netem queues of one host.
#[derive(Debug)]
pub(super) struct Netem {
    netns: Netns,
    seed: u64,
    /// Where the lines leave, and their bands there.
    bands: BTreeMap<Line, (String, u32)>,
    /// Interfaces that have their `prio` queue.
    roots: BTreeSet<String>,
}

impl Netem {
    pub(super) fn new(netns: &Netns, seed: u64) -> Self {
        Self {
            netns: netns.clone(),
            seed,
            bands: BTreeMap::new(),
            roots: BTreeSet::new(),
        }
    }

    /// Makes queues for those of these lines that it can; returns the marks of their packets. A line that it cannot
    /// impair has no mark: netem has not the words, the interface has no band left, or no route leads to the line.
    pub(super) fn set(
        &mut self,
        lines: &BTreeMap<Line, Impairment>,
    ) -> Result<BTreeMap<Line, u32>, NetemError> {
        self.bands.retain(|line, _| lines.contains_key(line));
        let netns = self.netns.clone();
        let done = netns.run(|| {
            let mut socket = TcSocket::open()?;
            let routes = routes()?;
            let mut marks = BTreeMap::new();
            for (line, impairment) in lines.iter().filter(|(_, impairment)| has_words_for(impairment)) {
                let Some((interface, band)) = self.band(line, &routes) else {
                    continue;
                };
                let index = nix::net::if_::if_nametoindex(interface.as_str())?;
                if self.roots.insert(interface.clone())
                    && let Err(error) = add_bands(&mut socket, index)
                {
                    self.roots.remove(&interface);
                    return Err(error);
                }
                let seed = seed_of(self.seed, line);
                set_netem(&mut socket, index, band, impairment, seed)?;
                self.bands.insert(line.clone(), (interface, band));
                marks.insert(line.clone(), band);
            }
            Ok(marks)
        })?;
        done.map_err(|source| NetemError::Refused {
            netns: self.netns.name().to_owned(),
            source,
        })
    }

    /// The band of a line, or a free one where it leaves.
    fn band(&self, line: &Line, routes: &[Route]) -> Option<(String, u32)> {
        if let Some(band) = self.bands.get(line) {
            return Some(band.clone());
        }
        // The list of routes is of IPv4; lines of IPv6 are left to the hop.
        let IpAddr::V4(to) = line.to else { return None };
        let leads_there = |route: &&Route| u32::from(to) & route.mask == route.destination;
        let route = routes.iter().filter(leads_there).max_by_key(|route| route.mask)?;
        let is_free = |band: &u32| {
            let mut taken = self.bands.values();
            !taken.any(|(interface, taken)| interface == &route.interface && taken == band)
        };
        Some((route.interface.clone(), BANDS.into_iter().find(is_free)?))
    }
}

/// Gives an interface its bands, and the filters that lead to them.
fn add_bands(socket: &mut TcSocket, index: u32) -> io::Result<()> {
    let mut request = tc::Request::new()
        .set_change()
        .op_newqdisc_do(&message(index, ROOT, TC_H_ROOT));
    let mut options = TcPrioQopt::new();
    options.bands = *BANDS.end();
    // Whatever a packet's priority is, it goes to the first band.
    options.priomap = [0; 16];
    drop(request.encode().nested_options_prio(&options));
    socket.ask(&request)?;
    for band in BANDS {
        // The handle of a `fw` filter is the mark that it is for.
        let mut filter = message(index, band, ROOT);
        // Priority 1, and ETH_P_ALL in network byte order.
        filter.info = 1 << 16 | u32::from(3_u16.to_be());
        let mut request = tc::Request::new().set_create().op_newtfilter_do(&filter);
        drop(request.encode().nested_options_fw().push_classid(ROOT | band));
        socket.ask(&request)?;
    }
    Ok(())
}

/// Makes the netem queue of a band, or changes it; packets in it stay.
fn set_netem(
    socket: &mut TcSocket,
    index: u32,
    band: u32,
    impairment: &Impairment,
    seed: u64,
) -> io::Result<()> {
    let mut request =
        tc::Request::new()
            .set_change()
            .op_newqdisc_do(&message(index, band << 20, ROOT | band));
    let mut options = TcNetemQopt::new();
    options.limit = limit(impairment);
    // Every packet may skip the delay, not only one of so many.
    options.gap = u32::from(impairment.reorder > Percent::ZERO);
    if let Loss::Random(share) = impairment.loss {
        options.loss = probability(share);
    }
    let mut rate = TcNetemRate::new();
    rate.rate = impairment
        .rate
        .map_or(0, |rate| u32::try_from(rate.get() / 8).unwrap_or(u32::MAX));
    let mut reorder = TcNetemReorder::new();
    reorder.probability = probability(impairment.reorder);
    // What is left out keeps its old value, but for the model of losses.
    let attributes = request
        .encode()
        .nested_options_netem(&options)
        .push_latency64(nanos(impairment.delay))
        .push_jitter64(nanos(impairment.jitter))
        .push_rate(rate)
        .push_reorder(reorder)
        .push_prng_seed(seed);
    if let Loss::Burst { enter, leave } = impairment.loss {
        let mut model = TcNetemGemodel::new();
        (model.p, model.r) = (probability(enter), probability(leave));
        drop(attributes.nested_loss().push_ge(model));
    } else {
        drop(attributes);
    }
    socket.ask(&request)
}

/// How many packets may wait.
fn limit(impairment: &Impairment) -> u32 {
    let Some(rate) = impairment.rate else {
        return WAITING_MAX;
    };
    let longest = impairment.delay + impairment.jitter + BUFFER;
    let octets = u128::from(rate.get()) * longest.as_nanos() / 8_000_000_000;
    u32::try_from(octets / FULL_SIZE + 1).unwrap_or(u32::MAX)
}

fn probability(share: Percent) -> u32 {
    let all = u64::from(Percent::ALL.millionths());
    let scaled = u64::from(share.millionths()) * u64::from(u32::MAX) / all;
    u32::try_from(scaled).expect("a share is at most all")
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).expect("an impairment is seconds at most")
}

fn message(index: u32, handle: u32, parent: u32) -> Tcmsg {
    let mut message = Tcmsg::new();
    message.ifindex = index.cast_signed();
    message.handle = handle;
    message.parent = parent;
    message
}

/// A route of the main table.
struct Route {
    interface: String,
    destination: u32,
    mask: u32,
}

/// The routes of the calling thread's namespace.
fn routes() -> io::Result<Vec<Route>> {
    let text = std::fs::read_to_string("/proc/thread-self/net/route")?;
    Ok(text.lines().skip(1).filter_map(parse_route).collect())
}

/// A line of /proc/net/route (proc(5)): addresses are hexadecimal, as they are in memory.
fn parse_route(line: &str) -> Option<Route> {
    let mut columns = line.split_whitespace();
    let interface = columns.next()?.to_owned();
    let mut address = |skip: usize| {
        let number = u32::from_str_radix(columns.nth(skip)?, 16).ok()?;
        Some(u32::from(Ipv4Addr::from(number.to_ne_bytes())))
    };
    let (destination, mask) = (address(0)?, address(5)?);
    Some(Route {
        interface,
        destination,
        mask,
    })
}

/// A route netlink socket that waits for the answer to each request.
struct TcSocket {
    socket: netlink_sys::Socket,
    sequence: u32,
}

impl TcSocket {
    fn open() -> io::Result<Self> {
        let socket = netlink_sys::Socket::new(NETLINK_ROUTE)?;
        socket.set_cap_ack(true)?;
        Ok(Self { socket, sequence: 0 })
    }

    fn ask(&mut self, request: &impl NetlinkRequest) -> io::Result<()> {
        let Protocol::Raw { request_type, .. } = request.protocol() else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        self.sequence += 1;
        let payload = request.payload();
        let len = u32::try_from(HEADER_LEN + payload.len()).map_err(io::Error::other)?;
        let asks = u16::try_from(libc::NLM_F_REQUEST | libc::NLM_F_ACK).expect("flags are 16 bits");
        let mut message = len.to_ne_bytes().to_vec();
        message.extend(request_type.to_ne_bytes());
        message.extend((request.flags() | asks).to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend([0; 4]);
        message.extend(payload);
        send(self.socket.as_raw_fd(), &message, MsgFlags::empty())?;
        // The kernel answers before `send` returns: struct nlmsgerr begins with the error.
        let mut answer = [0; 4096];
        let read = recv(self.socket.as_raw_fd(), &mut answer, MsgFlags::MSG_DONTWAIT)?;
        let code = answer
            .get(HEADER_LEN..HEADER_LEN + 4)
            .filter(|_| read >= HEADER_LEN + 4);
        let code = code.and_then(|code| code.try_into().ok()).map(i32::from_ne_bytes);
        match code {
            Some(0) => Ok(()),
            Some(code) => Err(Errno::from_raw(-code).into()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    #[test]
    fn routes_are_read_as_the_kernel_writes_them() {
        let line = "edge1\t02004064\t00000000\t0001\t0\t0\t0\tFEFFFFFF\t0\t0\t0";
        let route = parse_route(line).unwrap();
        assert_eq!(route.interface, "edge1");
        if cfg!(target_endian = "little") {
            assert_eq!(Ipv4Addr::from(route.destination), Ipv4Addr::new(100, 64, 0, 2));
            assert_eq!(Ipv4Addr::from(route.mask), Ipv4Addr::new(255, 255, 255, 254));
        }
        assert!(parse_route("Iface\tDestination").is_none());
    }

    #[test]
    fn every_line_of_an_interface_has_a_band_of_its_own_until_none_is_left() {
        let routes = [Route {
            interface: "edge1".to_owned(),
            destination: u32::from(Ipv4Addr::new(10, 0, 0, 0)),
            mask: !0xff,
        }];
        let netns = Netns::current().unwrap();
        let mut netem = Netem::new(&netns, 7);
        let line = |from: u32| Line {
            to: [10, 0, 0, 1].into(),
            from: Some(format!("edge{from}")),
        };
        for from in 0..15 {
            let (interface, band) = netem.band(&line(from), &routes).unwrap();
            assert_eq!((interface.as_str(), band), ("edge1", from + 2));
            netem.bands.insert(line(from), (interface, band));
        }
        assert_eq!(netem.band(&line(15), &routes), None);
        assert_eq!(netem.band(&line(3), &routes), Some(("edge1".to_owned(), 5)));
        let stranger = Line {
            to: [10, 1, 0, 1].into(),
            from: None,
        };
        assert_eq!(netem.band(&stranger, &routes), None);
    }

    #[test]
    fn values_are_scaled_to_what_netem_counts_in() {
        assert_eq!(probability(Percent::ALL), u32::MAX);
        assert_eq!(probability(Percent::ZERO), 0);
        let mut slow = Impairment {
            rate: NonZeroU64::new(16_000),
            ..Impairment::default()
        };
        assert_eq!(limit(&slow), 1);
        slow.rate = NonZeroU64::new(1_000_000_000);
        // 12.5 MB in 100 ms.
        assert_eq!(limit(&slow), 8_257);
    }

    #[test]
    fn what_netem_means_otherwise_is_left_to_the_hop() {
        let plain = Impairment {
            delay: Duration::from_millis(1),
            ..Impairment::default()
        };
        assert!(has_words_for(&plain));
        let share = Percent::from_millionths(1).unwrap();
        for other in [
            Impairment {
                mtu: Some(1_400),
                ..plain
            },
            Impairment {
                corrupt: share,
                ..plain
            },
            Impairment {
                duplicate: share,
                ..plain
            },
            Impairment::black_hole(),
        ] {
            assert!(!has_words_for(&other), "{other:?}");
        }
    }
}
