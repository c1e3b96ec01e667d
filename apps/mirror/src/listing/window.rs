//! Workers that ask for pages, and the one who merges them in order. Memory: the window of pages, and for
//! each worker a stack and what its connection takes.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::hints::{Hint, Hints};
use super::ranges::{Figures, Give, Job, Next, Ranges, Used};
use super::{Ask, Lister};
use crate::s3::Page;

const STACK_BYTES: usize = 512 << 10;
/// How often is told how many requests a second there are.
const TELL_EACH: Duration = Duration::from_secs(1);

/// The pages of a listing in the order of their keys; see [`super`].
pub(super) struct Pages {
    shared: Arc<Shared>,
    told: Instant,
    told_requests: u64,
}

struct Shared {
    lister: Arc<dyn Lister>,
    prefix: String,
    work: Mutex<Work>,
    /// Something changed for workers, or for the one who merges.
    for_workers: Condvar,
    for_merge: Condvar,
}

struct Work {
    ranges: Ranges,
    /// None while a worker asks it, and behind its end.
    hints: Option<Box<dyn Hints>>,
    /// Ends everything: given once to the one who merges.
    error: Option<anyhow::Error>,
    is_over: bool,
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, error: anyhow::Error) {
        let mut work = self.lock();
        if !work.is_over {
            work.error = Some(error);
            work.is_over = true;
        }
        drop(work);
        self.for_workers.notify_all();
        self.for_merge.notify_all();
    }
}

impl Pages {
    /// Starts so many workers.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn start(
        lister: &Arc<dyn Lister>,
        prefix: &str,
        ranges: Ranges,
        hints: Option<Box<dyn Hints>>,
        workers: usize,
    ) -> Result<Pages> {
        let shared = Arc::new(Shared {
            lister: lister.clone(),
            prefix: prefix.to_owned(),
            work: Mutex::new(Work {
                ranges,
                hints,
                error: None,
                is_over: false,
            }),
            for_workers: Condvar::new(),
            for_merge: Condvar::new(),
        });
        // Dropped on an error, it ends those that were started.
        let pages = Pages {
            told: Instant::now(),
            told_requests: lister.requests(),
            shared,
        };
        for number in 0..workers {
            let shared = pages.shared.clone();
            thread::Builder::new()
                .name(format!("listing {number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || {
                    let _scope = crate::memory::LISTING.enter();
                    let _ended = Ended(&shared);
                    if let Err(error) = work(&shared) {
                        shared.fail(error);
                    }
                })
                .context("start a thread that lists")?;
        }
        Ok(pages)
    }

    /// The next page, once it is there; none behind the last. `tell` is told once a second, while this is
    /// called, how many requests a second there were.
    ///
    /// # Errors
    /// The listing is not whole.
    pub(super) fn next(
        &mut self,
        used_up: Option<Page>,
        tell: &mut dyn FnMut(u64),
    ) -> Result<Option<Used>> {
        let shared = self.shared.clone();
        let mut work = shared.lock();
        if let Some(page) = used_up {
            work.ranges.used_up(page);
            shared.for_workers.notify_all();
        }
        loop {
            if let Some(error) = work.error.take() {
                return Err(error);
            }
            if work.is_over {
                return Err(anyhow!("list on after an error: begin anew"));
            }
            match work.ranges.give() {
                Give::Page(used) => {
                    drop(work);
                    self.tell(tell);
                    return Ok(Some(used));
                }
                Give::Ended => return Ok(None),
                Give::Ask(key) => {
                    drop(work);
                    let is_there = has(&*shared.lister, &key);
                    work = shared.lock();
                    let is_there = is_there.inspect_err(|_| work.is_over = true)?;
                    work.ranges.judge(&key, is_there);
                }
                Give::Wait => {
                    // A seam that did not hold is work.
                    shared.for_workers.notify_all();
                    let waited = shared.for_merge.wait_timeout(work, TELL_EACH);
                    work = waited.unwrap_or_else(PoisonError::into_inner).0;
                    self.tell(tell);
                }
            }
        }
    }

    fn tell(&mut self, tell: &mut dyn FnMut(u64)) {
        let passed = self.told.elapsed();
        if passed >= TELL_EACH {
            let requests = self.shared.lister.requests();
            let each = (requests - self.told_requests) as f64 / passed.as_secs_f64();
            tell(each.round() as u64);
            self.told = Instant::now();
            self.told_requests = requests;
        }
    }

    pub(super) fn figures(&self) -> Figures {
        self.shared.lock().ranges.figures
    }

    pub(super) fn doubt(&self) -> Option<String> {
        self.shared.lock().ranges.doubt.clone()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.for_workers.notify_all();
    }
}

/// A worker that panics must not be waited for.
struct Ended<'a>(&'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail(anyhow!("a thread that lists has panicked"));
        }
    }
}

/// Asks for pages until there is nothing to ask for.
fn work(shared: &Shared) -> Result<()> {
    let mut work = shared.lock();
    loop {
        if work.is_over {
            return Ok(());
        }
        let next = work.ranges.next();
        match (next, work.hints.take()) {
            (Next::List(job), hints) => {
                work.hints = hints;
                drop(work);
                list(shared, job)?;
                work = shared.lock();
            }
            (Next::Hint, Some(hints)) => {
                let keys_each = work.ranges.keys_each;
                drop(work);
                work = ask_for_hint(shared, hints, keys_each)?;
            }
            (Next::Ended, _) => return Ok(()),
            (Next::Hint | Next::Wait, hints) => {
                work.hints = hints;
                let waited = shared.for_workers.wait(work);
                work = waited.unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

fn list(shared: &Shared, job: Job) -> Result<()> {
    let Job {
        id,
        after,
        mut sequence,
        mut page,
    } = job;
    let after = (!after.is_empty()).then_some(&after[..]);
    let ask = Ask {
        prefix: &shared.prefix,
        start_after: after.filter(|_| sequence.token.is_none()),
        token: sequence.token.as_deref(),
        ..Ask::default()
    };
    shared.lister.list(&ask, &mut page)?;
    let ends = sequence.check(&page, shared.prefix.as_bytes(), after)?;
    shared.lock().ranges.take(id, page, sequence, ends);
    shared.for_workers.notify_all();
    shared.for_merge.notify_all();
    Ok(())
}

/// Has hints asked without the lock, as they may ask the source.
fn ask_for_hint(
    shared: &Shared,
    mut hints: Box<dyn Hints>,
    keys_each: u64,
) -> Result<MutexGuard<'_, Work>> {
    let hint = hints.next(&*shared.lister, keys_each)?;
    let mut work = shared.lock();
    work.ranges.asked_for_hints(hints.take_requests());
    let goes_on = match hint {
        Hint::Split(split) => work.ranges.split(split),
        Hint::Later => true,
        Hint::End => false,
    };
    if goes_on {
        work.hints = Some(hints);
    } else {
        work.ranges.has_hints = false;
    }
    shared.for_workers.notify_all();
    Ok(work)
}

/// Whether the source has a key, by a listing that does not begin after another.
fn has(lister: &dyn Lister, key: &[u8]) -> Result<bool> {
    let ask = Ask {
        prefix: std::str::from_utf8(key).context("ask for a key that is no text")?,
        keys_max: 1,
        ..Ask::default()
    };
    let mut page = Page::default();
    lister.list(&ask, &mut page)?;
    Ok(page.keys().next() == Some(key))
}
