//! The entries of each kind of list.
//!
//! Owns what keys an entry has and the rules between them; the grammar of single values is `value`. Percentages are
//! whole and become millionths, milliseconds are whole: nothing is rounded.

use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use super::{AppProbe, EntryError, ListContent, ListedTloc, Policer, SlaBounds};
use crate::manager::shape;
use crate::manager::value::{self, ValueError};
use crate::policy::{BestPath, ColorTier, Criterion, PathPreference};

/// A value outside its grammar, under its key.
struct Misfit {
    key: String,
    problem: ValueError,
}

impl Misfit {
    fn within(self, index: usize) -> EntryError {
        let Self { key, problem } = self;
        EntryError::Value { index, key, problem }
    }
}

fn at(key: &str) -> impl Fn(ValueError) -> Misfit + '_ {
    move |problem| Misfit {
        key: key.to_owned(),
        problem,
    }
}

/// The same in the entry of a kind that takes exactly one.
fn in_only(key: &str) -> impl Fn(ValueError) -> EntryError + '_ {
    move |problem| at(key)(problem).within(0)
}

pub(super) fn read<'de, Raw: Deserialize<'de>>(index: usize, entry: &'de Value) -> Result<Raw, EntryError> {
    shape::read(entry).map_err(|error| EntryError::Shape(error.within("entries", index)))
}

fn each<'de, Raw: Deserialize<'de>, T>(
    entries: &'de [Value],
    convert: impl Fn(Raw) -> Result<T, Misfit>,
) -> Result<Vec<T>, EntryError> {
    let entries = entries.iter().enumerate();
    entries
        .map(|(index, entry)| convert(read(index, entry)?).map_err(|misfit| misfit.within(index)))
        .collect()
}

/// The entry of a kind that takes exactly one.
fn only<'de, Raw: Deserialize<'de>>(entries: &'de [Value]) -> Result<Raw, EntryError> {
    match entries {
        [entry] => read(0, entry),
        _ => Err(EntryError::NotOne(entries.len())),
    }
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
    each(entries, |entry: Entry| {
        value::ipv4_prefix(&entry.ip_prefix).map_err(at("ipPrefix"))
    })
    .map(prefixes)
}

pub(super) fn data_ipv6_prefixes(entries: &[Value]) -> Result<ListContent, EntryError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Entry {
        ipv6_prefix: String,
    }
    each(entries, |entry: Entry| {
        value::ipv6_prefix(&entry.ipv6_prefix).map_err(at("ipv6Prefix"))
    })
    .map(prefixes)
}

pub(super) fn sites(entries: &[Value]) -> Result<ListContent, EntryError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Entry {
        site_id: String,
    }
    each(entries, |entry: Entry| {
        value::sites(&entry.site_id).map_err(at("siteId"))
    })
    .map(ListContent::Sites)
}

pub(super) fn service_vpns(entries: &[Value]) -> Result<ListContent, EntryError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Entry {
        vpn: String,
    }
    each(entries, |entry: Entry| {
        value::service_vpns(&entry.vpn).map_err(at("vpn"))
    })
    .map(ListContent::ServiceVpns)
}

