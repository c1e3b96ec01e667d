//! One thread: bytes and blocks, layouts, and what no allocator can give.

use std::alloc::{GlobalAlloc, Layout};

use plimsoll::ledger::{Ledger, Tag};

use crate::figures;

/// Blocks that come, grow, shrink in another tag and go.
///
/// # Panics
/// Where a figure is not what was requested.
pub fn counts_are_exact() {
    static FIRST: Tag = Tag::new("exact, first");
    static LATER: Tag = Tag::new("exact, later");
    let (zeroed, boxed) = FIRST.run(|| (vec![0_u8; 1000], Box::new([1_u64; 4])));
    assert_eq!(figures(&FIRST), [1032, 2, 1032, 2]);
    let mut list: Vec<u8> = FIRST.run(|| Vec::with_capacity(100));
    LATER.run(|| list.reserve_exact(1 << 20));
    assert_eq!(figures(&FIRST), [1032 + (1 << 20), 3, 1032 + (1 << 20), 3]);
    list.extend(0..10);
    LATER.run(|| list.shrink_to_fit());
    assert_eq!(figures(&FIRST), [1042, 3, 1032 + (1 << 20), 3]);
    assert_eq!(list, (0..10).collect::<Vec<u8>>());
    assert!(zeroed.iter().all(|byte| *byte == 0));
    LATER.run(|| drop((zeroed, boxed, list)));
    assert_eq!(figures(&FIRST), [0, 0, 1032 + (1 << 20), 3]);
    assert_eq!(figures(&LATER), [0; 4]);
}

/// Every size in every alignment, fresh, zeroed, grown and shrunk: aligned, whole, counted.
///
/// # Panics
/// Where one is not.
pub fn layouts_are_kept<A: GlobalAlloc>(ledger: &Ledger<A>) {
    for align in [1, 2, 8, 16, 32, 64, 4096, 1 << 16, 1 << 21] {
        for size in [0, 1, 7, 8, 15, 16, 24, 63, 64, 4095, 4096, 100_000, 3 << 20] {
            layout_is_kept(ledger, size, align);
        }
    }
}

fn layout_is_kept<A: GlobalAlloc>(ledger: &Ledger<A>, size: usize, align: usize) {
    static TAG: Tag = Tag::new("layouts");
    let layout = |size| Layout::from_size_align(size, align).expect("valid");
    let live = || TAG.figures().live_bytes;
    let before = figures(&TAG);
    let [bytes, ..] = before;
    // SAFETY: blocks are given back with the layout they were taken with; only bytes of the block are
    // written and read. The size of zero never reaches the inner allocator: the ledger adds one.
    unsafe {
        let _scope = TAG.enter();
        let fresh = ledger.alloc(layout(size));
        let block = ledger.alloc_zeroed(layout(size));
        assert!(!fresh.is_null() && !block.is_null(), "{size} {align}");
        assert_eq!((fresh.addr() | block.addr()) % align, 0, "{size} {align}");
        assert!(are(block, size, 0), "{size} {align}");
        fresh.write_bytes(0x55, size);
        block.write_bytes(0xaa, size);
        assert_eq!(live() - bytes, 2 * size as u64, "{size} {align}");

        let grown = ledger.realloc(block, layout(size), 2 * size + 100);
        assert_eq!(grown.addr() % align, 0, "{size} {align}");
        assert!(are(grown, size, 0xaa), "{size} {align}");
        grown.write_bytes(0xaa, 2 * size + 100);
        assert_eq!(live() - bytes, 3 * size as u64 + 100, "{size} {align}");

        let shrunk = ledger.realloc(grown, layout(2 * size + 100), size / 2 + 1);
        assert_eq!(shrunk.addr() % align, 0, "{size} {align}");
        assert!(are(shrunk, size / 2 + 1, 0xaa), "{size} {align}");
        assert!(are(fresh, size, 0x55), "{size} {align}");
        ledger.dealloc(shrunk, layout(size / 2 + 1));
        ledger.dealloc(fresh, layout(size));
    }
    let after = figures(&TAG);
    assert_eq!(after[..2], before[..2], "{size} {align}");
    assert_eq!(after[3] - before[3], 2, "{size} {align}");
}

/// # Safety
/// `bytes` from `block` on can be read.
unsafe fn are(block: *const u8, bytes: usize, value: u8) -> bool {
    // SAFETY: by the caller.
    (0..bytes).all(|at| unsafe { *block.add(at) == value })
}

/// Null, and nothing counted; what was to grow stays as it is.
///
/// # Panics
/// Where something is given or counted.
pub fn too_large_is_refused<A: GlobalAlloc>(ledger: &Ledger<A>) {
    static TAG: Tag = Tag::new("refused");
    let _scope = TAG.enter();
    let small = Layout::new::<[u8; 100]>();
    // The largest layout, to which no byte can be added, and one that no machine has.
    for bytes in [isize::MAX as usize, isize::MAX as usize - 4096] {
        let most = Layout::from_size_align(bytes, 1).expect("valid");
        // SAFETY: sizes are not zero; the small block is given back as it was taken.
        unsafe {
            assert!(ledger.alloc(most).is_null());
            assert!(ledger.alloc_zeroed(most).is_null());
            let block = ledger.alloc(small);
            block.write_bytes(3, small.size());
            assert!(ledger.realloc(block, small, bytes).is_null());
            assert!(are(block, small.size(), 3));
            ledger.dealloc(block, small);
        }
    }
    assert_eq!(figures(&TAG), [0, 0, 200, 2]);
}
