//! nftables by netlink: a table replaced, or the elements of its sets changed, in one transaction.
//!
//! Owns the nf_tables messages (linux/netfilter/nf_tables.h) for the few expressions that steering needs. It
//! does not know what a rule is for. Invariant: a change happens as a whole or not at all.

mod channel;
pub mod diff;
mod expression;

use std::ffi::{CStr, CString};
use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use netlink_bindings::nftables::{self, Chained, Nfgenmsg, PushSetelemListAttrs, SetElemFlags, SetFlags};
use netlink_bindings::traits::Pusher;
use netlink_socket2::{NetlinkSocket, ReplyError};

use crate::netns::{Netns, NetnsError};
use channel::{Channel, Refusal};
use diff::{Change, SetChange};

/// Subsystem id that a batch names, NFNL_SUBSYS_NFTABLES.
const SUBSYSTEM: u16 = 10;
/// Elements in one message: an attribute has at most 65,535 bytes, an element of a range two keys of 24.
const ELEMENTS_PER_MESSAGE: usize = 2000;
/// NF_INET_PRE_ROUTING.
const HOOK_PREROUTING: u32 = 0;
/// IFNAMSIZ: interface names are compared with their padding.
const INTERFACE_NAME_LEN: usize = 16;

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

    /// Replaces the table of that name and family, or makes it, in one transaction.
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
                encode(batch, table);
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
                encode_rules_alone(batch, table);
            }
        })
    }

    /// Makes each table of `new` out of the one at the same position of `old`, which is in the kernel, all in one
    /// transaction; where only elements of sets differ, only these are sent.
    ///
    /// # Errors
    /// [`NftError`]; `old` is then still there.
    pub fn update_tables(&mut self, old: &[Table], new: &[Table]) -> Result<(), NftError> {
        let changes: Vec<(&Table, Change)> = old
            .iter()
            .zip(new)
            .map(|(old, new)| (new, diff::diff(old, new)))
            .filter(|(_, change)| *change != Change::Nothing)
            .collect();
        let Some((first, _)) = changes.first() else {
            return Ok(());
        };
        self.transact(first.name, |batch| {
            for (table, change) in &changes {
                match change {
                    Change::Nothing => {}
                    Change::Elements(changes) => encode_changes(batch, (table.family, table.name), changes),
                    Change::Replace => encode(batch, table),
                }
            }
        })
    }

    /// Takes elements out of sets of a table and puts others in, in one transaction.
    ///
    /// # Errors
    /// [`NftError`]; nothing has then changed.
    pub fn change_elements(
        &mut self,
        table: (Family, &'static str),
        changes: &[SetChange],
    ) -> Result<(), NftError> {
        self.transact(table.1, |batch| encode_changes(batch, table, changes))
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

fn encode(batch: &mut Chained<'_>, table: &Table) {
    let family = table.family;
    let name = c_string(table.name);
    // Deleting a table that is not there would fail the batch, so it is made first.
    batch
        .request()
        .set_create()
        .op_newtable_do(&header(family))
        .encode()
        .push_name(&name);
    batch
        .request()
        .op_deltable_do(&header(family))
        .encode()
        .push_name(&name);
    batch
        .request()
        .set_create()
        .op_newtable_do(&header(family))
        .encode()
        .push_name(&name);
    for (id, set) in (1..).zip(&table.sets) {
        encode_set(batch, (family, &name), id, set);
    }
    for chain in &table.chains {
        encode_chain(batch, (family, &name), chain);
    }
    encode_rules(batch, &name, table);
}

fn encode_rules_alone(batch: &mut Chained<'_>, table: &Table) {
    let family = table.family;
    let name = c_string(table.name);
    batch
        .request()
        .set_create()
        .op_newtable_do(&header(family))
        .encode()
        .push_name(&name);
    for chain in &table.chains {
        encode_chain(batch, (family, &name), chain);
        // Without the handle of a rule this deletes all that the chain has.
        batch
            .request()
            .op_delrule_do(&header(family))
            .encode()
            .push_table(&name)
            .push_chain(&c_string(&chain.name));
    }
    encode_rules(batch, &name, table);
}

fn encode_rules(batch: &mut Chained<'_>, name: &CStr, table: &Table) {
    let family = table.family;
    for chain in &table.chains {
        for rule in &chain.rules {
            let mut request = batch
                .request()
                .set_create()
                .set_append()
                .op_newrule_do(&header(family));
            let mut list = request
                .encode()
                .push_table(name)
                .push_chain(&c_string(&chain.name))
                .nested_expressions();
            for expression in rule {
                list = expression::encode(list, expression, family);
            }
        }
    }
}

fn encode_chain(batch: &mut Chained<'_>, (family, table): (Family, &CStr), chain: &Chain) {
    let mut request = batch.request().set_create().op_newchain_do(&header(family));
    let attributes = request
        .encode()
        .push_table(table)
        .push_name(&c_string(&chain.name));
    if let Some(priority) = chain.prerouting {
        attributes
            .nested_hook()
            .push_num(HOOK_PREROUTING)
            .push_priority(priority)
            .end_nested()
            .push_type(c"filter");
    }
}

fn encode_set(batch: &mut Chained<'_>, (family, table): (Family, &CStr), id: u32, set: &Set) {
    let name = c_string(&set.name);
    let interval = set.elements.has_ranges();
    let (key_type, key_len) = set.elements.key(family);
    let flags = if interval { SetFlags::Interval as u32 } else { 0 };
    let mut request = batch.request().set_create().op_newset_do(&header(family));
    let attributes = request
        .encode()
        .push_table(table)
        .push_name(&name)
        .push_flags(flags)
        .push_key_type(key_type)
        .push_key_len(key_len)
        .push_id(id);
    match set.elements {
        Elements::Interfaces(_) => drop(attributes.push_userdata(&host_byte_order())),
        _ => drop(attributes),
    }
    drop(request);
    let target = ElementsOf {
        family,
        table,
        set: &name,
        id: Some(id),
    };
    encode_elements(batch, &target, set.elements.keys(family, interval), Verb::Add);
}

/// What libnftnl notes on a set of keys in host byte order, which the nft tool else shows as empty names: the type
/// NFTNL_UDATA_SET_KEYBYTEORDER, the length and BYTEORDER_HOST_ENDIAN.
fn host_byte_order() -> [u8; 6] {
    let [a, b, c, d] = 1_u32.to_ne_bytes();
    [0, 4, a, b, c, d]
}

fn encode_changes(batch: &mut Chained<'_>, (family, table): (Family, &str), changes: &[SetChange]) {
    let table = c_string(table);
    for change in changes {
        let target = ElementsOf {
            family,
            table: &table,
            set: &c_string(&change.set),
            id: None,
        };
        let ranges = change.holds_ranges;
        encode_elements(batch, &target, change.remove.keys(family, ranges), Verb::Remove);
        encode_elements(batch, &target, change.add.keys(family, ranges), Verb::Add);
    }
}

/// A set whose elements change.
struct ElementsOf<'a> {
    family: Family,
    table: &'a CStr,
    set: &'a CStr,
    /// The number that the transaction gives a set it makes itself.
    id: Option<u32>,
}

#[derive(Clone, Copy)]
enum Verb {
    Add,
    Remove,
}

fn encode_elements(
    batch: &mut Chained<'_>,
    target: &ElementsOf<'_>,
    keys: impl Iterator<Item = Key>,
    verb: Verb,
) {
    let family = target.family;
    let mut keys = keys.peekable();
    while keys.peek().is_some() {
        let chunk = keys.by_ref().take(ELEMENTS_PER_MESSAGE);
        match verb {
            Verb::Add => {
                let mut request = batch.request().set_create().op_newsetelem_do(&header(family));
                push_elements(request.encode(), target, chunk);
            }
            Verb::Remove => {
                let mut request = batch.request().op_delsetelem_do(&header(family));
                push_elements(request.encode(), target, chunk);
            }
        }
    }
}

fn push_elements<P: Pusher>(
    attributes: PushSetelemListAttrs<P>,
    target: &ElementsOf<'_>,
    keys: impl Iterator<Item = Key>,
) {
    let mut attributes = attributes.push_table(target.table).push_set(target.set);
    if let Some(id) = target.id {
        attributes = attributes.push_set_id(id);
    }
    let mut list = attributes.nested_elements();
    for key in keys {
        let mut element = list.nested_elem();
        if key.ends_interval {
            element = element.push_flags(&(SetElemFlags::IntervalEnd as u32).to_be_bytes());
        }
        list = element
            .nested_key()
            .push_value(&key.bytes[..key.len])
            .end_nested()
            .end_nested();
    }
}

/// A key as the kernel takes it, in network byte order.
struct Key {
    bytes: [u8; INTERFACE_NAME_LEN],
    len: usize,
    ends_interval: bool,
}

impl Key {
    fn new(value: &[u8]) -> Self {
        let mut bytes = [0; INTERFACE_NAME_LEN];
        bytes[..value.len()].copy_from_slice(value);
        Self {
            bytes,
            len: value.len(),
            ends_interval: false,
        }
    }

    fn interface(name: &str) -> Self {
        Self {
            len: INTERFACE_NAME_LEN,
            ..Self::new(name.as_bytes())
        }
    }
}

impl Elements {
    fn has_ranges(&self) -> bool {
        fn any<T: Eq>(ranges: &[RangeInclusive<T>]) -> bool {
            ranges.iter().any(|range| range.start() != range.end())
        }
        match self {
            Self::Addresses(ranges) => any(ranges),
            Self::Addresses6(ranges) => any(ranges),
            Self::Ports(ranges) => any(ranges),
            Self::Interfaces(_) | Self::Dscp(_) => false,
        }
    }

    /// The type of a key, by the number that the nft tool prints keys by, and its length.
    fn key(&self, family: Family) -> (u32, u32) {
        match self {
            Self::Addresses(_) => (7, 4),
            Self::Addresses6(_) => (8, 16),
            Self::Ports(_) => (13, 2),
            Self::Interfaces(_) => (41, 16),
            Self::Dscp(_) => match family {
                Family::Ipv4 => (33, 1),
                Family::Ipv6 => (33, 2),
            },
        }
    }

    /// The elements as the kernel takes them: an interval is its first key and, flagged, the key after its last.
    fn keys(&self, family: Family, interval: bool) -> Box<dyn Iterator<Item = Key> + '_> {
        match self {
            Self::Addresses(ranges) => range_keys(
                ranges,
                interval,
                |address| Key::new(&address.to_be_bytes()),
                |end| end.checked_add(1),
            ),
            Self::Addresses6(ranges) => range_keys(
                ranges,
                interval,
                |address| Key::new(&address.to_be_bytes()),
                |end| end.checked_add(1),
            ),
            Self::Ports(ranges) => range_keys(
                ranges,
                interval,
                |port| Key::new(&port.to_be_bytes()),
                |end| end.checked_add(1),
            ),
            Self::Interfaces(names) => Box::new(names.iter().map(|name| Key::interface(name))),
            Self::Dscp(codes) => Box::new(codes.iter().map(move |code| expression::dscp_key(*code, family))),
        }
    }
}

fn range_keys<T: Copy>(
    ranges: &[RangeInclusive<T>],
    interval: bool,
    key: impl Fn(T) -> Key + Copy + 'static,
    after: impl Fn(T) -> Option<T> + 'static,
) -> Box<dyn Iterator<Item = Key> + '_> {
    Box::new(ranges.iter().flat_map(move |range| {
        let after = after(*range.end()).filter(|_| interval);
        let end = after.map(|after| Key {
            ends_interval: true,
            ..key(after)
        });
        std::iter::once(key(*range.start())).chain(end)
    }))
}
