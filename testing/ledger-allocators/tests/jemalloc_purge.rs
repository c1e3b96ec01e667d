//! jemalloc keeps what is freed for some seconds; its purge gives it back at once. Alone in its
//! process, whose RSS it measures.

use plimsoll::ledger::Ledger;
use plimsoll_ledger_allocators::{FREED_BYTES, measure_purge};
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static LEDGER: Ledger<Jemalloc> = Ledger::new(Jemalloc);

/// All arenas at once: `MALLCTL_ARENAS_ALL` of jemalloc.h.
const PURGE_ALL: &std::ffi::CStr = c"arena.4096.purge";

fn control(name: &std::ffi::CStr) {
    // SAFETY: both names take and give nothing.
    let result = unsafe {
        tikv_jemalloc_sys::mallctl(
            name.as_ptr(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            0,
        )
    };
    assert_eq!(result, 0, "{name:?}");
}

#[test]
fn a_purge_gives_back_what_another_thread_freed() {
    let trim = measure_purge(|| control(PURGE_ALL));
    println!("{trim:?}");
    assert!(trim.freed_bytes_last > FREED_BYTES * 3 / 4, "{trim:?}");

    // It is the purge that does it.
    let trim = measure_purge(|| {});
    assert!(trim.freed_bytes_last < FREED_BYTES / 4, "{trim:?}");
}
