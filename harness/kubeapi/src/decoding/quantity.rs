//! Amounts of resources, in the form that upstream gives them.
//!
//! # Limits
//! Amounts of more than 10^21, which have no suffix, are kept as they were written.

const PATTERN: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const SUFFIX: &str = "unable to parse quantity's suffix";

/// Suffixes of powers of 1,000, from the ninth digit behind the point on.
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
/// Of powers of 1,024.
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
/// The most digits that upstream reads without looking twice.
const QUICK_DIGITS: usize = 18;

/// What follows a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    /// A power of ten, by its suffix.
    Suffix(i32),
    /// A power of ten, as `e3`.
    Exponent(i32),
    /// A power of 1,024.
    Binary(u32),
}

/// A quantity as it was written.
struct Written<'a> {
    is_negative: bool,
    /// Without leading zeros, but for the only one.
    whole: &'a str,
    fraction: &'a str,
    scale: Scale,
}

/// The canonical form of a quantity, or what upstream says of a text that is none.
pub(super) fn canonical(text: &str) -> Result<String, &'static str> {
    let written = parse(text)?;
    if written.keeps_its_text() {
        return Ok(text.to_owned());
    }
    let sign = if written.is_negative { "-" } else { "" };
    let amount = match written.scale {
        Scale::Binary(power) => written.in_binary(power),
        Scale::Suffix(exponent) => decimal(&written.digits(), exponent - written.places(), &|of| suffix(of)),
        Scale::Exponent(exponent) => {
            decimal(&written.digits(), exponent - written.places(), &|of| match of {
                0 => Some(String::new()),
                of => Some(format!("e{of}")),
            })
        }
    };
    Ok(match amount {
        Some(amount) if amount == "0" => amount,
        Some(amount) => format!("{sign}{amount}"),
        None => text.to_owned(),
    })
}

fn parse(text: &str) -> Result<Written<'_>, &'static str> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (whole, rest) = unsigned.split_at(digits(unsigned));
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits(rest)),
        None => ("", rest),
    };
    if text.is_empty() {
        return Err(PATTERN);
    }
    let behind = rest.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let power = behind.strip_prefix(['+', '-']).unwrap_or(behind);
    if !power.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(PATTERN);
    }
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    Ok(Written {
        is_negative: text.starts_with('-'),
        whole,
        fraction,
        scale: scale(rest).ok_or(SUFFIX)?,
    })
}

fn scale(suffix: &str) -> Option<Scale> {
    let place = |suffixes: &[&str]| suffixes.iter().position(|&known| known == suffix);
    if let Some(at) = place(&DECIMAL) {
        return Some(Scale::Suffix(i32::try_from(at).ok()? * 3 - 9));
    }
    if let Some(at) = place(&BINARY) {
        return Some(Scale::Binary(u32::try_from(at).ok()?));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    // More than anyone means, and little enough to count with.
    let exponent: i16 = exponent.parse().ok()?;
    Some(Scale::Exponent(exponent.into()))
}

impl Written<'_> {
    /// All digits, of which [`Self::places`] are behind the point.
    fn digits(&self) -> String {
        format!("{}{}", self.whole, self.fraction)
    }

    fn places(&self) -> i32 {
        i32::try_from(self.fraction.len()).unwrap_or(i32::MAX)
    }

    /// Upstream takes what looks canonical at first glance for canonical.
    fn keeps_its_text(&self) -> bool {
        let digits = self.digits();
        match self.scale {
            Scale::Binary(power) => {
                let value: u64 = digits.parse().unwrap_or_default();
                let digits_max = 14_usize.saturating_sub(power as usize * 3);
                self.fraction.is_empty() && digits.len() <= digits_max && !value.is_multiple_of(8)
            }
            Scale::Suffix(exponent) | Scale::Exponent(exponent) => {
                let scale = exponent.saturating_sub(self.places());
                let is_in_place = scale % 3 == 0 && scale >= -9;
                digits.len() <= QUICK_DIGITS
                    && is_in_place
                    && !digits.ends_with("000")
                    && !digits.starts_with('0')
            }
        }
    }

    /// In powers of 1,024 if that is exact, and else in those of ten.
    fn in_binary(&self, power: u32) -> Option<String> {
        let factor = 1024_u128.checked_pow(power)?;
        let digits: u128 = self.digits().parse().ok()?;
        let parts = 10_u128.checked_pow(self.fraction.len().try_into().ok()?);
        let product = digits.checked_mul(factor);
        let most = u128::from(i64::MAX.unsigned_abs());
        let Some((product, parts)) = product
            .zip(parts)
            .filter(|(product, parts)| product / parts <= most)
        else {
            return Some(most.to_string());
        };
        if product % parts != 0 || product / parts < 1024 {
            return decimal(&product.to_string(), -self.places(), &|of| suffix(of));
        }
        let (mut value, mut at) = (product / parts, 0);
        while value.is_multiple_of(1024) && at + 1 < BINARY.len() {
            (value, at) = (value / 1024, at + 1);
        }
        Some(format!("{value}{}", BINARY[at]))
    }
}

