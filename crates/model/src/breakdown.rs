//! A snapshot seen as components that own every resident byte.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    Bytes, Cgroup, Component, Exactness, Gap, Kind, ProcessInfo, Published, ReadingCost, Reclaim,
    SystemMemory, Usage,
};

/// Components sum to `totals.usage.resident` exactly; what no rule owns is the component of kind
/// [`Kind::Unattributed`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Breakdown {
    /// Since the Unix epoch.
    pub taken_at: Duration,
    pub scope: Scope,
    /// Root of the subject.
    pub process: ProcessInfo,
    /// All processes looked at, the root first; one for [`Scope::Process`].
    pub processes: Vec<ProcessInfo>,
    /// The answer in one or two plain sentences.
    pub verdict: String,
    pub totals: Totals,
    /// Largest first; unattributed last.
    pub components: Vec<Component>,
    /// What processes say of themselves, beside what was read from outside.
    #[serde(default)]
    pub published: Vec<Published>,
    pub cgroup: Option<Cgroup>,
    pub system: SystemMemory,
    pub gaps: Vec<Gap>,
    pub cost: ReadingCost,
}

impl Breakdown {
    #[must_use]
    pub fn unattributed(&self) -> Bytes {
        self.components
            .iter()
            .filter(|component| component.kind == Kind::Unattributed)
            .map(|component| component.usage.resident)
            .sum()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// One process: components sum to its RSS.
    Process,
    /// A process and its descendants: components sum to their distinct resident pages, each
    /// shared page counted once.
    Tree,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Sum of the components.
    pub usage: Usage,
    pub reclaim: Reclaim,
    pub proportional_exactness: Exactness,
    /// How exact `usage.resident` is: [`Exactness::Estimated`] only for a tree whose shared
    /// anonymous pages could not be told apart.
    pub resident_exactness: Exactness,
    /// Sum of VmRSS as /proc/PID/status says it, for comparison: for a tree it counts shared
    /// pages once per process.
    pub status_rss: Bytes,
    /// Sum of VmHWM, or of what is resident now where that is more: the kernel's count may lag.
    pub rss_peak: Bytes,
    pub virtual_size: Bytes,
    /// Page tables, kernel memory beside RSS.
    pub page_tables: Bytes,
}
