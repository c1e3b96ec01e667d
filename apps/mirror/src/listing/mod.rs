//! The bucket as one ordered listing, page by page, each checked before any of it is used.
//!
//! Several workers list ranges of the key space at once, just ahead of the merge, which takes their pages
//! in the order of keys. Where ranges begin follows from hints: what is known from before, folders, or
//! how keys are spaced ([`Strategy`]). Hints decide how many requests there are, never which keys are
//! listed:
//!
//! - A range begins where the one before it ends, so that all of them cover the key space.
//! - What a range saw behind its end has to be what the next one begins with.
//! - The end of the listing is told after every range was whole, and an error is told in its place.
//!
//! Memory: [`Options::pages_ahead`] pages of some 130 KiB and [`READ_AHEAD_BYTES`] of them at most, one
//! page beside them, and for each worker a connection; a worker more costs some 0.3 MiB, 20 of them 6 MiB
//! in all. Pages that are on their way are taken for the longest that was seen: where 1000 keys of 1 KiB
//! suddenly follow short ones, each worker may hold a page of 1 MiB once. Nothing is spilled, and nothing
//! grows with the number of keys, folders or ranges.

mod checker;
mod guess;
mod hints;
mod ranges;
mod sorted;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod window;

use std::fmt;
use std::sync::Arc;

use anyhow::{Result, bail};

pub use checker::{IgnoresStartAfter, Unordered};
pub use hints::{FolderHints, Hint, Hints, KnownHints, LEVEL_MAX};
pub use ranges::Figures;
pub use sorted::SortedListing;

use crate::record::{Etag, Meta};
use crate::s3::{Fault, Page, Place};
use crate::scan::Listing;
use ranges::{Ranges, Window};
use window::Pages;

/// Bytes of pages that are read ahead, at most, however many workers there are: 20 workers have a page
/// on its way each, and half as many that wait.
pub const READ_AHEAD_BYTES: usize = 4 << 20;
/// Pages that are read ahead for each worker: the one on its way, and one that waits to be merged.
const PAGES_EACH: usize = 2;

/// A page of a listing that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub prefix: &'a str,
    /// Only keys above this one.
    pub start_after: Option<&'a [u8]>,
    /// Goes on where the page ended that had it.
    pub token: Option<&'a str>,
    /// Folders in place of the keys in them.
    pub has_delimiter: bool,
    pub keys_max: u32,
}

impl Default for Ask<'_> {
    fn default() -> Self {
        Ask {
            prefix: "",
            start_after: None,
            token: None,
            has_delimiter: false,
            keys_max: 1000,
        }
    }
}

/// Who answers: a client, or a script of a test.
pub trait Lister: Send + Sync {
    /// Reads the page into `page`, in place of what it has. Tries again what may pass.
    ///
    /// # Errors
    /// What did not pass.
    fn list(&self, ask: &Ask<'_>, page: &mut Page) -> Result<(), Fault>;

    /// Requests so far, tries included.
    fn requests(&self) -> u64;
}

/// Where ranges begin when nothing is known from before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Where keys may be, from how they are spaced in the pages before.
    #[default]
    Recursive,
    /// At the folders of a level, found by a delimiter; within them as the other.
    ByLevel(u32),
    /// There is one range, and one request at a time.
    Flat,
}

/// The keys that a listing is of: from one key up to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRange {
    /// The least key that is in it.
    pub from: Vec<u8>,
    /// The least key above it; none is to the end.
    pub to: Option<Vec<u8>>,
}

impl KeyRange {
    #[must_use]
    pub fn has(&self, key: &[u8]) -> bool {
        key >= &self.from[..] && self.to.as_deref().is_none_or(|to| key < to)
    }

    /// A text below `from` with next to no key between them: what `start-after` is given, which is left
    /// out itself.
    fn start_after(&self) -> Vec<u8> {
        let Ok(from) = std::str::from_utf8(&self.from) else {
            return Vec::new();
        };
        let mut text = from.to_owned();
        let Some(last) = text.pop() else {
            return Vec::new();
        };
        // The character before, and behind it the highest one; before a NUL there is nothing.
        let before = (0..u32::from(last)).rev().find_map(char::from_u32);
        if let Some(before) = before {
            text.push(before);
            text.push(char::MAX);
        }
        text.into_bytes()
    }
}

