//! Many threads: blocks that wander, threads that end, and what is allocated while they do.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::cell::RefCell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use plimsoll::ledger::Tag;

use crate::figures;

const THREADS: u64 = 6;
const STEPS: u64 = 20_000;

/// A block that its thread or a neighbour's frees.
struct Block {
    address: *mut u8,
    layout: Layout,
    fill: u8,
}

// SAFETY: whoever has the value is the only one that knows the block.
unsafe impl Send for Block {}

impl Block {
    fn new(number: u64) -> Block {
        let size = 1 + (number >> 8) as usize % (1 << (4 + number % 10));
        let layout = Layout::from_size_align(size, 1 << ((number >> 40) % 8)).expect("valid");
        let fill = number as u8;
        // SAFETY: the size is not zero; what is written lies inside.
        unsafe {
            let address = if number >> 60 == 0 {
                let address = alloc_zeroed(layout);
                assert!((0..size).all(|at| *address.add(at) == 0));
                address
            } else {
                alloc(layout)
            };
            assert!(!address.is_null());
            address.write_bytes(fill, size);
            Block {
                address,
                layout,
                fill,
            }
        }
    }

    fn resize(&mut self, size: usize) {
        // SAFETY: taken with this layout; the size is not zero; what is written lies inside.
        unsafe {
            self.address = realloc(self.address, self.layout, size);
            assert!(!self.address.is_null());
            let kept = size.min(self.layout.size());
            assert!((0..kept).all(|at| *self.address.add(at) == self.fill));
            self.address.write_bytes(self.fill, size);
        }
        self.layout = Layout::from_size_align(size, self.layout.align()).expect("valid");
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: taken with this layout, given back once.
        unsafe {
            for at in 0..self.layout.size() {
                assert_eq!(*self.address.add(at), self.fill, "another wrote here");
            }
            dealloc(self.address, self.layout);
        }
    }
}

/// Threads allocate, resize, pass blocks on and free what they are passed.
///
/// # Panics
/// Where a block is damaged, or the figures are not the sums of what was done.
pub fn threads_agree() {
    static TAG: Tag = Tag::new("threads");
    static BLOCKS: AtomicU64 = AtomicU64::new(0);
    let (senders, receivers): (Vec<Sender<Block>>, Vec<Receiver<Block>>) =
        (0..THREADS).map(|_| channel()).unzip();
    let before = figures(&TAG);
    thread::scope(|scope| {
        for (seed, receiver) in (1..).zip(receivers) {
            let next = senders[seed as usize % senders.len()].clone();
            scope.spawn(move || {
                let mut random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed);
                let mut own: Vec<Block> = Vec::with_capacity(STEPS as usize);
                for _ in 0..STEPS {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    match random % 4 {
                        0 | 1 => {
                            own.push(TAG.run(|| Block::new(random)));
                            BLOCKS.fetch_add(1, Ordering::Relaxed);
                        }
                        2 => {
                            if let Some(block) = own.last_mut() {
                                block.resize(1 + (random >> 20) as usize % 5000);
                            }
                        }
                        _ => {
                            let place = random as usize % (own.len() + 1);
                            if place < own.len() {
                                next.send(own.swap_remove(place)).expect("it listens");
                            }
                            receiver.try_iter().take(2).for_each(drop);
                        }
                    }
                }
                drop(next);
                receiver.iter().for_each(drop);
            });
        }
        drop(senders);
    });
    let [live_bytes, live_blocks, _, total_blocks] = figures(&TAG);
    assert_eq!([live_bytes, live_blocks], before[..2]);
    assert_eq!(total_blocks - before[3], BLOCKS.load(Ordering::Relaxed));
}

/// One thread after the other, and some at a time: figures stay when they are gone.
///
/// # Panics
/// Where a figure is lost.
pub fn exited_threads_stay_counted() {
    static TAG: Tag = Tag::new("exited");
    let mut kept = Vec::new();
    for _ in 0..100 {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                thread::spawn(|| {
                    TAG.run(|| {
                        drop(vec![1_u8; 100]);
                        vec![2_u8; 50]
                    })
                })
            })
            .collect();
        let blocks = threads.into_iter().map(|thread| thread.join());
        kept.extend(blocks.map(|block| block.expect("no panic")));
    }
    assert_eq!(figures(&TAG), [800 * 50, 800, 800 * 150, 1600]);
    // Freed by a thread that did not allocate them, after those that did are gone.
    drop(kept);
    assert_eq!(figures(&TAG), [0, 0, 800 * 150, 1600]);
}

/// What destructors of thread locals and of pthread keys allocate and free, to the last one.
///
/// # Panics
/// Where a figure is not what they requested.
pub fn destructors_are_counted() {
    static TAG: Tag = Tag::new("destructors");
    struct AllocatesAtExit(Vec<u8>);
    impl Drop for AllocatesAtExit {
        fn drop(&mut self) {
            TAG.run(|| {
                self.0 = vec![2; 400];
                std::mem::forget(vec![1_u8; 300]);
            });
        }
    }
    thread_local! {
        static LOCAL: RefCell<Option<AllocatesAtExit>> = const { RefCell::new(None) };
    }
    static KEY: OnceLock<libc::pthread_key_t> = OnceLock::new();
    /// Asks for another round of destructors three times: the allocator's own, and the ledger's, are
    /// over by then.
    extern "C" fn allocates(value: *mut libc::c_void) {
        TAG.run(|| std::mem::forget(vec![1_u8; 50]));
        if value.addr() < 4 {
            let key = *KEY.get().expect("set before");
            // SAFETY: the key lives as long as the process; the value is a number above 0.
            unsafe {
                libc::pthread_setspecific(key, std::ptr::without_provenance(value.addr() + 1))
            };
        }
    }
    let key = *KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: `key` is live, and the function is a destructor of keys.
        let made = unsafe { libc::pthread_key_create(&raw mut key, Some(allocates)) };
        assert_eq!(made, 0);
        key
    });
    const ROUNDS: u64 = 50;
    for _ in 0..ROUNDS {
        thread::spawn(move || {
            LOCAL.set(Some(AllocatesAtExit(Vec::new())));
            // SAFETY: as above.
            unsafe { libc::pthread_setspecific(key, std::ptr::without_provenance(1)) };
        })
        .join()
        .expect("no panic");
    }
    let left = ROUNDS * (300 + 4 * 50);
    let blocks = ROUNDS * (1 + 4);
    let expected = [left, blocks, left + ROUNDS * 400, blocks + ROUNDS];
    assert_eq!(figures(&TAG), expected);
}
