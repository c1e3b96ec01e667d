//! Strings and dense ids, both ways, in about the bytes of the strings.
//!
//! A program that says the same tags, paths or hashes again and again keeps each once here and holds
//! 4-byte [`TermId`]s. Ids count up from 0, are never reused and stay when a string is renamed.
//!
//! **Memory.** [`Dictionary::size_bytes`] is exact and counts everything. Measured at 100,000 strings,
//! for each byte of them: 1.02 for tags of 17 bytes, 1.10 for hashes of 32, and up to 0.1 more just
//! before a rebuild; hash maps take 4.6 and 6.0, `lasso` 2.6 (docs/design/library-cost.md). Below
//! 5,000 strings up to 512 of them are in the delta and cost about 16 bytes each; `rebuild` folds
//! them in. A rebuild holds the old and the new state at once, and 5 bytes a string.
//!
//! **How.** Nearly all strings are in a *base* that never changes: in order, front-coded in blocks of
//! 16. What came or was renamed since is in a small *delta*. Both are behind `Arc`s under one
//! `RwLock`: a look-up holds it shared for its own length, an insert exclusively for about a
//! microsecond. [`Dictionary::rebuild`] makes a new base aside, without the lock, and swaps it in.
//! A lock-free map would save that wait and cost several times the memory.
//!
//! **Not for** strings that come and go (nothing is ever removed), values other than ids, search inside
//! strings, or programs that do little else than look strings up: a string takes 300 ns to its id and
//! 160 ns back, where a hash map takes 50 to 180 and a table 9.
//!
//! | operation | time, `n` strings | memory beside the result |
//! |---|---|---|
//! | [`id`](Dictionary::id) | O(log n) | none |
//! | [`read_term`](Dictionary::read_term) | O(1): decodes up to 16 strings | none |
//! | [`prefix`](Dictionary::prefix) | O(log n + results) | one string |
//! | [`insert`](Dictionary::insert), [`rename`](Dictionary::rename) | O(log n + delta), and after every n/8 changes a rebuild; 1 µs, the rebuild spread over all of them 2 µs | delta: the string and 16 bytes |
//! | [`rebuild`](Dictionary::rebuild) | O(n), about 110 ns a string | the new base, 5 bytes a string |
//! | [`view`](Dictionary::view) | O(1) | the state it keeps, once that is replaced |
//! | [`write_to`](Dictionary::write_to), [`read_from`](Dictionary::read_from) | O(n), about 130 ns a string | 64 KiB; to read, up to twice the result and 5 bytes a string |
//!
//! ```
//! use plimsoll::dictionary::Dictionary;
//!
//! let tags = Dictionary::new();
//! let hair = tags.insert("long_hair")?;
//! assert_eq!(tags.insert("long_hair")?, hair);
//! tags.insert("looking_at_viewer")?;
//! tags.rename(hair, "very_long_hair")?;
//! assert_eq!(tags.id("very_long_hair"), Some(hair));
//! assert_eq!(tags.id("long_hair"), None);
//! let found = tags.prefix("lo", 10);
//! assert_eq!(found[0].1, "looking_at_viewer");
//! # Ok::<(), plimsoll::Error>(())
//! ```

mod base;
mod delta;
mod packed;
mod stored;
mod view;

use std::fmt;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::{Error, ErrorKind};
use base::Base;
pub use view::{DictionaryView, TermWalk};

/// The longest string: the longest path that Linux takes (`PATH_MAX`).
pub const TERM_BYTES_MAX: usize = 4096;

/// Ids are `u32`, and so is their number.
pub const TERMS_MAX: u32 = u32::MAX;

/// A delta this small is not worth a rebuild, whatever the size of the base.
const DELTA_TERMS_MIN: usize = 256;
const DELTA_TEXT_MIN: usize = 64 << 10;
/// A delta of a sixteenth of the base is due. Of an eighth it is folded in before the insert that
/// made it so returns: this bounds what the delta costs, and makes 8 moves of each string the price.
const DELTA_SHARE: usize = 16;
/// Places in the text of a delta are `u32`.
const DELTA_TEXT_MAX: usize = 1 << 30;
const DELTA_OVERDUE: usize = 2;

/// What stands for a string: the n-th that was inserted, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TermId(u32);

