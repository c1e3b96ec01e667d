//! The monitor's thread: wait, read, judge, act.

use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::level::{LevelMachine, Signal};
use super::stall::{StallFiles, StallMeter};
use super::{CgroupFigures, LevelChange, MonitorOptions, Shared, Wake};
use crate::budget::Pressure;
use crate::cgroup::CgroupReader;
use crate::sync::lock;

/// Between two looks while an operation is under way: children shorter than this are missed, and
/// looking takes up to a hundredth of one CPU.
const OPERATION_INTERVAL: Duration = Duration::from_millis(20);

/// Who woke the monitor.
enum Woken {
    Clock,
    Handle,
    Trigger,
}

pub(super) struct Watch {
    shared: Arc<Shared>,
    options: MonitorOptions,
    cgroup: CgroupReader,
    stalls: StallFiles,
    meter: StallMeter,
    machine: LevelMachine,
    wake: UnixStream,
    epoch: Instant,
    read_next: Instant,
    trimmed: Option<Instant>,
}

impl Watch {
    pub(super) fn new(
        shared: Arc<Shared>,
        options: MonitorOptions,
        stalls: StallFiles,
        wake: UnixStream,
    ) -> Watch {
        let epoch = Instant::now();
        Watch {
            shared,
            machine: LevelMachine::new(options.thresholds),
            options,
            cgroup: CgroupReader::default(),
            stalls,
            meter: StallMeter::default(),
            wake,
            epoch,
            read_next: epoch,
            trimmed: None,
        }
    }

    pub(super) fn run(mut self) {
        while !self.shared.stopping.load(Ordering::Acquire) {
            let idle = {
                let mut operations = lock(&self.shared.operations);
                operations.sample(&self.shared.status);
                operations.is_idle()
            };
            let due = self.read_next.saturating_duration_since(Instant::now());
            let timeout = if idle {
                due
            } else {
                due.min(OPERATION_INTERVAL)
            };
            match self.wait(timeout) {
                Woken::Clock if Instant::now() < self.read_next => {}
                Woken::Clock | Woken::Handle => self.read(),
                Woken::Trigger => {
                    lock(&self.shared.seen).stall_events_total += 1;
                    self.read();
                }
            }
        }
    }

