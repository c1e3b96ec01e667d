//! Locks `--mib N` of anonymous memory (mlock), with as much again touched but not locked.

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::memory::Region;
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::json;

fn main() -> Outcome {
    let bytes = Arguments::from_environment(&["mib"])?.mebibytes("mib", 4)?;
    let region = Region::anonymous_in_small_pages(2 * bytes)?;
    region.write_pages(0..2 * bytes, 1);
    region.lock(0..bytes)?;
    stage::ready(&json!({
        "address": region.address(),
        "anon_bytes": 2 * bytes,
        "locked_bytes": bytes,
    }))?;
    stage::wait()?;
    Ok(())
}