impl TermId {
    /// The id with this number, whether or not any dictionary has given it.
    #[must_use]
    pub const fn new(number: u32) -> TermId {
        TermId(number)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Its number, to index with.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Strings and ids. Shared by reference between threads: many may read while others insert.
pub struct Dictionary {
    now: RwLock<DictionaryView>,
    /// Held by who builds a base, so that only one is built at a time.
    building: Mutex<()>,
    terms_max: u32,
}

impl Default for Dictionary {
    fn default() -> Dictionary {
        Dictionary::new()
    }
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dictionary")
            .field("len", &self.len())
            .field("size_bytes", &self.size_bytes())
            .finish_non_exhaustive()
    }
}

impl Dictionary {
    /// One without strings.
    #[must_use]
    pub fn new() -> Dictionary {
        Dictionary::bounded(TERMS_MAX)
    }

    /// One that takes no more than `terms_max` strings.
    #[must_use]
    pub fn bounded(terms_max: u32) -> Dictionary {
        Dictionary::from_base(Base::empty(), terms_max)
    }

    fn from_base(base: Base, terms_max: u32) -> Dictionary {
        Dictionary {
            now: RwLock::new(DictionaryView {
                len: base.len() as u32,
                base: Arc::new(base),
                delta: Arc::default(),
            }),
            building: Mutex::new(()),
            terms_max,
        }
    }

    /// The id of `text`; a new one, the number of strings so far, if it has none.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if `text` has more than [`TERM_BYTES_MAX`] bytes,
    /// [`ErrorKind::Exhausted`] if all ids are given.
    pub fn insert(&self, text: &str) -> Result<TermId, Error> {
        check_len(text)?;
        if let Some(id) = self.id(text) {
            return Ok(id);
        }
        let mut now = self.write();
        // Another thread may have been faster.
        if let Some(id) = now.id(text) {
            return Ok(id);
        }
        if now.len >= self.terms_max {
            let message = format!(
                "insert a string into a dictionary of {} strings: no ids are left; ids are never \
                 reused, so a new dictionary is needed, or one with a greater bound",
                now.len
            );
            return Err(Error::new(ErrorKind::Exhausted, message));
        }
        let id = now.len;
        Arc::make_mut(&mut now.delta).set(id, text);
        now.len += 1;
        let overdue = now.delta_is_above(DELTA_OVERDUE);
        drop(now);
        if overdue {
            self.rebuild_overdue();
        }
        Ok(TermId(id))
    }

    /// Gives `id` another string; the one it had is free again. Its own string changes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if `id` is not given or `text` has more than [`TERM_BYTES_MAX`] bytes,
    /// [`ErrorKind::Exists`] if another id has `text`.
    pub fn rename(&self, id: TermId, text: &str) -> Result<(), Error> {
        check_len(text)?;
        let mut now = self.write();
        if id.0 >= now.len {
            let message = format!(
                "rename id {} of a dictionary of {} strings: it is not given; ids come from `insert`",
                id.0, now.len
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        match now.id(text) {
            Some(same) if same == id => return Ok(()),
            Some(other) => {
                let message = format!(
                    "rename id {} to {text:?}: id {} has that string; merge the two where they are \
                     used instead",
                    id.0, other.0
                );
                return Err(Error::new(ErrorKind::Exists, message));
            }
            None => {}
        }
        Arc::make_mut(&mut now.delta).set(id.0, text);
        let overdue = now.delta_is_above(DELTA_OVERDUE);
        drop(now);
        if overdue {
            self.rebuild_overdue();
        }
        Ok(())
    }

    /// The id of exactly this string.
    #[must_use]
    pub fn id(&self, text: &str) -> Option<TermId> {
        self.read().id(text)
    }

    /// The string of an id. [`Dictionary::read_term`] does it without allocating.
    #[must_use]
    pub fn term(&self, id: TermId) -> Option<String> {
        self.read().term(id)
    }

    /// Puts the string of an id into `into`, in place of what is there; `false`, and `into` empty, if
    /// the id is not given.
    pub fn read_term(&self, id: TermId, into: &mut String) -> bool {
        self.read().read_term(id, into)
    }

    /// Up to `limit` strings that start with `prefix`, in byte order, which is that of code points.
    #[must_use]
    pub fn prefix(&self, prefix: &str, limit: usize) -> Vec<(TermId, String)> {
        self.view().prefix(prefix, limit)
    }

    /// The number of strings; the next new one gets this number as its id.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.read().len
    }

    /// Whether there is no string.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The state of this instant, which stays as it is. Look-ups in it take no lock. While it is kept,
    /// so is its memory, and the first insert after it copies the delta.
    #[must_use]
    pub fn view(&self) -> DictionaryView {
        self.read().clone()
    }

    /// Bytes held now: this value and all it has on the heap, with the room to grow. What views still
    /// keep of former states is not in it, nor the allocator's own bookkeeping.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        size_of::<Dictionary>() + self.read().heap_bytes()
    }

