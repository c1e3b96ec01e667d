//! One thread that watches the process's own memory, tells a level, and acts on it.
//!
//! It reads RSS with its parts, the memory cgroup and memory pressure (PSI), judges a level
//! ([`Pressure`]: calm, tight, critical) with hysteresis, has budgets free memory through their
//! hooks, gives freed memory back to the system, unloads idle resources, and tells all of it as
//! Prometheus text or OTLP JSON. [`Monitor::operation`] measures the peak of one piece of work, child
//! processes included.
//!
//! **Cost.** One thread (its stack has 256 KiB of address space; the whole monitor adds some 24 KiB of
//! RSS) and four open files. A reading took 0.25 to 0.4 ms of CPU where it was measured (kernel 6.18,
//! three levels of cgroup v1), once a second by default. While an operation is under way there is a
//! look every 20 ms, of some 50 µs and as much again for each descendant.
//!
//! **Not for.** Finding out who holds what: budgets know that of what is reserved, the `plimsoll`
//! command of all the rest. It opens no socket. It is no guarantee: a process can be killed between
//! two readings. After a fork without exec the child has no monitor.
//!
//! # What the level is judged by
//! The fullest of: RSS by [`MonitorOptions::rss_limit`], and what the cgroup holds without the file
//! pages that are dropped first, by its limit. And the share of time in which tasks waited for
//! memory, of the own cgroup (version 2) or else of the whole machine. Thresholds: [`Thresholds`].
//! Where a kernel lets it, a PSI trigger wakes the monitor before its time; else it looks at each
//! reading. [`MonitorFigures::stall_trigger`] says which. The trigger only makes it look: the level is
//! judged by the figures, and stalls as a share of the time since the last reading.
//!
//! # What is done
//! At each reading: limits are read again, budgets are reconciled with RSS, idle resources unloaded.
//! While tight or critical: [`Budget::relieve`] of each budget. At the level of
//! [`MonitorOptions::trim_at`]: `malloc_trim`, or the purge function given. All of it runs in the
//! monitor's thread; a hook that blocks blocks the monitor, and one that panics is counted.
//!
//! ```no_run
//! use plimsoll::budget::{Budget, Limit, Policy};
//! use plimsoll::monitor::{Monitor, MonitorOptions};
//!
//! # fn main() -> Result<(), plimsoll::Error> {
//! let budget = Budget::new(Limit::from_system(256 << 20)?, Policy::Fair);
//! let monitor = MonitorOptions::default()
//!     .budget("main", &budget)
//!     .on_level(|change| eprintln!("memory is {}", change.to.name()))
//!     .start()?;
//! let (_, report) = monitor.operation("import", || vec![1_u8; 100 << 20].len());
//! println!("peak {} bytes", report.peak_bytes);
//! print!("{}", monitor.metrics().prometheus());
//! # Ok(())
//! # }
//! ```

mod export;
mod level;
mod operation;
mod options;
mod process;
mod stall;
mod trim;
mod watch;

use std::fmt;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::SystemTime;

use crate::budget::{Budget, Figures, Pressure};
use crate::error::{Error, ErrorKind};
use crate::lazy::LazyFigures;
use crate::sync::{Mutex, lock};
use operation::Operations;
use process::StatusFile;

pub use export::Metrics;
pub use level::{LevelChange, Signal, Thresholds};
pub use operation::{OperationFigures, OperationReport, PeakMethod};
pub use options::MonitorOptions;
pub use process::ProcessFigures;
pub use stall::{Stall, StallSource};
pub use trim::TrimFigures;

/// The memory cgroup of the process that is fullest by its limit, or its own where none has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CgroupFigures {
    /// Charged now, page cache included.
    pub current_bytes: u64,
    /// File pages that are dropped first when it runs full.
    pub inactive_file_bytes: u64,
    /// `None` where no group up the tree has one.
    pub limit_bytes: Option<u64>,
}

/// What the monitor saw last and did so far.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MonitorFigures {
    /// Readings that were tried.
    pub readings_total: u64,
    /// Readings at which /proc/self/status could not be read: `process` is older then.
    pub failed_total: u64,
    /// RSS and its parts at the last reading.
    pub process: ProcessFigures,
    /// `None` where no memory cgroup can be read.
    pub cgroup: Option<CgroupFigures>,
    /// `None` without PSI, and before the second reading.
    pub stall: Option<Stall>,
    /// Whose memory pressure is read.
    pub stall_source: StallSource,
    /// Whether the kernel wakes the monitor when pressure rises.
    pub stall_trigger: bool,
    /// Times that it did.
    pub stall_events_total: u64,
    /// Of the last reading.
    pub level: Pressure,
    /// Changes of that level.
    pub level_changes_total: u64,
    /// Freed by hooks of budgets because memory was short outside of them.
    pub relieved_bytes_total: u64,
    /// What giving memory back did.
    pub trim: TrimFigures,
    /// Hooks, callbacks and purges that panicked.
    pub panics_total: u64,
    /// Read when the figures are asked for, as are those below.
    pub budgets: Vec<(Arc<str>, Figures)>,
    /// Attached lazy resources, by name.
    pub lazies: Vec<(Arc<str>, LazyFigures)>,
    /// Operations that ended, by name.
    pub operations: Vec<(Arc<str>, OperationFigures)>,
}

