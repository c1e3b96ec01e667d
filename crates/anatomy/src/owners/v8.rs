//! V8 (node, Electron, Chromium): pages of its heap and of compiled code.
//!
//! Every page starts at a multiple of 256 KiB with a header that states its own address and size
//! several times over: as its size, as the area of its objects, and as the reservation it lives
//! in. Pages count only when several name the same `Heap`. Read are the layouts of V8 8 to 11
//! (`BasicMemoryChunk`; node 14 to 20), 12 (node 22) and 13 (`MemoryChunkMetadata` apart from the
//! page; node 24). Cost: one header per resident 256 KiB, in processes that have code enough.

mod cage;

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_model::{AddressRange, Backing, Bytes, Gap, GapReason, Kind, Used};

use super::words;
use crate::ground::Ground;
use crate::territory::{Claim, Owner, Territory};

/// `kPageSizeBits` is 18; larger pages hold one large object and keep the alignment.
const ALIGNMENT: u64 = 256 << 10;

/// The fields checked: up to `reservation_` in a page, up to `owner_` in metadata apart from it.
const HEADER: usize = 13 * 8;
const METADATA: usize = 11 * 8;

/// Header pages looked at: 256 GiB of heap in pages of 256 KiB.
const PAGES_MAX: usize = 1 << 20;

/// Pages that must name one heap before any of them counts.
const PAGES_TOGETHER: usize = 4;

/// V8's own code is several times as long (node 18: 26 MiB): a process that has nowhere so much
/// executable memory in one piece does not run it, and its memory is not searched.
pub(crate) const CODE_MIN: u64 = 2 << 20;

/// The objects' area starts behind the header, marking bits and, for code, a guard page.
const AREA_OFFSET_MAX: u64 = 64 << 10;

/// `kMaximalCodeRangeSize` is 512 MiB; 2 GiB is the reach of a near call.
const CODE_RANGE_MAX: u64 = 2 << 30;

/// `FROM_PAGE | TO_PAGE`: semi-space pages, which count their whole area as allocated.
const FLAGS_YOUNG: u64 = 0x18;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chunk {
    range: AddressRange,
    area: AddressRange,
    heap: u64,
    allocated: u64,
    /// The page allocator that reserved it.
    allocator: u64,
    is_young: bool,
}

/// What all layouts have, not yet checked.
struct Fields {
    size: u64,
    flags: u64,
    heap: u64,
    area: [u64; 2],
    allocated: u64,
    wasted: u64,
    high_water_mark: u64,
    owner: u64,
    allocator: u64,
    /// Address and size once more.
    reservation: [u64; 2],
}

impl Chunk {
    /// The page at `address` by a header that holds all fields.
    fn parse(address: u64, header: &[u8]) -> Option<Chunk> {
        let word = |index: usize| words::u64_at(header, 8 * index);
        // V8 12 put its flags, and a pointer to the metadata that follows, in front.
        let (flags, size) = if word(1) == address { (0, 2) } else { (1, 0) };
        let heap = size.max(flags) + 1;
        let fields = Fields {
            size: word(size),
            flags: word(flags),
            heap: word(heap),
            area: [word(heap + 1), word(heap + 2)],
            allocated: word(heap + 3),
            wasted: word(heap + 4),
            high_water_mark: word(heap + 5),
            owner: word(heap + 6),
            allocator: word(heap + 7),
            reservation: [word(heap + 8), word(heap + 9)],
        };
        fields.check(address)
    }

    /// The page at `address` whose metadata lies apart, behind a pointer in its header.
    fn parse_apart(address: u64, flags: u64, metadata: &[u8]) -> Option<Chunk> {
        let word = |index: usize| words::u64_at(metadata, 8 * index);
        let fields = Fields {
            size: word(6),
            flags,
            heap: word(8),
            area: [word(9), word(7)],
            allocated: word(3),
            wasted: word(4),
            high_water_mark: word(5),
            owner: word(10),
            allocator: word(0),
            reservation: [word(1), word(2)],
        };
        fields.check(address)
    }
}

impl Fields {
    fn check(self, address: u64) -> Option<Chunk> {
        let range = AddressRange::sized(address, self.size);
        let [area_start, area_end] = self.area;
        let area = AddressRange::new(area_start, area_end);
        let is_pointer = |word: u64| word != 0 && word.is_multiple_of(8) && word < words::USER_END;
        let is_chunk = self.size != 0
            && self.size.is_multiple_of(4096)
            && range.end < words::USER_END
            && (address + 16..address + AREA_OFFSET_MAX).contains(&area_start)
            && area_end > area_start
            && range.covers(area)
            && self.allocated <= area.size().0
            && self.wasted <= area.size().0
            && self.high_water_mark <= self.size
            && is_pointer(self.heap)
            && is_pointer(self.owner)
            && is_pointer(self.allocator)
            && self.reservation == [address, self.size];
        is_chunk.then_some(Chunk {
            range,
            area,
            heap: self.heap,
            allocated: self.allocated,
            allocator: self.allocator,
            is_young: self.flags & FLAGS_YOUNG != 0,
        })
    }
}

