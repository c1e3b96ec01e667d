//! `--threads M` threads, each with its own glibc arena, holding `--kib K` of blocks of `--size B`.
//!
//! glibc gives each new thread an arena of its own up to `M_ARENA_MAX`, eight per CPU by default
//! (malloc/arena.c); it is raised here, so that each thread really has one. The heaps of such an
//! arena are aligned to 64 MiB (HEAP_MAX_SIZE on 64-bit machines).

use std::sync::mpsc;
use std::thread;

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::malloc::{Chain, heap_of_glibc};
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::json;

const HEAP_ALIGNMENT: usize = 64 << 20;

fn main() -> Outcome {
    let arguments = Arguments::from_environment(&["threads", "kib", "size"])?;
    let threads = arguments.number("threads", 8)?;
    let size = arguments.number("size", 240)?;
    let count = (arguments.number("kib", 4096)? << 10) / size;
    allow_arenas(threads + 1)?;
    let (done, finished) = mpsc::channel();
    for index in 0..threads {
        let done = done.clone();
        thread::Builder::new()
            .name(format!("allocator-{index}"))
            .spawn(move || {
                let chain = Chain::allocate(count, size);
                let summary = chain
                    .as_ref()
                    .map(|chain| (chain.starts(HEAP_ALIGNMENT), chain.usable_bytes()));
                // The main thread may be gone already, which ends this one as well.
                let _ = done.send(summary.map_err(ToString::to_string));
                loop {
                    thread::park();
                }
            })?;
    }
    let mut starts = Vec::new();
    let mut usable = 0;
    for summary in finished.iter().take(threads) {
        let (heaps, bytes) = summary?;
        starts.extend(heaps);
        usable += bytes;
    }
    starts.sort_unstable();
    stage::ready(&json!({
        "threads": threads + 1,
        "arenas": threads,
        "live_blocks": threads * count,
        "live_bytes": threads * count * size,
        "usable_bytes": usable,
        "heap_starts": starts,
        "glibc": heap_of_glibc(),
    }))?;
    stage::wait()?;
    Ok(())
}

#[cfg(target_env = "gnu")]
fn allow_arenas(count: usize) -> Outcome {
    // SAFETY: mallopt has no preconditions.
    if unsafe { libc::mallopt(libc::M_ARENA_MAX, libc::c_int::try_from(count)?) } == 1 {
        Ok(())
    } else {
        Err("mallopt(M_ARENA_MAX) was refused".into())
    }
}

/// Only glibc has such arenas.
#[cfg(not(target_env = "gnu"))]
fn allow_arenas(_: usize) -> Outcome {
    Ok(())
}
