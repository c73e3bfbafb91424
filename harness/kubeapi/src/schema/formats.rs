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
        "uuid3" => has_uuid_version(text, 3),
        "uuid4" => has_uuid_version(text, 4),
        "uuid5" => has_uuid_version(text, 5),
        "isbn" => is_isbn10(text) || is_isbn13(text),
        "isbn10" => is_isbn10(text),
        "isbn13" => is_isbn13(text),
        "creditcard" => is_credit_card(text),
        "ssn" => is_social_security_number(text),
        "hexcolor" => is_hex_color(text),
        "rgbcolor" => is_rgb_color(text),
        "bsonobjectid" => text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "hostname" => is_hostname(text),
        "email" => is_email(text),
        "uri" => text.parse::<axum::http::Uri>().is_ok(),
        "byte" => STANDARD.decode(text).is_ok(),
        "date" => text.len() == 10 && text.parse::<Date>().is_ok(),
        "date-time" | "datetime" => text.parse::<Timestamp>().is_ok(),
        "duration" => is_go_duration(text) || has_duration_in_words(text),
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

/// A number with a unit anywhere: `3 days`, `about 2 hours`.
fn has_duration_in_words(text: &str) -> bool {
    const EXACT: [&str; 12] = ["ns", "us", "µs", "ms", "s", "m", "h", "hr", "d", "w", "wk", "min"];
    const BEGINNINGS: [&str; 8] = ["nano", "micro", "milli", "sec", "min", "hour", "day", "week"];
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        rest = rest[at..]
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .trim_start();
        let end = rest
            .find(|c: char| !c.is_ascii_alphabetic() && c != 'µ')
            .unwrap_or(rest.len());
        let unit = rest[..end].to_lowercase();
        if EXACT.contains(&unit.as_str()) || BEGINNINGS.iter().any(|begin| unit.starts_with(begin)) {
            return true;
        }
    }
    false
}

fn has_uuid_version(text: &str, version: usize) -> bool {
    uuid::Uuid::try_parse(text).is_ok_and(|uuid| uuid.get_version_num() == version)
}

/// The digits of a number that is written with spaces and dashes; empty where there is anything else.
fn digits(text: &str) -> Vec<u32> {
    let written = text.chars().filter(|c| !matches!(c, ' ' | '-'));
    written
        .map(|c| c.to_digit(10))
        .collect::<Option<_>>()
        .unwrap_or_default()
}

fn is_isbn10(text: &str) -> bool {
    let (body, check) = match text.strip_suffix(['x', 'X']) {
        Some(body) => (digits(body), 10),
        None => {
            let mut digits = digits(text);
            let check = digits.pop().unwrap_or_default();
            (digits, check)
        }
    };
    let sum: u32 = body.iter().zip(1..).map(|(digit, weight)| digit * weight).sum();
    body.len() == 9 && (sum + 10 * check).is_multiple_of(11)
}

fn is_isbn13(text: &str) -> bool {
    let digits = digits(text);
    let weights = [1, 3].into_iter().cycle();
    let sum: u32 = digits
        .iter()
        .zip(weights)
        .map(|(digit, weight)| digit * weight)
        .sum();
    digits.len() == 13 && sum.is_multiple_of(10)
}

/// By its length and the digit that checks it (ISO/IEC 7812, Luhn).
fn is_credit_card(text: &str) -> bool {
    let digits = digits(text);
    let doubled = |(at, digit): (usize, &u32)| match at % 2 {
        1 if *digit > 4 => digit * 2 - 9,
        1 => digit * 2,
        _ => *digit,
    };
    let sum: u32 = digits.iter().rev().enumerate().map(doubled).sum();
    (13..=19).contains(&digits.len()) && sum.is_multiple_of(10)
}

fn is_social_security_number(text: &str) -> bool {
    let is_shaped = |separators: usize| text.len() == 9 + separators && digits(text).len() == 9;
    match text.matches([' ', '-']).count() {
        0 => is_shaped(0),
        2 => {
            is_shaped(2)
                && [3, 6]
                    .iter()
                    .all(|&at| matches!(text.as_bytes()[at], b' ' | b'-'))
        }
        _ => false,
    }
}

fn is_hex_color(text: &str) -> bool {
    let digits = text.strip_prefix('#').unwrap_or(text);
    matches!(digits.len(), 3 | 6) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_rgb_color(text: &str) -> bool {
    let inside = text.strip_prefix("rgb(").and_then(|rest| rest.strip_suffix(')'));
    inside.is_some_and(|inside| {
        let parts: Vec<_> = inside.split(',').map(|part| part.trim().parse::<u8>()).collect();
        parts.len() == 3 && parts.iter().all(Result::is_ok)
    })
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
            ("duration", "2 days", "ten"),
            (
                "uuid4",
                "67e55044-10b1-426f-9247-bb680e5fe0c8",
                "67e55044-10b1-126f-9247-bb680e5fe0c8",
            ),
            ("isbn", "0-321-75104-3", "0321751044"),
            ("isbn10", "080442957X", "0804429570"),
            ("isbn13", "978-0-306-40615-7", "9780306406158"),
            ("creditcard", "4242 4242 4242 4242", "4242424242424241"),
            ("ssn", "111-22-3333", "1112-2-3333"),
            ("hexcolor", "#ffaa00", "ffaa0"),
            ("rgbcolor", "rgb(1, 2,255)", "rgb(1,2,256)"),
            ("bsonobjectid", "507f1f77bcf86cd799439011", "507f1f77"),
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
