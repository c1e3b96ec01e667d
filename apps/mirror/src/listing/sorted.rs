//! A bucket whose pages come in any order, sorted before any of it is used. Memory: what the sort is
//! given, and a page.

use anyhow::{Result, bail};
use plimsoll::runs::{SortOptions, Sorted, SortedEntries, Sorter};

use super::checker::Sequence;
use super::{Ask, KeyRange, Lister};
use crate::record::{Etag, Meta, decode_meta, encode_meta};
use crate::s3::Page;
use crate::scan::Listing;

/// All objects, sorted. A key that is listed twice makes it no listing.
#[derive(Debug)]
pub struct SortedListing {
    sorted: Sorted,
    meta: Meta,
    /// Keys that are still to come, if each was listed once.
    left: u64,
}

impl SortedListing {
    /// Lists all keys with the prefix, page by page, and keeps those in the range.
    pub fn read(
        lister: &dyn Lister,
        prefix: &str,
        range: &KeyRange,
        options: SortOptions,
    ) -> Result<SortedListing> {
        let mut sorter = Sorter::new(options)?;
        let mut sequence = Sequence::default();
        let mut value = Vec::new();
        let mut page = Page::default();
        loop {
            let ask = Ask {
                prefix,
                token: sequence.token.as_deref(),
                ..Ask::default()
            };
            lister.list(&ask, &mut page)?;
            sequence.check_unordered(&page, prefix.as_bytes())?;
            for place in page.places() {
                if range.has(page.key(place)) {
                    value.clear();
                    encode_meta(&page.meta(place)?, &mut value);
                    sorter.push(page.key(place), &value)?;
                }
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
        self.meta = decode_meta(&mut self.sorted.value())?;
        Ok(true)
    }

    fn key(&self) -> &[u8] {
        self.sorted.key()
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }
}
