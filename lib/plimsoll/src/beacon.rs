//! A page of this program's own figures that the `plimsoll` command finds and reads from outside:
//! tags of the [`ledger`], [stages](crate::stage) that are open, use of [budgets](crate::budget).
//!
//! ```
//! use plimsoll::beacon::BeaconOptions;
//! use plimsoll::budget::{Budget, Policy};
//!
//! # fn main() -> Result<(), plimsoll::Error> {
//! let budget = Budget::new(64 << 20, Policy::Greedy);
//! let beacon = BeaconOptions::default().budget("main", &budget).publish()?;
//! // From here on `plimsoll inspect`, `run` and `watch` show this program's own names.
//! beacon.refresh();
//! # Ok(())
//! # }
//! ```
//!
//! The page is a memfd called `plimsoll-beacon` that is mapped shared: who may read this process's
//! memory finds it in `/proc/PID/maps`. Reading it calls nothing here, takes no lock and waits for
//! nobody. A thread writes it anew every 100 ms, or as often as is asked for; each text says when it
//! was written, so a reader knows how old its figures are, also of a program that is stopped or
//! hangs. The format is in `docs/reference/beacon.md`.
//!
//! # What it costs
//! [`PAGE_BYTES`] of address space, of which the written part is resident: 8 KiB with a few tags and
//! consumers, 32 KiB at most. The same again on the heap, half of it, as the text is put together
//! there. A thread with some 20 KiB of touched stack. Writing takes O(threads x tags + stages +
//! consumers), some microseconds (`docs/design/library-cost.md`); the hot paths of ledger and budget are as without it.
//!
//! # Fork
//! The page is not inherited: a child of `fork` has no beacon until it publishes its own, and a beacon
//! that it has from its parent does nothing there. It is in the stages that its parent was in. A fork
//! waits until the beacon's thread holds no lock, so the child finds none held by it. `exec` ends it.
//!
//! # What it is not for
//! Secrets in names: whoever may read this process's memory sees them. Records that are never
//! dropped: what does not fit into a slot of 16 KiB is left out and counted. History: it has the
//! figures of one moment; `plimsoll run` and `watch` keep them.
//!
//! # Errors
//! Only publishing fails. A beacon that is published goes on until it is dropped.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::budget::Budget;
use crate::error::{Error, ErrorKind};
use crate::ledger;
use crate::stage;
use crate::sync::{Builder, Condvar, JoinHandle, Mutex, lock, wait_timeout};

mod owner;
mod page;
mod text;

use owner::{Claim, writing};
use page::Page;
use text::Text;

pub use page::PAGE_BYTES;

/// Writing more often than this would be a load of its own.
const INTERVAL_MIN: Duration = Duration::from_millis(10);
/// What std asks of a thread that only sleeps and copies.
const STACK_BYTES: usize = 64 << 10;

/// What is published, and how often.
#[derive(Debug)]
pub struct BeaconOptions {
    interval: Option<Duration>,
    budgets: Vec<(Arc<str>, Budget)>,
}

impl Default for BeaconOptions {
    fn default() -> BeaconOptions {
        BeaconOptions {
            interval: Some(Duration::from_millis(100)),
            budgets: Vec::new(),
        }
    }
}

impl BeaconOptions {
    /// Time between two texts: 100 ms by default, 10 ms at least.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> BeaconOptions {
        self.interval = Some(interval.max(INTERVAL_MIN));
        self
    }

    /// No thread: the page is written when it is published and by [`Beacon::refresh`].
    #[must_use]
    pub fn by_hand(mut self) -> BeaconOptions {
        self.interval = None;
        self
    }

    /// Shows a budget and its consumers under this name.
    #[must_use]
    pub fn budget(mut self, name: &str, budget: &Budget) -> BeaconOptions {
        self.budgets.push((name.into(), budget.clone()));
        self
    }

    /// Makes the page, writes it, and starts the thread.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] where this process has a beacon; [`ErrorKind::Io`] where the system has
    /// no memory, descriptor or thread for it, or `/proc/self/stat` can't be read.
    pub fn publish(self) -> Result<Beacon, Error> {
        // Whatever fails from here on gives the place back.
        let claim = Claim::take()?;
        let writer = Writer {
            page: Page::create()?,
            text: Text::new(),
            budgets: self.budgets,
        };
        let shared = Arc::new(Shared {
            claim,
            writer: Mutex::new(writer),
            stopping: Mutex::new(false),
            wake: Condvar::new(),
        });
        lock(&shared.writer).write();
        let thread = match self.interval {
            Some(interval) => Some(start(&shared, interval)?),
            None => None,
        };
        Ok(Beacon { shared, thread })
    }
}

fn start(shared: &Arc<Shared>, interval: Duration) -> Result<JoinHandle<()>, Error> {
    let shared = Arc::clone(shared);
    Builder::new()
        .name("plimsoll-beacon".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || shared.write_each(interval))
        .map_err(|error| Error::with_source(ErrorKind::Io, "start a beacon's thread", error))
}

/// The page is there for readers until this is dropped. One a process.
#[derive(Debug)]
pub struct Beacon {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Beacon {
    /// Writes the figures of this moment: before a step that a reader should see exactly. In a child
    /// of fork it does nothing.
    pub fn refresh(&self) {
        if self.shared.claim.is_ours() {
            lock(&self.shared.writer).write();
        }
    }
}

impl Drop for Beacon {
    fn drop(&mut self) {
        if !self.shared.claim.is_ours() {
            // Neither the thread nor the mapping came along.
            return;
        }
        *lock(&self.shared.stopping) = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            // It panics nowhere, and where it did there is nothing to be done.
            let _ = thread.join();
        }
    }
}

#[derive(Debug)]
struct Shared {
    claim: Claim,
    writer: Mutex<Writer>,
    stopping: Mutex<bool>,
    wake: Condvar,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.claim.is_ours() {
            lock(&self.writer).page.unmap();
        }
    }
}

impl Shared {
    fn write_each(&self, interval: Duration) {
        let mut stopping = lock(&self.stopping);
        while !*stopping {
            let due = Instant::now() + interval;
            let mut left = interval;
            while !*stopping && !left.is_zero() {
                stopping = wait_timeout(&self.wake, stopping, left);
                left = due.saturating_duration_since(Instant::now());
            }
            lock(&self.writer).write();
        }
    }
}

#[derive(Debug)]
struct Writer {
    page: Page,
    text: Text,
    budgets: Vec<(Arc<str>, Budget)>,
}

impl Writer {
    fn write(&mut self) {
        let _writing = writing();
        let text = &mut self.text;
        text.clear();
        if ledger::is_installed() {
            text.total(&ledger::total());
        }
        for (name, budget) in &self.budgets {
            text.budget(name, &budget.figures());
        }
        stage::open_stages(|open| text.stage(open));
        if ledger::is_installed() {
            ledger::each_tag(|figures| text.tag(figures));
        }
        self.page.write(text.finish(), since_epoch());
    }
}

/// Nanoseconds of the real-time clock, which readers in other processes have too.
fn since_epoch() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}
