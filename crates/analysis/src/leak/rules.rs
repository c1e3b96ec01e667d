//! What a judgement is asked for and what it gives, in the units of the scaled series.

use plimsoll_model::{Doubt, Estimate, GrowthClass};

use super::trend::{Trend, around};

/// Points of a steady part that may be called growing.
///
/// A convention, and the one that matters most: a part of one tooth is a straight line, and nothing
/// in it tells it from a leak. It is longer than the tooth of 101 cycles that CPython's
/// sqlite3 module makes where a cycle opens 2 cursors or 203 (it prunes its weak references only every
/// 200 cursors). A run that ends within a longer tooth still reads as growing; only a longer run can
/// tell.
pub(crate) const GROWING_POINTS: usize = 120;

/// A run that would have to be so many times longer is no advice.
const LONGER_MAX: f64 = 100.0;

/// How to judge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) confidence: f64,
    pub(crate) growing_points: usize,
    /// Slope of the control arm.
    pub(crate) control: Option<Estimate>,
}

impl Rules {
    /// `trend` without what the control arm grows by; uncertainties add as independent ones do.
    pub(crate) fn less_control(&self, mut trend: Trend) -> Trend {
        let Some(control) = self.control else {
            return trend;
        };
        let spread = (control.high - control.low) / 2.0;
        trend.whole = less(trend.whole, control.value, spread);
        trend.halves = trend.halves.map(|half| less(half, control.value, spread));
        trend.limit = trend.limit.hypot(2.0 * spread);
        trend
    }
}

fn less(slope: Estimate, value: f64, spread: f64) -> Estimate {
    let half_width = ((slope.high - slope.low) / 2.0).hypot(spread);
    around(slope.value - value, half_width)
}

/// A verdict on one series, floors or all points.
#[derive(Clone, Debug)]
pub(crate) struct Judgement {
    pub(crate) class: GrowthClass,
    pub(crate) slope: Option<Estimate>,
    pub(crate) halves: Option<[Estimate; 2]>,
    pub(crate) limit: Option<f64>,
    pub(crate) warm_up: usize,
    pub(crate) reasons: Vec<Doubt>,
    pub(crate) more_points: Option<usize>,
}

impl Judgement {
    pub(crate) fn of(class: GrowthClass) -> Self {
        Self {
            class,
            slope: None,
            halves: None,
            limit: None,
            warm_up: 0,
            reasons: Vec::new(),
            more_points: None,
        }
    }

    pub(crate) fn doubtful(doubt: Doubt) -> Self {
        Self {
            reasons: vec![doubt],
            ..Self::of(GrowthClass::Inconclusive)
        }
    }

    pub(crate) fn too_short(points: usize, needed: usize) -> Self {
        Self {
            more_points: Some(needed.saturating_sub(points)),
            ..Self::doubtful(Doubt::TooShort { points, needed })
        }
    }
}

/// Points to add to `points` until the limit, which shrinks as points^-`power`, is under `slope`.
pub(crate) fn points_at_slope(points: usize, slope: f64, limit: f64, power: f64) -> Option<usize> {
    if slope <= 0.0 {
        return None;
    }
    let times = (limit / slope).powf(1.0 / power);
    (times <= LONGER_MAX).then(|| ((times.max(1.1) - 1.0) * points as f64).ceil() as usize)
}
