//! Numbers and times as people read them, in verdicts and in reports.

/// A count with thousands separated, `12,345`.
#[must_use]
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun, `1 probe`, `2 probes`.
#[must_use]
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Nanoseconds in milliseconds, cut to the microsecond and without trailing zeros, `34.2 ms`.
#[must_use]
pub fn ms(ns: u64) -> String {
    let text = ms_fixed(ns);
    format!("{} ms", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Nanoseconds in milliseconds with three decimals and no unit, for a column of a table.
#[must_use]
pub fn ms_fixed(ns: u64) -> String {
    format!("{}.{:03}", count(ns / 1_000_000), ns % 1_000_000 / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(count),
            ["0", "999", "1,000", "1,234,567"]
        );
    }

    #[test]
    fn one_is_singular() {
        assert_eq!(
            [0, 1, 2].map(|n| counted(n, "probe")),
            ["0 probes", "1 probe", "2 probes"]
        );
    }

    #[test]
    fn milliseconds_are_exact_to_the_microsecond() {
        let times = [0, 999, 500_000_000, 34_218_999, 2_418_004_000];
        assert_eq!(
            times.map(ms),
            ["0 ms", "0 ms", "500 ms", "34.218 ms", "2,418.004 ms"]
        );
        assert_eq!(ms_fixed(500_000_000), "500.000");
    }
}
