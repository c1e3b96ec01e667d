//! Why a subject could not be run or recorded.

use std::io;
use std::time::Duration;

use plimsoll_model::Bytes;
use plimsoll_probe::ProbeError;

#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    #[error("sample with {what} {given:?}: it must be between {shortest:?} and one day")]
    Interval {
        what: &'static str,
        given: Duration,
        shortest: Duration,
    },
    #[error("run: no command was given; put it after `--`")]
    NoCommand,
    #[error("run {program}: command not found; check the name, or give its path")]
    NotFound { program: String },
    #[error("run {program}: {source}")]
    NotExecutable { program: String, source: io::Error },
    #[error("prepare to run: {what}: {source}")]
    Prepare {
        what: &'static str,
        source: io::Error,
    },
    #[error(
        "cap memory at {limit}: {reasons}; run as root or in a delegated cgroup, or choose another \
         mechanism"
    )]
    Cap { limit: Bytes, reasons: String },
    #[error("record process {pid}: {source}")]
    Attach { pid: u32, source: ProbeError },
}

impl RunnerError {
    /// The exit status that shells give for it: 127 for a command that is not found, 126 for one
    /// that can't be executed, 2 for everything else.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            RunnerError::NotFound { .. } => 127,
            RunnerError::NotExecutable { .. } => 126,
            _ => 2,
        }
    }
}
