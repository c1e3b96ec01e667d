//! Large blocks: `[prev_size, size | IS_MMAPPED]` at the start of what mmap returned, followed by
//! the next header or by a boundary. Run after all other rules: it walks what nobody has claimed.

use plimsoll_model::{AddressRange, Bytes};

use super::chunk_walk::{FLAGS, IS_MMAPPED};
use super::{owner, used};
use crate::ground::Ground;
use crate::territory::{Claim, Territory};

/// Smallest block worth telling from data that looks like a header. The mmap threshold is
/// 128 KiB by default and only grows by itself.
const LARGE_MIN: u64 = 64 * 1024;

/// Claims the blocks in what no other rule has claimed.
pub(crate) fn claim_large_blocks(ground: &Ground<'_>, territory: &mut Territory) {
    let mut pages_left = CANDIDATE_PAGES;
    for region in ground.regions() {
        for interval in territory.unclaimed_within(region) {
            if interval.size().0 >= LARGE_MIN {
                claim_chain(ground, territory, interval, &mut pages_left);
            }
        }
    }
}

fn claim_chain(
    ground: &Ground<'_>,
    territory: &mut Territory,
    interval: AddressRange,
    pages_left: &mut usize,
) {
    let mut at = interval.start;
    let residency = ground.residency(interval);
    for candidate in block_candidates(ground, interval, pages_left) {
        at = at.max(candidate);
        // Blocks follow one another without a hole: go on as long as headers do.
        while let Some(size) = large_block_at(ground, at, interval.end) {
            let range = AddressRange::sized(at, size);
            let owner = owner(
                "large blocks".to_owned(),
                "malloc chunk header (IS_MMAPPED)",
            );
            // free() unmaps such a block at once: what is there is in use.
            let used = Some(used(residency.resident_within(range), Bytes::ZERO));
            territory.claim_with(Claim { range, owner, used });
            at = range.end;
        }
    }
}

/// Pages whose first words are read in search of a header that does not start a mapping, which
/// happens when the kernel has joined a block with its lower neighbour. Over all of a process.
const CANDIDATE_PAGES: usize = 64 * 1024;

/// Addresses in `interval` where a block may start: mapping starts, and pages that begin with
/// something like a header. In ascending order.
fn block_candidates(
    ground: &Ground<'_>,
    interval: AddressRange,
    pages_left: &mut usize,
) -> Vec<u64> {
    let page = ground.page_size().0;
    let pages: Vec<u64> = ground
        .resident(interval)
        .iter()
        .flat_map(|run| (run.start..run.end).step_by(usize::try_from(page).unwrap_or(4096)))
        .take(*pages_left)
        .collect();
    *pages_left -= pages.len();
    let mut words = Vec::new();
    let readable = ground.target.read_each(&pages, 16, &mut words);
    let looks_like_header = |index: usize| {
        let word = |at: usize| {
            words
                .get(at..at + 8)
                .and_then(|bytes| bytes.try_into().ok())
        };
        let previous = word(index * 16).map(u64::from_ne_bytes);
        let header = word(index * 16 + 8).map_or(0, u64::from_ne_bytes);
        previous == Some(0) && header & FLAGS == IS_MMAPPED
    };
    let mut candidates: Vec<u64> = (0..pages.len())
        .filter(|index| readable.get(*index) == Some(&true) && looks_like_header(*index))
        .map(|index| pages[index])
        .collect();
    candidates.extend(
        ground
            .mappings_within(interval)
            .iter()
            .map(|mapping| mapping.range.start.max(interval.start)),
    );
    candidates.sort_unstable();
    candidates.dedup();
    candidates
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
    leads(start).find_map(|lead| {
        if start + lead + 16 > end || ground.target.read_word(start + lead)? != lead {
            return None;
        }
        let header = ground.target.read_word(start + lead + 8)?;
        let total = (header & !FLAGS).checked_add(lead)?;
        let fits = header & FLAGS == IS_MMAPPED
            && total >= LARGE_MIN
            && page.round_down(total) == total
            && total <= end - start;
        fits.then_some(total)
    })
}

/// Distances from a mapping's start at which memalign may have put the header, for alignments
/// from 64 bytes to 1 GiB; 0 for plain malloc.
fn leads(start: u64) -> impl Iterator<Item = u64> {
    let aligned = (6..=30).map(move |power| (start + 16).next_multiple_of(1 << power) - 16 - start);
    std::iter::once(0).chain(aligned)
}

/// A block ends where unclaimed memory ends, where a mapping ends, or where another block's
/// header stands: data that merely looks like a header does not. What is left behind the last
/// block may be some pages of the loader's, too few for a block: the kernel joins the first
/// block a program maps with the first thread's local storage above it.
fn ends_at_boundary(ground: &Ground<'_>, at: u64, end: u64) -> bool {
    end - at < LARGE_MIN
        || ground
            .mapping_at(at)
            .is_none_or(|mapping| mapping.range.start == at)
        || block_header_at(ground, at, end).is_some()
}
