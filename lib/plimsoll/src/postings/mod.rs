//! For each term the sorted ids of the documents that have it, and AND, OR, NOT and ranges over them.
//!
//! **Memory.** [`PostingsIndex::size_bytes`] is exact and counts everything. Measured: 18.1 MiB for
//! 200,000 images of 48 tags each out of 120,000 (1.98 bytes a pair of image and tag, all included),
//! inserted one after the other (docs/design/library-cost.md). Each term costs 24 bytes, also one that no
//! document has, so term ids are to be dense, as those of a [`Dictionary`](crate::dictionary) are. A
//! query holds 1 KiB for each use of a term, and 4 KiB for each `All` and `Not`.
//!
//! **How.** Ids are kept as gaps of mostly one byte in blocks of 256, or as bits where that is shorter;
//! sets of up to 64 ids are one run of bytes. A query that few documents can match moves cursors over
//! blocks, the rarest term first, and skips what cannot match without reading it; others decide 64
//! documents at a time in windows of 16,384. No set of results is made, for counts neither.
//!
//! **Not for** ranking, positions of words in text, ids above `u32`, set algebra that must come back as
//! a set, or a program whose only concern is the time of a query: one `RoaringBitmap` a term answers 2
//! to 30 times faster and takes 2.5 times the memory, and cannot say exactly how much
//! (docs/design/library-cost.md). Here all measured queries over 200,000 images take below 1 ms.
//!
//! Changes take `&mut`; a program with threads puts the index behind an `RwLock`, and pages through
//! results with [`Matches::resume_key`], so that no lock is held between pages.
//!
//! | operation | time | memory |
//! |---|---|---|
//! | [`insert`](PostingsIndex::insert) of the newest document | O(1) a term | 1 to 3 bytes, 12.5 % room |
//! | `insert`, [`remove`](PostingsIndex::remove) elsewhere | O(bytes of the term's set), 1 µs at 100,000 documents | a few percent more until [`compact`](PostingsIndex::compact) |
//! | [`remove_document`](PostingsIndex::remove_document) | O(terms), 25 ms at 20,000 | none |
//! | [`remove_document_of`](PostingsIndex::remove_document_of) | as `remove`, for each term given | none |
//! | [`count_of`](PostingsIndex::count_of) | O(1) | none |
//! | [`matches`](PostingsIndex::matches), [`count`](PostingsIndex::count) of `All` | O(rarest · log) where it is rare, else O(sum of the terms) | 1 KiB a term, 4 KiB an `All` |
//! | the same of `Any`, of `k` parts | O(sum of the parts), few: O(results · log k) | 1 KiB and 16 bytes a part |
//! | [`top_terms`](PostingsIndex::top_terms) | O(terms given · log k) | 24 bytes each of `k` |
//!
//! ```
//! use plimsoll::dictionary::Dictionary;
//! use plimsoll::postings::{PostingsIndex, Query};
//!
//! let tags = Dictionary::new();
//! let (solo, hat) = (tags.insert("solo")?, tags.insert("hat")?);
//! let mut index = PostingsIndex::new();
//! index.insert_document(1, [solo, hat]);
//! index.insert_document(2, [solo]);
//! let query = Query::All(vec![Query::Term(solo), Query::Term(hat).negated()]);
//! assert_eq!(index.matches(&query)?.collect::<Vec<_>>(), [2]);
//! assert_eq!(index.count(&Query::Term(solo))?, 2);
//! # Ok::<(), plimsoll::Error>(())
//! ```

mod block;
mod cursor;
mod query;
mod set;
mod window;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;

use crate::dictionary::TermId;
use crate::{Error, grow};
pub use query::{Matches, QUERY_DEPTH_MAX, Query};
pub use set::{Postings, PostingsIter};

/// The postings of all terms, by [`TermId`], and the set of all documents.
#[derive(Clone, Default)]
pub struct PostingsIndex {
    terms: Vec<Postings>,
    documents: Postings,
}

impl fmt::Debug for PostingsIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostingsIndex")
            .field("terms", &self.terms.len())
            .field("documents", &self.documents.len())
            .finish_non_exhaustive()
    }
}

impl PostingsIndex {
    /// One without terms and documents.
    #[must_use]
    pub fn new() -> PostingsIndex {
        PostingsIndex::default()
    }

    /// Says that `document` has `term`; `false` if that is known. The document is one from now on. Room
    /// is made for all terms up to this one.
    pub fn insert(&mut self, term: TermId, document: u32) -> bool {
        self.documents.insert(document);
        self.insert_term(term, document)
    }

    /// Puts in a document with its terms, which may be none. Terms that it has already stay.
    pub fn insert_document(&mut self, document: u32, terms: impl IntoIterator<Item = TermId>) {
        self.documents.insert(document);
        for term in terms {
            self.insert_term(term, document);
        }
    }

    fn insert_term(&mut self, term: TermId, document: u32) -> bool {
        let len = self.terms.len();
        if term.index() >= len {
            grow::vec(&mut self.terms, term.index() + 1 - len);
            self.terms.resize_with(term.index() + 1, Postings::new);
        }
        self.terms[term.index()].insert(document)
    }

