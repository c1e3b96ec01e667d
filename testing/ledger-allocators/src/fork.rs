//! A child of fork, with its parent's figures and its parent's blocks.

use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use plimsoll::ledger::Tag;

use crate::figures;

static TAG: Tag = Tag::new("forked");

/// While other threads allocate, children are forked that free what the parent allocated, allocate
/// and start threads. The parent's figures stay as they are.
///
/// # Panics
/// Where a child or the parent has another figure than it should.
pub fn a_child_goes_on(rounds: u32) {
    let block = TAG.run(|| vec![1_u8; 1000]);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    drop(std::hint::black_box(vec![1_u8; 200]));
                }
            });
        }
        let codes: Vec<i32> = (0..rounds)
            .map(|_| {
                // SAFETY: the child's copy of the block is another one, which only the child drops.
                let own = ManuallyDrop::new(unsafe { std::ptr::read(&raw const block) });
                in_child(move || child(ManuallyDrop::into_inner(own)))
            })
            .collect();
        stop.store(true, Ordering::Relaxed);
        assert!(codes.iter().all(|code| *code == 0), "{codes:?}");
    });
    assert_eq!(figures(&TAG), [1000, 1, 1000, 1]);
    drop(block);
    assert_eq!(figures(&TAG), [0, 0, 1000, 1]);
}

/// The number of the first thing that is wrong; 0 for nothing.
fn child(block: Vec<u8>) -> i32 {
    if figures(&TAG) != [1000, 1, 1000, 1] {
        return 1;
    }
    let more = TAG.run(|| vec![2_u8; 500]);
    if figures(&TAG) != [1500, 2, 1500, 2] {
        return 2;
    }
    drop((block, more));
    if figures(&TAG) != [0, 0, 1500, 2] {
        return 3;
    }
    let threads: Vec<_> = (0..4)
        .map(|_| thread::spawn(|| TAG.run(|| drop(vec![1_u8; 10]))))
        .collect();
    if threads.into_iter().any(|thread| thread.join().is_err()) {
        return 4;
    }
    i32::from(figures(&TAG) != [0, 0, 1540, 6]) * 5
}

fn in_child(act: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child uses the allocator, which is what is tested, and threads, and then ends
    // without unwinding or running what its parent would run at its exit.
    unsafe {
        match libc::fork() {
            0 => libc::_exit(act()),
            pid => {
                assert!(pid > 0, "fork: {}", std::io::Error::last_os_error());
                let mut status = 0;
                assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
                assert!(libc::WIFEXITED(status), "status {status}");
                libc::WEXITSTATUS(status)
            }
        }
    }
}
