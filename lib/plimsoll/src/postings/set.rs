//! The sorted ids of one set, compressed and mutable. 24 bytes and what is on the heap: up to 64 ids
//! as one run of gaps, more as blocks of up to 256 with a directory.

use std::fmt;
use std::ops::RangeInclusive;

use crate::grow;
use crate::postings::block::{self, BLOCK_IDS, Form};
use crate::postings::cursor::Cursor;
use crate::postings::window::Window;
use crate::varint::{put_varint, take_varint, varint_len};

/// A set of at most this many ids has no directory. Most terms of a collection are that rare, and
/// the 80 bytes of a directory would be more than their ids.
const SHORT_IDS: usize = 64;
/// Back to the short form once this few are left, so that a set at the border does not swing.
const LONG_IDS_MIN: usize = SHORT_IDS / 2;

/// Sorted ids of the documents that have a term. A set of its own too: insert, remove, ask, iterate.
///
/// ```
/// use plimsoll::postings::Postings;
///
/// let mut set: Postings = (0..10_000).step_by(5).collect();
/// assert!(set.contains(25) && !set.contains(26));
/// assert!(set.insert(26) && set.remove(25));
/// assert_eq!(set.count_range(20..=30), 3);
/// assert_eq!(set.iter_from(21).next(), Some(26));
/// assert!(set.size_bytes() < 2600);
/// ```
#[derive(Clone)]
pub struct Postings(Shape);

#[derive(Clone, Debug)]
enum Shape {
    /// The first id and the gaps behind it.
    Short {
        bytes: Box<[u8]>,
        count: u8,
    },
    Long(Box<Blocks>),
}

const _: () = assert!(size_of::<Postings>() == 24);

#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    count: u64,
    last: u32,
    pub(crate) directory: Vec<Entry>,
    bytes: Vec<u8>,
}

/// One block. 12 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) first: u32,
    /// Of its bytes; they end where the next block starts. 4 GiB are enough for all ids there are:
    /// what is denser than one in 9 is a bitmap.
    start: u32,
    count: u16,
    pub(crate) form: Form,
}

impl Default for Postings {
    fn default() -> Postings {
        Postings::new()
    }
}

impl fmt::Debug for Postings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postings")
            .field("len", &self.len())
            .field("size_bytes", &self.size_bytes())
            .finish_non_exhaustive()
    }
}

impl Postings {
    /// An empty set; nothing on the heap.
    #[must_use]
    pub fn new() -> Postings {
        Postings(Shape::Short {
            bytes: Box::default(),
            count: 0,
        })
    }

    /// How many ids there are. O(1).
    #[must_use]
    pub fn len(&self) -> u64 {
        match &self.0 {
            Shape::Short { count, .. } => u64::from(*count),
            Shape::Long(blocks) => blocks.count,
        }
    }

    /// Whether there is no id.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts an id in; `false` if it is there. O(1) behind the last one; else a block is written anew
    /// and what follows it is moved: O(bytes of the set), about 1 µs for 100,000 ids.
    pub fn insert(&mut self, id: u32) -> bool {
        let ids = match &mut self.0 {
            Shape::Long(blocks) => return blocks.insert(id),
            Shape::Short { bytes, count } => {
                let mut ids = Vec::with_capacity(SHORT_IDS + 1);
                read_short(bytes, &mut ids);
                let Err(place) = ids.binary_search(&id) else {
                    return false;
                };
                ids.insert(place, id);
                if ids.len() <= SHORT_IDS {
                    (*bytes, *count) = write_short(&ids);
                    return true;
                }
                ids
            }
        };
        let mut blocks = Blocks::empty();
        ids.iter().for_each(|id| blocks.append(*id));
        self.0 = Shape::Long(Box::new(blocks));
        true
    }

    /// Takes an id out; `false` if it is not there. Costs as `insert` in the middle.
    pub fn remove(&mut self, id: u32) -> bool {
        let few = match &mut self.0 {
            Shape::Short { bytes, count } => {
                let mut ids = Vec::with_capacity(SHORT_IDS);
                read_short(bytes, &mut ids);
                let Ok(place) = ids.binary_search(&id) else {
                    return false;
                };
                ids.remove(place);
                (*bytes, *count) = write_short(&ids);
                return true;
            }
            Shape::Long(blocks) => {
                if !blocks.remove(id) {
                    return false;
                }
                blocks.count <= LONG_IDS_MIN as u64
            }
        };
        if few {
            let ids: Vec<u32> = self.iter().collect();
            let (bytes, count) = write_short(&ids);
            self.0 = Shape::Short { bytes, count };
        }
        true
    }

