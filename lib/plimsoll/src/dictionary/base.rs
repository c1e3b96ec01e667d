//! The part of a dictionary that never changes: all strings in order, front-coded.
//!
//! Blocks of [`BLOCK_TERMS`] strings: the first one whole, the others as the number of bytes shared
//! with the one before and the rest. Memory for `n` strings: the coded text (about 0.6 times the
//! strings for tags, 1.0 for hashes, 2 bytes a string included) and `2 * log2(n)` bits a string for
//! the two ways between ids and places in the order; 4.3 bytes at 100,000.

use std::cmp::Ordering;

use crate::dictionary::packed::PackedInts;
use crate::grow;
use crate::varint::{VARINT_BYTES_MAX, put_varint, take_varint};

/// Strings of a block: 8 would cost 0.3 bytes a tag more, 32 would double the steps of a lookup.
pub(crate) const BLOCK_TERMS: usize = 16;

/// Front-coded strings in order. A string's place in the order is its rank.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    text: Box<[u8]>,
    /// Where each block starts in `text`.
    blocks: PackedInts,
    /// By rank.
    ids: PackedInts,
    /// By id.
    ranks: PackedInts,
    len: usize,
}

impl Base {
    pub(crate) fn empty() -> Base {
        Builder::with_capacity(0, 0).finish()
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn id_at(&self, rank: usize) -> u32 {
        self.ids.get(rank) as u32
    }

    pub(crate) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.text.len() + self.blocks.heap_bytes() + self.ids.heap_bytes() + self.ranks.heap_bytes()
    }

    /// The id of exactly this string.
    pub(crate) fn find(&self, text: &[u8]) -> Option<u32> {
        let (rank, found) = self.lower_bound(text);
        found.then(|| self.id_at(rank))
    }

    /// The rank of the first string that is not less than `text`, and whether it is equal.
    pub(crate) fn lower_bound(&self, text: &[u8]) -> (usize, bool) {
        let (mut low, mut high) = (0, self.len.div_ceil(BLOCK_TERMS));
        while low < high {
            let middle = low + (high - low) / 2;
            match self.head(middle).cmp(text) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return (middle * BLOCK_TERMS, true),
                Ordering::Greater => high = middle,
            }
        }
        match low.checked_sub(1) {
            Some(block) => self.lower_bound_in(block, text),
            None => (0, false),
        }
    }

    /// As above in a block whose head is less than `text`. Nothing is decoded: a string that shares
    /// more with the one before than that shares with `text` is on the same side of `text`.
    fn lower_bound_in(&self, block: usize, text: &[u8]) -> (usize, bool) {
        let (mut rank, end) = self.block_ranks(block);
        let mut position = self.blocks.get(block) as usize;
        let mut shared_with_text = 0;
        while rank < end {
            let entry = self.entry(&mut position, rank.is_multiple_of(BLOCK_TERMS));
            if entry.shared < shared_with_text {
                return (rank, false);
            }
            if entry.shared == shared_with_text {
                let rest = &text[shared_with_text..];
                let same = common_prefix(entry.suffix, rest);
                if entry.suffix.get(same) > rest.get(same) {
                    return (rank, false);
                }
                if entry.suffix.len() == same && rest.len() == same {
                    return (rank, true);
                }
                shared_with_text += same;
            }
            rank += 1;
        }
        (end, false)
    }

    fn block_ranks(&self, block: usize) -> (usize, usize) {
        let first = block * BLOCK_TERMS;
        (first, self.len.min(first + BLOCK_TERMS))
    }

    fn head(&self, block: usize) -> &[u8] {
        let mut position = self.blocks.get(block) as usize;
        self.entry(&mut position, true).suffix
    }

    fn entry(&self, position: &mut usize, head: bool) -> Entry<'_> {
        let mut number = || {
            let number = take_varint(&self.text, position);
            number.expect("the builder wrote whole entries") as usize
        };
        let shared = if head { 0 } else { number() };
        let len = number();
        let start = *position;
        *position += len;
        Entry {
            shared,
            suffix: &self.text[start..*position],
        }
    }

    /// Puts the string of `id` into `into`, in place of what is there. `id` must be below `len`.
    pub(crate) fn read_term(&self, id: usize, into: &mut Vec<u8>) {
        self.walk_from(self.ranks.get(id) as usize).read_into(into);
    }

    /// A walk that stands before the string of this rank.
    pub(crate) fn walk_from(&self, rank: usize) -> BaseWalk<'_> {
        let block = rank / BLOCK_TERMS;
        let position = if rank < self.len {
            self.blocks.get(block) as usize
        } else {
            self.text.len()
        };
        BaseWalk {
            base: self,
            position,
            decoded: if rank < self.len {
                block * BLOCK_TERMS
            } else {
                self.len
            },
            rank,
        }
    }
}

