//! Slow growth over a history: each commit within tolerance of the one before, the newest far above
//! the oldest. The newest value is judged against both.

use plimsoll_model::{Bytes, Drift, DriftDoubt, Estimate, Verdict};

use crate::quantile;

/// Median absolute deviation to standard deviation of normal figures.
const MAD_TO_SD: f64 = 1.4826;

/// Of the standard deviation's, a median absolute deviation has so much of the information
/// (Rousseeuw & Croux 1993): its degrees of freedom are fewer.
const MAD_EFFICIENCY: f64 = 0.37;

/// Differences of neighbours that are needed before their spread is taken for noise.
const DIFFERENCES_MIN: usize = 4;

/// Newest values from which noise and slope are taken: the median slope looks at all pairs.
const HISTORY_MAX: usize = 1000;

/// What a history may do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DriftOptions {
    /// Growth allowed from the oldest value to the newest, as a share: 0.05 allows 5 %.
    pub tolerance: f64,
    /// Of the intervals; 0.5 to 0.999.
    pub confidence: f64,
    /// Relative standard deviation of one value of the history, from its repeats; estimated from
    /// the history where absent.
    pub noise: Option<f64>,
    /// Values are rounded to this.
    pub resolution: Bytes,
}

impl Default for DriftOptions {
    fn default() -> DriftOptions {
        DriftOptions {
            tolerance: 0.05,
            confidence: 0.95,
            noise: None,
            resolution: Bytes(4096),
        }
    }
}

/// Judges the newest value of a history (oldest first, one median a commit). O(c²) for c commits;
/// noise and slope are those of the newest thousand.
///
/// *Fails*: the newest is above the oldest, or above the one before it, by more than the tolerance
/// and the noise. *Holds*: it is within the tolerance of both, noise included.
#[must_use]
pub fn drift(history: &[f64], options: &DriftOptions) -> Drift {
    let mut drift = Drift {
        verdict: Verdict::Inconclusive,
        cumulative: None,
        last_step: None,
        per_commit: None,
        largest_step: None,
        noise: None,
        allowed: 1.0 + options.tolerance.max(0.0),
        reason: None,
    };
    let ([oldest, ..], [.., before, newest]) = (history, history) else {
        drift.reason = Some(DriftDoubt::TooShort);
        return drift;
    };
    if !history.iter().all(|v| *v > 0.0 && *v <= 1e30) {
        drift.reason = Some(DriftDoubt::InvalidValue);
        return drift;
    }
    let kept = &history[history.len().saturating_sub(HISTORY_MAX)..];
    let logarithms: Vec<f64> = kept.iter().map(|v| v.ln()).collect();
    drift.per_commit = Some(median_slope(&logarithms).exp());
    drift.largest_step = history
        .windows(2)
        .map(|w| w[1] / w[0])
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(place, ratio)| (place + 1, ratio));
    let Some((noise, freedom)) = noise(&logarithms, options) else {
        drift.reason = Some(DriftDoubt::NoiseUnknown);
        return drift;
    };
    drift.noise = Some(noise);
    let ratio = |from: f64| {
        // Rounding may move both by half a step for nothing.
        let rounding = options.resolution.0 as f64 / from.min(*newest);
        let t = quantile::student(quantile::upper_tail(options.confidence), freedom);
        let half = (t * noise * 2_f64.sqrt()).hypot(rounding);
        let value = newest / from;
        Estimate {
            value,
            low: value * (-half).exp(),
            high: value * half.min(60.0).exp(),
        }
    };
    let (cumulative, last_step) = (ratio(*oldest), ratio(*before));
    drift.cumulative = Some(cumulative);
    drift.last_step = Some(last_step);
    if cumulative.low > drift.allowed || last_step.low > drift.allowed {
        drift.verdict = Verdict::Fails;
    } else if cumulative.high <= drift.allowed && last_step.high <= drift.allowed {
        drift.verdict = Verdict::Holds;
    } else {
        drift.reason = Some(DriftDoubt::WithinNoise);
    }
    drift
}

/// Relative noise of one value and its degrees of freedom: as given, or from the differences of
/// neighbours about their median, so that neither a trend nor a few steps are taken for noise.
fn noise(logarithms: &[f64], options: &DriftOptions) -> Option<(f64, f64)> {
    if let Some(noise) = options.noise {
        return (noise >= 0.0 && noise.is_finite()).then_some((noise, f64::INFINITY));
    }
    let differences: Vec<f64> = logarithms.windows(2).map(|w| w[1] - w[0]).collect();
    if differences.len() < DIFFERENCES_MIN {
        return None;
    }
    let middle = quantile::median(&differences);
    let deviations: Vec<f64> = differences.iter().map(|d| (d - middle).abs()).collect();
    let noise = MAD_TO_SD * quantile::median(&deviations) / 2_f64.sqrt();
    let freedom = MAD_EFFICIENCY * (differences.len() - 1) as f64;
    Some((noise, freedom.max(2.0)))
}

/// Median of the slopes of all pairs (Theil 1950, Sen 1968).
fn median_slope(values: &[f64]) -> f64 {
    let mut slopes = Vec::with_capacity(values.len() * values.len() / 2);
    for (i, a) in values.iter().enumerate() {
        for (j, b) in values.iter().enumerate().skip(i + 1) {
            slopes.push((b - a) / (j - i) as f64);
        }
    }
    quantile::median(&slopes)
}
