//! A limit of bytes a second over all workers. Memory: a place in time.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long after a pause more may pass at once.
const BURST: Duration = Duration::from_millis(100);
/// How long nobody looks whether the run is to end.
const LOOK: Duration = Duration::from_millis(100);

/// Lets so many bytes a second pass.
#[derive(Debug)]
pub struct Bandwidth {
    bytes_per_second: u64,
    /// When what was let pass so far is through.
    next: Mutex<Instant>,
}

impl Bandwidth {
    /// None for 0, which is no limit.
    #[must_use]
    pub fn new(bytes_per_second: u64) -> Option<Bandwidth> {
        (bytes_per_second > 0).then(|| Bandwidth {
            bytes_per_second,
            next: Mutex::new(Instant::now()),
        })
    }

    /// Waits until so many bytes are through, or until it is no use: false then.
    pub fn wait(&self, bytes: u64, is_ended: &dyn Fn() -> bool) -> bool {
        let until = Instant::now() + self.claim(Instant::now(), bytes);
        loop {
            if is_ended() {
                return false;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            thread::sleep(left.min(LOOK));
        }
    }

    /// How long to wait for them.
    fn claim(&self, now: Instant, bytes: u64) -> Duration {
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        *next = (*next).max(earliest) + takes;
        next.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_all_workers_take_their_time() {
        assert!(Bandwidth::new(0).is_none());
        let start = Instant::now() + Duration::from_secs(10);
        let takes = |rate: u64| {
            let limit = Bandwidth::new(rate).unwrap();
            let mut last = Duration::ZERO;
            for _ in 0..100 {
                last = limit.claim(start, 1000);
            }
            // What was not used long ago is lost.
            let later = start + Duration::from_secs(3600);
            assert_eq!(limit.claim(later, rate / 10), Duration::ZERO);
            last + BURST
        };
        assert_eq!(takes(1000).as_secs_f64().round(), 100.0);
        assert_eq!(takes(2000).as_secs_f64().round(), 50.0);
    }

    #[test]
    fn nobody_waits_for_a_run_that_ends() {
        let limit = Bandwidth::new(1).unwrap();
        assert!(!limit.wait(1 << 40, &|| true));
    }
}
