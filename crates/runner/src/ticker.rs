//! When to sample: absolute deadlines, so that the work of one tick does not delay the next.
//!
//! [`Ticker`] is pure: it is told the time. Ticks that were missed (a slow machine, a stopped
//! job) are skipped and counted, never made up for in a burst.

use std::time::Duration;

/// The ticks `0, interval, 2 × interval, …`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticker {
    interval: Duration,
    next: Duration,
    pub(crate) missed: u64,
}

impl Ticker {
    /// `interval` is not zero: [`crate::Options`] sees to that.
    pub(crate) fn new(interval: Duration) -> Ticker {
        Ticker {
            interval,
            next: Duration::ZERO,
            missed: 0,
        }
    }

    pub(crate) fn is_due(&self, now: Duration) -> bool {
        now >= self.next
    }

    /// How long to sleep.
    pub(crate) fn wait(&self, now: Duration) -> Duration {
        self.next.saturating_sub(now)
    }

    /// A tick was worked off, at `now`: the next one is the first deadline after it.
    pub(crate) fn ticked(&mut self, now: Duration) {
        let interval = self.interval.as_nanos().max(1);
        let late = now.saturating_sub(self.next).as_nanos() / interval;
        self.missed = self
            .missed
            .saturating_add(u64::try_from(late).unwrap_or(u64::MAX));
        let steps = late.saturating_add(1).saturating_mul(interval);
        let step = Duration::from_nanos(u64::try_from(steps).unwrap_or(u64::MAX));
        self.next = self.next.saturating_add(step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Works off a tick at each of `times` (ms) and checks the next deadline and the count missed.
    #[test]
    fn deadlines_do_not_drift() {
        let check = |times: &[u64], next: u64, missed: u64| {
            let mut ticker = Ticker::new(Duration::from_millis(100));
            for time in times {
                ticker.ticked(Duration::from_millis(*time));
            }
            assert_eq!(ticker.next, Duration::from_millis(next), "{times:?}");
            assert_eq!(ticker.missed, missed, "{times:?}");
        };
        check(&[0], 100, 0);
        check(&[3], 100, 0);
        check(&[3, 107, 260], 300, 0);
        check(&[0, 199], 200, 0);
        check(&[0, 200], 300, 1);
        check(&[0, 1050, 1100], 1200, 9);
    }

    #[test]
    fn waits_until_the_deadline_and_not_after() {
        let mut ticker = Ticker::new(Duration::from_millis(100));
        assert!(ticker.is_due(Duration::ZERO));
        ticker.ticked(Duration::from_millis(30));
        assert!(!ticker.is_due(Duration::from_millis(99)));
        assert_eq!(
            ticker.wait(Duration::from_millis(30)),
            Duration::from_millis(70)
        );
        assert_eq!(ticker.wait(Duration::from_millis(130)), Duration::ZERO);
    }
}
