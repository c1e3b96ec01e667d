//! Touches `--mib N`, forks `--children C` children, each of which rewrites the first
//! `--rewrite-mib R`: those become its own, the rest stays shared between all of them.

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::children::Children;
use plimsoll_subjects::memory::Region;
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::json;

fn main() -> Outcome {
    let arguments = Arguments::from_environment(&["mib", "children", "rewrite-mib"])?;
    let bytes = arguments.mebibytes("mib", 32)?;
    let count = arguments.number("children", 3)?;
    let rewritten = arguments.mebibytes("rewrite-mib", 8)?.min(bytes);
    // Small pages: a huge page would be copied whole, or split, as the kernel likes.
    let region = Region::anonymous_in_small_pages(bytes)?;
    region.write_pages(0..bytes, 1);
    let children = Children::fork(count, |_| region.write_pages(0..rewritten, 2))?;
    stage::ready(&json!({
        "address": region.address(),
        "anon_bytes": bytes,
        "children": children.pids(),
        "private_bytes_each": rewritten,
        "shared_bytes": bytes - rewritten,
        "distinct_bytes": bytes + count * rewritten,
        "processes": count + 1,
    }))?;
    stage::wait()?;
    children.end()?;
    Ok(())
}
