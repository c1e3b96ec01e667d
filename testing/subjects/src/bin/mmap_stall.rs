//! Measures how long others keep this process from changing its mappings.
//!
//! It holds `--mib N` in `--vmas V` mappings, while a thread maps 64 KiB, touches them and unmaps
//! them again, over and over. Each line is answered with what those operations took since the last
//! line: `{"count":…, "p50_nanoseconds":…, "p99_nanoseconds":…, "max_nanoseconds":…}`.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::histogram::Histogram;
use plimsoll_subjects::memory::{Region, page_bytes};
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::json;

const OPERATION_BYTES: usize = 64 << 10;

fn main() -> Outcome {
    let arguments = Arguments::from_environment(&["mib", "vmas"])?;
    let bytes = arguments.mebibytes("mib", 1024)?;
    let vmas = arguments.number("vmas", 100)?.max(1);
    let piece = (bytes / vmas).next_multiple_of(page_bytes());
    let region = Region::anonymous_in_small_pages(vmas * piece)?;
    region.write_pages(0..vmas * piece, 1);
    for index in (1..vmas).step_by(2) {
        region.protect(index * piece..(index + 1) * piece, libc::PROT_READ)?;
    }
    let histogram = Arc::new(Histogram::default());
    let recorded = Arc::clone(&histogram);
    thread::Builder::new().name("mapper".to_owned()).spawn(
        move || {
            while operate(&recorded).is_ok() {}
        },
    )?;
    stage::ready(&json!({
        "address": region.address(),
        "anon_bytes": vmas * piece,
        "vmas": vmas,
        "operation_bytes": OPERATION_BYTES,
    }))?;
    stage::answer_lines(|_| Ok(histogram.take().to_json()))
}

fn operate(histogram: &Histogram) -> std::io::Result<()> {
    let start = Instant::now();
    let region = Region::anonymous(OPERATION_BYTES)?;
    region.write_pages(0..OPERATION_BYTES, 1);
    drop(region);
    histogram.record(start.elapsed());
    Ok(())
}
