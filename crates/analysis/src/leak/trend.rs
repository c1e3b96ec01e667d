//! The slope of a stretch and of its two halves, with intervals that stay true when neighbours are
//! alike or the level wanders.

use plimsoll_model::Estimate;
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::noise::{Noise, noise};
use super::series::block_medians;
use crate::order;

/// Points whose pairs give the Theil-Sen slope: 19,900 slopes. More change it by less than noise.
const PAIRED_POINTS: usize = 200;

/// Blocks whose increments show how far a level wanders.
const INCREMENTS: usize = 20;

/// The limit is this many half-widths of a half's interval: a leak at the limit is found in about
/// one run of four, one at twice the limit in practically all. It is also what keeps both halves
/// far enough from 0 to see a cache that fills slow down.
const LIMIT_HALF_WIDTHS: f64 = 2.0;

/// Rates that are independent decline so far once in 250 times.
const DECLINE_ERRORS: f64 = 3.0;

/// Slopes of a stretch of a series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trend {
    pub(crate) whole: Estimate,
    pub(crate) halves: [Estimate; 2],
    /// The smallest slope that both halves would show.
    pub(crate) limit: f64,
    pub(crate) noise: Noise,
    /// True if a wandering level rises ever slower, by more than chance.
    pub(crate) slows: bool,
}

/// The slope of `bytes` over `work`, at least 4 points with increasing work.
///
/// Theil-Sen (Theil 1950, Sen 1968): the median of the slopes of all pairs, which a quarter of
/// strays does not move. Its interval is that of least squares with the robust deviation and the
/// effective number of points (see [`noise`]). Where the residuals cannot be told from a random
/// walk no number of points makes the slope of a line known; the interval then comes from
/// the increments between blocks, which are independent in a random walk. (Choosing between the two
/// by a test for a unit root follows Harvey, Leybourne and Taylor, J. Econometrics 2007.)
///
/// At most O(n) + 20,000 steps beside the O(n × correlation) of the noise.
pub(crate) fn trend(work: &[f64], bytes: &[f64], resolution: f64, confidence: f64) -> Trend {
    let middle = work.len() / 2;
    let slope = theil_sen(work, bytes);
    let residuals: Vec<f64> = work
        .iter()
        .zip(bytes)
        .map(|(work, bytes)| bytes - slope * work)
        .collect();
    let centre = order::median(&residuals);
    let residuals: Vec<f64> = residuals.iter().map(|value| value - centre).collect();
    let noise = noise(&residuals, resolution);
    let span = work[work.len() - 1] - work[0];
    if noise.wanders {
        return wandering(work, bytes, noise, confidence);
    }
    let deviations = student(noise.effective - 2.0, confidence);
    let half_width = |effective: f64, span: f64| {
        // What is rounded may be off by one step at the ends.
        (deviations * noise.deviation * (12.0 / effective).sqrt() + resolution) / span
    };
    let of_half = half_width(noise.effective / 2.0, span / 2.0);
    Trend {
        whole: around(slope, half_width(noise.effective, span)),
        halves: [
            around(theil_sen(&work[..middle], &bytes[..middle]), of_half),
            around(theil_sen(&work[middle..], &bytes[middle..]), of_half),
        ],
        limit: LIMIT_HALF_WIDTHS * of_half,
        noise,
        slows: false,
    }
}

