//! All readings of one process at one time, with their gaps.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    Bytes, Cgroup, CountersSource, FileId, Gap, Image, MappedFile, Mapping, PageSize, ProcessInfo,
    ReadingCost, StatusFigures, Thread,
};

/// Immutable readings of one process. Memory cost: about 200 bytes a mapping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Since the Unix epoch.
    pub taken_at: Duration,
    pub process: ProcessInfo,
    pub page_size: PageSize,
    pub status: StatusFigures,
    /// In address order, not overlapping.
    pub mappings: Vec<Mapping>,
    pub counters_source: CountersSource,
    pub threads: Vec<Thread>,
    /// Mapped regular files.
    pub files: BTreeMap<FileId, MappedFile>,
    /// Program and libraries, by the path in `mappings`: segments and the symbols asked for.
    pub images: BTreeMap<PathBuf, Image>,
    pub cgroup: Option<Cgroup>,
    pub system: SystemMemory,
    pub gaps: Vec<Gap>,
    pub cost: ReadingCost,
}

/// The machine's memory, from /proc/meminfo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemMemory {
    pub total: Bytes,
    pub available: Bytes,
    pub page_cache: Bytes,
    pub swap_total: Bytes,
    pub swap_free: Bytes,
}
