//! Policy lists: the kinds that exist and what they mean.
//!
//! Owns the parsing of a list's body into typed content. The kinds are in [`kinds`], the rules of entries that edges act on
//! in [`entries`], those of all others in [`plain`]; storing and reference counting are `objects`. Invariant: a [`List`] holds at least one entry, and every entry obeyed the rule of its kind.

mod entries;
mod kinds;
mod plain;

use std::fmt;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::body::{BodyError, ObjectBody};
use super::objects::{Stamp, Use};
use super::shape::ShapeError;
use super::value::{self, Encapsulation, NameOf, ValueError};
use crate::policy::{BestPath, ColorTier};
pub(super) use kinds::KINDS;
use plain::Plain;

/// A kind of list: one row per kind, everything that differs between them.
pub(super) struct ListKind {
    /// The last path segment of its collection.
    pub(super) path: &'static str,
    /// The `type` in bodies.
    pub(super) type_name: &'static str,
    form: Form,
}

/// How the entries of a kind are read.
enum Form {
    /// By a parser of their own.
    Typed(fn(&[Value]) -> Result<ListContent, EntryError>),
    /// Key by key.
    Plain(Plain),
}

impl fmt::Debug for ListKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path)
    }
}

impl ListKind {
    /// What these entries mean.
    pub(super) fn content(&self, entries: &[Value]) -> Result<ListContent, EntryError> {
        match &self.form {
            Form::Typed(parse) => parse(entries),
            Form::Plain(plain) => plain.content(entries),
        }
    }
}

impl PartialEq for ListKind {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

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
    /// `dataprefix` and `dataipv6prefix`: sorted, each once; whatever matches by the list shares them.
    Prefixes(Arc<[IpNet]>),
    /// `site`.
    Sites(Vec<RangeInclusive<u32>>),
    /// `vpn`.
    ServiceVpns(Vec<RangeInclusive<u16>>),
    /// `sla`.
    Sla(SlaBounds),
    /// `preferredcolorgroup`: its tiers, the most preferred first.
    ColorGroup(Vec<ColorTier>),
    /// `tloc`.
    Tlocs(Vec<ListedTloc>),
    /// `appprobe`: checked; edges do not act on it.
    AppProbe(AppProbe),
    /// `app`: checked; edges do not act on it. Each is `app` or `app-family` and a name.
    Apps(Vec<(&'static str, String)>),
    /// `policer`: checked; edges do not act on it.
    Policer(Policer),
    /// `color`: checked; edges do not act on it.
    Colors,
    /// Every other kind: checked; edges do not act on it. Each entry is its keys and what is under them.
    Plain {
        /// What the command language calls the list.
        label: &'static str,
        entries: Vec<Vec<(&'static str, String)>>,
    },
}

/// What an SLA class asks of a tunnel, and how the best one is found when none meets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SlaBounds {
    /// In millionths of the packets.
    pub(super) loss: Option<u32>,
    pub(super) latency: Option<Duration>,
    pub(super) jitter: Option<Duration>,
    /// `fallbackBestTunnel`.
    pub(super) best: Option<BestPath>,
    /// `appProbeClass`: an `appprobe` list.
    pub(super) app_probe: Option<Uuid>,
}

/// One entry of a `tloc` list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListedTloc {
    pub(super) system_ip: Ipv4Addr,
    pub(super) color: String,
    pub(super) encapsulation: Encapsulation,
    pub(super) preference: Option<u32>,
}

/// How much traffic passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policer {
    /// In octets.
    pub(super) burst: u32,
    /// In bits per second.
    pub(super) rate: u64,
    /// `drop` or `remark`: what becomes of more.
    pub(super) exceed: String,
}

/// What marks the packets that an SLA class is measured by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AppProbe {
    pub(super) forwarding_class: String,
    /// Colors, each with its code point.
    pub(super) marks: Vec<(String, u8)>,
}

impl List {
    /// The lists that this one names.
    pub(super) fn uses(&self) -> Option<Use> {
        match &self.content {
            ListContent::Sla(SlaBounds {
                app_probe: Some(id), ..
            }) => Some(Use {
                id: *id,
                kind: "appprobe",
                field: "appProbeClass",
            }),
            _ => None,
        }
    }
}

/// Why a list was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListError {
    /// The body as a whole.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The name.
    #[error("name: {0}")]
    Name(#[from] ValueError),
    /// `type` is not that of the collection.
    #[error("type: `{found}` is not `{expected}`, the type of this collection")]
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
    #[error(transparent)]
    Shape(ShapeError),
    /// A value outside its grammar.
    #[error("entries[{index}].{key}: {problem}")]
    Value {
        index: usize,
        key: String,
        problem: ValueError,
    },
    /// An SLA class without any of its three metrics.
    #[error("entries[0]: one of latency, loss and jitter is needed")]
    NoMetric,
    /// The criteria of a best tunnel and their variances do not belong together.
    #[error("entries[0].fallbackBestTunnel.criteria: `{0}` are not the criteria that have a variance")]
    Criteria(String),
    /// A color group without its second tier, but with its third.
    #[error("entries[0]: tertiaryPreference needs a secondaryPreference")]
    NoSecondary,
    /// Not one of the keys of which an entry has one.
    #[error("entries[{index}]: exactly one of {keys} is needed")]
    NotOneOf { index: usize, keys: String },
    /// None of the keys that an entry may have.
    #[error("entries[{index}]: at least one of {keys} is needed")]
    NoneOf { index: usize, keys: String },
    /// A key that does not exist there.
    #[error("entries[{index}].{key}: there is no such key; the keys here are {keys}")]
    NoKey { index: usize, key: String, keys: String },
    /// A key that has to be there.
    #[error("entries[{index}]: key {key} is missing")]
    Missing { index: usize, key: &'static str },
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
    // Clients write some types in lower case.
    if !raw.type_name.eq_ignore_ascii_case(kind.type_name) {
        return Err(ListError::Type {
            found: raw.type_name,
            expected: kind.type_name,
        });
    }
    if raw.entries.is_empty() {
        return Err(EntryError::None.into());
    }
    let content = kind.content(&raw.entries)?;
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

#[cfg(test)]
mod tests;
