//! Counters of one tag in one thread: only that thread writes them, anyone may read them.
//!
//! 64 bytes, one cache line, so that no thread ever waits for a line of another's. The first four
//! only grow, and a reader that reads what was freed before what was allocated never sees more
//! freed than allocated: a free happens after its allocation, whichever thread does it.

use super::atomics::{AtomicU64, Ordering, own};

/// What a thread has gained or lost in a tag and not published is never more than this. Less would
/// cost more writes to lines that all threads share; more would make peaks less exact. A thread
/// looks after each half of it that it allocates or frees, and publishes if the difference is more
/// than the other half: in blocks of 100 bytes it looks once in 330 calls.
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
    /// Sums at which the owner next looks whether it has something to publish.
    pub(super) allocated_check: AtomicU64,
    pub(super) freed_check: AtomicU64,
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
        due(allocated, &self.allocated_check)
    }

    /// Only the thread that owns this line may call it.
    #[inline(always)]
    pub(super) fn add_freed(&self, bytes: u64, blocks: u64) -> Due {
        let freed = add(&self.freed_bytes, bytes);
        add(&self.freed_blocks, blocks);
        due(freed, &self.freed_check)
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

    /// What the published figure lacks, if it is more than half a batch: that counts as published
    /// from now on. Zero if it is less. Only for the owner, when something is due.
    pub(super) fn take_due(&self) -> i64 {
        let allocated = own(&self.allocated_bytes);
        let freed = own(&self.freed_bytes);
        self.allocated_check
            .store(allocated.wrapping_add(BATCH_BYTES / 2), Ordering::Relaxed);
        self.freed_check
            .store(freed.wrapping_add(BATCH_BYTES / 2), Ordering::Relaxed);
        let published = own(&self.published_bytes);
        let unpublished = allocated
            .wrapping_sub(freed)
            .wrapping_sub(published)
            .cast_signed();
        if unpublished.unsigned_abs() <= BATCH_BYTES / 2 {
            return 0;
        }
        self.take_unpublished()
    }

    /// All that the published figure lacks, which counts as published from now on. Only for the
    /// owner.
    pub(super) fn take_unpublished(&self) -> i64 {
        let live = own(&self.allocated_bytes).wrapping_sub(own(&self.freed_bytes));
        let published = own(&self.published_bytes);
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
    let sum = own(counter).wrapping_add(more);
    counter.store(sum, Ordering::Release);
    sum
}

#[inline(always)]
fn due(sum: u64, check: &AtomicU64) -> Due {
    if sum >= own(check) { Due::Yes } else { Due::No }
}
