//! What a copy and a pipeline hold, in a process of its own: one test, so that nobody else allocates.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod counting;
mod folder;

use std::fs::{self, File};

use counting::{Counting, rise};
use folder::Folder;
use plimsoll::Error;
use plimsoll::stream::{CopyOptions, Pipeline, copy_file};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MIB: usize = 1 << 20;
const FILE: u64 = 200 * MIB as u64;

/// Pages of code that run for the first time, and the stack.
const RSS_BESIDE: usize = MIB;
/// Names, paths, threads, places of queues.
const HEAP_BESIDE: usize = 16 << 10;

fn status(key: &str) -> usize {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .unwrap();
    line.trim()
        .strip_suffix(" kB")
        .unwrap()
        .parse::<usize>()
        .unwrap()
        << 10
}

#[test]
fn memory_is_the_buffer_and_the_queues() {
    let folder = Folder::new("copy-memory");
    let (source, target) = (folder.path("source"), folder.path("target"));
    File::create(&source).unwrap().set_len(FILE).unwrap();
    for buffer_bytes in [64 << 10, 4 * MIB] {
        let options = CopyOptions {
            buffer_bytes,
            ..CopyOptions::default()
        };
        let rss = status("VmRSS:");
        let mut copied = 0;
        let heap = rise(|| copied = copy_file(&source, &target, options).unwrap().bytes);
        let risen = status("VmHWM:").saturating_sub(rss);
        println!("copy of {FILE} bytes: buffer {buffer_bytes}, heap {heap}, RSS {risen}");
        assert_eq!(copied, FILE);
        assert!(
            heap <= buffer_bytes + HEAP_BESIDE,
            "heap rose by {heap} bytes"
        );
        assert!(
            risen <= buffer_bytes + RSS_BESIDE,
            "RSS rose by {risen} bytes"
        );
    }

    // 100 MiB through two queues of 256 KiB each.
    let (queue, chunk) = (256 << 10, 64 << 10);
    let mut through = 0;
    let heap = rise(|| {
        Pipeline::new(queue, move |out| {
            (0..1600).try_for_each(|_| out.send(vec![1_u8; chunk]))
        })
        .unwrap()
        .step(|bytes: Vec<u8>, out| out.send(bytes))
        .unwrap()
        .finish(|bytes| {
            through += bytes.len();
            Ok::<_, Error>(())
        })
        .unwrap();
    });
    println!("pipeline of {through} bytes: heap {heap}");
    assert_eq!(through, 100 * MIB);
    // An item in each of the three threads.
    assert!(
        heap <= 2 * queue + 3 * chunk + HEAP_BESIDE,
        "heap rose by {heap} bytes"
    );
}
