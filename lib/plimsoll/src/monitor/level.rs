//! From readings to a level, with hysteresis. Pure.
//!
//! Up at once, down slowly: a level is entered when any signal reaches its threshold, and left, one
//! step at a time, after all signals stayed below a lower one for a while.

use std::time::Duration;

use crate::budget::Pressure;

/// When a level is entered and left.
///
/// ```
/// use plimsoll::monitor::{MonitorOptions, Thresholds};
///
/// let early = Thresholds { tight_fill: 0.6, critical_fill: 0.8, ..Thresholds::default() };
/// let options = MonitorOptions::default().thresholds(early).rss_limit(512 << 20);
/// # drop(options);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Part of the limit in use from which memory is tight: 0.80.
    pub tight_fill: f64,
    /// From which it is critical: 0.92.
    pub critical_fill: f64,
    /// A level is left when fill is so far below its threshold: 0.05.
    pub fill_margin: f64,
    /// Share of time in which some task waited for memory: 0.10. It is left at half of that.
    pub tight_stall: f64,
    /// Share of time in which all tasks waited: 0.10. It is left at half of that.
    pub critical_stall: f64,
    /// How long all signals must stay low before the level falls by one: 10 s.
    pub calm_after: Duration,
}

impl Default for Thresholds {
    fn default() -> Thresholds {
        Thresholds {
            tight_fill: 0.80,
            critical_fill: 0.92,
            fill_margin: 0.05,
            tight_stall: 0.10,
            critical_stall: 0.10,
            calm_after: Duration::from_secs(10),
        }
    }
}

/// What the level is judged by. `None` is unknown, and decides nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Signal {
    /// The largest of: RSS by the RSS limit, memory of the cgroup that can't be dropped by its limit.
    pub fill: Option<f64>,
    /// Share of time in which some task waited for memory.
    pub stall_some: Option<f64>,
    /// Share of time in which all tasks waited.
    pub stall_full: Option<f64>,
}

/// A level that changed, with what decided it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LevelChange {
    /// The level before.
    pub from: Pressure,
    /// The level from now on.
    pub to: Pressure,
    /// What it was judged by.
    pub signal: Signal,
}

#[derive(Debug)]
pub(super) struct LevelMachine {
    thresholds: Thresholds,
    level: Pressure,
    /// Since when all signals are below what keeps the level.
    low_since: Option<Duration>,
}

impl LevelMachine {
    pub(super) fn new(thresholds: Thresholds) -> LevelMachine {
        LevelMachine {
            thresholds,
            level: Pressure::Calm,
            low_since: None,
        }
    }

    pub(super) fn level(&self) -> Pressure {
        self.level
    }

    /// One reading; `now` is since any fixed instant.
    pub(super) fn step(&mut self, now: Duration, signal: Signal) -> Option<LevelChange> {
        if signal == Signal::default() {
            // Nothing is known: no reason to rise, and none to relax.
            self.low_since = None;
            return None;
        }
        let from = self.level;
        let entered = self.entered(signal);
        if entered > from {
            self.level = entered;
            self.low_since = None;
        } else if from == Pressure::Calm || self.keeps(from, signal) {
            self.low_since = None;
        } else {
            let since = *self.low_since.get_or_insert(now);
            if now.saturating_sub(since) >= self.thresholds.calm_after {
                self.level = match from {
                    Pressure::Critical => Pressure::Tight,
                    Pressure::Tight | Pressure::Calm => Pressure::Calm,
                };
                // The next step down takes as long again.
                self.low_since = None;
            }
        }
        (self.level != from).then_some(LevelChange {
            from,
            to: self.level,
            signal,
        })
    }

    /// The highest level whose threshold is reached.
    fn entered(&self, signal: Signal) -> Pressure {
        let limits = &self.thresholds;
        let reaches = |value: Option<f64>, limit| value.is_some_and(|value| value >= limit);
        if reaches(signal.fill, limits.critical_fill)
            || reaches(signal.stall_full, limits.critical_stall)
        {
            Pressure::Critical
        } else if reaches(signal.fill, limits.tight_fill)
            || reaches(signal.stall_some, limits.tight_stall)
        {
            Pressure::Tight
        } else {
            Pressure::Calm
        }
    }

