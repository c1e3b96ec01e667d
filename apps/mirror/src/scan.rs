//! What is known beside what the source lists: one pass over both, in the order of keys. Pure but for
//! what it reads and writes through.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{self, AtomicBool};

use anyhow::Result;

use crate::key::{self, Policy, Refusal};
use crate::record::{Meta, Record, Status};
use crate::state::{Generation, Known};

/// Objects of the source in strictly rising order of their keys. An error means that the listing is not
/// whole; its end means that it is.
pub trait Listing {
    /// To the next object; false behind the last.
    fn advance(&mut self) -> Result<bool>;
    fn key(&self) -> &[u8];
    fn meta(&self) -> &Meta;
}

/// Keys of a batch, and batches between two lines on memory: the original's.
const BATCH_KEYS: u64 = 1000;
const BATCHES_TOLD: u64 = 1000;

/// A listing that breaks off once the run is to end.
#[expect(missing_debug_implementations, reason = "it lives for one scan")]
pub struct UntilCancelled<'a> {
    pub listing: &'a mut dyn Listing,
    pub cancel: &'a AtomicBool,
    /// Objects so far.
    pub listed: u64,
    /// Told how many batches there were, each thousand of them.
    pub each: &'a dyn Fn(u64),
}

impl Listing for UntilCancelled<'_> {
    fn advance(&mut self) -> Result<bool> {
        let is_on = self.listing.advance()?;
        // Its end counts, too: what is cancelled changes nothing.
        if self.cancel.load(atomic::Ordering::Relaxed) {
            return Err(Cancelled.into());
        }
        self.listed += u64::from(is_on);
        if is_on && self.listed.is_multiple_of(BATCH_KEYS * BATCHES_TOLD) {
            (self.each)(self.listed / BATCH_KEYS);
        }
        Ok(is_on)
    }

    fn key(&self) -> &[u8] {
        self.listing.key()
    }

    fn meta(&self) -> &Meta {
        self.listing.meta()
    }
}

/// The run is to end, by a signal.
#[derive(Debug)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the run was ended by a signal")
    }
}

impl std::error::Error for Cancelled {}

/// How many keys of a scan were or became what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanCounts {
    /// Known before, by status.
    pub before: StatusCounts,
    /// Known now.
    pub after: StatusCounts,
    /// Objects that were listed, those that are not mirrored included.
    pub listed: u64,
    /// Bytes of those that are mirrored.
    pub listed_bytes: u64,
    pub folder_markers: u64,
    pub refused: BTreeMap<Refusal, u64>,
    /// Never seen before.
    pub new: u64,
    pub synced_to_synced: u64,
    pub synced_to_new: u64,
    pub deleted_to_new: u64,
    pub deleted_to_synced: u64,
    pub new_again: u64,
    /// Not listed, and now to be deleted.
    pub to_deleted: u64,
    /// Not listed, and nothing at the destination either.
    pub dropped: u64,
    /// Bytes that are to be uploaded.
    pub pending_bytes: u64,
    /// The source does not list in order: set by who had it sorted.
    pub is_unordered: bool,
    /// Why keys that were not listed may be there all the same: set by who listed.
    pub doubt: Option<String>,
}

/// Keys by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusCounts {
    pub new: u64,
    pub synced: u64,
    pub deleted_in_source: u64,
    pub error: u64,
}

impl StatusCounts {
    pub fn add(&mut self, status: Status) {
        match status {
            Status::New => self.new += 1,
            Status::Synced => self.synced += 1,
            Status::DeletedInSource => self.deleted_in_source += 1,
            Status::Error => self.error += 1,
        }
    }

    /// `SYNCED=7, NEW=1, …`
    #[must_use]
    pub fn line(&self) -> String {
        format!(
            "SYNCED={}, NEW={}, ERROR={}, DELETED_IN_SOURCE={}",
            self.synced, self.new, self.error, self.deleted_in_source
        )
    }

    #[must_use]
    pub fn total(&self) -> u64 {
        self.new + self.synced + self.deleted_in_source + self.error
    }
}

