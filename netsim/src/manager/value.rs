//! The scalar values of Manager objects, which the API carries as strings.
//!
//! Owns their grammar (names, prefixes, ranges, colors); knows nothing of the objects they stand in.
//! Invariant: what parses here is in the range that the product documents, and an error shows the accepted form.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::de::{self, IgnoredAny};
use serde::{Deserialize, Deserializer};
use uuid::Uuid;

/// A value outside its grammar.
#[derive(Debug, thiserror::Error)]
#[error("`{value}` is not {accepted}")]
pub(super) struct ValueError {
    value: String,
    accepted: &'static str,
}

impl ValueError {
    fn new(value: &str, accepted: &'static str) -> Self {
        Self {
            value: value.to_owned(),
            accepted,
        }
    }
}

/// All colors that the product has; there are no others.
pub(super) const COLORS: [&str; 22] = [
    "default",
    "mpls",
    "metro-ethernet",
    "biz-internet",
    "public-internet",
    "lte",
    "3g",
    "red",
    "green",
    "blue",
    "gold",
    "silver",
    "bronze",
    "custom1",
    "custom2",
    "custom3",
    "private1",
    "private2",
    "private3",
    "private4",
    "private5",
    "private6",
];

/// How a tunnel wraps packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encapsulation {
    /// ESP over UDP.
    Ipsec,
    /// GRE.
    Gre,
}

impl Encapsulation {
    /// As the API spells it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ipsec => "ipsec",
            Self::Gre => "gre",
        }
    }
}

/// Which objects a name is for: they differ in the length allowed.
#[derive(Debug, Clone, Copy)]
pub(super) enum NameOf {
    /// A list.
    List,
    /// A policy definition.
    Definition,
    /// A vSmart policy.
    Policy,
    /// A counter of a sequence.
    Counter,
}

impl NameOf {
    fn limit(self) -> (usize, &'static str) {
        match self {
            Self::List => (32, "a list name: 1 to 32 of letters, digits, `-` and `_`"),
            Self::Definition => (128, "a definition name: 1 to 128 of letters, digits, `-` and `_`"),
            Self::Policy => (127, "a policy name: 1 to 127 of letters, digits, `-` and `_`"),
            Self::Counter => (20, "a counter name: 1 to 20 of letters, digits, `-` and `_`"),
        }
    }
}

/// Checks a name.
pub(super) fn name(of: NameOf, text: &str) -> Result<(), ValueError> {
    let (limit, accepted) = of.limit();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=limit).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(());
    }
    Err(ValueError::new(text, accepted))
}

/// An IPv4 prefix; host bits are cleared, as the edges do.
pub(super) fn ipv4_prefix(text: &str) -> Result<IpNet, ValueError> {
    text.parse::<Ipv4Net>()
        .map(|prefix| IpNet::V4(prefix.trunc()))
        .map_err(|_| ValueError::new(text, "an IPv4 prefix such as 10.0.0.5/32"))
}

/// An IPv6 prefix; host bits are cleared, as the edges do.
pub(super) fn ipv6_prefix(text: &str) -> Result<IpNet, ValueError> {
    text.parse::<Ipv6Net>()
        .map(|prefix| IpNet::V6(prefix.trunc()))
        .map_err(|_| ValueError::new(text, "an IPv6 prefix such as fd00::5/128"))
}

/// A color.
pub(super) fn color(text: &str) -> Result<String, ValueError> {
    if COLORS.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(ValueError::new(
        text,
        "one of the 22 colors, such as biz-internet",
    ))
}

/// One or more colors with spaces between them, in the order of their first mention.
pub(super) fn colors(text: &str) -> Result<Vec<String>, ValueError> {
    let mut colors = Vec::new();
    for found in words(text, "one or more colors with spaces between them", color)? {
        if !colors.contains(&found) {
            colors.push(found);
        }
    }
    Ok(colors)
}

/// The id of a list.
pub(super) fn list_id(text: &str) -> Result<Uuid, ValueError> {
    Uuid::parse_str(text).map_err(|_| ValueError::new(text, "a list id"))
}

/// The preference of a TLOC.
pub(super) fn preference(text: &str) -> Result<u32, ValueError> {
    number(text, 0..=u32::MAX, "a preference from 0 to 4294967295")
}

/// An address that packets are sent on to.
pub(super) fn address(text: &str) -> Result<IpAddr, ValueError> {
    text.parse()
        .map_err(|_| ValueError::new(text, "an IP address such as 10.0.0.1 or fd00::1"))
}

