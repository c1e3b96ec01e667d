//! tracking-allocator: groups as tags; the counting is the program's own: here the least that gives
//! live and total by group, two shared atomics a call.

use std::alloc::System;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracking_allocator::{
    AllocationGroupId, AllocationGroupToken, AllocationRegistry, AllocationTracker, Allocator,
};

#[global_allocator]
static ALLOCATOR: Allocator<System> = Allocator::system();

const GROUPS: usize = 64;

#[derive(Default)]
#[repr(align(64))]
struct Counts {
    bytes: AtomicUsize,
    blocks: AtomicUsize,
    freed_bytes: AtomicUsize,
    freed_blocks: AtomicUsize,
}

static COUNTS: [Counts; GROUPS] = [const {
    Counts {
        bytes: AtomicUsize::new(0),
        blocks: AtomicUsize::new(0),
        freed_bytes: AtomicUsize::new(0),
        freed_blocks: AtomicUsize::new(0),
    }
}; GROUPS];

struct Tracker;

impl AllocationTracker for Tracker {
    fn allocated(&self, _: usize, size: usize, _: usize, group: AllocationGroupId) {
        let counts = &COUNTS[group.as_usize().get() % GROUPS];
        counts.bytes.fetch_add(size, Ordering::Relaxed);
        counts.blocks.fetch_add(1, Ordering::Relaxed);
    }

    fn deallocated(
        &self,
        _: usize,
        size: usize,
        _: usize,
        source: AllocationGroupId,
        _: AllocationGroupId,
    ) {
        let counts = &COUNTS[source.as_usize().get() % GROUPS];
        counts.freed_bytes.fetch_add(size, Ordering::Relaxed);
        counts.freed_blocks.fetch_add(1, Ordering::Relaxed);
    }
}

fn main() {
    AllocationRegistry::set_global_tracker(Tracker).expect("the first tracker");
    AllocationRegistry::enable_tracking();
    plimsoll_allocators::run(|_, work| {
        let mut group = AllocationGroupToken::register().expect("a group");
        let _scope = group.enter();
        work();
    });
    AllocationRegistry::disable_tracking();
    let blocks: usize = COUNTS
        .iter()
        .map(|counts| counts.blocks.load(Ordering::Relaxed))
        .sum();
    if blocks == 0 {
        panic!("the tracker counted nothing");
    }
}