/// Reads both to their ends and gives each key with its new record to `next`. The caller publishes
/// that, or drops it. O(known + listed).
///
/// # Errors
/// Of the listing, which is not whole then, and of the state.
pub fn scan(
    mut known: Known,
    listing: &mut dyn Listing,
    next: &mut Generation,
) -> Result<ScanCounts> {
    let mut counts = ScanCounts::default();
    let mut synced = Vec::new();
    let mut has_known = known.step()?;
    let mut has_listed = step_listing(listing, &mut counts)?;
    loop {
        let order = match (has_known, has_listed) {
            (false, false) => return Ok(counts),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (true, true) => known.key().cmp(listing.key()),
        };
        // Nearly all keys of nearly all runs are as they were: seen by the stored bytes alone.
        if order.is_eq() {
            synced.clear();
            Record::encode_synced(listing.meta(), &mut synced);
            if known.stored() == Some(&synced) {
                counts.keep();
                next.keep(listing.key(), &synced)?;
                has_known = known.step()?;
                has_listed = step_listing(listing, &mut counts)?;
                continue;
            }
        }
        let before = match order {
            Ordering::Greater => None,
            _ => take_known(&mut known, &mut counts)?,
        };
        let base = match order {
            Ordering::Greater => None,
            _ => known.base_value(),
        };
        let (key, record) = match order {
            Ordering::Less => (known.key(), counts.unseen(before)),
            _ => (listing.key(), Some(counts.seen(before, listing.meta()))),
        };
        if let Some(record) = &record {
            counts.after.add(record.status());
        }
        next.put(key, base, record.as_ref())?;
        if order.is_le() {
            has_known = known.step()?;
        }
        if order.is_ge() {
            has_listed = step_listing(listing, &mut counts)?;
        }
    }
}

/// Gives each key with the record that it has to `next`: with [`Generation::fold`], base, delta and
/// journal become one base. O(known).
///
/// # Errors
/// Of the state.
pub fn copy(mut known: Known, next: &mut Generation) -> Result<StatusCounts> {
    let mut counts = StatusCounts::default();
    while known.advance()? {
        if let Some(record) = known.record() {
            counts.add(record.status());
        }
        next.put(known.key(), known.base_value(), known.record())?;
    }
    Ok(counts)
}

/// The record of the key that is known.
fn take_known(known: &mut Known, counts: &mut ScanCounts) -> Result<Option<Record>> {
    known.load()?;
    if let Some(record) = known.record() {
        counts.before.add(record.status());
    }
    Ok(known.take_record())
}

/// To the next object that is mirrored.
fn step_listing(listing: &mut dyn Listing, counts: &mut ScanCounts) -> Result<bool> {
    while listing.advance()? {
        counts.listed += 1;
        match key::judge(listing.key()) {
            Policy::Mirror => {
                counts.listed_bytes += listing.meta().size_bytes;
                return Ok(true);
            }
            Policy::FolderMarker => counts.folder_markers += 1,
            Policy::Refuse(refusal) => *counts.refused.entry(refusal).or_default() += 1,
        }
    }
    Ok(false)
}

impl ScanCounts {
    /// A file that is synced and was not changed.
    fn keep(&mut self) {
        self.before.add(Status::Synced);
        self.after.add(Status::Synced);
        self.synced_to_synced += 1;
    }

    fn seen(&mut self, before: Option<Record>, meta: &Meta) -> Record {
        let was = before.as_ref().map(Record::status);
        let record = Record::seen(before, meta.clone());
        let is_synced = record.status() == Status::Synced;
        if !is_synced {
            self.pending_bytes += meta.size_bytes;
        }
        let counter = match (was, is_synced) {
            (None, _) => &mut self.new,
            (Some(Status::Synced), true) => &mut self.synced_to_synced,
            (Some(Status::Synced), false) => &mut self.synced_to_new,
            (Some(Status::DeletedInSource), true) => &mut self.deleted_to_synced,
            (Some(Status::DeletedInSource), false) => &mut self.deleted_to_new,
            (Some(Status::New | Status::Error), true) => &mut self.synced_to_synced,
            (Some(Status::New | Status::Error), false) => &mut self.new_again,
        };
        *counter += 1;
        record
    }

    fn unseen(&mut self, before: Option<Record>) -> Option<Record> {
        let before = before?;
        let was_deleted = before.status() == Status::DeletedInSource;
        let record = before.unseen();
        match &record {
            Some(_) if was_deleted => {}
            Some(_) => self.to_deleted += 1,
            None => self.dropped += 1,
        }
        record
    }

    /// Keys that were refused.
    #[must_use]
    pub fn refused_total(&self) -> u64 {
        self.refused.values().sum()
    }
}