struct Entry<'a> {
    shared: usize,
    suffix: &'a [u8],
}

/// How many bytes two strings have in common from their start.
pub(crate) fn common_prefix(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(l, r)| l == r).count()
}

/// A position in the order. The string is decoded into a buffer of the caller's, which must be the
/// same one each time: the next string is the one before with another end.
#[derive(Clone, Debug)]
pub(crate) struct BaseWalk<'a> {
    base: &'a Base,
    position: usize,
    /// Rank of the entry at `position`.
    decoded: usize,
    /// Rank of what is read next.
    rank: usize,
}

impl BaseWalk<'_> {
    /// The next string's id, with its text in `into`; `None` at the end, `into` untouched.
    pub(crate) fn read_into(&mut self, into: &mut Vec<u8>) -> Option<u32> {
        if self.rank >= self.base.len {
            return None;
        }
        while self.decoded <= self.rank {
            let head = self.decoded.is_multiple_of(BLOCK_TERMS);
            let entry = self.base.entry(&mut self.position, head);
            into.truncate(entry.shared);
            into.extend_from_slice(entry.suffix);
            self.decoded += 1;
        }
        self.rank += 1;
        Some(self.base.id_at(self.rank - 1))
    }

    /// Nothing more is read.
    pub(crate) fn finish(&mut self) {
        self.rank = self.base.len;
    }
}

/// Takes all strings in order and makes a [`Base`]. While it works it holds 4 bytes a string and
/// 0.5 for the blocks beside the text.
#[derive(Debug)]
pub(crate) struct Builder {
    text: Vec<u8>,
    blocks: Vec<u64>,
    ids: Vec<u32>,
    last: Vec<u8>,
}

impl Builder {
    pub(crate) fn with_capacity(terms: usize, text_bytes: usize) -> Builder {
        Builder {
            text: Vec::with_capacity(text_bytes),
            blocks: Vec::with_capacity(terms.div_ceil(BLOCK_TERMS)),
            ids: Vec::with_capacity(terms),
            last: Vec::new(),
        }
    }

    /// `text` must be greater than all before it, and each id come once.
    pub(crate) fn push(&mut self, id: u32, text: &str) {
        let bytes = text.as_bytes();
        let mut shared = 0;
        grow::vec(&mut self.text, bytes.len() + 2 * VARINT_BYTES_MAX);
        grow::vec(&mut self.ids, 1);
        if self.ids.len().is_multiple_of(BLOCK_TERMS) {
            self.blocks.push(self.text.len() as u64);
        } else {
            shared = common_prefix(&self.last, bytes);
            put_varint(&mut self.text, shared as u32);
        }
        put_varint(&mut self.text, (bytes.len() - shared) as u32);
        self.text.extend_from_slice(&bytes[shared..]);
        self.last.truncate(shared);
        self.last.extend_from_slice(&bytes[shared..]);
        self.ids.push(id);
    }

    pub(crate) fn finish(self) -> Base {
        let len = self.ids.len();
        let max = len.saturating_sub(1) as u64;
        let mut ids = PackedInts::zeros(len, max);
        let mut ranks = PackedInts::zeros(len, max);
        for (rank, &id) in self.ids.iter().enumerate() {
            ids.fill(rank, u64::from(id));
            ranks.fill(id as usize, rank as u64);
        }
        Base {
            text: self.text.into_boxed_slice(),
            blocks: PackedInts::from_numbers(&self.blocks),
            ids,
            ranks,
            len,
        }
    }

    /// Whether the ids so far are `0..n`, each once: what `finish` needs of foreign data.
    pub(crate) fn ids_are_dense(&self) -> bool {
        let mut seen = vec![false; self.ids.len()];
        self.ids.iter().all(|&id| {
            let place = seen.get_mut(id as usize);
            place.is_some_and(|seen| !std::mem::replace(seen, true))
        })
    }

    /// The string pushed last.
    pub(crate) fn last(&self) -> &[u8] {
        &self.last
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }
}
