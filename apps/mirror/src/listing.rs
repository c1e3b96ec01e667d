//! The bucket as one ordered listing, page by page, each checked before any of it is used. Memory: two
//! pages.
//!
//! What a listing leaves out is deleted at the destination, so one that is dubious in any way is none:
//! keys have to rise strictly, to have the prefix, to be as many as the page counts; a page that is not
//! the last has to say where the next one begins, and not where it began itself.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use anyhow::{Context, Result, bail};
use plimsoll::runs::{SortOptions, Sorted, SortedEntries, Sorter};

use crate::record::{Etag, Meta, Record};
use crate::s3::{Client, Page};
use crate::scan::Listing;

/// Pages without objects in a row: a server may send some, but not go on for ever.
const EMPTY_PAGES_MAX: u32 = 100;

/// Lists a bucket; the next page is fetched by a thread while this one is used.
#[derive(Debug)]
pub struct BucketListing {
    pages: Receiver<Result<Page>>,
    page: Page,
    /// Of the object in the page.
    at: Option<usize>,
    is_ended: bool,
}

impl BucketListing {
    /// # Errors
    /// No thread can be started.
    pub fn start(client: &Arc<Client>, prefix: &str) -> Result<BucketListing> {
        let (sender, pages) = sync_channel(0);
        let (client, prefix) = (client.clone(), prefix.to_owned());
        thread::Builder::new()
            .name("listing".to_owned())
            .stack_size(512 << 10)
            .spawn(move || {
                let _scope = crate::memory::LISTING.enter();
                let mut checker = Checker::new(&prefix);
                loop {
                    let page = client
                        .list(&prefix, checker.token.as_deref())
                        .map_err(anyhow::Error::new)
                        .and_then(|page| checker.check(page));
                    let is_last = page.as_ref().map_or(true, |page| !page.is_truncated());
                    // Nobody waits for more after an error of theirs.
                    if sender.send(page).is_err() || is_last {
                        return;
                    }
                }
            })
            .context("start a thread that lists")?;
        Ok(BucketListing {
            pages,
            page: Page::default(),
            at: None,
            is_ended: false,
        })
    }
}

impl Listing for BucketListing {
    fn advance(&mut self) -> Result<bool> {
        loop {
            let next = self.at.map_or(0, |at| at + 1);
            if next < self.page.len() {
                self.at = Some(next);
                return Ok(true);
            }
            if self.is_ended {
                return Ok(false);
            }
            let page = self.pages.recv();
            self.page = page.context("the thread that lists has ended")??;
            self.at = None;
            self.is_ended = !self.page.is_truncated();
        }
    }

    fn key(&self) -> &[u8] {
        self.at.map_or(&[], |at| self.page.key(at))
    }

    fn meta(&self) -> &Meta {
        // Asked for only after an object was reached.
        self.page.meta(self.at.unwrap_or_default())
    }
}

/// The source does not list its keys in order.
#[derive(Debug)]
pub struct Unordered(String);

impl fmt::Display for Unordered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unordered {}

/// A bucket whose pages come in any order, sorted before any of it is used. Memory: what the sort is
/// given, and a page. A key that is listed twice makes it no listing.
#[derive(Debug)]
pub struct SortedListing {
    sorted: Sorted,
    meta: Meta,
    /// Keys that are still to come, if each was listed once.
    left: u64,
}

impl SortedListing {
    /// Lists the whole bucket.
    pub fn read(client: &Client, prefix: &str, options: SortOptions) -> Result<SortedListing> {
        let mut sorter = Sorter::new(options)?;
        let mut checker = Checker::new(prefix);
        let mut value = Vec::new();
        loop {
            let page = client.list(prefix, checker.token.as_deref())?;
            let page = checker.check_unordered(page)?;
            for at in 0..page.len() {
                value.clear();
                Record::Synced(page.meta(at).clone()).encode(&mut value);
                sorter.push(page.key(at), &value)?;
            }
            if !page.is_truncated() {
                break;
            }
        }
        let sorted = sorter.finish()?;
        Ok(SortedListing {
            left: sorted.figures().entries,
            sorted,
            meta: Meta {
                size_bytes: 0,
                modified: 0,
                etag: Etag::None,
            },
        })
    }
}

impl Listing for SortedListing {
    fn advance(&mut self) -> Result<bool> {
        if !self.sorted.advance()? {
            if self.left > 0 {
                bail!(
                    "the source lists {} keys more than once: the listing can't be trusted",
                    self.left
                );
            }
            return Ok(false);
        }
        self.left = self.left.saturating_sub(1);
        match Record::decode(self.sorted.value())? {
            Some(Record::Synced(meta)) => self.meta = meta,
            other => bail!("{other:?} was sorted in place of an object"),
        }
        Ok(true)
    }

