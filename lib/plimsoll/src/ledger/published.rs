//! What threads have published of their counters: the figures that peaks are taken from.
//!
//! Memory: 64 bytes a tag and 8 a window, static. A thread writes here when it gained or lost more
//! than a batch in a tag, and when it exits; a reading writes nothing but peaks.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use super::TAGS_MAX;

/// Stages that are watched at one time. Each costs one more write whenever a thread publishes.
pub(crate) const WINDOWS_MAX: usize = 16;

/// A line of its own for each tag: threads in different tags do not wait for each other.
#[repr(align(64))]
struct Published {
    live: AtomicI64,
    peak: AtomicI64,
}

impl Published {
    const fn new() -> Published {
        Published {
            live: AtomicI64::new(0),
            peak: AtomicI64::new(0),
        }
    }

    fn add(&self, more: i64) -> i64 {
        let live = self.live.fetch_add(more, Ordering::Relaxed) + more;
        if more > 0 {
            self.peak.fetch_max(live, Ordering::Relaxed);
        }
        live
    }

    /// The highest published figure, or `live` of a reading where that is more.
    fn peak_with(&self, live: u64) -> u64 {
        let live = live.cast_signed();
        let before = self.peak.fetch_max(live, Ordering::Relaxed);
        before.max(live).max(0).cast_unsigned()
    }
}

static TAGS: [Published; TAGS_MAX] = [const { Published::new() }; TAGS_MAX];
static ALL: Published = Published::new();
/// Windows that some stage has, one bit each.
static WINDOWS_TAKEN: AtomicU32 = AtomicU32::new(0);
/// Windows that follow what is published, one bit each.
static WINDOWS_OPEN: AtomicU32 = AtomicU32::new(0);
static WINDOW_PEAKS: [AtomicI64; WINDOWS_MAX] = [const { AtomicI64::new(0) }; WINDOWS_MAX];

pub(super) fn add(tag: u8, more: i64) {
    TAGS[usize::from(tag) % TAGS_MAX].add(more);
    let live = ALL.add(more);
    if more > 0 {
        raise_windows(live);
    }
}

fn raise_windows(live: i64) {
    let mut open = WINDOWS_OPEN.load(Ordering::Acquire);
    while open != 0 {
        WINDOW_PEAKS[open.trailing_zeros() as usize].fetch_max(live, Ordering::Relaxed);
        open &= open - 1;
    }
}

pub(super) fn peak_of_tag(tag: usize, live: u64) -> u64 {
    TAGS[tag].peak_with(live)
}

pub(super) fn peak_of_all(live: u64) -> u64 {
    raise_windows(live.cast_signed());
    ALL.peak_with(live)
}

/// Follows the highest live bytes of all tags from when it was opened.
#[derive(Debug)]
pub(crate) struct Window {
    index: u32,
}

impl Window {
    /// `None` where [`WINDOWS_MAX`] are open.
    pub(crate) fn open(live: u64) -> Option<Window> {
        let mut taken = WINDOWS_TAKEN.load(Ordering::Relaxed);
        loop {
            let index = taken.trailing_ones();
            if index as usize >= WINDOWS_MAX {
                return None;
            }
            let more = taken | (1 << index);
            let swapped = WINDOWS_TAKEN.compare_exchange_weak(
                taken,
                more,
                Ordering::Acquire,
                Ordering::Relaxed,
            );
            match swapped {
                Ok(_) => {
                    WINDOW_PEAKS[index as usize].store(live.cast_signed(), Ordering::Relaxed);
                    WINDOWS_OPEN.fetch_or(1 << index, Ordering::Release);
                    return Some(Window { index });
                }
                Err(now) => taken = now,
            }
        }
    }

    pub(crate) fn peak(&self) -> u64 {
        Window::peak_of(self.index)
    }

    /// What [`Window::peak_of`] knows this window by, as long as it is open.
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    pub(crate) fn peak_of(index: u32) -> u64 {
        let peak = WINDOW_PEAKS[index as usize].load(Ordering::Relaxed);
        peak.max(0).cast_unsigned()
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        WINDOWS_OPEN.fetch_and(!(1 << self.index), Ordering::Relaxed);
        WINDOWS_TAKEN.fetch_and(!(1 << self.index), Ordering::Release);
    }
}