/// Slopes of a random walk with drift: the mean of the increments between block medians.
fn wandering(work: &[f64], bytes: &[f64], noise: Noise, confidence: f64) -> Trend {
    let (work, bytes) = block_medians(work, bytes, INCREMENTS.min(work.len() / 2).max(3));
    let last = work.len() - 1;
    let middle = last / 2;
    let rates: Vec<f64> = work
        .windows(2)
        .zip(bytes.windows(2))
        .map(|(work, bytes)| (bytes[1] - bytes[0]) / (work[1] - work[0]))
        .collect();
    let mean = rates.iter().sum::<f64>() / rates.len() as f64;
    let variance = rates
        .iter()
        .map(|rate| (rate - mean) * (rate - mean))
        .sum::<f64>()
        / (rates.len() as f64 - 1.0).max(1.0);
    // Increments of block averages vary by 2/3 of what increments of the walk do over a block.
    let deviation = (1.5 * variance).sqrt();
    let deviations = student(rates.len() as f64 - 1.0, confidence);
    let slope = |from: usize, to: usize| {
        let count = (to - from) as f64;
        let slope = (bytes[to] - bytes[from]) / (work[to] - work[from]);
        around(slope, deviations * deviation / count.sqrt())
    };
    let halves = [slope(0, middle.max(1)), slope(middle, last)];
    let widest = halves
        .iter()
        .map(|half| half.high - half.value)
        .fold(0.0, f64::max);
    Trend {
        whole: slope(0, last),
        halves,
        limit: LIMIT_HALF_WIDTHS * widest,
        noise,
        slows: declines(&rates),
    }
}

/// True if `rates` fall from first to last by more than [`DECLINE_ERRORS`] standard errors of a line.
fn declines(rates: &[f64]) -> bool {
    let count = rates.len() as f64;
    let (middle, mean) = ((count - 1.0) / 2.0, rates.iter().sum::<f64>() / count);
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for (index, rate) in rates.iter().enumerate() {
        let (x, y) = (index as f64 - middle, rate - mean);
        xx += x * x;
        xy += x * y;
        yy += y * y;
    }
    let scatter = (yy - xy * xy / xx).max(0.0) / (count - 2.0).max(1.0);
    xy < 0.0 && xy / xx < -DECLINE_ERRORS * (scatter / xx).sqrt()
}

/// The median slope of all pairs of at most [`PAIRED_POINTS`] block medians; 0 of less than 2.
pub(crate) fn theil_sen(work: &[f64], bytes: &[f64]) -> f64 {
    let (work, bytes) = block_medians(work, bytes, PAIRED_POINTS);
    let mut slopes = Vec::with_capacity(work.len() * work.len().saturating_sub(1) / 2);
    for late in 1..work.len() {
        for early in 0..late {
            slopes.push((bytes[late] - bytes[early]) / (work[late] - work[early]));
        }
    }
    order::median_in_place(&mut slopes)
}

/// How many standard errors the interval of `confidence` reaches to either side.
pub(crate) fn student(freedom: f64, confidence: f64) -> f64 {
    let share = 0.5 + confidence.clamp(0.5, 0.9999) / 2.0;
    StudentsT::new(0.0, 1.0, freedom.max(1.0))
        .map(|distribution| distribution.inverse_cdf(share))
        // Unreachable: the scale is 1 and the freedom at least 1. Chebyshev's bound is safe.
        .unwrap_or_else(|_| (1.0 / (2.0 * (1.0 - share))).sqrt())
}

pub(crate) fn around(value: f64, half_width: f64) -> Estimate {
    Estimate {
        value,
        low: value - half_width,
        high: value + half_width,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strays_do_not_move_the_slope() {
        let work: Vec<f64> = (0..50).map(f64::from).collect();
        let mut bytes: Vec<f64> = work.iter().map(|work| 3.0 * work + 7.0).collect();
        for index in [4, 20, 21, 40, 49] {
            bytes[index] = 1e9;
        }
        assert_eq!(theil_sen(&work, &bytes), 3.0);
        assert_eq!(theil_sen(&work[..1], &bytes[..1]), 0.0);
    }

    #[test]
    fn intervals_of_correlated_noise_hold_the_truth() {
        let mut random = fastrand::Rng::with_seed(11);
        let mut missed = 0;
        for _ in 0..200 {
            let work: Vec<f64> = (0..200).map(|index| f64::from(index) / 199.0).collect();
            let mut level = 0.0;
            let bytes: Vec<f64> = work
                .iter()
                .map(|work| {
                    level = 0.6 * level + random.f64() - 0.5;
                    level + work
                })
                .collect();
            let whole = trend(&work, &bytes, 0.0, 0.95).whole;
            missed += usize::from(whole.low > 1.0 || whole.high < 1.0);
        }
        assert!(missed <= 20, "{missed} of 200 intervals miss the slope");
    }
}
