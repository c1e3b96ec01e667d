//! glibc malloc: the main arena in the brk area, thread arenas in 64 MiB-aligned heaps, and large
//! blocks that were mapped on their own.
//!
//! Sources: malloc/malloc.c (struct malloc_chunk: `mchunk_prev_size`, `mchunk_size`, flags
//! PREV_INUSE 1, IS_MMAPPED 2, NON_MAIN_ARENA 4) and malloc/arena.c (struct _heap_info) of glibc
//! 2.26 to 2.41. Blocks in the thread caches and fast bins carry the in-use bit and count as live.

use plimsoll_model::{
    AddressRange, Backing, Bytes, Gap, GapReason, Kind, PageSize, Residency, Used,
};

use crate::ground::Ground;
use crate::territory::{Claim, Owner, Territory};
use crate::window::Window;

pub(crate) const COMPONENT: &str = "glibc malloc";

const PREV_INUSE: u64 = 1;
const IS_MMAPPED: u64 = 2;
const FLAGS: u64 = 7;
/// MINSIZE of a chunk on 64-bit: malloc.c.
const CHUNK_MIN: u64 = 32;
/// HEAP_MAX_SIZE on 64-bit (2 × DEFAULT_MMAP_THRESHOLD_MAX): arena.c.
const HEAP_ALIGNMENT: u64 = 64 << 20;
/// The walk copies about every page of the heap: bounded, so that inspecting a huge heap stays
/// quick. Above it the free part is a gap.
const WALK_LIMIT: Bytes = Bytes::mib(512);
/// Smallest block worth telling from data that looks like a header. The mmap threshold is
/// 128 KiB by default and only grows by itself.
const LARGE_MIN: u64 = 64 * 1024;

/// Arenas: their own descriptors prove them.
pub(crate) fn claim_arenas(ground: &Ground<'_>, territory: &mut Territory) {
    claim_main_arena(ground, territory);
    claim_thread_arenas(ground, territory);
}

fn owner(part: String, evidence: &'static str) -> Owner {
    Owner {
        kind: Kind::Heap,
        component: COMPONENT.to_owned(),
        part,
        evidence,
    }
}

fn used(live: Bytes, held_free: Bytes) -> Used {
    Used {
        live,
        held_free,
        method: "chunk headers; thread caches count as live".to_owned(),
    }
}

fn claim_main_arena(ground: &Ground<'_>, territory: &mut Territory) {
    let brk: Vec<AddressRange> = ground
        .snapshot
        .mappings
        .iter()
        .filter(|mapping| mapping.backing == Backing::Heap)
        .map(|mapping| mapping.range)
        .collect();
    let (Some(first), Some(last)) = (brk.first(), brk.last()) else {
        return;
    };
    let range = AddressRange::new(first.start, last.end);
    match walk_or_gap(ground, range, range.start, range.end) {
        Walked::Chunks(used) => {
            let owner = owner("main arena".to_owned(), "chunk headers of the brk area");
            territory.claim_with(Claim { range, owner, used });
        }
        Walked::NotGlibc => {}
    }
}

/// A heap_info, checked.
struct ArenaHeap {
    range: AddressRange,
    arena: u64,
    size: u64,
    first_of_arena: bool,
}

fn claim_thread_arenas(ground: &Ground<'_>, territory: &mut Territory) {
    let heaps: Vec<ArenaHeap> = heap_candidates(ground)
        .into_iter()
        .filter_map(|at| read_heap(ground, at))
        .collect();
    for heap in &heaps {
        let home = heaps
            .iter()
            .find(|other| other.first_of_arena && other.range.contains(heap.arena));
        if home.is_none() {
            continue;
        }
        let owner = owner(
            format!("thread arena {:x}", heap.arena),
            "heap_info and arena pointer",
        );
        let used = heap
            .first_of_arena
            .then(|| walk_arena(ground, heap))
            .flatten();
        territory.claim_with(Claim {
            range: heap.range,
            owner,
            used,
        });
    }
}

/// 64 MiB-aligned addresses at which readable and writable anonymous memory starts or lies.
fn heap_candidates(ground: &Ground<'_>) -> Vec<u64> {
    let mut candidates = Vec::new();
    for region in ground.regions() {
        let mut at = region.start.next_multiple_of(HEAP_ALIGNMENT);
        while at < region.end {
            candidates.push(at);
            at += HEAP_ALIGNMENT;
        }
    }
    candidates
}

