//! Policy objects: what the entries of each kind of parcel are.
//!
//! Owns their fields and the translation into the entries of the classic list of that kind, whose rules then hold. Policy
//! objects are shared between devices, so no variable stands in them.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value, json};

use super::at::{At, Fields, PlaceError};
use super::{Content, References};
use crate::manager::list::{self, AppProbe, ListContent};
use crate::manager::value;

/// The values of `pathPreference`; the first is meant where it is left out.
const PATHS: [&str; 3] = ["all-paths", "direct-path", "multi-hop-path"];

type Entry = fn(&At<'_>, &mut References) -> Result<Value, PlaceError>;

/// A `data-prefix`.
pub(super) fn data_prefix(data: &At<'_>, uses: &mut References) -> Result<Content, PlaceError> {
    list(data, uses, "dataprefix", |entry, _| {
        let fields = entry.fields(&["ipv4Address", "ipv4PrefixLength"])?;
        let address = fields.need("ipv4Address")?.global(|at| {
            let parsed = at.text()?.parse::<Ipv4Addr>();
            parsed.map_err(|_| at.refuse("an IPv4 address"))
        })?;
        let length = fields.need("ipv4PrefixLength")?.global(|at| at.number(0..=32))?;
        Ok(json!({ "ipPrefix": format!("{address}/{length}") }))
    })
}

/// A `data-ipv6-prefix`.
pub(super) fn data_ipv6_prefix(data: &At<'_>, uses: &mut References) -> Result<Content, PlaceError> {
    list(data, uses, "dataipv6prefix", |entry, _| {
        let fields = entry.fields(&["ipv6Address", "ipv6PrefixLength"])?;
        let address = fields.need("ipv6Address")?.global(|at| {
            let parsed = at.text()?.parse::<Ipv6Addr>();
            parsed.map_err(|_| at.refuse("an IPv6 address"))
        })?;
        let length = fields.need("ipv6PrefixLength")?.global(|at| at.number(0..=128))?;
        Ok(json!({ "ipv6Prefix": format!("{address}/{length}") }))
    })
}

/// An `sla-class`.
pub(super) fn sla_class(data: &At<'_>, uses: &mut References) -> Result<Content, PlaceError> {
    list(data, uses, "sla", |entry, uses| {
        let fields = entry.fields(&["latency", "loss", "jitter", "appProbeClass", "fallbackBestTunnel"])?;
        let mut classic = Map::new();
        metrics(
            &fields,
            &mut classic,
            [("latency", 1..=1000), ("loss", 0..=100), ("jitter", 1..=1000)],
        )?;
        if let Some(probe) = fields.get("appProbeClass") {
            classic.insert("appProbeClass".to_owned(), json!(uses.add(&probe, "app-probe")?));
        }
        if let Some(best) = fields.get("fallbackBestTunnel") {
            let fields = best.fields(&["criteria", "lossVariance", "latencyVariance", "jitterVariance"])?;
            let criteria = fields
                .need("criteria")?
                .global(|at| at.text().map(str::to_owned))?;
            let mut fallback = Map::from_iter([("criteria".to_owned(), json!(criteria))]);
            let variances = [
                ("lossVariance", 0..=100),
                ("latencyVariance", 1..=1000),
                ("jitterVariance", 1..=1000),
            ];
            metrics(&fields, &mut fallback, variances)?;
            classic.insert("fallbackBestTunnel".to_owned(), Value::Object(fallback));
        }
        Ok(Value::Object(classic))
    })
}

/// A `color`.
pub(super) fn color(data: &At<'_>, uses: &mut References) -> Result<Content, PlaceError> {
    list(data, uses, "color", |entry, _| {
        let color = entry
            .fields(&["color"])?
            .need("color")?
            .global(|at| at.parsed(value::color))?;
        Ok(json!({ "color": color }))
    })
}

/// A `tloc`.
pub(super) fn tloc(data: &At<'_>, uses: &mut References) -> Result<Content, PlaceError> {
    list(data, uses, "tloc", |entry, _| {
        let fields = entry.fields(&["tloc", "color", "encap", "preference"])?;
        let system_ip = fields.need("tloc")?.global(|at| at.parsed(value::system_ip))?;
        let color = fields.need("color")?.global(|at| at.parsed(value::color))?;
        let encap = fields
            .need("encap")?
            .global(|at| at.parsed(value::encapsulation))?;
        let mut classic = json!({ "tloc": system_ip, "color": color, "encap": encap.as_str() });
        if let Some(preference) = fields.get("preference") {
            let preference = preference.global(|at| at.parsed(value::preference))?;
            classic["preference"] = json!(preference.to_string());
        }
        Ok(classic)
    })
}

/// A `preferred-color-group`.
pub(super) fn color_group(data: &At<'_>, uses: &mut References) -> Result<Content, PlaceError> {
    const TIERS: [&str; 3] = ["primaryPreference", "secondaryPreference", "tertiaryPreference"];
    list(data, uses, "preferredcolorgroup", |entry, _| {
        let fields = entry.fields(&TIERS)?;
        fields.need(TIERS[0])?;
        let mut classic = Map::new();
        for (name, at) in TIERS.iter().filter_map(|name| Some((name, fields.get(name)?))) {
            let tier = at.fields(&["colorPreference", "pathPreference"])?;
            let colors = tier
                .need("colorPreference")?
                .global(|at| at.words(value::color))?;
            let path = tier
                .get("pathPreference")
                .map(|at| at.global(|at| at.word(&PATHS)));
            let path = path.transpose()?.unwrap_or(PATHS[0]);
            classic.insert(
                (*name).to_owned(),
                json!({ "colorPreference": colors, "pathPreference": path }),
            );
        }
        Ok(Value::Object(classic))
    })
}

/// An `app-probe`.
pub(super) fn app_probe(data: &At<'_>, uses: &mut References) -> Result<Content, PlaceError> {
    let entries = entries(data)?;
    let [entry] = entries.as_slice() else {
        return Err(data.rule(&"entries: exactly one is needed"));
    };
    let fields = entry.fields(&["map", "forwardingClass"])?;
    let class = fields.need("forwardingClass")?;
    let forwarding_class = match class.value.get("refId") {
        Some(_) => uses.add(&class, "class")?.to_string(),
        None => class.global(|at| at.parsed(value::word))?,
    };
    let mut marks = Vec::new();
    for mark in fields.need("map")?.items()? {
        let mark = mark.fields(&["color", "dscp"])?;
        let color = mark.need("color")?.global(|at| at.parsed(value::color))?;
        if let Some(dscp) = mark.get("dscp") {
            let dscp = dscp.global(|at| at.number(0..=63))?;
            marks.push((color, u8::try_from(dscp).expect("the limit is below 256")));
        }
    }
    let content = ListContent::AppProbe(AppProbe {
        forwarding_class,
        marks,
    });
    Ok(Content::List {
        kind: "appprobe",
        content,
    })
}

/// A `class`: edges have one queue.
pub(super) fn class(data: &At<'_>, _: &mut References) -> Result<Content, PlaceError> {
    let fields = one(data)?.fields(&["queue"])?;
    let queues = ["0", "1", "2", "3", "4", "5", "6", "7"];
    fields.need("queue")?.global(|at| at.word(&queues))?;
    Ok(Content::NotEmulated)
}

/// A `policer`: edges have none.
pub(super) fn policer(data: &At<'_>, _: &mut References) -> Result<Content, PlaceError> {
    let fields = one(data)?.fields(&["burst", "exceed", "rate"])?;
    fields
        .need("burst")?
        .global(|at| at.number(15_000..=10_000_000))?;
    fields.need("exceed")?.global(|at| at.word(&["drop", "remark"]))?;
    fields.need("rate")?.global(|at| at.number(8..=100_000_000_000))?;
    Ok(Content::NotEmulated)
}

/// A parcel whose entries are those of the classic list `kind` in other words.
fn list(
    data: &At<'_>,
    uses: &mut References,
    kind: &'static str,
    entry: Entry,
) -> Result<Content, PlaceError> {
    let classic = entries(data)?
        .iter()
        .map(|at| entry(at, uses))
        .collect::<Result<Vec<_>, _>>()?;
    let list = list::kind(kind).expect("the kinds that parcels become are lists");
    let content = list.content(&classic).map_err(|problem| data.rule(&problem))?;
    Ok(Content::List { kind, content })
}

fn entries<'a>(data: &At<'a>) -> Result<Vec<At<'a>>, PlaceError> {
    data.fields(&["entries"])?.need("entries")?.some_items()
}

fn one<'a>(data: &At<'a>) -> Result<At<'a>, PlaceError> {
    match <[At<'a>; 1]>::try_from(entries(data)?) {
        Ok([entry]) => Ok(entry),
        Err(_) => Err(data.rule(&"entries: exactly one is needed")),
    }
}

/// Copies the whole numbers that are there; classic lists have them as texts.
fn metrics<const N: usize>(
    from: &Fields<'_>,
    to: &mut Map<String, Value>,
    names: [(&str, std::ops::RangeInclusive<u64>); N],
) -> Result<(), PlaceError> {
    for (name, limits) in names {
        if let Some(at) = from.get(name) {
            let number = at.global(|at| at.number(limits))?;
            to.insert(name.to_owned(), json!(number.to_string()));
        }
    }
    Ok(())
}
