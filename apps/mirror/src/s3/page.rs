//! One page of a listing, read as it arrives. Memory: its keys and what is told of them, some 150 KiB for
//! 1000 keys of 100 bytes.

use std::io::BufRead;

use anyhow::{Context, Result, bail};
use chrono::DateTime;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::sign;
use crate::record::{Etag, Meta};

/// More than any server sends for the 1000 that are asked for.
const OBJECTS_MAX: usize = 10_000;
/// A key of 1024 bytes, each as `%XX`, and a continuation token.
const TEXT_BYTES_MAX: usize = 16 << 10;

/// What a page says, not yet checked against what was asked for.
#[derive(Debug, Default)]
pub struct Page {
    keys: Vec<u8>,
    /// Where each key ends, and what is told of the object.
    objects: Vec<(usize, Meta)>,
    is_truncated: bool,
    next_token: Option<String>,
    key_count: Option<u64>,
}

impl Page {
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    #[must_use]
    pub fn key(&self, at: usize) -> &[u8] {
        let from = at.checked_sub(1).map_or(0, |before| self.objects[before].0);
        &self.keys[from..self.objects[at].0]
    }

    #[must_use]
    pub fn meta(&self, at: usize) -> &Meta {
        &self.objects[at].1
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

    /// Reads a `ListBucketResult` to its end.
    ///
    /// # Errors
    /// Anything that is missing, cut off, or no such page.
    pub fn parse(from: impl BufRead) -> Result<Page> {
        let mut parser = Parser::default();
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
                Event::GeneralRef(name) => {
                    let character = match name.resolve_char_ref()? {
                        Some(character) => character.to_string(),
                        None => quick_xml::escape::resolve_predefined_entity(&name)
                            .context("a listing names an entity that XML does not have")?
                            .to_owned(),
                    };
                    parser.text(&character)?;
                }
                Event::Eof => return parser.finish(),
                _ => {}
            }
        }
    }
}

#[derive(Debug, Default)]
struct Parser {
    page: Page,
    /// Names of the elements that are open.
    path: Vec<Box<str>>,
    text: String,
    object: Object,
    is_url_encoded: bool,
    is_whole: bool,
}

/// An object as it is told so far.
#[derive(Debug, Default)]
struct Object {
    key: Option<String>,
    modified: Option<i64>,
    etag: Option<Etag>,
    size_bytes: Option<u64>,
}

impl Parser {
    fn open(&mut self, name: &str) -> Result<()> {
        if self.path.is_empty() && name != "ListBucketResult" {
            bail!(
                "a listing was asked for, and <{}> came",
                name.escape_default()
            );
        }
        /// A listing has four levels.
        const LEVELS_MAX: usize = 16;
        if self.path.len() == LEVELS_MAX {
            bail!("a listing is nested deeper than any");
        }
        self.path.push(name.into());
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
        // Depth first, as most elements are in an object.
        let names: Vec<&str> = self.path.iter().map(|name| &**name).collect();
        let text = &self.text;
        match names[..] {
            [_, "Contents", "Key"] => self.object.key = Some(text.clone()),
            [_, "Contents", "LastModified"] => {
                let time = DateTime::parse_from_rfc3339(text)
                    .with_context(|| format!("a listing tells the time {text:?}"))?;
                self.object.modified = Some(time.timestamp());
            }
            [_, "Contents", "ETag"] => self.object.etag = Some(Etag::parse(text)),
            [_, "Contents", "Size"] => {
                let size = text.parse();
                let size = size.with_context(|| format!("a listing tells the size {text:?}"))?;
                self.object.size_bytes = Some(size);
            }
            [_, "Contents"] => self.end_object()?,
            [_, "IsTruncated"] => {
                self.page.is_truncated = match &**text {
                    "true" => true,
                    "false" => false,
                    other => bail!("a listing is said to be truncated: {other:?}"),
                }
            }
            [_, "NextContinuationToken"] => self.page.next_token = Some(text.clone()),
            [_, "KeyCount"] => {
                let count = text.parse();
                let count = count.with_context(|| format!("a listing counts {text:?} keys"))?;
                self.page.key_count = Some(count);
            }
            [_, "EncodingType"] => self.is_url_encoded = text == "url",
            [_] => self.is_whole = true,
            _ => {}
        }
        self.path.pop();
        self.text.clear();
        Ok(())
    }

    fn end_object(&mut self) -> Result<()> {
        let object = std::mem::take(&mut self.object);
        let key = object
            .key
            .context("a listing has an object without a key")?;
        let told = || format!("a listing tells too little of {key:?}");
        let meta = Meta {
            size_bytes: object.size_bytes.with_context(told)?,
            modified: object.modified.with_context(told)?,
            etag: object.etag.unwrap_or(Etag::None),
        };
        if self.page.objects.len() == OBJECTS_MAX {
            bail!("a page of a listing has more than {OBJECTS_MAX} objects");
        }
        self.page.keys.extend_from_slice(key.as_bytes());
        self.page.objects.push((self.page.keys.len(), meta));
        Ok(())
    }

    fn finish(mut self) -> Result<Page> {
        if !self.is_whole || !self.path.is_empty() {
            bail!("a listing ends in the middle");
        }
        // The type of encoding may be told behind the keys.
        if self.is_url_encoded {
            self.decode()?;
        }
        Ok(self.page)
    }

    fn decode(&mut self) -> Result<()> {
        let mut keys = Vec::with_capacity(self.page.keys.len());
        let mut ends = Vec::with_capacity(self.page.len());
        for at in 0..self.page.len() {
            let encoded = std::str::from_utf8(self.page.key(at))?;
            let key = sign::decode(encoded);
            keys.extend(key.with_context(|| format!("a listing encodes a key as {encoded:?}"))?);
            ends.push(keys.len());
        }
        self.page.keys = keys;
        for (object, end) in self.page.objects.iter_mut().zip(ends) {
            object.0 = end;
        }
        Ok(())
    }
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
        assert_eq!((page.key(0), page.key(1)), (&b"a/b c d\n+"[..], &b"b"[..]));
        let meta = page.meta(0);
        assert_eq!((meta.size_bytes, meta.modified), (434_234, 1_255_369_830));
        assert_eq!(meta.etag.to_string(), "fba9dede5f27731c9771645a39863328");
        assert_eq!(page.meta(1).etag, Etag::None);
        let plain = PAGE.replace("<EncodingType>url</EncodingType>", "");
        assert_eq!(
            Page::parse(plain.as_bytes()).unwrap().key(0),
            b"a/b%20c+d%0A%2B"
        );
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
