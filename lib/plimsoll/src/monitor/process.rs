//! RSS of this process and its parts, from a status file that is kept open, and of its children.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::cgroup::keyed_value;
use crate::error::{Error, ErrorKind};

/// Resident memory of one process; see `proc_pid_status(5)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessFigures {
    /// Pages in RAM, shared ones counted fully: `VmRSS`.
    pub rss_bytes: u64,
    /// The highest that ever was, or since it was last reset: `VmHWM`.
    pub rss_peak_bytes: u64,
    /// Not backed by a file: `RssAnon`. Without swap only the program can give it back.
    pub anon_bytes: u64,
    /// Backed by files, libraries and mapped databases: `RssFile`. The kernel can drop clean pages.
    pub file_bytes: u64,
    /// Shared memory and tmpfs: `RssShmem`.
    pub shmem_bytes: u64,
    /// Moved out: `VmSwap`.
    pub swap_bytes: u64,
}

/// Parses the text of a status file; `None` for a kernel thread or zombie, which has no memory.
pub(super) fn parse_status(text: &[u8]) -> Option<ProcessFigures> {
    // "kB" in /proc means 1024 bytes. The parts came with Linux 4.5.
    let bytes = |key| keyed_value(text, key).and_then(|kib| kib.checked_mul(1024));
    Some(ProcessFigures {
        rss_bytes: bytes("VmRSS:")?,
        rss_peak_bytes: bytes("VmHWM:")?,
        anon_bytes: bytes("RssAnon:").unwrap_or_default(),
        file_bytes: bytes("RssFile:").unwrap_or_default(),
        shmem_bytes: bytes("RssShmem:").unwrap_or_default(),
        swap_bytes: bytes("VmSwap:").unwrap_or_default(),
    })
}

/// /proc/self/status, kept open. It stays that of the process that opened it, also after a fork.
pub(super) struct StatusFile {
    file: File,
}

impl StatusFile {
    pub(super) fn open() -> Result<StatusFile, Error> {
        let file = File::open("/proc/self/status")
            .map_err(|error| Error::with_source(ErrorKind::Io, "open /proc/self/status", error))?;
        Ok(StatusFile { file })
    }

    pub(super) fn read(&self) -> Result<ProcessFigures, Error> {
        // The text is about 1.5 KiB; the memory lines are in its first half.
        let mut buffer = [0; 4096];
        let length = self
            .file
            .read_at(&mut buffer, 0)
            .map_err(|error| Error::with_source(ErrorKind::Io, "read /proc/self/status", error))?;
        parse_status(&buffer[..length]).ok_or_else(|| {
            Error::new(
                ErrorKind::Malformed,
                "read /proc/self/status: no VmRSS and VmHWM in it",
            )
        })
    }
}

/// Sets `VmHWM` back to the RSS of now, and says whether that worked: seen, not trusted.
pub(super) fn reset_peak(status: &StatusFile) -> bool {
    /// RSS counters are summed up from per-CPU parts and may lag by so much (kernel 6.2 and later:
    /// `percpu_counter_batch` pages a CPU).
    const LAG_BYTES: u64 = 4 << 20;
    // "5" resets the peak, proc_pid_clear_refs(5); needs no right beyond being the process.
    let written = std::fs::write("/proc/self/clear_refs", "5").is_ok();
    let near = |figures: ProcessFigures| figures.rss_peak_bytes <= figures.rss_bytes + LAG_BYTES;
    written && status.read().is_ok_and(near)
}

/// RSS of all descendants, summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ChildrenReading {
    pub(super) rss_bytes: u64,
    pub(super) count: usize,
}

/// More descendants are not followed: a walk of so many takes 50 ms or more.
const CHILDREN_MAX: usize = 1024;

/// The descendants now; `None` where the kernel does not list them (`CONFIG_PROC_CHILDREN`). One that
/// ends meanwhile counts nothing. Pages shared among them count in each.
pub(super) fn read_children() -> Option<ChildrenReading> {
    let own = std::process::id();
    if !std::fs::exists(format!("/proc/self/task/{own}/children")).is_ok_and(|there| there) {
        return None;
    }
    let mut reading = ChildrenReading::default();
    // The first task of a process has its pid as thread id; a process that changed while we walk
    // may be listed twice.
    let mut seen = HashSet::from([own]);
    let mut open = children_of(own);
    while let Some(pid) = open.pop() {
        if reading.count >= CHILDREN_MAX || !seen.insert(pid) {
            continue;
        }
        let text = std::fs::read(format!("/proc/{pid}/status")).unwrap_or_default();
        if let Some(figures) = parse_status(&text)
            && !shares_memory(own, pid)
        {
            reading.rss_bytes += figures.rss_bytes;
            reading.count += 1;
        }
        open.extend(children_of(pid));
    }
    Some(reading)
}

/// Children are listed with the thread that started them.
fn children_of(pid: u32) -> Vec<u32> {
    let mut children = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        children.extend(
            text.split_ascii_whitespace()
                .filter_map(|pid| pid.parse::<u32>().ok()),
        );
    }
    children
}

/// Whether two processes have the same memory: between vfork and exec a child is its parent, and
/// would double it.
fn shares_memory(own: u32, other: u32) -> bool {
    const KCMP_VM: libc::c_int = 1;
    let pids = [own, other].map(|pid| libc::c_long::from(libc::pid_t::try_from(pid).unwrap_or(-1)));
    // SAFETY: kcmp takes five integers and touches no memory of ours; where it is not built in or
    // not permitted it returns -1, which counts as different.
    let result = unsafe { libc::syscall(libc::SYS_kcmp, pids[0], pids[1], KCMP_VM, 0, 0) };
    result == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn status_texts() {
        let text =
            b"Name:\tx\nVmHWM:\t  20 kB\nVmRSS:\t  10 kB\nRssAnon:\t   6 kB\nRssFile:\t  3 kB\n\
                     RssShmem:\t   1 kB\nVmSwap:\t   2 kB\n";
        let figures = parse_status(text).unwrap();
        assert_eq!(figures.rss_bytes, 10 << 10);
        assert_eq!(figures.rss_peak_bytes, 20 << 10);
        let parts = (figures.anon_bytes, figures.file_bytes, figures.shmem_bytes);
        assert_eq!(parts, (6 << 10, 3 << 10, 1 << 10));
        assert_eq!(figures.swap_bytes, 2 << 10);
        assert_eq!(parse_status(b"Name:\tkthreadd\nThreads:\t1\n"), None);
    }

    #[test]
    fn parts_sum_to_rss() {
        let figures = StatusFile::open().unwrap().read().unwrap();
        let sum = figures.anon_bytes + figures.file_bytes + figures.shmem_bytes;
        assert_eq!(figures.rss_bytes, sum);
    }

    proptest! {
        #[test]
        fn never_panics(text in "(VmRSS:|VmHWM:|RssAnon:|[0-9]{1,22}| kB|\n|\t|\\PC){0,40}") {
            let _ = parse_status(text.as_bytes());
        }
    }
}
