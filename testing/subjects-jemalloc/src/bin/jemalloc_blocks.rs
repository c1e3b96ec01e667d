//! A Rust program on jemalloc: `--count N` blocks of `--size B` bytes, every other one freed, and
//! `--large-mib L` in one more; with `--keep-all` nothing is freed.
//!
//! The truth row has jemalloc's own figures, read after its epoch was advanced.

use std::io;

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::json;

#[global_allocator]
static JEMALLOC: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> Outcome {
    let arguments = Arguments::from_environment(&["count", "size", "large-mib", "keep-all"])?;
    let count = arguments.number("count", 200_000)?;
    let size = arguments.number("size", 100)?;
    let large = vec![1_u8; arguments.mebibytes("large-mib", 8)?];
    let mut blocks: Vec<Box<[u8]>> = (0..count).map(|_| vec![1_u8; size].into()).collect();
    if !arguments.has("keep-all") {
        let mut index = 0;
        blocks.retain(|_| {
            index += 1;
            index % 2 == 0
        });
    }
    advance_epoch()?;
    stage::ready(&json!({
        "live_blocks": blocks.len(),
        "live_bytes": blocks.len() * size,
        "table_bytes": blocks.capacity() * size_of::<Box<[u8]>>(),
        "large_bytes": large.len(),
        "large_address": large.as_ptr() as usize,
        "first_address": blocks.first().map_or(0, |block| block.as_ptr() as usize),
        "last_address": blocks.last().map_or(0, |block| block.as_ptr() as usize),
        "jemalloc": {
            "allocated_bytes": statistic(c"stats.allocated")?,
            "active_bytes": statistic(c"stats.active")?,
            "metadata_bytes": statistic(c"stats.metadata")?,
            "resident_bytes": statistic(c"stats.resident")?,
            "mapped_bytes": statistic(c"stats.mapped")?,
            "retained_bytes": statistic(c"stats.retained")?,
        },
    }))?;
    stage::wait()?;
    drop((blocks, large));
    Ok(())
}

/// Makes jemalloc renew its statistics, which it otherwise leaves as they were.
fn advance_epoch() -> io::Result<()> {
    let mut epoch = 1_u64;
    // SAFETY: "epoch" takes a u64 and reads nothing.
    check(unsafe {
        tikv_jemalloc_sys::mallctl(
            c"epoch".as_ptr(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            (&raw mut epoch).cast(),
            size_of::<u64>(),
        )
    })
}

fn statistic(name: &std::ffi::CStr) -> io::Result<usize> {
    let mut value = 0_usize;
    let mut length = size_of::<usize>();
    // SAFETY: every `stats.` name used here is a size_t, for which there is room.
    check(unsafe {
        tikv_jemalloc_sys::mallctl(
            name.as_ptr(),
            (&raw mut value).cast(),
            &raw mut length,
            std::ptr::null_mut(),
            0,
        )
    })?;
    Ok(value)
}

fn check(result: i32) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(result))
    }
}
