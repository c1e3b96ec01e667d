//! cap: live and peak of the whole process, atomics that all threads share.

use std::alloc::System;

#[global_allocator]
static ALLOCATOR: cap::Cap<System> = cap::Cap::new(System, usize::MAX);

fn main() {
    plimsoll_allocators::run(|_, work| work());
    std::hint::black_box(ALLOCATOR.allocated());
}