fn read_heap(ground: &Ground<'_>, at: u64) -> Option<ArenaHeap> {
    let page = ground.page_size();
    let word = |offset| ground.target.read_word(at + offset);
    let (arena, previous, size, mprotected) = (word(0)?, word(8)?, word(16)?, word(24)?);
    let sizes_fit = size > 0
        && size == page.round_down(size)
        && mprotected == page.round_down(mprotected)
        && size <= mprotected
        && mprotected <= HEAP_ALIGNMENT;
    let range = AddressRange::sized(at, mprotected);
    if !sizes_fit || !ground.is_anonymous_memory(range) {
        return None;
    }
    // The arena's malloc_state follows the first heap's descriptor, 16-aligned; its size grew
    // from 32 to 48 bytes with the page size field of 2.35.
    let inside = arena.wrapping_sub(at);
    let first_of_arena = previous == 0 && (32..=80).contains(&inside) && arena.is_multiple_of(16);
    let later_heap = previous != 0
        && previous.is_multiple_of(HEAP_ALIGNMENT)
        && arena.wrapping_sub(previous) < HEAP_ALIGNMENT * 1024;
    (first_of_arena || later_heap).then_some(ArenaHeap {
        range,
        arena,
        size,
        first_of_arena,
    })
}

/// Occupancy of an arena with one heap: the walk must end at the `top` that the arena names.
fn walk_arena(ground: &Ground<'_>, heap: &ArenaHeap) -> Option<Used> {
    // malloc_state: mutex, flags, have_fastchunks (16 bytes), fastbinsY[10], top.
    let top = ground.target.read_word(heap.arena + 0x60)?;
    let end = heap.range.start + heap.size;
    if !AddressRange::new(heap.arena, end).contains(top) {
        return None;
    }
    // sizeof(struct malloc_state) is 0x898 since 2.27 and 0x890 before.
    [0x898_u64, 0x890].into_iter().find_map(|state| {
        let first = (heap.arena + state).next_multiple_of(16);
        match walk_or_gap(ground, heap.range, first, end) {
            Walked::Chunks(used) => used,
            Walked::NotGlibc => None,
        }
    })
}

enum Walked {
    /// Chunk headers are there; occupancy when the whole walk fitted.
    Chunks(Option<Used>),
    NotGlibc,
}

/// How many chunks in a row must be well-formed for the headers to be believed.
const CONVINCING: u64 = 16;

fn walk_or_gap(ground: &Ground<'_>, range: AddressRange, first: u64, end: u64) -> Walked {
    let resident: Bytes = ground.resident(range).iter().map(|run| run.size()).sum();
    let mut walk = ChunkWalk::new(ground, range, first, end);
    if resident > WALK_LIMIT {
        ground.gap(Gap::new(
            format!("free part of the heap at {:x}", range.start),
            GapReason::Bounded,
            format!("{resident} resident, walked up to {WALK_LIMIT}"),
        ));
        while walk.chunks < CONVINCING && walk.step() {}
        return if walk.chunks >= CONVINCING {
            Walked::Chunks(None)
        } else {
            Walked::NotGlibc
        };
    }
    while walk.step() {}
    if walk.at == end {
        return Walked::Chunks(Some(used(walk.live, walk.free)));
    }
    if walk.chunks < CONVINCING {
        return Walked::NotGlibc;
    }
    ground.gap(Gap::new(
        format!("free part of the heap at {:x}", range.start),
        GapReason::Changed,
        format!("the chunk walk lost its way after {} chunks", walk.chunks),
    ));
    Walked::Chunks(None)
}

/// Walks chunks from header to header. A chunk is free when its successor's PREV_INUSE is clear;
/// the last one, which ends at `end`, is the top chunk and free.
struct ChunkWalk<'a> {
    window: Window<'a>,
    page: PageSize,
    residency: Residency,
    at: u64,
    end: u64,
    chunks: u64,
    live: Bytes,
    free: Bytes,
}

impl<'a> ChunkWalk<'a> {
    fn new(ground: &'a Ground<'a>, range: AddressRange, first: u64, end: u64) -> ChunkWalk<'a> {
        let window = Window::new(ground, range);
        let (live, free) = (Bytes::ZERO, Bytes::ZERO);
        ChunkWalk {
            window,
            page: ground.page_size(),
            residency: ground.residency(range),
            at: first,
            end,
            chunks: 0,
            live,
            free,
        }
    }

    /// Goes over one chunk; `false` at the end or where a header makes no sense.
    fn step(&mut self) -> bool {
        let Some(next) = self.chunk_at(self.at) else {
            return false;
        };
        let free = if next == self.end {
            true
        } else {
            if self.chunk_at(next).is_none() {
                return false;
            }
            let Some(header) = self.window.word(next + 8) else {
                return false;
            };
            header & PREV_INUSE == 0
        };
        let resident = self.resident_part(AddressRange::new(self.at, next));
        if free {
            self.free += resident;
        } else {
            self.live += resident;
        }
        self.chunks += 1;
        self.at = next;
        next < self.end
    }

    /// Where the chunk at `at` ends, if its header makes sense.
    fn chunk_at(&mut self, at: u64) -> Option<u64> {
        if at + CHUNK_MIN > self.end {
            return None;
        }
        let header = self.window.word(at + 8)?;
        let size = header & !FLAGS;
        let next = at.checked_add(size)?;
        let sane = size >= CHUNK_MIN.min(self.end - at)
            && size.is_multiple_of(16)
            && header & IS_MMAPPED == 0
            && next <= self.end;
        sane.then_some(next)
    }

    /// Only what is resident counts: a trimmed or never touched page costs nothing.
    fn resident_part(&self, chunk: AddressRange) -> Bytes {
        let inner = AddressRange::new(
            self.page.round_up(chunk.start),
            self.page.round_down(chunk.end),
        );
        if inner.is_empty() {
            return chunk.size();
        }
        let edges = chunk.size() - inner.size();
        edges + self.residency.resident_within(inner)
    }
}

