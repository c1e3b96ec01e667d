//! The ledger as the global allocator of this process. Each test counts in tags of its own, so
//! they may run side by side.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};
use std::thread;

use plimsoll::ledger::{self, Ledger, Tag, TagFigures};

#[global_allocator]
static LEDGER: Ledger = Ledger::system();

/// Live bytes and blocks, total bytes and blocks.
#[track_caller]
fn check(tag: &'static Tag, expected: (u64, u64, u64, u64)) {
    let found = tag.figures();
    let numbers = (
        found.live_bytes,
        found.live_blocks,
        found.total_bytes,
        found.total_blocks,
    );
    assert_eq!(numbers, expected, "{found:?}");
}

#[test]
fn bytes_and_blocks_are_those_that_were_requested() {
    static TAG: Tag = Tag::new("requested");
    let (one, two) = TAG.run(|| (vec![0u8; 1000], Box::new([1u64; 4])));
    check(&TAG, (1032, 2, 1032, 2));
    drop(one);
    check(&TAG, (32, 1, 1032, 2));
    drop(two);
    check(&TAG, (0, 0, 1032, 2));
    let row: Vec<TagFigures> = ledger::snapshot()
        .into_iter()
        .filter(|row| row.name == "requested")
        .collect();
    assert_eq!(row, [TAG.figures()]);
    assert!(ledger::is_installed());
    let total = ledger::total();
    assert!(total.total_bytes >= 1032 && total.peak_bytes >= total.live_bytes);
}

#[test]
fn a_free_is_charged_to_the_tag_that_allocated_from_any_thread_and_tag() {
    static OWNER: Tag = Tag::new("owner");
    static OTHER: Tag = Tag::new("other");
    let block = OWNER.run(|| vec![7u8; 5000]);
    thread::spawn(move || OTHER.run(move || drop(block)))
        .join()
        .expect("no panic");
    check(&OWNER, (0, 0, 5000, 1));
    check(&OTHER, (0, 0, 0, 0));
}

#[test]
fn a_block_that_grows_or_shrinks_stays_with_its_tag() {
    static FIRST: Tag = Tag::new("first");
    static LATER: Tag = Tag::new("later");
    let mut list: Vec<u8> = FIRST.run(|| Vec::with_capacity(100));
    LATER.run(|| list.reserve_exact(1 << 20));
    check(&FIRST, (1 << 20, 1, 1 << 20, 1));
    list.resize(1 << 20, 3);
    LATER.run(|| list.shrink_to(0));
    list.truncate(10);
    LATER.run(|| list.shrink_to_fit());
    check(&FIRST, (10, 1, 1 << 20, 1));
    assert_eq!(list, [3; 10]);
    drop(list);
    check(&FIRST, (0, 0, 1 << 20, 1));
    check(&LATER, (0, 0, 0, 0));
}

#[test]
fn alignment_zero_size_and_zeroed_blocks() {
    static TAG: Tag = Tag::new("layouts");
    let check_layout = |size: usize, align: usize| {
        let layout = Layout::from_size_align(size, align).expect("valid");
        let before = TAG.figures();
        // SAFETY: the layouts are valid and given back as taken; the system's allocator takes the
        // size of zero, to which the ledger adds one. Only bytes of the block are written.
        unsafe {
            let _scope = TAG.enter();
            let block = LEDGER.alloc_zeroed(layout);
            assert!(!block.is_null());
            assert_eq!(block.addr() % align, 0, "{layout:?}");
            assert!((0..size).all(|at| *block.add(at) == 0), "{layout:?}");
            block.write_bytes(0xff, size);
            assert_eq!(
                TAG.figures().live_bytes - before.live_bytes,
                size as u64,
                "{layout:?}"
            );
            let block = LEDGER.realloc(block, layout, size + 100);
            assert_eq!(block.addr() % align, 0, "{layout:?}");
            assert!((0..size).all(|at| *block.add(at) == 0xff), "{layout:?}");
            block.write_bytes(0xff, size + 100);
            let layout = Layout::from_size_align(size + 100, align).expect("valid");
            LEDGER.dealloc(block, layout);
        }
        let after = TAG.figures();
        assert_eq!(after.live_bytes, before.live_bytes, "{layout:?}");
        assert_eq!(after.live_blocks, before.live_blocks, "{layout:?}");
    };
    for align in [1, 2, 8, 16, 32, 64, 4096, 1 << 16] {
        for size in [0, 1, 7, 8, 24, 4095, 4096, 100_000] {
            check_layout(size, align);
        }
    }
    let most = Layout::from_size_align(isize::MAX as usize, 1).expect("the largest layout");
    // SAFETY: of no use but valid; nothing is given.
    assert!(unsafe { LEDGER.alloc(most) }.is_null());
}

