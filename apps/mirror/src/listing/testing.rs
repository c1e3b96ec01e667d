//! A lister that answers out of a set of keys, right or as wrong as a test wants it.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Ask, Lister};
use crate::s3::{Fault, FaultKind, Page};

pub(super) type Keys = BTreeSet<Vec<u8>>;

pub(super) fn keys(all: &[&str]) -> Keys {
    all.iter().map(|key| key.as_bytes().to_vec()).collect()
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Wrong {
    #[default]
    Nothing,
    Fails,
    IgnoresStart,
    /// The first key behind `start-after` is left out.
    SkipsOne,
    /// It has one key, and is said to be the last.
    EndsEarly,
    Reversed,
}

type Script = dyn FnMut(u64, &Ask<'_>, &mut Keys) -> Wrong + Send;

pub(super) struct Scripted {
    keys: Mutex<Keys>,
    /// Objects of a page, at most.
    pub(super) page: usize,
    /// Told of each request by its number, counted from 1; may change the keys.
    script: Mutex<Box<Script>>,
    requests: AtomicU64,
    /// Keys that were sent, by how often.
    pub(super) sent: AtomicU64,
}

impl Scripted {
    pub(super) fn new(keys: Keys) -> Scripted {
        Scripted::with(keys, |_, _, _| Wrong::Nothing)
    }

    pub(super) fn with(
        keys: Keys,
        script: impl FnMut(u64, &Ask<'_>, &mut Keys) -> Wrong + Send + 'static,
    ) -> Scripted {
        Scripted {
            keys: Mutex::new(keys),
            page: 1000,
            script: Mutex::new(Box::new(script)),
            requests: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }
    }
}

impl Lister for Scripted {
    fn list(&self, ask: &Ask<'_>, page: &mut Page) -> Result<(), Fault> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let wrong = (self.script.lock().unwrap())(number, ask, &mut keys);
        if wrong == Wrong::Fails {
            return Err(Fault {
                kind: FaultKind::Failed,
                text: format!("request {number} was to fail"),
            });
        }
        let text = answer(&keys, ask, self.page, wrong);
        self.sent
            .fetch_add(text.matches("<Key>").count() as u64, Ordering::Relaxed);
        page.read(text.as_bytes()).expect("a page of a test is one");
        Ok(())
    }

    fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

/// Tokens are the last entry, as hexadecimal digits.
fn answer(keys: &Keys, ask: &Ask<'_>, page: usize, wrong: Wrong) -> String {
    let after: Option<Vec<u8>> = match ask.token {
        Some(token) => Some(unhex(token)),
        None => ask.start_after.map(<[u8]>::to_vec),
    };
    let after = after.filter(|_| wrong != Wrong::IgnoresStart || ask.token.is_some());
    let from = match &after {
        Some(after) => Bound::Excluded(after.clone()),
        None => Bound::Included(ask.prefix.as_bytes().to_vec()),
    };
    let above = keys.range((from, Bound::Unbounded));
    let prefix = ask.prefix.as_bytes();
    let within = above.filter(|key| key.starts_with(prefix));
    let mut entries: Vec<(Vec<u8>, bool)> = Vec::new();
    for key in within {
        let end = key[prefix.len()..].iter().position(|byte| *byte == b'/');
        let (entry, is_folder) = match end.filter(|_| ask.has_delimiter) {
            Some(end) => (&key[..=prefix.len() + end], true),
            None => (&key[..], false),
        };
        // As S3 has it: what a page before told is not told again.
        let is_new = entries.last().is_none_or(|(last, _)| last != entry);
        if is_new && after.as_ref().is_none_or(|after| entry > &after[..]) {
            entries.push((entry.to_vec(), is_folder));
        }
        if entries.len() > page.min(ask.keys_max as usize) {
            break;
        }
    }
    if wrong == Wrong::SkipsOne && ask.start_after.is_some() && !entries.is_empty() {
        entries.remove(0);
    }
    let mut is_truncated = entries.len() > page.min(ask.keys_max as usize);
    entries.truncate(page.min(ask.keys_max as usize));
    if wrong == Wrong::EndsEarly {
        entries.truncate(1);
        is_truncated = false;
    }
    let token = entries.last().map_or(Vec::new(), |(last, _)| last.clone());
    if wrong == Wrong::Reversed {
        entries.reverse();
    }
    let mut text = String::from("<ListBucketResult>");
    for (entry, is_folder) in &entries {
        let name = escaped(entry);
        if *is_folder {
            text += &format!("<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>");
        } else {
            text += &object(&name);
        }
    }
    text += &format!("<KeyCount>{}</KeyCount>", entries.len());
    text += &format!("<IsTruncated>{is_truncated}</IsTruncated>");
    if is_truncated {
        let digits: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
        text += &format!("<NextContinuationToken>{digits}</NextContinuationToken>");
    }
    text + "<EncodingType>url</EncodingType></ListBucketResult>"
}

fn object(name: &str) -> String {
    format!(
        "<Contents><Key>{name}</Key><LastModified>2020-01-01T00:00:00Z</LastModified><Size>{}</Size>\
         </Contents>",
        name.len()
    )
}

fn escaped(key: &[u8]) -> String {
    key.iter().map(|byte| format!("%{byte:02X}")).collect()
}

fn unhex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.map(byte).collect()
}

/// A page with these keys, the last of its listing.
pub(super) fn page_of(keys: &[Vec<u8>]) -> Page {
    let objects: String = keys.iter().map(|key| object(&escaped(key))).collect();
    let text =
        format!("<ListBucketResult>{objects}<EncodingType>url</EncodingType></ListBucketResult>");
    Page::parse(text.as_bytes()).expect("a page of a test is one")
}