/// Large blocks: `[prev_size, size | IS_MMAPPED]` at the start of what mmap returned, followed
/// by the next header or by a boundary. Run last: it walks what no other rule has claimed.
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

/// A block ends where the interval ends, where a mapping ends, or where another block's header
/// stands: data that merely looks like a header does not.
fn ends_at_boundary(ground: &Ground<'_>, at: u64, end: u64) -> bool {
    at == end
        || ground
            .mapping_at(at)
            .is_none_or(|mapping| mapping.range.start == at)
        || block_header_at(ground, at, end).is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fake::{self, FakeTarget};

    const BASE: u64 = 0x7f10_0000_0000;

    fn large_blocks(
        mappings: Vec<plimsoll_model::Mapping>,
        target: &FakeTarget,
    ) -> Vec<(u64, u64)> {
        let snapshot = fake::snapshot(mappings);
        let ground = Ground::new(&snapshot, target);
        let mut territory = Territory::default();
        claim_large_blocks(&ground, &mut territory);
        territory
            .overlapping(AddressRange::new(0, u64::MAX))
            .map(|claim| (claim.range.start - BASE, claim.range.size().0))
            .collect()
    }

    fn mapping(start: u64, size: u64) -> plimsoll_model::Mapping {
        fake::anonymous(AddressRange::sized(BASE + start, size), Bytes::kib(4))
    }

    #[test]
    fn blocks_in_a_row_are_told_apart() {
        let mut target = FakeTarget::default();
        target.words(BASE, &[0, 0x10_0000 | IS_MMAPPED]);
        target.words(BASE + 0x10_0000, &[0, 0x20_0000 | IS_MMAPPED]);
        let found = large_blocks(vec![mapping(0, 0x30_0000)], &target);
        assert_eq!(found, [(0, 0x10_0000), (0x10_0000, 0x20_0000)]);
    }

    /// numpy asks for huge pages inside a block, which splits the mapping from its header.
    #[test]
    fn a_block_reaches_over_split_mappings() {
        let mut target = FakeTarget::default();
        target.words(BASE, &[0, 0x40_0000 | IS_MMAPPED]);
        let mappings = vec![
            mapping(0, 0x1000),
            mapping(0x1000, 0x20_0000),
            mapping(0x20_1000, 0x1f_f000),
        ];
        assert_eq!(large_blocks(mappings, &target), [(0, 0x40_0000)]);
    }

    #[test]
    fn aligned_blocks_have_their_header_further_in() {
        for alignment in [64_u64, 4096, 2 << 20] {
            let mut target = FakeTarget::default();
            let lead = (BASE + 0x3000 + 16).next_multiple_of(alignment) - 16 - (BASE + 0x3000);
            let total = (lead + 0x10_0000).next_multiple_of(0x1000);
            target.words(BASE + 0x3000 + lead, &[lead, (total - lead) | IS_MMAPPED]);
            let found = large_blocks(vec![mapping(0x3000, total)], &target);
            assert_eq!(found, [(0x3000, total)], "alignment {alignment}");
        }
    }

    #[test]
    fn a_block_above_foreign_memory_is_found() {
        let mut target = FakeTarget::default();
        target.words(BASE, &[7, 7]);
        target.words(BASE + 0x3000, &[0, 0x10_0000 | IS_MMAPPED]);
        let found = large_blocks(vec![mapping(0, 0x10_3000)], &target);
        assert_eq!(found, [(0x3000, 0x10_0000)]);
    }

    #[test]
    fn data_that_looks_like_a_header_claims_nothing() {
        let mut target = FakeTarget::default();
        // Fits the mapping but ends at no boundary.
        target.words(BASE, &[0, 0x10_0000 | IS_MMAPPED]);
        target.touch(AddressRange::sized(BASE + 0x10_0000, 0x1000));
        assert_eq!(large_blocks(vec![mapping(0, 0x20_0000)], &target), []);
        // Reaches beyond the mapping.
        target.words(BASE, &[0, 0x40_0000 | IS_MMAPPED]);
        assert_eq!(large_blocks(vec![mapping(0, 0x20_0000)], &target), []);
    }

    /// A small brk heap: three live blocks, a free one, the top.
    fn brk_heap(target: &mut FakeTarget) -> plimsoll_model::Mapping {
        let range = AddressRange::sized(BASE, 0x2_1000);
        target.touch(range);
        let sizes = [0x290_u64, 0x1000, 0x2000, 0x20];
        let mut at = BASE;
        let mut previous_in_use = PREV_INUSE;
        for (index, size) in sizes.into_iter().enumerate() {
            target.words(at + 8, &[size | previous_in_use]);
            previous_in_use = if index == 2 { 0 } else { PREV_INUSE };
            at += size;
        }
        target.words(at + 8, &[(range.end - at) | PREV_INUSE]);
        plimsoll_model::Mapping {
            backing: Backing::Heap,
            ..fake::anonymous(range, range.size())
        }
    }

    #[test]
    fn the_chunk_walk_tells_live_from_free() {
        let mut target = FakeTarget::default();
        let snapshot = fake::snapshot(vec![brk_heap(&mut target)]);
        let ground = Ground::new(&snapshot, &target);
        let mut territory = Territory::default();
        claim_arenas(&ground, &mut territory);
        let claim = territory
            .overlapping(AddressRange::new(0, u64::MAX))
            .next()
            .unwrap();
        let used = claim.used.as_ref().unwrap();
        assert_eq!(claim.owner.part, "main arena");
        assert_eq!(used.live, Bytes(0x290 + 0x1000 + 0x20));
        assert_eq!(used.live + used.held_free, Bytes(0x2_1000));
    }

    #[test]
    fn a_brk_area_of_another_allocator_is_not_glibc() {
        let mut target = FakeTarget::default();
        let range = AddressRange::sized(BASE, 0x2_1000);
        target.touch(range);
        target.words(BASE, &[0x1234_5678, 0xffff_ffff_0001, 3, 4]);
        let heap = plimsoll_model::Mapping {
            backing: Backing::Heap,
            ..fake::anonymous(range, range.size())
        };
        let snapshot = fake::snapshot(vec![heap]);
        let ground = Ground::new(&snapshot, &target);
        let mut territory = Territory::default();
        claim_arenas(&ground, &mut territory);
        assert!(
            territory
                .overlapping(AddressRange::new(0, u64::MAX))
                .next()
                .is_none()
        );
    }

    #[test]
    fn thread_arenas_are_proved_by_their_descriptor() {
        let heap = 0x7f20_0000_0000_u64;
        let check = |words: [u64; 4], expected: usize| {
            let mut target = FakeTarget::default();
            target.words(heap, &words);
            let range = AddressRange::sized(heap, 0x10_0000);
            let snapshot = fake::snapshot(vec![fake::anonymous(range, Bytes::kib(4))]);
            let ground = Ground::new(&snapshot, &target);
            let mut territory = Territory::default();
            claim_arenas(&ground, &mut territory);
            let found = territory
                .overlapping(AddressRange::new(0, u64::MAX))
                .count();
            assert_eq!(found, expected, "{words:x?}");
        };
        check([heap + 0x30, 0, 0x2_1000, 0x2_1000], 1);
        // Size beyond what is mapped, size beyond what is accessible, arena elsewhere, odd size.
        check([heap + 0x30, 0, 0x2_1000, 0x20_0000], 0);
        check([heap + 0x30, 0, 0x3_0000, 0x2_1000], 0);
        check([heap + 0x3000, 0, 0x2_1000, 0x2_1000], 0);
        check([heap + 0x30, 0, 0x2_1008, 0x2_1008], 0);
    }

    proptest! {
        /// Whatever the memory holds, claims stay inside anonymous memory and nothing panics.
        #[test]
        fn random_memory_never_escapes(words in proptest::collection::vec(any::<u64>(), 0..600)) {
            let mut target = FakeTarget::default();
            let range = AddressRange::sized(BASE, 0x10_0000);
            target.words(BASE, &words);
            let heap = plimsoll_model::Mapping { backing: Backing::Heap, ..fake::anonymous(range, Bytes::kib(4)) };
            let snapshot = fake::snapshot(vec![heap, mapping(0x10_0000, 0x10_0000)]);
            let ground = Ground::new(&snapshot, &target);
            let mut territory = Territory::default();
            claim_arenas(&ground, &mut territory);
            claim_large_blocks(&ground, &mut territory);
            for claim in territory.overlapping(AddressRange::new(0, u64::MAX)) {
                prop_assert!(AddressRange::sized(BASE, 0x20_0000).covers(claim.range));
            }
        }
    }
}
