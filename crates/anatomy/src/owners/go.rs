//! The Go runtime (src/runtime/mheap.go, malloc.go, mpagealloc.go; Go 1.14 to 1.24 on 64-bit
//! Linux): heap arenas of 64 MiB and the runtime's own structures.
//!
//! `mheap_.allArenas`, a slice of arena numbers, is found by what it says: every number in it
//! must be an address that is mapped, and must have an entry in the heap's index of arenas
//! beside it. That needs no symbol, so stripped programs are read too. Structures hang off the
//! same object. Goroutine stacks are spans of the heap and are not told apart.

use std::collections::BTreeSet;
use std::path::Path;

use plimsoll_model::{AddressRange, Backing, Gap, GapReason, Kind};

use super::words;
use crate::ground::Ground;
use crate::territory::{Owner, Territory};

pub(crate) const SYMBOLS: &[&str] = &[
    "runtime.mheap_",
    "runtime.persistentChunks",
    "runtime.gcBitsArenas",
];

/// `heapArenaBytes` on 64-bit Linux.
const ARENA: u64 = 64 << 20;

/// `arenaBaseOffset`: amd64 counts arenas from the lowest sign-extended address, others from 0.
const BASE_OFFSETS: [u64; 2] = [0xffff_8000_0000_0000, 0];

/// 4 TiB of heap.
const ARENAS_MAX: u64 = 1 << 16;

/// `mheap_.arenas[0]`: one pointer for each arena of the 48-bit address space.
const ARENA_INDEX: u64 = (1 << 22) * 8;

/// The index is a field of `mheap_` this near to `allArenas` (80 bytes in 1.19).
const INDEX_DISTANCE: usize = 64;

/// `persistentChunkSize`.
const PERSISTENT_CHUNK: u64 = 256 << 10;
const PERSISTENT_CHUNKS_MAX: usize = 1 << 16;

/// `gcBitsChunkBytes`.
const BITS_CHUNK: u64 = 64 << 10;
const BITS_CHUNKS_MAX: usize = 1 << 16;

/// Entries of each level of `pageAlloc.summary`, 8 bytes each, and of `pageAlloc.chunks`.
const SUMMARY_ENTRIES: [u64; 5] = [1 << 14, 1 << 17, 1 << 20, 1 << 23, 1 << 26];
const CHUNK_TABLE: u64 = 8192 * 128;

/// Where `heapArena.spans` lies: behind the pointer bitmap of ≤ 1.19, of 1.20 and 1.21, or first.
const SPANS_OFFSETS: [u64; 3] = [2 << 20, (1 << 20) + (16 << 10), 0];
const SPANS: u64 = (ARENA / PAGE) * 8;
/// `pageInUse`, `pageMarks`, `pageSpecials` behind it, and two words.
const AFTER_SPANS: u64 = 3 * 1024 + 16;
/// Go's page.
const PAGE: u64 = 8 << 10;
/// `mspan.startAddr`.
const SPAN_START: u64 = 24;

/// Writable data of the program searched when there is no symbol.
const DATA_MAX: u64 = 32 << 20;

/// The runtime's view of its heap, proved.
struct Heap {
    /// Numbers of the arenas.
    indices: Vec<u64>,
    base_offset: u64,
    /// `mheap_.arenas[0]`.
    index: u64,
    /// `&allArenas[0]`.
    numbers: u64,
}

impl Heap {
    fn arenas(&self) -> impl Iterator<Item = AddressRange> {
        self.indices
            .iter()
            .map(|index| AddressRange::sized(arena_address(*index, self.base_offset), ARENA))
    }
}

fn arena_address(index: u64, base_offset: u64) -> u64 {
    index.wrapping_mul(ARENA).wrapping_add(base_offset)
}

