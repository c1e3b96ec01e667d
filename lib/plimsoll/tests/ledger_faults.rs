//! The n-th allocation of the inner allocator fails, for every n: figures stay right, and what was
//! held stays as it was.

use std::alloc::{GlobalAlloc, Layout, System, alloc, alloc_zeroed, dealloc, realloc};
use std::cell::Cell;
use std::thread;

use plimsoll::ledger::{Ledger, Tag};

/// Fails the n-th call of a thread that asked for it, and counts them.
struct Failing;

thread_local! {
    static CALLS_LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
}

fn fails() -> bool {
    CALLS_LEFT.with(|left| {
        left.set(left.get().wrapping_sub(1));
        left.get() == 0
    })
}

// SAFETY: the system's allocator, or null.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fails() {
            return std::ptr::null_mut();
        }
        // SAFETY: by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if fails() {
            return std::ptr::null_mut();
        }
        // SAFETY: by the caller.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if fails() {
            return std::ptr::null_mut();
        }
        // SAFETY: by the caller.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: by the caller.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static LEDGER: Ledger<Failing> = Ledger::new(Failing);

static TAG: Tag = Tag::new("faults");

/// Calls in their order; returns how many failed, and leaves nothing behind.
fn script(nth: u64) -> u64 {
    let before = TAG.figures();
    CALLS_LEFT.set(nth);
    let mut failed = 0;
    let mut live = 0;
    let mut blocks: [(*mut u8, Layout); 8] = [(std::ptr::null_mut(), Layout::new::<u8>()); 8];
    for (number, place) in blocks.iter_mut().enumerate() {
        let layout = Layout::from_size_align(10 + number * 1000, 1 << number).expect("valid");
        // SAFETY: of no layout is the size zero.
        let block = unsafe {
            if number % 2 == 0 {
                alloc(layout)
            } else {
                alloc_zeroed(layout)
            }
        };
        if block.is_null() {
            failed += 1;
            continue;
        }
        *place = (block, layout);
        live += layout.size() as u64;
        // SAFETY: inside the block.
        unsafe { block.write_bytes(number as u8, layout.size()) };
    }
    for (number, (block, layout)) in blocks.iter_mut().enumerate() {
        if block.is_null() {
            continue;
        }
        let size = if number % 3 == 0 {
            layout.size() / 2
        } else {
            layout.size() * 3
        };
        // SAFETY: the block was taken with this layout; the size is not zero.
        let moved = unsafe { realloc(*block, *layout, size) };
        if moved.is_null() {
            failed += 1;
            continue;
        }
        live = live - layout.size() as u64 + size as u64;
        *block = moved;
        *layout = Layout::from_size_align(size, layout.align()).expect("valid");
    }
    CALLS_LEFT.set(u64::MAX);
    assert_eq!(
        TAG.figures().live_bytes - before.live_bytes,
        live,
        "call {nth}"
    );
    for (number, (block, layout)) in blocks.into_iter().enumerate() {
        if block.is_null() {
            continue;
        }
        // SAFETY: inside the block, whose first bytes survive every resize; given back once.
        unsafe {
            assert_eq!(block.add(4).read(), number as u8);
            dealloc(block, layout);
        }
    }
    assert_eq!(TAG.figures().live_bytes, before.live_bytes, "call {nth}");
    assert_eq!(TAG.figures().live_blocks, before.live_blocks, "call {nth}");
    failed
}

#[test]
fn every_failing_allocation_leaves_the_figures_right() {
    let _scope = TAG.enter();
    // A thread has its slot from the start, so each of the 16 calls is the script's own.
    for nth in 1..=16 {
        assert_eq!(script(nth), 1, "call {nth}");
    }
    assert_eq!(script(17), 0);
    assert_eq!(script(u64::MAX), 0);
}

#[test]
fn a_thread_without_memory_for_its_slot_is_counted() {
    static FIRST: Tag = Tag::new("no slot");
    // SAFETY: `pthread_create` gives a thread that has allocated nothing yet.
    unsafe {
        extern "C" fn starts(_: *mut libc::c_void) -> *mut libc::c_void {
            let _scope = FIRST.enter();
            // The first call is the block, the second is the slot.
            CALLS_LEFT.set(2);
            let layout = Layout::new::<[u8; 100]>();
            // SAFETY: taken and given back with the same layout.
            unsafe {
                let block = alloc(layout);
                assert!(!block.is_null());
                assert_eq!(FIRST.figures().live_bytes, 100);
                dealloc(block, layout);
            }
            std::ptr::null_mut()
        }
        let mut thread = 0;
        let made = libc::pthread_create(
            &raw mut thread,
            std::ptr::null(),
            starts,
            std::ptr::null_mut(),
        );
        assert_eq!(made, 0);
        assert_eq!(libc::pthread_join(thread, std::ptr::null_mut()), 0);
    }
    let found = FIRST.figures();
    assert_eq!(
        (found.live_bytes, found.total_bytes, found.peak_bytes),
        (0, 100, 100)
    );
    thread::spawn(|| FIRST.run(|| drop(vec![0u8; 5])))
        .join()
        .expect("no panic");
    assert_eq!(FIRST.figures().total_bytes, 105);
}
