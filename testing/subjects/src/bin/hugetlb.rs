//! Touches `--mib N` of explicit huge pages (MAP_HUGETLB), where the system has reserved any.
//!
//! Without them the ready line says `"available": false` and why; nothing is mapped then.

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::memory::Region;
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::json;

fn main() -> Outcome {
    let bytes = Arguments::from_environment(&["mib"])?.mebibytes("mib", 4)?;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB;
    let mapped = Region::map(bytes, libc::PROT_READ | libc::PROT_WRITE, flags, None);
    let truth = match &mapped {
        Ok(region) => {
            region.write_pages(0..bytes, 1);
            json!({ "available": true, "address": region.address(), "hugetlb_bytes": bytes })
        }
        Err(error) => json!({ "available": false, "reason": error.to_string() }),
    };
    stage::ready(&truth)?;
    stage::wait()?;
    Ok(())
}
