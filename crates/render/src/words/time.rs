//! Times in words: "34 ms", "3 min 4 s", "2026-01-31 09:30:00 UTC".

use std::time::Duration;

/// A length of time in three digits or two units.
#[must_use]
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let three = |value: f64, unit: &str| {
        let digits = if value < 9.995 {
            2
        } else {
            usize::from(value < 99.95)
        };
        format!("{value:.digits$} {unit}")
    };
    if time.is_zero() {
        "0 s".to_owned()
    } else if seconds < 0.000_999_5 {
        three(seconds * 1e6, "us")
    } else if seconds < 0.9995 {
        three(seconds * 1e3, "ms")
    } else if seconds < 59.95 {
        three(seconds, "s")
    } else {
        let whole = seconds.round() as u64;
        match (whole / 86_400, whole / 3600 % 24, whole / 60 % 60) {
            (0, 0, minutes) => format!("{minutes} min {} s", whole % 60),
            (0, hours, minutes) => format!("{hours} h {minutes} min"),
            (days, hours, _) => format!("{days} d {hours} h"),
        }
    }
}

/// A time since the Unix epoch as a calendar date in UTC.
pub(crate) fn date(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// Days since 1970-01-01 as year, month, day: Howard Hinnant's `civil_from_days`, for days that
/// are not before the epoch (<https://howardhinnant.github.io/date_algorithms.html>).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        let check = |nanos: u64, expected: &str| {
            assert_eq!(span(Duration::from_nanos(nanos)), expected);
        };
        check(0, "0 s");
        check(900, "0.90 us");
        check(920_000, "920 us");
        check(34_000_000, "34.0 ms");
        check(12_340_000_000, "12.3 s");
        check(184_000_000_000, "3 min 4 s");
        check(7_500_000_000_000, "2 h 5 min");
        check(200_000_000_000_000, "2 d 7 h");
    }

    #[test]
    fn dates() {
        let check = |seconds, expected: &str| {
            assert_eq!(date(Duration::from_secs(seconds)), expected);
        };
        check(0, "1970-01-01 00:00:00 UTC");
        check(951_782_400, "2000-02-29 00:00:00 UTC");
        check(1_767_225_599, "2025-12-31 23:59:59 UTC");
    }
}
