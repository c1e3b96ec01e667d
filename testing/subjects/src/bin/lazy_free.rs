//! Touches `--mib N` of anonymous memory and gives the first `--freed-mib F` back with MADV_FREE.
//!
//! They stay resident until the kernel wants them. The kernel marks them in batches, one per CPU
//! (folio_batch, mm/swap.c), so some of the last ones are not told as lazily freed.

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::memory::Region;
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::json;

fn main() -> Outcome {
    let arguments = Arguments::from_environment(&["mib", "freed-mib"])?;
    let bytes = arguments.mebibytes("mib", 32)?;
    let freed = arguments.mebibytes("freed-mib", 16)?.min(bytes);
    let region = Region::anonymous_in_small_pages(bytes)?;
    region.write_pages(0..bytes, 1);
    region.advise(0..freed, libc::MADV_FREE)?;
    stage::ready(&json!({
        "address": region.address(),
        "anon_bytes": bytes,
        "lazy_free_bytes": freed,
    }))?;
    stage::wait()?;
    Ok(())
}
