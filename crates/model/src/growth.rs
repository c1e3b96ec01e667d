//! What a series of (work, bytes) says about growth: the points, the verdict and its evidence.
//!
//! A verdict costs a few hundred bytes and 16 more for each floor it keeps.

use serde::{Deserialize, Serialize};

use crate::Estimate;

/// One point of a series: so much was held when so much work was done. 16 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GrowthPoint {
    /// Cycles, requests or seconds done; one unit for the whole series.
    pub work: f64,
    /// Bytes held then.
    pub bytes: f64,
}

/// The answer to "does it go on growing with work?".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrowthClass {
    /// The floors rise, in both halves of the steady part, and do not slow down.
    Growing,
    /// It moves but comes back or stops: teeth on a level floor, a cache that filled.
    Bounded,
    /// No growth beyond the detection limit.
    Flat,
    /// The series does not allow an answer; [`Growth::reasons`] say why.
    Inconclusive,
}

/// Memory that is gathered and released again and again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Teeth {
    /// Work from one release to the next (median).
    pub period: f64,
    /// Bytes of one release (median).
    pub amplitude_bytes: f64,
    /// Releases seen.
    pub count: usize,
}

/// Means of the first and last points, as one would compare them by hand.
///
/// They are evidence of nothing: warm-up and teeth move them either way. They are kept to be
/// printed beside the slope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EndAverages {
    /// Points in each mean: a fifth of the series, at least 1 and at most 10.
    pub points: usize,
    pub early_bytes: f64,
    pub late_bytes: f64,
    /// Late minus early.
    pub difference_bytes: f64,
}

/// Why a series is inconclusive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "doubt", rename_all = "snake_case")]
pub enum Doubt {
    /// The series is empty.
    NoPoints,
    /// Points that are not finite or larger than any memory; none, but slopes that are, if the work
    /// between points is next to nothing.
    NotFinite { count: usize },
    /// Points whose work is not more than that of the point before: unsorted or duplicate.
    WorkNotIncreasing { count: usize },
    /// The rising part has fewer points than can tell a leak from a part of one tooth.
    TooShort { points: usize, needed: usize },
    /// The level still rises, but ever slower or not for long enough to have stopped: a cache that
    /// fills looks the same.
    WarmUpNotOver { steady_points: usize },
    /// The level rises by ever larger steps ever farther apart, as a container that doubles its
    /// capacity; the next step is due at this work.
    Staircase { steps: usize, next_at: f64 },
    /// Fewer releases than can tell whether the floor under them rises.
    TeethTooFew { seen: usize, needed: usize },
    /// The floors rise over the whole but not alike in both halves.
    HalvesDisagree,
    /// The floors seem to rise, by less than this run can tell from chance.
    GrowthTooWeak { slope: f64, detection_limit: f64 },
    /// The level wanders without returning: it has no level of which one could say that it is kept.
    RandomWalk,
    /// The last part rises, but only where the series has been before.
    WithinEarlierRange,
    /// The control arm gives no slope that could be subtracted.
    ControlUnusable,
}

/// A verdict on growth, with its evidence.
///
/// Slopes and limits are in bytes for one unit of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Growth {
    pub class: GrowthClass,
    /// Growth of the floors after warm-up; `None` if there are too few points for a slope.
    pub slope: Option<Estimate>,
    /// The smallest growth that this run could have told as growing; `None` if it could have told
    /// none, however large (too short, or still warming up).
    pub detection_limit: Option<f64>,
    /// Leading points that were left out of the judgement.
    pub warm_up: usize,
    pub teeth: Option<Teeth>,
    /// The levels after each release; empty without teeth.
    pub floors: Vec<GrowthPoint>,
    /// Slope in the first and second half of the steady part.
    pub halves: Option<[Estimate; 2]>,
    /// What a control arm grew by, subtracted from `slope` and `halves`.
    pub control_slope: Option<Estimate>,
    pub end_averages: Option<EndAverages>,
    /// Why the class is `Inconclusive`; empty otherwise.
    pub reasons: Vec<Doubt>,
    /// How many points more would likely settle it.
    pub more_points: Option<usize>,
    /// Set when the class rests on the bound that was asked for: growth is certainly under it.
    pub certainly_below: Option<f64>,
    /// Work at which the budget is reached if growth goes on; only for `Growing`.
    pub budget_at: Option<Estimate>,
}
