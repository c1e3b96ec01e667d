//! mimalloc's purge. Alone in its process, whose RSS it measures.

use mimalloc::MiMalloc;
use plimsoll::ledger::Ledger;
use plimsoll_ledger_allocators::{FREED_BYTES, measure_purge};

#[global_allocator]
static LEDGER: Ledger<MiMalloc> = Ledger::new(MiMalloc);

fn collect() {
    // SAFETY: may be called at any time; collects what the calling thread can reach.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

#[test]
fn a_purge_gives_back_what_another_thread_freed() {
    let trim = measure_purge(collect);
    println!("{trim:?}");
    assert!(trim.freed_bytes_last > FREED_BYTES * 3 / 4, "{trim:?}");

    // It is the purge that does it.
    let trim = measure_purge(|| {});
    assert!(trim.freed_bytes_last < FREED_BYTES / 4, "{trim:?}");
}
