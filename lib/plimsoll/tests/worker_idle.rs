//! An idle worker costs nothing: no child, not even a zombie, and no thread. Alone in its process,
//! whose threads and children it counts.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use plimsoll::worker::Worker;

/// For a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
#[ignore = "the worker of the other test"]
fn worker_process() {
    plimsoll::worker::serve(|request, _| Ok(request.to_vec())).unwrap();
}

/// Keepers among the threads, and children of all threads.
fn keepers_and_children() -> (usize, usize) {
    let mut found = (0, 0);
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        // A thread may end while we look.
        let name = fs::read_to_string(task.join("comm")).unwrap_or_default();
        let children = fs::read_to_string(task.join("children")).unwrap_or_default();
        found.0 += usize::from(name.trim() == "plimsoll-keeper");
        found.1 += children.split_whitespace().count();
    }
    found
}

#[test]
fn idle_is_no_child_and_no_thread() {
    let worker = Worker::builder(std::env::current_exe().unwrap())
        .args(["--exact", "worker_process", "--ignored"])
        .idle_timeout(PATIENCE)
        .build()
        .unwrap();
    assert_eq!(keepers_and_children(), (0, 0));
    worker.call(b"x").unwrap();
    if keepers_and_children() == (1, 0) {
        println!("SKIPPED: this kernel lists no children (CONFIG_PROC_CHILDREN)");
        return;
    }
    assert_eq!(keepers_and_children(), (1, 1));
    worker.stop();
    let idle = Worker::builder(std::env::current_exe().unwrap())
        .args(["--exact", "worker_process", "--ignored"])
        .idle_timeout(Duration::ZERO)
        .build()
        .unwrap();
    idle.call(b"x").unwrap();
    let begin = Instant::now();
    while keepers_and_children() != (0, 0) {
        assert!(begin.elapsed() < PATIENCE, "{worker:?} {idle:?}");
        thread::yield_now();
    }
    assert_eq!(idle.figures().idle_exits_total, 1);
}
