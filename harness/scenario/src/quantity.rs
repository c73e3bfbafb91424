//! Durations, rates, sizes and shares as authors write them: `500ms`, `250pps`, `100mbit`, `200B`, `0.5%`.
//!
//! Owns their syntax in both directions; `parse_duration(format_duration(d)) == d` up to a day.

use std::time::Duration;

use thiserror::Error;

/// The longest duration that can be written.
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The largest DSCP, which has six bits (RFC 2474).
pub const DSCP_MAX: u8 = 63;

/// Units of a duration with their length in nanoseconds, longest first.
const UNITS: [(&str, u128); 4] = [
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
];

/// Why a text is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QuantityError {
    /// It does not have the form of a duration.
    #[error("expected a duration such as `500ms`, `1.5s` or `2m`, found `{0}`")]
    Duration(String),
    /// It has digits below a nanosecond.
    #[error("expected a duration of whole nanoseconds, found `{0}`")]
    TooFine(String),
    /// It is longer than [`LONGEST`].
    #[error("expected a duration of at most 24 hours, found `{0}`")]
    TooLong(String),
    /// It does not have the form of a rate.
    #[error("expected a rate such as `250pps`, found `{0}`")]
    Rate(String),
    /// It does not have the form of a size.
    #[error("expected a size such as `200B`, found `{0}`")]
    Size(String),
    /// It does not have the form of a bit rate.
    #[error("expected a bit rate such as `100mbit`, found `{0}`")]
    BitRate(String),
    /// It does not have the form of a share of packets.
    #[error("expected a share of packets such as `0.5%`, with four decimals at most, found `{0}`")]
    Share(String),
}

/// Reads a duration: a decimal number and one of the units `m`, `s`, `ms`, `us`.
///
/// # Errors
/// When the text has another form, is finer than a nanosecond or longer than [`LONGEST`].
pub fn parse_duration(text: &str) -> Result<Duration, QuantityError> {
    let malformed = || QuantityError::Duration(text.to_owned());
    let unit_at = text
        .find(|c: char| c != '.' && !c.is_ascii_digit())
        .ok_or_else(malformed)?;
    let (number, unit) = text.split_at(unit_at);
    let (_, unit_ns) = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(malformed)?;
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return Err(malformed()),
        Some((whole, fraction)) => (whole, fraction),
        None => (number, ""),
    };
    let is_digits = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
        return Err(malformed());
    }
    let too_long = || QuantityError::TooLong(text.to_owned());
    let too_fine = || QuantityError::TooFine(text.to_owned());
    let whole: u64 = whole.parse().map_err(|_| too_long())?;
    let fraction = fraction.trim_end_matches('0');
    let digits = u32::try_from(fraction.len())
        .ok()
        .filter(|n| *n <= 12)
        .ok_or_else(too_fine)?;
    let scale = 10_u128.pow(digits);
    let numerator: u128 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().map_err(|_| too_fine())?
    };
    let scaled = numerator * unit_ns;
    if !scaled.is_multiple_of(scale) {
        return Err(too_fine());
    }
    let total = u128::from(whole) * unit_ns + scaled / scale;
    if total > LONGEST.as_nanos() {
        return Err(too_long());
    }
    Ok(Duration::from_nanos(
        u64::try_from(total).map_err(|_| too_long())?,
    ))
}

/// Writes a duration with the longest unit that needs no fraction, else in milliseconds.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let total = duration.as_nanos();
    if total == 0 {
        return "0s".to_owned();
    }
    if let Some((name, length)) = UNITS[..3]
        .iter()
        .find(|(_, length)| total.is_multiple_of(*length))
    {
        return format!("{}{name}", total / length);
    }
    let text = format!("{}.{:06}", total / 1_000_000, total % 1_000_000);
    format!("{}ms", text.trim_end_matches('0'))
}

/// Reads a rate in probes a second, `250pps`.
///
/// # Errors
/// When the text has another form.
pub fn parse_rate(text: &str) -> Result<u32, QuantityError> {
    number_with_unit(text, "pps").ok_or_else(|| QuantityError::Rate(text.to_owned()))
}

/// Reads a size in bytes, `200B`.
///
/// # Errors
/// When the text has another form.
pub fn parse_size(text: &str) -> Result<u32, QuantityError> {
    number_with_unit(text, "B").ok_or_else(|| QuantityError::Size(text.to_owned()))
}

