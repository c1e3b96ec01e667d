//! How memory grows with the size of the input: the law (or laws) that measured peaks follow, with
//! all that was compared to name it. A few hundred bytes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Bytes, Estimate, Verdict};

/// The peak of one process that was given an input of `n` items.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SizedPeak {
    pub n: f64,
    pub bytes: f64,
}

/// A shape `f` of growth in `bytes = intercept + coefficient · f(n)`, both at least 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LawClass {
    Constant,
    Logarithmic,
    Linear,
    Linearithmic,
    Quadratic,
    /// `n^c` with a fitted `c`: what none of the laws above describes, such as √n or n³.
    Power,
    /// Buffers that double: the bytes stay level and then jump, in the mean they are linear.
    Staircase,
}

impl LawClass {
    /// From the slowest growth to the most particular.
    pub const ALL: [LawClass; 7] = [
        LawClass::Constant,
        LawClass::Logarithmic,
        LawClass::Linear,
        LawClass::Linearithmic,
        LawClass::Quadratic,
        LawClass::Power,
        LawClass::Staircase,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            LawClass::Constant => "constant",
            LawClass::Logarithmic => "log n",
            LawClass::Linear => "linear",
            LawClass::Linearithmic => "n log n",
            LawClass::Quadratic => "n^2",
            LawClass::Power => "n^c",
            LawClass::Staircase => "doubling steps",
        }
    }
}

