//! The search for the smallest cap under which a command succeeds: from the runs so far to the next
//! cap to try, and to the answer.
//!
//! Main type: [`FitSearch`]. A failure at any cap puts the answer above it, whatever succeeded
//! below: a program that fails now and then under a cap does not fit. The steps are
//! 1. up from a guess until it succeeds, 2. bisection on a geometric grid between the largest cap
//!    that failed and the smallest above it that did not, 3. as many runs at the minimum as were
//!    asked for, 4. the same at a few caps between it and the guess, for their times. A failure in 3
//!    or 4 goes back to 2.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_model::{Bytes, CapFit, CapMechanism, FitEnd, FitPoint, FitRun, FitTiming};

/// Caps are multiples of it: of a page on every machine, and small against any resolution.
const STEP: Bytes = Bytes::kib(64);
/// What a run that fails at the guess is given more: half as much again.
const GROWTH: (u64, u64) = (3, 2);
/// Caps between the minimum and the guess that are timed.
const TIMED_BETWEEN: u32 = 3;
/// Caps at which runs both failed and succeeded: of a steady program there is at most the boundary
/// itself, with more of them there is none to be found.
const MIXED_MAX: usize = 3;
/// No search of a steady program takes as many caps: 2^64 bytes are bisected to 2 % in 12 steps.
const CAPS_MAX: usize = 60;

/// What is searched, and how finely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FitPlan {
    /// The smallest cap to try.
    pub from: Bytes,
    /// Where to begin: a little above what the command was charged without a cap.
    pub guess: Bytes,
    /// The largest cap to try.
    pub to: Bytes,
    /// Runs that must succeed.
    pub repeat: u32,
    /// The minimum is known when it and the largest cap that fails are this close.
    pub resolution: Bytes,
}

