//! Judges a series without teeth: cuts off the warm-up, then asks of the steady part whether it
//! rises in both halves, and whether what came before allows that answer.

use plimsoll_model::{Doubt, Estimate, GrowthClass};

use super::rules::{Judgement, Rules, points_at_slope};
use super::series::{THIN_POINTS, block_medians, without_strays};
use super::trend::{Trend, trend};
use super::warm_up::{Stretch, stretches};

/// Fewer points say nothing about scatter and correlation.
pub(crate) const LEVEL_POINTS_MIN: usize = 20;

/// Two points in each half.
const TREND_POINTS_MIN: usize = 4;

/// The steady part must be this share of the run if the level rose before it. What doubles its
/// capacity as work doubles stands still for up to half of a run; this is a little more.
const STEADY_SHARE: f64 = 0.55;

/// A second half that rises by less than this share of the first one is slowing down. A cache that
/// fills (saturating exponential) is at 0.6 after one time constant.
const SLOWING_SHARE: f64 = 0.6;

/// Each step of a container that grows by a factor is later and higher than the last by this at
/// least; 1.5 and 2 are common, 4 is the most that is taken as one.
const STAIR_RATIO_MIN: f64 = 1.4;
const STAIR_RATIO_MAX: f64 = 4.0;

/// What rose faster before must rise evenly for this share of the run. The last stretch of a cache
/// that fills looks straight for about half of it.
const SLOWED_SHARE: f64 = 0.65;

/// A cut-off part whose rise is spread so far is a cache that filled and not one step.
const FILLING_SHARE: f64 = 0.04;

/// A stretch with what came before it.
struct Part<'a> {
    work: &'a [f64],
    bytes: &'a [f64],
    resolution: f64,
    /// Points of the series for each one here.
    block: usize,
    stretches: &'a [Stretch],
    start: usize,
    rules: &'a Rules,
}

/// Judges `bytes` over `work`. O(n) and a few milliseconds for the at most 1000 block medians.
pub(crate) fn level(work: &[f64], bytes: &[f64], resolution: f64, rules: &Rules) -> Judgement {
    if work.len() < LEVEL_POINTS_MIN {
        return Judgement::too_short(work.len(), rules.growing_points);
    }
    let block = work.len().div_ceil(THIN_POINTS);
    let (work, bytes) = block_medians(work, bytes, THIN_POINTS);
    let stretches = stretches(&work, &without_strays(&bytes), resolution);
    let start = stretches.last().map_or(0, |stretch| stretch.start);
    let steady = Part {
        work: &work,
        bytes: &bytes,
        resolution,
        block,
        stretches: &stretches,
        start,
        rules,
    };
    let judgement = steady.judge();
    if judgement.class == GrowthClass::Inconclusive {
        return steady.drifting_walk().unwrap_or(judgement);
    }
    judgement
}

/// Judges a short series, of floors, without looking for a warm-up.
pub(crate) fn floors_alone(
    work: &[f64],
    bytes: &[f64],
    resolution: f64,
    rules: &Rules,
) -> Judgement {
    Part {
        work,
        bytes,
        resolution,
        block: 1,
        stretches: &[],
        start: 0,
        rules,
    }
    .judge()
}

