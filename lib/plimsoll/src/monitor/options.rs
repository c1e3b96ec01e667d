//! How a monitor is set up.

use std::collections::HashSet;
use std::fmt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime};

use super::level::Thresholds;
use super::operation::Operations;
use super::process::StatusFile;
use super::stall::StallFiles;
use super::trim::TrimFigures;
use super::watch::Watch;
use super::{LevelChange, Monitor, MonitorFigures, Resource, Shared, start_error};
use crate::budget::{Budget, Pressure};
use crate::cgroup;
use crate::error::{Error, ErrorKind};
use crate::lazy::{Lazy, LazyFigures};
use crate::sync::Mutex;

/// Readings closer than this would be the load themselves.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

type Callback = Box<dyn Fn(&LevelChange) + Send>;
type Purge = Box<dyn Fn() + Send>;

/// How a monitor is set up; [`MonitorOptions::start`] starts it.
pub struct MonitorOptions {
    pub(super) interval: Duration,
    pub(super) thresholds: Thresholds,
    pub(super) rss_limit: Option<u64>,
    pub(super) trim_at: Option<Pressure>,
    pub(super) trim_interval: Duration,
    pub(super) purge: Option<Purge>,
    pub(super) callbacks: Vec<Callback>,
    budgets: Vec<(Arc<str>, Budget)>,
    lazies: Vec<Box<dyn Resource>>,
}

impl Default for MonitorOptions {
    fn default() -> MonitorOptions {
        MonitorOptions {
            interval: Duration::from_secs(1),
            thresholds: Thresholds::default(),
            rss_limit: None,
            trim_at: Some(Pressure::Critical),
            // A trim takes milliseconds, and what comes back must be faulted in again.
            trim_interval: Duration::from_secs(30),
            purge: None,
            callbacks: Vec::new(),
            budgets: Vec::new(),
            lazies: Vec::new(),
        }
    }
}

