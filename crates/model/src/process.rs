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
            Some(script) if !script.is_empty() && !is_descriptor(script) => file_name(script),
            _ => program,
        }
    }
}

/// "/dev/fd/63", "/proc/self/fd/3", "/proc/1234/fd/3": a script without a name.
fn is_descriptor(path: &str) -> bool {
    path.rsplit_once("/fd/").is_some_and(|(folder, number)| {
        (folder == "/dev" || folder.starts_with("/proc/"))
            && number.bytes().all(|byte| byte.is_ascii_digit())
    }) || path == "/dev/stdin"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_is_called_by_its_name() {
        let check = |executable: &str, command: &[&str], expected: &str| {
            let info = ProcessInfo {
                id: ProcessId {
                    pid: 7,
                    start_time: 1,
                },
                parent: 1,
                name: "comm".to_owned(),
                command: command.iter().map(|word| (*word).to_owned()).collect(),
                executable: (!executable.is_empty()).then(|| PathBuf::from(executable)),
                uid: 0,
                state: ProcessState::Running,
                cgroup: None,
            };
            assert_eq!(info.application(), expected, "{executable} {command:?}");
        };
        check("", &[], "comm");
        check(
            "/usr/bin/redis-server",
            &["redis-server", "3"],
            "redis-server",
        );
        check(
            "/usr/bin/python3.12",
            &["python3", "-u", "/srv/app.py", "x"],
            "app.py",
        );
        check(
            "/usr/bin/python3",
            &["python", "-m", "http.server"],
            "http.server",
        );
        check("/usr/bin/python3", &["python"], "python3");
        check("/usr/bin/bash", &["bash", "/opt/run.sh"], "run.sh");
        check("/usr/bin/bash", &["bash", "./7"], "7");
        // A number of a descriptor is no name.
        check("/usr/bin/bash", &["bash", "/dev/fd/63", "x"], "bash");
        check(
            "/usr/bin/bash",
            &["bash", "--norc", "/proc/self/fd/3"],
            "bash",
        );
        check("/usr/bin/bash", &["bash", "/proc/41/fd/3"], "bash");
        check("/usr/bin/dash", &["sh", "/dev/stdin"], "dash");
        check("/usr/bin/bash", &["bash", "/home/me/fd/start"], "start");
        check("/usr/bin/bash", &["bash", "/home/me/fd/3"], "3");
    }
}