#[test]
fn scopes_nest_and_come_back() {
    static OUTER: Tag = Tag::new("outer");
    static INNER: Tag = Tag::new("inner");
    assert_eq!(Tag::current().name(), "untagged");
    let scope = OUTER.enter();
    INNER.run(|| assert_eq!(Tag::current().name(), "inner"));
    assert_eq!(Tag::current().name(), "outer");
    let unwound = std::panic::catch_unwind(|| INNER.run(|| panic!("expected")));
    assert!(unwound.is_err());
    assert_eq!(Tag::current().name(), "outer");
    drop(scope);
    assert_eq!(Tag::current().name(), "untagged");
}

#[test]
fn a_tag_is_carried_to_another_thread() {
    static TAG: Tag = Tag::new("carried");
    let _scope = TAG.enter();
    let tag = Tag::current();
    let carried = thread::spawn(move || {
        assert_eq!(Tag::current().name(), "untagged");
        let _scope = tag.enter();
        vec![1u8; 777]
    });
    let block = carried.join().expect("no panic");
    let before = TAG.figures().live_bytes;
    drop(block);
    assert_eq!(before - TAG.figures().live_bytes, 777);
}

#[test]
fn a_future_is_in_its_tag_whenever_it_is_polled() {
    static TAG: Tag = Tag::new("task");
    let mut yielded = false;
    let task = TAG.follow(async {
        let first = vec![1u8; 100];
        std::future::poll_fn(|_| match std::mem::replace(&mut yielded, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
        (first, vec![2u8; 200])
    });
    let mut task = pin!(task);
    let mut context = Context::from_waker(Waker::noop());
    assert!(task.as_mut().poll(&mut context).is_pending());
    check(&TAG, (100, 1, 100, 1));
    let elsewhere = vec![0u8; 999];
    assert_eq!(Tag::current().name(), "untagged");
    let Poll::Ready(both) = task.as_mut().poll(&mut context) else {
        panic!("ready at the second poll");
    };
    check(&TAG, (300, 2, 300, 2));
    drop((both, elsewhere));
    check(&TAG, (0, 0, 300, 2));
}

#[test]
fn counts_of_threads_that_exited_stay() {
    static TAG: Tag = Tag::new("exited");
    // More threads than there are slots, one after the other and some at a time.
    for _ in 0..200 {
        let threads: Vec<_> = (0..8)
            .map(|_| thread::spawn(|| TAG.run(|| drop(vec![1u8; 100]))))
            .collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().expect("no panic"));
    }
    check(&TAG, (0, 0, 160_000, 1600));
}

#[test]
fn destructors_of_thread_locals_are_counted() {
    static TAG: Tag = Tag::new("destructor");
    struct AllocatesAtExit(Vec<u8>);
    impl Drop for AllocatesAtExit {
        fn drop(&mut self) {
            TAG.run(|| {
                let more = vec![1u8; 300];
                self.0 = vec![2u8; 400];
                std::mem::forget(more);
            });
        }
    }
    thread_local! {
        static LOCAL: RefCell<Option<AllocatesAtExit>> = const { RefCell::new(None) };
    }
    thread::spawn(|| {
        LOCAL.with(|local| *local.borrow_mut() = Some(AllocatesAtExit(Vec::new())));
    })
    .join()
    .expect("no panic");
    check(&TAG, (300, 1, 700, 2));
}

#[test]
fn destructors_of_pthread_keys_are_counted_even_after_the_ledgers_own() {
    static TAG: Tag = Tag::new("key");
    extern "C" fn allocates(value: *mut libc::c_void) {
        // Three more rounds of destructors come after this one: the ledger's is among the first.
        let rounds = value.addr();
        TAG.run(|| std::mem::forget(vec![1u8; 50]));
        if rounds < 4 {
            // SAFETY: the key lives as long as the process.
            unsafe {
                libc::pthread_setspecific(
                    KEY.get().copied().expect("set"),
                    std::ptr::without_provenance(rounds + 1),
                )
            };
        }
    }
    static KEY: std::sync::OnceLock<libc::pthread_key_t> = std::sync::OnceLock::new();
    KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: `key` is live, and the function is a destructor of keys.
        let made = unsafe { libc::pthread_key_create(&raw mut key, Some(allocates)) };
        assert_eq!(made, 0);
        key
    });
    thread::spawn(|| {
        // SAFETY: as above.
        unsafe {
            libc::pthread_setspecific(*KEY.get().expect("set"), std::ptr::without_provenance(1))
        };
    })
    .join()
    .expect("no panic");
    check(&TAG, (200, 4, 200, 4));
}

