//! A hard cap that a subject ran under, and the kernel's own figures of it.

use serde::{Deserialize, Serialize};

use crate::Bytes;

/// The cap and what became of it. `None` is a figure that this mechanism does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapRecord {
    pub mechanism: CapMechanism,
    pub limit: Bytes,
    /// Highest charge of the group, page cache and kernel memory included.
    pub charge_peak: Option<Bytes>,
    /// How often the group was at its limit and had to reclaim or fail.
    pub limit_hits: Option<u64>,
    /// Processes of the group that the kernel killed for it.
    pub oom_kills: Option<u64>,
    /// Why a stronger mechanism was not used, one sentence each.
    pub refused: Vec<String>,
}

/// What enforces a cap, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CapMechanism {
    /// memory.max of a cgroup of its own (version 2): all processes together, page cache counted.
    CgroupV2,
    /// memory.limit_in_bytes of a cgroup of its own (version 1): the same.
    CgroupV1,
    /// RLIMIT_DATA, setrlimit(2): each process alone, private writable memory that is mapped,
    /// whether it is resident or not. Allocations fail instead of a kill.
    DataLimit,
}

impl CapMechanism {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            CapMechanism::CgroupV2 => "cgroup v2",
            CapMechanism::CgroupV1 => "cgroup v1",
            CapMechanism::DataLimit => "RLIMIT_DATA",
        }
    }
}
