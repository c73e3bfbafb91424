//! Policy lists: the kinds that exist and what their entries may hold.
//!
//! Owns the parsing of a list's body into typed content; storing and reference counting are `objects`.
//! Invariant: a [`List`] holds at least one entry, and every entry obeyed the rule of its kind.

use std::fmt;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::body::{BodyError, ObjectBody};
use super::objects::Stamp;
use super::value::{self, NameOf, ValueError};

/// A kind of list: one row per kind, everything that differs between them.
pub(super) struct ListKind {
    /// The last path segment of its collection.
    pub(super) path: &'static str,
    /// The `type` in bodies.
    pub(super) type_name: &'static str,
    parse: fn(&[Value]) -> Result<ListContent, EntryError>,
}

impl fmt::Debug for ListKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path)
    }
}

impl PartialEq for ListKind {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

/// Every kind of list that is emulated.
pub(super) static KINDS: [ListKind; 7] = [
    ListKind {
        path: "dataprefix",
        type_name: "dataPrefix",
        parse: data_prefixes,
    },
    ListKind {
        path: "dataipv6prefix",
        type_name: "dataIpv6Prefix",
        parse: data_ipv6_prefixes,
    },
    ListKind {
        path: "site",
        type_name: "site",
        parse: sites,
    },
    ListKind {
        path: "vpn",
        type_name: "vpn",
        parse: service_vpns,
    },
    ListKind {
        path: "color",
        type_name: "color",
        parse: colors,
    },
    ListKind {
        path: "tloc",
        type_name: "tloc",
        parse: tlocs,
    },
    ListKind {
        path: "sla",
        type_name: "sla",
        parse: sla_class,
    },
];

/// The kind whose collection has this last path segment.
pub(super) fn kind(path: &str) -> Option<&'static ListKind> {
    KINDS.iter().find(|kind| kind.path == path)
}

/// A stored list.
#[derive(Debug, Clone)]
pub(super) struct List {
    pub(super) id: Uuid,
    pub(super) kind: &'static ListKind,
    pub(super) name: String,
    pub(super) description: String,
    /// As the client wrote them: the product gives back what it was given.
    pub(super) entries: Vec<Value>,
    pub(super) content: ListContent,
    pub(super) stamp: Stamp,
}

/// What the entries of a list mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ListContent {
    /// `dataprefix` and `dataipv6prefix`.
    Prefixes(Vec<IpNet>),
    /// `site`.
    Sites(Vec<RangeInclusive<u32>>),
    /// `vpn`.
    ServiceVpns(Vec<RangeInclusive<u16>>),
    /// Checked, but nothing that is emulated refers to it.
    Unreferenced,
}

