//! The main arena: the brk area, and the extensions that malloc maps where that cannot grow.
//!
//! Something may lie right behind the brk area: V8 reserves its code range near the program, now
//! and then there. malloc then ends the area in two fence posts and goes on in memory from mmap
//! (malloc.c, `sysmalloc`). Nothing in an extension points to its start, so it is searched for: only
//! where the arena's own descriptor says that bytes lie outside of the brk area, and no longer than
//! until they are found.

use std::path::{Path, PathBuf};

use plimsoll_model::{AddressRange, Backing, Bytes, Gap, GapReason};

use super::chunk_walk::{FLAGS, PREV_INUSE, WALK_LIMIT, Walked, walk, walk_extension};
use super::owner;
use crate::ground::Ground;
use crate::owners::words;
use crate::territory::{Claim, Territory};

const PART: &str = "main arena";

/// An extension is not smaller: `DEFAULT_TOP_PAD`, which each request is enlarged by. The first is
/// 1 MiB at least (`MMAP_AS_MORECORE_SIZE`); in glibc 2.35 and later not all that follow are.
const EXTENSION_MIN: u64 = 128 << 10;

/// Pages tried in vain: 256 MiB, some 50 ms, spent only where bytes are known to be missing.
const PAGES_SEARCHED: usize = 1 << 16;

/// Writable data of the C library searched for `main_arena`; glibc 2.36 has 20 KiB, and a static
/// program has its own before it.
pub(super) const DATA_MAX: u64 = 4 << 20;

/// `NBINS - 1` pairs of list heads.
const BINS: usize = 127;

/// Claims the brk area where chunk headers are there.
pub(super) fn claim_brk(ground: &Ground<'_>, territory: &mut Territory) {
    let Some(range) = brk_area(ground) else {
        return;
    };
    if let Walked::Chunks { end, used } = walk(ground, range, range.start, range.end) {
        let range = AddressRange::new(range.start, end);
        let owner = owner(PART.to_owned(), "chunk headers of the brk area");
        territory.claim_with(Claim { range, owner, used });
    }
}

/// The brk area, and what lies right behind it: the kernel joins memory from mmap to it, and before Linux 6.6 calls it
/// `[heap]` too.
pub(super) fn brk_area(ground: &Ground<'_>) -> Option<AddressRange> {
    let mappings = ground.snapshot.mappings.iter();
    let mut found: Option<AddressRange> = None;
    for mapping in mappings.filter(|mapping| mapping.backing == Backing::Heap) {
        match &mut found {
            None => found = Some(mapping.range),
            Some(area) if area.end == mapping.range.start => area.end = mapping.range.end,
            Some(_) => break,
        }
    }
    found
}

/// Claims the extensions among what no other rule has claimed.
pub(super) fn claim_extensions(ground: &Ground<'_>, territory: &mut Territory) {
    let Some(arena) = MainArena::find(ground) else {
        return;
    };
    let brk = brk_area(ground).map_or(0, |range| {
        let arena = territory.overlapping(range).next();
        arena.map_or(range, |claim| claim.range).size().0
    });
    let mut search = Search {
        ground,
        top_pointer: arena.top_pointer,
        missing: arena.system_mem.saturating_sub(brk),
        pages_left: PAGES_SEARCHED,
        walk_left: WALK_LIMIT.0,
    };
    for region in ground.regions() {
        for interval in territory.unclaimed_within(region) {
            search.claim_within(interval, territory);
        }
    }
    search.note_missing();
}

struct Search<'a> {
    ground: &'a Ground<'a>,
    top_pointer: u64,
    /// Bytes of the arena that are still to be found.
    missing: u64,
    /// What may still be tried in vain.
    pages_left: usize,
    /// Bytes that may still be walked, in vain or not.
    walk_left: u64,
}

impl Search<'_> {
    /// Tries each resident page of `interval`; one extension often follows another.
    fn claim_within(&mut self, interval: AddressRange, territory: &mut Territory) {
        let page = self.ground.page_size().0;
        let mut reached = interval.start;
        for run in self.ground.resident(interval) {
            let mut at = run.start.max(reached);
            while at < run.end && self.fits(interval.end - at) {
                if let Some(claim) = self.extension_at(at, interval.end) {
                    at = claim.range.end;
                    self.missing = self.missing.saturating_sub(claim.range.size().0);
                    territory.claim_with(claim);
                } else {
                    self.pages_left -= 1;
                    at += page;
                }
            }
            reached = at;
        }
    }

    /// Whether there is room for an extension, and more to be found. What is missing may be told some
    /// pages short: a static program begins its brk area with the first thread's local storage.
    fn fits(&self, room: u64) -> bool {
        let may_walk = room.min(self.walk_left) >= EXTENSION_MIN && self.pages_left > 0;
        may_walk && self.missing > 0
    }

    /// The extension that starts at `start`: chunk after chunk up to fence posts at the end of a page,
    /// or to the chunk that the arena says is its top. No chunk before the first one writes to its
    /// first word, and it has PREV_INUSE as its only flag. Where its first chunks make no sense, a
    /// later one that begins a page may pass for the first: what follows it is the arena's as well.
    fn extension_at(&mut self, start: u64, limit: u64) -> Option<Claim> {
        let mut header = [0; 16];
        let is_first = self.ground.target.read(start, &mut header)
            && words::u64_at(&header, 0) == 0
            && words::u64_at(&header, 8) & FLAGS == PREV_INUSE;
        if !is_first {
            return None;
        }
        let within = AddressRange::new(start, limit);
        let (end, used) = walk_extension(self.ground, within, self.top_pointer);
        let range = AddressRange::new(start, end);
        self.walk_left = self.walk_left.saturating_sub(range.size().0);
        (used.is_some() && range.size().0 >= EXTENSION_MIN).then(|| Claim {
            range,
            owner: owner(
                PART.to_owned(),
                "chunk headers up to fence posts or to main_arena's top",
            ),
            used,
        })
    }

    fn note_missing(&self) {
        if self.missing >= EXTENSION_MIN {
            let bounded = self.pages_left == 0 || self.walk_left < EXTENSION_MIN;
            let reason = match bounded {
                true => GapReason::Bounded,
                false => GapReason::Changed,
            };
            let detail = format!("{} of it were not found", Bytes(self.missing));
            let what = "glibc's main arena outside of the brk area";
            self.ground.gap(Gap::new(what, reason, detail));
        }
    }
}

