//! A process, its threads, and the figures of /proc/PID/status.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Bytes;

/// Identity of a process. A pid alone is reused; pid and start time are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    pub pid: u32,
    /// Field 22 of /proc/PID/stat: clock ticks after boot.
    pub start_time: u64,
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.pid)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessInfo {
    pub id: ProcessId,
    pub parent: u32,
    /// /proc/PID/comm, at most 15 bytes.
    pub name: String,
    /// Arguments; empty for kernel threads and zombies.
    pub command: Vec<String>,
    pub executable: Option<PathBuf>,
    pub uid: u32,
    pub state: ProcessState,
    /// Path in the cgroup hierarchy that accounts memory, "/" at the root.
    pub cgroup: Option<String>,
}

impl ProcessInfo {
    /// The program as its owner calls it: for interpreters the script or module they run, else
    /// the executable's file name, else the kernel's name for it.
    #[must_use]
    pub fn application(&self) -> String {
        let file_name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
        let program = self
            .executable
            .as_ref()
            .and_then(|path| path.file_name())
            .map_or_else(
                || self.name.clone(),
                |name| name.to_string_lossy().into_owned(),
            );
        let stem = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        if !matches!(
            stem,
            "python"
                | "node"
                | "nodejs"
                | "ruby"
                | "perl"
                | "java"
                | "php"
                | "bash"
                | "sh"
                | "dash"
        ) {
            return program;
        }
        let mut arguments = self.command.iter().skip(1).skip_while(|argument| {
            argument.starts_with('-') && !matches!(argument.as_str(), "-m" | "-jar")
        });
        match arguments.next().map(String::as_str) {
            Some("-m" | "-jar") => arguments.next().map_or(program, |module| file_name(module)),
            Some(script) if !script.is_empty() => file_name(script),
            _ => program,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessState {
    Running,
    Sleeping,
    DiskSleep,
    Stopped,
    Zombie,
    Dead,
    Idle,
    /// No memory of its own: a kernel thread.
    KernelThread,
    Other,
}

/// Figures of /proc/PID/status, the quick reading. RSS is there in three parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusFigures {
    pub virtual_size: Bytes,
    /// `VmHWM`: survives after the fall.
    pub rss_peak: Bytes,
    pub rss: Bytes,
    pub anon: Bytes,
    pub file: Bytes,
    pub shmem: Bytes,
    pub swap: Bytes,
    pub locked: Bytes,
    pub page_tables: Bytes,
    pub hugetlb: Bytes,
    pub threads: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    pub tid: u32,
    pub name: String,
    /// From /proc/PID/task/TID/syscall; `None` while it runs or when it can't be read.
    pub stack_pointer: Option<u64>,
}
