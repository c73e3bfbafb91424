//! nftables by netlink: a table replaced, or the elements of its sets changed, in one transaction.
//!
//! Owns the nf_tables messages (linux/netfilter/nf_tables.h) for the few expressions that steering needs. It
//! does not know what a rule is for. Invariant: a change happens as a whole or not at all.

mod channel;
pub mod diff;

use std::ffi::{CStr, CString};
use std::io;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use netlink_bindings::nftables::{
    self, Chained, CmpOps, MetaKeys, Nfgenmsg, PayloadBase, PushExprListAttrs, PushSetelemListAttrs,
    Registers, SetElemFlags, SetFlags, VerdictCode,
};
use netlink_bindings::traits::Pusher;
use netlink_bindings::utils::push_header;
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
/// Source register of a set lookup, linux/netfilter/nf_tables.h.
const NFTA_LOOKUP_SREG: u16 = 2;
/// Revision of the NFQUEUE target whose options are [`nfqueue_info`].
const NFQUEUE_REVISION: u32 = 3;
/// IFNAMSIZ: interface names are compared with their padding.
const INTERFACE_NAME_LEN: usize = 16;

/// A table of the IPv4 family and all that is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Named sets.
    pub sets: Vec<Set>,
    /// Chains; those jumped to stand before those that jump.
    pub chains: Vec<Chain>,
}

/// A named set of addresses or ports.
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
    /// Ports.
    Ports(Vec<RangeInclusive<u16>>),
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
    /// The packet's mark is not 0.
    Marked,
    /// The whole IP packet has more octets than this.
    LongerThan(u16),
    /// True for one of every so many packets that come to it: the one at three quarters.
    OneIn(u32),
    /// Counts packets and bytes.
    Count,
    /// Sets the packet's mark.
    SetMark(u32),
    /// Ends the table.
    Accept,
    /// Discards the packet.
    Drop,
    /// Hands the packet to the program that listens at this queue; without one it is discarded.
    Queue(u16),
    /// Goes on in another chain.
    Jump(String),
}

/// A field of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// IPv4 source address.
    SourceAddress,
    /// IPv4 destination address.
    DestinationAddress,
    /// Source port of UDP, TCP or SCTP.
    SourcePort,
    /// Destination port.
    DestinationPort,
    /// IP protocol number.
    Protocol,
    /// The interface that it came in by.
    InputInterface,
}

