//! When to take a full reading: pure, it is told the time.
//!
//! A breakdown costs thousands of times what a quick sample does, so [`BreakdownSchedule`] asks for
//! one only when something changed or a stated time has passed, and never takes more than a
//! stated share of one core, with one exception that is also bounded. What the peak was made of is
//! what the report is for, and a peak may be over at any time, so a new maximum waits less: at most
//! [`NEW_MAXIMUM_WAIT`], and hardly at all once RSS is a fifth above what was last looked at.
//! Such steps are a geometric series: with a cost in proportion to RSS, all of them together cost
//! six times the last one, however long the growth takes. The first second of cost is free, so
//! that short runs are seen whole.

use std::time::Duration;

use plimsoll_model::Bytes;

/// A reading of cost c is followed by a pause of 400 × c: at most 0.25 % of one core. Sampling ten times
/// a second and keeping it takes as much again, and 0.5 % is what all of it may take.
pub const PAUSE_PER_COST: u32 = 400;
/// The longest pause before a new maximum is looked at. On a process so large that a reading takes
/// a second of processor time, growth then costs up to a tenth of a core while it lasts.
pub const NEW_MAXIMUM_WAIT: Duration = Duration::from_secs(10);
/// A maximum so much higher than all before is looked at after [`BIG_STEP_PAUSE_PER_COST`] only.
const BIG_STEP_PERCENT: u64 = 20;
/// While a subject grows by big steps, readings take up to a tenth of a core.
pub const BIG_STEP_PAUSE_PER_COST: u32 = 10;
/// Once the credit is used up, readings at marks take up to a twentieth of a core: the subject asked
/// for them, and waits.
const MARK_PAUSE_PER_COST: u32 = 20;
/// Reading is nearly free until it has cost this much in all: most first runs are short, and what
/// their peak was made of is the answer that they are run for.
const STARTING_CREDIT: Duration = Duration::from_secs(1);
/// While the credit lasts readings take up to half of a core.
const CREDIT_PAUSE_PER_COST: u32 = 1;
/// A new maximum of a small process is looked at when it is this much higher.
const NEW_MAXIMUM_BYTES: Bytes = Bytes::mib(1);
/// A smaller change is not looked at: 2 % of the last breakdown, and at least 4 MiB, which is what
/// allocators and runtimes move up and down by without anything having happened.
const CHANGE_PERCENT: u64 = 2;
const CHANGE_BYTES: Bytes = Bytes::mib(4);

/// Percent of a cap at which a subject is looked at, once each and whatever it costs: after the kernel
/// has killed it, nobody can ask who held the memory.
const NEAR_LIMIT_PERCENT: [u64; 4] = [50, 70, 85, 95];

/// Why a full reading is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakdownReason {
    First,
    /// RSS is more than 2 % and 1 MiB above the highest breakdown so far.
    NewMaximum,
    /// RSS moved by more than 2 % and 4 MiB since the last breakdown.
    Changed,
    /// A process appeared or ended.
    Processes,
    /// A stage begins.
    Mark,
    /// RSS came near the cap that it runs under.
    NearLimit,
    /// The stated time has passed.
    Interval,
    /// The recording ends and the subject goes on.
    Last,
}

/// See the module's description.
#[derive(Clone, Debug)]
pub struct BreakdownSchedule {
    interval: Duration,
    limit: Option<Bytes>,
    last: Option<Taken>,
    /// Cost of all readings.
    spent: Duration,
    rss_max: Bytes,
    processes_changed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Taken {
    at: Duration,
    rss: Bytes,
    cost: Duration,
}

impl BreakdownSchedule {
    /// A breakdown at least every `interval`, as far as its cost allows.
    #[must_use]
    pub fn new(interval: Duration) -> BreakdownSchedule {
        BreakdownSchedule {
            interval,
            limit: None,
            last: None,
            spent: Duration::ZERO,
            rss_max: Bytes::ZERO,
            processes_changed: false,
        }
    }

    /// The same for a subject under a cap.
    #[must_use]
    pub fn under(self, limit: Option<Bytes>) -> BreakdownSchedule {
        BreakdownSchedule { limit, ..self }
    }

    /// A process appeared or ended; it counts until the next breakdown.
    pub fn processes_changed(&mut self) {
        self.processes_changed = true;
    }

