//! Judges a series with teeth by the floors under them.
//!
//! Inside a tooth every series grows; what a leak raises is the level that a release falls back to.

use plimsoll_model::{Doubt, Estimate, GrowthClass};

use super::level::{LEVEL_POINTS_MIN, floors_alone, level, slows_down};
use super::rules::{Judgement, Rules};
use super::teeth::Toothed;
use super::trend::{around, student, theil_sen};
use crate::order;

/// Two releases are the least: two floors, and two ceilings for the time before the first floor.
const RELEASES_MIN: usize = 2;

/// Floors from which their own scatter tells how uncertain they are.
const FLOORS_MANY: usize = 6;

/// Floors that are enough to be judged as a series of their own.
const FLOORS_SERIES: usize = LEVEL_POINTS_MIN;

/// While floors are few they are taken as uncertain by this share of a release, each.
const FLOOR_SHARE: f64 = 0.05;

/// Two releases must agree to this share, or two are not enough.
const ALIKE_SHARE: f64 = 0.05;

/// Judges the floors of `toothed`, found in `points` points whose step inside a tooth is `step`.
pub(crate) fn floors(toothed: &Toothed, points: usize, step: f64, rules: &Rules) -> Judgement {
    let (work, bytes): (Vec<f64>, Vec<f64>) = toothed.floors.iter().copied().unzip();
    let count = work.len();
    let rules_of_floors = Rules {
        growing_points: FLOORS_MANY,
        ..*rules
    };
    // A floor is seen at the first point after the release: late by up to one step.
    let mut judgement = if count >= FLOORS_SERIES {
        level(&work, &bytes, step, &rules_of_floors)
    } else if count >= FLOORS_MANY {
        floors_alone(&work, &bytes, step, &rules_of_floors)
    } else {
        few(toothed, points, step, rules)
    };
    if judgement.class == GrowthClass::Flat {
        judgement.class = GrowthClass::Bounded;
    }
    if judgement.class == GrowthClass::Growing && points < rules.growing_points {
        return Judgement {
            slope: judgement.slope,
            halves: judgement.halves,
            ..Judgement::too_short(points, rules.growing_points)
        };
    }
    if count >= FLOORS_MANY {
        // Counted in floors until here.
        let tooth = points / toothed.releases.len();
        judgement.warm_up *= tooth;
        judgement.more_points = judgement.more_points.map(|teeth| teeth * tooth);
    }
    judgement
}

/// Judges two to five floors: too few to know their scatter, so that a floor is taken as uncertain
/// by a share of the release, and the extremes of the intervals count.
fn few(toothed: &Toothed, points: usize, step: f64, rules: &Rules) -> Judgement {
    let floors = &toothed.floors;
    let amplitude = toothed.teeth.amplitude_bytes;
    let range =
        order::quantile(&toothed.amplitudes, 1.0) - order::quantile(&toothed.amplitudes, 0.0);
    let unlike = range > ALIKE_SHARE * amplitude;
    let count = floors.len();
    if count < RELEASES_MIN {
        return too_few(toothed, points, RELEASES_MIN);
    }
    if count == RELEASES_MIN && unlike {
        return too_few(toothed, points, RELEASES_MIN + 1);
    }
    let loose = if count > 2 { range / 2.0 } else { 0.0 };
    let error = 2.0 * (FLOOR_SHARE * amplitude).max(step).max(loose);
    let whole = slope(floors, error, rules.confidence);
    let halves = match count {
        // The first floor comes before the first half ends: its ceilings stand in.
        2 => [
            slope(&toothed.ceilings[..2], error, rules.confidence),
            whole,
        ],
        _ => {
            let middle = count / 2;
            let last = if count == 3 { middle + 1 } else { count / 2 };
            [
                slope(&floors[..last], error, rules.confidence),
                slope(&floors[middle..], error, rules.confidence),
            ]
        }
    };
    let judgement = decide(whole, halves, points, rules);
    let growing = judgement.class == GrowthClass::Growing;
    if growing && (unlike || rates_differ(toothed) || ceilings_stay(toothed, &whole)) {
        // Few floors rise by chance where teeth are unlike each other.
        return too_few(toothed, points, FLOORS_MANY);
    }
    judgement
}