/// A lazy resource without its type.
trait Resource: Send + Sync {
    fn name(&self) -> Arc<str>;
    fn figures(&self) -> LazyFigures;
    fn unload_idle(&self);
}

/// What the monitor's thread and its handle share.
struct Shared {
    /// Without budgets, lazies and operations.
    seen: Mutex<MonitorFigures>,
    operations: Mutex<Operations>,
    budgets: Vec<(Arc<str>, Budget)>,
    lazies: Vec<Box<dyn Resource>>,
    status: StatusFile,
    stopping: AtomicBool,
    started: SystemTime,
}

/// What the handle tells the thread; one byte of the pipe between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    /// An operation began: look at children from now on.
    Operation = 0,
    /// Read all now.
    Look = 1,
}

/// The monitor of this process; see the [module](self). Dropping it ends its thread.
pub struct Monitor {
    shared: Arc<Shared>,
    wake: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    /// A monitor with nothing attached, by the defaults of [`MonitorOptions`].
    ///
    /// # Errors
    /// As [`MonitorOptions::start`].
    pub fn start() -> Result<Monitor, Error> {
        MonitorOptions::default().start()
    }

    /// What was seen last and done so far. O(what is attached).
    #[must_use]
    pub fn figures(&self) -> MonitorFigures {
        let mut figures = lock(&self.shared.seen).clone();
        let budgets = self.shared.budgets.iter();
        figures.budgets = budgets
            .map(|(name, budget)| (name.clone(), budget.figures()))
            .collect();
        let lazies = self.shared.lazies.iter();
        figures.lazies = lazies.map(|lazy| (lazy.name(), lazy.figures())).collect();
        let operations = lock(&self.shared.operations);
        figures.operations = operations
            .ended
            .iter()
            .map(|(name, figures)| (name.clone(), *figures))
            .collect();
        figures
    }

    /// The level of the last reading.
    #[must_use]
    pub fn level(&self) -> Pressure {
        lock(&self.shared.seen).level
    }

    /// All figures as metrics of this moment.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics::new(&self.figures(), self.shared.started)
    }

    /// Has the monitor look now instead of at its next time.
    pub fn look(&self) {
        self.wake(Wake::Look);
    }

    fn wake(&self, why: Wake) {
        // A full pipe means that it is about to wake up anyway.
        let _ = (&self.wake).write(&[why as u8]);
    }

    /// Runs `work` and reports the peak of RSS meanwhile, that of child processes included. The
    /// process's own peak is exact where the kernel's high-water mark can be reset, which is tried and
    /// seen; others that read `VmHWM` see it reset. Children are sampled every 20 ms: shorter ones are
    /// missed. (The kernel's own maximum over children is no help: it counts the memory that a child
    /// shared with this process before its exec.) Memory of other threads counts too.
    ///
    /// Cost: some 100 µs, and a look every 20 ms meanwhile.
    pub fn operation<R>(
        &self,
        name: impl Into<Arc<str>>,
        work: impl FnOnce() -> R,
    ) -> (R, OperationReport) {
        /// Ends the operation also when the work panics.
        struct Scope<'a>(&'a Shared, Option<u64>);
        impl Scope<'_> {
            fn end(&mut self) -> Option<OperationReport> {
                let number = self.1.take()?;
                lock(&self.0.operations).end(number, &self.0.status)
            }
        }
        impl Drop for Scope<'_> {
            fn drop(&mut self) {
                self.end();
            }
        }
        let number = lock(&self.shared.operations).begin(name.into(), &self.shared.status);
        let mut scope = Scope(&self.shared, Some(number));
        self.wake(Wake::Operation);
        let result = work();
        let report = scope.end().expect("an operation ends once, here");
        (result, report)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.look();
        if let Some(thread) = self.thread.take() {
            // A callback may hold the last handle: a thread can't wait for itself.
            if thread.thread().id() != std::thread::current().id() {
                // Its panics are caught and counted.
                let _ = thread.join();
            }
        }
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor")
            .field("figures", &self.figures())
            .finish_non_exhaustive()
    }
}

fn start_error(what: &'static str, error: std::io::Error) -> Error {
    Error::with_source(ErrorKind::Io, format!("start a monitor: {what}"), error)
}
