//! Cuts touched anonymous memory into `--vmas V` mappings of `--pages P` pages, alternately
//! readable and writable.
//!
//! The kernel allows `vm.max_map_count` mappings (65,530 by default): where fewer are reached than
//! asked for, the truth row says how many, and why no more.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::ops::Range;

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::memory::{Region, page_bytes};
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::json;

fn main() -> Outcome {
    let arguments = Arguments::from_environment(&["vmas", "pages"])?;
    let asked = arguments.number("vmas", 20_000)?.next_multiple_of(2);
    let piece = arguments.number("pages", 1)?.max(1) * page_bytes();
    let region = Region::anonymous_in_small_pages(asked * piece)?;
    region.write_pages(0..asked * piece, 1);
    let mut reached = asked;
    let mut reason = None;
    for index in (1..asked).step_by(2) {
        if let Err(error) = region.protect(index * piece..(index + 1) * piece, libc::PROT_READ) {
            reason = Some(error.to_string());
            // The refused call may have cut the rest in two before it gave up.
            reached = count_mappings(region.address()..region.address() + region.length())?;
            break;
        }
    }
    stage::ready(&json!({
        "address": region.address(),
        "anon_bytes": asked * piece,
        "asked_vmas": asked,
        "vmas": reached,
        "stopped_by": reason,
    }))?;
    stage::wait()?;
    Ok(())
}

/// How many mappings lie in `range`, from this process's own maps, line by line: at the limit of
/// mappings, malloc cannot map a large buffer any more.
fn count_mappings(range: Range<usize>) -> std::io::Result<usize> {
    let mut count = 0;
    for line in BufReader::new(File::open("/proc/self/maps")?).lines() {
        let line = line?;
        let start = line
            .split_once('-')
            .map(|(start, _)| usize::from_str_radix(start, 16));
        count += usize::from(matches!(start, Some(Ok(start)) if range.contains(&start)));
    }
    Ok(count)
}
