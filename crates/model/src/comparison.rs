//! What a change did to a metric, as repeats of both sides tell: difference, interval, the least
//! difference that could have been seen. A few hundred bytes.

use serde::{Deserialize, Serialize};

use crate::{Estimate, Verdict};

/// What may be claimed about a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// Less than before, by more than the noise.
    Saved,
    /// More than before, by more than the noise.
    Grew,
    /// No difference that these repeats can tell. Not the same as "no difference".
    Indistinguishable,
}

/// How an interval was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntervalMethod {
    /// Two independent arms, Student's t with Welch's degrees of freedom.
    Welch,
    /// Round by round, Student's t on the differences.
    Paired,
}

/// Why nothing is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum Unsettled {
    /// An arm has fewer than two repeats: nothing is known about its spread.
    TooFewRepeats { base: usize, changed: usize },
    /// A value is not a finite number.
    InvalidValue,
    /// The difference is within the noise of the repeats.
    WithinNoise,
}

/// Changed minus base, in the unit of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    pub claim: Claim,
    /// Mean difference of changed − base with its interval; absent when it cannot be estimated.
    pub difference: Option<Estimate>,
    /// Mean of changed over mean of base; absent where base is not clearly above 0. Its interval
    /// excludes 1 where that of the difference excludes 0 (Fieller), but for quantisation.
    pub ratio: Option<Estimate>,
    /// The least difference that these repeats could tell: half the interval. Nothing smaller is
    /// claimed.
    pub noise: Option<f64>,
    /// The true difference that so many repeats would tell in 80 % of all tries.
    pub detectable: Option<f64>,
    /// Repeats for each arm at which a difference as large as the one seen would be told in 80 % of
    /// all tries; absent when it is told already, or when no number up to 1000 would do.
    pub needed: Option<usize>,
    pub method: IntervalMethod,
    pub reason: Option<Unsettled>,
}

/// What several changes, one after the other, saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// In the order in which they were made.
    pub steps: Vec<Step>,
}

/// One state of the program in a receipt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub name: String,
    /// Mean with its interval; absent below two repeats.
    pub value: Option<Estimate>,
    /// Against the step before; absent for the first.
    pub to_previous: Option<Difference>,
    /// Against the first step; absent for the first.
    pub to_first: Option<Difference>,
    /// Percent of the first step's mean; absent where that is not above 0.
    pub percent: Option<f64>,
}

/// Whether a history stays within its tolerance, by its newest value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    pub verdict: Verdict,
    /// Newest over oldest: what many small steps come to.
    pub cumulative: Option<Estimate>,
    /// Newest over the one before.
    pub last_step: Option<Estimate>,
    /// Median growth per commit over the whole history (Theil–Sen), as a ratio.
    pub per_commit: Option<f64>,
    /// The largest single step: the index of the commit that made it, and its ratio.
    pub largest_step: Option<(usize, f64)>,
    /// Relative standard deviation of one value, given or estimated from the history.
    pub noise: Option<f64>,
    /// The ratio above which growth fails, `1 + tolerance`.
    pub allowed: f64,
    pub reason: Option<DriftDoubt>,
}

/// Why a drift verdict stays open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftDoubt {
    /// Fewer than two values.
    TooShort,
    /// A value is not a finite number above 0.
    InvalidValue,
    /// No noise was given and the history is too short to estimate it.
    NoiseUnknown,
    /// The tolerance lies within the interval of the growth.
    WithinNoise,
}