    /// Whether to take a full reading now, with this RSS of all processes together.
    #[must_use]
    pub fn due(&self, now: Duration, rss: Bytes) -> Option<BreakdownReason> {
        let Some(last) = self.last else {
            return Some(BreakdownReason::First);
        };
        if self.steps_to_limit(rss) > self.steps_to_limit(self.rss_max) {
            return Some(BreakdownReason::NearLimit);
        }
        let passed = now.saturating_sub(last.at);
        let on_credit = self.spent < STARTING_CREDIT;
        let per_cost = if on_credit {
            CREDIT_PAUSE_PER_COST
        } else {
            PAUSE_PER_COST
        };
        let pause = last.cost.saturating_mul(per_cost);
        let grown = rss.saturating_sub(self.rss_max);
        if grown
            > self
                .rss_max
                .scaled(CHANGE_PERCENT, 100)
                .max(NEW_MAXIMUM_BYTES)
        {
            let pause = if grown > self.rss_max.scaled(BIG_STEP_PERCENT, 100) {
                pause.min(last.cost.saturating_mul(BIG_STEP_PAUSE_PER_COST))
            } else {
                pause
            };
            return (passed >= pause.min(NEW_MAXIMUM_WAIT)).then_some(BreakdownReason::NewMaximum);
        }
        if passed < pause {
            return None;
        }
        let threshold = last.rss.scaled(CHANGE_PERCENT, 100).max(CHANGE_BYTES);
        if Bytes(rss.0.abs_diff(last.rss.0)) > threshold {
            Some(BreakdownReason::Changed)
        } else if self.processes_changed {
            Some(BreakdownReason::Processes)
        } else if passed >= self.interval {
            Some(BreakdownReason::Interval)
        } else {
            None
        }
    }

    /// How many of the steps towards the cap this RSS has passed.
    fn steps_to_limit(&self, rss: Bytes) -> usize {
        let passed = |limit: Bytes| {
            let steps = NEAR_LIMIT_PERCENT.iter();
            steps
                .filter(|percent| rss >= limit.scaled(**percent, 100))
                .count()
        };
        self.limit.map_or(0, passed)
    }

    /// Whether a full reading may be taken at a mark: what a stage holds at its start is what it
    /// is for, but a subject that marks a thousand times a second must not be stopped by it.
    #[must_use]
    pub fn mark_due(&self, now: Duration) -> bool {
        let pause = |last: &Taken| last.cost.saturating_mul(MARK_PAUSE_PER_COST);
        self.spent < STARTING_CREDIT
            || self
                .last
                .as_ref()
                .is_none_or(|last| now.saturating_sub(last.at) >= pause(last))
    }

