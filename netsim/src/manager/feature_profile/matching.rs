//! What the sequences of traffic policies match.
//!
//! Owns the fields of match entries and their translation into classic ones; what edges do not act on is noted, and checked
//! no further than that it is an option. Invariant: every entry is in the translation, or noted.

use serde_json::{Value, json};

use super::References;
use super::at::{At, PlaceError};
use crate::manager::value;

const MATCH_FIELDS: [&str; 26] = [
    "sourceDataPrefixList",
    "destinationDataPrefixList",
    "sourceDataIpv6PrefixList",
    "destinationDataIpv6PrefixList",
    "sourceIp",
    "destinationIp",
    "sourceIpv6",
    "destinationIpv6",
    "sourcePort",
    "destinationPort",
    "protocol",
    "dscp",
    "icmpMessage",
    "icmp6Message",
    "dns",
    "destinationRegion",
    "trafficTo",
    "appList",
    "dnsAppList",
    "saasAppList",
    "serviceArea",
    "trafficCategory",
    "trafficClass",
    "packetLength",
    "tcp",
    "hierarchyUuid",
];

const REGIONS: [&str; 3] = ["primary-region", "secondary-region", "other-region"];

/// `match` in classic terms.
#[derive(Debug, Default)]
pub(super) struct Matched {
    pub(super) entries: Vec<Value>,
    pub(super) not_emulated: Option<&'static str>,
}

/// Reads `match`.
pub(super) fn read_match(at: &At<'_>, uses: &mut References) -> Result<Matched, PlaceError> {
    let mut matched = Matched::default();
    for entry in at.fields(&["entries"])?.need("entries")?.items()? {
        let (field, at) = entry.only_field(&MATCH_FIELDS)?;
        match read_entry(field, &at, uses)? {
            Some((key, value)) => matched.entries.push(json!({ "field": field, key: value })),
            None => matched.not_emulated = matched.not_emulated.or(Some(field)),
        }
    }
    Ok(matched)
}

/// The `ref` or `value` of a classic match entry; nothing for a field that is not emulated.
fn read_entry(
    field: &str,
    at: &At<'_>,
    uses: &mut References,
) -> Result<Option<(&'static str, String)>, PlaceError> {
    let words = |at: &At<'_>, words: &[&'static str]| {
        at.option(words[0].to_owned(), |at| at.word(words).map(str::to_owned))
    };
    let text = match field {
        "sourceDataPrefixList" | "destinationDataPrefixList" => {
            return Ok(Some(("ref", uses.add(at, "data-prefix")?.to_string())));
        }
        "sourceDataIpv6PrefixList" | "destinationDataIpv6PrefixList" => {
            return Ok(Some(("ref", uses.add(at, "data-ipv6-prefix")?.to_string())));
        }
        "sourceIp" | "destinationIp" => at.option("0.0.0.0/0".to_owned(), |at| {
            at.parsed(value::ipv4_prefix).map(|prefix| prefix.to_string())
        })?,
        "sourceIpv6" | "destinationIpv6" => at.option("::/0".to_owned(), |at| {
            at.parsed(value::ipv6_prefix).map(|prefix| prefix.to_string())
        })?,
        "sourcePort" | "destinationPort" => at.option("0".to_owned(), |at| at.words(value::ports))?,
        "protocol" => at.option("0".to_owned(), |at| at.words(value::protocol))?,
        "dscp" => at.option("0".to_owned(), |at| code_points(&at))?,
        "icmpMessage" => at.option("echo".to_owned(), |at| at.words(value::word))?,
        "dns" => words(at, &["request", "response"])?,
        "destinationRegion" => words(at, &REGIONS)?,
        "trafficTo" => words(at, &["core", "service", "access"])?,
        "appList" | "dnsAppList" | "saasAppList" => {
            uses.add(at, "app-list")?;
            return Ok(None);
        }
        _ => {
            at.option((), |_| Ok(()))?;
            return Ok(None);
        }
    };
    Ok(Some(("value", text)))
}

fn code_points(at: &At<'_>) -> Result<String, PlaceError> {
    if !at.value.is_array() {
        return Ok(at.number(0..=63)?.to_string());
    }
    let numbers = at
        .some_items()?
        .into_iter()
        .map(|at| Ok(at.number(0..=63)?.to_string()));
    Ok(numbers.collect::<Result<Vec<_>, _>>()?.join(" "))
}
