//! The ledger's counters under every order of steps that the memory model allows: the same source,
//! with loom's atomics. Methods of the module that are not called here are the library's.
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

mod atomics {
    pub(super) use loom::sync::atomic::{AtomicU64, Ordering};

    /// Not a `load`: loom 0.7.3 forgets that another thread read a value once the writer itself
    /// has read it, and then leaves out the orders in which the other reads later.
    pub(super) fn own(counter: &AtomicU64) -> u64 {
        // SAFETY: only its owner writes the counter; loom panics if someone else may be at it.
        unsafe { counter.unsync_load() }
    }
}

#[path = "../src/ledger/counts.rs"]
mod counts;

use counts::{BATCH_BYTES, Counts, Due};

#[derive(Default)]
struct Lines {
    one: Counts,
    other: Counts,
}

impl Lines {
    /// As the ledger reads: what was freed first.
    fn live(&self) -> (i64, i64) {
        let lines = [&self.one, &self.other];
        let freed = lines.map(Counts::freed);
        let allocated = lines.map(Counts::allocated);
        let sum = |pairs: [(u64, u64); 2]| {
            let bytes = pairs[0].0.wrapping_add(pairs[1].0);
            (bytes.cast_signed(), (pairs[0].1 + pairs[1].1).cast_signed())
        };
        let (allocated, freed) = (sum(allocated), sum(freed));
        (allocated.0 - freed.0, allocated.1 - freed.1)
    }
}

#[test]
fn a_reader_never_sees_more_freed_than_allocated() {
    loom::model(|| {
        let lines = Arc::new(Lines::default());
        let passed = Arc::new(AtomicBool::new(false));
        let allocates = {
            let (lines, passed) = (Arc::clone(&lines), Arc::clone(&passed));
            thread::spawn(move || {
                lines.one.add_allocated(10, 1);
                passed.store(true, Ordering::Release);
            })
        };
        let frees = {
            let (lines, passed) = (Arc::clone(&lines), Arc::clone(&passed));
            thread::spawn(move || {
                if passed.load(Ordering::Acquire) {
                    lines.other.add_freed(10, 1);
                    return true;
                }
                false
            })
        };
        let (bytes, blocks) = lines.live();
        assert!((0..=10).contains(&bytes) && (0..=1).contains(&blocks));
        allocates.join().expect("no panic");
        let freed = frees.join().expect("no panic");
        assert_eq!(lines.live(), if freed { (0, 0) } else { (10, 1) });
    });
}

#[test]
fn a_line_that_threads_share_loses_nothing() {
    loom::model(|| {
        let lines = Arc::new(Lines::default());
        let threads: Vec<_> = [3, 5]
            .into_iter()
            .map(|bytes| {
                let lines = Arc::clone(&lines);
                thread::spawn(move || {
                    lines.one.add_allocated_shared(bytes, 1);
                    lines.one.add_freed_shared(1, 0);
                })
            })
            .collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().expect("no panic"));
        assert_eq!(lines.live(), (6, 2));
    });
}

#[test]
fn a_line_goes_to_the_next_thread_with_all_that_was_counted() {
    loom::model(|| {
        let lines = Arc::new(Lines::default());
        let taken = Arc::new(AtomicBool::new(true));
        let exits = {
            let (lines, taken) = (Arc::clone(&lines), Arc::clone(&taken));
            thread::spawn(move || {
                lines.one.add_allocated(7, 1);
                let published = lines.one.take_unpublished();
                taken.store(false, Ordering::Release);
                published
            })
        };
        let before = if taken.swap(true, Ordering::Acquire) {
            None
        } else {
            lines.one.add_allocated(5, 1);
            Some(lines.one.take_unpublished())
        };
        assert_eq!(exits.join().expect("no panic"), 7);
        match before {
            Some(published) => {
                assert_eq!(published, 5);
                assert_eq!(lines.live(), (12, 2));
            }
            None => assert_eq!(lines.live(), (7, 1)),
        }
    });
}

/// Not an order of steps, but of calls: what is not published never exceeds a batch.
#[test]
fn what_is_not_published_is_at_most_a_batch() {
    loom::model(|| {
        let lines = Lines::default();
        let mut published = 0i64;
        let mut live = 0i64;
        let steps = [
            1,
            32_000,
            32_000,
            32_000,
            -96_000,
            70_000,
            -1,
            64_000,
            -30_000,
            -30_000,
            -30_000,
            500,
            1 << 40,
            -(1 << 40),
            -64_000,
            65_536,
            -65_536,
            32_768,
            32_768,
            1,
        ];
        for step in steps {
            live += step;
            let due = if step > 0 {
                lines.one.add_allocated(step as u64, 1)
            } else {
                lines.one.add_freed(step.unsigned_abs(), 1)
            };
            if due == Due::Yes {
                published += lines.one.take_due();
            }
            let unpublished = (live - published).unsigned_abs();
            assert!(unpublished <= BATCH_BYTES, "{unpublished} after {step}");
        }
        published += lines.one.take_unpublished();
        assert_eq!(published, live);
    });
}
