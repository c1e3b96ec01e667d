//! A command as our child: started in the foreground as it would be without us, and reaped.
//!
//! While a subject runs, all children of this process belong to it: we are its subreaper, so that
//! a process whose parent ended is still seen, and whatever ends is reaped here.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::Sender;
use std::time::Duration;

use plimsoll_model::Bytes;

use crate::cap::Cap;
use crate::launch::Launch;
use crate::marks::{MARKS_VARIABLE, Mark, MarkListener};
use crate::output::Output;
use crate::{End, RunnerError};

/// What happened to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Ended {
        pid: u32,
        end: End,
        /// `ru_maxrss`: the highest RSS of it or of any process it waited for (getrusage in
        /// kernel/sys.c), and at least that of the process that forked it, ours.
        rss_max: Bytes,
        work: Work,
    },
    Stopped {
        pid: u32,
        signal: i32,
    },
}

/// What a process and those it waited for did; see getrusage(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// User and system time.
    pub(crate) cpu: Duration,
    pub(crate) major_faults: u64,
}

/// Being the subreaper, until dropped.
#[derive(Debug)]
pub(crate) struct Subreaper;

impl Subreaper {
    pub(crate) fn begin() -> io::Result<Subreaper> {
        set_subreaper(1)?;
        Ok(Subreaper)
    }
}

impl Drop for Subreaper {
    fn drop(&mut self) {
        // It was accepted before; there is nothing to do about a refusal now.
        let _ = set_subreaper(0);
    }
}

fn set_subreaper(value: libc::c_ulong) -> io::Result<()> {
    // SAFETY: PR_SET_CHILD_SUBREAPER takes one integer and touches no memory.
    match unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, value, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A command that was started.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) pid: u32,
    pub(crate) output: Output,
}

/// Starts a command in our own process group. When this returns, the program has been executed.
pub(crate) fn start(
    launch: &Launch,
    cap: Option<&Cap>,
    listener: &MarkListener,
    marks: &Sender<Mark>,
) -> Result<Started, RunnerError> {
    let (program, arguments) = launch.command.split_first().ok_or(RunnerError::NoCommand)?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .envs(launch.environment.iter().map(|(key, value)| (key, value)))
        .env(MARKS_VARIABLE, listener.path());
    Output::prepare(&launch.streams, &mut command);
    if let Some(cap) = cap {
        // Last, so that nothing else of ours happens inside the cap.
        cap.prepare(&mut command)
            .map_err(|source| RunnerError::Prepare {
                what: "enter the cap",
                source,
            })?;
    }
    let mut child = command.spawn().map_err(|source| refused(program, source))?;
    let output = Output::take(&launch.streams, &mut child, marks).map_err(|source| {
        RunnerError::Prepare {
            what: "start a thread",
            source,
        }
    })?;
    // The child is dropped without wait(): `next_change` reaps it.
    Ok(Started {
        pid: child.id(),
        output,
    })
}

fn refused(program: &OsStr, source: io::Error) -> RunnerError {
    let path = Path::new(program);
    let program = path.display().to_string();
    let by_path = program.contains('/');
    match source.kind() {
        io::ErrorKind::NotFound if by_path && path.exists() => RunnerError::NotExecutable {
            program,
            source: io::Error::other("the interpreter in its first line was not found"),
        },
        io::ErrorKind::NotFound => RunnerError::NotFound { program },
        _ => RunnerError::NotExecutable { program, source },
    }
}

/// The next child that ended (then it is reaped) or stopped; `None` when nothing happened.
pub(crate) fn next_change() -> Option<Change> {
    let mut status = 0;
    // SAFETY: wait4(2) fills both; all-zero is a valid rusage.
    let (pid, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        let flags = libc::WNOHANG | libc::WUNTRACED;
        (
            libc::wait4(-1, &raw mut status, flags, &raw mut usage),
            usage,
        )
    };
    let pid = u32::try_from(pid).ok().filter(|pid| *pid != 0)?;
    if libc::WIFSTOPPED(status) {
        return Some(Change::Stopped {
            pid,
            signal: libc::WSTOPSIG(status),
        });
    }
    let end = if libc::WIFSIGNALED(status) {
        End::Killed(libc::WTERMSIG(status))
    } else {
        End::Exited(libc::WEXITSTATUS(status))
    };
    Some(Change::Ended {
        pid,
        end,
        rss_max: kilobytes(usage.ru_maxrss),
        work: Work {
            cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
            major_faults: u64::try_from(usage.ru_majflt).unwrap_or(0),
        },
    })
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
    seconds + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
}

/// The highest RSS of this process so far: what a child's figure can't be told from below it.
pub(crate) fn own_rss_max() -> Bytes {
    // SAFETY: getrusage(2) fills the struct; all-zero is a valid value of it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    kilobytes(usage.ru_maxrss)
}

/// getrusage(2): ru_maxrss is in kilobytes of 1024 bytes.
fn kilobytes(count: libc::c_long) -> Bytes {
    Bytes(u64::try_from(count).unwrap_or(0).saturating_mul(1024))
}

/// Passes `signal` on. The child is not reaped yet, so its pid is still its own.
pub(crate) fn send(pid: u32, signal: i32) {
    // SAFETY: kill(2) touches no memory. It fails when the child has just ended: then there is
    // nobody to tell.
    unsafe { libc::kill(pid.cast_signed(), signal) };
}

/// Whether this process is in the foreground of a terminal, where a shell minds its stops.
pub(crate) fn in_foreground() -> bool {
    // SAFETY: neither call touches memory; tcgetpgrp(3) fails with -1 where there is no terminal.
    (0..=2).any(|stream| unsafe { libc::tcgetpgrp(stream) == libc::getpgrp() })
}

/// Stops this process like its child did, so that the shell gets its prompt back. Returns when the
/// shell lets the job go on.
pub(crate) fn stop_as_well() {
    // SAFETY: raise(3) touches no memory.
    unsafe { libc::raise(libc::SIGSTOP) };
}