impl MonitorOptions {
    /// Time between two readings: one second by default, 10 ms at least.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> MonitorOptions {
        self.interval = interval.max(INTERVAL_MIN);
        self
    }

    /// When levels are entered and left.
    #[must_use]
    pub fn thresholds(mut self, thresholds: Thresholds) -> MonitorOptions {
        self.thresholds = thresholds;
        self
    }

    /// What RSS is measured against, beside the cgroup: none by default.
    #[must_use]
    pub fn rss_limit(mut self, bytes: u64) -> MonitorOptions {
        self.rss_limit = Some(bytes);
        self
    }

    /// Attaches a budget: its limit is read again, it is reconciled with RSS (less what other attached
    /// budgets hold), relieved under pressure, and told in the figures under `name`.
    #[must_use]
    pub fn budget(mut self, name: impl Into<Arc<str>>, budget: &Budget) -> MonitorOptions {
        self.budgets.push((name.into(), budget.clone()));
        self
    }

    /// Attaches a lazy resource: it is unloaded when idle, and told in the figures.
    #[must_use]
    pub fn lazy<T: Send + Sync + 'static>(mut self, lazy: &Lazy<T>) -> MonitorOptions {
        self.lazies.push(Box::new(lazy.clone()));
        self
    }

    /// Has `callback` called in the monitor's thread when the level changed, before anything else is
    /// done about it.
    #[must_use]
    pub fn on_level(mut self, callback: impl Fn(&LevelChange) + Send + 'static) -> MonitorOptions {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// From which level on freed memory is given back to the system, at most once in `interval`; by
    /// default when critical, every 30 s. [`Pressure::Calm`] is always.
    #[must_use]
    pub fn trim_at(mut self, level: Pressure, interval: Duration) -> MonitorOptions {
        self.trim_at = Some(level);
        self.trim_interval = interval;
        self
    }

    /// Never gives memory back by itself.
    #[must_use]
    pub fn trim_never(mut self) -> MonitorOptions {
        self.trim_at = None;
        self
    }

    /// Gives memory back by `purge` instead of `malloc_trim`, for a program on another allocator; the
    /// effect is measured as that of `malloc_trim` is ([`TrimFigures`]). The library depends on no
    /// allocator, so the call is the program's. Of 64 MiB that another thread had freed in
    /// small blocks, each of these gave back all (`testing/ledger-allocators`):
    /// - jemalloc: `mallctl` of `arena.4096.purge`, 7 to 17 ms;
    /// - mimalloc: `mi_collect(true)`, 0.3 ms.
    ///
    /// ```
    /// use plimsoll::monitor::MonitorOptions;
    ///
    /// let options = MonitorOptions::default().purge(|| {
    ///     // unsafe { libmimalloc_sys::mi_collect(true) };
    /// });
    /// # drop(options);
    /// ```
    #[must_use]
    pub fn purge(mut self, purge: impl Fn() + Send + 'static) -> MonitorOptions {
        self.purge = Some(Box::new(purge));
        self
    }

    /// Starts the monitor; the first reading is done when this returns.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where /proc/self/status can't be read or no thread can be started,
    /// [`ErrorKind::Invalid`] for thresholds that contradict each other, and for two budgets or two
    /// lazy resources of one name, which no metric could tell apart.
    pub fn start(mut self) -> Result<Monitor, Error> {
        check(&self.thresholds)?;
        let budgets = self.budgets.iter().map(|(name, _)| name.clone());
        check_names("budgets", budgets)?;
        let lazies = self.lazies.iter().map(|lazy| lazy.name());
        check_names("lazy resources", lazies)?;
        let status = StatusFile::open()?;
        let process = status.read()?;
        let group = cgroup::read().and_then(|group| group.v2_directory);
        let stalls = StallFiles::open(group.as_deref());
        let (wake, woken) =
            UnixStream::pair().map_err(|error| start_error("make a pipe", error))?;
        for end in [&wake, &woken] {
            end.set_nonblocking(true)
                .map_err(|error| start_error("set up a pipe", error))?;
        }
        let shared = Arc::new(Shared {
            seen: Mutex::new(MonitorFigures {
                readings_total: 0,
                failed_total: 0,
                process,
                cgroup: None,
                stall: None,
                stall_source: stalls.source,
                stall_trigger: stalls.has_trigger(),
                stall_events_total: 0,
                level: Pressure::Calm,
                level_changes_total: 0,
                relieved_bytes_total: 0,
                trim: TrimFigures::default(),
                panics_total: 0,
                budgets: Vec::new(),
                lazies: Vec::new(),
                operations: Vec::new(),
            }),
            operations: Mutex::new(Operations::default()),
            budgets: std::mem::take(&mut self.budgets),
            lazies: std::mem::take(&mut self.lazies),
            status,
            stopping: AtomicBool::new(false),
            started: SystemTime::now(),
        });
        let mut watch = Watch::new(shared.clone(), self, stalls, woken);
        watch.read();
        let thread = std::thread::Builder::new()
            .name("plimsoll-monitor".to_owned())
            // Hooks run on it: enough for those, far less than the usual 2 MiB.
            .stack_size(256 << 10)
            .spawn(move || watch.run())
            .map_err(|error| start_error("start a thread", error))?;
        Ok(Monitor {
            shared,
            wake,
            thread: Some(thread),
        })
    }
}

fn check(thresholds: &Thresholds) -> Result<(), Error> {
    let Thresholds {
        tight_fill,
        critical_fill,
        fill_margin,
        tight_stall,
        critical_stall,
        ..
    } = *thresholds;
    let in_order = 0.0 < fill_margin && fill_margin < tight_fill && tight_fill <= critical_fill;
    if in_order && 0.0 < tight_stall && 0.0 < critical_stall {
        return Ok(());
    }
    let text = format!(
        "start a monitor: thresholds make no sense ({thresholds:?}); they need 0 < margin < tight \
         <= critical, and stalls above 0"
    );
    Err(Error::new(ErrorKind::Invalid, text))
}

fn check_names(what: &str, names: impl Iterator<Item = Arc<str>>) -> Result<(), Error> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name.clone()) {
            let text = format!("start a monitor: two {what} are called {name:?}; name them apart");
            return Err(Error::new(ErrorKind::Invalid, text));
        }
    }
    Ok(())
}

impl<T: Send + Sync + 'static> Resource for Lazy<T> {
    fn name(&self) -> Arc<str> {
        Lazy::name(self).clone()
    }

    fn figures(&self) -> LazyFigures {
        Lazy::figures(self)
    }

    fn unload_idle(&self) {
        Lazy::unload_idle(self, Instant::now());
    }
}

impl fmt::Debug for MonitorOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MonitorOptions")
            .field("interval", &self.interval)
            .field("thresholds", &self.thresholds)
            .field("rss_limit", &self.rss_limit)
            .field("trim_at", &self.trim_at)
            .finish_non_exhaustive()
    }
}