impl FitPlan {
    /// With caps on the grid and in order.
    fn on_grid(self) -> FitPlan {
        let from = up(self.from.max(STEP));
        let to = up(self.to).max(from);
        FitPlan {
            from,
            to,
            guess: up(self.guess).clamp(from, to),
            repeat: self.repeat.max(1),
            resolution: self.resolution.max(STEP),
        }
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FitStep {
    /// Run the command under this cap.
    Try(Bytes),
    Done(FitEnd),
}

/// The runs so far.
#[derive(Clone, Debug)]
pub struct FitSearch {
    plan: FitPlan,
    baseline: Vec<FitRun>,
    runs: Vec<FitRun>,
    caps: BTreeMap<Bytes, Tally>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    succeeded: u32,
    failed: u32,
}

impl FitSearch {
    /// `baseline`: the runs without a cap.
    #[must_use]
    pub fn new(plan: FitPlan, baseline: Vec<FitRun>) -> FitSearch {
        FitSearch {
            plan: plan.on_grid(),
            baseline,
            runs: Vec::new(),
            caps: BTreeMap::new(),
        }
    }

    /// Adds a run under a cap; one without a cap is no step of the search.
    pub fn push(&mut self, run: FitRun) {
        let Some(cap) = run.cap else { return };
        let tally = self.caps.entry(cap).or_default();
        match run.failure {
            None => tally.succeeded += 1,
            Some(_) => tally.failed += 1,
        }
        self.runs.push(run);
    }

    /// The bracket so far: the largest cap that failed, and the smallest above it that did not.
    #[must_use]
    pub fn bracket(&self) -> (Option<Bytes>, Option<Bytes>) {
        let failed = self.caps.iter().rev().find(|(_, tally)| tally.failed > 0);
        let failed = failed.map(|(cap, _)| *cap);
        let succeeded = self
            .caps
            .iter()
            .find(|(cap, _)| failed.is_none_or(|failed| **cap > failed));
        (failed, succeeded.map(|(cap, _)| *cap))
    }

    #[must_use]
    pub fn next(&self) -> FitStep {
        if self.baseline.iter().any(|run| run.failure.is_some()) {
            return FitStep::Done(FitEnd::FlakyUncapped);
        }
        let mixed = |tally: &&Tally| tally.failed > 0 && tally.succeeded > 0;
        if self.caps.values().filter(mixed).count() > MIXED_MAX || self.caps.len() > CAPS_MAX {
            return FitStep::Done(FitEnd::Flaky);
        }
        let (failed, succeeded) = self.bracket();
        match (failed, succeeded) {
            (None, None) => FitStep::Try(self.plan.guess),
            (Some(failed), None) if failed >= self.plan.to => FitStep::Done(FitEnd::TooLarge),
            (Some(failed), None) => {
                let more = up(failed.scaled(GROWTH.0, GROWTH.1)).max(self.plan.guess);
                FitStep::Try(more.max(failed + STEP).min(self.plan.to))
            }
            (failed, Some(succeeded)) => self
                .narrow(failed, succeeded)
                .or_else(|| self.settle(succeeded))
                .map_or(FitStep::Done(FitEnd::Found), FitStep::Try),
        }
    }

    /// A cap between two that are too far apart.
    fn narrow(&self, failed: Option<Bytes>, succeeded: Bytes) -> Option<Bytes> {
        let below = match failed {
            Some(failed) => failed,
            // The smallest cap is no failure yet, it is only not tried.
            None if succeeded <= self.plan.from => return None,
            None => self.plan.from,
        };
        if succeeded - below > self.plan.resolution {
            let middle = up(geometric(below, succeeded, 0.5));
            let inside = middle.clamp(below + STEP, succeeded.saturating_sub(STEP));
            if inside > below && inside < succeeded {
                return Some(inside);
            }
        }
        failed.is_none().then_some(self.plan.from)
    }

    /// A cap that has too few runs yet: the minimum, then those to be timed.
    fn settle(&self, minimum: Bytes) -> Option<Bytes> {
        self.timed_caps(minimum)
            .into_iter()
            .find(|cap| self.tally(*cap).succeeded < self.plan.repeat)
    }

    /// The minimum, the guess, and a few between them; those nearer than the resolution to the one
    /// before say nothing new.
    fn timed_caps(&self, minimum: Bytes) -> Vec<Bytes> {
        let mut caps = vec![minimum];
        for number in 1..=TIMED_BETWEEN + 1 {
            let share = f64::from(number) / f64::from(TIMED_BETWEEN + 1);
            let cap = up(geometric(minimum, self.plan.guess, share)).min(self.plan.to);
            if caps
                .last()
                .is_some_and(|last| cap >= *last + self.plan.resolution)
            {
                caps.push(cap);
            }
        }
        caps
    }

    fn tally(&self, cap: Bytes) -> Tally {
        self.caps.get(&cap).copied().unwrap_or_default()
    }

    /// How many runs are still to come, if none of them surprises.
    #[must_use]
    pub fn runs_left(&self) -> u32 {
        let (failed, succeeded) = self.bracket();
        let high = succeeded.unwrap_or(self.plan.guess);
        let low = failed.unwrap_or(self.plan.from).min(high);
        let ratio = (high.0 as f64 / low.0.max(1) as f64).max(1.0);
        let fine = 1.0 + self.plan.resolution.ratio_of(high);
        let bisections = (ratio.log2() / fine.log2()).max(1.0).log2().ceil() as u32;
        let timings: u32 = self
            .timed_caps(high)
            .into_iter()
            .map(|cap| {
                let done = self.tally(cap).succeeded;
                self.plan.repeat.saturating_sub(done)
            })
            .sum();
        bisections + timings
    }

    /// The answer as far as it is known. `end` is what [`FitSearch::next`] said, or
    /// [`FitEnd::Interrupted`].
    #[must_use]
    pub fn conclude(
        self,
        end: FitEnd,
        command: Vec<String>,
        mechanism: CapMechanism,
        refused: Vec<String>,
        timeout: Duration,
    ) -> CapFit {
        let (failed, minimum) = self.bracket();
        let points = self.points();
        let comfortable = comfortable(&self.baseline, &self.runs, &points, failed);
        CapFit {
            command,
            mechanism,
            refused,
            repeat: self.plan.repeat,
            timeout,
            end,
            minimum,
            failed,
            comfortable: comfortable.filter(|_| end == FitEnd::Found),
            points,
            uncapped: timing(&self.baseline.iter().collect::<Vec<_>>()),
            baseline: self.baseline,
            runs: self.runs,
        }
    }

    fn points(&self) -> Vec<FitPoint> {
        let point = |(cap, tally): (&Bytes, &Tally)| {
            let of_cap = self.runs.iter().filter(|run| run.cap == Some(*cap));
            let well: Vec<&FitRun> = of_cap.clone().filter(|run| run.failure.is_none()).collect();
            FitPoint {
                cap: *cap,
                succeeded: tally.succeeded,
                failed: tally.failed,
                failure: of_cap.filter_map(|run| run.failure).next(),
                timing: timing(&well),
                timed: tally.succeeded >= self.plan.repeat,
            }
        };
        self.caps.iter().map(point).collect()
    }
}

/// The smallest timed cap from which on all timed ones are comfortable.
///
/// Measured against the runs that no cap slowed: those without one, and those under a cap that was
/// never met. The latter lie between the others in time, so that a machine that gets busier or idler
/// after the first runs is no verdict on the caps.
fn comfortable(
    baseline: &[FitRun],
    runs: &[FitRun],
    points: &[FitPoint],
    failed: Option<Bytes>,
) -> Option<Bytes> {
    let free = |run: &&FitRun| run.failure.is_none() && run.limit_hits == Some(0);
    let unslowed = baseline.iter().chain(runs.iter().filter(free));
    let lengths = || unslowed.clone().map(|run| run.length);
    let longest = median(lengths())?
        .mul_f64(CapFit::COMFORTABLE)
        .max(lengths().max()?);
    let never_met = |cap: Bytes| {
        runs.iter()
            .filter(|run| run.cap == Some(cap))
            .all(|run| run.limit_hits == Some(0))
    };
    points
        .iter()
        .rev()
        .filter(|point| point.timed)
        .take_while(|point| {
            failed.is_none_or(|failed| point.cap > failed)
                && (never_met(point.cap)
                    || point.timing.is_some_and(|timing| timing.length <= longest))
        })
        .last()
        .map(|point| point.cap)
}

fn timing(runs: &[&FitRun]) -> Option<FitTiming> {
    Some(FitTiming {
        length: median(runs.iter().map(|run| run.length))?,
        cpu: median(runs.iter().map(|run| run.cpu))?,
        major_faults: median(runs.iter().map(|run| run.major_faults))?,
    })
}

/// The middle one; of an even number the lower of the two in the middle, which was measured.
fn median<T: Ord>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.collect();
    values.sort();
    let middle = values.len().checked_sub(1)? / 2;
    values.into_iter().nth(middle)
}

/// The cap at `share` of the way from `low` to `high`, by ratio.
fn geometric(low: Bytes, high: Bytes, share: f64) -> Bytes {
    if low.is_zero() || high <= low {
        return high.max(low);
    }
    let ratio = high.0 as f64 / low.0 as f64;
    Bytes((low.0 as f64 * ratio.powf(share)) as u64)
}

/// The next multiple of [`STEP`].
fn up(bytes: Bytes) -> Bytes {
    Bytes(bytes.0.div_ceil(STEP.0).saturating_mul(STEP.0))
}

#[cfg(test)]
mod tests;
