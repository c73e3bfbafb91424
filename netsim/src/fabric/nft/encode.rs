//! Tables as messages of a transaction (linux/netfilter/nf_tables.h).
//!
//! Owns the order of the messages: a table is made anew as a whole, sets before the chains that look into them and
//! chains before the rules that lead to them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;
use std::ops::RangeInclusive;

use netlink_bindings::nftables::{Chained, PushSetelemListAttrs, SetElemFlags, SetFlags};
use netlink_bindings::traits::Pusher;

use super::diff::SetChange;
use super::{Chain, Elements, Family, Set, Table, c_string, expression, header};

/// Elements in one message: an attribute has at most 65,535 bytes, an element of a range two keys of 24.
const ELEMENTS_PER_MESSAGE: usize = 2000;
/// NF_INET_PRE_ROUTING.
const HOOK_PREROUTING: u32 = 0;
/// IFNAMSIZ: interface names are compared with their padding.
const INTERFACE_NAME_LEN: usize = 16;

/// A table, made anew.
pub(super) fn table(batch: &mut Chained<'_>, table: &Table) {
    let family = table.family;
    let name = c_string(table.name);
    // Deleting a table that is not there would fail the batch, so it is made first.
    make_table(batch, (family, &name));
    batch
        .request()
        .op_deltable_do(&header(family))
        .encode()
        .push_name(&name);
    make_table(batch, (family, &name));
    content(batch, &name, table, &BTreeSet::new());
}

/// A table made of an old one, of which the chains stay that both have: a hook that came or went could let a packet
/// through between the two. Sets that differ are made anew; packets that met the old rules go on finding the old
/// elements.
pub(super) fn table_of(batch: &mut Chained<'_>, old: &Table, new: &Table) {
    let family = old.family;
    let name = c_string(old.name);
    for chain in &old.chains {
        no_rules(batch, (family, &name), chain);
    }
    let sets: BTreeMap<&str, &Elements> = new.sets.iter().map(|set| (&*set.name, &set.elements)).collect();
    let (stay, go): (Vec<_>, Vec<_>) = old
        .sets
        .iter()
        .partition(|set| sets.get(&*set.name) == Some(&&set.elements));
    for set in go {
        let mut request = batch.request().op_delset_do(&header(family));
        request.encode().push_table(&name).push_name(&c_string(&set.name));
    }
    let chains: BTreeSet<&str> = new.chains.iter().map(|chain| &*chain.name).collect();
    for chain in old.chains.iter().filter(|chain| !chains.contains(&*chain.name)) {
        let mut request = batch.request().op_delchain_do(&header(family));
        request
            .encode()
            .push_table(&name)
            .push_name(&c_string(&chain.name));
    }
    let stay = stay.into_iter().map(|set| &*set.name).collect();
    content(batch, &name, new, &stay);
}

/// The sets, but for those that are there, the chains and the rules of a table that is there.
fn content(batch: &mut Chained<'_>, name: &CStr, table: &Table, there: &BTreeSet<&str>) {
    let sets = table.sets.iter().filter(|set| !there.contains(&*set.name));
    for (id, set) in (1..).zip(sets) {
        one_set(batch, (table.family, name), id, set);
    }
    for chain in &table.chains {
        one_chain(batch, (table.family, name), chain);
    }
    rules(batch, name, table);
}

/// A table, unless it is there already.
fn make_table(batch: &mut Chained<'_>, (family, name): (Family, &CStr)) {
    batch
        .request()
        .set_create()
        .op_newtable_do(&header(family))
        .encode()
        .push_name(name);
}

/// The rules of a table's chains, made anew; the chains stay.
pub(super) fn rules_alone(batch: &mut Chained<'_>, table: &Table) {
    let family = table.family;
    let name = c_string(table.name);
    make_table(batch, (family, &name));
    for chain in &table.chains {
        one_chain(batch, (family, &name), chain);
        no_rules(batch, (family, &name), chain);
    }
    rules(batch, &name, table);
}

/// Takes all rules out of a chain.
fn no_rules(batch: &mut Chained<'_>, (family, table): (Family, &CStr), chain: &Chain) {
    // Without the handle of a rule.
    let mut request = batch.request().op_delrule_do(&header(family));
    request
        .encode()
        .push_table(table)
        .push_chain(&c_string(&chain.name));
}

fn rules(batch: &mut Chained<'_>, name: &CStr, table: &Table) {
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

fn one_chain(batch: &mut Chained<'_>, (family, table): (Family, &CStr), chain: &Chain) {
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

fn one_set(batch: &mut Chained<'_>, (family, table): (Family, &CStr), id: u32, set: &Set) {
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
    elements(batch, &target, set.elements.keys(family, interval), Verb::Add);
}

/// What libnftnl notes on a set of keys in host byte order, which the nft tool else shows as empty names: the type
/// NFTNL_UDATA_SET_KEYBYTEORDER, the length and BYTEORDER_HOST_ENDIAN.
fn host_byte_order() -> [u8; 6] {
    let [a, b, c, d] = 1_u32.to_ne_bytes();
    [0, 4, a, b, c, d]
}

/// Elements that leave and enter a set.
pub(super) fn change(batch: &mut Chained<'_>, (family, table): (Family, &str), change: &SetChange) {
    let target = ElementsOf {
        family,
        table: &c_string(table),
        set: &c_string(&change.set),
        id: None,
    };
    let ranges = change.holds_ranges;
    elements(batch, &target, change.remove.keys(family, ranges), Verb::Remove);
    elements(batch, &target, change.add.keys(family, ranges), Verb::Add);
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

fn elements(batch: &mut Chained<'_>, target: &ElementsOf<'_>, keys: impl Iterator<Item = Key>, verb: Verb) {
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
pub(super) struct Key {
    pub(super) bytes: [u8; INTERFACE_NAME_LEN],
    len: usize,
    ends_interval: bool,
}

impl Key {
    pub(super) fn new(value: &[u8]) -> Self {
        let mut bytes = [0; INTERFACE_NAME_LEN];
        bytes[..value.len()].copy_from_slice(value);
        Self {
            bytes,
            len: value.len(),
            ends_interval: false,
        }
    }

    pub(super) fn interface(name: &str) -> Self {
        Self {
            len: INTERFACE_NAME_LEN,
            ..Self::new(name.as_bytes())
        }
    }
}

impl Elements {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Addresses(ranges) => ranges.is_empty(),
            Self::Addresses6(ranges) => ranges.is_empty(),
            Self::Ports(ranges) => ranges.is_empty(),
            Self::Interfaces(names) => names.is_empty(),
            Self::Dscp(codes) => codes.is_empty(),
        }
    }

    pub(super) fn has_ranges(&self) -> bool {
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
