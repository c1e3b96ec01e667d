//! Allocates `--count N` blocks of `--size B` bytes from malloc and frees some: a fragmenter.
//!
//! `--free alternate` (default) frees every other block, so that the heap keeps nearly all its pages
//! for half of the data; `none` keeps all; `most` keeps each hundredth. The blocks are linked
//! through their first word, so that no table of them lives in the heap that they measure.
//! `--brk blocked` keeps the brk area from growing first, so that malloc goes on elsewhere.

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::malloc::{Chain, block_brk, heap_of_glibc};
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::json;

fn main() -> Outcome {
    let arguments = Arguments::from_environment(&["count", "size", "free", "brk"])?;
    let count = arguments.number("count", 200_000)?;
    let size = arguments.number("size", 100)?;
    match arguments.text("brk", "free") {
        "blocked" => block_brk()?,
        "free" => {}
        other => return Err(format!("--brk is free or blocked, not {other:?}").into()),
    }
    let mut chain = Chain::allocate(count, size)?;
    let allocated = chain.usable_bytes();
    match arguments.text("free", "alternate") {
        "alternate" => chain.keep_each(2),
        "most" => chain.keep_each(100),
        "none" => {}
        other => return Err(format!("--free is alternate, most or none, not {other:?}").into()),
    }
    stage::ready(&json!({
        "allocated_blocks": count,
        "allocated_bytes": allocated,
        "live_blocks": chain.blocks(),
        "live_bytes": chain.blocks() * size,
        "usable_bytes": chain.usable_bytes(),
        "lowest_address": chain.lowest(),
        "highest_address": chain.highest(),
        "glibc": heap_of_glibc(),
    }))?;
    stage::wait()?;
    chain.keep_each(usize::MAX);
    Ok(())
}
