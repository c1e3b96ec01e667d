//! `ListObjectsV2`: a query, and the page that answers it. Memory: the page.
//!
//! An entry of a listing is a key, or the part of keys up to a delimiter. As in the first version of the
//! interface, `start-after` and tokens leave out all entries that are not above them as text: after
//! `a/b` comes no prefix `a/`, though keys of it are above. A token is the last entry of the page before.

use crate::bucket::Bucket;
use crate::http::{decode_percent, encode_percent};
use crate::noise::put_decimal;

/// Entries of a page, at most, as S3 has it.
const PAGE_MAX: usize = 1000;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Name of the bucket, which the page repeats.
    pub bucket: String,
    pub prefix: Vec<u8>,
    pub delimiter: Vec<u8>,
    pub start_after: Vec<u8>,
    /// As the client sent it.
    pub token: Option<String>,
    pub keys_max: Option<usize>,
    pub is_url_encoded: bool,
}

/// Ways in which a page is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wrong {
    /// The page ends in the middle of its text.
    pub is_cut: bool,
    /// The token leads to this page again.
    pub has_same_token: bool,
    pub ignores_start_after: bool,
    /// Two neighbours in the middle are swapped.
    pub is_unordered: bool,
    /// One object is told twice.
    pub has_duplicate: bool,
    /// `KeyCount` is one too many.
    pub has_wrong_count: bool,
    /// No object at all, and no page after it.
    pub is_empty: bool,
}

/// A page as text, and what it holds.
#[derive(Debug, Default)]
pub struct Page {
    pub text: Vec<u8>,
    pub objects: usize,
    pub prefixes: usize,
    /// Where each object begins in the text, and the last ends.
    starts: Vec<usize>,
    key: Vec<u8>,
    last: Vec<u8>,
    folders: Vec<u8>,
}

/// What a query can't be answered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadToken;

impl Page {
    /// Writes the page that answers a query in place of this one. O(entries log count).
    ///
    /// # Errors
    /// A token that no page had.
    pub fn fill(&mut self, bucket: &Bucket, query: &Query, wrong: Wrong) -> Result<(), BadToken> {
        self.clear();
        let after = self.start(query, wrong)?;
        let most = query.keys_max.unwrap_or(PAGE_MAX).min(PAGE_MAX);
        self.last.extend_from_slice(&after);
        let mut slot = bucket.seek(0, |key| key <= &after[..] || key < &query.prefix[..]);
        let mut is_truncated = false;
        while slot < bucket.slots() && most > 0 && !wrong.is_empty {
            if !bucket.has(slot) {
                slot += 1;
                continue;
            }
            bucket.key(slot, &mut self.key);
            if !self.key.starts_with(&query.prefix) {
                break;
            }
            let folder = folder_end(&self.key, query);
            let entry = &self.key[..folder.unwrap_or(self.key.len())];
            let is_above = entry > &self.last[..];
            if is_above && self.objects + self.prefixes == most {
                is_truncated = true;
                break;
            }
            if is_above {
                self.last.clear();
                self.last.extend_from_slice(entry);
            }
            match folder {
                None => {
                    self.put_object(bucket, slot, query);
                    slot += 1;
                }
                Some(end) => {
                    if is_above {
                        self.put_folder(end, query);
                    }
                    let folder = &self.key[..end];
                    slot = bucket.seek(slot + 1, |key| key < folder || key.starts_with(folder));
                }
            }
        }
        self.finish(query, wrong, &after, is_truncated);
        Ok(())
    }

    fn clear(&mut self) {
        for text in [
            &mut self.text,
            &mut self.key,
            &mut self.last,
            &mut self.folders,
        ] {
            text.clear();
        }
        self.starts.clear();
        (self.objects, self.prefixes) = (0, 0);
        // Room for the head, which is known last.
        self.text.resize(HEAD_BYTES, b' ');
        self.text[..HEAD.len()].copy_from_slice(HEAD.as_bytes());
        self.starts.push(HEAD_BYTES);
    }

