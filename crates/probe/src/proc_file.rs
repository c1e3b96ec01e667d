//! The directory /proc/PID of one process, held open.
//!
//! Files are opened relative to it, so that all of them belong to the same process: when that
//! ends and its pid is reused, the old directory answers ESRCH and never shows the new process.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;

use plimsoll_model::ProcessState;

use crate::ProbeError;
use crate::processes::pids_in;
use crate::stat::{Stat, parse_stat};
use crate::status::parse_status;

#[derive(Debug)]
pub(crate) struct ProcDir {
    pub(crate) pid: u32,
    directory: OwnedFd,
}

impl ProcDir {
    pub(crate) fn open(pid: u32) -> Result<ProcDir, ProbeError> {
        let directory = open_at(
            libc::AT_FDCWD,
            &format!("/proc/{pid}"),
            libc::O_PATH | libc::O_DIRECTORY,
        )
        .map_err(|error| error_of(pid, "", error))?;
        Ok(ProcDir { pid, directory })
    }

    /// Opens a file below /proc/PID for reading.
    pub(crate) fn file(&self, name: &str) -> io::Result<File> {
        let file = open_at(self.directory.as_raw_fd(), name, libc::O_RDONLY)?;
        Ok(File::from(file))
    }

    /// The whole of a small file.
    pub(crate) fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        self.file(name)?.read_to_end(&mut text)?;
        Ok(text)
    }

    /// Writes a command to a file below /proc/PID.
    pub(crate) fn write(&self, name: &str, command: &[u8]) -> io::Result<()> {
        let file = open_at(self.directory.as_raw_fd(), name, libc::O_WRONLY)?;
        File::from(file).write_all(command)
    }

    /// A path through which the process's own root directory is seen.
    pub(crate) fn through_root(&self, path: &std::path::Path) -> PathBuf {
        let mut full = std::ffi::OsString::from(format!("/proc/{}/root", self.pid));
        full.push(path.as_os_str());
        full.into()
    }

    /// Turns a failure on one of the files into a sentence.
    pub(crate) fn error(&self, name: &str, error: io::Error) -> ProbeError {
        error_of(self.pid, name, error)
    }

    pub(crate) fn stat(&self) -> Result<Stat, ProbeError> {
        let text = self
            .read("stat")
            .map_err(|error| self.error("stat", error))?;
        parse_stat(&text).ok_or_else(|| ProbeError::Malformed {
            pid: self.pid,
            path: format!("/proc/{}/stat", self.pid).into(),
            detail: "fields 1 to 28 are not all there".to_owned(),
        })
    }

    /// The stat of a process that has memory; kernel threads and zombies are refused.
    pub(crate) fn stat_with_memory(&self) -> Result<Stat, ProbeError> {
        let stat = self.stat()?;
        match stat.state {
            ProcessState::KernelThread => Err(ProbeError::KernelThread {
                pid: self.pid,
                name: stat.name,
            }),
            ProcessState::Zombie | ProcessState::Dead => Err(match self.living_thread(&stat) {
                Some(thread) => ProbeError::LeaderGone {
                    pid: self.pid,
                    name: stat.name,
                    thread,
                },
                None => ProbeError::Zombie {
                    pid: self.pid,
                    parent: stat.parent,
                    name: stat.name,
                },
            }),
            _ => Ok(stat),
        }
    }

    /// A thread with memory in a process whose first thread has none any more. When the first
    /// thread ends before others (pthread_exit(3) in main), the process lives on, but all that
    /// /proc/PID shows is of that thread, a zombie; see NOTES of pthread_exit(3).
    pub(crate) fn living_thread(&self, leader: &Stat) -> Option<u32> {
        if leader.threads < 2 {
            return None;
        }
        let threads = pids_in(&format!("/proc/{}/task", self.pid)).ok()?;
        let lives = |thread: &u32| {
            // Not by its state: while all threads of a process end, they run without memory.
            let status = self.read(&format!("task/{thread}/status"));
            *thread != self.pid && status.is_ok_and(|text| parse_status(&text).has_memory)
        };
        let found = threads.into_iter().find(lives)?;
        // A killed process ends thread by thread: one that lives on is still there a moment later.
        std::thread::sleep(ENDING_PATIENCE);
        lives(&found).then_some(found)
    }
}

/// Longer than the threads of a killed process take to end one after another.
const ENDING_PATIENCE: std::time::Duration = std::time::Duration::from_millis(20);

fn open_at(directory: i32, name: &str, flags: i32) -> io::Result<OwnedFd> {
    let name = c_string(name)?;
    // SAFETY: the name ends with NUL; openat(2) reads nothing else.
    let descriptor = unsafe { libc::openat(directory, name.as_ptr(), flags | libc::O_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just opened and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn c_string(name: &str) -> io::Result<CString> {
    CString::new(name).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

fn error_of(pid: u32, name: &str, source: io::Error) -> ProbeError {
    let path = PathBuf::from(format!("/proc/{pid}/{name}"));
    match source.raw_os_error() {
        Some(libc::ENOENT) if name.is_empty() => ProbeError::NoSuchProcess { pid },
        Some(libc::ESRCH | libc::ENOENT) => ProbeError::Vanished { pid },
        Some(libc::EACCES | libc::EPERM) => ProbeError::Denied {
            pid,
            owner: owner_of(pid),
            path,
        },
        _ => ProbeError::Read { pid, path, source },
    }
}

fn owner_of(pid: u32) -> u32 {
    let status = std::fs::read(format!("/proc/{pid}/status")).unwrap_or_default();
    crate::status::parse_status(&status).uid
}
