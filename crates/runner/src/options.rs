//! How to sample, checked once.

use std::time::Duration;

use crate::RunnerError;

/// Time between quick samples unless told otherwise: 10 Hz.
pub const INTERVAL_DEFAULT: Duration = Duration::from_millis(100);
/// The shortest time between quick samples: below it the sampler would mostly sample itself.
pub const INTERVAL_MIN: Duration = Duration::from_millis(1);
/// The longest: a day. Anything more is a typing error.
pub const INTERVAL_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Time between breakdowns when nothing changes, unless told otherwise.
pub const BREAKDOWN_INTERVAL_DEFAULT: Duration = Duration::from_secs(30);

/// Intervals that make sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    interval: Duration,
    breakdown_interval: Duration,
}

impl Options {
    /// Quick samples every `interval`, a breakdown at least every `breakdown_interval`.
    pub fn new(interval: Duration, breakdown_interval: Duration) -> Result<Options, RunnerError> {
        let check = |what, given: Duration| {
            if (INTERVAL_MIN..=INTERVAL_MAX).contains(&given) {
                Ok(given)
            } else {
                Err(RunnerError::Interval {
                    what,
                    given,
                    shortest: INTERVAL_MIN,
                })
            }
        };
        Ok(Options {
            interval: check("interval", interval)?,
            breakdown_interval: check("interval of breakdowns", breakdown_interval)?,
        })
    }

    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval
    }

    #[must_use]
    pub fn breakdown_interval(&self) -> Duration {
        self.breakdown_interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_checked() {
        let check = |interval, breakdown_interval, expected: &str| {
            let error = Options::new(interval, breakdown_interval)
                .err()
                .map(|error| error.to_string());
            assert_eq!(error.as_deref().unwrap_or("fine"), expected);
        };
        let fine = INTERVAL_DEFAULT;
        check(fine, BREAKDOWN_INTERVAL_DEFAULT, "fine");
        check(INTERVAL_MIN, INTERVAL_MAX, "fine");
        check(
            Duration::ZERO,
            fine,
            "sample with interval 0ns: it must be between 1ms and one day",
        );
        check(
            fine,
            Duration::from_micros(999),
            "sample with interval of breakdowns 999µs: it must be between 1ms and one day",
        );
    }
}
