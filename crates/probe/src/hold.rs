//! What a reading costs the target, and how it is paced.
//!
//! A system call that walks the target's pages holds its mm lock, and its mmap, munmap and brk
//! wait. [`HoldMeter`] times each such call and sleeps between them: pauses matter more than the
//! size of a step (2 MiB steps back to back stalled a target by 19 ms, 4 MiB steps with 50 µs
//! pauses by 0.05 ms at the 99th percentile). A target that does not run needs none (`activity`).

use std::time::{Duration, Instant};

use plimsoll_model::{Method, ReadingCost};

use crate::activity::{Activity, Sign, time_of};

/// Length of a pause: long enough for a waiting writer to get the lock and be done.
pub(crate) const PAUSE: Duration = Duration::from_micros(50);

/// For a thread that waits on a processor that has to wake up first, some 70 µs on a virtual machine, and for its work.
const LONG_PAUSE: Duration = Duration::from_micros(250);

/// A walk in steps pauses when it has held the lock for this long in sum, and sizes its steps so
/// that one of them holds no longer.
pub(crate) const STEP_HOLD: Duration = Duration::from_micros(25);

/// In a process small enough for smaps, whose reading would hold the lock for milliseconds, a walk
/// pauses this rarely: each pause costs us some ten microseconds of processor time.
const SMALL_HOLD: Duration = Duration::from_micros(250);

/// Reading text can't be cut finer than one read(2), which returns at most a page of whole
/// records; only a record of a large mapping takes this long. Pausing after each cheap one would
/// triple the time over 20,000 mappings for nothing.
pub(crate) const TEXT_HOLD: Duration = Duration::from_micros(100);

/// Times the calls of one reading that hold the lock.
#[derive(Debug)]
pub(crate) struct HoldMeter {
    started: Instant,
    cpu_started: Duration,
    longest: Duration,
    total: Duration,
    holds: u64,
    since_pause: Duration,
    /// `None` for many targets, and where it is not known: then pauses are made always.
    activity: Option<Activity>,
    /// A walk pauses when it has held the lock for this long in sum.
    hold_before_pause: Duration,
    pub(crate) bytes_read: u64,
    pub(crate) target_bytes_read: u64,
}

impl HoldMeter {
    pub(crate) fn start() -> HoldMeter {
        HoldMeter {
            started: Instant::now(),
            cpu_started: thread_cpu(),
            longest: Duration::ZERO,
            total: Duration::ZERO,
            holds: 0,
            since_pause: Duration::ZERO,
            activity: None,
            hold_before_pause: STEP_HOLD,
            bytes_read: 0,
            target_bytes_read: 0,
        }
    }

    /// For one process, which the pauses are for.
    pub(crate) fn start_for(pid: u32, threads: u32) -> HoldMeter {
        HoldMeter {
            activity: Activity::of(pid, threads),
            ..HoldMeter::start()
        }
    }

    /// Paces walks for a process that is small enough to be read by smaps.
    pub(crate) fn pace_for_small_process(&mut self) {
        self.hold_before_pause = SMALL_HOLD;
    }

    /// After each step of a walk: sleeps when it is time to.
    pub(crate) fn pause_between_steps(&mut self) {
        self.pause_after(self.hold_before_pause);
    }

    /// Runs a call that holds the lock, and tells how long it took. The time spent waiting for
    /// the lock and being scheduled out is in it: it is an upper bound.
    pub(crate) fn hold<T>(&mut self, call: impl FnOnce() -> T) -> (T, Duration) {
        let before = Instant::now();
        let value = call();
        let took = before.elapsed();
        self.longest = self.longest.max(took);
        self.total += took;
        self.holds += 1;
        self.since_pause += took;
        (value, took)
    }

    /// Sleeps when the calls since the last pause held the lock for `limit` or longer, and somebody may wait for it.
    fn pause_after(&mut self, limit: Duration) {
        if self.since_pause < limit {
            return;
        }
        let pause = match self.activity.as_mut().map(Activity::look) {
            Some(Sign::Asleep) => Duration::ZERO,
            Some(Sign::Woke) => LONG_PAUSE,
            Some(Sign::Runs) | None => PAUSE,
        };
        if !pause.is_zero() {
            let _exact = ExactSleep::start();
            std::thread::sleep(pause);
        }
        self.since_pause = Duration::ZERO;
    }

    /// Sleeps when the last call alone held the lock for `limit` or longer.
    pub(crate) fn pause_after_long(&mut self, took: Duration, limit: Duration) {
        self.since_pause = took;
        self.pause_after(limit);
    }

    /// The cost so far. Processor time is that of the calling thread.
    pub(crate) fn cost(&self, method: Method) -> ReadingCost {
        ReadingCost {
            method,
            wall: self.started.elapsed(),
            cpu: thread_cpu().saturating_sub(self.cpu_started),
            longest_hold: self.longest,
            total_hold: self.total,
            holds: self.holds,
            bytes_read: self.bytes_read,
            target_bytes_read: self.target_bytes_read,
        }
    }
}

/// Processor time of this thread.
fn thread_cpu() -> Duration {
    time_of(libc::CLOCK_THREAD_CPUTIME_ID).unwrap_or_default()
}

/// While it lives, this thread's sleeps end on time: the default slack of 50 µs would double a
/// pause (PR_SET_TIMERSLACK(2const)).
#[derive(Debug)]
struct ExactSleep {
    slack_before: i32,
}

impl ExactSleep {
    fn start() -> ExactSleep {
        // SAFETY: PR_GET_TIMERSLACK and PR_SET_TIMERSLACK take and return plain numbers.
        let slack_before = unsafe { libc::prctl(libc::PR_GET_TIMERSLACK, 0, 0, 0, 0) };
        // SAFETY: as above. A failure only makes pauses longer.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1, 0, 0, 0) };
        ExactSleep { slack_before }
    }
}

impl Drop for ExactSleep {
    fn drop(&mut self) {
        if let Ok(slack) = u64::try_from(self.slack_before) {
            // SAFETY: as in `start`.
            unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, slack, 0, 0, 0) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_are_counted_and_the_longest_kept() {
        let mut meter = HoldMeter::start();
        let (value, _) = meter.hold(|| 7);
        let (_, long) = meter.hold(|| std::thread::sleep(Duration::from_millis(2)));
        let cost = meter.cost(Method::Walk);
        assert_eq!((value, cost.holds), (7, 2));
        assert!(long >= Duration::from_millis(2));
        assert_eq!(cost.longest_hold, long);
        assert!(cost.total_hold >= long && cost.wall >= cost.total_hold);
    }

    #[test]
    fn slack_is_restored() {
        // SAFETY: PR_GET_TIMERSLACK takes nothing and returns a number.
        let slack = || unsafe { libc::prctl(libc::PR_GET_TIMERSLACK, 0, 0, 0, 0) };
        let before = slack();
        {
            let _exact = ExactSleep::start();
            assert_eq!(slack(), 1);
        }
        assert_eq!(slack(), before);
    }
}
