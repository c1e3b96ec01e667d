//! The only place of this crate that reads a clock. Everything else is given the time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time since the start of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock {
            start: Instant::now(),
        }
    }

    pub(crate) fn now(self) -> Duration {
        self.start.elapsed()
    }
}

/// Now, since the Unix epoch.
pub(crate) fn wall_time() -> Duration {
    // A clock before 1970 is set wrong; there is no better answer than its zero.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Processor time of the calling thread.
pub(crate) fn thread_cpu() -> Duration {
    cpu_of(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Processor time of this process, all its threads.
pub(crate) fn own_cpu() -> Duration {
    cpu_of(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn cpu_of(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: clock_gettime(2) fills the struct it is given, which lives until the call returns.
    let rc = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert_eq!(rc, 0, "processor time clocks are there since Linux 2.6.12");
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}