pub(crate) fn claim(ground: &Ground<'_>, territory: &mut Territory) {
    claim_named(ground, territory);
    let Some((path, image)) = ground.executable() else {
        return;
    };
    if !image.is_go {
        return;
    }
    let data: Vec<AddressRange> = match ground.symbol(&["runtime.mheap_"]) {
        Some((range, _)) => vec![range],
        None => words::image_data(ground, path),
    };
    for data in data {
        let words = words::read_words(ground, data, DATA_MAX);
        if let Some(heap) = find_heap(ground, &words) {
            claim_heap(ground, territory, &heap);
            claim_index(ground, territory, &heap);
            claim_page_summaries(ground, territory, &heap, &words);
            claim_persistent(ground, territory, &heap, path);
            claim_gc_bits(ground, territory);
            return;
        }
    }
    ground.gap(Gap::new(
        "Go heap",
        GapReason::Unsupported,
        "the program is Go, but its list of heap arenas was not found; its heap is unattributed",
    ));
}

/// Go 1.25 and later name their mappings where the kernel allows it.
fn claim_named(ground: &Ground<'_>, territory: &mut Territory) {
    for mapping in &ground.snapshot.mappings {
        if let Backing::AnonymousNamed(name) = &mapping.backing
            && let Some(name) = name.strip_prefix("Go: ")
        {
            let component = if name.starts_with("heap") && name != "heap index" {
                HEAP
            } else {
                METADATA
            };
            territory.claim(
                mapping.range,
                owner(component, name, "name that the Go runtime gave the mapping"),
            );
        }
    }
}

const HEAP: &str = "Go heap";
const METADATA: &str = "Go runtime metadata";

fn owner(component: &str, part: &str, evidence: &'static str) -> Owner {
    Owner {
        kind: Kind::Runtime,
        component: component.into(),
        part: part.into(),
        evidence,
    }
}

/// Finds `allArenas` and the arena index in the words of `mheap_` or of the whole data.
fn find_heap(ground: &Ground<'_>, words: &[u64]) -> Option<Heap> {
    let mut slices = Vec::new();
    for (at, slice) in words.windows(3).enumerate() {
        let [pointer, length, capacity] = [slice[0], slice[1], slice[2]];
        if (1..=ARENAS_MAX).contains(&length)
            && length <= capacity
            && capacity <= ARENAS_MAX * 8
            && words::points_to_heap(ground, pointer)
        {
            slices.push((at, pointer, length));
        }
    }
    // allArenas is never shorter than its copies sweepArenas and markArenas.
    slices.sort_by_key(|(_, _, length)| std::cmp::Reverse(*length));
    slices.into_iter().find_map(|(at, pointer, length)| {
        let indices = read_indices(ground, pointer, length)?;
        let base_offset = BASE_OFFSETS
            .into_iter()
            .find(|offset| are_arenas(ground, &indices, *offset))?;
        let near = at.saturating_sub(INDEX_DISTANCE)..at;
        let index = words[near]
            .iter()
            .copied()
            .find(|word| is_index(ground, *word, &indices))?;
        Some(Heap {
            indices,
            base_offset,
            index,
            numbers: pointer,
        })
    })
}

/// The arena numbers of a slice, if they can be any: distinct and below 2^22.
fn read_indices(ground: &Ground<'_>, pointer: u64, length: u64) -> Option<Vec<u64>> {
    let first = ground.target.read_word(pointer)?;
    if first == 0 || first >= ARENA_INDEX / 8 {
        return None;
    }
    let mut bytes = vec![0; length as usize * 8];
    if !ground.target.read(pointer, &mut bytes) {
        return None;
    }
    let indices: Vec<u64> = bytes.chunks_exact(8).map(|w| words::u64_at(w, 0)).collect();
    let distinct: BTreeSet<u64> = indices.iter().copied().collect();
    let are_numbers = indices.iter().all(|index| *index < ARENA_INDEX / 8);
    (are_numbers && distinct.len() == indices.len()).then_some(indices)
}

fn are_arenas(ground: &Ground<'_>, indices: &[u64], base_offset: u64) -> bool {
    indices.iter().all(|index| {
        let start = arena_address(*index, base_offset);
        (ARENA..words::USER_END).contains(&start)
            && is_own_memory(ground, AddressRange::sized(start, ARENA))
    })
}

