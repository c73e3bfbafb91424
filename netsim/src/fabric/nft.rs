//! nftables by netlink: a table replaced, or the elements of its sets changed, in one transaction.
//!
//! Owns the nf_tables messages (linux/netfilter/nf_tables.h) for the few expressions that steering needs. It
//! does not know what a rule is for. Invariant: a change happens as a whole or not at all.

mod channel;
pub mod diff;
mod encode;
mod expression;

use std::ffi::CString;
use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use netlink_bindings::nftables::{self, Chained, Nfgenmsg};
use netlink_socket2::{NetlinkSocket, ReplyError};

use crate::netns::{Netns, NetnsError};
use channel::{Channel, Refusal};
use diff::{Change, SetChange, Update};

/// Subsystem id that a batch names, NFNL_SUBSYS_NFTABLES.
const SUBSYSTEM: u16 = 10;

/// An address family of nftables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `ip`.
    Ipv4,
    /// `ip6`.
    Ipv6,
}

/// A table and all that is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Which packets it sees; tables of two families may have one name.
    pub family: Family,
    /// Its name.
    pub name: &'static str,
    /// Named sets.
    pub sets: Vec<Set>,
    /// Chains; those jumped to stand before those that jump.
    pub chains: Vec<Chain>,
}

/// A named set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub elements: Elements,
}

/// The elements of a set: sorted ranges that do not touch each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Elements {
    /// IPv4 addresses, as numbers.
    Addresses(Vec<RangeInclusive<u32>>),
    /// IPv6 addresses, as numbers.
    Addresses6(Vec<RangeInclusive<u128>>),
    /// Ports.
    Ports(Vec<RangeInclusive<u16>>),
    /// Names of interfaces.
    Interfaces(Vec<String>),
    /// Differentiated services code points.
    Dscp(Vec<u8>),
}

/// A chain of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// `Some(priority)`: called for each packet that arrives, before routing; `None`: only jumped to.
    pub prerouting: Option<i32>,
    /// Its rules.
    pub rules: Vec<Vec<Expression>>,
}

/// What a rule matches or does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// The field is in the set.
    In(Field, String),
    /// The field has this value.
    Is(Field, Value),
    /// The packet's mark has one of these bits.
    Marked(u32),
    /// The whole IP packet has more octets than this.
    LongerThan(u16),
    /// True for one of every so many packets that come to it: the one at three quarters.
    OneIn(u32),
    /// Counts packets and bytes.
    Count,
    /// Sets the bits of the packet's mark that `mask` names to those of `value`, which has no others.
    SetMark {
        /// The bits.
        mask: u32,
        /// Their values.
        value: u32,
    },
    /// Writes this differentiated services code point into the packet; what else is in that octet stays.
    SetDscp(u8),
    /// Sends a copy of the packet to a neighbour on a link.
    Duplicate {
        /// The neighbour, of the table's family.
        to: IpAddr,
        /// The index of the link's interface.
        interface: u32,
    },
    /// Goes back to where the chain was jumped to from.
    Return,
    /// Ends the table.
    Accept,
    /// Discards the packet.
    Drop,
    /// Hands the packet to the program that listens at this queue; without one it is discarded.
    Queue(u16),
    /// Goes on in another chain.
    Jump(String),
    /// As [`Self::Jump`], but does not come back.
    Goto(String),
}

/// A field of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Source address, of the table's family.
    SourceAddress,
    /// Destination address.
    DestinationAddress,
    /// Source port of UDP, TCP or SCTP.
    SourcePort,
    /// Destination port.
    DestinationPort,
    /// IP protocol number.
    Protocol,
    /// The interface that it came in by.
    InputInterface,
    /// Differentiated services code point (RFC 2474).
    Dscp,
}

/// A value to compare a field with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// For the address fields.
    Address(IpAddr),
    /// For the port fields.
    Port(u16),
    /// For [`Field::Protocol`].
    Protocol(u8),
    /// For [`Field::InputInterface`].
    Interface(String),
}

