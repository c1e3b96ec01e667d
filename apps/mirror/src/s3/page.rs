//! One page of a listing, read as it arrives. Memory: its keys and what is told of them, some 130 KiB for
//! 1000 keys of 100 bytes, in one piece that the next page is read into again.

use std::io::BufRead;

use anyhow::{Context, Result, bail};
use quick_xml::Reader;
use quick_xml::events::Event;

use super::elements::Parser;
use super::sign;
use crate::record::{Meta, decode_meta, encode_meta};

/// More than any server sends for the 1000 that are asked for.
pub(super) const OBJECTS_MAX: usize = 10_000;
/// A key of 1024 bytes, each as `%XX`, and a continuation token.
pub(super) const TEXT_BYTES_MAX: usize = 16 << 10;
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
    pub(super) folders: Vec<Vec<u8>>,
    pub(super) is_truncated: bool,
    pub(super) next_token: Option<String>,
    pub(super) key_count: Option<u64>,
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

    pub(super) fn push(&mut self, key: &[u8], meta: &Meta) -> Result<()> {
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
    pub(super) fn decode(&mut self) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Etag;

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
