//! An account of what a program allocates, by name: live, peak and total requested bytes and
//! blocks of every [`Tag`].
//!
//! ```
//! use plimsoll::ledger::{self, Ledger, Tag};
//!
//! #[global_allocator]
//! static LEDGER: Ledger = Ledger::system();
//!
//! static IMPORT: Tag = Tag::new("import");
//!
//! let rows: Vec<u64> = IMPORT.run(|| (0..1000).collect());
//! let import = ledger::snapshot().into_iter().find(|tag| tag.name == "import").unwrap();
//! assert_eq!((import.live_bytes, import.live_blocks), (8000, 1));
//! drop(rows);
//! ```
//!
//! # What is counted
//! *Requested* bytes: what the program asked for, not what the allocator rounds it up to (usable)
//! nor what it holds from the system (footprint). Memory that does not come through Rust's global
//! allocator (C libraries, mmap, thread stacks) is not in it.
//!
//! A block belongs to the tag that allocated it until it is freed, whichever thread frees it and
//! whatever tag that is in. Growing or shrinking it (`realloc`) does not move it: otherwise a long
//! list would wander to whoever happened to push last. Growth counts in `total_bytes`, a
//! reallocation is no new block.
//!
//! # What it costs
//! - **One byte a block**, behind its end: the tag. Blocks that fill a size class of the inner
//!   allocator to the last byte move up a class: with glibc's 16-byte steps that is 16 bytes more
//!   for requests of 24, 40, 56 … bytes, nothing for 16, 32, 48 … A large block that nothing was
//!   written to has one touched page.
//! - **[`THREAD_BYTES`] a thread** (one cache line of 64 bytes a thread and tag), as many as there
//!   ever were threads at once, and 17 KiB of static memory.
//! - Time: 45 instructions for an allocation and its free, no lock, no atomic addition: 1 to 3 ns
//!   for both. Figures and peers are in `docs/design/library-cost.md`.
//! - [`snapshot`] reads a cache line for each thread and tag: O(threads x tags).
//!
//! Why a byte behind the block: the program passes the size back when it frees (`Layout`), so the
//! byte is found without a header, and the inner allocator's addresses and alignments stay as they
//! are. A header would cost 8 bytes (16 and more for aligned blocks) for the same jumps of size
//! class, and was slower where it was tried. A table beside the blocks would need locks or one more
//! cache miss a call.
//!
//! # How exact
//! - Live and total are exact when no other thread allocates meanwhile. While others do, live is
//!   never below what was live all through the reading, and above it by at most what they allocate
//!   during it.
//! - Each thread tells the common figure before it has gained or lost more than 64 KiB in a tag, so
//!   a peak is exact within **threads x 64 KiB** for a tag, and within threads x tags x 64 KiB for
//!   all tags together; a block above 64 KiB is told at once. A thread that exits tells all.
//! - A child of `fork` starts with the figures of its parent, as it does with its memory. A block
//!   that another thread was just counting at that moment may be half in them.
//!
//! # What it is not for
//! Finding unknown leaks (it knows tags, not call stacks: use a heap profiler), limiting memory (a
//! budget does), or a library that is unloaded again with `dlclose` while threads live on.
//! Overwriting the byte behind a block, as any heap overflow, charges it to a wrong tag. A program
//! that is run in Miri needs its tree borrows: its older model lets no allocator read behind what a
//! `Box` points at.
//!
//! # Errors
//! None of its own: where the inner allocator returns null, the ledger does, and counts nothing.

mod counts;
mod published;
mod tag;
mod threads;

/// What [`counts`] counts with; its model checker gives it another.
mod atomics {
    pub(super) use std::sync::atomic::{AtomicU64, Ordering};