/// Why nftables did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// The namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The socket failed.
    #[error("talk to nftables")]
    Io(#[from] io::Error),
    /// The transaction is larger than the send buffer that an ordinary user may have.
    #[error(
        "change nftables table `{table}`: {bytes} bytes in one transaction; \
         raise the limit with `sysctl -w net.core.wmem_max={bytes}` or run as root"
    )]
    TooLarge {
        /// The table.
        table: &'static str,
        /// The transaction's size.
        bytes: usize,
    },
    /// The kernel refused the transaction; nothing of it was applied.
    #[error("change nftables table `{table}`: {reply}")]
    Refused {
        /// The table.
        table: &'static str,
        /// The kernel's answer.
        reply: String,
    },
    /// The kernel did not say what the rules have counted.
    #[error("read the counters of nftables table `{table}`: {reply}")]
    Counters {
        /// The table.
        table: &'static str,
        /// The kernel's answer.
        reply: String,
    },
}

/// The netfilter netlink of one namespace.
pub struct Socket {
    /// Carries transactions.
    channel: Channel,
    /// Reads rules.
    dumps: NetlinkSocket,
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("nft::Socket")
    }
}

impl Socket {
    /// Opens sockets that stay bound to `netns`.
    ///
    /// # Errors
    /// [`NftError`], also when the kernel has no nftables.
    pub fn open(netns: &Netns) -> Result<Self, NftError> {
        netns.run(|| {
            let channel = Channel::open()?;
            // The crate opens its socket at the first request, so that has to happen in here.
            let mut dumps = NetlinkSocket::new();
            generation(&mut dumps).map_err(|reply| io::Error::other(reply.to_string()))?;
            Ok(Self { channel, dumps })
        })?
    }

    /// Replaces the table of that name and family, or makes it, in one transaction. A packet on its way may meet
    /// neither table, or both: the hooks of one are not those of the other.
    ///
    /// # Errors
    /// [`NftError`]; the old table is then still there.
    pub fn replace_table(&mut self, table: &Table) -> Result<(), NftError> {
        self.replace_tables(std::slice::from_ref(table))
    }

    /// As [`Self::replace_table`] for several tables, all in one transaction.
    ///
    /// # Errors
    /// [`NftError`]; the old tables are then still there.
    pub fn replace_tables(&mut self, tables: &[Table]) -> Result<(), NftError> {
        let Some(first) = tables.first() else {
            return Ok(());
        };
        self.transact(first.name, |batch| {
            for table in tables {
                encode::table(batch, table);
            }
        })
    }

    /// Replaces the rules of tables' chains, or makes the tables, in one transaction; the chains themselves
    /// stay. The tables have no sets.
    ///
    /// When a chain goes, the kernel drops all packets that wait in queues of the namespace.
    ///
    /// # Errors
    /// [`NftError`]; the old rules are then still there.
    pub fn replace_rules(&mut self, tables: &[Table]) -> Result<(), NftError> {
        let Some(first) = tables.first() else {
            return Ok(());
        };
        self.transact(first.name, |batch| {
            for table in tables {
                encode::rules_alone(batch, table);
            }
        })
    }

    /// Makes tables out of those in the kernel, all in one transaction; where only elements of one set differ, only
    /// these are sent. Each packet meets the old tables or the new ones, provided that none is on its way that met the
    /// tables before the old ones: the kernel keeps two versions of a chain's rules.
    ///
    /// # Errors
    /// [`NftError`]; the old tables are then still there.
    pub fn update(&mut self, update: &Update<'_>) -> Result<(), NftError> {
        let Some((first, ..)) = update.tables.first() else {
            return Ok(());
        };
        self.transact(first.name, |batch| {
            for (old, new, change) in &update.tables {
                match change {
                    Change::Nothing => {}
                    Change::Elements(change) => encode::change(batch, (new.family, new.name), change),
                    Change::Replace => encode::table_of(batch, old, new),
                }
            }
        })
    }