    /// Whether an id is there. O(log blocks + 256).
    #[must_use]
    pub fn contains(&self, id: u32) -> bool {
        match &self.0 {
            Shape::Short { bytes, .. } => {
                let mut position = 0;
                let first = take_varint(bytes, &mut position);
                first.is_some_and(|first| {
                    first <= id && block::contains(Form::Gaps, first, &bytes[position..], id)
                })
            }
            Shape::Long(blocks) => {
                let behind = blocks.directory.partition_point(|block| block.first <= id);
                behind
                    .checked_sub(1)
                    .is_some_and(|index| blocks.block_contains(index, id))
            }
        }
    }

    /// How many ids are in a range. O(blocks + 256).
    #[must_use]
    pub fn count_range(&self, range: RangeInclusive<u32>) -> u64 {
        if range.is_empty() {
            return 0;
        }
        let behind = match range.end().checked_add(1) {
            Some(end) => self.count_below(end),
            None => self.len(),
        };
        behind - self.count_below(*range.start())
    }

    fn count_below(&self, id: u32) -> u64 {
        let mut ids = Vec::new();
        let mut before = 0;
        match &self.0 {
            Shape::Short { bytes, .. } => read_short(bytes, &mut ids),
            Shape::Long(blocks) => {
                let behind = blocks.directory.partition_point(|block| block.first < id);
                let Some(index) = behind.checked_sub(1) else {
                    return 0;
                };
                let counts = blocks.directory[..index].iter();
                before = counts.map(|block| u64::from(block.count)).sum();
                blocks.read_block(index, &mut ids);
            }
        }
        before + ids.partition_point(|other| *other < id) as u64
    }

    /// All ids in order. Holds one block decoded, 1 KiB.
    #[must_use]
    pub fn iter(&self) -> PostingsIter<'_> {
        self.iter_from(0)
    }

    /// The ids from `id` on, in order; what lies before is skipped, not read.
    #[must_use]
    pub fn iter_from(&self, id: u32) -> PostingsIter<'_> {
        PostingsIter {
            cursor: Cursor::new(self),
            next: Some(id),
        }
    }

    /// Writes the set anew in as few bytes as it can be and gives back the room to grow. O(n). Worth it
    /// after many inserts in the middle, which leave blocks that are two thirds full.
    pub fn compact(&mut self) {
        if let Shape::Long(_) = self.0 {
            let mut blocks = Blocks::empty();
            self.iter().for_each(|id| blocks.append(id));
            blocks.directory.shrink_to_fit();
            blocks.bytes.shrink_to_fit();
            self.0 = Shape::Long(Box::new(blocks));
        }
    }

    /// Bytes held: this value and all it has on the heap, with the room to grow.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        size_of::<Postings>() + self.heap_bytes()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        match &self.0 {
            Shape::Short { bytes, .. } => bytes.len(),
            Shape::Long(blocks) => {
                size_of::<Blocks>()
                    + blocks.directory.capacity() * size_of::<Entry>()
                    + blocks.bytes.capacity()
            }
        }
    }

    /// Appends all ids of a short set, or says which blocks there are.
    pub(crate) fn read_short_or_blocks(&self, ids: &mut Vec<u32>) -> Option<&Blocks> {
        match &self.0 {
            Shape::Short { bytes, count } => {
                ids.reserve_exact(usize::from(*count));
                read_short(bytes, ids);
                None
            }
            Shape::Long(blocks) => Some(blocks),
        }
    }
}

impl FromIterator<u32> for Postings {
    fn from_iter<I: IntoIterator<Item = u32>>(ids: I) -> Postings {
        let mut postings = Postings::new();
        postings.extend(ids);
        postings
    }
}

impl Extend<u32> for Postings {
    fn extend<I: IntoIterator<Item = u32>>(&mut self, ids: I) {
        for id in ids {
            self.insert(id);
        }
    }
}

impl<'a> IntoIterator for &'a Postings {
    type Item = u32;
    type IntoIter = PostingsIter<'a>;

    fn into_iter(self) -> PostingsIter<'a> {
        self.iter()
    }
}

/// Ids in order.
#[derive(Debug)]
pub struct PostingsIter<'a> {
    cursor: Cursor<'a>,
    next: Option<u32>,
}

impl Iterator for PostingsIter<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let found = self.next.and_then(|next| self.cursor.seek(next));
        self.next = found.and_then(|id| id.checked_add(1));
        found
    }
}

fn read_short(bytes: &[u8], ids: &mut Vec<u32>) {
    let mut position = 0;
    if let Some(first) = take_varint(bytes, &mut position) {
        block::decode(Form::Gaps, first, &bytes[position..], ids);
    }
}

fn write_short(ids: &[u32]) -> (Box<[u8]>, u8) {
    let Some(&first) = ids.first() else {
        return (Box::default(), 0);
    };
    let mut bytes = Vec::with_capacity(varint_len(first) + block::gaps_len(ids));
    put_varint(&mut bytes, first);
    block::put_gaps(ids, &mut bytes);
    (bytes.into_boxed_slice(), ids.len() as u8)
}

impl Blocks {
    fn empty() -> Blocks {
        Blocks {
            count: 0,
            last: 0,
            directory: Vec::new(),
            bytes: Vec::new(),
        }
    }