    /// A reading that began when RSS was `rss` ended `at` this time. One that failed counts too:
    /// it cost as much, and trying again at once would fail again.
    pub fn taken(&mut self, at: Duration, rss: Bytes, cost: Duration) {
        self.last = Some(Taken { at, rss, cost });
        self.spent = self.spent.saturating_add(cost);
        self.rss_max = self.rss_max.max(rss);
        self.processes_changed = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A schedule with interval 10 s whose last reading ended at 100 s with 1000 MiB; its credit is
    /// used up.
    fn after_reading(cost: Duration) -> BreakdownSchedule {
        let mut schedule = BreakdownSchedule::new(seconds(10));
        schedule.taken(seconds(50), Bytes::mib(1100), STARTING_CREDIT);
        schedule.taken(seconds(100), Bytes::mib(1000), cost);
        schedule
    }

    #[test]
    fn the_first_is_at_once() {
        let schedule = BreakdownSchedule::new(seconds(10));
        assert_eq!(
            schedule.due(Duration::ZERO, Bytes::ZERO),
            Some(BreakdownReason::First)
        );
    }

    #[test]
    fn reasons() {
        let check = |cost_ms, at_ms, rss_mib, expected| {
            let schedule = after_reading(Duration::from_millis(cost_ms));
            let due = schedule.due(Duration::from_millis(at_ms), Bytes::mib(rss_mib));
            assert_eq!(
                due, expected,
                "cost {cost_ms} ms, at {at_ms} ms, {rss_mib} MiB"
            );
        };
        use BreakdownReason::{Changed, Interval, NewMaximum};
        // Nothing happens until the interval is over.
        check(1, 100_300, 1000, None);
        check(1, 109_999, 1020, None);
        check(1, 110_000, 1000, Some(Interval));
        // 2 % of 1000 MiB, up or down.
        check(1, 100_500, 1021, Some(Changed));
        check(1, 100_500, 979, Some(Changed));
        // The pause: 400 times the cost.
        check(1, 100_399, 979, None);
        check(1, 100_400, 979, Some(Changed));
        check(100, 139_999, 979, None);
        check(100, 139_999, 1000, None);
        check(100, 140_000, 1000, Some(Interval));
        // 2 % above the highest breakdown (1100 MiB) does not wait for the whole of it.
        check(100, 109_999, 1200, None);
        check(100, 110_000, 1200, Some(NewMaximum));
        // 20 % above it hardly waits.
        check(100, 100_999, 1321, None);
        check(100, 101_000, 1321, Some(NewMaximum));
        check(100, 110_000, 1122, None);
        check(1, 100_400, 1123, Some(NewMaximum));
    }

    #[test]
    fn a_capped_subject_is_looked_at_on_its_way_to_the_cap() {
        let mut schedule = BreakdownSchedule::new(seconds(10)).under(Some(Bytes::mib(1000)));
        let cost = seconds(5);
        schedule.taken(seconds(1), Bytes::mib(480), cost);
        let at = Duration::from_millis(1100);
        let check = |schedule: &BreakdownSchedule, mib, expected| {
            assert_eq!(schedule.due(at, Bytes::mib(mib)), expected, "{mib} MiB");
        };
        check(&schedule, 499, None);
        check(&schedule, 500, Some(BreakdownReason::NearLimit));
        schedule.taken(at, Bytes::mib(720), cost);
        check(&schedule, 800, None);
        check(&schedule, 850, Some(BreakdownReason::NearLimit));
        schedule.taken(at, Bytes::mib(990), cost);
        check(&schedule, 1000, None);
    }

    #[test]
    fn small_processes_need_4_mib() {
        let mut schedule = BreakdownSchedule::new(seconds(10));
        schedule.taken(seconds(1), Bytes::mib(100), Duration::ZERO);
        schedule.taken(seconds(1), Bytes::mib(10), Duration::ZERO);
        assert_eq!(schedule.due(seconds(2), Bytes::mib(13)), None);
        assert_eq!(
            schedule.due(seconds(2), Bytes::mib(15)),
            Some(BreakdownReason::Changed)
        );
    }

    #[test]
    fn a_changed_tree_is_looked_at_once() {
        let mut schedule = after_reading(Duration::from_millis(1));
        schedule.processes_changed();
        assert_eq!(
            schedule.due(Duration::from_millis(100_100), Bytes::mib(1000)),
            None
        );
        let due = schedule.due(seconds(101), Bytes::mib(1000));
        assert_eq!(due, Some(BreakdownReason::Processes));
        schedule.taken(seconds(101), Bytes::mib(1000), Duration::from_millis(1));
        assert_eq!(schedule.due(seconds(102), Bytes::mib(1000)), None);
    }

    /// A run of a second: 60 MiB, 110 MiB for 300 ms, and down again.
    #[test]
    fn a_short_peak_is_looked_at() {
        let mut schedule = BreakdownSchedule::new(seconds(10));
        let at = Duration::from_millis;
        schedule.taken(at(50), Bytes::mib(10), at(45));
        assert_eq!(schedule.due(at(90), Bytes::mib(60)), None);
        assert_eq!(
            schedule.due(at(100), Bytes::mib(60)),
            Some(BreakdownReason::NewMaximum)
        );
        schedule.taken(at(145), Bytes::mib(60), at(45));
        assert_eq!(
            schedule.due(at(200), Bytes::mib(110)),
            Some(BreakdownReason::NewMaximum)
        );
    }

    /// A reading costs 0.1 ms a MiB; RSS is looked at 10 times a second.
    #[test]
    fn a_fast_grower_is_seen_near_its_peak_at_a_bounded_cost() {
        let check = |mib_per_second: u64| {
            let mut schedule = BreakdownSchedule::new(seconds(10));
            let (mut spent, mut cost) = (Duration::ZERO, Duration::ZERO);
            let mut seen = 0;
            let ticks = 4000 * 10 / mib_per_second;
            for tick in 0..=ticks {
                let now = Duration::from_millis(tick * 100);
                let mib = 10 + tick * mib_per_second / 10;
                if schedule.due(now, Bytes::mib(mib)).is_some() {
                    cost = Duration::from_micros(100 * mib);
                    schedule.taken(now, Bytes::mib(mib), cost);
                    spent += cost;
                    seen = mib;
                }
                // A fifth, and what it grew by in the pause.
                let pause_ms = cost.as_millis() as u64 * u64::from(BIG_STEP_PAUSE_PER_COST) + 100;
                let near = seen + seen / 5 + mib_per_second * pause_ms / 1000 + 2;
                assert!(mib <= near, "{seen} of {mib} MiB at {now:?}");
            }
            // Six times the last of the big steps, and one reading each 10 s for the small ones.
            let small_steps = u32::try_from(ticks / 100).unwrap() + 1;
            assert!(
                spent <= cost * (6 + small_steps) + 2 * STARTING_CREDIT,
                "{mib_per_second}: {spent:?}"
            );
        };
        check(10);
        check(100);
        check(1000);
    }

    proptest! {
        /// Whatever RSS does short of new maxima, readings take at most 1/400 of the time, the
        /// last one aside.
        #[test]
        fn the_share_of_a_core_is_bounded(
            steps in proptest::collection::vec((1..1000_u64, 0..1000_u64, 0..200_u64, any::<bool>()), 1..300),
        ) {
            let mut schedule = BreakdownSchedule::new(Duration::from_millis(300));
            schedule.taken(Duration::ZERO, Bytes::mib(1000), STARTING_CREDIT);
            schedule.taken(Duration::ZERO, Bytes::mib(1000), Duration::ZERO);
            let mut now = Duration::ZERO;
            let mut spent = Duration::ZERO;
            let mut last_cost = Duration::ZERO;
            for (step_ms, rss_mib, cost_ms, changed) in steps {
                now += Duration::from_millis(step_ms);
                if changed {
                    schedule.processes_changed();
                }
                if schedule.due(now, Bytes::mib(rss_mib)).is_some() {
                    spent += last_cost;
                    last_cost = Duration::from_millis(cost_ms);
                    schedule.taken(now, Bytes::mib(rss_mib), last_cost);
                }
            }
            prop_assert!(spent * PAUSE_PER_COST <= now);
        }
    }
}