    fn key(&self) -> &[u8] {
        self.sorted.key()
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }
}

/// What the pages so far say of those that may follow.
#[derive(Debug)]
struct Checker {
    prefix: Vec<u8>,
    last: Option<Vec<u8>>,
    token: Option<String>,
    empty: u32,
}

impl Checker {
    fn new(prefix: &str) -> Checker {
        Checker {
            prefix: prefix.as_bytes().to_vec(),
            last: None,
            token: None,
            empty: 0,
        }
    }

    fn check(&mut self, page: Page) -> Result<Page> {
        for at in 0..page.len() {
            let key = page.key(at);
            let before = match at.checked_sub(1) {
                Some(before) => Some(page.key(before)),
                None => self.last.as_deref(),
            };
            if before.is_some_and(|before| key <= before) {
                let text = format!(
                    "the source lists \"{}\" after \"{}\": keys do not rise",
                    key.escape_ascii(),
                    before.unwrap_or_default().escape_ascii()
                );
                return Err(Unordered(text).into());
            }
        }
        self.check_unordered(page)
    }

    /// All but the order.
    fn check_unordered(&mut self, page: Page) -> Result<Page> {
        for at in 0..page.len() {
            let key = page.key(at);
            if !key.starts_with(&self.prefix) {
                bail!(
                    "the source lists \"{}\", which has not the prefix that was asked for: the listing \
                     can't be trusted",
                    key.escape_ascii()
                );
            }
        }
        let count = page.len() as u64;
        if page.key_count().is_some_and(|told| told != count) {
            bail!(
                "the source sends {count} keys and counts {}: the listing can't be trusted",
                page.key_count().unwrap_or_default()
            );
        }
        self.empty = if page.is_empty() { self.empty + 1 } else { 0 };
        if page.is_truncated() {
            let Some(token) = page.next_token().filter(|token| !token.is_empty()) else {
                bail!(
                    "the source says that there is more, but not where: the listing can't be trusted"
                );
            };
            if self.token.as_deref() == Some(token) || self.empty > EMPTY_PAGES_MAX {
                bail!(
                    "the source sends the same page again and again: the listing can't be trusted"
                );
            }
            self.token = Some(token.to_owned());
        }
        if let Some(last) = page.len().checked_sub(1) {
            self.last = Some(page.key(last).to_vec());
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(keys: &[&str], rest: &str) -> Page {
        let objects: String = keys
            .iter()
            .map(|key| {
                format!(
                    "<Contents><Key>{key}</Key><LastModified>2020-01-01T00:00:00Z</LastModified>\
                     <Size>1</Size></Contents>"
                )
            })
            .collect();
        let text = format!("<ListBucketResult>{objects}{rest}</ListBucketResult>");
        Page::parse(text.as_bytes()).unwrap()
    }

    const MORE: &str = "<IsTruncated>true</IsTruncated>";

    #[test]
    fn pages_in_order_pass() {
        let mut checker = Checker::new("a");
        let token = "<NextContinuationToken>1</NextContinuationToken>";
        checker
            .check(page(&["a1", "a2"], &format!("{MORE}{token}")))
            .unwrap();
        assert_eq!(checker.token.as_deref(), Some("1"));
        let token = "<NextContinuationToken>2</NextContinuationToken>";
        checker.check(page(&[], &format!("{MORE}{token}"))).unwrap();
        checker
            .check(page(&["a3"], "<KeyCount>1</KeyCount>"))
            .unwrap();
    }

    #[test]
    fn dubious_pages_are_refused() {
        let check = |pages: Vec<Page>, expected: &str| {
            let mut checker = Checker::new("a");
            let error = pages
                .into_iter()
                .try_for_each(|page| checker.check(page).map(drop))
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{error}");
        };
        let token =
            |token: &str| format!("{MORE}<NextContinuationToken>{token}</NextContinuationToken>");
        check(vec![page(&["a2", "a1"], "")], "\"a1\" after \"a2\"");
        check(vec![page(&["a2", "a2"], "")], "keys do not rise");
        check(
            vec![page(&["a2"], &token("1")), page(&["a2"], "")],
            "keys do not rise",
        );
        check(vec![page(&["b"], "")], "has not the prefix");
        check(
            vec![page(&["a"], "<KeyCount>2</KeyCount>")],
            "sends 1 keys and counts 2",
        );
        check(vec![page(&["a"], MORE)], "but not where");
        check(vec![page(&["a"], &token(""))], "but not where");
        check(
            vec![page(&["a1"], &token("1")), page(&["a2"], &token("1"))],
            "again and again",
        );
        let empty = (0..=EMPTY_PAGES_MAX + 1).map(|n| page(&[], &token(&n.to_string())));
        check(empty.collect(), "again and again");
    }
}