/// What is wanted of `main_arena`, the struct malloc_state of glibc 2.27 to 2.41.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MainArena {
    /// Where its `top` stands.
    top_pointer: u64,
    /// Bytes that the arena has from the system.
    system_mem: u64,
}

/// Offsets in struct malloc_state, in words.
mod offset {
    /// The upper half of the first word, above the mutex.
    pub(super) const FLAGS: usize = 0;
    pub(super) const TOP: usize = 12;
    pub(super) const BINS: usize = 14;
    pub(super) const NEXT: usize = 270;
    pub(super) const SYSTEM_MEM: usize = 273;
    pub(super) const MAX_SYSTEM_MEM: usize = 274;
    pub(super) const END: usize = 275;
}

/// `NONCONTIGUOUS_BIT`: the arena has had memory from elsewhere than brk.
const NONCONTIGUOUS: u64 = 2;

impl MainArena {
    /// Searches the data of the C library, or of a static program: the symbol is not exported.
    /// `None` as well where the brk area is all of the arena.
    fn find(ground: &Ground<'_>) -> Option<MainArena> {
        words::image_data(ground, library(ground)?)
            .into_iter()
            .find_map(|data| {
                let words = words::read_words(ground, data, DATA_MAX);
                let first = data.start.next_multiple_of(8);
                let address = |at: usize| first + 8 * at as u64;
                let found = words
                    .windows(offset::END)
                    .enumerate()
                    .find(|(at, words)| is_main_arena(ground, address(*at), words));
                found.map(|(at, words)| MainArena {
                    top_pointer: address(at + offset::TOP),
                    system_mem: words[offset::SYSTEM_MEM],
                })
            })
    }
}

/// Whether the struct at `address` is a main arena that has gone on outside of the brk area: its
/// sizes fit each other, its top is a chunk, and each of its 127 bins is empty, which is a pair of
/// pointers to itself, or leads into a heap.
fn is_main_arena(ground: &Ground<'_>, address: u64, words: &[u64]) -> bool {
    let (held, held_max) = (words[offset::SYSTEM_MEM], words[offset::MAX_SYSTEM_MEM]);
    words[offset::FLAGS] >> 32 == NONCONTIGUOUS
        && held != 0
        && held.is_multiple_of(16)
        && held <= held_max
        && bins_are_sound(address, words)
        && (words[offset::NEXT] == address || words::points_to_heap(ground, words[offset::NEXT]))
        && is_top(ground, words[offset::TOP])
}

fn bins_are_sound(address: u64, words: &[u64]) -> bool {
    (0..BINS).all(|bin| {
        let at = offset::BINS + 2 * bin;
        // A bin is the chunk whose links would stand here.
        let own = address + 8 * at as u64 - 16;
        let links = [words[at], words[at + 1]];
        let leads = |link: u64| {
            link != 0 && link != own && link.is_multiple_of(16) && link < words::USER_END
        };
        links == [own; 2] || links.into_iter().all(leads)
    })
}

fn is_top(ground: &Ground<'_>, top: u64) -> bool {
    let header = ground.target.read_word(top.wrapping_add(8));
    header.is_some_and(|header| {
        let end = top.wrapping_add(header & !FLAGS);
        header & FLAGS == PREV_INUSE && end > top && end == ground.page_size().round_down(end)
    })
}

/// What holds malloc's data: the C library, or a static program.
pub(super) fn library<'a>(ground: &Ground<'a>) -> Option<&'a Path> {
    c_library(ground).or_else(|| Some(ground.executable()?.0))
}

fn c_library<'a>(ground: &Ground<'a>) -> Option<&'a Path> {
    let mut images = ground.snapshot.images.keys();
    let is_libc = |path: &&'a PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("libc.so") || name.starts_with("libc-2."))
    };
    images.find(is_libc).map(PathBuf::as_path)
}

#[cfg(test)]
mod tests;
