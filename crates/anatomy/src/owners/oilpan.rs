//! Oilpan (cppgc): pages of the garbage-collected C++ objects of Chromium and of node.
//!
//! A page lies at a multiple of 128 KiB and begins with pointers to its heap and its space. The space names
//! the heap back, and has a list of its pages: a page counts where it is on it. Occupancy is not read.
//!
//! Source: v8/src/heap/cppgc/heap-page.h, heap-space.h. Cost: two words of each resident 128 KiB, in processes
//! with code enough, and the lists of pages.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_model::{AddressRange, Kind};

use super::words;
use crate::ground::Ground;
use crate::territory::{Owner, Territory};

/// `kPageSize`; pages of one large object are longer and keep the alignment.
const PAGE: u64 = 128 << 10;

/// Addresses looked at: 128 GiB of such pages.
const CANDIDATES_MAX: usize = 1 << 20;

/// A heap has some tens of spaces.
const SPACES_MAX: usize = 1 << 12;

/// The list of a space's pages is believed to be no longer: 8 MiB of pointers.
const LIST_MAX: u64 = 8 << 20;

/// `{ vtable, raw_heap, pages: { begin, end, capacity }, mutex, index, type, … }`
const SPACE_WORDS: usize = 8;

/// The raw heap is a member of the heap, behind its first fields.
const RAW_HEAP_MAX: u64 = 256;

struct Space {
    is_large: bool,
    pages: BTreeSet<u64>,
}

pub(crate) fn claim(ground: &Ground<'_>, territory: &mut Territory) {
    if !ground.has_code_of(super::v8::CODE_MIN) {
        return;
    }
    let mut candidates = Vec::new();
    for region in ground.regions() {
        let first = region.start.next_multiple_of(PAGE);
        let all = (first..region.end).step_by(PAGE as usize);
        candidates.extend(all.take(CANDIDATES_MAX - candidates.len()));
    }
    // Pages by the heap and the space that they name.
    let mut named: BTreeMap<(u64, u64), Vec<u64>> = BTreeMap::new();
    words::for_each_structure(ground, &mut candidates, 16, |page, header| {
        let (heap, space) = (words::u64_at(header, 0), words::u64_at(header, 8));
        let is_pair = heap != space
            && words::points_to_heap(ground, heap)
            && words::points_to_heap(ground, space);
        if is_pair {
            named.entry((heap, space)).or_default().push(page);
        }
    });
    let mut pages: BTreeMap<u64, bool> = BTreeMap::new();
    for ((heap, address), candidates) in named.iter().take(SPACES_MAX) {
        let Some(space) = read_space(ground, *heap, *address) else {
            continue;
        };
        let known = candidates.iter().filter(|page| space.pages.contains(page));
        pages.extend(known.map(|page| (*page, space.is_large)));
    }
    claim_pages(ground, territory, &pages);
}

fn read_space(ground: &Ground<'_>, heap: u64, address: u64) -> Option<Space> {
    let mut bytes = [0; 8 * SPACE_WORDS];
    if !ground.target.read(address, &mut bytes) {
        return None;
    }
    let word = |index: usize| words::u64_at(&bytes, 8 * index);
    let is_code_data = |pointer: u64| {
        let mapping = ground.mapping_at(pointer);
        pointer != 0 && mapping.is_some_and(|mapping| !mapping.is_anonymous_private())
    };
    let (begin, end, capacity) = (word(2), word(3), word(4));
    let is_space = is_code_data(word(0))
        && word(1).wrapping_sub(heap) <= RAW_HEAP_MAX
        && begin < end
        && end <= capacity
        && (end - begin).is_multiple_of(8)
        && end - begin <= LIST_MAX
        && words::points_to_heap(ground, begin);
    is_space.then(|| Space {
        // `PageType`: normal or large.
        is_large: word(7) & 0xffff_ffff == 1,
        pages: words::read_words(ground, AddressRange::new(begin, end), LIST_MAX)
            .into_iter()
            .collect(),
    })
}

fn claim_pages(ground: &Ground<'_>, territory: &mut Territory, pages: &BTreeMap<u64, bool>) {
    let regions = ground.regions();
    for (page, is_large) in pages {
        let after = page + PAGE;
        let next = pages.range(page + 1..).next().map(|(next, _)| *next);
        let region = regions.partition_point(|region| region.end <= *page);
        let Some(region) = regions.get(region) else {
            continue;
        };
        let end = match is_large {
            true => next.unwrap_or(region.end),
            false => after,
        };
        let range = AddressRange::new(*page, end.min(region.end));
        for free in territory.unclaimed_within(range) {
            territory.claim(
                free,
                Owner {
                    kind: Kind::Runtime,
                    component: "Oilpan heap".into(),
                    part: match is_large {
                        true => "large objects".into(),
                        false => "pages".into(),
                    },
                    evidence: "pages on the list of the space that they name",
                },
            );
        }
    }
}

#[cfg(test)]
mod tests;