impl Part<'_> {
    fn judge(&self) -> Judgement {
        let steady = self.work.len() - self.start;
        let cut_late = self.start > 0 && self.steady_points() < LEVEL_POINTS_MIN;
        if cut_late || steady < TREND_POINTS_MIN {
            let mut judgement = self.warm_up_not_over(self.all_points());
            judgement.warm_up = self.start * self.block;
            return judgement;
        }
        let trend = self.rules.less_control(trend(
            &self.work[self.start..],
            &self.bytes[self.start..],
            self.resolution,
            self.rules.confidence,
        ));
        let [first, second] = trend.halves;
        let rises = trend.whole.low > 0.0;
        let rises_late = second.low > 0.0 && second.value >= trend.limit;
        let mut judgement = if rises && rises_late && first.value >= trend.limit {
            self.of_growing(&trend)
        } else if rises || rises_late {
            match self.second_half(&trend).or_else(|| self.settled(&trend)) {
                Some(judgement) => return judgement,
                None => self.of_rising(&trend),
            }
        } else {
            self.of_level(&trend)
        };
        judgement.slope = Some(trend.whole);
        judgement.halves = Some(trend.halves);
        judgement.warm_up = self.start * self.block;
        let told = judgement.reasons.iter().all(|doubt| {
            !matches!(
                doubt,
                Doubt::TooShort { .. } | Doubt::WarmUpNotOver { .. } | Doubt::Staircase { .. }
            )
        });
        judgement.limit = told.then_some(trend.limit);
        judgement
    }

    /// Points of the series in the steady part.
    fn steady_points(&self) -> usize {
        (self.work.len() - self.start) * self.block
    }

    fn all_points(&self) -> usize {
        self.work.len() * self.block
    }

    /// The steady part rises in both halves.
    fn of_growing(&self, trend: &Trend) -> Judgement {
        let points = self.steady_points();
        if trend.slows || slows_down(&trend.halves) {
            return self.warm_up_not_over(self.all_points());
        }
        if points < self.rules.growing_points {
            return Judgement::too_short(points, self.rules.growing_points);
        }
        if self.within_earlier_range(trend) {
            let mut judgement = Judgement::doubtful(Doubt::WithinEarlierRange);
            judgement.more_points = Some(points);
            return judgement;
        }
        let before = self.before().last().map_or(0.0, |stretch| stretch.slope);
        let share = points as f64 / self.all_points() as f64;
        if before > trend.whole.value && share < SLOWED_SHARE {
            return self.warm_up_not_over(self.all_points());
        }
        Judgement::of(GrowthClass::Growing)
    }

    /// The steady part rises as a whole, or in its second half alone.
    fn of_rising(&self, trend: &Trend) -> Judgement {
        let [first, second] = trend.halves;
        let slope = trend.whole.value;
        let mut judgement = if trend.noise.wanders {
            self.random_walk(trend)
        } else if first.low > 0.0 && slows_down(&trend.halves) {
            return self.warm_up_not_over(self.all_points());
        } else if slope < trend.limit {
            Judgement::doubtful(Doubt::GrowthTooWeak {
                slope,
                detection_limit: trend.limit,
            })
        } else {
            Judgement::doubtful(Doubt::HalvesDisagree)
        };
        let slope = slope.max(second.value / 2.0);
        judgement.more_points = judgement
            .more_points
            .or_else(|| points_at_slope(self.steady_points(), slope, trend.limit, 1.5));
        judgement
    }

    /// The steady part does not rise.
    fn of_level(&self, trend: &Trend) -> Judgement {
        if trend.noise.wanders {
            return self.random_walk(trend);
        }
        let level = self
            .stretches
            .last()
            .map_or(0.0, |last| last.from.min(last.to));
        let lowest = self
            .before()
            .iter()
            .map(|stretch| stretch.from.min(stretch.to))
            .fold(f64::INFINITY, f64::min);
        let rose = level - lowest > 3.0 * trend.noise.deviation;
        let steady = self.steady_points() as f64;
        if rose && steady < STEADY_SHARE * self.all_points() as f64 {
            let needed = (self.start * self.block) as f64 / (1.0 - STEADY_SHARE);
            let more = (needed as usize).saturating_sub(self.all_points()).max(1);
            return self
                .staircase(2)
                .unwrap_or_else(|| self.warm_up_not_over(more));
        }
        if let Some(judgement) = self.staircase(3) {
            return judgement;
        }
        let filled = rose && self.filling_points() as f64 >= FILLING_SHARE * self.work.len() as f64;
        Judgement::of(if filled {
            GrowthClass::Bounded
        } else {
            GrowthClass::Flat
        })
    }

    /// The stretches before the steady part.
    fn before(&self) -> &[Stretch] {
        let count = self
            .stretches
            .iter()
            .take_while(|stretch| stretch.start < self.start)
            .count();
        &self.stretches[..count]
    }

    /// Points in stretches that rise by a part of the whole rise worth speaking of.
    fn filling_points(&self) -> usize {
        let rise: f64 = self.before().iter().map(|s| (s.to - s.from).max(0.0)).sum();
        self.before()
            .iter()
            .filter(|stretch| stretch.to - stretch.from > rise / 10.0)
            .map(|stretch| stretch.end - stretch.start)
            .sum()
    }

    /// True if the rise of the steady part does not lead out of where the series was before:
    /// a wave or a walk on its way up.
    fn within_earlier_range(&self, trend: &Trend) -> bool {
        let highest = self
            .before()
            .iter()
            .map(|stretch| stretch.from.max(stretch.to))
            .fold(f64::NEG_INFINITY, f64::max);
        let (Some(last), true) = (self.stretches.last(), highest.is_finite()) else {
            return false;
        };
        let span = self.work[self.work.len() - 1] - self.work[self.start];
        last.to - highest < trend.whole.value * span / 2.0
    }

    /// Judges the second half alone if growth began in it: the last part is what goes on.
    fn second_half(&self, trend: &Trend) -> Option<Judgement> {
        let [first, second] = trend.halves;
        let half = (self.work.len() - self.start) / 2;
        let late = second.value >= trend.limit && first.value < second.value / 2.0;
        if !late || half * self.block < self.rules.growing_points || trend.noise.wanders {
            return None;
        }
        let judgement = Part {
            start: self.start + half,
            ..*self
        }
        .judge();
        (judgement.class == GrowthClass::Growing).then_some(judgement)
    }

    /// Judges the whole run as a random walk with drift, which is what many leaks of a random size
    /// add up to: cutting finds stretches in it that are none.
    fn drifting_walk(&self) -> Option<Judgement> {
        let last = self.stretches.last()?;
        let whole = Part { start: 0, ..*self };
        if self.start == 0 || whole.steady_points() < self.rules.growing_points {
            return None;
        }
        let trend = self.rules.less_control(trend(
            self.work,
            self.bytes,
            self.resolution,
            self.rules.confidence,
        ));
        let rises = trend.halves.iter().all(|half| half.value >= trend.limit);
        let goes_on = last.slope >= trend.whole.value / 2.0;
        if !trend.noise.wanders || !rises || !goes_on || trend.slows || slows_down(&trend.halves) {
            return None;
        }
        let mut judgement = Judgement::of(GrowthClass::Growing);
        judgement.slope = Some(trend.whole);
        judgement.halves = Some(trend.halves);
        judgement.limit = Some(trend.limit);
        Some(judgement)
    }

    /// Judges the last part alone, as long as it may be, if all growth was in the first half: the
    /// end of a warm-up that is too faint to be cut off.
    fn settled(&self, trend: &Trend) -> Option<Judgement> {
        let [first, second] = trend.halves;
        let start = ((1.0 - STEADY_SHARE) * self.work.len() as f64) as usize;
        let settles = second.low <= 0.0 && second.value < first.value / 2.0;
        if !settles || start <= self.start || trend.noise.wanders {
            return None;
        }
        let judgement = Part { start, ..*self }.judge();
        matches!(judgement.class, GrowthClass::Flat | GrowthClass::Bounded).then_some(judgement)
    }

    fn warm_up_not_over(&self, more_points: usize) -> Judgement {
        let mut judgement = Judgement::doubtful(Doubt::WarmUpNotOver {
            steady_points: self.steady_points(),
        });
        judgement.more_points = Some(more_points);
        judgement
    }

    fn random_walk(&self, trend: &Trend) -> Judgement {
        let mut judgement = Judgement::doubtful(Doubt::RandomWalk);
        judgement.more_points = points_at_slope(
            self.steady_points(),
            trend.whole.value,
            trend.limit,
            // The interval of a drift shrinks with the root of the points.
            0.5,
        );
        judgement
    }

    /// Steps up of which the last is later and higher than the one before by a like ratio, at least
    /// `steps_min` of them, if the next one is yet to come.
    fn staircase(&self, steps_min: usize) -> Option<Judgement> {
        let rise = self.stretches.last()?.to - self.stretches.first()?.from;
        // (work, height) of each step.
        let steps: Vec<(f64, f64)> = self
            .stretches
            .windows(2)
            .map(|pair| (self.work[pair[1].start], pair[1].from - pair[0].from))
            .filter(|step| step.1 > rise / 30.0)
            .collect();
        let [.., before, last] = steps[..] else {
            return None;
        };
        let ratio = last.0 / before.0;
        let next_at = last.0 * ratio.min(STAIR_RATIO_MAX);
        let now = self.work[self.work.len() - 1];
        let ever_larger = ratio >= STAIR_RATIO_MIN && last.1 >= STAIR_RATIO_MIN * before.1;
        if steps.len() < steps_min || !ever_larger || next_at <= now {
            return None;
        }
        let mut judgement = Judgement::doubtful(Doubt::Staircase {
            steps: steps.len(),
            next_at,
        });
        let more = (next_at - now).max(0.1 * now) / now * self.all_points() as f64;
        judgement.more_points = Some(more.ceil() as usize);
        Some(judgement)
    }
}

/// True if the second slope is certainly, or by far, smaller than the first.
pub(crate) fn slows_down(halves: &[Estimate; 2]) -> bool {
    let [first, second] = halves;
    let certainly = !first.overlaps(second) && second.value < 0.9 * first.value;
    certainly || second.value < SLOWING_SHARE * first.value
}