    /// The entry that the page begins after.
    fn start(&self, query: &Query, wrong: Wrong) -> Result<Vec<u8>, BadToken> {
        match &query.token {
            Some(token) => parse_token(token).ok_or(BadToken),
            None if wrong.ignores_start_after => Ok(Vec::new()),
            None => Ok(query.start_after.clone()),
        }
    }

    fn put_object(&mut self, bucket: &Bucket, slot: u64, query: &Query) {
        let object = bucket.object(slot);
        let text = &mut self.text;
        text.extend_from_slice(b"<Contents><Key>");
        put_name(&self.key, query, text);
        text.extend_from_slice(b"</Key><LastModified>");
        put_time(object.modified, text);
        text.extend_from_slice(b"</LastModified><ETag>&quot;");
        object.put_etag(text);
        text.extend_from_slice(b"&quot;</ETag><Size>");
        put_decimal(text, object.size_bytes, 1);
        text.extend_from_slice(b"</Size><StorageClass>STANDARD</StorageClass></Contents>");
        self.starts.push(self.text.len());
        self.objects += 1;
    }

    fn put_folder(&mut self, end: usize, query: &Query) {
        self.folders.extend_from_slice(b"<CommonPrefixes><Prefix>");
        put_name(&self.key[..end], query, &mut self.folders);
        self.folders
            .extend_from_slice(b"</Prefix></CommonPrefixes>");
        self.prefixes += 1;
    }

    fn finish(&mut self, query: &Query, wrong: Wrong, after: &[u8], is_truncated: bool) {
        self.disturb(wrong);
        let text = &mut self.text;
        text.extend_from_slice(&self.folders);
        let mut told = |name: &str, value: &dyn Fn(&mut Vec<u8>)| {
            text.extend_from_slice(format!("<{name}>").as_bytes());
            value(text);
            text.extend_from_slice(format!("</{name}>").as_bytes());
        };
        let plain =
            |value: String| move |out: &mut Vec<u8>| out.extend_from_slice(value.as_bytes());
        told("Name", &plain(query.bucket.clone()));
        told("Prefix", &|out| put_name(&query.prefix, query, out));
        if !query.delimiter.is_empty() {
            told("Delimiter", &|out| put_name(&query.delimiter, query, out));
        }
        if !query.start_after.is_empty() {
            told("StartAfter", &|out| {
                put_name(&query.start_after, query, out)
            });
        }
        let count = self.objects + self.prefixes + usize::from(wrong.has_wrong_count);
        told("KeyCount", &plain(count.to_string()));
        let most = query.keys_max.unwrap_or(PAGE_MAX);
        told("MaxKeys", &plain(most.to_string()));
        if query.is_url_encoded {
            told("EncodingType", &plain("url".to_owned()));
        }
        if let Some(token) = &query.token {
            told("ContinuationToken", &plain(token.clone()));
        }
        told("IsTruncated", &plain(is_truncated.to_string()));
        if is_truncated {
            let from = if wrong.has_same_token {
                after
            } else {
                &self.last
            };
            told("NextContinuationToken", &plain(token(from)));
        }
        text.extend_from_slice(b"</ListBucketResult>");
        if wrong.is_cut {
            let half = HEAD_BYTES + (text.len() - HEAD_BYTES) / 2;
            text.truncate(half);
        }
    }

    /// Swaps or repeats objects in the middle of the page.
    fn disturb(&mut self, wrong: Wrong) {
        if self.objects < 2 {
            return;
        }
        let middle = self.objects / 2;
        let [from, between, to] = [middle - 1, middle, middle + 1].map(|at| self.starts[at]);
        if wrong.is_unordered {
            self.text[from..to].rotate_left(between - from);
        } else if wrong.has_duplicate {
            let twice = self.text[from..between].to_vec();
            self.text.splice(from..from, twice);
            self.objects += 1;
        }
    }
}

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
    <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