    fn end_of(&self, index: usize) -> usize {
        let next = self.directory.get(index + 1);
        next.map_or(self.bytes.len(), |next| next.start as usize)
    }

    /// Whether a block has `id`, which is not below its first.
    pub(crate) fn block_contains(&self, index: usize, id: u32) -> bool {
        let entry = self.directory[index];
        block::contains(entry.form, entry.first, self.bytes_of(index), id)
    }

    fn bytes_of(&self, index: usize) -> &[u8] {
        &self.bytes[self.directory[index].start as usize..self.end_of(index)]
    }

    /// Appends the ids of a block.
    pub(crate) fn read_block(&self, index: usize, ids: &mut Vec<u32>) {
        let entry = self.directory[index];
        block::decode(entry.form, entry.first, self.bytes_of(index), ids);
    }

    /// Adds the ids of a block that lie in a window.
    pub(crate) fn fill_block(&self, index: usize, window: &mut Window) {
        let entry = self.directory[index];
        block::fill(entry.form, entry.first, self.bytes_of(index), window);
    }

    fn insert(&mut self, id: u32) -> bool {
        let index = self.block_for(id);
        let tail = self.directory[self.directory.len() - 1];
        let full = usize::from(tail.count) == BLOCK_IDS;
        if id > self.last && (full || tail.form == Form::Gaps) {
            self.append(id);
            return true;
        }
        let mut ids = Vec::with_capacity(BLOCK_IDS + 1);
        self.read_block(index, &mut ids);
        let Err(place) = ids.binary_search(&id) else {
            return false;
        };
        ids.insert(place, id);
        self.replace(index, &ids);
        self.count += 1;
        self.last = self.last.max(id);
        true
    }

    fn remove(&mut self, id: u32) -> bool {
        let index = self.block_for(id);
        let mut ids = Vec::with_capacity(BLOCK_IDS);
        self.read_block(index, &mut ids);
        let Ok(place) = ids.binary_search(&id) else {
            return false;
        };
        ids.remove(place);
        if id == self.last {
            let mut before = Vec::new();
            if ids.is_empty() && index > 0 {
                self.read_block(index - 1, &mut before);
            }
            self.last = ids.last().or(before.last()).copied().unwrap_or(0);
        }
        self.replace(index, &ids);
        self.count -= 1;
        true
    }

    /// The block that has `id`, or would.
    fn block_for(&self, id: u32) -> usize {
        let behind = self.directory.partition_point(|block| block.first <= id);
        behind.saturating_sub(1)
    }

    /// Puts in an id greater than all, where the last block is full or has gaps. A block that gets full
    /// takes the shorter form.
    fn append(&mut self, id: u32) {
        let tail = self.directory.last_mut();
        match tail {
            Some(tail) if usize::from(tail.count) < BLOCK_IDS => {
                tail.count += 1;
                let full = usize::from(tail.count) == BLOCK_IDS;
                let gap = id - self.last - 1;
                grow::vec(&mut self.bytes, varint_len(gap));
                put_varint(&mut self.bytes, gap);
                if full {
                    let index = self.directory.len() - 1;
                    let mut ids = Vec::with_capacity(BLOCK_IDS);
                    self.read_block(index, &mut ids);
                    self.replace(index, &ids);
                }
            }
            _ => {
                grow::vec(&mut self.directory, 1);
                self.directory.push(Entry {
                    first: id,
                    start: self.bytes.len() as u32,
                    count: 1,
                    form: Form::Gaps,
                });
            }
        }
        self.count += 1;
        self.last = id;
    }

    /// Writes other ids where a block is: none, or two blocks if there are too many for one.
    fn replace(&mut self, index: usize, ids: &[u32]) {
        let start = self.directory[index].start as usize;
        let end = self.end_of(index);
        let mut bytes = Vec::with_capacity(ids.len() * 2);
        let size = if ids.len() > BLOCK_IDS {
            ids.len().div_ceil(2)
        } else {
            BLOCK_IDS
        };
        let mut entries = ids.chunks(size).map(|chunk| {
            let start = (start + bytes.len()) as u32;
            let form = block::encode(chunk, &mut bytes);
            Entry {
                first: chunk[0],
                start,
                count: chunk.len() as u16,
                form,
            }
        });
        let (first, second) = (entries.next(), entries.next());
        let behind = &mut self.directory[index + 1..];
        for entry in behind {
            entry.start = (entry.start as usize + bytes.len() - (end - start)) as u32;
        }
        match first {
            Some(first) => self.directory[index] = first,
            None => {
                self.directory.remove(index);
            }
        }
        if let Some(second) = second {
            grow::vec(&mut self.directory, 1);
            self.directory.insert(index + 1, second);
        }
        grow::vec(&mut self.bytes, bytes.len().saturating_sub(end - start));
        self.bytes.splice(start..end, bytes);
    }
}
