//! A walk from chunk header to chunk header: what is live and what is held free.
//!
//! A header is `[prev_size, size | flags]`. A chunk is free when its successor's PREV_INUSE is
//! clear. The last chunk of a growing heap is its top and free; one that its arena has left behind
//! ends in two fence posts, of sizes 16 and 0, or 16 and 16 in the main arena (malloc.c, `sysmalloc`).
//!
//! The program goes on meanwhile: a chunk may be split or merged between the copy of its header
//! and that of the next. A walk that comes to a header without sense goes back some way and reads that
//! part again.

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
pub(super) const WALK_LIMIT: Bytes = Bytes::mib(512);
/// How many chunks in a row must be well-formed for the headers to be believed.
const CONVINCING: u64 = 16;

/// A walk can go back to a chunk in each so many bytes: what the window copies at once.
const STRIDE: u64 = 256 * 1024;
/// Times that a walk goes back, each twice as far as before: 2 to 32 strides. A program that outruns
/// that has moved on; the free part is a gap then.
const TRIES: u32 = 5;

pub(super) enum Walked {
    /// Chunk headers are there, up to fence posts or the end that was given; occupancy when the whole walk fitted.
    Chunks {
        end: u64,
        used: Option<Used>,
    },
    NotGlibc,
}

/// Walks the chunks of `range` from `first` to `end`, or to fence posts before it: what lies behind them is another's.
pub(super) fn walk(ground: &Ground<'_>, range: AddressRange, first: u64, end: u64) -> Walked {
    let resident: Bytes = ground.resident(range).iter().map(|run| run.size()).sum();
    let mut walk = ChunkWalk::new(ground, range, first, End::Known(end));
    if resident > WALK_LIMIT {
        while walk.chunks() < CONVINCING && walk.step() == Step::Chunk {}
        if walk.chunks() < CONVINCING {
            return Walked::NotGlibc;
        }
        let detail = format!("{resident} resident, heaps are walked up to {WALK_LIMIT}");
        note(ground, range, GapReason::Bounded, detail);
        return Walked::Chunks { end, used: None };
    }
    if walk.go_to_end() {
        return Walked::Chunks {
            end: walk.place.at,
            used: Some(walk.used()),
        };
    }
    if walk.chunks() < CONVINCING {
        return Walked::NotGlibc;
    }
    let detail = format!("the chunk walk lost its way after {} chunks", walk.chunks());
    note(ground, range, GapReason::Changed, detail);
    Walked::Chunks { end, used: None }
}

/// Walks the extension of a main arena that starts where `within` does, and tells where it ends: at
/// fence posts, or behind the chunk that the word at `top_pointer` leads to. Where the headers lead to
/// neither, how far they made sense.
pub(super) fn walk_extension(
    ground: &Ground<'_>,
    within: AddressRange,
    top_pointer: u64,
) -> (u64, Option<Used>) {
    let end = End::Extension { top_pointer };
    let mut walk = ChunkWalk::new(ground, within, within.start, end);
    let used = walk.go_to_end().then(|| walk.used());
    (walk.place.at, used)
}

fn note(ground: &Ground<'_>, range: AddressRange, reason: GapReason, detail: String) {
    ground.gap(Gap::new(
        format!("free part of the heap at {:x}", range.start),
        reason,
        detail,
    ));
}

/// Where the chunks end.
#[derive(Clone, Copy)]
enum End {
    /// At this address, which the top reaches up to, or at fence posts before.
    Known(u64),
    /// At the end of a page, by fence posts or by the chunk that the pointer leads to.
    Extension { top_pointer: u64 },
}

/// How far a walk has come.
#[derive(Clone, Copy)]
struct Place {
    at: u64,
    chunks: u64,
    live: Bytes,
    free: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Chunk,
    End,
    /// A header makes no sense, or its page is not there.
    Lost,
}

struct ChunkWalk<'a> {
    ground: &'a Ground<'a>,
    window: Window<'a>,
    page: PageSize,
    residency: Residency,
    end: End,
    /// No chunk reaches beyond.
    limit: u64,
    place: Place,
    /// A place in each stride: 32 bytes for 256 KiB of heap.
    passed: Vec<Place>,
}