    /// Takes elements out of a set of a table and puts others in, in one transaction.
    ///
    /// # Errors
    /// [`NftError`]; nothing has then changed.
    pub fn change_elements(
        &mut self,
        table: (Family, &'static str),
        change: &SetChange,
    ) -> Result<(), NftError> {
        self.transact(table.1, |batch| encode::change(batch, table, change))
    }

    fn transact(
        &mut self,
        table: &'static str,
        fill: impl FnOnce(&mut Chained<'static>),
    ) -> Result<(), NftError> {
        let mut batch = Chained::new(self.channel.next_sequence());
        batch.request().op_batch_begin_do(&batch_header());
        fill(&mut batch);
        batch.request().op_batch_end_do(&batch_header());
        let batch = batch.finalize();
        let bytes = batch.buf().len();
        self.channel.commit(batch).map_err(|refusal| match refusal {
            Refusal::TooLarge => NftError::TooLarge { table, bytes },
            Refusal::Io(error) => NftError::Io(error),
            Refusal::Kernel(reply) => NftError::Refused { table, reply },
        })
    }
}

/// What the counter of a rule has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RuleCount {
    /// Packets.
    pub packets: u64,
    /// Octets, from the IP header on.
    pub octets: u64,
}

impl RuleCount {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            octets: self.octets + other.octets,
        }
    }
}

impl Socket {
    /// What the rules of a chain have counted, in their order; rules that do not count are left out.
    ///
    /// # Errors
    /// [`NftError`]; a chain that is not there has no rules.
    pub fn counts(
        &mut self,
        (family, table): (Family, &'static str),
        chain: &str,
    ) -> Result<Vec<RuleCount>, NftError> {
        let refused = |reply: &dyn std::fmt::Display| NftError::Counters {
            table,
            reply: reply.to_string(),
        };
        let mut request = nftables::Request::new().op_getrule_dump(&header(family));
        let (name, chain) = (c_string(table), c_string(chain));
        request.encode().push_table(&name).push_chain(&chain);
        let mut replies = self.dumps.request(&request)?;
        let mut counts = Vec::new();
        while let Some(rule) = replies.recv() {
            let (_, rule) = rule.map_err(|reply| refused(&reply))?;
            // Older kernels dump the rules of all chains whatever is asked for.
            let asked_for = rule.get_table().is_ok_and(|found| found == name.as_c_str())
                && rule.get_chain().is_ok_and(|found| found == chain.as_c_str());
            if asked_for {
                let expressions = rule.get_expressions().map_err(|error| refused(&error))?;
                let counters = expressions
                    .get_elem()
                    .filter_map(|element| match element.get_data() {
                        Ok(nftables::ExprOps::Counter(counter)) => Some(counter),
                        _ => None,
                    });
                for counter in counters {
                    counts.push(RuleCount {
                        packets: counter.get_packets().map_err(|error| refused(&error))?,
                        octets: counter.get_bytes().map_err(|error| refused(&error))?,
                    });
                }
            }
        }
        Ok(counts)
    }
}

fn generation(socket: &mut NetlinkSocket) -> Result<u32, ReplyError> {
    let request = nftables::Request::new().op_getgen_do(&Nfgenmsg::new());
    let mut reply = socket.request(&request)?;
    let (_, attributes) = reply.recv_one()?;
    Ok(attributes.get_id()?)
}

fn batch_header() -> Nfgenmsg {
    let mut header = Nfgenmsg::new();
    header.set_res_id(SUBSYSTEM);
    header
}

fn header(family: Family) -> Nfgenmsg {
    // NFPROTO_IPV4 and NFPROTO_IPV6 have the values of AF_INET and AF_INET6.
    let number = match family {
        Family::Ipv4 => libc::AF_INET,
        Family::Ipv6 => libc::AF_INET6,
    };
    Nfgenmsg {
        nfgen_family: u8::try_from(number).expect("address families are below 256"),
        ..Default::default()
    }
}

fn c_string(name: &str) -> CString {
    CString::new(name).expect("names made here hold no NUL")
}