    /// Whether the delta is large enough to be worth a [`Dictionary::rebuild`]. A program that calls
    /// it in a thread of its own when this turns true never waits for one in `insert`.
    #[must_use]
    pub fn rebuild_is_due(&self) -> bool {
        self.read().delta_is_above(1)
    }

    /// Folds all changes into a new base. Others read and insert meanwhile; what they change is kept.
    pub fn rebuild(&self) {
        let building = self.building.lock();
        let _building = building.unwrap_or_else(PoisonError::into_inner);
        self.rebuild_alone();
    }

    /// As above, unless another thread has done it while this one waited.
    fn rebuild_overdue(&self) {
        let building = self.building.lock();
        let _building = building.unwrap_or_else(PoisonError::into_inner);
        if self.read().delta_is_above(DELTA_OVERDUE) {
            self.rebuild_alone();
        }
    }

    fn rebuild_alone(&self) {
        let before = self.view();
        let base = Arc::new(before.fold());
        let mut now = self.write();
        let delta = Arc::new(now.delta.since(&before.delta));
        let old_base = std::mem::replace(&mut now.base, base);
        let old_delta = std::mem::replace(&mut now.delta, delta);
        drop(now);
        // Freed without the lock: it takes time where the base is large.
        drop((old_base, old_delta));
    }

    /// Writes all strings and ids: a version, then checksummed frames. The lock is not held.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] as `to` fails.
    pub fn write_to(&self, to: impl Write) -> Result<(), Error> {
        stored::write(&self.view(), to)
    }

    /// Reads what [`Dictionary::write_to`] wrote, and no byte beyond it. Damage is told, never taken
    /// for strings: each frame is checked before it is used.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] as `from` fails, [`ErrorKind::Malformed`] if it is damaged, cut off or foreign,
    /// [`ErrorKind::Unsupported`] if a later version wrote it.
    pub fn read_from(from: impl Read) -> Result<Dictionary, Error> {
        Ok(Dictionary::from_base(stored::read(from)?, TERMS_MAX))
    }

    // A panic while the lock is held comes from a bug or from failed allocation; what it guards is
    // only ever replaced in whole or appended to, so it is used on.
    fn read(&self) -> RwLockReadGuard<'_, DictionaryView> {
        self.now.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, DictionaryView> {
        self.now.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DictionaryView {
    /// Whether the delta is `times` as large as is due.
    fn delta_is_above(&self, times: usize) -> bool {
        let terms = DELTA_TERMS_MIN.max(self.base.len() / DELTA_SHARE);
        let text = DELTA_TEXT_MIN
            .max(self.base.text_bytes() / DELTA_SHARE)
            .min(DELTA_TEXT_MAX);
        self.delta.len() >= terms * times || self.delta.text_bytes() >= text * times
    }
}

fn check_len(text: &str) -> Result<(), Error> {
    if text.len() <= TERM_BYTES_MAX {
        return Ok(());
    }
    let message = format!(
        "take a string of {} bytes into a dictionary: at most {TERM_BYTES_MAX} are taken; keep long \
         text elsewhere and its hash here",
        text.len()
    );
    Err(Error::new(ErrorKind::Invalid, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_a_base_is_built_others_read_and_insert() {
        let dictionary = Dictionary::new();
        dictionary.insert("before").expect("there is room");
        // What a rebuild holds while it builds.
        let building = dictionary.building.lock().expect("nobody panicked");
        let before = dictionary.view();
        let during = dictionary.insert("during").expect("there is room");
        dictionary
            .rename(TermId::new(0), "renamed")
            .expect("the name is free");
        assert_eq!(dictionary.id("during"), Some(during));
        assert_eq!(dictionary.term(TermId::new(0)).as_deref(), Some("renamed"));
        // The rest of it: what came meanwhile is kept.
        let base = Arc::new(before.fold());
        {
            let mut now = dictionary.write();
            now.delta = Arc::new(now.delta.since(&before.delta));
            now.base = base;
        }
        drop(building);
        assert_eq!(dictionary.id("during"), Some(during));
        assert_eq!(dictionary.id("before"), None);
        assert_eq!(dictionary.id("renamed"), Some(TermId::new(0)));
        assert_eq!(before.id("before"), Some(TermId::new(0)), "a view stays");
        assert_eq!(before.id("during"), None);
    }
}
