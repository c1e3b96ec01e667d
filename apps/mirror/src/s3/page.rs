//! One page of a listing, read as it arrives. Memory: its keys and what is told of them, some 130 KiB for
//! 1000 keys of 100 bytes, in one piece that the next page is read into again.

use std::io::BufRead;

use anyhow::{Context, Result, bail};
use chrono::DateTime;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::sign;
use crate::record::{Etag, Meta, decode_meta, encode_meta};

/// More than any server sends for the 1000 that are asked for.
const OBJECTS_MAX: usize = 10_000;
/// A key of 1024 bytes, each as `%XX`, and a continuation token.
const TEXT_BYTES_MAX: usize = 16 << 10;
/// By how much the room for objects grows at least.
const ROOM_BYTES: usize = 16 << 10;
/// What stands before each object: the lengths of its key and of what is told of it.
const HEAD_BYTES: usize = 4;

const _: () = assert!(TEXT_BYTES_MAX + 64 < u16::MAX as usize);

/// What a page says, not yet checked against what was asked for.
#[derive(Debug, Default)]
pub struct Page {
    /// Of each object the lengths of both, its key, and what is told of it as records have it.
    objects: Vec<u8>,
    count: usize,
    /// Parts of keys up to the delimiter, where one was asked for.
    folders: Vec<Vec<u8>>,
    is_truncated: bool,
    next_token: Option<String>,
    key_count: Option<u64>,
}

/// An object of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    key: usize,
    meta: usize,
    end: usize,
}

impl Page {
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The object behind this one; behind the default place, the first. None behind the last.
    #[must_use]
    pub fn next(&self, place: Place) -> Option<Place> {
        let head = self.objects.get(place.end..place.end + HEAD_BYTES)?;
        let length = |at: usize| usize::from(u16::from_le_bytes([head[at], head[at + 1]]));
        let key = place.end + HEAD_BYTES;
        let meta = key + length(0);
        Some(Place {
            key,
            meta,
            end: meta + length(2),
        })
    }

    /// The key of an object that [`Page::next`] gave.
    #[must_use]
    pub fn key(&self, place: Place) -> &[u8] {
        &self.objects[place.key..place.meta]
    }

    /// # Errors
    /// None of a page that was read.
    pub fn meta(&self, place: Place) -> Result<Meta> {
        decode_meta(&mut &self.objects[place.meta..place.end])
    }

