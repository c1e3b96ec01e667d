//! What a change did to a metric: a difference with its interval, and no claim below the noise.
//!
//! Intervals are Student's t: for the 3 to 20 repeats that one has, the bootstrap is too narrow
//! (Hesterberg 2015, "What teachers should know about the bootstrap"), while the difference of two
//! arms of the same skew is nearly symmetric and t holds its coverage there:
//! `tests/comparison_coverage.rs` measures it. Where a change takes a long tail away and leaves
//! none, a 95 % interval holds 92 to 93 %.

mod arm;
mod drift;
mod receipt;

use plimsoll_model::{Bytes, Claim, Difference, Estimate, IntervalMethod, Unsettled};

use crate::quantile;
use arm::{Contrast, checked};
pub use drift::{DriftOptions, drift};
pub use receipt::{Arm, receipt};

/// Share of tries in which a difference of the stated size is to be told.
const POWER: f64 = 0.8;

/// Nobody repeats a run oftener than this to settle one difference.
const REPEATS_MAX: usize = 1000;

/// Repeats that Student's t needs above the normal distribution, at most, but for rounding.
const STUDENT_EXTRA: usize = 8;

/// How the repeats of the two arms belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pairing {
    /// Value i of one arm has nothing to do with value i of the other.
    #[default]
    Independent,
    /// Value i of both arms is from round i: what disturbed the round disturbed both. Arms of
    /// different length are taken as independent, for their rounds cannot be matched.
    Rounds,
}

/// What is asked of the repeats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ComparisonOptions {
    /// Of each interval by itself; 0.5 to 0.999.
    pub confidence: f64,
    pub pairing: Pairing,
    /// Values are rounded to this: a page for what the kernel counts, one byte for what an
    /// allocator counts.
    pub resolution: Bytes,
}

impl Default for ComparisonOptions {
    fn default() -> ComparisonOptions {
        ComparisonOptions {
            confidence: 0.95,
            pairing: Pairing::Independent,
            resolution: Bytes(4096),
        }
    }
}

/// Compares repeats before and after a change. O(n) for n repeats; deterministic.
#[must_use]
pub fn compare(base: &[f64], changed: &[f64], options: &ComparisonOptions) -> Difference {
    let paired = options.pairing == Pairing::Rounds && base.len() == changed.len();
    let mut difference = Difference {
        claim: Claim::Indistinguishable,
        difference: None,
        ratio: None,
        noise: None,
        detectable: None,
        needed: None,
        method: if paired {
            IntervalMethod::Paired
        } else {
            IntervalMethod::Welch
        },
        reason: None,
    };
    if !(checked(base) && checked(changed)) {
        difference.reason = Some(Unsettled::InvalidValue);
        return difference;
    }
    if base.len() < 2 || changed.len() < 2 {
        difference.reason = Some(Unsettled::TooFewRepeats {
            base: base.len(),
            changed: changed.len(),
        });
        return difference;
    }
    let contrast = Contrast::new(base, changed, paired, options);
    let (value, half) = (contrast.value(), contrast.half());
    difference.difference = Some(Estimate {
        value,
        low: value - half,
        high: value + half,
    });
    difference.ratio = contrast.ratio();
    difference.noise = Some(half);
    difference.detectable = Some(contrast.detectable());
    if value < -half {
        difference.claim = Claim::Saved;
    } else if value > half {
        difference.claim = Claim::Grew;
    } else {
        difference.reason = Some(Unsettled::WithinNoise);
        difference.needed = needed(&contrast, base.len().min(changed.len()));
    }
    difference
}

/// The least number of repeats at which the difference seen would be told, above `now`.
fn needed(contrast: &Contrast, now: usize) -> Option<usize> {
    let tells =
        |repeats: usize| contrast.with_repeats(repeats).detectable() < contrast.value().abs();
    // Student's t needs a few more repeats than the normal distribution, never fewer.
    let least = contrast.repeats_if_normal();
    if least > REPEATS_MAX as f64 {
        return None;
    }
    let mut too_few = now.max(least as usize).saturating_sub(1).max(1);
    let mut enough = too_few + STUDENT_EXTRA;
    if !tells(enough) {
        too_few = enough;
        enough = REPEATS_MAX;
        if too_few >= enough || !tells(enough) {
            return None;
        }
    }
    while enough - too_few > 1 {
        let middle = usize::midpoint(too_few, enough);
        if tells(middle) {
            enough = middle;
        } else {
            too_few = middle;
        }
    }
    Some(enough.max(now + 1))
}

/// Mean of one arm with its interval; none below two repeats, or if a value is not a number.
fn mean_interval(values: &[f64], options: &ComparisonOptions) -> Option<Estimate> {
    if values.len() < 2 || !checked(values) {
        return None;
    }
    let t = quantile::student(
        quantile::upper_tail(options.confidence),
        values.len() as f64 - 1.0,
    );
    let half = arm::Moments::of(values, options.resolution).half(t);
    let value = quantile::mean(values);
    Some(Estimate {
        value,
        low: value - half,
        high: value + half,
    })
}
