//! Touches `--mib N` of anonymous memory that is mapped shared (`/dev/zero (deleted)` in maps).

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::memory::Region;
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::json;

fn main() -> Outcome {
    let bytes = Arguments::from_environment(&["mib"])?.mebibytes("mib", 32)?;
    let region = Region::shared_anonymous(bytes)?;
    region.write_pages(0..bytes, 1);
    stage::ready(&json!({ "address": region.address(), "shmem_bytes": bytes }))?;
    stage::wait()?;
    Ok(())
}