impl<'a> ChunkWalk<'a> {
    fn new(ground: &'a Ground<'a>, range: AddressRange, first: u64, end: End) -> ChunkWalk<'a> {
        ChunkWalk {
            ground,
            window: Window::new(ground, range),
            page: ground.page_size(),
            residency: ground.residency(range),
            end,
            limit: match end {
                End::Known(end) => end,
                End::Extension { .. } => range.end,
            },
            place: Place {
                at: first,
                chunks: 0,
                live: Bytes::ZERO,
                free: Bytes::ZERO,
            },
            passed: Vec::new(),
        }
    }

    fn chunks(&self) -> u64 {
        self.place.chunks
    }

    fn used(&self) -> Used {
        used(self.place.live, self.place.free)
    }

    /// Walks to the end, if that can be reached.
    fn go_to_end(&mut self) -> bool {
        let mut tries_left = TRIES;
        loop {
            let last = self.passed.last();
            if last.is_none_or(|last| self.place.at - last.at >= STRIDE) {
                self.passed.push(self.place);
            }
            match self.step() {
                Step::Chunk => {}
                Step::End => return true,
                Step::Lost if tries_left > 0 && self.chunks() >= CONVINCING => {
                    self.go_back(2 << (TRIES - tries_left));
                    tries_left -= 1;
                }
                Step::Lost => return false,
            }
        }
    }

    /// Goes back so many strides, and forgets what it has copied.
    fn go_back(&mut self, strides: usize) {
        let kept = self.passed.len().saturating_sub(strides);
        self.place = self.passed[kept];
        self.passed.truncate(kept);
        self.window.forget();
    }

    /// Goes over one chunk.
    fn step(&mut self) -> Step {
        let at = self.place.at;
        if self.is_fence(at) {
            self.place.live += Bytes(FENCE);
            self.place.at = at + FENCE;
            return Step::End;
        }
        let Some(next) = self.chunk_end(at) else {
            return Step::Lost;
        };
        let is_top = self.is_top(at, next);
        if !is_top && !self.is_fence(next) && self.chunk_end(next).is_none() {
            return Step::Lost;
        }
        let free = is_top
            || match self.window.word(next + 8) {
                Some(header) => header & PREV_INUSE == 0,
                None => return Step::Lost,
            };
        let resident = self.resident_part(AddressRange::new(at, next));
        if free {
            self.place.free += resident;
        } else {
            self.place.live += resident;
        }
        self.place.chunks += 1;
        self.place.at = next;
        if is_top { Step::End } else { Step::Chunk }
    }

    /// Where the chunk at `at` ends, if its header makes sense.
    fn chunk_end(&mut self, at: u64) -> Option<u64> {
        if at + CHUNK_MIN > self.limit {
            return None;
        }
        let header = self.window.word(at + 8)?;
        let size = header & !FLAGS;
        let next = at.checked_add(size)?;
        let sane = size >= CHUNK_MIN
            && size.is_multiple_of(16)
            && header & IS_MMAPPED == 0
            && next <= self.limit;
        sane.then_some(next)
    }

    fn is_top(&self, at: u64, next: u64) -> bool {
        match self.end {
            End::Known(end) => next == end,
            End::Extension { top_pointer } => {
                self.is_page_end(next) && self.ground.target.read_word(top_pointer) == Some(at)
            }
        }
    }

    fn is_fence(&mut self, at: u64) -> bool {
        // No chunk is as small, so that within a heap nothing passes for them.
        self.is_page_end(at + FENCE)
            && self.size_at(at) == Some(16)
            && matches!(self.size_at(at + 16), Some(0 | 16))
    }

    fn is_page_end(&self, address: u64) -> bool {
        self.page.round_down(address) == address
    }

    fn size_at(&mut self, at: u64) -> Option<u64> {
        Some(self.window.word(at + 8)? & !FLAGS)
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
