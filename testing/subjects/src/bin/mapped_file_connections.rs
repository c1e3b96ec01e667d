//! Maps one file of `--mib N` `--connections C` times, as a database with many connections does.
//!
//! Each connection is a thread that reads through its own mapping: `--touch all` the whole file, or
//! `--touch part` two of the C + 1 equal steps, connection i from step i, so that neighbours overlap
//! by one step. `--shared` or `--private` mappings (default: shared, as SQLite maps).

use std::path::Path;
use std::sync::mpsc;
use std::thread;

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::memory::{FAULT_AROUND_BYTES, Region, Sharing, create_file};
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::json;

fn main() -> Outcome {
    let arguments =
        Arguments::from_environment(&["mib", "connections", "touch", "shared", "private"])?;
    let length = arguments.mebibytes("mib", 32)?;
    let connections = arguments.number("connections", 12)?;
    let sharing = if arguments.has("private") {
        Sharing::Private
    } else {
        Sharing::Shared
    };
    let path = Path::new("cache.db");
    let file = create_file(path, length)?;
    let regions = (0..connections)
        .map(|_| Region::of_file(&file, length, sharing))
        .collect::<Result<Vec<_>, _>>()?;
    drop(file);

    let step = length / (connections + 1) / FAULT_AROUND_BYTES * FAULT_AROUND_BYTES;
    let (touched, distinct) = match arguments.text("touch", "all") {
        "all" => (length, length),
        "part" => (2 * step, (connections + 1) * step),
        other => return Err(format!("--touch is all or part, not {other:?}").into()),
    };
    let addresses: Vec<usize> = regions.iter().map(Region::address).collect();
    let (done, finished) = mpsc::channel();
    for (index, region) in regions.into_iter().enumerate() {
        let done = done.clone();
        let start = if touched == length { 0 } else { index * step };
        thread::Builder::new()
            .name(format!("connection-{index}"))
            .spawn(move || {
                let sum = region.read_pages(start..start + touched);
                // The main thread may be gone already, which ends this one as well.
                let _ = done.send(sum);
                loop {
                    thread::park();
                }
            })?;
    }
    finished.iter().take(connections).for_each(drop);
    stage::ready(&json!({
        "file": path.canonicalize()?,
        "file_bytes": length,
        "mappings": connections,
        "addresses": addresses,
        "resident_bytes_each": touched,
        "resident_bytes": touched * connections,
        "distinct_bytes": distinct,
        "threads": connections + 1,
    }))?;
    stage::wait()?;
    Ok(())
}