/// What a listing is of, and how it is made.
#[derive(Clone, Debug)]
pub struct Options {
    pub prefix: String,
    pub range: KeyRange,
    pub strategy: Strategy,
    pub workers: usize,
    /// Keys that are read ahead, in pages of 1000; 0 is as many as keep the workers busy.
    pub keys_ahead: usize,
    /// `start-after` is left out, and what is below the range passed over: for a source that ignores it.
    /// It takes [`Strategy::Flat`].
    pub is_from_start: bool,
}

impl Options {
    /// Pages that are read ahead.
    #[must_use]
    pub fn pages_ahead(&self) -> usize {
        let most = PAGES_EACH * self.workers();
        match self.keys_ahead {
            0 => most,
            keys => keys.div_ceil(1000).min(most),
        }
    }

    fn workers(&self) -> usize {
        match self.strategy {
            Strategy::Flat => 1,
            _ => self.workers.max(1),
        }
    }
}

/// Lists a bucket.
pub struct BucketListing {
    pages: Pages,
    page: Option<Page>,
    at: Place,
    /// Objects of the page that are still to come.
    left: usize,
    meta: Meta,
    tell: Box<dyn FnMut(u64)>,
}

impl fmt::Debug for BucketListing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BucketListing")
            .field("pages", &self.pages)
            .finish_non_exhaustive()
    }
}

impl BucketListing {
    /// Starts the workers. Hints of what is known come before those of the strategy. `tell` is told once
    /// a second how many requests a second there were.
    ///
    /// # Errors
    /// No thread can be started; a range of keys that can't be asked for.
    pub fn start(
        lister: &Arc<dyn Lister>,
        options: &Options,
        known: Option<Box<dyn Hints>>,
        tell: Box<dyn FnMut(u64)>,
    ) -> Result<BucketListing> {
        if std::str::from_utf8(&options.range.from).is_err() {
            bail!(
                "list from the key \"{}\": it is not UTF-8, as all keys of S3 are",
                options.range.from.escape_ascii()
            );
        }
        let (hints, has_guesses) = match options.strategy {
            Strategy::Flat => (None, false),
            Strategy::Recursive => (known, true),
            Strategy::ByLevel(level) => {
                let folders = FolderHints::new(&options.prefix, level);
                (known.or_else(|| Some(Box::new(folders))), true)
            }
        };
        let window = Window {
            pages: options.pages_ahead(),
            bytes: READ_AHEAD_BYTES,
        };
        let start = match options.is_from_start {
            true => Vec::new(),
            false => options.range.start_after(),
        };
        let ranges = Ranges::new(
            &options.prefix,
            start,
            options.range.clone(),
            window,
            has_guesses,
            hints.is_some(),
        );
        Ok(BucketListing {
            pages: Pages::start(lister, &options.prefix, ranges, hints, options.workers())?,
            page: None,
            at: Place::default(),
            left: 0,
            meta: Meta {
                size_bytes: 0,
                modified: 0,
                etag: Etag::None,
            },
            tell,
        })
    }

    /// What it took so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.pages.figures()
    }

    /// Why keys that are missing may be there all the same, if that is so.
    #[must_use]
    pub fn doubt(&self) -> Option<String> {
        self.pages.doubt()
    }
}

impl Listing for BucketListing {
    fn advance(&mut self) -> Result<bool> {
        while self.left == 0 {
            let used_up = self.page.take();
            let Some(used) = self.pages.next(used_up, &mut self.tell)? else {
                return Ok(false);
            };
            self.at = used.from;
            self.left = used.count;
            self.page = Some(used.page);
        }
        self.left -= 1;
        if let Some(page) = &self.page
            && let Some(next) = page.next(self.at)
        {
            self.at = next;
            self.meta = page.meta(next)?;
        }
        Ok(true)
    }

    fn key(&self) -> &[u8] {
        self.page.as_ref().map_or(&[], |page| page.key(self.at))
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }
}
