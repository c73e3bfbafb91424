//! Lists that are kept and shown, and whose entries mean nothing to edges.
//!
//! Owns how such entries are checked against the row of their kind, and the grammar of what only they hold. Invariant: an
//! accepted entry has the keys of its kind and no other, and what is under each is text in the form of that key.

use std::collections::BTreeMap;

use serde_json::Value;

use super::entries::read;
use super::{EntryError, ListContent};
use crate::manager::value::{self, ValueError};

/// What the entries of a kind consist of.
#[derive(Debug)]
pub(super) struct Plain {
    /// What the command language calls such a list.
    pub(super) label: &'static str,
    pub(super) entries: Count,
    /// In the order of the command language.
    pub(super) keys: &'static [Key],
}

/// How many entries a list has.
#[derive(Debug, PartialEq)]
pub(super) enum Count {
    /// Exactly one.
    One,
    /// One or more.
    Any,
}

/// A key of an entry.
#[derive(Debug)]
pub(super) struct Key {
    name: &'static str,
    need: Need,
    check: fn(&str) -> Result<(), ValueError>,
}

/// Whether an entry has a key; each has at least one.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Need {
    Always,
    Sometimes,
    /// Either it or the others of this need.
    Alone,
}

impl Key {
    /// One that every entry has.
    pub(super) const fn always(name: &'static str, check: fn(&str) -> Result<(), ValueError>) -> Self {
        let need = Need::Always;
        Self { name, need, check }
    }

    /// One that an entry may have.
    pub(super) const fn sometimes(name: &'static str, check: fn(&str) -> Result<(), ValueError>) -> Self {
        let need = Need::Sometimes;
        Self { name, need, check }
    }

    /// One of which an entry has exactly one.
    pub(super) const fn alone(name: &'static str, check: fn(&str) -> Result<(), ValueError>) -> Self {
        let need = Need::Alone;
        Self { name, need, check }
    }
}

impl Plain {
    /// Checks entries.
    pub(super) fn content(&self, entries: &[Value]) -> Result<ListContent, EntryError> {
        if self.entries == Count::One && entries.len() != 1 {
            return Err(EntryError::NotOne(entries.len()));
        }
        let entries = entries.iter().enumerate();
        let entries = entries.map(|(index, entry)| self.entry(index, entry));
        Ok(ListContent::Plain {
            label: self.label,
            entries: entries.collect::<Result<_, _>>()?,
        })
    }

    /// What is under each key of an entry.
    fn entry(&self, index: usize, entry: &Value) -> Result<Vec<(&'static str, String)>, EntryError> {
        let mut given: BTreeMap<String, Option<String>> = read(index, entry)?;
        if let Some(key) = given
            .keys()
            .find(|key| self.keys.iter().all(|known| known.name != **key))
        {
            let (key, keys) = (key.clone(), self.names(", ", |_| true));
            return Err(EntryError::NoKey { index, key, keys });
        }
        let mut found = Vec::new();
        let mut alone = 0;
        for &Key { name, need, check } in self.keys {
            if let Some(text) = given.remove(name).flatten() {
                check(&text).map_err(|problem| {
                    let key = name.to_owned();
                    EntryError::Value { index, key, problem }
                })?;
                found.push((name, text));
                alone += usize::from(need == Need::Alone);
            } else if need == Need::Always {
                return Err(EntryError::Missing { index, key: name });
            }
        }
        if alone != 1 && self.keys.iter().any(|key| key.need == Need::Alone) {
            let keys = self.names(" and ", |need| need == Need::Alone);
            return Err(EntryError::NotOneOf { index, keys });
        }
        if found.is_empty() {
            let keys = self.names(" and ", |_| true);
            return Err(EntryError::NoneOf { index, keys });
        }
        Ok(found)
    }

    fn names(&self, between: &str, are_asked: impl Fn(Need) -> bool) -> String {
        let keys = self.keys.iter().filter(|key| are_asked(key.need));
        keys.map(|key| key.name).collect::<Vec<_>>().join(between)
    }
}

