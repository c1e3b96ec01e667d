//! Maps one file for each name that parsers of maps trip over, `--kib K` each, and reads all.
//!
//! Names are given in the truth row as bytes, since one of them is no UTF-8, and as they stand in
//! maps, where only the newline is escaped (seq_path with "\n", fs/proc/task_mmu.c).

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::memory::{Region, Sharing, create_file};
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::json;

const NAMES: [&[u8]; 8] = [
    b"new\nline",
    b"  two  spaces  ",
    b"still here (deleted)",
    b"7f0000000000-7f0000001000 rw-p 00000000 00:00 0",
    b"tab\tand\\backslash \\012",
    b"[heap]",
    b"not-utf8-\xff\xfe",
    "großé-文件".as_bytes(),
];

fn main() -> Outcome {
    let bytes = Arguments::from_environment(&["kib"])?.number("kib", 256)? << 10;
    let folder = std::env::current_dir()?;
    let mut regions = Vec::new();
    let mut files = Vec::new();
    for name in NAMES {
        let path = folder.join(Path::new(OsStr::from_bytes(name)));
        let file = create_file(&path, bytes)?;
        let region = Region::of_file(&file, bytes, Sharing::Private)?;
        let sum = region.read_pages(0..bytes);
        let path = path.into_os_string().into_vec();
        let in_maps = String::from_utf8_lossy(&path).replace('\n', "\\012");
        files.push(json!({
            "address": region.address(),
            "path_bytes": path,
            "maps_text": in_maps,
            "resident_bytes": bytes,
            "sum": sum,
        }));
        regions.push(region);
    }
    let total = bytes * files.len();
    stage::ready(&json!({ "files": files, "resident_bytes": total }))?;
    stage::wait()?;
    Ok(())
}