    /// All objects, in the order of the page.
    pub fn places(&self) -> impl Iterator<Item = Place> + '_ {
        std::iter::successors(self.next(Place::default()), |place| self.next(*place))
    }

    /// All keys, in the order of the page.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> + '_ {
        self.places().map(|place| self.key(place))
    }

    /// Parts of keys up to the delimiter that was asked for.
    #[must_use]
    pub fn folders(&self) -> &[Vec<u8>] {
        &self.folders
    }

    /// Whether more pages follow.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    /// What the next page is asked for by.
    #[must_use]
    pub fn next_token(&self) -> Option<&str> {
        self.next_token.as_deref()
    }

    /// How many keys the page says that it has.
    #[must_use]
    pub fn key_count(&self) -> Option<u64> {
        self.key_count
    }

    /// What it holds.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.objects.capacity()
    }

    /// Makes it empty; its room stays.
    pub fn clear(&mut self) {
        let mut objects = std::mem::take(&mut self.objects);
        objects.clear();
        *self = Page {
            objects,
            ..Page::default()
        };
    }

    fn push(&mut self, key: &[u8], meta: &Meta) -> Result<()> {
        if self.count == OBJECTS_MAX {
            bail!("a page of a listing has more than {OBJECTS_MAX} objects");
        }
        let objects = &mut self.objects;
        // Not doubled: pages are many, and live long.
        let most = HEAD_BYTES + key.len() + TEXT_BYTES_MAX.min(meta.etag.text_bytes()) + 64;
        if objects.capacity() - objects.len() < most {
            objects.reserve_exact(most.max(ROOM_BYTES));
        }
        let head = objects.len();
        objects.extend_from_slice(&(key.len() as u16).to_le_bytes());
        objects.extend_from_slice(&[0; 2]);
        objects.extend_from_slice(key);
        let meta_at = objects.len();
        encode_meta(meta, objects);
        let length = (objects.len() - meta_at) as u16;
        objects[head + 2..head + 4].copy_from_slice(&length.to_le_bytes());
        self.count += 1;
        Ok(())
    }

    /// Undoes the encoding of keys, where they are.
    fn decode(&mut self) -> Result<()> {
        for folder in &mut self.folders {
            let length = sign::decode_in_place(folder).with_context(|| not_encoded(folder))?;
            folder.truncate(length);
        }
        let mut to = 0;
        let mut place = Place::default();
        while let Some(next) = self.next(place) {
            let length = sign::decode_in_place(&mut self.objects[next.key..next.meta]);
            let length = length.with_context(|| not_encoded(self.key(next)))?;
            let moved = place.end - to;
            let from = place.end;
            if length < next.meta - next.key || moved > 0 {
                self.objects[from..from + 2].copy_from_slice(&(length as u16).to_le_bytes());
                self.objects.copy_within(from..next.key + length, to);
                let meta_to = to + HEAD_BYTES + length;
                self.objects.copy_within(next.meta..next.end, meta_to);
            }
            to += HEAD_BYTES + length + (next.end - next.meta);
            place = next;
        }
        self.objects.truncate(to);
        Ok(())
    }

    /// Reads a `ListBucketResult` to its end.
    ///
    /// # Errors
    /// Anything that is missing, cut off, or no such page.
    pub fn parse(from: impl BufRead) -> Result<Page> {
        let mut page = Page::default();
        page.read(from)?;
        Ok(page)
    }

    /// The same into this page, in place of what it has.
    ///
    /// # Errors
    /// As [`Page::parse`]; what it has then means nothing.
    pub fn read(&mut self, from: impl BufRead) -> Result<()> {
        self.clear();
        let mut parser = Parser::new(self);
        let mut reader = Reader::from_reader(from);
        let mut buffer = Vec::new();
        loop {
            buffer.clear();
            let event = reader.read_event_into(&mut buffer).with_context(|| {
                format!(
                    "read the XML of a listing at byte {}",
                    reader.buffer_position()
                )
            })?;
            match event {
                Event::Start(tag) => parser.open(tag.local_name().as_ref())?,
                Event::Empty(tag) => {
                    parser.open(tag.local_name().as_ref())?;
                    parser.close()?;
                }
                Event::End(_) => parser.close()?,
                Event::Text(text) => parser.text(&text)?,
                Event::CData(text) => parser.text(&text)?,
                Event::GeneralRef(name) => match name.resolve_char_ref()? {
                    Some(character) => parser.text(character.encode_utf8(&mut [0; 4]))?,
                    None => parser.text(
                        quick_xml::escape::resolve_predefined_entity(&name)
                            .context("a listing names an entity that XML does not have")?,
                    )?,
                },
                Event::Eof => return parser.finish(),
                _ => {}
            }
        }
    }
}