#[test]
fn many_threads_pass_blocks_around() {
    static TAG: Tag = Tag::new("passed around");
    const THREADS: u64 = 8;
    const BLOCKS: u64 = 20_000;
    let start = Arc::new(Barrier::new(THREADS as usize));
    let mut senders = Vec::new();
    let mut receivers = Vec::new();
    for _ in 0..THREADS {
        let (sender, receiver) = channel::<Vec<u8>>();
        senders.push(sender);
        receivers.push(receiver);
    }
    senders.rotate_left(1);
    let threads: Vec<_> = senders
        .into_iter()
        .zip(receivers)
        .map(|(next, previous)| {
            let start = Arc::clone(&start);
            thread::spawn(move || {
                start.wait();
                for size in 1..=BLOCKS {
                    let block = TAG.run(|| Vec::with_capacity(size as usize % 500 + 1));
                    next.send(block).expect("the neighbour listens");
                    if size % 64 == 0 {
                        drop(previous.try_iter().take(64).collect::<Vec<_>>());
                        let now = TAG.figures();
                        assert!(now.live_bytes <= now.total_bytes, "{now:?}");
                    }
                }
                drop(next);
                previous.iter().for_each(drop);
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().expect("no panic"));
    let bytes: u64 = (1..=BLOCKS).map(|size| size % 500 + 1).sum();
    check(&TAG, (0, 0, bytes * THREADS, BLOCKS * THREADS));
}

#[test]
fn a_peak_is_right_within_a_batch_for_each_thread() {
    static TAG: Tag = Tag::new("peak");
    const BATCH: u64 = 64 << 10;
    const THREADS: u64 = 4;
    const EACH: u64 = 1 << 20;
    let (held, freed) = (
        Arc::new(Barrier::new(THREADS as usize)),
        Arc::new(Barrier::new(THREADS as usize)),
    );
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (held, freed) = (Arc::clone(&held), Arc::clone(&freed));
            thread::spawn(move || {
                let blocks = 1 << 10;
                let mut own = Vec::with_capacity(blocks);
                let scope = TAG.enter();
                own.extend((0..blocks).map(|_| Vec::<u8>::with_capacity(EACH as usize / blocks)));
                drop(scope);
                held.wait();
                drop(own);
                freed.wait();
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().expect("no panic"));
    let found = TAG.figures();
    assert_eq!(found.live_bytes, 0);
    let (truth, bound) = (THREADS * EACH, THREADS * BATCH);
    assert!(found.peak_bytes.abs_diff(truth) <= bound, "{found:?}");

    // One large block is told at once.
    static LARGE: Tag = Tag::new("large");
    LARGE.run(|| drop(Vec::<u8>::with_capacity(BATCH as usize + 1)));
    assert_eq!(LARGE.figures().peak_bytes, BATCH + 1);
}

#[test]
fn a_thread_costs_a_cache_line_for_each_tag() {
    assert_eq!(ledger::THREAD_BYTES, ledger::TAGS_MAX * 64);
    assert!(size_of::<Tag>() <= 24);
}
