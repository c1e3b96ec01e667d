//! The threads that read: one takes full breakdowns, one quick figures between them.
//!
//! Both send into one bounded channel. A full reading waits for room; a quick one that finds
//! none is dropped, the next comes soon. The threads are not joined: one may be in a reading of
//! seconds when the user quits, and they change nothing.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use plimsoll_model::{Breakdown, ProcessId};
use plimsoll_probe::{ProbeError, QuickSampler};

use super::reading::{Reading, What};
use crate::arguments::Method;
use crate::examiner::{Examiner, Sharers};

/// Readings on their way: a second of quick ones, so that a slow terminal holds up no reader.
const READINGS_MAX: usize = 16;

/// Quick figures are at most this often; more the eye can't follow.
const QUICK_INTERVAL: Duration = Duration::from_millis(100);

/// A full reading that cost this much processor time, or held the target's memory lock so long,
/// is followed by a rest 50 times as long: at most 2% of a core, and of the target's time.
const REST_PER_COST: u32 = 50;

/// An interval is a day at most: a clock can't count to the longest that can be written.
const REST_MAX: Duration = Duration::from_secs(24 * 3600);

/// What the threads shall do now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) tree: bool,
    pub(super) paused: bool,
    pub(super) stopped: bool,
}

#[derive(Debug, Default)]
struct Control {
    wanted: Mutex<Wanted>,
    changed: Condvar,
}

impl Control {
    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        // A plain value can't be left half-changed by a panic.
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `next`, for as long as it is paused, or until the scope is no longer `tree`;
    /// `None` when all shall stop.
    fn wait_until(&self, next: Instant, tree: bool) -> Option<Wanted> {
        let mut wanted = self.wanted();
        loop {
            let left = next.saturating_duration_since(Instant::now());
            if wanted.stopped {
                return None;
            }
            if !wanted.paused && (left.is_zero() || wanted.tree != tree) {
                return Some(*wanted);
            }
            let patience = if wanted.paused { Duration::MAX } else { left };
            wanted = if patience == Duration::MAX {
                self.changed
                    .wait(wanted)
                    .unwrap_or_else(PoisonError::into_inner)
            } else {
                let waited = self.changed.wait_timeout(wanted, patience);
                waited.unwrap_or_else(PoisonError::into_inner).0
            };
        }
    }
}

/// The reading threads, seen from the loop. Dropping it tells them to stop.
#[derive(Debug)]
pub(super) struct Reader {
    control: Arc<Control>,
    pub(super) readings: Receiver<Reading>,
    full: JoinHandle<()>,
}

impl Reader {
    /// Reads the process `pid` every `interval`, or as often as the cost allows.
    pub(super) fn start(pid: u32, interval: Duration, began: Instant) -> Reader {
        let control = Arc::new(Control::default());
        let (sender, readings) = sync_channel(READINGS_MAX);
        let link = Link {
            pid,
            began,
            control: Arc::clone(&control),
            sender,
        };
        let quick = link.clone();
        let full = thread::spawn(move || read_full(&link, interval));
        thread::spawn(move || read_quick(&quick));
        Reader {
            control,
            readings,
            full,
        }
    }

    /// Whether full readings have come to an end: the subject ended, or a fault of ours.
    pub(super) fn finished(&self) -> bool {
        self.full.is_finished()
    }

    pub(super) fn want(&self, wanted: Wanted) {
        *self.control.wanted() = wanted;
        self.control.changed.notify_all();
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.want(Wanted {
            stopped: true,
            ..Wanted::default()
        });
    }
}

/// What a reading thread has.
#[derive(Clone, Debug)]
struct Link {
    pid: u32,
    began: Instant,
    control: Arc<Control>,
    sender: SyncSender<Reading>,
}

impl Link {
    /// `false` when nobody listens any more.
    fn send(&self, what: What) -> bool {
        let reading = Reading {
            at: self.began.elapsed(),
            what,
        };
        self.sender.send(reading).is_ok()
    }

    fn try_send(&self, what: What) -> bool {
        let reading = Reading {
            at: self.began.elapsed(),
            what,
        };
        !matches!(
            self.sender.try_send(reading),
            Err(TrySendError::Disconnected(_))
        )
    }
}

fn read_full(link: &Link, interval: Duration) {
    let mut examiner = Examiner::new(Method::Auto, Sharers::Uncounted);
    let mut subject = None;
    let mut next = Instant::now();
    let mut tree = false;
    while let Some(wanted) = link.control.wait_until(next, tree) {
        tree = wanted.tree;
        let started = Instant::now();
        let cpu_before = thread_cpu();
        let found = if tree {
            examiner.tree(link.pid)
        } else {
            examiner.process(link.pid)
        };
        let cpu = thread_cpu().saturating_sub(cpu_before);
        let hold = found
            .as_ref()
            .map_or(Duration::ZERO, |found| found.cost.total_hold);
        let rest = interval
            .max(cpu.max(hold).saturating_mul(REST_PER_COST))
            .min(REST_MAX);
        next = started + rest;
        let what = outcome(found, &mut subject, rest);
        let ended = matches!(what, What::Ended(_));
        if !link.send(what) || ended {
            return;
        }
    }
}

fn outcome(
    found: Result<Breakdown, ProbeError>,
    subject: &mut Option<ProcessId>,
    next_in: Duration,
) -> What {
    match found {
        Ok(found) if *subject.get_or_insert(found.process.id) != found.process.id => {
            What::Ended("it ended, and another process has its id now".to_owned())
        }
        Ok(found) => What::Breakdown {
            breakdown: Box::new(found),
            next_in,
        },
        Err(
            ProbeError::NoSuchProcess { .. }
            | ProbeError::Zombie { .. }
            | ProbeError::Vanished { .. },
        ) if subject.is_some() => What::Ended("the process ended".to_owned()),
        // Before the first reading the error says more: never was, zombie, too short-lived.
        Err(error) => What::Failed(error.to_string()),
    }
}

/// Figures of the process alone: a tree's would count shared pages several times.
fn read_quick(link: &Link) {
    let Ok(mut sampler) = QuickSampler::open(link.pid) else {
        // The full reading meets the same error and tells it.
        return;
    };
    let mut next = Instant::now();
    let mut tree = false;
    while let Some(wanted) = link.control.wait_until(next, tree) {
        tree = wanted.tree;
        next = Instant::now() + QUICK_INTERVAL;
        let listening = match sampler.read() {
            Ok(Some(_)) if tree => true,
            Ok(Some(figures)) => link.try_send(What::Quick(figures)),
            Ok(None) => {
                link.send(What::Ended("the process ended".to_owned()));
                false
            }
            // What status can't tell the full reading can, or it says why not.
            Err(_) => false,
        };
        if !listening {
            return;
        }
    }
}

/// Processor time of this thread.
fn thread_cpu() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live timespec, which the call fills.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    if failed != 0 {
        return Duration::ZERO;
    }
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}
