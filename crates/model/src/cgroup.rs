//! The memory cgroups that bind a process, from its own up to the root.

use serde::{Deserialize, Serialize};

use crate::Bytes;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    pub version: CgroupVersion,
    /// From the process's own group up to the root.
    pub levels: Vec<CgroupLevel>,
}

impl Cgroup {
    /// The level with the least headroom: the limit that bites first.
    #[must_use]
    pub fn tightest(&self) -> Option<&CgroupLevel> {
        self.levels
            .iter()
            .filter(|level| level.headroom().is_some())
            .min_by_key(|level| level.headroom())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CgroupVersion {
    V1,
    V2,
}

/// One group: `None` where there is no limit, or no such figure in this version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupLevel {
    pub path: String,
    /// Charged now, page cache included.
    pub current: Option<Bytes>,
    pub peak: Option<Bytes>,
    /// Hard cap (memory.max, memory.limit_in_bytes).
    pub max: Option<Bytes>,
    /// Throttle point (memory.high); none in v1.
    pub high: Option<Bytes>,
    pub swap_max: Option<Bytes>,
    pub anon: Option<Bytes>,
    /// Page cache charged to the group.
    pub file: Option<Bytes>,
    /// Page cache that can be dropped first.
    pub inactive_file: Option<Bytes>,
    pub oom_kills: Option<u64>,
}

impl CgroupLevel {
    /// The lower of the hard cap and the throttle point.
    #[must_use]
    pub fn limit(&self) -> Option<Bytes> {
        match (self.max, self.high) {
            (Some(max), Some(high)) => Some(max.min(high)),
            (max, high) => max.or(high),
        }
    }

    /// Bytes left below [`CgroupLevel::limit`], page cache counted as used.
    #[must_use]
    pub fn headroom(&self) -> Option<Bytes> {
        Some(self.limit()?.saturating_sub(self.current?))
    }
}
