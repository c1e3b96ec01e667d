//! Maps a file of `--mib N` privately, reads all of it, and deletes the file.

use std::path::Path;

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::memory::{Region, Sharing, create_file};
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::json;

fn main() -> Outcome {
    let bytes = Arguments::from_environment(&["mib"])?.mebibytes("mib", 16)?;
    let path = Path::new("model.weights");
    let file = create_file(path, bytes)?;
    let region = Region::of_file(&file, bytes, Sharing::Private)?;
    let sum = region.read_pages(0..bytes);
    let path = path.canonicalize()?;
    std::fs::remove_file(&path)?;
    stage::ready(&json!({
        "address": region.address(),
        "file": format!("{} (deleted)", path.display()),
        "original_file": path,
        "resident_bytes": bytes,
        "sum": sum,
    }))?;
    stage::wait()?;
    Ok(())
}
