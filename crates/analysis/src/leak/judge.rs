//! The judge: a series in, a verdict with its evidence out.

use plimsoll_model::{Bytes, Doubt, EndAverages, Estimate, Growth, GrowthClass, GrowthPoint};

use super::floors::floors;
use super::level::level;
use super::rules::{GROWING_POINTS, Judgement, Rules};
use super::series::Series;
use super::stillness::still;
use super::teeth::{Toothed, teeth};
use crate::order;

/// What is asked of [`judge`].
#[derive(Clone, Debug, PartialEq)]
pub struct LeakOptions {
    /// Confidence of all intervals, 0.5 to 0.9999.
    pub confidence: f64,
    /// Memory that must not be exceeded; a growing series gets the work at which it is.
    pub budget: Option<Bytes>,
    /// Bytes for one unit of work that do not matter: growth certainly under it passes.
    pub ignore_below: Option<f64>,
    /// The control arm: an empty cycle measured in the same way. Its slope is what the observer
    /// itself adds, and is subtracted with its uncertainty.
    pub control: Option<Vec<GrowthPoint>>,
}

impl Default for LeakOptions {
    fn default() -> Self {
        Self {
            confidence: 0.95,
            budget: None,
            ignore_below: None,
            control: None,
        }
    }
}

/// Judges whether `series` goes on growing with work.
///
/// 1. **Teeth** are looked for. With them, the floors are judged instead of the points.
/// 2. The **warm-up** is cut off where the course changes.
/// 3. The **slope** of the steady part and of its halves is estimated (Theil-Sen), with intervals
///    that allow for neighbours that are alike.
/// 4. `Growing` needs the whole and both halves to rise, the second not slower than the first, over
///    at least 120 points. What does not rise beyond the detection limit is `Flat`, or `Bounded` if
///    it moves. All else is `Inconclusive`, with the reason.
/// 5. What is inconclusive but moved by a few pages in all is `Flat` or `Bounded`: growth is at most
///    what moved.
///
/// There is no randomness in it. At most O(n) beside a few milliseconds; 100,000 points take some
/// tens of milliseconds.
///
/// A run that ends within its first tooth, or early on the way to a far plateau, looks like a leak in
/// every point. No judge can tell; the verdict holds for the work that was done.
#[must_use]
pub fn judge(series: &[GrowthPoint], options: &LeakOptions) -> Growth {
    let points = match Series::new(series) {
        Ok(points) => points,
        Err(doubt) => return unusable(doubt),
    };
    let mut rules = Rules {
        confidence: options.confidence,
        growing_points: GROWING_POINTS,
        control: None,
    };
    if let Some(control) = &options.control {
        match control_slope(control, &rules) {
            Some(slope) => rules.control = Some(scaled(slope, points.span)),
            None => return unusable(Doubt::ControlUnusable),
        }
    }
    let (judgement, toothed) = judge_scaled(&points, &rules);
    let growth = told(&points, judgement, toothed.as_ref(), &rules);
    let growth = match growth.class {
        GrowthClass::Inconclusive if rules.control.is_none() => {
            still(&points, &growth).unwrap_or(growth)
        }
        _ => growth,
    };
    let growth = Growth {
        end_averages: end_averages(series),
        ..growth
    };
    if !is_finite(&growth) {
        return unusable(Doubt::NotFinite { count: 0 });
    }
    with_budget(with_bound(growth, options), series, options)
}

fn judge_scaled(points: &Series, rules: &Rules) -> (Judgement, Option<Toothed>) {
    match teeth(&points.work, &points.bytes, points.resolution) {
        Some(toothed) => {
            let steps: Vec<f64> = points
                .bytes
                .windows(2)
                .map(|pair| (pair[1] - pair[0]).abs())
                .collect();
            let step = order::median(&steps).max(points.resolution);
            let judgement = floors(&toothed, points.len(), step, rules);
            (judgement, Some(toothed))
        }
        None => (
            level(&points.work, &points.bytes, points.resolution, rules),
            None,
        ),
    }
}

/// The slope of the control arm, in bytes for one unit of work.
fn control_slope(control: &[GrowthPoint], rules: &Rules) -> Option<Estimate> {
    let points = Series::new(control).ok()?;
    let slope = judge_scaled(&points, rules).0.slope?;
    let slope = scaled(slope, 1.0 / points.span);
    [slope.value, slope.low, slope.high]
        .iter()
        .all(|figure| figure.is_finite())
        .then_some(slope)
}

fn scaled(estimate: Estimate, factor: f64) -> Estimate {
    Estimate {
        value: estimate.value * factor,
        low: estimate.low * factor,
        high: estimate.high * factor,
    }
}

