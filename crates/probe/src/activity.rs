//! Whether a process has run lately, by its processor time: one that sleeps wants no lock, and needs no pauses.
//!
//! A thread that waits for the lock has run to get there since it was last looked at; so had another one that it
//! waited for. The first sign of life is answered by a long pause, in which even one whose processor slept gets the
//! lock, and for a while by usual ones.

use std::time::{Duration, Instant};

/// After its last sign of life a process counts as running for so long: longer than most readings, so that one that
/// wakes again and again is found asleep once.
const QUIET_AFTER: Duration = Duration::from_millis(200);

/// The kernel sums up the time of each thread, some 15 ns; a pause costs us 15 µs.
const THREADS_MAX: u32 = 128;

/// What a process has done since it was last looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// Nothing, nor lately.
    Asleep,
    /// It has run, and had not before.
    Woke,
    /// It runs, or did lately, or it is not known.
    Runs,
}

/// The clock of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Activity {
    clock: libc::clockid_t,
    /// Processor time at the last look.
    time: Duration,
    /// When it was seen to have run.
    ran_at: Option<Instant>,
}

impl Activity {
    /// To be made before the lock is held for the first time. `None` where it can't be told, or costs too much.
    pub(crate) fn of(pid: u32, threads: u32) -> Option<Activity> {
        if threads > THREADS_MAX {
            return None;
        }
        let mut clock = 0;
        // SAFETY: the call fills the number that it is given.
        let failed = unsafe { libc::clock_getcpuclockid(pid.try_into().ok()?, &raw mut clock) };
        if failed != 0 {
            return None;
        }
        Some(Activity {
            clock,
            time: time_of(clock)?,
            ran_at: None,
        })
    }

    /// O(threads).
    pub(crate) fn look(&mut self) -> Sign {
        let Some(time) = time_of(self.clock) else {
            return Sign::Runs;
        };
        let now = Instant::now();
        let was_awake = self
            .ran_at
            .is_some_and(|at| now.duration_since(at) < QUIET_AFTER);
        let has_run = time != self.time;
        if has_run {
            self.time = time;
            self.ran_at = Some(now);
        }
        match (was_awake, has_run) {
            (true, _) => Sign::Runs,
            (false, true) => Sign::Woke,
            (false, false) => Sign::Asleep,
        }
    }
}

/// What a clock shows; `None` when its process is gone.
pub(crate) fn time_of(clock: libc::clockid_t) -> Option<Duration> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live timespec, which the call fills.
    let failed = unsafe { libc::clock_gettime(clock, &raw mut time) };
    if failed != 0 {
        return None;
    }
    let seconds = u64::try_from(time.tv_sec).ok()?;
    Some(Duration::new(seconds, u32::try_from(time.tv_nsec).ok()?))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn who_sleeps_is_told_from_who_runs() {
        let look = |command: &mut Command, expected: Sign| {
            let mut child = command.spawn().unwrap();
            let mut activity = Activity::of(child.id(), 1).unwrap();
            let begun = Instant::now();
            // Once it has begun to sleep.
            while activity.look() != expected || begun.elapsed() < 2 * QUIET_AFTER {
                assert!(begun.elapsed() < Duration::from_secs(60), "{command:?}");
                std::thread::sleep(Duration::from_millis(1));
            }
            child.kill().unwrap();
            child.wait().unwrap();
            assert_eq!(
                activity.look(),
                Sign::Runs,
                "of one that is gone nothing is known"
            );
        };
        look(Command::new("sleep").arg("60"), Sign::Asleep);
        look(
            Command::new("sh").args(["-c", "while :; do :; done"]),
            Sign::Runs,
        );
    }

    #[test]
    fn many_threads_are_not_summed_up() {
        assert!(Activity::of(std::process::id(), THREADS_MAX + 1).is_none());
        assert!(Activity::of(std::process::id(), 1).is_some());
    }
}
