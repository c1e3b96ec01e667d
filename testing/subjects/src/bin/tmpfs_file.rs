//! Maps a file of `--mib N` in a tmpfs (`--directory`, default /dev/shm), shared, and writes half.

use std::fs::File;
use std::path::Path;

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::memory::{Region, Sharing};
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::json;

fn main() -> Outcome {
    let arguments = Arguments::from_environment(&["mib", "directory"])?;
    let bytes = arguments.mebibytes("mib", 32)?;
    let directory = Path::new(arguments.text("directory", "/dev/shm"));
    let path = directory.join(format!("plimsoll-subject-{}", std::process::id()));
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    file.set_len(u64::try_from(bytes)?)?;
    let region = Region::of_file(&file, bytes, Sharing::Shared)?;
    region.write_pages(0..bytes / 2, 1);
    stage::ready(&json!({
        "address": region.address(),
        "file": path,
        "file_bytes": bytes,
        "shmem_bytes": bytes / 2,
        "leftovers": [path],
    }))?;
    stage::wait()?;
    std::fs::remove_file(&path)?;
    Ok(())
}
