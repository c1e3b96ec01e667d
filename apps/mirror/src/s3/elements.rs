//! The elements of a listing, one after the other, and what they tell. Memory: a key and a text.

use anyhow::{Context, Result, bail};
use chrono::DateTime;

use super::page::{OBJECTS_MAX, Page, TEXT_BYTES_MAX};
use crate::record::{Etag, Meta};

/// Elements that mean something; which they are depends on the one around them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Element {
    Result,
    Object,
    Key,
    Modified,
    Etag,
    Size,
    CommonPrefixes,
    Folder,
    IsTruncated,
    NextToken,
    KeyCount,
    Encoding,
    #[default]
    Other,
}

impl Element {
    fn within(around: Element, name: &str) -> Element {
        match (around, name) {
            (Element::Result, "Contents") => Element::Object,
            (Element::Object, "Key") => Element::Key,
            (Element::Object, "LastModified") => Element::Modified,
            (Element::Object, "ETag") => Element::Etag,
            (Element::Object, "Size") => Element::Size,
            (Element::Result, "CommonPrefixes") => Element::CommonPrefixes,
            (Element::CommonPrefixes, "Prefix") => Element::Folder,
            (Element::Result, "IsTruncated") => Element::IsTruncated,
            (Element::Result, "NextContinuationToken") => Element::NextToken,
            (Element::Result, "KeyCount") => Element::KeyCount,
            (Element::Result, "EncodingType") => Element::Encoding,
            _ => Element::Other,
        }
    }
}

/// A listing has four levels.
const LEVELS_MAX: usize = 16;

#[derive(Debug)]
pub(super) struct Parser<'a> {
    page: &'a mut Page,
    /// Elements that are open.
    path: [Element; LEVELS_MAX],
    depth: usize,
    text: String,
    object: Object,
    is_url_encoded: bool,
    is_whole: bool,
}

/// An object as it is told so far.
#[derive(Debug, Default)]
struct Object {
    key: String,
    has_key: bool,
    modified: Option<i64>,
    etag: Option<Etag>,
    size_bytes: Option<u64>,
}

impl Parser<'_> {
    pub(super) fn new(page: &mut Page) -> Parser<'_> {
        Parser {
            page,
            path: [Element::Other; LEVELS_MAX],
            depth: 0,
            text: String::new(),
            object: Object::default(),
            is_url_encoded: false,
            is_whole: false,
        }
    }

    pub(super) fn open(&mut self, name: &str) -> Result<()> {
        if self.depth == LEVELS_MAX {
            bail!("a listing is nested deeper than any");
        }
        self.path[self.depth] = match self.depth {
            0 if name == "ListBucketResult" => Element::Result,
            0 => bail!(
                "a listing was asked for, and <{}> came",
                name.escape_default()
            ),
            _ => Element::within(self.path[self.depth - 1], name),
        };
        self.depth += 1;
        self.text.clear();
        Ok(())
    }

    pub(super) fn text(&mut self, text: &str) -> Result<()> {
        if self.text.len() + text.len() > TEXT_BYTES_MAX {
            bail!("a text in a listing is longer than {TEXT_BYTES_MAX} bytes");
        }
        self.text.push_str(text);
        Ok(())
    }

    pub(super) fn close(&mut self) -> Result<()> {
        let text = &self.text;
        let element = match self.depth.checked_sub(1) {
            Some(depth) => {
                self.depth = depth;
                self.path[depth]
            }
            None => Element::Other,
        };
        match element {
            Element::Key => {
                self.object.key.clone_from(text);
                self.object.has_key = true;
            }
            Element::Modified => self.object.modified = Some(parse_time(text)?),
            Element::Etag => self.object.etag = Some(Etag::parse(text)),
            Element::Size => {
                let size = text.parse();
                let size = size.with_context(|| format!("a listing tells the size {text:?}"))?;
                self.object.size_bytes = Some(size);
            }
            Element::Object => self.end_object()?,
            Element::Folder => {
                if self.page.folders.len() == OBJECTS_MAX {
                    bail!("a page of a listing has more than {OBJECTS_MAX} folders");
                }
                self.page.folders.push(text.clone().into_bytes());
            }
            Element::IsTruncated => {
                self.page.is_truncated = match &**text {
                    "true" => true,
                    "false" => false,
                    other => bail!("a listing is said to be truncated: {other:?}"),
                }
            }
            Element::NextToken => self.page.next_token = Some(text.clone()),
            Element::KeyCount => {
                let count = text.parse();
                let count = count.with_context(|| format!("a listing counts {text:?} keys"))?;
                self.page.key_count = Some(count);
            }
            Element::Encoding => self.is_url_encoded = text == "url",
            Element::Result => self.is_whole = true,
            Element::CommonPrefixes | Element::Other => {}
        }
        self.text.clear();
        Ok(())
    }

    fn end_object(&mut self) -> Result<()> {
        let object = &mut self.object;
        if !object.has_key {
            bail!("a listing has an object without a key");
        }
        let key = &object.key;
        let told = || format!("a listing tells too little of {key:?}");
        let meta = Meta {
            size_bytes: object.size_bytes.take().with_context(told)?,
            modified: object.modified.take().with_context(told)?,
            etag: object.etag.take().unwrap_or(Etag::None),
        };
        self.page.push(key.as_bytes(), &meta)?;
        object.has_key = false;
        Ok(())
    }

    pub(super) fn finish(self) -> Result<()> {
        if !self.is_whole || self.depth > 0 {
            bail!("a listing ends in the middle");
        }
        // The type of encoding may be told behind the keys.
        if self.is_url_encoded {
            self.page.decode()?;
        }
        Ok(())
    }
}