/// Private anonymous memory, whether the kernel has a name for it or not.
fn is_own_memory(ground: &Ground<'_>, range: AddressRange) -> bool {
    let mut next = range.start;
    for mapping in ground.mappings_within(range) {
        let is_plain = matches!(
            mapping.backing,
            Backing::Anonymous | Backing::AnonymousNamed(_)
        );
        if !is_plain || mapping.permissions.shared || mapping.range.start > next {
            return false;
        }
        next = mapping.range.end;
    }
    !range.is_empty() && next >= range.end
}

/// Whether `word` points to the arena index: each arena has its `heapArena` there.
fn is_index(ground: &Ground<'_>, word: u64, indices: &[u64]) -> bool {
    word != 0
        && word.is_multiple_of(4096)
        && word < words::USER_END
        && is_own_memory(ground, AddressRange::sized(word, ARENA_INDEX))
        && indices.iter().all(|index| {
            ground
                .target
                .read_word(word + index * 8)
                .is_some_and(|arena| {
                    arena.is_multiple_of(4096) && words::points_to_heap(ground, arena)
                })
        })
}

fn claim_heap(ground: &Ground<'_>, territory: &mut Territory, heap: &Heap) {
    let evidence = "runtime's list of arenas and its arena index";
    for arena in heap.arenas() {
        claim_free(
            ground,
            territory,
            arena,
            &owner(HEAP, "objects and goroutine stacks", evidence),
        );
    }
}

/// Claims what is left of `range`, which the runtime mapped as a whole: mappings with a name were
/// claimed before by it.
fn claim_free(_ground: &Ground<'_>, territory: &mut Territory, range: AddressRange, owner: &Owner) {
    for free in territory.unclaimed_within(range) {
        territory.claim(free, owner.clone());
    }
}

/// The arena index, and each arena's `heapArena` when the table of spans in it is recognised.
fn claim_index(ground: &Ground<'_>, territory: &mut Territory, heap: &Heap) {
    let evidence = "pointer in the runtime's heap structure";
    let arena_owner = owner(METADATA, "heap index", evidence);
    claim_free(
        ground,
        territory,
        AddressRange::sized(heap.index, ARENA_INDEX),
        &arena_owner,
    );
    let mut entries: Vec<(u64, AddressRange)> = Vec::new();
    for (index, arena) in heap.indices.iter().zip(heap.arenas()) {
        if let Some(entry) = ground.target.read_word(heap.index + index * 8) {
            entries.push((entry, arena));
        }
    }
    let Some(spans) = SPANS_OFFSETS.into_iter().find(|spans| {
        entries
            .iter()
            .any(|(entry, arena)| has_spans(ground, entry + spans, *arena))
    }) else {
        return;
    };
    for (entry, _) in entries {
        let end = ground
            .page_size()
            .round_up(entry + spans + SPANS + AFTER_SPANS);
        let range = AddressRange::new(entry, end);
        if is_own_memory(ground, range) {
            territory.claim(range, owner(METADATA, "heap index", evidence));
        }
    }
}

/// Whether the words at `table` are the spans of `arena`: several pages in a row name spans that
/// start in the arena at or before the page.
fn has_spans(ground: &Ground<'_>, table: u64, arena: AddressRange) -> bool {
    const PAGES: usize = 16;
    let mut bytes = [0; PAGES * 8];
    if !ground.target.read(table, &mut bytes) {
        return false;
    }
    let mut spans = 0;
    for (page, word) in bytes.chunks_exact(8).enumerate() {
        let span = words::u64_at(word, 0);
        if span == 0 {
            continue;
        }
        let page = arena.start + page as u64 * PAGE;
        let start = words::points_to_heap(ground, span)
            .then(|| ground.target.read_word(span + SPAN_START))
            .flatten();
        if start.is_none_or(|start| !arena.contains(start) || start > page) {
            return false;
        }
        spans += 1;
    }
    spans >= PAGES / 2
}