/// Why a list was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListError {
    /// The body as a whole.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The name.
    #[error(transparent)]
    Name(#[from] ValueError),
    /// `type` is not that of the collection.
    #[error("type `{found}` in a collection of type `{expected}`")]
    Type { found: String, expected: &'static str },
    /// An entry.
    #[error(transparent)]
    Entry(#[from] EntryError),
}

/// Why the entries of a list were refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum EntryError {
    /// There are none.
    #[error("entries: at least one is needed")]
    None,
    /// A kind that takes one entry got more.
    #[error("entries: exactly one is needed, found {0}")]
    NotOne(usize),
    /// A key is missing, unknown or of another type.
    #[error("entry {index}: {problem}")]
    Shape {
        index: usize,
        problem: serde_json::Error,
    },
    /// A value outside its grammar.
    #[error("entry {index}: {problem}")]
    Value { index: usize, problem: ValueError },
    /// An SLA class without any of its three metrics.
    #[error("entry 1: one of latency, loss and jitter is needed")]
    NoMetric,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawList {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(rename = "type")]
    type_name: String,
    entries: Vec<Value>,
}

/// Parses the body of a POST or PUT into a list with this id.
pub(super) fn parse(
    kind: &'static ListKind,
    id: Uuid,
    body: &ObjectBody,
    stamp: Stamp,
) -> Result<List, ListError> {
    let raw: RawList = body.parse()?;
    value::name(NameOf::List, &raw.name)?;
    if raw.type_name != kind.type_name {
        return Err(ListError::Type {
            found: raw.type_name,
            expected: kind.type_name,
        });
    }
    if raw.entries.is_empty() {
        return Err(EntryError::None.into());
    }
    let content = (kind.parse)(&raw.entries)?;
    Ok(List {
        id,
        kind,
        name: raw.name,
        description: raw.description,
        entries: raw.entries,
        content,
        stamp,
    })
}

fn each<Raw, T>(
    entries: &[Value],
    convert: impl Fn(Raw) -> Result<T, ValueError>,
) -> Result<Vec<T>, EntryError>
where
    Raw: DeserializeOwned,
{
    let numbered = entries.iter().zip(1..);
    numbered
        .map(|(entry, index)| {
            let raw = Raw::deserialize(entry).map_err(|problem| EntryError::Shape { index, problem })?;
            convert(raw).map_err(|problem| EntryError::Value { index, problem })
        })
        .collect()
}

fn data_prefixes(entries: &[Value]) -> Result<ListContent, EntryError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Entry {
        ip_prefix: String,
    }
    each(entries, |entry: Entry| value::ipv4_prefix(&entry.ip_prefix)).map(ListContent::Prefixes)
}

fn data_ipv6_prefixes(entries: &[Value]) -> Result<ListContent, EntryError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Entry {
        ipv6_prefix: String,
    }
    each(entries, |entry: Entry| value::ipv6_prefix(&entry.ipv6_prefix)).map(ListContent::Prefixes)
}

fn sites(entries: &[Value]) -> Result<ListContent, EntryError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Entry {
        site_id: String,
    }
    each(entries, |entry: Entry| value::sites(&entry.site_id)).map(ListContent::Sites)
}

fn service_vpns(entries: &[Value]) -> Result<ListContent, EntryError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Entry {
        vpn: String,
    }
    each(entries, |entry: Entry| value::service_vpns(&entry.vpn)).map(ListContent::ServiceVpns)
}

fn colors(entries: &[Value]) -> Result<ListContent, EntryError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Entry {
        color: String,
    }
    each(entries, |entry: Entry| value::color(&entry.color))?;
    Ok(ListContent::Unreferenced)
}

fn tlocs(entries: &[Value]) -> Result<ListContent, EntryError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Entry {
        tloc: String,
        color: String,
        encap: String,
        preference: Option<String>,
    }
    each(entries, |entry: Entry| {
        value::system_ip(&entry.tloc)?;
        value::color(&entry.color)?;
        value::encapsulation(&entry.encap)?;
        let preference = entry.preference.as_deref();
        preference
            .map(|text| value::number(text, 0..=u32::MAX, "a preference from 0 to 4294967295"))
            .transpose()
    })?;
    Ok(ListContent::Unreferenced)
}

fn sla_class(entries: &[Value]) -> Result<ListContent, EntryError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Entry {
        latency: Option<String>,
        loss: Option<String>,
        jitter: Option<String>,
    }
    if entries.len() != 1 {
        return Err(EntryError::NotOne(entries.len()));
    }
    let metrics = each(entries, |entry: Entry| {
        let milliseconds = |text: &String| value::number(text, 1..=1000, "milliseconds from 1 to 1000");
        let percent = |text: &String| value::number(text, 0..=100, "a percentage from 0 to 100");
        let metrics: [Option<u16>; 3] = [
            entry.latency.as_ref().map(milliseconds).transpose()?,
            entry.loss.as_ref().map(percent).transpose()?,
            entry.jitter.as_ref().map(milliseconds).transpose()?,
        ];
        Ok(metrics)
    })?;
    if metrics.iter().all(|metrics| metrics.iter().all(Option::is_none)) {
        return Err(EntryError::NoMetric);
    }
    Ok(ListContent::Unreferenced)
}

#[cfg(test)]
mod tests;
