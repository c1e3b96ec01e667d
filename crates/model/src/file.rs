//! Files that stand behind mappings: identity, cache state and who installed them.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Bytes;

/// A file's identity: device and inode as /proc/PID/maps prints them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileId {
    pub device_major: u32,
    pub device_minor: u32,
    pub inode: u64,
}

/// What is known of one mapped file beyond the process's own mappings of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappedFile {
    pub id: FileId,
    pub path: PathBuf,
    /// Length of the file; `None` when it can't be opened any more.
    pub size: Option<Bytes>,
    /// State of the whole file in the page cache; `None` with a gap when the kernel won't say.
    pub cache: Option<CacheState>,
    /// Processes that map it now, this one included; `None` when they were not counted.
    pub processes: Option<ProcessCount>,
    pub package: Option<Package>,
    /// On tmpfs: its pages are memory, only swap can take them.
    pub in_memory_filesystem: bool,
}

/// How many processes do something, as far as they can be seen: "3", "at least 3".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessCount {
    pub count: u32,
    /// Whether all processes of the machine were looked at; if not, there may be more.
    pub complete: bool,
}

impl fmt::Display for ProcessCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = if self.complete { "" } else { "at least " };
        write!(f, "{least}{}", self.count)
    }
}

/// cachestat(2) of a file, or mincore(2)'s lesser answer (then only `cached` is known).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheState {
    pub cached: Bytes,
    pub dirty: Option<Bytes>,
    pub writeback: Option<Bytes>,
    pub evicted: Option<Bytes>,
    pub recently_evicted: Option<Bytes>,
}

/// What installed a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Package {
    pub manager: PackageManager,
    pub name: String,
    /// Empty when the manager's records do not say.
    pub version: String,
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.version.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{} {}", self.name, self.version)
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackageManager {
    Python,
    Debian,
    Rpm,
    Npm,
    Alpine,
    /// No manager claims the file: grouped by its folder, `name` is the folder's path.
    Folder,
}

impl PackageManager {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            PackageManager::Python => "python",
            PackageManager::Debian => "deb",
            PackageManager::Rpm => "rpm",
            PackageManager::Npm => "npm",
            PackageManager::Alpine => "apk",
            PackageManager::Folder => "folder",
        }
    }
}
