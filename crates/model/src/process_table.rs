//! All processes by the memory they really own: what `ps` prints.

use serde::{Deserialize, Serialize};

use crate::{Bytes, Gap, ProcessInfo, ReadingCost, Reclaim, SystemMemory};

/// One process, or one group of processes, in a [`ProcessTable`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessRow {
    /// The process, or for a group its largest one.
    pub process: ProcessInfo,
    /// What the row stands for: application, container or process name.
    pub label: String,
    /// How many processes the row sums up.
    pub processes: u32,
    /// Sum of RSS: shared pages are in it once per process.
    pub resident: Bytes,
    /// PSS; `None` when smaps_rollup may not be read.
    pub proportional: Option<Bytes>,
    /// USS: private clean and dirty; what exit would free.
    pub private: Option<Bytes>,
    pub swap: Option<Bytes>,
    /// Split of `proportional`; all zero when that is `None`.
    pub reclaim: Reclaim,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessTable {
    /// Sorted by PSS (RSS where that is unknown), largest first.
    pub rows: Vec<ProcessRow>,
    /// Kernel threads and zombies, which own no memory.
    pub without_memory: u32,
    pub system: SystemMemory,
    pub gaps: Vec<Gap>,
    pub cost: ReadingCost,
}
