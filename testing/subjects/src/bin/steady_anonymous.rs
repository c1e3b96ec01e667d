//! Touches `--mib N` of private anonymous memory and keeps it.

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::memory::Region;
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::json;

fn main() -> Outcome {
    let bytes = Arguments::from_environment(&["mib"])?.mebibytes("mib", 64)?;
    let region = Region::anonymous(bytes)?;
    region.write_pages(0..bytes, 1);
    stage::ready(&json!({ "address": region.address(), "anon_bytes": bytes }))?;
    stage::wait()?;
    Ok(())
}
