//! Step 1 in a few lines: a part of the run is a stage and a tag of one name.

use plimsoll::ledger::{self, Tag};
use plimsoll::stage::Stage;

use crate::Outcome;

/// Does a part of the run: what it allocates is counted under `tag`, and the stage of the same name
/// is told to `plimsoll run` and `plimsoll compare`, where one of them watches.
///
/// # Errors
/// What `act` fails with, or an observer that does not answer.
pub fn part<T>(tag: &'static Tag, act: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    let stage = Stage::begin(tag.name());
    stage.tell_observer()?;
    tag.run(act)
}

/// Prints to standard error how much each tag held at most, and holds now.
pub fn print_tags() {
    for tag in ledger::snapshot() {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        eprintln!(
            "{:<10} peak {:>6.1} MiB, now {:>6.1} MiB in {:>8} blocks",
            tag.name,
            mib(tag.peak_bytes),
            mib(tag.live_bytes),
            tag.live_blocks
        );
    }
}
