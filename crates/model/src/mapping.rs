//! One mapping (VMA): a line of /proc/PID/maps with its counters.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{AddressRange, Counters, FileId};

/// A mapping of the process's address space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    pub range: AddressRange,
    pub permissions: Permissions,
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// Device and inode; `None` when there is no file behind it.
    pub file: Option<FileId>,
    pub backing: Backing,
    pub counters: Counters,
    pub flags: VmFlags,
}

impl Mapping {
    /// Private memory without a file, where allocators, runtimes and stacks live.
    #[must_use]
    pub fn is_anonymous_private(&self) -> bool {
        !self.permissions.shared
            && matches!(
                self.backing,
                Backing::Anonymous | Backing::AnonymousNamed(_) | Backing::Heap | Backing::Stack
            )
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permissions {
    pub read: bool,
    pub write: bool,
    pub execute: bool,
    /// `s` in maps: MAP_SHARED. Not the same as shared by several processes now.
    pub shared: bool,
}

/// What stands behind a mapping, as its name in /proc/PID/maps says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backing {
    /// No name: mmap'd anonymous memory, or the zeroed tail of a program's data.
    Anonymous,
    /// `[anon:NAME]` or `[anon_shmem:NAME]`, set by prctl(PR_SET_VMA_ANON_NAME).
    AnonymousNamed(String),
    /// `[heap]`: the brk area.
    Heap,
    /// `[stack]`: the first thread's stack.
    Stack,
    /// `[vdso]`, `[vvar]`, `[vvar_vclock]`, `[vsyscall]`, `[uprobes]` and the like, named.
    Kernel(String),
    /// A file. `deleted` when the kernel says it has no name any more.
    File { path: PathBuf, deleted: bool },
    /// memfd_create(2), by its name.
    Memfd(String),
    /// System V shared memory, `/SYSV…`, by its key; `id` is the inode the kernel prints.
    SysV { key: u32, id: u64 },
    /// MAP_SHARED|MAP_ANONYMOUS: the kernel calls it `/dev/zero (deleted)`.
    SharedAnonymous,
    /// A character or block device other than /dev/zero.
    Device(PathBuf),
    /// hugetlbfs: `/anon_hugepage (deleted)` or a file on a hugetlbfs mount.
    Hugetlb(PathBuf),
    /// A name this version does not know.
    Other(String),
}

/// The `VmFlags:` line, as the bits a reader needs. Unknown (walk mode) is all false.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmFlags {
    /// `lo`: pages are locked, they can't be reclaimed.
    pub locked: bool,
    /// `gd`: grows down, a main thread's stack.
    pub grows_down: bool,
    /// `ht`: hugetlb pages.
    pub hugetlb: bool,
    /// `io` or `pf`: device memory, not RAM that the kernel counts.
    pub device_memory: bool,
    /// `wf`: wiped on fork.
    pub wipe_on_fork: bool,
}
