//! Lines made worse on purpose: delay, jitter, loss, rate, reordering, duplicates, flipped bits, black holes.
//!
//! [`impairment`] holds the words, and an [`Impairer`] does it to the packets that cross a host, by one of two
//! [`Backend`]s with the same words and the same distributions. The userspace hop: nftables hands the packets of the
//! impaired lines to a queue in the kernel, [`schedule`] decides about each (pure, seeded), and one thread gives
//! them verdicts at their times. [`netem`]: nftables marks them, and the kernel does the rest. Invariant: a line
//! that nothing is wrong with has no rule, and no queue of the hop.
//!
//! # Limits
//! In the hop, delays begin when the thread sees a packet, some 20 us after it came. Where nothing but delay is asked for,
//! segments that a sender left to the network card stay together (as with netem); everywhere else they are
//! taken apart. A second copy of a packet takes a delay of its own, and is not impaired otherwise.

mod hop;
pub mod impairment;
pub mod netem;
mod queue;
pub mod schedule;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

pub use hop::HopError;
pub use impairment::{Impairment, ImpairmentError, Loss, Percent};
use netem::{Netem, NetemError};

use crate::fabric::nft::{Chain, Expression, Family, Field, Table, Value};
use crate::netns::{Netns, NetnsError};
use hop::{Hop, QueuedLine};
use schedule::SplitMix;

/// Where the packets of impaired lines are taken, as netfilter's mangle table.
const PRIORITY: i32 = -150;

/// Which packets that cross a host are on a line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// Those that go to this address,
    pub to: IpAddr,
    /// and, if there is one, come in by this interface. A line with it goes before one without.
    pub from: Option<String>,
}

/// Who impairs the packets of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backend {
    /// The userspace hop, which has all the words; the same seed loses the same packets.
    Userspace,
    /// The kernel's netem; what it has no words for is still left to the hop.
    Netem,
}

impl Backend {
    /// The one that the kernel of a namespace is best served by: netem where it has that and lets the caller use it.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn of(netns: &Netns) -> Result<Self, NetnsError> {
        Ok(if netem::is_available(netns)? {
            Self::Netem
        } else {
            Self::Userspace
        })
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Userspace => "userspace",
            Self::Netem => "netem",
        })
    }
}