    /// Says that `document` does not have `term`; `false` if it did not. It stays a document.
    pub fn remove(&mut self, term: TermId, document: u32) -> bool {
        let postings = self.terms.get_mut(term.index());
        postings.is_some_and(|postings| postings.remove(document))
    }

    /// Takes out a document; `false` if there is none. Every term is looked at: 25 ms for 20,000 terms
    /// and 9.6 million pairs.
    pub fn remove_document(&mut self, document: u32) -> bool {
        if !self.documents.remove(document) {
            return false;
        }
        for postings in &mut self.terms {
            if postings.contains(document) {
                postings.remove(document);
            }
        }
        true
    }

    /// Takes out a document, and it off the terms given, without a look at others: a term that it has
    /// and that is not given goes on leading to it. `false` if there is no such document.
    pub fn remove_document_of(
        &mut self,
        document: u32,
        terms: impl IntoIterator<Item = TermId>,
    ) -> bool {
        for term in terms {
            self.remove(term, document);
        }
        self.documents.remove(document)
    }

    /// The documents that have a term; `None` if none was ever put in under it or a later one.
    #[must_use]
    pub fn postings(&self, term: TermId) -> Option<&Postings> {
        self.terms.get(term.index())
    }

    /// How many documents have a term.
    #[must_use]
    pub fn count_of(&self, term: TermId) -> u64 {
        self.postings(term).map_or(0, Postings::len)
    }

    /// All documents.
    #[must_use]
    pub fn documents(&self) -> &Postings {
        &self.documents
    }

    /// The documents that answer a query, ascending.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the query has more than
    /// [`QUERY_DEPTH_MAX`] levels.
    pub fn matches(&self, query: &Query) -> Result<Matches<'_>, Error> {
        self.matches_after(query, None)
    }

    /// As above, behind the document `resume_key`; what lies before it is skipped, not read.
    ///
    /// # Errors
    /// As [`matches`](PostingsIndex::matches).
    pub fn matches_after(
        &self,
        query: &Query,
        resume_key: Option<u32>,
    ) -> Result<Matches<'_>, Error> {
        query.check_depth()?;
        Ok(Matches::new(self, query, resume_key))
    }

    /// How many documents answer a query. At once for a term, a range, or not one of these.
    ///
    /// # Errors
    /// As [`matches`](PostingsIndex::matches).
    pub fn count(&self, query: &Query) -> Result<u64, Error> {
        query.check_depth()?;
        Ok(self.count_unchecked(query))
    }

    fn count_unchecked(&self, query: &Query) -> u64 {
        match query {
            Query::Everything => self.documents.len(),
            Query::Term(term) => self.count_of(*term),
            Query::Range(range) => self.documents.count_range(range.clone()),
            Query::Not(part) => self.documents.len() - self.count_unchecked(part),
            Query::All(_) | Query::Any(_) => Matches::new(self, query, None).count() as u64,
        }
    }

    /// No fewer than [`count`](PostingsIndex::count) would say, found without reading any set.
    pub(crate) fn count_at_most(&self, query: &Query) -> u64 {
        let all = self.documents.len();
        match query {
            Query::Everything | Query::Not(_) => all,
            Query::Term(term) => self.count_of(*term),
            Query::Range(range) if range.is_empty() => 0,
            Query::Range(range) => all.min(u64::from(range.end() - range.start()) + 1),
            Query::All(parts) => {
                let parts = parts.iter().map(|part| self.count_at_most(part));
                parts.min().unwrap_or(all)
            }
            Query::Any(parts) => {
                let parts = parts.iter().map(|part| self.count_at_most(part));
                parts.fold(0, u64::saturating_add).min(all)
            }
        }
    }

    /// The `limit` terms with the most documents, of those given, with their counts; of equal ones
    /// those that came first. Terms without documents are left out. With
    /// [`DictionaryView::walk`](crate::dictionary::DictionaryView::walk) this is autocomplete.
    #[must_use]
    pub fn top_terms(
        &self,
        terms: impl IntoIterator<Item = TermId>,
        limit: usize,
    ) -> Vec<(TermId, u64)> {
        // The least of the best on top.
        let mut best = BinaryHeap::new();
        for (order, term) in terms.into_iter().enumerate() {
            let count = self.count_of(term);
            if count == 0 {
                continue;
            }
            best.push(Reverse((count, Reverse(order), term)));
            if best.len() > limit {
                best.pop();
            }
        }
        let best = best.into_sorted_vec().into_iter();
        best.map(|Reverse((count, _, term))| (term, count))
            .collect()
    }

    /// Writes each set in as few bytes as it can be and gives back all room to grow. O(pairs).
    pub fn compact(&mut self) {
        self.documents.compact();
        self.terms.iter_mut().for_each(Postings::compact);
        self.terms.shrink_to_fit();
    }

    /// Bytes held: this value and all it has on the heap, with the room to grow, without the
    /// allocator's own bookkeeping. O(terms).
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let sets = self.terms.iter().map(Postings::heap_bytes).sum::<usize>();
        size_of::<PostingsIndex>()
            + self.terms.capacity() * size_of::<Postings>()
            + sets
            + self.documents.heap_bytes()
    }
}
