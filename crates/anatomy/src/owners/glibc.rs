//! glibc malloc: the main arena in the brk area and its extensions, thread arenas in 64 MiB-aligned
//! heaps, and large blocks that were mapped on their own.
//!
//! Sources: malloc/malloc.c (struct malloc_chunk, struct malloc_state) and malloc/arena.c (struct
//! _heap_info) of glibc 2.26 to 2.41. Occupancy comes from a walk over chunk headers; blocks in
//! the thread caches and fast bins carry the in-use bit and count as live.

mod chunk_walk;
mod large_blocks;
mod main_arena;
mod parameters;
#[cfg(test)]
mod tests;

use plimsoll_model::{AddressRange, Bytes, Kind, Used};

use crate::ground::Ground;
use crate::territory::{Claim, Owner, Territory};

use chunk_walk::{Walked, walk};

pub(crate) const COMPONENT: &str = "glibc malloc";

/// HEAP_MAX_SIZE on 64-bit (2 × DEFAULT_MMAP_THRESHOLD_MAX): arena.c.
const HEAP_ALIGNMENT: u64 = 64 << 20;

/// Arenas: their own descriptors prove them.
pub(crate) fn claim_arenas(ground: &Ground<'_>, territory: &mut Territory) {
    main_arena::claim_brk(ground, territory);
    claim_thread_arenas(ground, territory);
}

/// What malloc mapped on its own, in what no other rule has claimed. An extension's first page is
/// searched for, after the large blocks that are found at once and before those that are searched
/// for as well.
pub(crate) fn claim_mapped(ground: &Ground<'_>, territory: &mut Territory) {
    let mut blocks = large_blocks::Search::new(ground);
    blocks.claim_at_starts(territory);
    main_arena::claim_extensions(ground, territory);
    blocks.claim_inside(territory);
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

/// A heap_info, checked. An arena has one heap or several; only the last holds its top.
struct ArenaHeap {
    range: AddressRange,
    arena: u64,
    /// Bytes in use, of those that are accessible.
    size: u64,
    first_of_arena: bool,
}

fn claim_thread_arenas(ground: &Ground<'_>, territory: &mut Territory) {
    let heaps: Vec<ArenaHeap> = heap_candidates(ground)
        .into_iter()
        .filter_map(|at| read_heap(ground, at))
        .collect();
    for heap in &heaps {
        let is_home = |other: &ArenaHeap| other.first_of_arena && other.range.contains(heap.arena);
        if !heaps.iter().any(is_home) {
            continue;
        }
        let owner = owner(
            format!("thread arena {:x}", heap.arena),
            "heap_info and arena pointer",
        );
        let used = walk_heap(ground, heap);
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
    let (arena, previous, size, accessible) = (word(0)?, word(8)?, word(16)?, word(24)?);
    let sizes_fit = size > 0
        && size == page.round_down(size)
        && accessible == page.round_down(accessible)
        && size <= accessible
        && accessible <= HEAP_ALIGNMENT;
    let range = AddressRange::sized(at, accessible);
    if !sizes_fit || !ground.is_anonymous_memory(range) {
        return None;
    }
    // The arena's malloc_state follows the first heap's descriptor, 16-aligned; the descriptor
    // grew from 32 to 48 bytes with the page size field of 2.35.
    let inside = arena.wrapping_sub(at);
    let first_of_arena = previous == 0 && (32..=80).contains(&inside) && arena.is_multiple_of(16);
    // The kernel maps the heaps of an arena in any order, above and below the first one.
    let later_heap = previous != 0
        && previous.is_multiple_of(HEAP_ALIGNMENT)
        && arena.abs_diff(previous) < HEAP_ALIGNMENT * 1024;
    (first_of_arena || later_heap).then_some(ArenaHeap {
        range,
        arena,
        size,
        first_of_arena,
    })
}

/// Occupancy of one heap: the walk must end where the heap says that it ends.
fn walk_heap(ground: &Ground<'_>, heap: &ArenaHeap) -> Option<Used> {
    // sizeof(struct malloc_state) is 0x898 since 2.27 and 0x890 before; a later heap's chunks
    // start behind its heap_info.
    let starts = if heap.first_of_arena {
        [heap.arena + 0x898, heap.arena + 0x890]
    } else {
        [heap.range.start + 48, heap.range.start + 32]
    };
    let end = heap.range.start + heap.size;
    starts.into_iter().find_map(|start| {
        match walk(ground, heap.range, start.next_multiple_of(16), end) {
            Walked::Chunks { used, .. } => used,
            Walked::NotGlibc => None,
        }
    })
}
