//! What a ledger over any allocator must hold. Each test program has another global allocator and
//! calls these. No two are to run at once in one process: they count in the same tags.
//!
//! Memory: a few MiB.

mod fork;
mod purge;
mod script;
mod threads;

pub use fork::a_child_goes_on;
pub use purge::{FREED_BYTES, measure_purge};
pub use script::{counts_are_exact, layouts_are_kept, too_large_is_refused};
pub use threads::{destructors_are_counted, exited_threads_stay_counted, threads_agree};

use plimsoll::ledger::Tag;

/// Live bytes and blocks, total bytes and blocks.
fn figures(tag: &'static Tag) -> [u64; 4] {
    let found = tag.figures();
    [
        found.live_bytes,
        found.live_blocks,
        found.total_bytes,
        found.total_blocks,
    ]
}
