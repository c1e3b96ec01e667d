//! Why a process could not be read. One clear sentence each, with what the reader can do.
//!
//! A part that is missing while the rest was read is no error: it is a
//! [`plimsoll_model::Gap`] in the snapshot.

use std::io;
use std::path::PathBuf;

/// A process that could not be read at all.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("no process {pid}: it has ended or never was; list processes with `plimsoll ps`")]
    NoSuchProcess { pid: u32 },

    #[error(
        "process {pid} ({name}) is a zombie: it has ended and owns no memory, it only waits for \
         its parent {parent} to collect its exit code"
    )]
    Zombie { pid: u32, parent: u32, name: String },

    #[error(
        "process {pid} ({name}) goes on without its first thread, which has ended: its memory can \
         be read through another thread of it, give {thread} instead of {pid}"
    )]
    LeaderGone {
        pid: u32,
        name: String,
        /// One of the threads that run on.
        thread: u32,
    },

    #[error(
        "process {pid} ({name}) is a kernel thread: it has no memory of its own; look at a user \
         process instead"
    )]
    KernelThread { pid: u32, name: String },

    #[error(
        "no permission to read {path} (process {pid} of user {owner}): run as that user or as \
         root, or give this tool CAP_SYS_PTRACE"
    )]
    Denied { pid: u32, owner: u32, path: PathBuf },

    #[error(
        "process {pid} ended while it was read: the figures are incomplete and were dropped; use \
         `plimsoll run` or `plimsoll record` to follow a short-lived process"
    )]
    Vanished { pid: u32 },

    #[error(
        "process {pid} started another program (execve) each of the {attempts} times it was read: \
         try again once it has settled"
    )]
    Replaced { pid: u32, attempts: u32 },

    #[error("can't read {path} of process {pid}: {source}")]
    Read {
        pid: u32,
        path: PathBuf,
        source: io::Error,
    },

    #[error(
        "{path} of process {pid} is not as proc(5) describes it: {detail}; report it with `uname -r`"
    )]
    Malformed {
        pid: u32,
        path: PathBuf,
        detail: String,
    },

    #[error("can't list the processes in /proc: {source}; is proc mounted there?")]
    List { source: io::Error },
}
