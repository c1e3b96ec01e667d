//! A memory group of the kernel with a hard cap, of version 2 or 1: what a process holds counts, and the pages
//! of files that it reads and writes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) struct Cgroup {
    folder: PathBuf,
    peak: &'static str,
}

impl Cgroup {
    /// None, said aloud, where no such group can be made.
    pub(crate) fn new(test: &str, limit_bytes: u64) -> Option<Cgroup> {
        let versions = [
            (
                "/sys/fs/cgroup/cgroup.subtree_control",
                "memory.max",
                "memory.peak",
            ),
            (
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "memory.limit_in_bytes",
                "memory.max_usage_in_bytes",
            ),
        ];
        let name = format!("mirror-test-{}", std::process::id());
        for (is_mounted, limit, peak) in versions {
            let is_mounted = Path::new(is_mounted);
            let folder = is_mounted.with_file_name(&name);
            if !is_mounted.exists() || fs::create_dir(&folder).is_err() {
                continue;
            }
            let cgroup = Cgroup { folder, peak };
            let limit = cgroup.folder.join(limit);
            let limited = limit.exists() && fs::write(limit, limit_bytes.to_string()).is_ok();
            if limited && cgroup.folder.join(peak).exists() {
                return Some(cgroup);
            }
        }
        println!("SKIPPED, in part: {test}: no memory group can be made here");
        None
    }

    /// A command that is in the group before it begins.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", "echo $$ >\"$0/cgroup.procs\" && exec \"$@\""])
            .arg(&self.folder)
            .arg(program);
        command
    }

    /// The most that was charged.
    pub(crate) fn peak_bytes(&self) -> u64 {
        let text = fs::read_to_string(self.folder.join(self.peak)).unwrap();
        text.trim().parse().unwrap()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}
