//! A walk from chunk header to chunk header: what is live and what is held free.
//!
//! A header is `[prev_size, size | flags]`. A chunk is free when its successor's PREV_INUSE is
//! clear. The last chunk of a growing heap is its top and free; a heap that an arena has left
//! behind ends in two fence posts of size 16 and 0 (malloc.c, `sysmalloc`).

use plimsoll_model::{AddressRange, Bytes, Gap, GapReason, PageSize, Residency, Used};

use super::used;
use crate::ground::Ground;
use crate::window::Window;

pub(super) const PREV_INUSE: u64 = 1;
pub(super) const IS_MMAPPED: u64 = 2;
/// PREV_INUSE, IS_MMAPPED, NON_MAIN_ARENA.
pub(super) const FLAGS: u64 = 7;
/// MINSIZE of a chunk on 64-bit.
const CHUNK_MIN: u64 = 32;
/// The fence posts at the end of a heap that its arena has left.
const FENCE: u64 = 32;
/// The walk copies about every page of the heap: bounded, so that inspecting a huge heap stays
/// quick. Above it the free part is a gap.
const WALK_LIMIT: Bytes = Bytes::mib(512);
/// How many chunks in a row must be well-formed for the headers to be believed.
const CONVINCING: u64 = 16;

pub(super) enum Walked {
    /// Chunk headers are there; occupancy when the whole walk fitted.
    Chunks(Option<Used>),
    NotGlibc,
}

/// Walks the chunks of `range` from `first` to `end`.
pub(super) fn walk(ground: &Ground<'_>, range: AddressRange, first: u64, end: u64) -> Walked {
    let resident: Bytes = ground.resident(range).iter().map(|run| run.size()).sum();
    let mut walk = ChunkWalk::new(ground, range, first, end);
    if resident > WALK_LIMIT {
        while walk.chunks < CONVINCING && walk.step() {}
        if walk.chunks < CONVINCING {
            return Walked::NotGlibc;
        }
        let detail = format!("{resident} resident, heaps are walked up to {WALK_LIMIT}");
        note(ground, range, GapReason::Bounded, detail);
        return Walked::Chunks(None);
    }
    while walk.step() {}
    if walk.at == end {
        return Walked::Chunks(Some(used(walk.live, walk.free)));
    }
    if walk.chunks < CONVINCING {
        return Walked::NotGlibc;
    }
    let detail = format!("the chunk walk lost its way after {} chunks", walk.chunks);
    note(ground, range, GapReason::Changed, detail);
    Walked::Chunks(None)
}

fn note(ground: &Ground<'_>, range: AddressRange, reason: GapReason, detail: String) {
    ground.gap(Gap::new(
        format!("free part of the heap at {:x}", range.start),
        reason,
        detail,
    ));
}

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
        ChunkWalk {
            window: Window::new(ground, range),
            page: ground.page_size(),
            residency: ground.residency(range),
            at: first,
            end,
            chunks: 0,
            live: Bytes::ZERO,
            free: Bytes::ZERO,
        }
    }

    /// Goes over one chunk; `false` at the end or where a header makes no sense.
    fn step(&mut self) -> bool {
        if self.is_fence(self.at) {
            self.live += Bytes(FENCE);
            self.at = self.end;
            return false;
        }
        let Some(next) = self.chunk_end(self.at) else {
            return false;
        };
        let is_top = next == self.end;
        if !is_top && !self.is_fence(next) && self.chunk_end(next).is_none() {
            return false;
        }
        let free = is_top
            || match self.window.word(next + 8) {
                Some(header) => header & PREV_INUSE == 0,
                None => return false,
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
    fn chunk_end(&mut self, at: u64) -> Option<u64> {
        if at + CHUNK_MIN > self.end {
            return None;
        }
        let header = self.window.word(at + 8)?;
        let size = header & !FLAGS;
        let next = at.checked_add(size)?;
        let sane = size >= CHUNK_MIN
            && size.is_multiple_of(16)
            && header & IS_MMAPPED == 0
            && next <= self.end;
        sane.then_some(next)
    }

    fn is_fence(&mut self, at: u64) -> bool {
        at + FENCE == self.end
            && self
                .window
                .word(at + 8)
                .is_some_and(|header| header & !FLAGS == 16)
            && self
                .window
                .word(at + 24)
                .is_some_and(|header| header & !FLAGS == 0)
    }

    /// Only what is resident counts: a trimmed or never touched page costs nothing. The page of
    /// the header is there: it was read.
    fn resident_part(&self, chunk: AddressRange) -> Bytes {
        if self.page.round_down(chunk.start) == self.page.round_down(chunk.end - 1) {
            chunk.size()
        } else {
            self.residency.resident_within(chunk)
        }
    }
}
