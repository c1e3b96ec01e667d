//! Which process a beacon is of, and what a fork must wait for.
//!
//! A pid does not tell: a child in a new pid namespace may have its parent's. So forks are counted, by
//! handlers that every call of fork(3) runs.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{MutexGuard, Once};

use crate::error::{Error, ErrorKind};
use crate::sync::{Mutex, lock};

/// Forks between this process and the first one, plus one.
static GENERATION: AtomicU64 = AtomicU64::new(1);
/// Generation that has a beacon; 0 for none.
static OWNER: AtomicU64 = AtomicU64::new(0);
/// Held while a text is written, which takes the locks of budgets and stages.
static WRITING: Mutex<()> = Mutex::new(());
static HANDLERS: Once = Once::new();

thread_local! {
    /// From before a fork to after it, in the thread that forks.
    static HELD: RefCell<Option<MutexGuard<'static, ()>>> = const { RefCell::new(None) };
}

/// No fork happens until it is dropped.
pub(super) fn writing() -> MutexGuard<'static, ()> {
    lock(&WRITING)
}

/// The one place for a beacon in this process, until it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    generation: u64,
    process: u32,
}

impl Claim {
    pub(super) fn take() -> Result<Claim, Error> {
        // SAFETY: handlers that take and give back one lock, and count.
        HANDLERS.call_once(|| unsafe {
            libc::pthread_atfork(Some(fork_begins), Some(fork_ended), Some(child_begins));
        });
        let generation = GENERATION.load(Ordering::Acquire);
        let before = OWNER.load(Ordering::Acquire);
        let taken =
            || OWNER.compare_exchange(before, generation, Ordering::AcqRel, Ordering::Acquire);
        if before == generation || taken().is_err() {
            let text =
                "publish a beacon: this process has one; drop it first, or give it all budgets";
            return Err(Error::new(ErrorKind::Exists, text));
        }
        Ok(Claim {
            generation,
            process: std::process::id(),
        })
    }

    /// Not in a child of fork, nor in one of a bare clone(2), which runs no handlers.
    pub(super) fn is_ours(&self) -> bool {
        self.generation == GENERATION.load(Ordering::Acquire) && self.process == std::process::id()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.is_ours() {
            OWNER.store(0, Ordering::Release);
        }
    }
}

extern "C" fn fork_begins() {
    HELD.with(|held| *held.borrow_mut() = Some(writing()));
}

extern "C" fn fork_ended() {
    HELD.with(|held| drop(held.borrow_mut().take()));
}

extern "C" fn child_begins() {
    GENERATION.fetch_add(1, Ordering::AcqRel);
    fork_ended();
}