/// A regular expression over AS numbers.
pub(super) fn as_path(text: &str) -> Result<(), ValueError> {
    let fits = |byte: u8| byte.is_ascii_digit() || b"^$.*+?_|()[]{}-, ".contains(&byte);
    let accepted = "a regular expression over AS numbers such as ^65000_";
    value::check(text, !text.is_empty() && text.bytes().all(fits), accepted)
}

/// A community.
pub(super) fn community(text: &str) -> Result<(), ValueError> {
    const KNOWN: [&str; 4] = ["internet", "local-AS", "no-advertise", "no-export"];
    let is_number = |part: &str| value::number(part, 0..=u16::MAX, "").is_ok();
    let numbers = text.split_once(':');
    let fits =
        KNOWN.contains(&text) || numbers.is_some_and(|(left, right)| is_number(left) && is_number(right));
    let accepted = "a community such as 1000:10000, or internet, local-AS, no-advertise or no-export";
    value::check(text, fits, accepted)
}

/// Text without line breaks: a regular expression, mostly.
pub(super) fn line(text: &str) -> Result<(), ValueError> {
    let fits = !text.trim().is_empty() && !text.chars().any(char::is_control);
    value::check(text, fits, "a line of text")
}

/// A name server's domain, as a regular expression.
pub(super) fn domain(text: &str) -> Result<(), ValueError> {
    let fits = line(text).is_ok() && text.len() <= 240 && !text.starts_with(['*', '+']);
    let accepted = "a regular expression of 1 to 240 octets that begins with neither `*` nor `+`";
    value::check(text, fits, accepted)
}

/// A name of printable characters.
pub(super) fn word(text: &str) -> Result<(), ValueError> {
    value::word(text).map(drop)
}

/// A country of ISO 3166.
pub(super) fn country(text: &str) -> Result<(), ValueError> {
    let fits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    value::check(text, fits, "a country of three letters such as FRA")
}

/// A continent.
pub(super) fn continent(text: &str) -> Result<(), ValueError> {
    const CONTINENTS: [&str; 7] = ["AF", "AN", "AS", "EU", "NA", "OC", "SA"];
    value::one_of(text, &CONTINENTS, "one of AF, AN, AS, EU, NA, OC and SA").map(drop)
}

/// An id of a signature or of what made it.
pub(super) fn signature(text: &str) -> Result<(), ValueError> {
    value::number(text, 0..=u32::MAX, "a number from 0 to 4294967295").map(drop)
}

/// An address.
pub(super) fn address(text: &str) -> Result<(), ValueError> {
    value::address(text).map(drop)
}

/// A port, not a range.
pub(super) fn port(text: &str) -> Result<(), ValueError> {
    value::number(text, 0..=u16::MAX, "a port from 0 to 65535").map(drop)
}

/// A VPN, not a range.
pub(super) fn vpn(text: &str) -> Result<(), ValueError> {
    value::number(text, 0..=65530_u16, "a VPN from 0 to 65530").map(drop)
}

/// A queue of an interface.
pub(super) fn queue(text: &str) -> Result<(), ValueError> {
    value::number(text, 0..=7_u8, "a queue from 0 to 7").map(drop)
}

/// A region or a range of them.
pub(super) fn regions(text: &str) -> Result<(), ValueError> {
    value::range(
        text,
        0..=63_u8,
        "a region or range such as 1 or 1-5, from 0 to 63",
    )
    .map(drop)
}

/// An IPv4 prefix.
pub(super) fn prefix(text: &str) -> Result<(), ValueError> {
    value::ipv4_prefix(text).map(drop)
}

/// An IPv6 prefix.
pub(super) fn prefix_v6(text: &str) -> Result<(), ValueError> {
    value::ipv6_prefix(text).map(drop)
}

/// The length of an IPv4 prefix.
pub(super) fn length(text: &str) -> Result<(), ValueError> {
    value::number(text, 0..=32_u8, "a prefix length from 0 to 32").map(drop)
}

/// The length of an IPv6 prefix.
pub(super) fn length_v6(text: &str) -> Result<(), ValueError> {
    value::number(text, 0..=128_u8, "a prefix length from 0 to 128").map(drop)
}
