//! stats_alloc: sums of the whole process, no peak; atomics that all threads share.

use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &stats_alloc::StatsAlloc<System> = &stats_alloc::INSTRUMENTED_SYSTEM;

fn main() {
    plimsoll_allocators::run(|_, work| work());
    std::hint::black_box(ALLOCATOR.stats());
}
