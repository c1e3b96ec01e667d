//! No accounting: the allocator of the C library.

use std::alloc::System;

#[global_allocator]
static ALLOCATOR: System = System;

fn main() {
    plimsoll_allocators::run(|_, work| work());
}