pub(crate) fn claim(ground: &Ground<'_>, territory: &mut Territory) {
    if !ground.has_code_of(CODE_MIN) {
        return;
    }
    let pages = aligned_pages(ground);
    let mut chunks = find_chunks(ground, pages.clone());
    let mut by_heap: BTreeMap<u64, usize> = BTreeMap::new();
    for chunk in &chunks {
        *by_heap.entry(chunk.heap).or_default() += 1;
    }
    chunks.retain(|chunk| by_heap[&chunk.heap] >= PAGES_TOGETHER);
    let mut code_ranges: BTreeSet<AddressRange> = BTreeSet::new();
    for chunk in chunks {
        if is_executable(ground, chunk.area) {
            code_ranges.extend(find_code_range(ground, &chunk));
        }
        claim_chunk(ground, territory, chunk);
    }
    for range in code_ranges {
        claim_code_range(ground, territory, range);
    }
    cage::claim(ground, territory, pages);
}

fn is_executable(ground: &Ground<'_>, range: AddressRange) -> bool {
    ground
        .mappings_within(range)
        .iter()
        .any(|mapping| mapping.permissions.execute)
}

/// The reservation that all code of an isolate lies in, from the `BoundedPageAllocator` of a code
/// page: `{ …, allocate_page_size, commit_page_size, page_allocator, begin, size, … }`.
fn find_code_range(ground: &Ground<'_>, chunk: &Chunk) -> Option<AddressRange> {
    const WORDS: usize = 16;
    let mut bytes = [0; 8 * WORDS];
    if !ground.target.read(chunk.allocator, &mut bytes) {
        return None;
    }
    let word = |index: usize| words::u64_at(&bytes, 8 * index);
    (0..WORDS - 4).find_map(|at| {
        let range = AddressRange::sized(word(at + 3), word(at + 4));
        let is_range = word(at) == ALIGNMENT
            && word(at + 1) == ground.page_size().0
            && range.start.is_multiple_of(ALIGNMENT)
            && range.size().0.is_multiple_of(ALIGNMENT)
            && range.size().0 <= CODE_RANGE_MAX
            && range.covers(chunk.range);
        is_range.then_some(range)
    })
}

/// What is left of a code range: embedded builtins, and code pages given back but still resident.
fn claim_code_range(ground: &Ground<'_>, territory: &mut Territory, range: AddressRange) {
    for mapping in ground.mappings_within(range) {
        if mapping.backing != Backing::Anonymous || mapping.permissions.shared {
            continue;
        }
        for free in territory.unclaimed_within(mapping.range.intersection(range)) {
            territory.claim(
                free,
                Owner {
                    kind: Kind::Jit,
                    component: "V8 code".into(),
                    part: "rest of the code range".into(),
                    evidence: "reservation that V8's code allocator states",
                },
            );
        }
    }
}

/// Where a page may begin.
fn aligned_pages(ground: &Ground<'_>) -> Vec<u64> {
    let mut candidates = Vec::new();
    let readable = ground.snapshot.mappings.iter().filter(|mapping| {
        mapping.backing == Backing::Anonymous
            && !mapping.permissions.shared
            && mapping.permissions.read
    });
    for mapping in readable {
        let first = mapping.range.start.next_multiple_of(ALIGNMENT);
        for address in (first..mapping.range.end).step_by(ALIGNMENT as usize) {
            if candidates.len() == PAGES_MAX {
                ground.gap(Gap::new(
                    "V8 heap",
                    GapReason::Bounded,
                    format!("only the first {PAGES_MAX} page headers were looked at"),
                ));
                break;
            }
            candidates.push(address);
        }
    }
    candidates
}

fn find_chunks(ground: &Ground<'_>, mut candidates: Vec<u64>) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut apart: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    words::for_each_structure(ground, &mut candidates, HEADER, |address, header| {
        if let Some(chunk) = Chunk::parse(address, header) {
            chunks.push(chunk);
        } else {
            apart.insert(
                words::u64_at(header, 8),
                (address, words::u64_at(header, 0)),
            );
        }
    });
    let mut metadata: Vec<u64> = apart
        .keys()
        .copied()
        .filter(|pointer| words::points_to_heap(ground, *pointer))
        .collect();
    words::for_each_structure(ground, &mut metadata, METADATA, |pointer, metadata| {
        let (address, flags) = apart[&pointer];
        chunks.extend(Chunk::parse_apart(address, flags, metadata));
    });
    chunks.retain(|chunk| {
        words::points_to_heap(ground, chunk.heap) && ground.is_anonymous_memory(chunk.range)
    });
    chunks
}

fn claim_chunk(ground: &Ground<'_>, territory: &mut Territory, chunk: Chunk) {
    let is_code = is_executable(ground, chunk.area);
    let (kind, component, part) = match () {
        () if is_code => (Kind::Jit, "V8 code", "compiled code"),
        () if chunk.is_young => (Kind::Runtime, "V8 heap", "young generation"),
        () if chunk.range.size().0 > ALIGNMENT => (Kind::Runtime, "V8 heap", "large objects"),
        () => (Kind::Runtime, "V8 heap", "old generation"),
    };
    let used = (!chunk.is_young).then(|| occupancy(ground, &chunk));
    territory.claim_with(Claim {
        range: chunk.range,
        owner: Owner {
            kind,
            component: component.into(),
            part: part.into(),
            evidence: "V8 page headers that name one heap",
        },
        used,
    });
}

/// V8 counts the rest of a thread's allocation buffer as allocated: no part counts further than it
/// is resident.
fn occupancy(ground: &Ground<'_>, chunk: &Chunk) -> Used {
    let free = chunk.area.size().0 - chunk.allocated;
    let resident = ground.residency(chunk.range).resident_within(chunk.area).0;
    Used {
        live: Bytes(chunk.allocated.min(resident)),
        held_free: Bytes(free.min(resident.saturating_sub(chunk.allocated))),
        method: "V8 page headers".into(),
    }
}

#[cfg(test)]
mod tests;
