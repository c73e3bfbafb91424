//! The entries of each kind of list.
//!
//! Owns what keys an entry has and the rules between them; the grammar of single values is `value`. Percentages are
//! whole and become millionths, milliseconds are whole: nothing is rounded.

use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{AppProbe, EntryError, ListContent, ListedTloc, SlaBounds};
use crate::manager::value::{self, ValueError};
use crate::policy::{BestPath, ColorTier, Criterion, PathPreference};

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

/// The entry of a kind that takes exactly one.
fn only<Raw: DeserializeOwned>(entries: &[Value]) -> Result<Raw, EntryError> {
    let [entry] = entries else {
        return Err(EntryError::NotOne(entries.len()));
    };
    Raw::deserialize(entry).map_err(|problem| EntryError::Shape { index: 1, problem })
}

fn in_first(problem: ValueError) -> EntryError {
    EntryError::Value { index: 1, problem }
}

fn prefixes(mut prefixes: Vec<IpNet>) -> ListContent {
    prefixes.sort_unstable();
    prefixes.dedup();
    ListContent::Prefixes(prefixes.into())
}

pub(super) fn data_prefixes(entries: &[Value]) -> Result<ListContent, EntryError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Entry {
        ip_prefix: String,
    }
    each(entries, |entry: Entry| value::ipv4_prefix(&entry.ip_prefix)).map(prefixes)
}

pub(super) fn data_ipv6_prefixes(entries: &[Value]) -> Result<ListContent, EntryError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Entry {
        ipv6_prefix: String,
    }
    each(entries, |entry: Entry| value::ipv6_prefix(&entry.ipv6_prefix)).map(prefixes)
}

pub(super) fn sites(entries: &[Value]) -> Result<ListContent, EntryError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Entry {
        site_id: String,
    }
    each(entries, |entry: Entry| value::sites(&entry.site_id)).map(ListContent::Sites)
}

pub(super) fn service_vpns(entries: &[Value]) -> Result<ListContent, EntryError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Entry {
        vpn: String,
    }
    each(entries, |entry: Entry| value::service_vpns(&entry.vpn)).map(ListContent::ServiceVpns)
}

pub(super) fn colors(entries: &[Value]) -> Result<ListContent, EntryError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Entry {
        color: String,
    }
    each(entries, |entry: Entry| value::color(&entry.color))?;
    Ok(ListContent::Colors)
}

pub(super) fn tlocs(entries: &[Value]) -> Result<ListContent, EntryError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Entry {
        tloc: String,
        color: String,
        encap: String,
        preference: Option<String>,
    }
    let tlocs = each(entries, |entry: Entry| {
        let preference = entry.preference.as_deref();
        Ok(ListedTloc {
            system_ip: value::system_ip(&entry.tloc)?,
            color: value::color(&entry.color)?,
            encapsulation: value::encapsulation(&entry.encap)?,
            preference: preference.map(value::preference).transpose()?,
        })
    })?;
    Ok(ListContent::Tlocs(tlocs))
}

pub(super) fn sla_class(entries: &[Value]) -> Result<ListContent, EntryError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Entry {
        latency: Option<String>,
        loss: Option<String>,
        jitter: Option<String>,
        app_probe_class: Option<String>,
        fallback_best_tunnel: Option<Fallback>,
    }
    let entry: Entry = only(entries)?;
    let bounds = SlaBounds {
        loss: optional(entry.loss.as_ref(), loss)?,
        latency: optional(entry.latency.as_ref(), milliseconds)?,
        jitter: optional(entry.jitter.as_ref(), milliseconds)?,
        best: entry.fallback_best_tunnel.map(Fallback::parse).transpose()?,
        app_probe: optional(entry.app_probe_class.as_ref(), value::list_id)?,
    };
    if bounds.loss.is_none() && bounds.latency.is_none() && bounds.jitter.is_none() {
        return Err(EntryError::NoMetric);
    }
    Ok(ListContent::Sla(bounds))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Fallback {
    criteria: String,
    loss_variance: Option<String>,
    latency_variance: Option<String>,
    jitter_variance: Option<String>,
}

