//! nftables by netlink: a whole table replaced in one transaction.
//!
//! Owns the nf_tables messages (linux/netfilter/nf_tables.h) for the few expressions that steering needs. It
//! does not know what a rule is for. Invariant: a table is replaced as a whole or not at all.

use std::ffi::{CStr, CString};
use std::io;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use netlink_bindings::nftables::{
    self, Chained, CmpOps, MetaKeys, Nfgenmsg, PayloadBase, PushExprListAttrs, Registers, SetElemFlags,
    SetFlags, VerdictCode,
};
use netlink_bindings::traits::Pusher;
use netlink_bindings::utils::push_header;
use netlink_socket2::{NetlinkSocket, ReplyError};

use crate::netns::{Netns, NetnsError};

/// Subsystem id that a batch names, NFNL_SUBSYS_NFTABLES.
const SUBSYSTEM: u16 = 10;
/// Elements in one message; with more, an error reply (which quotes the request) outgrows the receive buffer.
const ELEMENTS_PER_MESSAGE: usize = 100;
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
    /// The kernel refused the transaction; nothing of it was applied.
    #[error("replace nftables table `{table}`: {reply}")]
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

/// A netfilter netlink socket in one namespace.
pub struct Socket(NetlinkSocket);

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("nft::Socket")
    }
}

impl Socket {
    /// Opens a socket that stays bound to `netns`.
    ///
    /// # Errors
    /// [`NftError`], also when the kernel has no nftables.
    pub fn open(netns: &Netns) -> Result<Self, NftError> {
        let opened = netns.run(|| {
            // The crate opens its socket at the first request, so that has to happen in here.
            let mut socket = NetlinkSocket::new();
            generation(&mut socket).map(|_| socket)
        })?;
        opened
            .map(Self)
            .map_err(|reply| NftError::Io(io::Error::other(reply.to_string())))
    }

    /// Replaces the table of that name, or makes it, in one transaction.
    ///
    /// # Errors
    /// [`NftError`]; the old table is then still there.
    pub fn replace_table(&mut self, table: &Table) -> Result<(), NftError> {
        self.commit(table, encode)
    }

    /// Replaces the rules of a table's chains, or makes the table, in one transaction; the chains themselves
    /// stay. The table has no sets.
    ///
    /// When a chain goes, the kernel drops all packets that wait in queues of the namespace.
    ///
    /// # Errors
    /// [`NftError`]; the old rules are then still there.
    pub fn replace_rules(&mut self, table: &Table) -> Result<(), NftError> {
        self.commit(table, encode_rules_alone)
    }

    fn commit(
        &mut self,
        table: &Table,
        encode: impl FnOnce(&mut Chained<'_>, &Table),
    ) -> Result<(), NftError> {
        let refused = |reply: &dyn std::fmt::Display| NftError::Refused {
            table: table.name,
            reply: reply.to_string(),
        };
        let generation = generation(&mut self.0).map_err(|reply| refused(&reply))?;
        let message_count = message_count(table);
        let sequence = self.0.reserve_seq(message_count);
        let mut batch = Chained::new(sequence);
        batch
            .request()
            .op_batch_begin_do(&batch_header())
            .encode()
            .push_genid(generation);
        encode(&mut batch, table);
        batch.request().op_batch_end_do(&batch_header());
        let batch = batch.finalize();
        self.0
            .request_chained(&batch)?
            .recv_all()
            .map_err(|reply| refused(&reply))?;
        Ok(())
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
        let mut replies = self.0.request(&request)?;
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

fn message_count(table: &Table) -> u32 {
    let elements: usize = table
        .sets
        .iter()
        .map(|set| 2 + set.elements.len() / ELEMENTS_PER_MESSAGE)
        .sum();
    let rules: usize = table.chains.iter().map(|chain| 2 + chain.rules.len()).sum();
    u32::try_from(8 + elements + rules).expect("a ruleset has far fewer than 2^32 messages")
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
    for chunk in set.elements.keys(interval).chunks(ELEMENTS_PER_MESSAGE) {
        let mut request = batch.request().set_create().op_newsetelem_do(&family());
        let mut list = request
            .encode()
            .push_table(table)
            .push_set(&name)
            .push_set_id(id)
            .nested_elements();
        for key in chunk {
            let mut element = list.nested_elem();
            if key.ends_interval {
                element = element.push_flags(&(SetElemFlags::IntervalEnd as u32).to_be_bytes());
            }
            list = element
                .nested_key()
                .push_value(&key.bytes)
                .end_nested()
                .end_nested();
        }
    }
}

struct Key {
    bytes: Vec<u8>,
    ends_interval: bool,
}

impl Elements {
    fn len(&self) -> usize {
        match self {
            Self::Addresses(ranges) => ranges.len(),
            Self::Ports(ranges) => ranges.len(),
        }
    }

    fn has_ranges(&self) -> bool {
        match self {
            Self::Addresses(ranges) => ranges.iter().any(|range| range.start() != range.end()),
            Self::Ports(ranges) => ranges.iter().any(|range| range.start() != range.end()),
        }
    }

    /// The elements as the kernel takes them: an interval is its first key and, flagged, the key after its last.
    fn keys(&self, interval: bool) -> Vec<Key> {
        let mut keys = Vec::with_capacity(self.len());
        let mut push = |first: Vec<u8>, after: Option<Vec<u8>>| {
            keys.push(Key {
                bytes: first,
                ends_interval: false,
            });
            if let (true, Some(bytes)) = (interval, after) {
                keys.push(Key {
                    bytes,
                    ends_interval: true,
                });
            }
        };
        match self {
            Self::Addresses(ranges) => ranges.iter().for_each(|range| {
                let after = range.end().checked_add(1).map(|key| key.to_be_bytes().to_vec());
                push(range.start().to_be_bytes().to_vec(), after);
            }),
            Self::Ports(ranges) => ranges.iter().for_each(|range| {
                let after = range.end().checked_add(1).map(|key| key.to_be_bytes().to_vec());
                push(range.start().to_be_bytes().to_vec(), after);
            }),
        }
        keys
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