/// An IPv6 address that packets are sent on to.
pub(super) fn ipv6_address(text: &str) -> Result<Ipv6Addr, ValueError> {
    text.parse()
        .map_err(|_| ValueError::new(text, "an IPv6 address such as fd00::1"))
}

/// A part of Microsoft's services.
pub(super) fn service_area(text: &str) -> Result<String, ValueError> {
    const AREAS: [&str; 4] = ["common", "exchange", "sharepoint", "skype"];
    one_of(text, &AREAS, "common, exchange, sharepoint or skype")
}

/// A service chain.
pub(super) fn service_chain(text: &str) -> Result<String, ValueError> {
    match is_numbered(text, "SC", 16) {
        true => Ok(text.to_owned()),
        false => Err(ValueError::new(text, "a service chain from SC1 to SC16")),
    }
}

/// A group of service nodes; empty stands for the default one.
pub(super) fn service_node_group(text: &str) -> Result<(), ValueError> {
    const GROUP: &str = "SNG-APPQOE";
    const ACCEPTED: &str = "a service node group: empty, SNG-APPQOE, or SNG-APPQOE1 to SNG-APPQOE31";
    match text.is_empty() || text == GROUP || is_numbered(text, GROUP, 31) {
        true => Ok(()),
        false => Err(ValueError::new(text, ACCEPTED)),
    }
}

fn is_numbered(text: &str, name: &str, last: u8) -> bool {
    let number = text.strip_prefix(name);
    number.is_some_and(|text| !text.starts_with('0') && number_in(text, &(1..=last)).is_some())
}

/// The word of the command language for one that the API spells in camel case.
pub(super) fn kebab(word: &str) -> String {
    let mut kebab = String::new();
    for letter in word.chars() {
        if letter.is_ascii_uppercase() {
            kebab.push('-');
        }
        kebab.push(letter.to_ascii_lowercase());
    }
    kebab
}

/// A forwarding class.
pub(super) fn forwarding_class(text: &str) -> Result<String, ValueError> {
    const ACCEPTED: &str = "a forwarding class: 1 to 32 printable characters without spaces";
    match word(text) {
        Ok(class) if class.len() <= 32 => Ok(class),
        _ => Err(ValueError::new(text, ACCEPTED)),
    }
}

/// The system IP of a TLOC.
pub(super) fn system_ip(text: &str) -> Result<Ipv4Addr, ValueError> {
    text.parse()
        .map_err(|_| ValueError::new(text, "a system IP such as 10.255.0.1"))
}

/// The encapsulation of a TLOC.
pub(super) fn encapsulation(text: &str) -> Result<Encapsulation, ValueError> {
    match text {
        "ipsec" => Ok(Encapsulation::Ipsec),
        "gre" => Ok(Encapsulation::Gre),
        _ => Err(ValueError::new(text, "an encapsulation: ipsec or gre")),
    }
}

/// A site id or a range of them.
pub(super) fn sites(text: &str) -> Result<RangeInclusive<u32>, ValueError> {
    range(
        text,
        1..=u32::MAX,
        "a site id or range such as 100 or 100-200, from 1 to 4294967295",
    )
}

/// A service VPN or a range of them.
pub(super) fn service_vpns(text: &str) -> Result<RangeInclusive<u16>, ValueError> {
    range(
        text,
        0..=65530,
        "a VPN or range such as 10 or 10-20, from 0 to 65530",
    )
}

/// A transport port or a range of them.
pub(super) fn ports(text: &str) -> Result<RangeInclusive<u16>, ValueError> {
    range(
        text,
        0..=u16::MAX,
        "a port or range such as 80 or 8000-8080, from 0 to 65535",
    )
}

/// The length of a packet or a range of them, in octets.
pub(super) fn packet_lengths(text: &str) -> Result<RangeInclusive<u16>, ValueError> {
    range(
        text,
        0..=u16::MAX,
        "a packet length or range such as 1500 or 64-1500, from 0 to 65535",
    )
}

/// An IP protocol number.
pub(super) fn protocol(text: &str) -> Result<u8, ValueError> {
    number(text, 0..=u8::MAX, "an IP protocol number from 0 to 255")
}

/// A DSCP value.
pub(super) fn dscp(text: &str) -> Result<u8, ValueError> {
    number(text, 0..=63, "a DSCP value from 0 to 63")
}

/// A decimal number within `limits`.
pub(super) fn number<T>(
    text: &str,
    limits: RangeInclusive<T>,
    accepted: &'static str,
) -> Result<T, ValueError>
where
    T: FromStr + PartialOrd,
{
    number_in(text, &limits).ok_or_else(|| ValueError::new(text, accepted))
}