impl Fallback {
    /// Criteria are in the order of their importance, and each has its variance.
    fn parse(self) -> Result<BestPath, EntryError> {
        let mut loss = optional(self.loss_variance.as_ref(), self::loss)?;
        let mut latency = optional(self.latency_variance.as_ref(), milliseconds)?;
        let mut jitter = optional(self.jitter_variance.as_ref(), milliseconds)?;
        let criterion = |word| match word {
            "loss" => loss.take().map(Criterion::Loss),
            "latency" => latency.take().map(Criterion::Latency),
            "jitter" => jitter.take().map(Criterion::Jitter),
            _ => None,
        };
        let criteria: Option<Vec<_>> = self.criteria.split('-').map(criterion).collect();
        match criteria {
            Some(criteria) if loss.is_none() && latency.is_none() && jitter.is_none() => {
                Ok(BestPath { criteria })
            }
            _ => Err(EntryError::Criteria(self.criteria)),
        }
    }
}

pub(super) fn color_group(entries: &[Value]) -> Result<ListContent, EntryError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Entry {
        primary_preference: Tier,
        secondary_preference: Option<LaterTier>,
        tertiary_preference: Option<LaterTier>,
    }
    let entry: Entry = only(entries)?;
    let mut tiers = vec![entry.primary_preference.parse()?];
    let secondary = entry.secondary_preference.and_then(LaterTier::given);
    let tertiary = entry.tertiary_preference.and_then(LaterTier::given);
    if secondary.is_none() && tertiary.is_some() {
        return Err(EntryError::NoSecondary);
    }
    for tier in [secondary, tertiary].into_iter().flatten() {
        tiers.push(tier?.parse()?);
    }
    Ok(ListContent::ColorGroup(tiers))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Tier {
    color_preference: String,
    path_preference: RawPath,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawPath {
    DirectPath,
    MultiHopPath,
    AllPaths,
}

impl Tier {
    fn parse(self) -> Result<ColorTier, EntryError> {
        Ok(ColorTier {
            colors: value::colors(&self.color_preference).map_err(in_first)?,
            path: match self.path_preference {
                RawPath::DirectPath => PathPreference::DirectPath,
                RawPath::MultiHopPath => PathPreference::MultiHopPath,
                RawPath::AllPaths => PathPreference::AllPaths,
            },
        })
    }
}

/// A tier that may be left out; the product writes `{}` for one that is.
#[derive(Deserialize)]
struct LaterTier(Value);

impl LaterTier {
    fn given(self) -> Option<Result<Tier, EntryError>> {
        if self.0.as_object().is_some_and(serde_json::Map::is_empty) {
            return None;
        }
        Some(Tier::deserialize(self.0).map_err(|problem| EntryError::Shape { index: 1, problem }))
    }
}

pub(super) fn app_probe(entries: &[Value]) -> Result<ListContent, EntryError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Entry {
        forwarding_class: String,
        #[serde(default)]
        map: Vec<Mark>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Mark {
        color: String,
        dscp: u64,
    }
    let entry: Entry = only(entries)?;
    let marks = entry.map.into_iter().map(|mark| {
        let color = value::color(&mark.color)?;
        Ok((color, value::dscp(&mark.dscp.to_string())?))
    });
    Ok(ListContent::AppProbe(AppProbe {
        forwarding_class: value::word(&entry.forwarding_class).map_err(in_first)?,
        marks: marks.collect::<Result<_, _>>().map_err(in_first)?,
    }))
}

pub(super) fn apps(entries: &[Value]) -> Result<ListContent, EntryError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    enum Entry {
        App(String),
        AppFamily(String),
    }
    let apps = each(entries, |entry: Entry| {
        let (key, name) = match &entry {
            Entry::App(name) => ("app", name),
            Entry::AppFamily(name) => ("app-family", name),
        };
        Ok((key, value::word(name)?))
    })?;
    Ok(ListContent::Apps(apps))
}

fn optional<T>(
    text: Option<&String>,
    parse: impl Fn(&str) -> Result<T, ValueError>,
) -> Result<Option<T>, EntryError> {
    text.map(|text| parse(text)).transpose().map_err(in_first)
}

/// A whole percentage, in millionths.
fn loss(text: &str) -> Result<u32, ValueError> {
    value::number(text, 0..=100, "a percentage from 0 to 100").map(|percent: u32| percent * 10_000)
}

fn milliseconds(text: &str) -> Result<Duration, ValueError> {
    value::number(text, 1..=1000, "milliseconds from 1 to 1000").map(Duration::from_millis)
}