fn not_encoded(key: &[u8]) -> String {
    format!("a listing encodes a key as \"{}\"", key.escape_ascii())
}

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
struct Parser<'a> {
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
    fn new(page: &mut Page) -> Parser<'_> {
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

    fn open(&mut self, name: &str) -> Result<()> {
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

    fn text(&mut self, text: &str) -> Result<()> {
        if self.text.len() + text.len() > TEXT_BYTES_MAX {
            bail!("a text in a listing is longer than {TEXT_BYTES_MAX} bytes");
        }
        self.text.push_str(text);
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
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

    fn finish(self) -> Result<()> {
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

    const PAGE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
  <Name>bucket</Name><Prefix/><KeyCount>2</KeyCount><MaxKeys>1000</MaxKeys>
  <EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>
  <NextContinuationToken>a&lt;b</NextContinuationToken>
  <Contents><Key>a/b%20c+d%0A%2B</Key><LastModified>2009-10-12T17:50:30.500Z</LastModified>
    <ETag>&quot;fba9dede5f27731c9771645a39863328&quot;</ETag><Size>434234</Size>
    <Owner><ID>x</ID></Owner><StorageClass>STANDARD</StorageClass></Contents>
  <Contents><Key>b</Key><LastModified>1970-01-01T00:00:01Z</LastModified><Size>0</Size></Contents>
</ListBucketResult>"#;

    #[test]
    fn a_page_is_read() {
        let page = Page::parse(PAGE.as_bytes()).unwrap();
        assert_eq!(
            (page.len(), page.key_count, page.is_truncated),
            (2, Some(2), true)
        );
        assert_eq!(page.next_token.as_deref(), Some("a<b"));
        let keys: Vec<&[u8]> = page.keys().collect();
        assert_eq!(keys, [&b"a/b c d\n+"[..], b"b"]);
        let metas: Vec<Meta> = page
            .places()
            .map(|place| page.meta(place).unwrap())
            .collect();
        let meta = &metas[0];
        assert_eq!((meta.size_bytes, meta.modified), (434_234, 1_255_369_830));
        assert_eq!(meta.etag.to_string(), "fba9dede5f27731c9771645a39863328");
        assert_eq!(metas[1].etag, Etag::None);
        let plain = PAGE.replace("<EncodingType>url</EncodingType>", "");
        assert_eq!(
            Page::parse(plain.as_bytes())
                .unwrap()
                .keys()
                .next()
                .unwrap(),
            b"a/b%20c+d%0A%2B"
        );
    }

    #[test]
    fn folders_are_read_apart_from_objects() {
        let folders = "<CommonPrefixes><Prefix>a%20b/</Prefix></CommonPrefixes>\
             <CommonPrefixes><Prefix>c/</Prefix></CommonPrefixes></ListBucketResult>";
        let page = PAGE.replace("</ListBucketResult>", folders);
        let page = Page::parse(page.as_bytes()).unwrap();
        assert_eq!(page.folders(), [b"a b/".to_vec(), b"c/".to_vec()]);
        assert_eq!(page.len(), 2);
    }

    /// A page is read into the room of another, and nothing of that is left.
    #[test]
    fn room_is_used_again() {
        let mut page = Page::parse(PAGE.as_bytes()).unwrap();
        let room = page.memory_bytes();
        let short = "<ListBucketResult><Contents><Key>z</Key><Size>1</Size>\
             <LastModified>1970-01-01T00:00:01Z</LastModified></Contents></ListBucketResult>";
        page.read(short.as_bytes()).unwrap();
        assert_eq!(page.keys().collect::<Vec<_>>(), [b"z"]);
        assert_eq!(
            (page.is_truncated(), page.next_token(), page.key_count()),
            (false, None, None)
        );
        assert_eq!(page.memory_bytes(), room);
    }

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

    #[test]
    fn a_page_that_is_cut_off_anywhere_is_none() {
        for length in 0..PAGE.len() {
            assert!(Page::parse(&PAGE.as_bytes()[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn what_is_no_page_is_told() {
        let check = |text: &str, expected: &str| {
            let error = format!("{:#}", Page::parse(text.as_bytes()).unwrap_err());
            assert!(error.contains(expected), "{error}");
        };
        check("<html></html>", "a listing was asked for, and <html> came");
        check("", "a listing ends in the middle");
        check(
            &PAGE.replace("434234", "-1"),
            "a listing tells the size \"-1\"",
        );
        check(
            &PAGE.replace("<Size>0</Size>", ""),
            "tells too little of \"b\"",
        );
        check(&PAGE.replace(">true<", ">maybe<"), "\"maybe\"");
        check(&PAGE.replace("&lt;", "&nbsp;"), "entity");
        check(&PAGE.replace("+d", "%zz"), "encodes a key");
        check(&PAGE.replace("1970-01-01T", "yesterday"), "tells the time");
        check(
            &format!("<ListBucketResult>{}", "<a>".repeat(20)),
            "nested deeper",
        );
        let long = PAGE.replace("a/b", &"a".repeat(TEXT_BYTES_MAX));
        check(&long, "longer than");
    }
}
