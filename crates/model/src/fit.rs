//! Under which cap a command still succeeds, and how much slower it gets on the way down.
//!
//! Memory: one [`FitRun`] for each run, a few dozen.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Bytes, CapMechanism};

/// The answer with all runs that it stands on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CapFit {
    pub command: Vec<String>,
    pub mechanism: CapMechanism,
    /// Why a stronger mechanism was not used, one sentence each.
    pub refused: Vec<String>,
    /// How many runs must succeed at a cap.
    pub repeat: u32,
    /// The longest that a capped run could take: longer counts as failed.
    pub timeout: Duration,
    /// Without a cap, in their order.
    pub baseline: Vec<FitRun>,
    /// The medians of the runs without a cap.
    pub uncapped: Option<FitTiming>,
    /// Under caps, in their order.
    pub runs: Vec<FitRun>,
    pub end: FitEnd,
    /// The smallest cap under which all runs succeeded, with none that failed above it.
    pub minimum: Option<Bytes>,
    /// The largest cap under which a run failed.
    pub failed: Option<Bytes>,
    /// The smallest cap that was timed from which on the median time is within [`CapFit::COMFORTABLE`]
    /// of that of the runs that no cap slowed, or within what those differed. No cap slowed those
    /// without one, and those under a cap that was never met.
    pub comfortable: Option<Bytes>,
    /// Cap by cap, the smallest first.
    pub points: Vec<FitPoint>,
}

impl CapFit {
    /// So many times the time without a cap is still comfortable.
    pub const COMFORTABLE: f64 = 1.10;
}

/// One run of the command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FitRun {
    /// `None` without a cap.
    pub cap: Option<Bytes>,
    pub failure: Option<FitFailure>,
    pub length: Duration,
    pub cpu: Duration,
    pub major_faults: u64,
    /// What the cap counts, at most; `None` where the mechanism does not tell.
    pub charge_peak: Option<Bytes>,
    pub rss_peak: Bytes,
    pub limit_hits: Option<u64>,
}

/// Why a run does not count as a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FitFailure {
    /// The kernel killed a process of it for the cap.
    KilledForCap,
    /// It took so long that it was ended.
    TimedOut,
    Exited(i32),
    Signalled(i32),
    /// It ended well, but the kernel had killed one of its processes for the cap.
    LostProcess,
}

/// Medians of runs that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FitTiming {
    pub length: Duration,
    pub cpu: Duration,
    pub major_faults: u64,
}

/// All runs under one cap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FitPoint {
    pub cap: Bytes,
    pub succeeded: u32,
    /// Failed runs, by what became of the first of them.
    pub failed: u32,
    pub failure: Option<FitFailure>,
    /// `None` where none succeeded.
    pub timing: Option<FitTiming>,
    /// Whether it has as many runs as a timing needs.
    pub timed: bool,
}

/// How the search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FitEnd {
    Found,
    /// It failed under the largest cap that was allowed.
    TooLarge,
    /// It fails now and then without a cap as well.
    FlakyUncapped,
    /// It failed and succeeded under one cap too often for a boundary to be found.
    Flaky,
    Interrupted,
}

impl FitEnd {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            FitEnd::Found => "found",
            FitEnd::TooLarge => "too_large",
            FitEnd::FlakyUncapped => "flaky_uncapped",
            FitEnd::Flaky => "flaky",
            FitEnd::Interrupted => "interrupted",
        }
    }
}
