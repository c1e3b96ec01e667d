//! A child of fork goes on with its parent's figures, and the parent's stay as they are.

use std::thread;

use plimsoll::ledger::{Ledger, Tag};

#[global_allocator]
static LEDGER: Ledger = Ledger::system();

static TAG: Tag = Tag::new("forked");

/// What the child finds wrong, as its exit code; 0 for nothing.
fn child(block: Vec<u8>) -> i32 {
    if TAG.figures().live_bytes != 1000 {
        return 1;
    }
    let more = TAG.run(|| vec![2u8; 500]);
    if TAG.figures().live_bytes != 1500 {
        return 2;
    }
    drop(block);
    drop(more);
    if TAG.figures().live_bytes != 0 || TAG.figures().total_blocks != 2 {
        return 3;
    }
    // A child may start threads; slots of the parent's threads are free again.
    let threads: Vec<_> = (0..8)
        .map(|_| thread::spawn(|| TAG.run(|| drop(vec![1u8; 10]))))
        .collect();
    if threads.into_iter().any(|thread| thread.join().is_err()) {
        return 4;
    }
    if TAG.figures().live_bytes != 0 || TAG.figures().total_blocks != 10 {
        return 5;
    }
    // And fork again.
    if in_child(|| i32::from(TAG.figures().total_blocks != 10)) != 0 {
        return 6;
    }
    0
}

fn in_child(act: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child calls what the system's allocator, which fork leaves usable, and atomics
    // need, then ends without unwinding or running what the parent would run at its exit.
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

#[test]
fn a_child_goes_on_where_its_parent_was() {
    // Others allocate meanwhile, in another tag: the child inherits their slots without them.
    static NOISE: Tag = Tag::new("noise");
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let others: Vec<_> = (0..4)
        .map(|_| {
            let stop = std::sync::Arc::clone(&stop);
            thread::spawn(move || {
                let _scope = NOISE.enter();
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    drop(std::hint::black_box(vec![1u8; 200]));
                }
            })
        })
        .collect();
    let block = TAG.run(|| vec![1u8; 1000]);
    for _ in 0..20 {
        let copy = std::mem::ManuallyDrop::new(&block);
        // SAFETY: the child's copy of the block is another one; only the child drops it.
        let owned = unsafe { std::ptr::read(*copy) };
        let owned = std::mem::ManuallyDrop::new(owned);
        let code = in_child(move || child(std::mem::ManuallyDrop::into_inner(owned)));
        assert_eq!(code, 0);
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    others
        .into_iter()
        .for_each(|other| other.join().expect("no panic"));
    let parent = TAG.figures();
    assert_eq!((parent.live_bytes, parent.total_blocks), (1000, 1));
    assert_eq!(NOISE.figures().live_blocks, 0);
    drop(block);
    assert_eq!(TAG.figures().live_bytes, 0);
}
