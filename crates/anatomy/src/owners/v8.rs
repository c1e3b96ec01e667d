//! V8 (node, Electron, Chromium): pages of its heap and of compiled code.
//!
//! Every page starts, at a multiple of 256 KiB, with a `BasicMemoryChunk` (src/heap/
//! basic-memory-chunk.h, V8 8.x to 11.x) that states its own address and size three times over:
//! as `size_`, as the area of its objects, and as the reservation it lives in. Pages count only
//! when several name the same `Heap`. Cost: one header per resident 256 KiB.

use std::collections::BTreeMap;

use plimsoll_model::{AddressRange, Backing, Bytes, Gap, GapReason, Kind, Used};

use super::words;
use crate::ground::Ground;
use crate::territory::{Claim, Owner, Territory};

/// `kPageSizeBits` is 18; larger pages hold one large object and keep the alignment.
const ALIGNMENT: u64 = 256 << 10;

/// The fields checked: `size_` up to `reservation_`.
const HEADER: usize = 96;

/// Header pages looked at: 256 GiB of heap in pages of 256 KiB.
const PAGES_MAX: usize = 1 << 20;

/// Pages that must name one heap before any of them counts.
const PAGES_TOGETHER: usize = 4;

/// The objects' area starts behind the header, marking bits and, for code, a guard page.
const AREA_OFFSET_MAX: u64 = 64 << 10;

/// `FROM_PAGE | TO_PAGE`: semi-space pages, which count their whole area as allocated.
const FLAGS_YOUNG: u64 = 0x18;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chunk {
    range: AddressRange,
    area: AddressRange,
    heap: u64,
    allocated: u64,
    is_young: bool,
}

impl Chunk {
    fn parse(address: u64, header: &[u8]) -> Option<Chunk> {
        let word = |index: usize| words::u64_at(header, 8 * index);
        let (size, flags, heap) = (word(0), word(1), word(2));
        let (area_start, area_end) = (word(3), word(4));
        let (allocated, wasted, high_water_mark) = (word(5), word(6), word(7));
        let owner = word(8);
        let (reserved_at, reserved) = (word(10), word(11));
        let range = AddressRange::sized(address, size);
        let area = AddressRange::new(area_start, area_end);
        let is_pointer = |word: u64| word != 0 && word.is_multiple_of(8) && word < words::USER_END;
        let is_chunk = size != 0
            && size.is_multiple_of(4096)
            && range.end < words::USER_END
            && (address + HEADER as u64..address + AREA_OFFSET_MAX).contains(&area_start)
            && area.end > area.start
            && range.covers(area)
            && allocated <= area.size().0
            && wasted <= area.size().0
            && high_water_mark <= size
            && is_pointer(heap)
            && is_pointer(owner)
            && is_pointer(word(9))
            && reserved_at == address
            && reserved == size;
        is_chunk.then_some(Chunk {
            range,
            area,
            heap,
            allocated,
            is_young: flags & FLAGS_YOUNG != 0,
        })
    }
}

pub(crate) fn claim(ground: &Ground<'_>, territory: &mut Territory) {
    let mut chunks = find_chunks(ground);
    let mut by_heap: BTreeMap<u64, usize> = BTreeMap::new();
    for chunk in &chunks {
        *by_heap.entry(chunk.heap).or_default() += 1;
    }
    chunks.retain(|chunk| by_heap[&chunk.heap] >= PAGES_TOGETHER);
    for chunk in chunks {
        claim_chunk(ground, territory, chunk);
    }
}

fn find_chunks(ground: &Ground<'_>) -> Vec<Chunk> {
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
    let mut chunks = Vec::new();
    words::for_each_structure(ground, &mut candidates, HEADER, |address, header| {
        chunks.extend(Chunk::parse(address, header));
    });
    chunks.retain(|chunk| {
        words::points_to_heap(ground, chunk.heap) && ground.is_anonymous_memory(chunk.range)
    });
    chunks
}

fn claim_chunk(ground: &Ground<'_>, territory: &mut Territory, chunk: Chunk) {
    let is_code = ground
        .mappings_within(chunk.area)
        .iter()
        .any(|mapping| mapping.permissions.execute);
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

/// Free parts of the area count as held only as far as the page is resident.
fn occupancy(ground: &Ground<'_>, chunk: &Chunk) -> Used {
    let free = chunk.area.size().0 - chunk.allocated;
    let resident = ground.residency(chunk.range).resident_within(chunk.area).0;
    Used {
        live: Bytes(chunk.allocated),
        held_free: Bytes(free.min(resident.saturating_sub(chunk.allocated))),
        method: "V8 page headers".into(),
    }
}
