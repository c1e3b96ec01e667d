//! What one reading cost the one who read: wall clock and processor time.

use std::time::{Duration, Instant};

/// Wall clock and processor time (user and system) of one reading.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

impl Cost {
    /// What `act` costs, done in this process.
    pub(crate) fn of<T>(act: impl FnOnce() -> T) -> (T, Cost) {
        let (wall, cpu) = (Instant::now(), processor_time());
        let value = act();
        let cost = Cost {
            wall: wall.elapsed(),
            cpu: processor_time().saturating_sub(cpu),
        };
        (value, cost)
    }

    pub(crate) fn plus(self, other: Cost) -> Cost {
        Cost {
            wall: self.wall + other.wall,
            cpu: self.cpu + other.cpu,
        }
    }
}

/// Processor time of the calling thread: others of this process may be at work for a subject.
pub(crate) fn processor_time() -> Duration {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Processor time of all threads of this process.
pub(crate) fn processor_time_of_all() -> Duration {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn clock(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a live timespec, which the call fills.
    let answer = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert_eq!(answer, 0, "Linux has had this clock since 2.6.12");
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}
