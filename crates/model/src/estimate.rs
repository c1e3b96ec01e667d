//! A figure that was estimated, with the interval in which the true one lies.

use serde::{Deserialize, Serialize};

/// An estimate and its interval, in the unit of what is estimated. 24 bytes.
///
/// The interval has the confidence that the analysis was asked for (95 % by default).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl Estimate {
    /// True if 0 lies outside the interval.
    #[must_use]
    pub fn excludes_zero(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }

    /// True if the two intervals have a point in common.
    #[must_use]
    pub fn overlaps(&self, other: &Estimate) -> bool {
        self.low <= other.high && other.low <= self.high
    }
}
