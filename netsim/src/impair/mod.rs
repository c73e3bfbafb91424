//! Lines made worse on purpose: delay, jitter, loss, rate, reordering, duplicates, flipped bits, black holes.
//!
//! [`impairment`] holds the words, [`schedule`] decides about each packet (pure, seeded), and an [`Impairer`]
//! does it to the packets that cross a host: nftables hands those of the impaired lines to a queue in the kernel,
//! and one thread gives them verdicts at their times. Invariant: a line that nothing is wrong with has neither
//! rule nor queue.
//!
//! # Limits
//! Delays begin when the thread sees a packet, some 20 us after it came. Where nothing but delay is asked for,
//! segments that a sender left to the network card stay together (as with netem); everywhere else they are
//! taken apart. A second copy of a packet takes a delay of its own, and is not impaired otherwise.

mod hop;
pub mod impairment;
mod queue;
pub mod schedule;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

pub use hop::HopError;
pub use impairment::{Impairment, ImpairmentError, Loss, Percent};

use crate::fabric::nft::{Chain, Expression, Family, Field, Table, Value};
use crate::netns::Netns;
use hop::{Hop, QueuedLine};
use schedule::SplitMix;

/// Where the packets of impaired lines are taken, as netfilter's mangle table.
const PRIORITY: i32 = -150;

/// Which packets that cross a host are on a line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// Those that go to this address,
    pub to: Ipv4Addr,
    /// and, if there is one, come in by this interface. A line with it goes before one without.
    pub from: Option<String>,
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
}

/// The impaired lines of one host.
#[derive(Debug)]
pub struct Impairer {
    netns: Netns,
    seed: u64,
    hop: Option<Hop>,
    /// Queues in use. A number is not used again soon: packets may still wait in its queue.
    queues: BTreeMap<Line, u16>,
    next_queue: u16,
}

impl Impairer {
    /// For a host with this namespace; nothing is impaired yet.
    #[must_use]
    pub fn new(netns: &Netns, seed: u64) -> Self {
        Self {
            netns: netns.clone(),
            seed,
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
        let mut queues = BTreeMap::new();
        let mut queued = Vec::new();
        for (line, impairment) in lines
            .iter()
            .filter(|(_, impairment)| impairment.loss != Loss::All)
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
        let table = table(lines, &queues);
        match &self.hop {
            Some(hop) => hop.set(queued, table)?,
            None if lines.is_empty() => {}
            None => {
                let hop = Hop::start(&self.netns)?;
                hop.set(queued, table)?;
                self.hop = Some(hop);
            }
        }
        self.queues = queues;
        Ok(())
    }

    /// How often the kernel dropped packets of a line because they came faster than they could be looked at;
    /// then there was more loss than asked for.
    #[must_use]
    pub fn overruns(&self) -> u64 {
        self.hop.as_ref().map_or(0, Hop::overruns)
    }
}

fn table(lines: &BTreeMap<Line, Impairment>, queues: &BTreeMap<Line, u16>) -> Table {
    let mut rules: Vec<(bool, Vec<Expression>)> = Vec::new();
    for line in lines.keys() {
        let mut rule = vec![Expression::Is(
            Field::DestinationAddress,
            Value::Address(line.to.into()),
        )];
        if let Some(from) = &line.from {
            rule.push(Expression::Is(
                Field::InputInterface,
                Value::Interface(from.clone()),
            ));
        }
        rule.push(
            queues
                .get(line)
                .map_or(Expression::Drop, |queue| Expression::Queue(*queue)),
        );
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
        family: Family::Ipv4,
        name: "impair",
        sets: Vec::new(),
        chains: vec![chain],
    }
}

/// The seed of a line: the same for the same line, whatever other lines there are.
fn seed_of(seed: u64, line: &Line) -> u64 {
    let interface = line.from.iter().flat_map(|name| name.bytes());
    let octets = line.to.octets().into_iter().chain(interface);
    octets.fold(seed, |seed, octet| SplitMix(seed ^ u64::from(octet)).next())
}