/// `judgement` in the units that the series was given in.
fn told(points: &Series, judgement: Judgement, toothed: Option<&Toothed>, rules: &Rules) -> Growth {
    let rate = 1.0 / points.span;
    let reasons = judgement.reasons.into_iter().map(|doubt| match doubt {
        Doubt::GrowthTooWeak {
            slope,
            detection_limit,
        } => Doubt::GrowthTooWeak {
            slope: slope * rate,
            detection_limit: detection_limit * rate,
        },
        Doubt::Staircase { steps, next_at } => Doubt::Staircase {
            steps,
            next_at: points.outside(next_at, 0.0).work,
        },
        other => other,
    });
    Growth {
        class: judgement.class,
        slope: judgement.slope.map(|slope| scaled(slope, rate)),
        detection_limit: judgement.limit.map(|limit| limit * rate),
        warm_up: judgement.warm_up,
        teeth: toothed.map(|toothed| {
            let mut teeth = toothed.teeth;
            teeth.period *= points.span;
            teeth
        }),
        floors: toothed.map_or_else(Vec::new, |toothed| {
            toothed
                .floors
                .iter()
                .map(|&(work, bytes)| points.outside(work, bytes))
                .collect()
        }),
        halves: judgement
            .halves
            .map(|halves| halves.map(|half| scaled(half, rate))),
        control_slope: rules.control.map(|slope| scaled(slope, rate)),
        end_averages: None,
        reasons: reasons.collect(),
        more_points: judgement.more_points,
        certainly_below: None,
        budget_at: None,
    }
}

fn unusable(doubt: Doubt) -> Growth {
    Growth {
        class: GrowthClass::Inconclusive,
        slope: None,
        detection_limit: None,
        warm_up: 0,
        teeth: None,
        floors: Vec::new(),
        halves: None,
        control_slope: None,
        end_averages: None,
        reasons: vec![doubt],
        more_points: None,
        certainly_below: None,
        budget_at: None,
    }
}

fn is_finite(growth: &Growth) -> bool {
    let halves = growth.halves.unwrap_or_default();
    let estimates = [growth.slope.unwrap_or_default(), halves[0], halves[1]];
    let limit = growth.detection_limit.unwrap_or(0.0);
    limit.is_finite()
        && estimates
            .iter()
            .all(|slope| slope.value.is_finite() && slope.low.is_finite() && slope.high.is_finite())
}

fn end_averages(series: &[GrowthPoint]) -> Option<EndAverages> {
    let points = (series.len() / 5).clamp(1, 10);
    let mean = |part: &[GrowthPoint]| {
        part.iter()
            .map(|point| point.bytes / points as f64)
            .sum::<f64>()
    };
    let early_bytes = mean(series.get(..points)?);
    let late_bytes = mean(&series[series.len() - points..]);
    Some(EndAverages {
        points,
        early_bytes,
        late_bytes,
        difference_bytes: late_bytes - early_bytes,
    })
}

/// Lets growth pass that is certainly under the bound.
fn with_bound(mut growth: Growth, options: &LeakOptions) -> Growth {
    let (Some(bound), Some(slope)) = (options.ignore_below, growth.slope) else {
        return growth;
    };
    // A level that stands still between steps says nothing of the steps.
    let slope_tells = growth.reasons.iter().all(|doubt| {
        !matches!(
            doubt,
            Doubt::WarmUpNotOver { .. } | Doubt::Staircase { .. } | Doubt::TeethTooFew { .. }
        )
    });
    if slope_tells && slope.high < bound {
        if !matches!(growth.class, GrowthClass::Flat | GrowthClass::Bounded) {
            growth.class = if growth.teeth.is_some() {
                GrowthClass::Bounded
            } else {
                GrowthClass::Flat
            };
        }
        growth.certainly_below = Some(bound);
        growth.reasons.clear();
        growth.more_points = None;
    }
    growth
}

/// The work at which the budget is reached: from the highest of the last points, at the slope.
fn with_budget(mut growth: Growth, series: &[GrowthPoint], options: &LeakOptions) -> Growth {
    let (GrowthClass::Growing, Some(budget), Some(slope), Some(last)) =
        (growth.class, options.budget, growth.slope, series.last())
    else {
        return growth;
    };
    // Teeth reach the budget with their ceilings.
    let since = growth
        .teeth
        .map_or(f64::INFINITY, |teeth| last.work - 1.5 * teeth.period);
    let level = series
        .iter()
        .rev()
        .take_while(|point| point.work >= since)
        .map(|point| point.bytes)
        .fold(last.bytes, f64::max);
    let room = (budget.0 as f64 - level).max(0.0);
    growth.budget_at = Some(Estimate {
        value: last.work + room / slope.value,
        low: last.work + room / slope.high,
        high: last.work + room / slope.low,
    });
    growth
}
