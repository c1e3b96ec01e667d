//! A program that links the library and publishes a beacon: `--mib N` of live blocks under one tag, a
//! budget with one consumer, two open stages. With `--hammer` it writes the page without pause from a
//! thread; with `--child` it forks a child that publishes nothing; with `--seconds N` it stays so long
//! and ends by itself.

use std::time::Duration;

use plimsoll::beacon::BeaconOptions;
use plimsoll::budget::{Budget, Policy};
use plimsoll::ledger::{self, Ledger, Tag};
use plimsoll::stage::Stage;
use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::json;

#[global_allocator]
static LEDGER: Ledger = Ledger::system();

static THUMBNAILS: Tag = Tag::new("thumbnails");

const BLOCK: usize = 1 << 20;
const LIMIT: u64 = 64 << 20;
const HELD: u64 = 16 << 20;

fn main() -> Outcome {
    let arguments = Arguments::from_environment(&["mib", "hammer", "child", "seconds"])?;
    let count = arguments.number("mib", 24)?;
    let budget = Budget::new(LIMIT, Policy::Greedy);
    let covers = budget.consumer("covers");
    let _held = covers.reserve(HELD)?;
    let beacon = BeaconOptions::default().budget("main", &budget).publish()?;
    let import = Stage::begin("import");
    let _batch = import.nest("batch");
    let blocks: Vec<Vec<u8>> = THUMBNAILS.run(|| (0..count).map(|_| vec![1; BLOCK]).collect());
    let child = if arguments.has("child") { fork() } else { 0 };
    beacon.refresh();
    let thumbnails = THUMBNAILS.figures();
    stage::ready(&json!({
        "live_bytes": thumbnails.live_bytes,
        "live_blocks": thumbnails.live_blocks,
        "limit_bytes": LIMIT,
        "held_bytes": HELD,
        "all_bytes": ledger::total().live_bytes,
        "child": child,
    }))?;
    if arguments.has("hammer") {
        std::thread::spawn(move || {
            loop {
                beacon.refresh();
            }
        });
    }
    match arguments.number("seconds", 0)? {
        0 => drop(stage::wait()?),
        seconds => std::thread::sleep(Duration::from_secs(seconds as u64)),
    }
    drop(blocks);
    Ok(())
}

/// A child that waits until its parent ends.
fn fork() -> i32 {
    // SAFETY: the child touches nothing but system calls.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: as above; it is killed with its parent, or right away if that has ended.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            loop {
                libc::pause();
            }
        }
    }
    child
}
