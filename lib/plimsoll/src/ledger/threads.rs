//! Which counters a thread writes, and how it gets and gives them back, without a lock and without
//! an allocation of the ledger's own.
//!
//! Memory: a [`Slot`] of 4 KiB for each thread at a time, taken from the inner allocator when a
//! thread first allocates or frees. When it exits the slot goes, with its figures, to the next
//! thread that starts, and is never given back: as many as there ever were threads at once. A
//! directory of 8 KiB is static. Threads beyond [`SLOTS_MAX`] share one slot with atomic additions:
//! slower, as right.
//!
//! A thread keeps its state in a `const` thread local without destructor, which exists from the
//! first to the last instruction of the thread; that it exits is told by a pthread key. Keys are
//! destroyed after Rust's thread locals (glibc: `__call_tls_dtors` before
//! `__nptl_deallocate_tsd`); what other keys' destructors allocate after ours goes to the shared
//! slot.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::{null_mut, without_provenance};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::TAGS_MAX;
use super::counts::{Counts, Due};
use super::published;

/// Threads at one time with counters of their own. The directory is 8 bytes for each; a program
/// with more threads than this has other worries.
pub(super) const SLOTS_MAX: usize = 1024;
const WORD_BITS: usize = 64;

/// All counters of one thread.
pub(super) struct Slot {
    counts: [Counts; TAGS_MAX],
}

const _: () = assert!(size_of::<Counts>() == 64 && align_of::<Counts>() == 64);
const _: () = assert!(size_of::<Slot>() == super::THREAD_BYTES);

impl Slot {
    const fn new() -> Slot {
        Slot {
            counts: [const {
                Counts {
                    allocated_bytes: AtomicU64::new(0),
                    freed_bytes: AtomicU64::new(0),
                    allocated_blocks: AtomicU64::new(0),
                    freed_blocks: AtomicU64::new(0),
                    published_bytes: AtomicU64::new(0),
                    allocated_check: AtomicU64::new(0),
                    freed_check: AtomicU64::new(0),
                }
            }; TAGS_MAX],
        }
    }

    #[inline(always)]
    pub(super) fn of(&self, tag: u8) -> &Counts {
        // Tags are below it; the remainder tells the compiler, which then checks no bounds.
        &self.counts[usize::from(tag) % TAGS_MAX]
    }
}

/// Slots that were ever taken: a null beyond `SLOTS_USED`, or before one's first thread.
static SLOTS: [AtomicPtr<Slot>; SLOTS_MAX] = [const { AtomicPtr::new(null_mut()) }; SLOTS_MAX];
/// One bit a slot: some thread writes it.
static TAKEN: [AtomicU64; SLOTS_MAX / WORD_BITS] =
    [const { AtomicU64::new(0) }; SLOTS_MAX / WORD_BITS];
static SLOTS_USED: AtomicUsize = AtomicUsize::new(0);
/// For threads without a slot: too many of them, no memory for one, or their slot is given back.
static SHARED: Slot = Slot::new();

struct Thread {
    slot: Cell<Option<&'static Slot>>,
    tag: Cell<u8>,
    /// Never ask for a slot (again).
    shared: Cell<bool>,
}

thread_local! {
    static THREAD: Thread = const {
        Thread { slot: Cell::new(None), tag: Cell::new(0), shared: Cell::new(false) }
    };
}

/// The tag that the calling thread is in.
#[inline(always)]
pub(super) fn current_tag() -> u8 {
    THREAD.with(|thread| thread.tag.get())
}

/// Returns the one before.
pub(super) fn replace_tag(tag: u8) -> u8 {
    THREAD.with(|thread| thread.tag.replace(tag))
}

#[inline(always)]
pub(super) fn count_allocated<A: GlobalAlloc>(inner: &A, tag: u8, bytes: usize, blocks: u64) {
    let slot = THREAD.with(|thread| thread.slot.get());
    match slot {
        Some(slot) => {
            let counts = slot.of(tag);
            if counts.add_allocated(bytes as u64, blocks) == Due::Yes {
                publish(counts, tag);
            }
        }
        None => count_allocated_first(inner, tag, bytes, blocks),
    }
}

#[inline(always)]
pub(super) fn count_freed<A: GlobalAlloc>(inner: &A, tag: u8, bytes: usize, blocks: u64) {
    let slot = THREAD.with(|thread| thread.slot.get());
    match slot {
        Some(slot) => {
            let counts = slot.of(tag);
            if counts.add_freed(bytes as u64, blocks) == Due::Yes {
                publish(counts, tag);
            }
        }
        None => count_freed_first(inner, tag, bytes, blocks),
    }
}

#[cold]
#[inline(never)]
fn publish(counts: &Counts, tag: u8) {
    match counts.take_due() {
        0 => {}
        more => published::add(tag, more),
    }
}

#[cold]
#[inline(never)]
fn count_allocated_first<A: GlobalAlloc>(inner: &A, tag: u8, bytes: usize, blocks: u64) {
    match claim(inner) {
        Some(slot) => {
            slot.of(tag).add_allocated(bytes as u64, blocks);
            publish(slot.of(tag), tag);
        }
        None => {
            SHARED.of(tag).add_allocated_shared(bytes as u64, blocks);
            published::add(tag, (bytes as u64).cast_signed());
        }
    }
}

#[cold]
#[inline(never)]
fn count_freed_first<A: GlobalAlloc>(inner: &A, tag: u8, bytes: usize, blocks: u64) {
    match claim(inner) {
        Some(slot) => {
            slot.of(tag).add_freed(bytes as u64, blocks);
            publish(slot.of(tag), tag);
        }
        None => {
            SHARED.of(tag).add_freed_shared(bytes as u64, blocks);
            published::add(tag, -(bytes as u64).cast_signed());
        }
    }
}