    fn wait(&mut self, timeout: Duration) -> Woken {
        // poll counts whole milliseconds: rounded up, or it would spin through the last one.
        let millis = timeout.as_micros().div_ceil(1000);
        let millis = libc::c_int::try_from(millis).unwrap_or(libc::c_int::MAX);
        let poll_fd = |fd, events| libc::pollfd {
            fd,
            events,
            revents: 0,
        };
        let mut fds = [
            poll_fd(self.wake.as_raw_fd(), libc::POLLIN),
            poll_fd(self.stalls.trigger_fd(), libc::POLLPRI),
        ];
        // SAFETY: the pointer and the length are those of an array that lives through the call.
        let ready = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, millis) };
        if ready <= 0 {
            // A signal or the time: both are looked at by the clock.
            return Woken::Clock;
        }
        let [wake, trigger] = fds.map(|fd| fd.revents);
        if wake != 0 {
            // Drained; an error would come back at the next poll, and the handle is gone then.
            let mut told = [Wake::Operation as u8; 64];
            let _ = self.wake.read(&mut told);
            return if told.contains(&(Wake::Look as u8)) {
                Woken::Handle
            } else {
                Woken::Clock
            };
        }
        if trigger & (libc::POLLERR | libc::POLLNVAL) != 0 {
            self.stalls.drop_trigger();
            lock(&self.shared.seen).stall_trigger = false;
            return Woken::Clock;
        }
        Woken::Trigger
    }

    /// One reading and what follows from it.
    pub(super) fn read(&mut self) {
        self.read_next = Instant::now() + self.options.interval;
        let process = self.shared.status.read();
        let group = self.cgroup.read();
        let now = self.epoch.elapsed();
        let stall = self
            .stalls
            .read()
            .and_then(|totals| self.meter.step(now, totals));
        let cgroup = group.and_then(|group| {
            Some(CgroupFigures {
                current_bytes: group.current_bytes?,
                inactive_file_bytes: group.inactive_file_bytes.unwrap_or_default(),
                limit_bytes: group.current_limit_bytes,
            })
        });
        let rss = process.as_ref().ok().map(|process| process.rss_bytes);
        let signal = Signal {
            fill: fill(rss, self.options.rss_limit, cgroup),
            stall_some: stall.map(|stall| stall.some_ratio),
            stall_full: stall.map(|stall| stall.full_ratio),
        };
        let change = self.machine.step(now, signal);
        {
            let mut seen = lock(&self.shared.seen);
            seen.readings_total += 1;
            match process {
                Ok(process) => seen.process = process,
                Err(_) => seen.failed_total += 1,
            }
            seen.cgroup = cgroup;
            seen.stall = stall;
            seen.level = self.machine.level();
            seen.level_changes_total += u64::from(change.is_some());
        }
        self.act(rss, change);
    }

    fn act(&mut self, rss: Option<u64>, change: Option<LevelChange>) {
        if let Some(change) = change {
            for callback in &self.options.callbacks {
                self.guarded(|| callback(&change));
            }
        }
        self.reconcile(rss);
        for lazy in &self.shared.lazies {
            self.guarded(|| lazy.unload_idle());
        }
        let level = self.machine.level();
        if level >= Pressure::Tight {
            for (_, budget) in &self.shared.budgets {
                let freed = self.guarded(|| budget.relieve(level)).unwrap_or_default();
                lock(&self.shared.seen).relieved_bytes_total += freed;
            }
        }
        let wanted = self.options.trim_at.is_some_and(|from| level >= from);
        let rested = self
            .trimmed
            .is_none_or(|last| last.elapsed() >= self.options.trim_interval);
        if wanted && rested {
            self.trimmed = Some(Instant::now());
            let mut figures = lock(&self.shared.seen).trim;
            let purge = self.options.purge.as_deref();
            self.guarded(|| figures.trim(&self.shared.status, purge));
            lock(&self.shared.seen).trim = figures;
        }
    }

    /// Each budget with what RSS is beside the reservations of the others.
    fn reconcile(&self, rss: Option<u64>) {
        let held = self
            .shared
            .budgets
            .iter()
            .map(|(_, b)| b.figures().held_bytes);
        let held: Vec<_> = held.collect();
        let sum: u64 = held.iter().sum();
        for ((_, budget), own) in self.shared.budgets.iter().zip(&held) {
            // Where the limit can't be read any more the last one stays.
            let _ = budget.refresh();
            if let Some(rss) = rss {
                budget.reconcile(rss.saturating_sub(sum - own));
            }
        }
    }

    /// Runs foreign code: its panic is counted and ends nothing.
    fn guarded<R>(&self, foreign: impl FnOnce() -> R) -> Option<R> {
        let result = catch_unwind(AssertUnwindSafe(foreign));
        if result.is_err() {
            lock(&self.shared.seen).panics_total += 1;
        }
        result.ok()
    }
}

/// The fuller of RSS by its limit and the cgroup by its own.
fn fill(rss: Option<u64>, rss_limit: Option<u64>, cgroup: Option<CgroupFigures>) -> Option<f64> {
    let ratio = |used: u64, limit: u64| used as f64 / limit.max(1) as f64;
    let own = rss.zip(rss_limit).map(|(rss, limit)| ratio(rss, limit));
    let group = cgroup.and_then(|group| {
        let used = group
            .current_bytes
            .saturating_sub(group.inactive_file_bytes);
        Some(ratio(used, group.limit_bytes?))
    });
    own.into_iter().chain(group).max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fullest_counts() {
        let group = |current_bytes, inactive_file_bytes, limit_bytes| {
            Some(CgroupFigures {
                current_bytes,
                inactive_file_bytes,
                limit_bytes,
            })
        };
        let check = |rss, limit, group, expected| assert_eq!(fill(rss, limit, group), expected);
        check(Some(50), Some(100), None, Some(0.5));
        check(Some(50), None, None, None);
        check(Some(50), Some(100), group(90, 10, Some(100)), Some(0.8));
        check(Some(50), Some(100), group(90, 60, Some(100)), Some(0.5));
        check(None, Some(100), group(90, 0, None), None);
    }
}
