//! Large blocks: `[prev_size, size | IS_MMAPPED]` at the start of what mmap returned, followed by
//! the next header or by a boundary. Run after all other rules: it walks what nobody has claimed.

use plimsoll_model::{AddressRange, Bytes};

use super::chunk_walk::{FLAGS, IS_MMAPPED};
use super::parameters::blocks_mapped;
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

/// The search for blocks, which ends where malloc says that it has no more.
pub(super) struct Search<'a> {
    ground: &'a Ground<'a>,
    /// Blocks that are still to be found; `None` where malloc's own count is not known.
    left: Option<u64>,
}

impl<'a> Search<'a> {
    pub(super) fn new(ground: &'a Ground<'a>) -> Search<'a> {
        Search {
            ground,
            left: blocks_mapped(ground),
        }
    }

    /// Claims the blocks that start a mapping, and those that follow them.
    pub(super) fn claim_at_starts(&mut self, territory: &mut Territory) {
        let mut misses_left = STARTS_WITHOUT_BLOCK;
        for interval in self.unclaimed(territory) {
            if self.is_over() {
                return;
            }
            let starts: Vec<u64> = self
                .ground
                .mappings_within(interval)
                .iter()
                .map(|mapping| mapping.range.start.max(interval.start))
                .take(misses_left)
                .collect();
            let found = self.claim_chains(territory, interval, &starts);
            misses_left -= starts.len().saturating_sub(found).min(misses_left);
        }
    }

    /// Claims, in what is left, the blocks that the kernel has joined with a lower neighbour.
    pub(super) fn claim_inside(&mut self, territory: &mut Territory) {
        let mut pages_left = PAGES_SEARCHED;
        for interval in self.unclaimed(territory) {
            if self.is_over() {
                return;
            }
            let starts = pages_like_headers(self.ground, interval, &mut pages_left);
            self.claim_chains(territory, interval, &starts);
        }
    }

    fn is_over(&self) -> bool {
        self.left == Some(0)
    }

    /// Unclaimed intervals that may hold a block, the largest first.
    fn unclaimed(&self, territory: &Territory) -> Vec<AddressRange> {
        let regions = self.ground.regions();
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
        &mut self,
        territory: &mut Territory,
        interval: AddressRange,
        starts: &[u64],
    ) -> usize {
        let ground = self.ground;
        let mut found = 0;
        let mut at = interval.start;
        for start in starts {
            if *start < at {
                continue;
            }
            at = *start;
            while !self.is_over()
                && let Some(size) = large_block_at(ground, at, interval.end)
            {
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
                self.left = self.left.map(|left| left - 1);
            }
        }
        found
    }
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
/// `_int_memalign`). In the gap stands the header that malloc put first, or nothing.
fn block_header_at(ground: &Ground<'_>, start: u64, end: u64) -> Option<u64> {
    let page = ground.page_size();
    let mut words = [0; 16];
    let mut header = |lead: u64| -> Option<(u64, u64)> {
        ground
            .target
            .read(start + lead, &mut words)
            .then(|| (words::u64_at(&words, 0), words::u64_at(&words, 8)))
    };
    // A page that is not there was never written.
    let first = header(0).unwrap_or((0, 0));
    let may_lead = first.0 == 0 && (first.1 == 0 || first.1 & FLAGS == IS_MMAPPED);
    if !may_lead {
        return None;
    }
    leads(start, end).find_map(|lead| {
        let (previous, header) = match lead {
            0 => first,
            lead => header(lead)?,
        };
        let total = (header & !FLAGS).checked_add(lead)?;
        let fits = previous == lead
            && header & FLAGS == IS_MMAPPED
            && total >= LARGE_MIN
            && page.round_down(total) == total
            && total <= end - start;
        fits.then_some(total)
    })
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
