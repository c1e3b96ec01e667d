//! A walk over a huge ordered store in bounded batches, each read in a short transaction of its own.
//!
//! One read transaction over a whole store keeps every old version alive: the write-ahead log of
//! SQLite grows without end under it, stores that copy pages on write can't reuse any, and a map of
//! all that is to be changed grows beside it. [`walk`] instead reads a [`Batch`] (at most
//! [`BatchLimits::items`] entries and [`BatchLimits::bytes`] bytes), ends the transaction, hands the
//! batch and the store to the caller, who writes what he wants of that batch, and goes on after the
//! last key: the resume key. Save that key, best in the transaction that writes the batch, and
//! [`walk_after`] goes on where a crash ended.
//!
//! **Cost.** One batch: at most [`BatchLimits::bytes`] of entries, their heap included, and a list of
//! up to [`BatchLimits::items`] places, never twice that limit together; one copy of a key; no thread. A batch costs one seek and its entries, so a walk is
//! O(entries + batches × log store).
//!
//! **Not for.** A consistent picture of the whole store: take a snapshot or one transaction for that,
//! and pay for it. Small stores: a loop in one transaction is simpler. Orders that change: the key
//! by which it walks must be unique, and an entry whose key changes is another entry. Adapters here
//! are for `BTreeMap` and, with the features `sqlite`, `redb` and `lmdb`, for those; for others
//! [`OrderedStore`] has to be implemented.
//!
//! A store that is mapped into memory, as LMDB, shows a walk in RSS all the same: as file pages, which
//! the kernel takes back; anonymous memory stays at a batch.
//!
//! # What a walk sees while others write
//! - An entry that is there during the whole walk is seen exactly once, with the value that it had when
//!   its batch was read.
//! - What is inserted or changed beyond the resume key is seen, unless it is deleted again before its
//!   batch is read. What is inserted or changed at or before the resume key isn't seen.
//! - What is deleted before its batch is read isn't seen. What is deleted later was seen, so the
//!   caller may hold an entry that the store has no more.
//! - Every batch is consistent in itself; two batches need not fit each other.
//! - Keys only rise. Whoever inserts beyond the resume key faster than batches are read keeps a walk
//!   going for ever; a caller who can't rule that out ends it by an error at the last key he wants.
//!
//! ```
//! use std::collections::BTreeMap;
//! use plimsoll::batches::{BatchLimits, walk};
//!
//! # fn main() -> Result<(), plimsoll::Error> {
//! let mut store: BTreeMap<u32, String> = (0..1000).map(|n| (n, n.to_string())).collect();
//! let limits = BatchLimits { items: 100, bytes: 16 << 10 };
//! let walked = walk(&mut store, limits, |store, batch| {
//!     for (key, _) in batch.into_entries() {
//!         store.remove(&key); // A write between two reads.
//!     }
//!     Ok::<_, std::io::Error>(())
//! })?;
//! assert_eq!((walked.items, walked.batches, store.len()), (1000, 10, 0));
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "lmdb")]
mod lmdb;
mod map;
#[cfg(feature = "redb")]
mod redb_store;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::error::Error as StdError;

use crate::amount::Amount;
use crate::error::{Error, ErrorKind};
use crate::weight::Weigh;

#[cfg(feature = "lmdb")]
pub use heed;
#[cfg(feature = "lmdb")]
pub use lmdb::LmdbStore;
#[cfg(feature = "redb")]
pub use redb;
#[cfg(feature = "redb")]
pub use redb_store::{RedbKey, RedbStore, RedbValue};
#[cfg(feature = "sqlite")]
pub use rusqlite;
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteKey, SqliteStore};

/// How much one batch may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Entries at most, 1 or more; 10 000 by default.
    pub items: usize,
    /// Bytes of keys and values at most, as [`Weigh`] counts them; 4 MiB by default.
    pub bytes: usize,
}

impl Default for BatchLimits {
    fn default() -> BatchLimits {
        BatchLimits {
            items: 10_000,
            bytes: 4 << 20,
        }
    }
}