/// Seconds since 1970 of a time as S3 tells it, or of any that RFC 3339 has.
fn parse_time(text: &str) -> Result<i64> {
    if let Some(seconds) = parse_utc(text.as_bytes()) {
        return Ok(seconds);
    }
    let time = DateTime::parse_from_rfc3339(text)
        .with_context(|| format!("a listing tells the time {text:?}"))?;
    Ok(time.timestamp())
}

/// `2009-10-12T17:50:30.500Z`, with or without the fraction: the only form that servers send, of each
/// object one.
fn parse_utc(text: &[u8]) -> Option<i64> {
    let (date, rest) = text.split_at_checked(19)?;
    let is_fraction = |rest: &[u8]| {
        rest.split_first().is_some_and(|(dot, digits)| {
            *dot == b'.' && !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
        })
    };
    let fraction = rest.strip_suffix(b"Z")?;
    if !fraction.is_empty() && !is_fraction(fraction) {
        return None;
    }
    let number = |from: usize, to: usize| {
        date[from..to].iter().try_fold(0_i64, |number, digit| {
            let digit = char::from(*digit).to_digit(10)?;
            Some(10 * number + i64::from(digit))
        })
    };
    let is_form = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')]
        .iter()
        .all(|(at, byte)| date[*at] == *byte);
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    // What is rarer, such as the last days of a month, is left to who knows calendars.
    let is_plain = (1..=12).contains(&month)
        && (1..=28).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !is_form || !is_plain {
        return None;
    }
    // Days from civil (Howard Hinnant): years begin in March.
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for text in [
            "2009-10-12T17:50:30.500Z",
            "1970-01-01T00:00:00Z",
            "2000-02-28T23:59:59.9Z",
            "2000-02-29T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2024-12-31T00:00:00.000Z",
            "2023-03-01T01:02:03Z",
            "1600-01-01T00:00:00Z",
            "2026-11-28T07:08:09+01:00",
        ] {
            let expected = DateTime::parse_from_rfc3339(text).unwrap().timestamp();
            assert_eq!(parse_time(text).unwrap(), expected, "{text}");
        }
        let day = 86_400;
        for n in -800 * 365..800 * 365 {
            let text = DateTime::from_timestamp(n * day + 7, 0).unwrap();
            let text = text.format("%Y-%m-%dT%H:%M:%S.123Z").to_string();
            if let Some(seconds) = parse_utc(text.as_bytes()) {
                assert_eq!(seconds, n * day + 7, "{text}");
            }
        }
        for bad in [
            "2009-10-12T17:50:30.Z",
            "2009-13-12T17:50:30Z",
            "2009-10-12T17:50:30",
            "2009-10-12 17:50",
            "2009-10-12T24:50:30Z",
        ] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }
}
