//! The age of things in the words of `kubectl` (apimachinery's `duration.HumanDuration`).

use jiff::Timestamp;

/// The time since `stamp`, or `<unknown>`.
pub(super) fn since(stamp: &str, now: Timestamp) -> String {
    match stamp.parse::<Timestamp>() {
        Ok(then) => in_words(now.as_second() - then.as_second()),
        Err(_) => "<unknown>".to_owned(),
    }
}

fn in_words(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    match seconds {
        ..=-2 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => with_rest(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => with_rest(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => with_rest(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => with_rest(years, "y", days % 365, "d"),
        _ => format!("{years}y"),
    }
}

fn with_rest(value: i64, unit: &str, rest: i64, rest_unit: &str) -> String {
    if rest == 0 {
        format!("{value}{unit}")
    } else {
        format!("{value}{unit}{rest}{rest_unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_kubectl_prints_them() {
        for (seconds, expected) in [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (150, "2m30s"),
            (601, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (11_400, "3h10m"),
            (172_799, "47h"),
            (180_000, "2d2h"),
            (691_200, "8d"),
            (63_072_000, "2y"),
            (94_694_400, "3y1d"),
            (252_288_000, "8y"),
        ] {
            assert_eq!(in_words(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn an_unreadable_time_is_unknown() {
        assert_eq!(since("", Timestamp::UNIX_EPOCH), "<unknown>");
    }
}