/// `pageAlloc.summary`, five slices whose capacities are fixed by the address space, and behind
/// them the first level of `pageAlloc.chunks`.
fn claim_page_summaries(
    ground: &Ground<'_>,
    territory: &mut Territory,
    heap: &Heap,
    words: &[u64],
) {
    let evidence = "page allocator's summaries in the runtime's heap structure";
    let summaries = words.windows(3 * SUMMARY_ENTRIES.len()).position(|slices| {
        SUMMARY_ENTRIES.iter().enumerate().all(|(level, entries)| {
            let [pointer, length, capacity] = [
                slices[3 * level],
                slices[3 * level + 1],
                slices[3 * level + 2],
            ];
            capacity == *entries
                && length <= capacity
                && pointer.is_multiple_of(4096)
                && pointer < words::USER_END
                && is_own_memory(ground, AddressRange::sized(pointer, entries * 8))
        })
    });
    let Some(at) = summaries else {
        return;
    };
    let page_owner = owner(METADATA, "page allocator", evidence);
    for (level, entries) in SUMMARY_ENTRIES.iter().enumerate() {
        let range = AddressRange::sized(words[at + 3 * level], entries * 8);
        claim_free(ground, territory, range, &page_owner);
    }
    // chunkIdx.l1(): 4 MiB a chunk, 2^13 chunks a table.
    let tables: BTreeSet<usize> = heap
        .indices
        .iter()
        .map(|index| ((index * ARENA) >> (22 + 13)) as usize)
        .collect();
    for table in tables {
        let slot = at + 3 * SUMMARY_ENTRIES.len() + table;
        let Some(table) = words.get(slot).copied().filter(|table| table % 4096 == 0) else {
            continue;
        };
        let range = AddressRange::sized(table, CHUNK_TABLE);
        if table != 0 && table < words::USER_END && is_own_memory(ground, range) {
            claim_free(ground, territory, range, &page_owner);
        }
    }
}

/// `persistentChunks`, a list through the first word of each chunk. The runtime keeps the numbers
/// of its arenas in one of them, which proves the list when there is no symbol.
fn claim_persistent(ground: &Ground<'_>, territory: &mut Territory, heap: &Heap, path: &Path) {
    let mut heads: BTreeSet<u64> = BTreeSet::new();
    if let Some((head, _)) = ground.symbol(&["runtime.persistentChunks"]) {
        heads.extend(ground.target.read_word(head.start));
    } else {
        for data in words::image_data(ground, path) {
            heads.extend(words::read_words(ground, data, DATA_MAX));
        }
    }
    let mut longest: Vec<u64> = Vec::new();
    for head in heads {
        if !head.is_multiple_of(4096) || !words::points_to_heap(ground, head) {
            continue;
        }
        let chunks = words::follow_list(ground, head, 0, PERSISTENT_CHUNKS_MAX).unwrap_or_default();
        let range = |chunk: &u64| AddressRange::sized(*chunk, PERSISTENT_CHUNK);
        let holds_numbers = chunks
            .iter()
            .any(|chunk| range(chunk).contains(heap.numbers));
        let are_chunks = chunks
            .iter()
            .all(|chunk| chunk % 4096 == 0 && is_own_memory(ground, range(chunk)));
        if holds_numbers && are_chunks && chunks.len() > longest.len() {
            longest = chunks;
        }
    }
    for chunk in longest {
        territory.claim(
            AddressRange::sized(chunk, PERSISTENT_CHUNK),
            owner(
                METADATA,
                "persistent structures",
                "runtime's list of persistent chunks",
            ),
        );
    }
}

/// `gcBitsArenas`: a lock and four lists of mark-bit chunks, `{ free, next, bits }` each.
fn claim_gc_bits(ground: &Ground<'_>, territory: &mut Territory) {
    let Some((lists, _)) = ground.symbol(&["runtime.gcBitsArenas"]) else {
        return;
    };
    for list in words::read_words(ground, lists, lists.size().0)
        .into_iter()
        .skip(1)
    {
        for chunk in words::follow_list(ground, list, 8, BITS_CHUNKS_MAX).unwrap_or_default() {
            let range = AddressRange::sized(chunk, BITS_CHUNK);
            let used = ground.target.read_word(chunk);
            if chunk.is_multiple_of(4096)
                && used.is_some_and(|used| used <= BITS_CHUNK)
                && is_own_memory(ground, range)
            {
                territory.claim(
                    range,
                    owner(METADATA, "mark bits", "runtime's list of mark-bit chunks"),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
