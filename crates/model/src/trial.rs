//! One execution of a command under fixed conditions, and what it took.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Bytes, CapRecord, RssParts, Stage};

/// What one execution took. Figures of a process tree are sums over its processes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// `None` when a signal ended it or its end was not seen.
    pub exit_code: Option<i32>,
    pub exit_signal: Option<i32>,
    pub length: Duration,
    /// Processor time of the command and of those it waited for.
    pub cpu: Duration,
    /// Page faults that had to read from disk.
    pub major_faults: u64,
    /// Highest RSS: the kernel's own mark of a single process, else the highest sum sampled.
    pub rss_peak: Bytes,
    /// Highest memory of the program's own, see [`RssParts::own`].
    pub own_peak: Bytes,
    /// Highest PSS of the full readings, with the share of `rss_peak` that RSS was at then. `None`
    /// when there was no full reading.
    pub pss_peak: Option<Seen>,
    /// The higher of the last two quick figures before its end.
    pub at_end: RssParts,
    /// PSS of the last full reading, with its RSS as a share of `at_end`.
    pub pss_end: Option<Seen>,
    /// Owners at the full reading with the highest RSS, the largest first.
    pub at_peak: Vec<OwnerSize>,
    /// RSS at that reading as a share of `rss_peak`; `None` when there was no full reading.
    pub peak_reading_share: Option<f64>,
    /// Cut by marks; empty without any.
    pub stages: Vec<Stage>,
    pub cap: Option<CapRecord>,
    /// The end of what it wrote to standard error, for when it fails.
    pub errors: String,
}

impl Trial {
    /// Ended by itself with exit code 0.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.exit_code == Some(0)
    }
}

/// A figure of a full reading that may not have been taken at the very instant it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub bytes: Bytes,
    /// RSS at the reading as a share of the RSS it stands for, 0 to 1 and a little above.
    pub share: f64,
}

/// An owner and its sizes, without parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerSize {
    pub name: String,
    pub resident: Bytes,
    pub proportional: Bytes,
}