const HEAD_BYTES: usize = HEAD.len();

/// Where the part of a key ends that a delimiter cuts off.
fn folder_end(key: &[u8], query: &Query) -> Option<usize> {
    let (prefix, delimiter) = (query.prefix.len(), &query.delimiter);
    if delimiter.is_empty() {
        return None;
    }
    let rest = &key[prefix..];
    let at = rest
        .windows(delimiter.len())
        .position(|part| part == &delimiter[..])?;
    Some(prefix + at + delimiter.len())
}

/// A token that goes on behind an entry.
fn token(last: &[u8]) -> String {
    let mut token = String::from("after-");
    last.iter().for_each(|byte| {
        token.push(char::from(b'a' + (byte >> 4)));
        token.push(char::from(b'a' + (byte & 15)));
    });
    token
}

fn parse_token(token: &str) -> Option<Vec<u8>> {
    let digits = token.strip_prefix("after-")?.as_bytes();
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    let half = |digit: u8| digit.checked_sub(b'a').filter(|half| *half < 16);
    pairs
        .iter()
        .map(|[high, low]| Some(half(*high)? << 4 | half(*low)?))
        .collect()
}

/// A key or prefix as XML, percent-encoded if that was asked for.
fn put_name(name: &[u8], query: &Query, out: &mut Vec<u8>) {
    if query.is_url_encoded {
        return encode_percent(name, out);
    }
    for byte in name {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            other => out.push(*other),
        }
    }
}

/// Seconds since 1970 as `2026-01-02T03:04:05.000Z`.
fn put_time(seconds: u64, out: &mut Vec<u8>) {
    let [year, month, day] = civil(seconds / 86_400);
    for (number, width, end) in [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (seconds / 3600 % 24, 2, b':'),
        (seconds / 60 % 60, 2, b':'),
        (seconds % 60, 2, b'.'),
    ] {
        put_decimal(out, number, width);
        out.push(end);
    }
    out.extend_from_slice(b"000Z");
}

/// Year, month and day of a day since 1970 (days_from_civil of Howard Hinnant, the other way round).
pub(crate) fn civil(days: u64) -> [u64; 3] {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    [year + era * 400 + u64::from(month <= 2), month, day]
}

impl Query {
    /// Reads the parameters of a request, as they are encoded there.
    ///
    /// # Errors
    /// What is wrong with them, as S3 would say it.
    pub fn parse(parameters: &str) -> Result<Query, String> {
        let mut query = Query::default();
        for parameter in parameters.split('&').filter(|one| !one.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = decode_percent(value, b' ').ok_or("a parameter is not percent-encoded")?;
            let text =
                || String::from_utf8(value.clone()).map_err(|_| format!("{name} is no text"));
            match name {
                "prefix" => query.prefix = value,
                "delimiter" => query.delimiter = value,
                "start-after" => query.start_after = value,
                "continuation-token" => query.token = Some(text()?),
                "max-keys" => {
                    let most = text()?.parse();
                    query.keys_max = Some(most.map_err(|_| "max-keys is no number".to_owned())?);
                }
                "encoding-type" => match &*value {
                    b"url" => query.is_url_encoded = true,
                    _ => return Err("the only encoding-type is url".to_owned()),
                },
                "list-type" if value != b"2" => return Err("only list-type=2 is known".to_owned()),
                _ => {}
            }
        }
        Ok(query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back() {
        for entry in [&b""[..], b"a", b"\x00\xff /%"] {
            assert_eq!(parse_token(&token(entry)).as_deref(), Some(entry));
        }
        for bad in ["", "x", "after-a", "after-zz", "after-AA"] {
            assert_eq!(parse_token(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_700_000_000, "2023-11-14T22:13:20.000Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000Z"),
        ] {
            let mut text = Vec::new();
            put_time(seconds, &mut text);
            assert_eq!(String::from_utf8_lossy(&text), expected);
        }
    }
}