    /// A counter as its only writer reads it.
    #[inline(always)]
    pub(super) fn own(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::null_mut;

pub(crate) use published::{WINDOWS_MAX, Window};
pub use tag::{Tag, TagScope, Tagged};

/// Tags with figures of their own, `untagged` and `further tags` among them. A thread's counters
/// of this many fill one page.
pub const TAGS_MAX: usize = 64;

/// What each thread adds, in bytes: a cache line for every tag.
pub const THREAD_BYTES: usize = TAGS_MAX * 64;

/// The tag, behind the end of a block.
const TRAILER_BYTES: usize = 1;

/// A global allocator that counts what goes through it, by tag, and leaves the work to `A`.
///
/// All ledgers of a process count into the same figures; a process has one global allocator.
///
/// ```
/// use plimsoll::ledger::Ledger;
///
/// #[global_allocator]
/// static LEDGER: Ledger = Ledger::system(); // or Ledger::new(Jemalloc), Ledger::new(MiMalloc)
/// ```
#[derive(Debug, Default)]
pub struct Ledger<A: GlobalAlloc = System> {
    inner: A,
}

impl Ledger<System> {
    /// Over the allocator of the C library.
    #[must_use]
    pub const fn system() -> Ledger<System> {
        Ledger { inner: System }
    }
}

impl<A: GlobalAlloc> Ledger<A> {
    /// Over any other allocator.
    pub const fn new(inner: A) -> Ledger<A> {
        Ledger { inner }
    }

    /// Writes the tag behind a fresh block of `bytes`, and counts it.
    ///
    /// # Safety
    /// `block` is null, or a block of at least `bytes` + 1 bytes that nobody else knows.
    #[inline(always)]
    unsafe fn enter(&self, block: *mut u8, bytes: usize) -> *mut u8 {
        if block.is_null() {
            return block;
        }
        let tag = threads::current_tag();
        // SAFETY: by the caller, the byte at `bytes` is in the block.
        unsafe { block.add(bytes).write(tag) };
        threads::count_allocated(&self.inner, tag, bytes, 1);
        block
    }
}

// SAFETY: blocks are those of `A`, one byte longer than asked for: as aligned and as long lived. The
// layout that they are given back with is the one they were taken with, made in the same way from
// the same numbers. Counting neither unwinds nor allocates through this allocator.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Ledger<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(longer) = with_trailer(layout) else {
            return null_mut();
        };
        // SAFETY: the size is not zero; the block is fresh and one byte longer than asked for.
        unsafe { self.enter(self.inner.alloc(longer), layout.size()) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some(longer) = with_trailer(layout) else {
            return null_mut();
        };
        // SAFETY: as in `alloc`; the byte that is written is not the caller's.
        unsafe { self.enter(self.inner.alloc_zeroed(longer), layout.size()) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller took the block here with this layout, so it is one byte longer, `enter`
        // or `realloc` wrote that byte, and `with_trailer` made a layout of the same numbers then.
        unsafe {
            let tag = block.add(layout.size()).read();
            // Counted first: the call that frees is the last and needs no register saved.
            threads::count_freed(&self.inner, tag, layout.size(), 1);
            self.inner.dealloc(block, with_trailer_as_before(layout));
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: only the numbers are looked at.
        let asked = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        let Some(longer) = with_trailer(asked) else {
            return null_mut();
        };
        // SAFETY: as in `dealloc`; where it fails, the block and the byte behind it stay as they
        // are. The byte may move to another place: it is written again behind the new end.
        unsafe {
            let tag = block.add(layout.size()).read();
            let before = with_trailer_as_before(layout);
            let moved = self.inner.realloc(block, before, longer.size());
            if moved.is_null() {
                return moved;
            }
            moved.add(size).write(tag);
            if size >= layout.size() {
                threads::count_allocated(&self.inner, tag, size - layout.size(), 0);
            } else {
                threads::count_freed(&self.inner, tag, layout.size() - size, 0);
            }
            moved
        }
    }
}

/// `None` where one byte more is more than a layout may have.
#[inline(always)]
fn with_trailer(layout: Layout) -> Option<Layout> {
    // A layout holds if size + align - 1 <= isize::MAX; the sum of the two cannot overflow.
    if layout.size() + layout.align() > isize::MAX as usize {
        return None;
    }
    // SAFETY: compared above, for a size of one more.
    Some(unsafe { with_trailer_as_before(layout) })
}

/// # Safety
/// `with_trailer` was `Some` for these numbers.
#[inline(always)]
unsafe fn with_trailer_as_before(layout: Layout) -> Layout {
    // SAFETY: checked when the block was taken.
    unsafe { Layout::from_size_align_unchecked(layout.size() + TRAILER_BYTES, layout.align()) }
}

/// Figures of one tag, or of all: requested bytes and blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TagFigures {
    /// Of the tag; "total" for all.
    pub name: &'static str,
    /// Requested and not freed yet.
    pub live_bytes: u64,
    /// Allocations that are not freed yet.
    pub live_blocks: u64,
    /// The highest live bytes so far, exact within 64 KiB for each thread.
    pub peak_bytes: u64,
    /// All that was ever requested; of a block that grew, its growth.
    pub total_bytes: u64,
    /// All allocations ever; a reallocation is none.
    pub total_blocks: u64,
}

/// Whether a ledger counts in this process.
#[must_use]
pub fn is_installed() -> bool {
    threads::is_used()
}

/// The figures of every tag that was ever entered, `untagged` first, and `further tags` last where
/// there were more tags than [`TAGS_MAX`]. Without a ledger all of them are zero.
///
/// O(threads x tags); the list itself is one block in the caller's tag, and not yet in the figures.
#[must_use]
pub fn snapshot() -> Vec<TagFigures> {
    let figures = read();
    entered(&figures).copied().collect()
}

/// As [`snapshot`], one at a time and without a list.
pub(crate) fn each_tag(tell: impl FnMut(&TagFigures)) {
    entered(&read()).for_each(tell);
}

fn entered(figures: &[TagFigures; TAGS_MAX]) -> impl Iterator<Item = &TagFigures> {
    let last = TAGS_MAX - 1;
    let all = figures.iter().enumerate();
    all.filter(move |(number, figures)| {
        tag::known(*number).is_some() && (*number < last || figures.total_blocks > 0)
    })
    .map(|(_, figures)| figures)
}

/// The sum over all tags, with the peak of the sum, which is not the sum of the peaks. Allocates
/// nothing. O(threads x tags).
#[must_use]
pub fn total() -> TagFigures {
    let mut sum = TagFigures {
        name: "total",
        ..TagFigures::default()
    };
    for figures in read() {
        sum.live_bytes += figures.live_bytes;
        sum.live_blocks += figures.live_blocks;
        sum.total_bytes += figures.total_bytes;
        sum.total_blocks += figures.total_blocks;
    }
    sum.peak_bytes = published::peak_of_all(sum.live_bytes);
    sum
}

impl Tag {
    /// What is counted under this tag: zeros before it is first entered, and those of
    /// `further tags` where more than [`TAGS_MAX`] - 2 were entered before it.
    /// Allocates nothing. O(threads).
    #[must_use]
    pub fn figures(&'static self) -> TagFigures {
        let Some(number) = self.number_if_entered() else {
            return TagFigures {
                name: self.name(),
                ..TagFigures::default()
            };
        };
        read_tags(number..number + 1)[number]
    }
}

/// By number of the tag.
fn read() -> [TagFigures; TAGS_MAX] {
    let used = 1
        + (1..TAGS_MAX - 1)
            .take_while(|number| tag::known(*number).is_some())
            .count();
    let mut figures = read_tags(0..used);
    figures[TAGS_MAX - 1] = read_tags(TAGS_MAX - 1..TAGS_MAX)[TAGS_MAX - 1];
    figures
}

/// What was freed is read first, of all threads: see [`counts`].
fn read_tags(numbers: std::ops::Range<usize>) -> [TagFigures; TAGS_MAX] {
    let mut figures = [TagFigures::default(); TAGS_MAX];
    let mut freed = [(0u64, 0u64); TAGS_MAX];
    for slot in threads::slots() {
        for number in numbers.clone() {
            let (bytes, blocks) = slot.of(number as u8).freed();
            freed[number].0 = freed[number].0.wrapping_add(bytes);
            freed[number].1 = freed[number].1.wrapping_add(blocks);
        }
    }
    // Slots that were made meanwhile are in this pass only: more allocated, not more freed.
    for slot in threads::slots() {
        for number in numbers.clone() {
            let (bytes, blocks) = slot.of(number as u8).allocated();
            let sum = &mut figures[number];
            sum.total_bytes = sum.total_bytes.wrapping_add(bytes);
            sum.total_blocks = sum.total_blocks.wrapping_add(blocks);
        }
    }
    for number in numbers {
        let sum = &mut figures[number];
        sum.name = tag::known(number).map_or("", Tag::name);
        sum.live_bytes = sum.total_bytes.wrapping_sub(freed[number].0);
        sum.live_blocks = sum.total_blocks.wrapping_sub(freed[number].1);
        sum.peak_bytes = published::peak_of_tag(number, sum.live_bytes);
    }
    figures
}