/// Every slot that has figures, the shared one last.
pub(super) fn slots() -> impl Iterator<Item = &'static Slot> {
    let used = SLOTS_USED.load(Ordering::Acquire);
    SLOTS[..used]
        .iter()
        .filter_map(|slot| {
            // SAFETY: null, or a slot that `slot_at` made; those are never given back.
            unsafe { slot.load(Ordering::Acquire).as_ref() }
        })
        .chain(std::iter::once(&SHARED))
}

/// Whether any ledger has counted anything in this process.
pub(super) fn is_used() -> bool {
    SLOTS_USED.load(Ordering::Acquire) > 0
}

/// A slot for this thread from now on. `None`: use the shared one.
fn claim<A: GlobalAlloc>(inner: &A) -> Option<&'static Slot> {
    THREAD.with(|thread| {
        if thread.shared.get() {
            return None;
        }
        let key = exit_key();
        let Some(index) = take_index() else {
            thread.shared.set(true);
            return None;
        };
        let Some(slot) = slot_at(index, inner) else {
            // No memory now: the next call tries again.
            give_index(index);
            return None;
        };
        thread.slot.set(Some(slot));
        if let Some(key) = key {
            // SAFETY: the key was created and is never deleted. The value is a number above 0, not
            // an address. Where it fails the slot is not given back, and nothing else is wrong.
            unsafe { libc::pthread_setspecific(key, without_provenance::<c_void>(index + 1)) };
        }
        Some(slot)
    })
}

fn take_index() -> Option<usize> {
    for (word, taken) in TAKEN.iter().enumerate() {
        let mut bits = taken.load(Ordering::Relaxed);
        while bits != u64::MAX {
            let bit = bits.trailing_ones();
            // Acquire: what the thread before us counted there is seen by us.
            let before = taken.fetch_or(1 << bit, Ordering::Acquire);
            if before & (1 << bit) == 0 {
                return Some(word * WORD_BITS + bit as usize);
            }
            bits = before | (1 << bit);
        }
    }
    None
}

fn give_index(index: usize) {
    TAKEN[index / WORD_BITS].fetch_and(!(1 << (index % WORD_BITS)), Ordering::Release);
}

/// The slot of an index that the caller has taken; makes it on first use.
fn slot_at<A: GlobalAlloc>(index: usize, inner: &A) -> Option<&'static Slot> {
    let mut slot = SLOTS[index].load(Ordering::Acquire);
    if slot.is_null() {
        // SAFETY: the layout of a slot is not of size zero.
        slot = unsafe { inner.alloc_zeroed(Layout::new::<Slot>()) }.cast();
        SLOTS[index].store(slot, Ordering::Release);
        if !slot.is_null() {
            SLOTS_USED.fetch_max(index + 1, Ordering::AcqRel);
        }
    }
    // SAFETY: null, or fresh from an allocator with a slot's layout, zeroed, which is a valid slot
    // of zeros; never given back, and all of it is atomic.
    unsafe { slot.as_ref() }
}

const KEY_NONE: u32 = u32::MAX;
/// The pthread key plus nothing; `KEY_NONE` before the first thread and where the system has no
/// key left. Then slots of exited threads are not used again.
static EXIT_KEY: AtomicU32 = AtomicU32::new(KEY_NONE);

fn exit_key() -> Option<libc::pthread_key_t> {
    let known = EXIT_KEY.load(Ordering::Acquire);
    if known != KEY_NONE {
        return Some(known);
    }
    let mut key: libc::pthread_key_t = 0;
    // SAFETY: `key` is live, and the function has the type that a destructor of keys has.
    if unsafe { libc::pthread_key_create(&raw mut key, Some(thread_exits)) } != 0 {
        return None;
    }
    match EXIT_KEY.compare_exchange(KEY_NONE, key, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {
            // SAFETY: the function takes nothing, and touches atomics and a thread local only.
            // Where it fails a child of fork has fewer slots, and nothing else is wrong.
            unsafe { libc::pthread_atfork(None, None, Some(child_begins)) };
            Some(key)
        }
        Err(other) => {
            // SAFETY: created above, by us, and known to nobody else.
            unsafe { libc::pthread_key_delete(key) };
            Some(other)
        }
    }
}

/// The calling thread ends: all it counted is published, and another thread may go on in its slot.
extern "C" fn thread_exits(value: *mut c_void) {
    THREAD.with(|thread| {
        thread.shared.set(true);
        let Some(slot) = thread.slot.take() else {
            return;
        };
        for (counts, tag) in slot.counts.iter().zip(0u8..) {
            match counts.take_unpublished() {
                0 => {}
                more => published::add(tag, more),
            }
        }
        // `claim` set the value to the index plus one.
        give_index(value.addr() - 1);
    });
}

/// In a child of fork only the calling thread lives: slots of the others are free again. What they
/// counted stays, as what they allocated does.
extern "C" fn child_begins() {
    let own = THREAD.with(|thread| thread.slot.get());
    for (word, taken) in TAKEN.iter().enumerate() {
        let mut keep = 0;
        for bit in 0..WORD_BITS {
            let slot = SLOTS[word * WORD_BITS + bit].load(Ordering::Relaxed);
            if own.is_some_and(|own| std::ptr::eq(own, slot)) {
                keep |= 1 << bit;
            }
        }
        taken.fetch_and(keep, Ordering::Relaxed);
    }
}
