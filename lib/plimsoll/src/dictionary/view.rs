//! A dictionary at one instant: look-ups and walks in order. Memory: two pointers and what they keep.

use std::cmp::Ordering;
use std::fmt;
use std::str;
use std::sync::Arc;

use crate::dictionary::TermId;
use crate::dictionary::base::{Base, BaseWalk, Builder};
use crate::dictionary::delta::Delta;

/// What an `Arc` puts before its value: two counts.
const ARC_HEADER_BYTES: usize = 2 * size_of::<usize>();

/// A dictionary as it was at one instant. It answers without a lock, always the same; costs are those
/// of [`Dictionary`](crate::dictionary::Dictionary).
///
/// ```
/// use plimsoll::dictionary::Dictionary;
///
/// let tags = Dictionary::new();
/// let cat = tags.insert("cat")?;
/// let view = tags.view();
/// tags.rename(cat, "kitten")?;
/// assert_eq!((view.id("cat"), tags.id("cat")), (Some(cat), None));
/// let mut walk = view.walk("ca");
/// assert_eq!(walk.next_term(), Some((cat, "cat")));
/// # Ok::<(), plimsoll::Error>(())
/// ```
#[derive(Clone)]
pub struct DictionaryView {
    pub(super) base: Arc<Base>,
    pub(super) delta: Arc<Delta>,
    /// Ids given: those of the base, then those that only the delta has.
    pub(super) len: u32,
}

impl fmt::Debug for DictionaryView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DictionaryView")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl DictionaryView {
    /// The id of exactly this string.
    #[must_use]
    pub fn id(&self, text: &str) -> Option<TermId> {
        // The base first: nearly all are there. An id in the delta has another string now.
        let of_base = self.base.find(text.as_bytes());
        let of_base = of_base.filter(|id| !self.delta.has_id(*id));
        of_base.or_else(|| self.delta.find(text)).map(TermId)
    }

    /// The string of an id.
    #[must_use]
    pub fn term(&self, id: TermId) -> Option<String> {
        let mut text = String::new();
        self.read_term(id, &mut text).then_some(text)
    }

    /// Puts the string of an id into `into`, in place of what is there; `false`, and `into` empty, if
    /// the id is not given.
    pub fn read_term(&self, id: TermId, into: &mut String) -> bool {
        into.clear();
        if id.0 >= self.len {
            return false;
        }
        if let Some(text) = self.delta.term(id.0) {
            into.push_str(text);
            return true;
        }
        let mut bytes = std::mem::take(into).into_bytes();
        self.base.read_term(id.index(), &mut bytes);
        *into = String::from_utf8(bytes).expect("only whole strings were put in");
        true
    }

    /// The number of strings.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there is no string.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Up to `limit` strings that start with `prefix`, in byte order.
    #[must_use]
    pub fn prefix(&self, prefix: &str, limit: usize) -> Vec<(TermId, String)> {
        let mut found = Vec::new();
        let mut walk = self.walk(prefix);
        while found.len() < limit {
            let Some((id, text)) = walk.next_term() else {
                break;
            };
            found.push((id, text.to_owned()));
        }
        found
    }

    /// Walks all strings that start with `prefix`, in byte order; all there are for an empty one.
    #[must_use]
    pub fn walk<'a>(&'a self, prefix: &'a str) -> TermWalk<'a> {
        let (rank, _) = self.base.lower_bound(prefix.as_bytes());
        self.walk_from(rank, self.delta.lower_bound(prefix), prefix)
    }

    /// As [`walk`](DictionaryView::walk), and goes on behind the string `after`: the last one of the
    /// page before is the resume key of the next one, even where it has been renamed since.
    #[must_use]
    pub fn walk_after<'a>(&'a self, prefix: &'a str, after: &str) -> TermWalk<'a> {
        if after < prefix {
            return self.walk(prefix);
        }
        let (rank, found) = self.base.lower_bound(after.as_bytes());
        let place = self.delta.lower_bound(after);
        let known = self.delta.at(place);
        let known = known.is_some_and(|(_, text)| text == after);
        self.walk_from(
            rank + usize::from(found),
            place + usize::from(known),
            prefix,
        )
    }

    fn walk_from<'a>(&'a self, rank: usize, place: usize, prefix: &'a str) -> TermWalk<'a> {
        TermWalk {
            base: self.base.walk_from(rank),
            base_id: None,
            base_text: Vec::new(),
            delta: &self.delta,
            place,
            prefix,
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        2 * ARC_HEADER_BYTES
            + size_of::<Base>()
            + size_of::<Delta>()
            + self.base.heap_bytes()
            + self.delta.heap_bytes()
    }

    /// All of it as one base.
    pub(super) fn fold(&self) -> Base {
        // Front-coding makes the delta's strings shorter: this is enough, or nearly.
        let text_bytes = self.base.text_bytes() + self.delta.text_bytes();
        let mut builder = Builder::with_capacity(self.len as usize, text_bytes);
        let mut walk = self.walk("");
        while let Some((id, text)) = walk.next_term() {
            builder.push(id.0, text);
        }
        builder.finish()
    }
}

/// A walk over strings in order; it holds one string.
#[derive(Debug)]
pub struct TermWalk<'a> {
    base: BaseWalk<'a>,
    /// Whose text is in `base_text` and not yet told.
    base_id: Option<u32>,
    base_text: Vec<u8>,
    delta: &'a Delta,
    place: usize,
    prefix: &'a str,
}

impl TermWalk<'_> {
    /// The next string with its id. The text is good until the next call.
    pub fn next_term(&mut self) -> Option<(TermId, &str)> {
        while self.base_id.is_none() {
            match self.base.read_into(&mut self.base_text) {
                // Renamed since: its string now is the delta's.
                Some(id) if self.delta.has_id(id) => {}
                Some(id) => self.base_id = Some(id),
                None => break,
            }
        }
        let of_delta = self.delta.at(self.place);
        let delta_is_first = match (self.base_id, of_delta) {
            (Some(_), Some((_, text))) => {
                text.as_bytes().cmp(self.base_text.as_slice()) == Ordering::Less
            }
            (None, Some(_)) => true,
            (_, None) => false,
        };
        let (id, text) = if delta_is_first {
            self.place += 1;
            of_delta?
        } else {
            let text = str::from_utf8(&self.base_text).expect("only whole strings were put in");
            (self.base_id.take()?, text)
        };
        if !text.starts_with(self.prefix) {
            // Nothing behind it does either.
            self.place = usize::MAX;
            self.base_id = None;
            self.base.finish();
            return None;
        }
        Some((TermId(id), text))
    }
}

/// The ids alone.
impl Iterator for TermWalk<'_> {
    type Item = TermId;

    fn next(&mut self) -> Option<TermId> {
        self.next_term().map(|(id, _)| id)
    }
}