/// Why a line could not be impaired or healed.
#[derive(Debug, thiserror::Error)]
pub enum ImpairError {
    /// The values make no sense.
    #[error(transparent)]
    Impairment(#[from] ImpairmentError),
    /// The queues or the rules that feed them were refused.
    #[error(transparent)]
    Hop(#[from] HopError),
    /// The namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// netem was refused.
    #[error(transparent)]
    Netem(#[from] NetemError),
}

/// The impaired lines of one host.
#[derive(Debug)]
pub struct Impairer {
    netns: Netns,
    seed: u64,
    /// `None` until it has been found out what the kernel has.
    backend: Option<Backend>,
    netem: Netem,
    /// The packets that netem has, by their marks.
    marks: BTreeMap<Line, u32>,
    hop: Option<Hop>,
    /// Queues in use. A number is not used again soon: packets may still wait in its queue.
    queues: BTreeMap<Line, u16>,
    next_queue: u16,
}

impl Impairer {
    /// For a host with this namespace; nothing is impaired yet. It will be by netem where the kernel has that.
    #[must_use]
    pub fn new(netns: &Netns, seed: u64) -> Self {
        Self::with_backend(netns, seed, None)
    }

    /// The same, by this backend where one is given.
    #[must_use]
    pub fn with_backend(netns: &Netns, seed: u64, backend: Option<Backend>) -> Self {
        Self {
            netns: netns.clone(),
            seed,
            backend,
            netem: Netem::new(netns, seed),
            marks: BTreeMap::new(),
            hop: None,
            queues: BTreeMap::new(),
            next_queue: 0,
        }
    }

    /// Makes these lines impaired, and no others. Packets on their way keep the delays that they were given.
    ///
    /// # Errors
    /// [`ImpairError`]; the lines are then as they were, or have their new impairments in part.
    pub fn set(&mut self, lines: &BTreeMap<Line, Impairment>) -> Result<(), ImpairError> {
        for impairment in lines.values() {
            impairment.validate()?;
        }
        if lines.is_empty() && self.hop.is_none() {
            return Ok(());
        }
        let marks = match self.backend()? {
            Backend::Netem => self.netem.set(lines)?,
            Backend::Userspace => BTreeMap::new(),
        };
        let mut queues = BTreeMap::new();
        let mut queued = Vec::new();
        for (line, impairment) in lines
            .iter()
            .filter(|(line, impairment)| impairment.loss != Loss::All && !marks.contains_key(line))
        {
            let queue = self.queues.get(line).copied().unwrap_or_else(|| {
                let queue = self.next_queue;
                self.next_queue = queue.wrapping_add(1);
                queue
            });
            queues.insert(line.clone(), queue);
            queued.push(QueuedLine {
                queue,
                impairment: *impairment,
                seed: seed_of(self.seed, line),
            });
        }
        let tables = tables(lines, &queues, &marks);
        match &self.hop {
            Some(hop) => hop.set(queued, tables)?,
            None => {
                let hop = Hop::start(&self.netns)?;
                hop.set(queued, tables)?;
                self.hop = Some(hop);
            }
        }
        self.queues = queues;
        self.marks = marks;
        Ok(())
    }

    /// Who impairs packets now; nobody does where the lines are black holes or whole.
    #[must_use]
    pub fn in_use(&self) -> BTreeSet<Backend> {
        let hop = (!self.queues.is_empty()).then_some(Backend::Userspace);
        let netem = (!self.marks.is_empty()).then_some(Backend::Netem);
        hop.into_iter().chain(netem).collect()
    }

    fn backend(&mut self) -> Result<Backend, NetnsError> {
        if let Some(backend) = self.backend {
            return Ok(backend);
        }
        let backend = Backend::of(&self.netns)?;
        self.backend = Some(backend);
        Ok(backend)
    }

    /// How often the kernel dropped packets of a line because they came faster than they could be looked at;
    /// then there was more loss than asked for.
    #[must_use]
    pub fn overruns(&self) -> u64 {
        self.hop.as_ref().map_or(0, Hop::overruns)
    }
}

fn tables(
    lines: &BTreeMap<Line, Impairment>,
    queues: &BTreeMap<Line, u16>,
    marks: &BTreeMap<Line, u32>,
) -> Vec<Table> {
    let families = [Family::Ipv4, Family::Ipv6].into_iter();
    families
        .map(|family| table(family, lines, queues, marks))
        .collect()
}

fn table(
    family: Family,
    lines: &BTreeMap<Line, Impairment>,
    queues: &BTreeMap<Line, u16>,
    marks: &BTreeMap<Line, u32>,
) -> Table {
    let mut rules: Vec<(bool, Vec<Expression>)> = Vec::new();
    for line in lines
        .keys()
        .filter(|line| line.to.is_ipv4() == (family == Family::Ipv4))
    {
        let mut rule = vec![Expression::Is(Field::DestinationAddress, Value::Address(line.to))];
        if let Some(from) = &line.from {
            rule.push(Expression::Is(
                Field::InputInterface,
                Value::Interface(from.clone()),
            ));
        }
        match (queues.get(line), marks.get(line)) {
            (Some(queue), _) => rule.push(Expression::Queue(*queue)),
            (None, Some(mark)) => rule.extend([
                Expression::SetMark {
                    mask: u32::MAX,
                    value: *mark,
                },
                Expression::Accept,
            ]),
            (None, None) => rule.push(Expression::Drop),
        }
        rules.push((line.from.is_none(), rule));
    }
    // Lines with an interface go before those without.
    rules.sort_by_key(|(is_wide, _)| *is_wide);
    let chain = Chain {
        name: "lines".to_owned(),
        prerouting: Some(PRIORITY),
        rules: rules.into_iter().map(|(_, rule)| rule).collect(),
    };
    Table {
        family,
        name: "impair",
        sets: Vec::new(),
        chains: vec![chain],
    }
}

/// The seed of a line: the same for the same line, whatever other lines there are.
fn seed_of(seed: u64, line: &Line) -> u64 {
    let interface = line.from.iter().flat_map(|name| name.bytes());
    let address = match line.to {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let octets = address.into_iter().chain(interface);
    octets.fold(seed, |seed, octet| SplitMix(seed ^ u64::from(octet)).next())
}