/// Digits by a power of ten, with as few of them as a power of 1,000 allows; nothing smaller than 10^-9 is left over.
fn decimal(digits: &str, exponent: i32, suffix: &dyn Fn(i32) -> Option<String>) -> Option<String> {
    let (mut digits, mut exponent) = (digits.trim_start_matches('0').to_owned(), exponent);
    if digits.is_empty() {
        return Some("0".to_owned());
    }
    if exponent < -9 {
        let cut = usize::try_from(-9 - exponent).ok()?.min(digits.len());
        let rest = digits.split_off(digits.len() - cut);
        let mut kept: u128 = if digits.is_empty() {
            0
        } else {
            digits.parse().ok()?
        };
        if rest.bytes().any(|digit| digit != b'0') {
            kept += 1;
        }
        (digits, exponent) = (kept.to_string(), -9);
    }
    let significant = digits.trim_end_matches('0').len();
    exponent += i32::try_from(digits.len() - significant).ok()?;
    digits.truncate(significant);
    while exponent % 3 != 0 {
        digits.push('0');
        exponent -= 1;
    }
    Some(format!("{digits}{}", suffix(exponent)?))
}

/// The suffix of a power of ten.
fn suffix(exponent: i32) -> Option<String> {
    let at = usize::try_from((exponent + 9) / 3).ok()?;
    DECIMAL.get(at).map(|&suffix| suffix.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_the_form_of_upstream() {
        for (written, expected) in [
            ("0", "0"),
            ("0.0", "0"),
            ("-0Mi", "0"),
            ("1", "1"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("0.5", "500m"),
            ("0.1", "100m"),
            (".25", "250m"),
            ("1.", "1."),
            (".", "0"),
            ("Mi", "0"),
            ("00", "0"),
            ("0100", "0100"),
            ("007Mi", "007Mi"),
            ("0.100", "100m"),
            ("1.500", "1.500"),
            ("1e+3", "1e+3"),
            ("+5", "+5"),
            ("-1000m", "-1"),
            ("1000", "1k"),
            ("1200", "1200"),
            ("10", "10"),
            ("100", "100"),
            ("1000000", "1M"),
            ("1024Mi", "1Gi"),
            ("1025Mi", "1025Mi"),
            ("1048576Ki", "1Gi"),
            ("512Ki", "512Ki"),
            ("1.5Gi", "1536Mi"),
            ("0.5Mi", "512Ki"),
            ("0.1Gi", "107374182400m"),
            ("0.5Ki", "512"),
            ("1e3", "1e3"),
            ("1000e3", "1e6"),
            ("1E", "1E"),
            ("12E3", "12E3"),
            ("1e1", "10"),
            ("0.0000000001", "1n"),
            ("1.0000000001", "1000000001n"),
            ("16Ei", "9223372036854775807"),
            ("1u", "1u"),
            ("1000u", "1m"),
            ("128974848", "128974848"),
        ] {
            assert_eq!(canonical(written).as_deref(), Ok(expected), "{written}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_told_as_upstream_tells_it() {
        for (written, why) in [
            ("", PATTERN),
            ("1.5.5", PATTERN),
            ("1 Gi", PATTERN),
            ("ten", PATTERN),
            ("1Kii", SUFFIX),
            ("1KB", PATTERN),
            ("1K", SUFFIX),
            ("1e-2147483648", SUFFIX),
        ] {
            assert_eq!(canonical(written), Err(why), "{written}");
        }
    }
}