/// Entries in rising order of their keys, within limits.
///
/// ```
/// use plimsoll::batches::{Batch, BatchLimits};
///
/// let mut batch = Batch::new(BatchLimits { items: 2, bytes: 1000 });
/// assert!(batch.push(1_u32, "one".to_owned())?);
/// assert!(batch.push(2, "two".to_owned())?);
/// assert!(!batch.push(3, "three".to_owned())?, "it is full");
/// assert_eq!(batch.resume_key(), Some(&2));
/// # Ok::<(), plimsoll::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Batch<K, V> {
    limits: BatchLimits,
    entries: Vec<(K, V)>,
    bytes: usize,
    is_full: bool,
}

impl<K: Weigh, V: Weigh> Batch<K, V> {
    /// An empty batch that takes up to `limits`.
    #[must_use]
    pub fn new(limits: BatchLimits) -> Batch<K, V> {
        Batch {
            limits,
            entries: Vec::new(),
            bytes: 0,
            is_full: false,
        }
    }

    /// Whether an entry of `bytes` still fits: for stores that can weigh what they have not read yet.
    /// After a first no the batch is full and takes nothing more, so no key is skipped.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when it would not fit in an empty batch: the walk can't pass it.
    pub fn has_room(&mut self, bytes: usize) -> Result<bool, Error> {
        if self.entries.is_empty() && !self.is_full && bytes > self.limits.bytes {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "read a batch of at most {}: its first entry alone takes {}; raise the limit of \
                     bytes, or keep such values out of the store",
                    Amount(self.limits.bytes as u64),
                    Amount(bytes as u64),
                ),
            ));
        }
        let is_room = self.entries.len() < self.limits.items
            && bytes <= self.limits.bytes.saturating_sub(self.bytes);
        self.is_full |= !is_room;
        Ok(!self.is_full)
    }

    /// Takes an entry, or says no when it doesn't fit: then the batch is full. O(1).
    ///
    /// # Errors
    /// As [`Batch::has_room`].
    pub fn push(&mut self, key: K, value: V) -> Result<bool, Error> {
        let bytes = weight_of(&key, &value);
        if !self.has_room(bytes)? {
            return Ok(false);
        }
        if self.entries.capacity() == 0 {
            // All places at once: a list that grows is there twice while it moves.
            let slot = size_of::<(K, V)>().max(1);
            let places = self.limits.items.min(self.limits.bytes / slot);
            self.entries.reserve_exact(places.max(1));
        }
        self.entries.push((key, value));
        self.bytes += bytes;
        Ok(true)
    }
}

impl<K, V> Batch<K, V> {
    /// The entries, keys rising.
    #[must_use]
    pub fn entries(&self) -> &[(K, V)] {
        &self.entries
    }

    /// The entries, keys rising.
    #[must_use]
    pub fn into_entries(self) -> Vec<(K, V)> {
        self.entries
    }

    /// What the entries weigh together, in bytes.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        self.bytes
    }

    /// Where to go on after this batch; what to save. None of an empty batch.
    #[must_use]
    pub fn resume_key(&self) -> Option<&K> {
        self.entries.last().map(|(key, _)| key)
    }
}

/// What an entry weighs in a batch, the padding of the pair included.
pub(crate) fn weight_of<K: Weigh, V: Weigh>(key: &K, value: &V) -> usize {
    let padding = size_of::<(K, V)>().saturating_sub(size_of::<K>() + size_of::<V>());
    key.weight_bytes() + value.weight_bytes() + padding
}

/// A store with unique keys in an order, which can be read from any key on.
///
/// ```
/// use plimsoll::Error;
/// use plimsoll::batches::{Batch, BatchLimits, OrderedStore, walk};
///
/// /// The squares below a million, as a table that is read from a key on.
/// struct Squares;
///
/// impl OrderedStore for Squares {
///     type Key = u64;
///     type Value = u64;
///     type Error = Error;
///
///     fn read_batch(&mut self, after: Option<&u64>, limits: BatchLimits) -> Result<Batch<u64, u64>, Error> {
///         let mut batch = Batch::new(limits);
///         for key in after.map_or(0, |after| after + 1)..1000 {
///             if !batch.push(key, key * key)? {
///                 break;
///             }
///         }
///         Ok(batch)
///     }
/// }
///
/// let limits = BatchLimits { items: 300, bytes: 1 << 20 };
/// let walked = walk(&mut Squares, limits, |_, batch| {
///     assert!(batch.entries().len() <= 300);
///     Ok::<_, Error>(())
/// })?;
/// assert_eq!((walked.batches, walked.items), (4, 1000));
/// # Ok::<(), Error>(())
/// ```
pub trait OrderedStore {
    /// Unique, and in the order of the store.
    type Key: Ord + Clone + Weigh;
    /// What is stored under a key.
    type Value: Weigh;
    /// Why a read failed.
    type Error: Into<Box<dyn StdError + Send + Sync>>;

