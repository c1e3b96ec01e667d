//! What a piece of work holds at its peak, as the ledger counts it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use plimsoll::ledger::Ledger;
use plimsoll::stage::Stage;

#[global_allocator]
static LEDGER: Ledger = Ledger::system();

/// Peaks are of the process, so one test runs at a time.
static MEASURING: Mutex<()> = Mutex::new(());

pub(crate) fn alone() -> MutexGuard<'static, ()> {
    MEASURING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes above those at its begin.
pub(crate) fn peak_bytes<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let stage = Stage::begin("work");
    let result = work();
    let live = stage.end().live.unwrap();
    (result, live.peak_bytes.unwrap() - live.begin_bytes)
}