impl fmt::Display for LawClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What the measured peaks say about growth. Intervals are unions over `classes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Law {
    /// The laws that the peaks cannot be told from, best first: one means that it is named.
    pub classes: Vec<LawClass>,
    /// The best law that is not in `classes`.
    pub runner_up: Option<RunnerUp>,
    /// From which size on the two best laws of `classes` would differ by more than the noise;
    /// absent if one is named, or if no size up to 1000 times the largest would do.
    pub separable_at: Option<f64>,
    /// Bytes that are there whatever the size.
    pub intercept: Estimate,
    /// Bytes that one more item costs at the largest tested size; for a linear law its slope.
    pub marginal: Estimate,
    /// The exponent of the power law with an intercept, whichever law is named; absent if there
    /// are too few sizes to fit it, or nothing grows.
    pub exponent: Option<Estimate>,
    pub tested: TestedRange,
    /// Every law that was fitted, best first.
    pub fits: Vec<Fit>,
    pub predictions: Vec<Prediction>,
    /// The size at which the budget is reached. Its `high` is 1e18 where a law of `classes` does
    /// not reach it below that; absent without a budget, or if none of `classes` reaches it.
    pub budget_at: Option<Estimate>,
    pub doubts: Vec<LawDoubt>,
    /// Relative standard deviation of one run about the law, between runs of the same size and
    /// between sizes together.
    pub noise: f64,
}

/// The law that came after those which were kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunnerUp {
    pub class: LawClass,
    /// Akaike weight among all fits, 0 to 1.
    pub weight: f64,
}

/// The sizes that were run: nothing is known outside but by extrapolation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestedRange {
    pub n_min: f64,
    pub n_max: f64,
    /// Distinct sizes: these carry the information about the law.
    pub sizes: usize,
    /// Runs over all sizes: these carry the information about the noise.
    pub runs: usize,
}

/// One law fitted to the peaks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    pub class: LawClass,
    /// Bytes.
    pub intercept: f64,
    /// Bytes per unit of `f(n)`, logarithms being natural.
    pub coefficient: f64,
    /// Of the power law only; fitted, or one of 0.5, 0.75, 1.25, 1.5, 2.5 and 3 if that is as good.
    pub exponent: Option<f64>,
    /// Of the staircase only: capacity is the next power of two from `n · load`.
    pub load: Option<f64>,
    /// Corrected Akaike criterion over the distinct sizes; that of the best of several variants
    /// (loads of the staircase, given exponents) is raised by twice the logarithm of their number.
    pub aicc: f64,
    /// AICc above that of the best fit. A law is kept up to 4, without what it was raised by.
    pub delta: f64,
    /// Akaike weight, 0 to 1; they sum to 1 over the fits.
    pub weight: f64,
    pub bic: f64,
    /// Root mean square of the relative residuals of the size means.
    pub residual: f64,
    /// Relative error at the largest size when predicted from the others.
    pub held_out_error: Option<f64>,
}

/// What a run with `n` items is expected to need.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    pub n: f64,
    /// Prediction interval of one run, over all laws that could not be told apart.
    pub bytes: Estimate,
    /// `n` over the largest tested size; above 1 nothing was measured there.
    pub extrapolation: f64,
}

/// Why a law deserves less trust than its interval says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "doubt")]
pub enum LawDoubt {
    /// Fewer distinct sizes than are advised.
    FewSizes { sizes: usize, advised: usize },
    /// The sizes span less than the advised factor.
    NarrowRange { factor: f64, advised: f64 },
    /// No size was run twice: noise and misfit cannot be told apart.
    NoRepeats,
    /// The residuals keep one sign over neighbouring sizes more than chance allows.
    ResidualPattern { probability: f64 },
    /// The best law, fitted without the largest size, misses it by more than the noise allows.
    HeldOutMissed { relative_error: f64, allowed: f64 },
    /// BIC prefers a law that is not among those kept.
    BicPrefers { class: LawClass },
    /// The sizes are the same multiples of powers of two: doubling steps look linear there.
    StepsHidden,
    /// Peaks fall as the size grows; all laws here only grow.
    Falls { relative_change: f64 },
    /// Even the best law leaves more than this share of the bytes unexplained.
    PoorFit { residual: f64 },
    /// A prediction reaches this far beyond what was run.
    Extrapolated { n: f64, factor: f64 },
}

/// Why no law can be stated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum LawUndetermined {
    NoPoints,
    /// A law with two coefficients needs more distinct sizes than this.
    TooFewSizes {
        distinct: usize,
        needed: usize,
    },
    /// A size is not a number, not above 0, or above 1e18. The offending point by its place.
    InvalidSize {
        point: usize,
    },
    /// A peak is not a number, negative, or above 2^64. The offending point by its place.
    InvalidBytes {
        point: usize,
    },
    /// There is more at the largest size than at the smallest, but no law that never falls with the
    /// size comes near what lies between.
    NoneFits,
}

impl fmt::Display for LawUndetermined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LawUndetermined::NoPoints => f.write_str("no run was measured"),
            LawUndetermined::TooFewSizes { distinct, needed } => write!(
                f,
                "{distinct} distinct sizes were run, a law needs at least {needed}"
            ),
            LawUndetermined::InvalidSize { point } => {
                write!(f, "the size of run {point} is not a number above 0")
            }
            LawUndetermined::InvalidBytes { point } => {
                write!(f, "the peak of run {point} is not a number of bytes")
            }
            LawUndetermined::NoneFits => {
                f.write_str("the peaks fall and rise again, and no law fits them")
            }
        }
    }
}

/// A claim "runs of this size stay below the limit", tested by repeats at that size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetCheck {
    pub verdict: Verdict,
    pub limit: Bytes,
    pub runs: usize,
    /// Runs that were above the limit.
    pub runs_over: usize,
    /// The greatest peak that was seen.
    pub worst: f64,
    /// The mean peak with its two-sided interval; absent below two runs.
    pub mean: Option<Estimate>,
    /// The next run stays below this with the confidence asked for; absent below two runs.
    pub upper: Option<f64>,
    /// From counting alone, whatever the distribution: at most this share of all runs exceeds the
    /// limit. With few runs it is large (three runs below: 63 %).
    pub share_over_max: f64,
    /// Runs still missing for a verdict, if spread and mean stay as they are; absent when the
    /// verdict stands, or when no number up to 1000 would do.
    pub more_runs: Option<usize>,
    pub reason: Option<TargetDoubt>,
}

/// Why a claim about a limit stays open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetDoubt {
    /// Fewer than two runs: nothing is known about the spread.
    TooFewRuns,
    /// A peak is not a number of bytes.
    InvalidPeak,
    /// The limit lies within the spread of the runs.
    LimitWithinSpread,
}