    /// Reads the first entries whose keys are greater than `after` (all keys, for None) into a
    /// [`Batch::new`] of `limits`, until [`Batch::push`] says no or there are no more, in one
    /// transaction that is over on return. An empty batch means that there are no more.
    ///
    /// # Errors
    /// What the store fails with, and what [`Batch::push`] returns.
    fn read_batch(
        &mut self,
        after: Option<&Self::Key>,
        limits: BatchLimits,
    ) -> Result<Batch<Self::Key, Self::Value>, Self::Error>;
}

/// What a walk that came to the end has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Walked {
    /// Batches that were handled.
    pub batches: u64,
    /// Entries in them.
    pub items: u64,
    /// What all entries weighed together.
    pub bytes: u64,
    /// The heaviest batch.
    pub batch_bytes_max: usize,
}

/// Walks all of `store`; `each` gets every batch, after its transaction has ended, and the store to
/// write to. See the [module](self) for what a walk sees while others write.
///
/// # Errors
/// [`ErrorKind::Failed`] with the error of the store or of `each` as its source: the walk ends there,
/// and every batch before it was handled. [`ErrorKind::Invalid`] for limits of zero.
/// [`ErrorKind::Malformed`] for a store that breaks its promises: keys that don't rise, or more than
/// the limits.
pub fn walk<S: OrderedStore, E: Into<Box<dyn StdError + Send + Sync>>>(
    store: &mut S,
    limits: BatchLimits,
    each: impl FnMut(&mut S, Batch<S::Key, S::Value>) -> Result<(), E>,
) -> Result<Walked, Error> {
    walk_after(store, None, limits, each)
}

/// As [`walk`], from the first key greater than `after` on: a [`Batch::resume_key`] that was saved,
/// or None to begin. The key itself need not be there any more.
///
/// # Errors
/// As [`walk`].
pub fn walk_after<S: OrderedStore, E: Into<Box<dyn StdError + Send + Sync>>>(
    store: &mut S,
    mut after: Option<S::Key>,
    limits: BatchLimits,
    mut each: impl FnMut(&mut S, Batch<S::Key, S::Value>) -> Result<(), E>,
) -> Result<Walked, Error> {
    if limits.items == 0 || limits.bytes == 0 {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "walk in batches of {} entries and {} bytes: both have to be 1 or more",
                limits.items, limits.bytes
            ),
        ));
    }
    let mut walked = Walked {
        batches: 0,
        items: 0,
        bytes: 0,
        batch_bytes_max: 0,
    };
    loop {
        let number = walked.batches + 1;
        let batch = store
            .read_batch(after.as_ref(), limits)
            .map_err(|error| failed("read", number, error))?;
        let Some(key) = batch.resume_key().cloned() else {
            return Ok(walked);
        };
        check_promises(&batch, after.as_ref(), limits, number)?;
        walked.batches = number;
        walked.items += batch.entries.len() as u64;
        walked.bytes += batch.bytes as u64;
        walked.batch_bytes_max = walked.batch_bytes_max.max(batch.bytes);
        each(store, batch).map_err(|error| failed("handle", number, error))?;
        after = Some(key);
    }
}

fn failed(what: &str, number: u64, error: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    let message = format!("{what} batch {number} of a walk; go on after the last resume key");
    Error::with_source(ErrorKind::Failed, message, error)
}

/// A store whose keys don't rise would have the walk see entries twice, or never end.
fn check_promises<K: Ord, V>(
    batch: &Batch<K, V>,
    after: Option<&K>,
    limits: BatchLimits,
    number: u64,
) -> Result<(), Error> {
    let entries = &batch.entries;
    let broken = if entries.len() > limits.items || batch.bytes > limits.bytes {
        "it is larger than the limits asked for"
    } else if after.is_some_and(|after| entries[0].0 <= *after) {
        "its first key is not after the resume key"
    } else if entries.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
        "its keys do not rise"
    } else {
        return Ok(());
    };
    Err(Error::new(
        ErrorKind::Malformed,
        format!(
            "read batch {number} of a walk: {broken}; the store has to be in the order of its keys, each once"
        ),
    ))
}