    /// Whether a signal is still high enough for `level`.
    fn keeps(&self, level: Pressure, signal: Signal) -> bool {
        let limits = &self.thresholds;
        let at_least = |value: Option<f64>, limit| value.is_some_and(|value| value >= limit);
        let (fill, stall, stall_limit) = match level {
            Pressure::Calm => return true,
            Pressure::Tight => (limits.tight_fill, signal.stall_some, limits.tight_stall),
            Pressure::Critical => (
                limits.critical_fill,
                signal.stall_full,
                limits.critical_stall,
            ),
        };
        at_least(signal.fill, fill - limits.fill_margin) || at_least(stall, stall_limit / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fill(fill: f64) -> Signal {
        Signal {
            fill: Some(fill),
            ..Signal::default()
        }
    }

    #[test]
    fn up_at_once_and_down_step_by_step() {
        let mut machine = LevelMachine::new(Thresholds::default());
        let mut check = |seconds, value, expected| {
            machine.step(Duration::from_secs(seconds), fill(value));
            assert_eq!(machine.level(), expected, "at {seconds} s");
        };
        check(0, 0.5, Pressure::Calm);
        check(1, 0.93, Pressure::Critical);
        check(2, 0.88, Pressure::Critical);
        check(30, 0.88, Pressure::Critical);
        check(31, 0.5, Pressure::Critical);
        check(40, 0.5, Pressure::Critical);
        check(41, 0.5, Pressure::Tight);
        check(42, 0.5, Pressure::Tight);
        check(51, 0.5, Pressure::Tight);
        check(52, 0.5, Pressure::Calm);
    }

    #[test]
    fn the_unknown_decides_nothing() {
        let mut machine = LevelMachine::new(Thresholds::default());
        machine.step(Duration::ZERO, fill(0.85));
        for seconds in 1..100 {
            let change = machine.step(Duration::from_secs(seconds), Signal::default());
            assert_eq!(change, None);
        }
        assert_eq!(machine.level(), Pressure::Tight);
        let stall = Signal {
            stall_full: Some(0.5),
            ..Signal::default()
        };
        machine.step(Duration::from_secs(101), stall);
        assert_eq!(machine.level(), Pressure::Critical);
    }

    fn signals() -> impl Strategy<Value = Vec<(u64, Signal)>> {
        let share = || proptest::option::of(0.0..1.0_f64);
        let reading = (1..4000_u64, share(), share(), share());
        proptest::collection::vec(reading, 1..200).prop_map(|readings| {
            let signal = |(span, fill, stall_some, stall_full)| {
                (
                    span,
                    Signal {
                        fill,
                        stall_some,
                        stall_full,
                    },
                )
            };
            readings.into_iter().map(signal).collect()
        })
    }

    proptest! {
        /// However the signals jump: never below what they demand, down by one step at a time, and
        /// falls at least `calm_after` apart from any change before.
        #[test]
        fn never_flaps(readings in signals()) {
            let thresholds = Thresholds::default();
            let mut machine = LevelMachine::new(thresholds);
            let mut now = Duration::ZERO;
            let mut changed = Duration::ZERO;
            for (span, signal) in readings {
                now += Duration::from_millis(span);
                let change = machine.step(now, signal);
                prop_assert!(machine.level() >= machine.entered(signal));
                let Some(change) = change else { continue };
                if change.to < change.from {
                    prop_assert!(now - changed >= thresholds.calm_after);
                    prop_assert_eq!(change.to as u8 + 1, change.from as u8);
                    prop_assert!(!machine.keeps(change.from, signal));
                }
                changed = now;
            }
        }

        /// Between the threshold and the margin below it nothing ever changes.
        #[test]
        fn noise_within_the_margin_changes_nothing(
            noise in proptest::collection::vec((1..9000_u64, 0.751..0.919_f64), 1..200),
        ) {
            let mut machine = LevelMachine::new(Thresholds::default());
            machine.step(Duration::ZERO, fill(0.80));
            let mut now = Duration::ZERO;
            for (span, value) in noise {
                now += Duration::from_millis(span);
                prop_assert_eq!(machine.step(now, fill(value)), None);
            }
        }
    }
}
