//! Large blocks: `[prev_size, size | IS_MMAPPED]` at the start of what mmap returned, followed by
//! the next header or by a boundary. Run after all other rules: it walks what nobody has claimed.

use plimsoll_model::{AddressRange, Bytes};

use super::chunk_walk::{FLAGS, IS_MMAPPED};
use super::{owner, used};
use crate::ground::Ground;
use crate::owners::words;
use crate::territory::{Claim, Territory};

/// Smallest block worth telling from data that looks like a header. The mmap threshold is
/// 128 KiB by default and only grows by itself.
const LARGE_MIN: u64 = 64 * 1024;

/// Mapping starts without a block that are looked at: each costs a system call or more. Large
/// intervals come first, so that a process of more mappings loses its smallest blocks.
const STARTS_WITHOUT_BLOCK: usize = 1024;

/// Pages whose first words are read in search of a header that does not start a mapping, over all
/// of a process; five milliseconds at the most.
const PAGES_SEARCHED: usize = 4096;

/// Claims the blocks that start a mapping, and those that follow them.
pub(super) fn claim_at_starts(ground: &Ground<'_>, territory: &mut Territory) {
    let mut misses_left = STARTS_WITHOUT_BLOCK;
    for interval in unclaimed(ground, territory) {
        let starts: Vec<u64> = ground
            .mappings_within(interval)
            .iter()
            .map(|mapping| mapping.range.start.max(interval.start))
            .take(misses_left)
            .collect();
        let found = claim_chains(ground, territory, interval, &starts);
        misses_left -= starts.len().saturating_sub(found).min(misses_left);
    }
}

/// Claims, in what is left, the blocks that the kernel has joined with a lower neighbour.
pub(super) fn claim_inside(ground: &Ground<'_>, territory: &mut Territory) {
    let mut pages_left = PAGES_SEARCHED;
    for interval in unclaimed(ground, territory) {
        let starts = pages_like_headers(ground, interval, &mut pages_left);
        claim_chains(ground, territory, interval, &starts);
    }
}

/// Unclaimed intervals that may hold a block, the largest first.
fn unclaimed(ground: &Ground<'_>, territory: &Territory) -> Vec<AddressRange> {
    let regions = ground.regions();
    let intervals = regions
        .iter()
        .flat_map(|region| territory.unclaimed_within(*region));
    let mut intervals: Vec<AddressRange> = intervals
        .filter(|interval| interval.size().0 >= LARGE_MIN)
        .collect();
    intervals.sort_by_key(|interval| std::cmp::Reverse(interval.size()));
    intervals
}

/// Claims the blocks at `starts` (ascending) and those that follow them without a hole, and
/// tells how many.
fn claim_chains(
    ground: &Ground<'_>,
    territory: &mut Territory,
    interval: AddressRange,
    starts: &[u64],
) -> usize {
    let mut found = 0;
    let mut at = interval.start;
    for start in starts {
        if *start < at {
            continue;
        }
        at = *start;
        while let Some(size) = large_block_at(ground, at, interval.end) {
            let range = AddressRange::sized(at, size);
            let owner = owner(
                "large blocks".to_owned(),
                "malloc chunk header (IS_MMAPPED)",
            );
            // free() unmaps such a block at once: what is there is in use.
            let live = ground.residency(range).resident_within(range);
            let used = Some(used(live, Bytes::ZERO));
            territory.claim_with(Claim { range, owner, used });
            at = range.end;
            found += 1;
        }
    }
    found
}

/// Resident pages of `interval` that begin like a block, in ascending order.
fn pages_like_headers(
    ground: &Ground<'_>,
    interval: AddressRange,
    pages_left: &mut usize,
) -> Vec<u64> {
    let page = usize::try_from(ground.page_size().0).unwrap_or(4096);
    let mut pages: Vec<u64> = ground
        .resident(interval)
        .iter()
        .flat_map(|run| (run.start..run.end).step_by(page))
        .take(*pages_left)
        .collect();
    *pages_left -= pages.len();
    let mut starts = Vec::new();
    words::for_each_structure(ground, &mut pages, 16, |at, header| {
        if words::u64_at(header, 0) == 0 && words::u64_at(header, 8) & FLAGS == IS_MMAPPED {
            starts.push(at);
        }
    });
    starts
}

/// The mapped size of the block whose mapping starts at `start`, if a chunk header proves one
/// and the block ends where something else begins.
fn large_block_at(ground: &Ground<'_>, start: u64, end: u64) -> Option<u64> {
    block_header_at(ground, start, end).filter(|size| ends_at_boundary(ground, start + size, end))
}

/// malloc puts the header first. memalign leaves a gap before it, so that header + 16 is
/// aligned; the gap's length stands in `mchunk_prev_size`, because munmap needs it (malloc.c,
/// `_int_memalign`).
fn block_header_at(ground: &Ground<'_>, start: u64, end: u64) -> Option<u64> {
    let page = ground.page_size();
    let mut first_page = vec![0; usize::try_from(page.0.min(end - start)).ok()?];
    if !ground.target.read(start, &mut first_page) {
        first_page.clear();
    }
    leads(start, end).find_map(|lead| {
        let (previous, header) = header_words(ground, &first_page, start, lead)?;
        let total = (header & !FLAGS).checked_add(lead)?;
        let fits = previous == lead
            && header & FLAGS == IS_MMAPPED
            && total >= LARGE_MIN
            && page.round_down(total) == total
            && total <= end - start;
        fits.then_some(total)
    })
}

/// The two words of a header, from the page at hand or from further in.
fn header_words(ground: &Ground<'_>, page: &[u8], start: u64, lead: u64) -> Option<(u64, u64)> {
    let mut words = [0; 16];
    let at = usize::try_from(lead).ok()?;
    match page.get(at..at + 16) {
        Some(bytes) => words.copy_from_slice(bytes),
        None if ground.target.read(start + lead, &mut words) => {}
        None => return None,
    }
    Some((words::u64_at(&words, 0), words::u64_at(&words, 8)))
}

/// Distances from a mapping's start at which memalign may have put the header of a block that
/// ends by `end`, for alignments from 64 bytes to 1 GiB; 0 for plain malloc. Ascending.
fn leads(start: u64, end: u64) -> impl Iterator<Item = u64> {
    let aligned = (6..=30).map(move |power| (start + 16).next_multiple_of(1 << power) - 16 - start);
    let room = (end - start).saturating_sub(LARGE_MIN);
    let mut last = None;
    std::iter::once(0).chain(aligned).filter(move |lead| {
        let is_new = last != Some(*lead);
        last = Some(*lead);
        is_new && *lead <= room
    })
}

/// A block ends where unclaimed memory ends, where a mapping ends, or where another block's
/// header stands: data that merely looks like a header does not. What is left behind the last
/// block may be some pages of the loader's, too few for a block (the kernel joins the first
/// block a program maps with the first thread's local storage above it), or address space that
/// nobody has touched.
fn ends_at_boundary(ground: &Ground<'_>, at: u64, end: u64) -> bool {
    end - at < LARGE_MIN
        || ground
            .mapping_at(at)
            .is_none_or(|mapping| mapping.range.start == at)
        || block_header_at(ground, at, end).is_some()
        || touched_up_to(ground, at, end)
}

fn touched_up_to(ground: &Ground<'_>, at: u64, end: u64) -> bool {
    let last_page = AddressRange::new(at - ground.page_size().0, at);
    !ground.resident(last_page).is_empty() && ground.resident(AddressRange::new(at, end)).is_empty()
}