/// A value to compare a field with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// For the address fields.
    Address(Ipv4Addr),
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

    /// Replaces the table of that name, or makes it, in one transaction.
    ///
    /// # Errors
    /// [`NftError`]; the old table is then still there.
    pub fn replace_table(&mut self, table: &Table) -> Result<(), NftError> {
        self.transact(table.name, |batch| encode(batch, table))
    }

    /// Replaces the rules of a table's chains, or makes the table, in one transaction; the chains themselves
    /// stay. The table has no sets.
    ///
    /// When a chain goes, the kernel drops all packets that wait in queues of the namespace.
    ///
    /// # Errors
    /// [`NftError`]; the old rules are then still there.
    pub fn replace_rules(&mut self, table: &Table) -> Result<(), NftError> {
        self.transact(table.name, |batch| encode_rules_alone(batch, table))
    }

    /// Makes the table `new` out of `old`, which is in the kernel, in one transaction; where only elements of sets
    /// differ, only these are sent.
    ///
    /// # Errors
    /// [`NftError`]; `old` is then still there.
    pub fn update_table(&mut self, old: &Table, new: &Table) -> Result<(), NftError> {
        match diff::diff(old, new) {
            Change::Nothing => Ok(()),
            Change::Elements(changes) => self.change_elements(new.name, &changes),
            Change::Replace => self.replace_table(new),
        }
    }

    /// Takes elements out of sets of a table and puts others in, in one transaction.
    ///
    /// # Errors
    /// [`NftError`]; nothing has then changed.
    pub fn change_elements(&mut self, table: &'static str, changes: &[SetChange]) -> Result<(), NftError> {
        let name = c_string(table);
        self.transact(table, |batch| {
            for change in changes {
                let target = ElementsOf {
                    table: &name,
                    set: &c_string(&change.set),
                    id: None,
                };
                encode_elements(
                    batch,
                    &target,
                    change.remove.keys(change.holds_ranges),
                    Verb::Remove,
                );
                encode_elements(batch, &target, change.add.keys(change.holds_ranges), Verb::Add);
            }
        })
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

impl Socket {
    /// What the rules of a chain have counted, in their order; rules that do not count are left out.
    ///
    /// # Errors
    /// [`NftError`]; a chain that is not there has no rules.
    pub fn counts(&mut self, table: &'static str, chain: &str) -> Result<Vec<RuleCount>, NftError> {
        let refused = |reply: &dyn std::fmt::Display| NftError::Counters {
            table,
            reply: reply.to_string(),
        };
        let mut request = nftables::Request::new().op_getrule_dump(&family());
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

fn family() -> Nfgenmsg {
    // NFPROTO_IPV4 has the value of AF_INET.
    Nfgenmsg {
        nfgen_family: u8::try_from(libc::AF_INET).expect("AF_INET is 2"),
        ..Default::default()
    }
}

fn c_string(name: &str) -> CString {
    CString::new(name).expect("names made here hold no NUL")
}

fn encode(batch: &mut Chained<'_>, table: &Table) {
    let name = c_string(table.name);
    // Deleting a table that is not there would fail the batch, so it is made first.
    batch
        .request()
        .set_create()
        .op_newtable_do(&family())
        .encode()
        .push_name(&name);
    batch
        .request()
        .op_deltable_do(&family())
        .encode()
        .push_name(&name);
    batch
        .request()
        .set_create()
        .op_newtable_do(&family())
        .encode()
        .push_name(&name);
    for (id, set) in (1..).zip(&table.sets) {
        encode_set(batch, &name, id, set);
    }
    for chain in &table.chains {
        encode_chain(batch, &name, chain);
    }
    encode_rules(batch, &name, table);
}

fn encode_rules_alone(batch: &mut Chained<'_>, table: &Table) {
    let name = c_string(table.name);
    batch
        .request()
        .set_create()
        .op_newtable_do(&family())
        .encode()
        .push_name(&name);
    for chain in &table.chains {
        encode_chain(batch, &name, chain);
        // Without the handle of a rule this deletes all that the chain has.
        batch
            .request()
            .op_delrule_do(&family())
            .encode()
            .push_table(&name)
            .push_chain(&c_string(&chain.name));
    }
    encode_rules(batch, &name, table);
}

fn encode_rules(batch: &mut Chained<'_>, name: &CStr, table: &Table) {
    for chain in &table.chains {
        for rule in &chain.rules {
            let mut request = batch.request().set_create().set_append().op_newrule_do(&family());
            let mut list = request
                .encode()
                .push_table(name)
                .push_chain(&c_string(&chain.name))
                .nested_expressions();
            for expression in rule {
                list = encode_expression(list, expression);
            }
        }
    }
}

fn encode_chain(batch: &mut Chained<'_>, table: &CStr, chain: &Chain) {
    let mut request = batch.request().set_create().op_newchain_do(&family());
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

fn encode_set(batch: &mut Chained<'_>, table: &CStr, id: u32, set: &Set) {
    let name = c_string(&set.name);
    let interval = set.elements.has_ranges();
    // Types are the numbers that the nft tool prints keys by: ipv4_addr and inet_service.
    let (key_type, key_len) = match set.elements {
        Elements::Addresses(_) => (7, 4),
        Elements::Ports(_) => (13, 2),
    };
    let flags = if interval { SetFlags::Interval as u32 } else { 0 };
    let mut request = batch.request().set_create().op_newset_do(&family());
    request
        .encode()
        .push_table(table)
        .push_name(&name)
        .push_flags(flags)
        .push_key_type(key_type)
        .push_key_len(key_len)
        .push_id(id);
    drop(request);
    let target = ElementsOf {
        table,
        set: &name,
        id: Some(id),
    };
    encode_elements(batch, &target, set.elements.keys(interval), Verb::Add);
}

/// A set whose elements change.
struct ElementsOf<'a> {
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
    let mut keys = keys.peekable();
    while keys.peek().is_some() {
        let chunk = keys.by_ref().take(ELEMENTS_PER_MESSAGE);
        match verb {
            Verb::Add => {
                let mut request = batch.request().set_create().op_newsetelem_do(&family());
                push_elements(request.encode(), target, chunk);
            }
            Verb::Remove => {
                let mut request = batch.request().op_delsetelem_do(&family());
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
    bytes: [u8; 4],
    len: usize,
    ends_interval: bool,
}

impl Key {
    fn address(address: u32) -> Self {
        Self {
            bytes: address.to_be_bytes(),
            len: 4,
            ends_interval: false,
        }
    }

    fn port(port: u16) -> Self {
        let [high, low] = port.to_be_bytes();
        Self {
            bytes: [high, low, 0, 0],
            len: 2,
            ends_interval: false,
        }
    }

    fn ending(self) -> Self {
        Self {
            ends_interval: true,
            ..self
        }
    }
}

impl Elements {
    fn has_ranges(&self) -> bool {
        match self {
            Self::Addresses(ranges) => ranges.iter().any(|range| range.start() != range.end()),
            Self::Ports(ranges) => ranges.iter().any(|range| range.start() != range.end()),
        }
    }

    /// The elements as the kernel takes them: an interval is its first key and, flagged, the key after its last.
    fn keys(&self, interval: bool) -> Box<dyn Iterator<Item = Key> + '_> {
        match self {
            Self::Addresses(ranges) => Box::new(ranges.iter().flat_map(move |range| {
                let after = range.end().checked_add(1).filter(|_| interval);
                let end = after.map(|after| Key::address(after).ending());
                std::iter::once(Key::address(*range.start())).chain(end)
            })),
            Self::Ports(ranges) => Box::new(ranges.iter().flat_map(move |range| {
                let after = range.end().checked_add(1).filter(|_| interval);
                let end = after.map(|after| Key::port(after).ending());
                std::iter::once(Key::port(*range.start())).chain(end)
            })),
        }
    }
}

fn encode_expression<P: Pusher>(list: PushExprListAttrs<P>, expression: &Expression) -> PushExprListAttrs<P> {
    match expression {
        Expression::In(field, set) => {
            let mut lookup = load(list, *field)
                .nested_elem()
                .nested_data_lookup()
                .push_set(&c_string(set));
            // netlink-bindings 0.3.5 numbers NFTA_LOOKUP_SREG as 3; in the kernel's header it is 2.
            push_header(lookup.as_vec_mut(), NFTA_LOOKUP_SREG, 4);
            lookup.as_vec_mut().extend((Registers::Reg1 as u32).to_be_bytes());
            lookup.end_nested().end_nested()
        }
        Expression::Is(field, value) => compare(load(list, *field), CmpOps::Eq, &value.bytes()),
        Expression::Marked => compare(meta(list, MetaKeys::Mark), CmpOps::Neq, &0_u32.to_ne_bytes()),
        Expression::LongerThan(octets) => {
            // Total length, RFC 791 section 3.1.
            let list = payload(list, PayloadBase::NetworkHeader, 2, 2);
            compare(list, CmpOps::Gt, &octets.to_be_bytes())
        }
        Expression::OneIn(n) => {
            // netlink-bindings 0.3.5 writes this register, unlike all others, in host byte order.
            let register = (Registers::Reg1 as u32).to_be();
            let list = list
                .nested_elem()
                .nested_data_numgen()
                .push_dreg(register)
                .push_modulus(*n)
                .push_type(nftables::NumgenTypes::Incremental as u32)
                .push_offset(0)
                .end_nested()
                .end_nested();
            compare(list, CmpOps::Eq, &(n - n / 4 - 1).to_ne_bytes())
        }
        Expression::Count => list.nested_elem().nested_data_counter().end_nested().end_nested(),
        Expression::SetMark(mark) => list
            .nested_elem()
            .nested_data_immediate()
            .push_dreg(Registers::Reg1 as u32)
            .nested_data()
            .push_value(&mark.to_ne_bytes())
            .end_nested()
            .end_nested()
            .end_nested()
            .nested_elem()
            .nested_data_meta()
            .push_key(MetaKeys::Mark as u32)
            .push_sreg(Registers::Reg1 as u32)
            .end_nested()
            .end_nested(),
        Expression::Accept => verdict(list, VerdictCode::Accept as u32, None),
        Expression::Drop => verdict(list, VerdictCode::Drop as u32, None),
        // The native expression for this is an option of the kernel that many lack; the xtables target is not.
        Expression::Queue(number) => list
            .nested_elem()
            .nested_data_target()
            .push_name(c"NFQUEUE")
            .push_rev(NFQUEUE_REVISION)
            .push_info(&nfqueue_info(*number))
            .end_nested()
            .end_nested(),
        Expression::Jump(chain) => verdict(list, VerdictCode::Jump as u32, Some(chain)),
    }
}

/// `struct xt_NFQ_info_v3` of linux/netfilter/xt_NFQUEUE.h: queue number, number of queues, flags; padded to 8.
fn nfqueue_info(number: u16) -> [u8; 8] {
    let ([a, b], [c, d]) = (number.to_ne_bytes(), 1_u16.to_ne_bytes());
    [a, b, c, d, 0, 0, 0, 0]
}

fn payload<P: Pusher>(
    list: PushExprListAttrs<P>,
    base: PayloadBase,
    offset: u32,
    len: u32,
) -> PushExprListAttrs<P> {
    list.nested_elem()
        .nested_data_payload()
        .push_dreg(Registers::Reg1 as u32)
        .push_base(base as u32)
        .push_offset(offset)
        .push_len(len)
        .end_nested()
        .end_nested()
}

fn meta<P: Pusher>(list: PushExprListAttrs<P>, key: MetaKeys) -> PushExprListAttrs<P> {
    list.nested_elem()
        .nested_data_meta()
        .push_key(key as u32)
        .push_dreg(Registers::Reg1 as u32)
        .end_nested()
        .end_nested()
}

fn load<P: Pusher>(list: PushExprListAttrs<P>, field: Field) -> PushExprListAttrs<P> {
    // Offsets of RFC 791 section 3.1 and, alike for UDP, TCP and SCTP, of the ports.
    match field {
        Field::SourceAddress => payload(list, PayloadBase::NetworkHeader, 12, 4),
        Field::DestinationAddress => payload(list, PayloadBase::NetworkHeader, 16, 4),
        Field::SourcePort => payload(list, PayloadBase::TransportHeader, 0, 2),
        Field::DestinationPort => payload(list, PayloadBase::TransportHeader, 2, 2),
        Field::Protocol => meta(list, MetaKeys::L4Proto),
        Field::InputInterface => meta(list, MetaKeys::Iifname),
    }
}

fn compare<P: Pusher>(list: PushExprListAttrs<P>, op: CmpOps, value: &[u8]) -> PushExprListAttrs<P> {
    list.nested_elem()
        .nested_data_cmp()
        .push_sreg(Registers::Reg1 as u32)
        .push_op(op as u32)
        .nested_data()
        .push_value(value)
        .end_nested()
        .end_nested()
        .end_nested()
}

fn verdict<P: Pusher>(list: PushExprListAttrs<P>, code: u32, chain: Option<&str>) -> PushExprListAttrs<P> {
    let mut verdict = list
        .nested_elem()
        .nested_data_immediate()
        .push_dreg(Registers::RegVerdict as u32)
        .nested_data()
        .nested_verdict()
        .push_code(code);
    if let Some(chain) = chain {
        verdict = verdict.push_chain(&c_string(chain));
    }
    verdict.end_nested().end_nested().end_nested().end_nested()
}

impl Value {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Address(address) => address.octets().to_vec(),
            Self::Port(port) => port.to_be_bytes().to_vec(),
            Self::Protocol(protocol) => vec![*protocol],
            Self::Interface(name) => {
                let mut bytes = name.clone().into_bytes();
                bytes.resize(INTERFACE_NAME_LEN, 0);
                bytes
            }
        }
    }
}
