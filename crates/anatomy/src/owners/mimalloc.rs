//! mimalloc: segments of version 2, arenas of version 3 (include/mimalloc/types.h).
//!
//! A version 2 segment lies at a multiple of 32 MiB and carries a cookie: its address combined
//! with a random word that mimalloc's own data holds too. A version 3 arena names the
//! sub-process it belongs to, whose table of arenas names it back. Occupancy is not read.

use std::collections::BTreeSet;

use plimsoll_model::{AddressRange, Kind};

use super::words;
use crate::ground::Ground;
use crate::territory::{Owner, Territory};

/// Any of these is in a build of mimalloc: exported by the library, or in the symbol table of a
/// program, where the linker may have dropped what is not called.
pub(crate) const SYMBOLS: &[&str] = &[
    "mi_malloc",
    "mi_malloc_aligned",
    "_mi_heap_main",
    "_mi_page_map",
];

/// Data of the image searched: about 100 KiB in libmimalloc.so, more in a program.
const DATA_MAX: u64 = 16 << 20;

/// `MI_SEGMENT_ALIGN` of version 2.
const SEGMENT: u64 = 32 << 20;

/// `MI_SEGMENT_SLICE_SIZE` and `MI_ARENA_SLICE_SIZE`.
const SLICE: u64 = 64 << 10;

/// Words of a segment in which its fixed fields are looked for; two 64-byte masks are before.
const SEGMENT_WORDS: usize = 64;

/// The most slices a block is believed to have: 1 TiB.
const SLICES_MAX: u64 = (1 << 40) / SLICE;

/// Words of a sub-process before its table of arenas.
const BEFORE_ARENAS: u64 = 8;

/// `MI_MAX_ARENAS`.
const ARENAS_MAX: u64 = 160;

pub(crate) fn claim(ground: &Ground<'_>, territory: &mut Territory) {
    let Some((_, image)) = ground.symbol(SYMBOLS) else {
        return;
    };
    let mut data: BTreeSet<u64> = BTreeSet::new();
    for range in words::image_data(ground, image) {
        words::for_each_word(ground, range, DATA_MAX, |_, word| {
            if word != 0 {
                data.insert(word);
            }
        });
    }
    claim_arenas(ground, territory, &data);
    claim_segments(ground, territory, &data);
}

/// Version 3: `{ memid (3 words), subproc, arena_idx, slice_count, info_slices, … }`.
fn claim_arenas(ground: &Ground<'_>, territory: &mut Territory, data: &BTreeSet<u64>) {
    let mut candidates: Vec<u64> = data
        .iter()
        .copied()
        .filter(|word| word.is_multiple_of(SLICE) && words::points_to_heap(ground, *word))
        .collect();
    let mut arenas = Vec::new();
    words::for_each_structure(ground, &mut candidates, 7 * 8, |address, bytes| {
        let word = |index: usize| words::u64_at(bytes, 8 * index);
        let (subprocess, index, slices, info_slices) = (word(3), word(4), word(5), word(6));
        let is_plausible = index < ARENAS_MAX
            && (1..=SLICES_MAX).contains(&slices)
            && (1..=slices).contains(&info_slices)
            && subprocess.is_multiple_of(8)
            && subprocess < words::USER_END;
        if is_plausible {
            arenas.push((
                AddressRange::sized(address, slices * SLICE),
                subprocess,
                index,
            ));
        }
    });
    for (range, subprocess, index) in arenas {
        let table = AddressRange::sized(subprocess.saturating_add(8 * index), 8 * BEFORE_ARENAS);
        let is_named_back =
            words::read_words(ground, table, 8 * BEFORE_ARENAS).contains(&range.start);
        if is_named_back && ground.is_anonymous_memory(range) {
            territory.claim(
                range,
                owner("arenas", "arena and sub-process that name each other"),
            );
        }
    }
}

/// Version 2: `{ …, cookie, …, segment_slices, segment_info_slices, kind, slice_entries,
/// thread_id, … }`.
fn claim_segments(ground: &Ground<'_>, territory: &mut Territory, data: &BTreeSet<u64>) {
    let mut candidates = Vec::new();
    for region in ground.regions() {
        let first = region.start.next_multiple_of(SEGMENT);
        candidates.extend((first..region.end).step_by(SEGMENT as usize));
    }
    let mut segments = Vec::new();
    words::for_each_structure(
        ground,
        &mut candidates,
        8 * SEGMENT_WORDS,
        |address, bytes| {
            segments.extend(parse_segment(address, bytes, data));
        },
    );
    for range in segments {
        if ground.is_anonymous_memory(range) {
            territory.claim(range, owner("segments", "segment cookies"));
        }
    }
}

fn parse_segment(address: u64, bytes: &[u8], data: &BTreeSet<u64>) -> Option<AddressRange> {
    let word = |index: usize| words::u64_at(bytes, 8 * index);
    // The cookie is right before the slices, or two list pointers earlier since 2.1.9.
    (3..SEGMENT_WORDS - 4).find_map(|at| {
        let (slices, info_slices, entries) = (word(at), word(at + 1), word(at + 3));
        // `kind` is an enum of four bytes.
        let kind = word(at + 2) & 0xffff_ffff;
        let is_normal = kind == 0 && slices == SEGMENT / SLICE;
        let is_huge = kind == 1 && (1..=SLICES_MAX).contains(&slices);
        let is_segment = (is_normal || is_huge)
            && (1..=slices.min(64)).contains(&info_slices)
            && (1..=SEGMENT / SLICE).contains(&entries)
            && [at - 1, at - 3].iter().any(|cookie| {
                let secret = word(*cookie) ^ address;
                // A small number would be in any program's data.
                secret > u64::from(u32::MAX) && data.contains(&secret)
            });
        is_segment.then(|| AddressRange::sized(address, slices * SLICE))
    })
}

fn owner(part: &str, evidence: &'static str) -> Owner {
    Owner {
        kind: Kind::Heap,
        component: "mimalloc".into(),
        part: part.into(),
        evidence,
    }
}

#[cfg(test)]
mod tests;