fn number_in<T: FromStr + PartialOrd>(text: &str, limits: &RangeInclusive<T>) -> Option<T> {
    // `FromStr` of integers also takes a plus sign, which the product does not.
    Some(text)
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .filter(|number| limits.contains(number))
}

/// A name that another part of the product gave: printable, without spaces.
pub(super) fn word(text: &str) -> Result<String, ValueError> {
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    match fits {
        true => Ok(text.to_owned()),
        false => Err(ValueError::new(
            text,
            "a name of printable characters without spaces",
        )),
    }
}

/// A word of `accepted`, which are spelled out in `form`.
pub(super) fn one_of(text: &str, accepted: &[&str], form: &'static str) -> Result<String, ValueError> {
    match accepted.contains(&text) {
        true => Ok(text.to_owned()),
        false => Err(ValueError::new(text, form)),
    }
}

/// Refuses a text that does not fit.
pub(super) fn check(text: &str, fits: bool, accepted: &'static str) -> Result<(), ValueError> {
    match fits {
        true => Ok(()),
        false => Err(ValueError::new(text, accepted)),
    }
}

/// A flag that its presence switches on: `"restrict": ""`, and even `"restrict": false`.
pub(super) fn presence<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// A flag that clients write as a boolean, as its word or, to switch it on, as an empty text.
pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match &serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Bool(on) => Ok(*on),
        serde_json::Value::String(text) if text.is_empty() || text == "true" => Ok(true),
        serde_json::Value::String(text) if text == "false" => Ok(false),
        other => Err(de::Error::custom(format_args!("{other} is not true or false"))),
    }
}

/// One or more values with spaces between them.
pub(super) fn words<T>(
    text: &str,
    accepted: &'static str,
    parse: impl Fn(&str) -> Result<T, ValueError>,
) -> Result<Vec<T>, ValueError> {
    let values = text
        .split_ascii_whitespace()
        .map(parse)
        .collect::<Result<Vec<_>, _>>()?;
    if values.is_empty() {
        return Err(ValueError::new(text, accepted));
    }
    Ok(values)
}

/// A number or a range of them.
pub(super) fn range<T>(
    text: &str,
    limits: RangeInclusive<T>,
    accepted: &'static str,
) -> Result<RangeInclusive<T>, ValueError>
where
    T: FromStr + PartialOrd + Copy,
{
    let bound =
        |part: &str| number(part, limits.clone(), accepted).map_err(|_| ValueError::new(text, accepted));
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (bound(first)?, bound(last)?),
        None => (bound(text)?, bound(text)?),
    };
    if first > last {
        return Err(ValueError::new(text, accepted));
    }
    Ok(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::shortest("a", true)]
    #[case::all_classes("team-a_B9", true)]
    #[case::longest("a2345678901234567890123456789012", true)]
    #[case::empty("", false)]
    #[case::too_long("a23456789012345678901234567890123", false)]
    #[case::space("a b", false)]
    #[case::dot("a.b", false)]
    #[case::not_ascii("é", false)]
    fn list_names_follow_the_rule(#[case] text: &str, #[case] accepted: bool) {
        assert_eq!(name(NameOf::List, text).is_ok(), accepted);
    }

    #[rstest]
    #[case("100", Some(100..=100))]
    #[case("100-200", Some(100..=200))]
    #[case("4294967295", Some(u32::MAX..=u32::MAX))]
    #[case("0", None)]
    #[case("200-100", None)]
    #[case("4294967296", None)]
    #[case("+1", None)]
    #[case("1-", None)]
    #[case("", None)]
    #[case("1-2-3", None)]
    fn site_ranges_are_bounded(#[case] text: &str, #[case] expected: Option<RangeInclusive<u32>>) {
        assert_eq!(sites(text).ok(), expected);
    }

    #[test]
    fn a_prefix_loses_its_host_bits() {
        assert_eq!(ipv4_prefix("10.1.2.3/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(ipv6_prefix("fd00::5/64").unwrap().to_string(), "fd00::/64");
    }

    #[test]
    fn an_address_is_not_a_prefix() {
        let error = ipv4_prefix("10.1.2.3").unwrap_err().to_string();
        assert_eq!(error, "`10.1.2.3` is not an IPv4 prefix such as 10.0.0.5/32");
    }

    #[test]
    fn colors_are_spelled_as_the_product_does() {
        assert!(color("biz-internet").is_ok());
        assert!(color("bizinternet").is_err());
    }

    #[test]
    fn words_need_at_least_one() {
        assert_eq!(words("80 443 8000-8080", "ports", ports).unwrap().len(), 3);
        assert!(words("  ", "ports", ports).is_err());
    }
}
