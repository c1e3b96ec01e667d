//! Tags: names under which bytes are counted, entered for a scope, a closure or a future.
//!
//! Memory: 24 bytes a tag; the table of tags is 512 bytes, static.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicU8, Ordering};
use std::task::{Context, Poll};

use super::{TAGS_MAX, threads};

/// A name under which allocations are counted. 24 bytes, made once, as a static:
///
/// ```
/// use plimsoll::ledger::Tag;
///
/// static IMPORT: Tag = Tag::new("import");
///
/// let rows: Vec<u64> = IMPORT.run(|| (0..1000).collect());
/// # assert_eq!(rows.len(), 1000);
/// ```
///
/// The first [`TAGS_MAX`] - 2 tags that are entered get figures of their own; what is allocated
/// in any later one is counted as `further tags`, and what is allocated in none as `untagged`. Two
/// tags of the same name are two rows. Entering and leaving take 5 ns
/// together.
#[derive(Debug)]
pub struct Tag {
    name: &'static str,
    /// `NUMBER_NONE` until it is first entered.
    number: AtomicU8,
}

const NUMBER_NONE: u8 = u8::MAX;
const NUMBER_FURTHER: u8 = TAGS_MAX as u8 - 1;

static UNTAGGED: Tag = Tag {
    name: "untagged",
    number: AtomicU8::new(0),
};
static FURTHER: Tag = Tag {
    name: "further tags",
    number: AtomicU8::new(NUMBER_FURTHER),
};
/// By number. The first and the last stay null.
static TABLE: [AtomicPtr<Tag>; TAGS_MAX] = [const { AtomicPtr::new(null_mut()) }; TAGS_MAX];

impl Tag {
    /// Does nothing yet: a tag that is never entered has no figures.
    #[must_use]
    pub const fn new(name: &'static str) -> Tag {
        Tag {
            name,
            number: AtomicU8::new(NUMBER_NONE),
        }
    }

    /// As it was made.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The tag that the calling thread is in, to be entered in another thread. What no tag was
    /// entered for is in a tag called `untagged`.
    ///
    /// ```
    /// use plimsoll::ledger::Tag;
    ///
    /// static IMPORT: Tag = Tag::new("import");
    ///
    /// let _scope = IMPORT.enter();
    /// let tag = Tag::current();
    /// std::thread::spawn(move || {
    ///     let _scope = tag.enter();
    ///     assert_eq!(Tag::current().name(), "import");
    /// }).join().unwrap();
    /// ```
    #[must_use]
    pub fn current() -> &'static Tag {
        by_number(threads::current_tag())
    }

    /// What this thread allocates is counted under this tag until the scope is dropped, or another
    /// tag is entered in it. Scopes end in the opposite order; one that is dropped too early brings
    /// back what was there before it.
    #[must_use = "the tag is left when the scope is dropped"]
    pub fn enter(&'static self) -> TagScope {
        TagScope {
            previous: threads::replace_tag(self.number()),
            in_its_thread: PhantomData,
        }
    }

    /// Calls `act` in this tag.
    pub fn run<T>(&'static self, act: impl FnOnce() -> T) -> T {
        let _scope = self.enter();
        act()
    }

    /// A future that is in this tag whenever it is polled, in whichever thread; with any runtime.
    /// What the runtime allocates while it polls is counted in the tag too. What is dropped is
    /// charged to the tag that allocated it, but what the future's own `Drop` allocates is not in the
    /// tag. Costs as [`enter`](Tag::enter) for each poll, and 8 bytes.
    ///
    /// A task that the future spawns is in no tag until it is handed one:
    /// `spawn(Tag::current().follow(task))`.
    ///
    /// ```
    /// use std::future::Future;
    /// use std::pin::pin;
    /// use std::task::{Context, Poll, Waker};
    ///
    /// use plimsoll::ledger::Tag;
    ///
    /// static IMPORT: Tag = Tag::new("import");
    ///
    /// let task = pin!(IMPORT.follow(async { Tag::current().name() }));
    /// let polled = task.poll(&mut Context::from_waker(Waker::noop()));
    /// assert_eq!(polled, Poll::Ready("import"));
    /// assert_eq!(Tag::current().name(), "untagged");
    /// ```
    pub fn follow<F: Future>(&'static self, future: F) -> Tagged<F> {
        Tagged { tag: self, future }
    }

    pub(super) fn number_if_entered(&self) -> Option<usize> {
        match self.number.load(Ordering::Relaxed) {
            NUMBER_NONE => None,
            number => Some(usize::from(number)),
        }
    }

    fn number(&'static self) -> u8 {
        match self.number.load(Ordering::Relaxed) {
            NUMBER_NONE => self.register(),
            number => number,
        }
    }

    /// Takes the first free place, or finds that another thread has just done so.
    #[cold]
    fn register(&'static self) -> u8 {
        let own = std::ptr::from_ref(self).cast_mut();
        for (number, place) in (1..NUMBER_FURTHER).zip(&TABLE[1..]) {
            let taken =
                place.compare_exchange(null_mut(), own, Ordering::AcqRel, Ordering::Acquire);
            if taken.is_ok() || taken == Err(own) {
                self.number.store(number, Ordering::Relaxed);
                return number;
            }
        }
        self.number.store(NUMBER_FURTHER, Ordering::Relaxed);
        NUMBER_FURTHER
    }
}

fn by_number(number: u8) -> &'static Tag {
    known(usize::from(number)).unwrap_or(&UNTAGGED)
}

/// The tag with this number; `None` where no tag has it.
pub(super) fn known(number: usize) -> Option<&'static Tag> {
    match number {
        0 => Some(&UNTAGGED),
        _ if number == usize::from(NUMBER_FURTHER) => Some(&FURTHER),
        _ => {
            let tag = TABLE.get(number)?.load(Ordering::Acquire);
            // SAFETY: null, or made of a `&'static Tag` in `register`.
            unsafe { tag.as_ref() }
        }
    }
}

/// Ends when dropped; stays in its thread.
#[derive(Debug)]
pub struct TagScope {
    previous: u8,
    in_its_thread: PhantomData<*const ()>,
}

impl Drop for TagScope {
    fn drop(&mut self) {
        threads::replace_tag(self.previous);
    }
}

/// A future that is in a tag whenever it is polled: [`Tag::follow`].
#[derive(Debug)]
pub struct Tagged<F> {
    tag: &'static Tag,
    future: F,
}

impl<F: Future> Future for Tagged<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _scope = self.tag.enter();
        // SAFETY: `future` is pinned whenever `self` is: it is never moved out, there is no Drop
        // and no other way to it, and `Tagged` is Unpin only where `F` is.
        let future = unsafe { self.map_unchecked_mut(|tagged| &mut tagged.future) };
        future.poll(context)
    }
}
