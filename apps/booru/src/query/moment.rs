//! Dates in queries, UTC: a year, a month, a day or a second, and the seconds it takes up.

use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime};

use super::Interval;

/// The seconds that `2025`, `2025-06`, `2025-06-01` or `2025-06-01T12:30:00` takes up.
pub(crate) fn seconds_of(text: &str) -> Option<Interval> {
    let (date, time) = match text.split_once(['t', 'T', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year: i32 = number(parts.next()?, 4)?;
    let month = match parts.next() {
        Some(part) => Some(number::<u32>(part, 2)?),
        None => None,
    };
    let day = match parts.next() {
        Some(part) => Some(number::<u32>(part, 2)?),
        None => None,
    };
    if parts.next().is_some() {
        return None;
    }
    let first = NaiveDate::from_ymd_opt(year, month.unwrap_or(1), day.unwrap_or(1))?;
    if let Some(time) = time {
        day?;
        let at = first.and_time(clock(time)?).and_utc().timestamp();
        return Some(Interval { min: at, max: at });
    }
    let next = match (month, day) {
        (_, Some(_)) => first.succ_opt()?,
        (Some(12), None) | (None, None) => NaiveDate::from_ymd_opt(year + 1, 1, 1)?,
        (Some(month), None) => NaiveDate::from_ymd_opt(year, month + 1, 1)?,
    };
    let start = |date: NaiveDate| date.and_time(NaiveTime::MIN).and_utc().timestamp();
    Some(Interval {
        min: start(first),
        max: start(next) - 1,
    })
}

/// The second of a column's `YYYY-MM-DD HH:MM:SS`, whatever part of a second or zone follows.
pub(crate) fn second_of(column: &str) -> Option<i64> {
    let text = column.get(..19).unwrap_or(column);
    seconds_of(text).map(|interval| interval.min)
}

/// As [`seconds_of`] takes it back; `None` beyond the years 0 to 9999.
pub(crate) fn text_of(second: i64) -> Option<String> {
    let moment: NaiveDateTime = DateTime::from_timestamp(second, 0)?.naive_utc();
    let is_written = (0..=9999).contains(&moment.year());
    is_written.then(|| moment.format("%Y-%m-%dT%H:%M:%S").to_string())
}

/// As it stands in a column; `None` beyond the years 0 to 9999.
pub(crate) fn column_of(second: i64) -> Option<String> {
    text_of(second).map(|text| text.replacen('T', " ", 1))
}

/// This second, since 1970.
pub(crate) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
}

/// This second, UTC, as the original writes it: what SQLite's `CURRENT_TIMESTAMP` would say.
pub(crate) fn now_text() -> String {
    column_of(now()).unwrap_or_default()
}

fn clock(text: &str) -> Option<NaiveTime> {
    let mut parts = text.split(':');
    let mut next = || number::<u32>(parts.next()?, 2);
    let (hour, minute, second) = (next()?, next()?, next()?);
    match parts.next() {
        Some(_) => None,
        None => NaiveTime::from_hms_opt(hour, minute, second),
    }
}

fn number<N: std::str::FromStr>(text: &str, digits: usize) -> Option<N> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_takes_up_all_its_seconds() {
        for (text, min, max) in [
            ("1970", 0, 365 * 86_400 - 1),
            ("1970-02", 31 * 86_400, 59 * 86_400 - 1),
            ("2024-12", 1_733_011_200, 1_735_689_599),
            ("2024-02-29", 1_709_164_800, 1_709_251_199),
            ("2024-02-29t00:00:01", 1_709_164_801, 1_709_164_801),
        ] {
            assert_eq!(seconds_of(text), Some(Interval { min, max }), "{text}");
        }
        for text in [
            "",
            "24",
            "2024-13",
            "2023-02-29",
            "2024-1",
            "2024-01-01t25:00:00",
            "2024-01-01-01",
        ] {
            assert_eq!(seconds_of(text), None, "{text}");
        }
        assert_eq!(second_of("1970-01-01 00:01:00.25"), Some(60));
        assert_eq!(text_of(60).as_deref(), Some("1970-01-01T00:01:00"));
    }
}
