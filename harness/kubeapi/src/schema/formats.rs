//! The formats a string can be required to have, of those kube-apiserver knows and schemas use.
//!
//! # Limits
//! A format that is not listed is not checked, as an unknown one is not upstream either.

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use jiff::Timestamp;
use jiff::civil::Date;

/// Whether `text` has the format, or the format is not known.
pub(super) fn has(format: &str, text: &str) -> bool {
    match format {
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => text.parse::<IpNet>().is_ok(),
        "mac" => is_mac(text),
        "uuid" => uuid::Uuid::try_parse(text).is_ok(),
        "hostname" => is_hostname(text),
        "email" => is_email(text),
        "uri" => text.parse::<axum::http::Uri>().is_ok(),
        "byte" => STANDARD.decode(text).is_ok(),
        "date" => text.len() == 10 && text.parse::<Date>().is_ok(),
        "date-time" | "datetime" => text.parse::<Timestamp>().is_ok(),
        "duration" => is_go_duration(text),
        _ => true,
    }
}

/// The six octets of a MAC address, or the eight of an EUI-64, behind `:` or `-`.
fn is_mac(text: &str) -> bool {
    let separator = if text.contains('-') { '-' } else { ':' };
    let octets: Vec<&str> = text.split(separator).collect();
    let is_octet = |octet: &&str| octet.len() == 2 && octet.bytes().all(|byte| byte.is_ascii_hexdigit());
    matches!(octets.len(), 6 | 8) && octets.iter().all(is_octet)
}

fn is_hostname(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= 255 && text.split('.').all(is_label)
}

fn is_email(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && !local.contains(char::is_whitespace) && is_hostname(domain)
    })
}

/// The durations of Go: `1h30m`, `-1.5s`, `0`.
fn is_go_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let number = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        if rest[..number].parse::<f64>().is_err() {
            return false;
        }
        rest = &rest[number..];
        let Some(unit) = ["ns", "us", "µs", "ms", "s", "m", "h"]
            .into_iter()
            .find(|unit| rest.starts_with(unit))
        else {
            return false;
        };
        rest = &rest[unit.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::has;

    #[test]
    fn each_format_tells_what_has_it_from_what_has_not() {
        for (format, good, bad) in [
            ("ipv4", "192.0.2.1", "192.0.2.256"),
            ("ipv6", "2001:db8::1", "2001:db8:::1"),
            ("cidr", "10.0.0.0/8", "10.0.0.0"),
            ("mac", "02:00:5e:10:00:01", "02:00:5e:10:00"),
            ("uuid", "67e55044-10b1-426f-9247-bb680e5fe0c8", "67e55044"),
            ("hostname", "a.example", "-a.example"),
            ("email", "a@b.example", "a b"),
            ("uri", "https://a.example/b?c", "http://[::1"),
            ("byte", "YWJj", "YWJ"),
            ("date", "2026-02-28", "2026-02-30"),
            ("date-time", "2026-02-28T10:00:00Z", "2026-02-28 10"),
            ("duration", "1h30.5m10ms", "1 fortnight"),
        ] {
            assert!(has(format, good), "{format} {good}");
            assert!(!has(format, bad), "{format} {bad}");
        }
        assert!(has("of-somebody", "anything"));
    }

    #[test]
    fn durations_are_those_of_go() {
        for (text, expected) in [
            ("0", true),
            ("-1.5s", true),
            ("", false),
            ("5", false),
            ("s", false),
        ] {
            assert_eq!(has("duration", text), expected, "{text}");
        }
    }
}