/// Reads a bit rate, a whole number and `kbit`, `mbit` or `gbit`, as bits a second.
///
/// # Errors
/// When the text has another form.
pub fn parse_bit_rate(text: &str) -> Result<u64, QuantityError> {
    [("kbit", 1_000), ("mbit", 1_000_000), ("gbit", 1_000_000_000_u64)]
        .into_iter()
        .find_map(|(unit, bits)| Some(u64::from(number_with_unit(text, unit)?) * bits))
        .ok_or_else(|| QuantityError::BitRate(text.to_owned()))
}

/// Reads a share of packets, `0.5%`, in millionths.
///
/// # Errors
/// When the text has another form or is more than `100%`.
pub fn parse_share(text: &str) -> Result<u32, QuantityError> {
    const DECIMALS: usize = 4;
    let malformed = || QuantityError::Share(text.to_owned());
    let number = text.strip_suffix('%').ok_or_else(malformed)?;
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return Err(malformed()),
        Some((whole, fraction)) => (whole, fraction.trim_end_matches('0')),
        None => (number, ""),
    };
    let is_digits = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) || fraction.len() > DECIMALS {
        return Err(malformed());
    }
    let millionths = format!("{whole}{fraction:0<DECIMALS$}").parse().ok();
    millionths
        .filter(|millionths| *millionths <= 1_000_000)
        .ok_or_else(malformed)
}

fn number_with_unit(text: &str, unit: &str) -> Option<u32> {
    let number = text.strip_suffix(unit)?;
    if !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("500ms", 500_000_000)]
    #[case("1s", 1_000_000_000)]
    #[case("1.5s", 1_500_000_000)]
    #[case("2m", 120_000_000_000)]
    #[case("0s", 0)]
    #[case("250us", 250_000)]
    #[case("0.000001ms", 1)]
    fn durations_are_read_exactly(#[case] text: &str, #[case] nanos: u64) {
        assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)));
    }

    #[rstest]
    #[case("")]
    #[case("500")]
    #[case("ms")]
    #[case(".5s")]
    #[case("1.s")]
    #[case("1.2.3s")]
    #[case("-1s")]
    #[case("1 s")]
    #[case("1h")]
    #[case("1s1s")]
    fn other_forms_are_no_durations(#[case] text: &str) {
        assert_eq!(
            parse_duration(text),
            Err(QuantityError::Duration(text.to_owned()))
        );
    }

    #[test]
    fn durations_have_limits() {
        assert_eq!(
            parse_duration("0.0001us"),
            Err(QuantityError::TooFine("0.0001us".to_owned()))
        );
        assert_eq!(
            parse_duration("1441m"),
            Err(QuantityError::TooLong("1441m".to_owned()))
        );
        assert!(matches!(
            parse_duration("99999999999999999999s"),
            Err(QuantityError::TooLong(_))
        ));
    }

    #[rstest]
    #[case("250pps", Some(250))]
    #[case("pps", None)]
    #[case("250", None)]
    #[case("+250pps", None)]
    #[case("2.5pps", None)]
    fn rates_are_whole_numbers_with_their_unit(#[case] text: &str, #[case] rate: Option<u32>) {
        assert_eq!(parse_rate(text).ok(), rate);
    }

    #[rstest]
    #[case("100mbit", Some(100_000_000))]
    #[case("64kbit", Some(64_000))]
    #[case("2gbit", Some(2_000_000_000))]
    #[case("100", None)]
    #[case("1.5mbit", None)]
    #[case("100Mbit", None)]
    fn bit_rates_are_whole_numbers_with_their_unit(#[case] text: &str, #[case] rate: Option<u64>) {
        assert_eq!(parse_bit_rate(text).ok(), rate);
    }

    #[rstest]
    #[case("0.5%", Some(5_000))]
    #[case("100%", Some(1_000_000))]
    #[case("0.0001%", Some(1))]
    #[case("2.50%", Some(25_000))]
    #[case("0.00001%", None)]
    #[case("100.1%", None)]
    #[case("5", None)]
    #[case(".5%", None)]
    #[case("5.%", None)]
    #[case("-1%", None)]
    fn shares_are_percentages(#[case] text: &str, #[case] millionths: Option<u32>) {
        assert_eq!(parse_share(text).ok(), millionths);
    }

    proptest! {
        #[test]
        fn a_written_duration_reads_back(nanos in 0..=86_400_000_000_000_u64) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
    }
}
