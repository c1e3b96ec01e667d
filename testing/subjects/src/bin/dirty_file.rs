//! Maps a file of `--mib N` shared and writable, dirties the first `--dirty-mib D`, reads the rest.
//!
//! The kernel writes dirty pages back after some time (`dirty_expire_centisecs`, 30 s by default);
//! they are clean then, so look at this subject soon. Each line dirties the part again and is
//! answered with `{"dirty_bytes":…}`.

use std::path::Path;

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::memory::{Region, Sharing, create_file};
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::json;

fn main() -> Outcome {
    let arguments = Arguments::from_environment(&["mib", "dirty-mib"])?;
    let bytes = arguments.mebibytes("mib", 32)?;
    let dirty = arguments.mebibytes("dirty-mib", 8)?.min(bytes);
    let path = Path::new("table.db");
    let file = create_file(path, bytes)?;
    let region = Region::of_file(&file, bytes, Sharing::Shared)?;
    region.write_pages(0..dirty, 7);
    let sum = region.read_pages(dirty..bytes);
    stage::ready(&json!({
        "address": region.address(),
        "file": path.canonicalize()?,
        "file_bytes": bytes,
        "resident_bytes": bytes,
        "dirty_bytes": dirty,
        "clean_bytes": bytes - dirty,
        "sum": sum,
    }))?;
    stage::answer_lines(|_| {
        region.write_pages(0..dirty, 8);
        Ok(json!({ "dirty_bytes": dirty }))
    })
}
