//! Counters of one tag in one thread: only that thread writes them, anyone may read them.
//!
//! 64 bytes, one cache line, so that no thread ever waits for a line of another's. All but the
//! last only grow, and a reader that reads what was freed before what was allocated never sees
//! more freed than allocated: a free happens after its allocation, whichever thread does it.

use super::atomics::{AtomicU64, Ordering};

/// A thread publishes what it gained or lost in a tag when that exceeds this. Less would cost more
/// writes to lines that all threads share; more would make peaks less exact. At 64 KiB a thread
/// that only gains, in blocks of 100 bytes, publishes once in 650 allocations.
pub(super) const BATCH_BYTES: u64 = 64 << 10;

/// Requested bytes and blocks. Sums wrap at 2^64.
#[derive(Default)]
#[repr(align(64))]
pub(super) struct Counts {
    pub(super) allocated_bytes: AtomicU64,
    pub(super) freed_bytes: AtomicU64,
    pub(super) allocated_blocks: AtomicU64,
    pub(super) freed_blocks: AtomicU64,
    /// Live bytes of this line that the tag's published figure has. Below zero, as two's
    /// complement, where a thread frees what others allocated.
    pub(super) published_bytes: AtomicU64,
}

/// Whether the writer should publish now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    No,
    Yes,
}

impl Counts {
    /// Only the thread that owns this line may call it: it is a load and a store, not one step.
    #[inline(always)]
    pub(super) fn add_allocated(&self, bytes: u64, blocks: u64) -> Due {
        let allocated = add(&self.allocated_bytes, bytes);
        add(&self.allocated_blocks, blocks);
        self.due(allocated, self.freed_bytes.load(Ordering::Relaxed))
    }

    /// Only the thread that owns this line may call it.
    #[inline(always)]
    pub(super) fn add_freed(&self, bytes: u64, blocks: u64) -> Due {
        let freed = add(&self.freed_bytes, bytes);
        add(&self.freed_blocks, blocks);
        self.due(self.allocated_bytes.load(Ordering::Relaxed), freed)
    }

    /// For a line that several threads write.
    pub(super) fn add_allocated_shared(&self, bytes: u64, blocks: u64) {
        self.allocated_bytes.fetch_add(bytes, Ordering::Release);
        self.allocated_blocks.fetch_add(blocks, Ordering::Release);
    }

    /// For a line that several threads write.
    pub(super) fn add_freed_shared(&self, bytes: u64, blocks: u64) {
        self.freed_bytes.fetch_add(bytes, Ordering::Release);
        self.freed_blocks.fetch_add(blocks, Ordering::Release);
    }

    /// One comparison for both directions: the difference, moved up by a batch, lies in 0..=2
    /// batches.
    #[inline(always)]
    fn due(&self, allocated: u64, freed: u64) -> Due {
        let unpublished = allocated
            .wrapping_sub(freed)
            .wrapping_sub(self.published_bytes.load(Ordering::Relaxed));
        if unpublished.wrapping_add(BATCH_BYTES) <= 2 * BATCH_BYTES {
            Due::No
        } else {
            Due::Yes
        }
    }

    /// What the published figure lacks, which counts as published from now on. Only for the owner.
    pub(super) fn take_unpublished(&self) -> i64 {
        let live = self
            .allocated_bytes
            .load(Ordering::Relaxed)
            .wrapping_sub(self.freed_bytes.load(Ordering::Relaxed));
        let published = self.published_bytes.load(Ordering::Relaxed);
        self.published_bytes.store(live, Ordering::Relaxed);
        live.wrapping_sub(published).cast_signed()
    }

    /// Bytes and blocks. Read these of all threads first.
    pub(super) fn freed(&self) -> (u64, u64) {
        (
            self.freed_bytes.load(Ordering::Acquire),
            self.freed_blocks.load(Ordering::Acquire),
        )
    }

    /// Bytes and blocks. Read these of all threads after what they freed.
    pub(super) fn allocated(&self) -> (u64, u64) {
        (
            self.allocated_bytes.load(Ordering::Acquire),
            self.allocated_blocks.load(Ordering::Acquire),
        )
    }
}

/// Release, so that who sees a free also sees the allocation that came before it.
#[inline(always)]
fn add(counter: &AtomicU64, more: u64) -> u64 {
    let sum = counter.load(Ordering::Relaxed).wrapping_add(more);
    counter.store(sum, Ordering::Release);
    sum
}
