//! Which part of a file a request wants, if any: ranges and conditions of RFC 9110.

use std::time::SystemTime;

use axum::http::HeaderMap;
use axum::http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE};

/// What tells one state of a file from another.
#[derive(Clone, Debug)]
pub(super) struct Stamp {
    /// A strong entity tag, in its quotes.
    pub(super) tag: String,
    /// In whole seconds.
    pub(super) modified: SystemTime,
}

/// What is to be sent of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Whole,
    /// From the first byte to the last, both included.
    Part(u64, u64),
    /// The client has it.
    Nothing,
    /// There is no such part.
    Impossible,
}

pub(super) fn wanted(headers: &HeaderMap, stamp: &Stamp, len: u64) -> Wanted {
    if is_known(headers, stamp) {
        return Wanted::Nothing;
    }
    let range = text(headers, RANGE.as_str()).filter(|_| is_range_of_this(headers, stamp));
    range.map_or(Wanted::Whole, |range| part(range, len))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn is_known(headers: &HeaderMap, stamp: &Stamp) -> bool {
    let mut tags = headers.get_all(IF_NONE_MATCH).iter().peekable();
    if tags.peek().is_some() {
        let mut tags = tags
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        return tags.any(|tag| {
            let tag = tag.trim();
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == stamp.tag
        });
    }
    let since = text(headers, IF_MODIFIED_SINCE.as_str());
    let since = since.and_then(|date| httpdate::parse_http_date(date).ok());
    since.is_some_and(|since| stamp.modified <= since)
}

/// A part is wanted of a file that is still the same, or else the whole.
fn is_range_of_this(headers: &HeaderMap, stamp: &Stamp) -> bool {
    match text(headers, IF_RANGE.as_str()) {
        None => !headers.contains_key(IF_RANGE),
        Some(tag) if tag.starts_with('"') => tag == stamp.tag,
        Some(date) => httpdate::parse_http_date(date).is_ok_and(|date| date == stamp.modified),
    }
}

/// Several parts at once are answered by the whole, which is allowed; so is what is no range of bytes.
fn part(range: &str, len: u64) -> Wanted {
    let Some(range) = range.trim().strip_prefix("bytes=") else {
        return Wanted::Whole;
    };
    let Some((from, to)) = range.split_once('-') else {
        return Wanted::Whole;
    };
    let (from, to) = (from.trim(), to.trim());
    let number = |text: &str| -> Option<u64> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // More digits than a number has mean a number that is larger than any file.
        is_number.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let (from, to) = match (number(from), number(to)) {
        (None, Some(last)) if from.is_empty() => {
            if last == 0 {
                return Wanted::Impossible;
            }
            (len.saturating_sub(last), u64::MAX)
        }
        (Some(from), None) if to.is_empty() => (from, u64::MAX),
        (Some(from), Some(to)) if from <= to => (from, to),
        _ => return Wanted::Whole,
    };
    match from < len {
        true => Wanted::Part(from, to.min(len - 1)),
        false => Wanted::Impossible,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn ranges_are_parts_of_the_file() {
        use Wanted::{Impossible, Part, Whole};
        for (range, len, expected) in [
            ("bytes=0-0", 10, Part(0, 0)),
            ("bytes=2-5", 10, Part(2, 5)),
            ("bytes=2-", 10, Part(2, 9)),
            ("bytes=-3", 10, Part(7, 9)),
            ("bytes=-30", 10, Part(0, 9)),
            ("bytes=9-99999999999999999999999", 10, Part(9, 9)),
            ("bytes=10-", 10, Impossible),
            ("bytes=99999999999999999999999-", 10, Impossible),
            ("bytes=-0", 10, Impossible),
            ("bytes=0-0", 0, Impossible),
            ("bytes=-1", 0, Impossible),
            ("bytes=5-2", 10, Whole),
            ("bytes=0-1,3-4", 10, Whole),
            ("bytes=", 10, Whole),
            ("bytes=-", 10, Whole),
            ("bytes=+1-2", 10, Whole),
            ("bytes=a-b", 10, Whole),
            ("lines=1-2", 10, Whole),
        ] {
            assert_eq!(part(range, len), expected, "{range} of {len}");
        }
    }

    #[test]
    fn what_a_client_has_is_not_sent_again() {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let stamp = Stamp {
            tag: "\"a-b\"".to_owned(),
            modified,
        };
        let date = httpdate::fmt_http_date(modified);
        let later = httpdate::fmt_http_date(modified + Duration::from_secs(1));
        let earlier = httpdate::fmt_http_date(modified - Duration::from_secs(1));
        let part = Wanted::Part(0, 1);
        for (sent, expected) in [
            (&[][..], Wanted::Whole),
            (&[("if-none-match", "\"a-b\"")], Wanted::Nothing),
            (&[("if-none-match", "\"x\", W/\"a-b\"")], Wanted::Nothing),
            (&[("if-none-match", "*")], Wanted::Nothing),
            (&[("if-none-match", "\"x\"")], Wanted::Whole),
            (
                &[
                    ("if-none-match", "\"x\""),
                    ("if-modified-since", date.as_str()),
                ],
                Wanted::Whole,
            ),
            (&[("if-modified-since", date.as_str())], Wanted::Nothing),
            (&[("if-modified-since", later.as_str())], Wanted::Nothing),
            (&[("if-modified-since", earlier.as_str())], Wanted::Whole),
            (&[("if-modified-since", "yesterday")], Wanted::Whole),
            (&[("range", "bytes=0-1")], part),
            (&[("range", "bytes=0-1"), ("if-range", "\"a-b\"")], part),
            (&[("range", "bytes=0-1"), ("if-range", date.as_str())], part),
            (
                &[("range", "bytes=0-1"), ("if-range", "\"x\"")],
                Wanted::Whole,
            ),
            (
                &[("range", "bytes=0-1"), ("if-range", later.as_str())],
                Wanted::Whole,
            ),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in sent {
                headers.append(*name, value.parse().unwrap());
            }
            assert_eq!(wanted(&headers, &stamp, 10), expected, "{sent:?}");
        }
    }
}