pub(super) fn colors(entries: &[Value]) -> Result<ListContent, EntryError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Entry {
        color: String,
    }
    each(entries, |entry: Entry| {
        value::color(&entry.color).map_err(at("color"))
    })?;
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
            system_ip: value::system_ip(&entry.tloc).map_err(at("tloc"))?,
            color: value::color(&entry.color).map_err(at("color"))?,
            encapsulation: value::encapsulation(&entry.encap).map_err(at("encap"))?,
            preference: (preference.map(value::preference).transpose()).map_err(at("preference"))?,
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
        loss: optional("loss", entry.loss.as_ref(), loss)?,
        latency: optional("latency", entry.latency.as_ref(), milliseconds)?,
        jitter: optional("jitter", entry.jitter.as_ref(), milliseconds)?,
        best: entry.fallback_best_tunnel.map(Fallback::parse).transpose()?,
        app_probe: optional("appProbeClass", entry.app_probe_class.as_ref(), value::list_id)?,
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
        let mut loss = optional(
            "fallbackBestTunnel.lossVariance",
            self.loss_variance.as_ref(),
            self::loss,
        )?;
        let mut latency = optional(
            "fallbackBestTunnel.latencyVariance",
            self.latency_variance.as_ref(),
            milliseconds,
        )?;
        let mut jitter = optional(
            "fallbackBestTunnel.jitterVariance",
            self.jitter_variance.as_ref(),
            milliseconds,
        )?;
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
    let mut tiers = vec![entry.primary_preference.parse("primaryPreference")?];
    let later = [
        ("secondaryPreference", entry.secondary_preference),
        ("tertiaryPreference", entry.tertiary_preference),
    ];
    for ((key, tier), rank) in later.into_iter().zip(1..) {
        let Some(tier) = tier.and_then(|tier| tier.given(key)) else {
            continue;
        };
        if tiers.len() < rank {
            return Err(EntryError::NoSecondary);
        }
        tiers.push(tier?.parse(key)?);
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
    fn parse(self, key: &str) -> Result<ColorTier, EntryError> {
        let colors = value::colors(&self.color_preference);
        Ok(ColorTier {
            colors: colors.map_err(in_only(&format!("{key}.colorPreference")))?,
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
    fn given(self, key: &str) -> Option<Result<Tier, EntryError>> {
        if self.0.as_object().is_some_and(serde_json::Map::is_empty) {
            return None;
        }
        let tier = shape::read(&self.0);
        Some(tier.map_err(|error| EntryError::Shape(error.under(key).within("entries", 0))))
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
    let marks = entry.map.iter().enumerate().map(|(position, mark)| {
        let key = |key| format!("map[{position}].{key}");
        let color = value::color(&mark.color).map_err(in_only(&key("color")))?;
        let dscp = value::dscp(&mark.dscp.to_string()).map_err(in_only(&key("dscp")))?;
        Ok((color, dscp))
    });
    let class = value::word(&entry.forwarding_class);
    Ok(ListContent::AppProbe(AppProbe {
        forwarding_class: class.map_err(in_only("forwardingClass"))?,
        marks: marks.collect::<Result<_, EntryError>>()?,
    }))
}

pub(super) fn apps(entries: &[Value]) -> Result<ListContent, EntryError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Entry {
        app: Option<String>,
        app_family: Option<String>,
    }
    let apps = entries.iter().enumerate().map(|(index, entry)| {
        let (key, word, name) = match read(index, entry)? {
            Entry {
                app: Some(name),
                app_family: None,
            } => ("app", "app", name),
            Entry {
                app: None,
                app_family: Some(name),
            } => ("appFamily", "app-family", name),
            _ => {
                let keys = "app and appFamily".to_owned();
                return Err(EntryError::NotOneOf { index, keys });
            }
        };
        let name = value::word(&name).map_err(|problem| at(key)(problem).within(index))?;
        Ok((word, name))
    });
    Ok(ListContent::Apps(apps.collect::<Result<_, _>>()?))
}

pub(super) fn policer(entries: &[Value]) -> Result<ListContent, EntryError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Entry {
        burst: String,
        rate: String,
        exceed: Option<String>,
    }
    let entry: Entry = only(entries)?;
    let burst = value::number(&entry.burst, 15_000..=10_000_000, "octets from 15000 to 10000000");
    let rate = value::number(
        &entry.rate,
        8..=100_000_000_000,
        "bits per second from 8 to 100000000000",
    );
    let exceed = value::one_of(
        entry.exceed.as_deref().unwrap_or("drop"),
        &["drop", "remark"],
        "drop or remark",
    );
    Ok(ListContent::Policer(Policer {
        burst: burst.map_err(in_only("burst"))?,
        rate: rate.map_err(in_only("rate"))?,
        exceed: exceed.map_err(in_only("exceed"))?,
    }))
}

fn optional<T>(
    key: &str,
    text: Option<&String>,
    parse: impl Fn(&str) -> Result<T, ValueError>,
) -> Result<Option<T>, EntryError> {
    text.map(|text| parse(text)).transpose().map_err(in_only(key))
}

/// A whole percentage, in millionths.
fn loss(text: &str) -> Result<u32, ValueError> {
    value::number(text, 0..=100, "a percentage from 0 to 100").map(|percent: u32| percent * 10_000)
}

fn milliseconds(text: &str) -> Result<Duration, ValueError> {
    value::number(text, 1..=1000, "milliseconds from 1 to 1000").map(Duration::from_millis)
}