/// True if memory is not gathered at the same rate in all teeth, partial ones too.
fn rates_differ(toothed: &Toothed) -> bool {
    let range = order::quantile(&toothed.rates, 1.0) - order::quantile(&toothed.rates, 0.0);
    range > ALIKE_SHARE * order::median(&toothed.rates).abs()
}

/// True if what releases fall from does not rise with the floors.
fn ceilings_stay(toothed: &Toothed, floors: &Estimate) -> bool {
    let (work, bytes): (Vec<f64>, Vec<f64>) = toothed.ceilings.iter().copied().unzip();
    theil_sen(&work, &bytes) < floors.value / 2.0
}

fn too_few(toothed: &Toothed, points: usize, needed: usize) -> Judgement {
    let seen = toothed.releases.len();
    let needed = needed.max(seen + 1);
    let mut judgement = Judgement::doubtful(Doubt::TeethTooFew { seen, needed });
    let tooth = (toothed.teeth.period * points as f64).ceil() as usize;
    judgement.more_points = Some(tooth * (needed - seen));
    judgement
}

/// Slope through two to five floors: the error at both ends, and the scatter around the line.
fn slope(floors: &[(f64, f64)], error: f64, confidence: f64) -> Estimate {
    let (work, bytes): (Vec<f64>, Vec<f64>) = floors.iter().copied().unzip();
    let value = theil_sen(&work, &bytes);
    let count = work.len() as f64;
    let mean = work.iter().sum::<f64>() / count;
    let spread: f64 = work.iter().map(|work| (work - mean) * (work - mean)).sum();
    let residuals: Vec<f64> = work
        .iter()
        .zip(&bytes)
        .map(|(work, bytes)| bytes - value * work)
        .collect();
    let centre = residuals.iter().sum::<f64>() / count;
    let squares: f64 = residuals
        .iter()
        .map(|value| (value - centre) * (value - centre))
        .sum();
    let scatter = if count > 2.0 {
        student(count - 2.0, confidence) * (squares / (count - 2.0) / spread).sqrt()
    } else {
        0.0
    };
    let span = work[work.len() - 1] - work[0];
    around(value, scatter.max(error / span))
}

/// The verdict of few floors, from their slopes.
fn decide(whole: Estimate, halves: [Estimate; 2], points: usize, rules: &Rules) -> Judgement {
    let width = |estimate: &Estimate| (estimate.high - estimate.low) / 2.0;
    let trend = rules.less_control(super::trend::Trend {
        whole,
        halves,
        limit: width(&halves[0]).max(width(&halves[1])).max(width(&whole)),
        noise: super::noise::Noise {
            deviation: 0.0,
            effective: 1.0,
            wanders: false,
        },
        slows: false,
    });
    let [first, second] = trend.halves;
    let rises = trend.whole.low > 0.0;
    let mut judgement = if rises && first.low > 0.0 && second.low > 0.0 {
        if slows_down(&trend.halves) {
            let mut judgement = Judgement::doubtful(Doubt::WarmUpNotOver {
                steady_points: points,
            });
            judgement.more_points = Some(points);
            judgement
        } else {
            Judgement::of(GrowthClass::Growing)
        }
    } else if rises || second.low > 0.0 {
        let mut judgement = Judgement::doubtful(Doubt::HalvesDisagree);
        judgement.more_points = Some(points);
        judgement
    } else {
        Judgement::of(GrowthClass::Bounded)
    };
    judgement.slope = Some(trend.whole);
    judgement.halves = Some(trend.halves);
    let slows = matches!(judgement.reasons[..], [Doubt::WarmUpNotOver { .. }]);
    judgement.limit = (!slows).then_some(trend.limit);
    judgement
}
