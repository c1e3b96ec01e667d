//! Runs a command to its end and tells what it cost: wall clock, processor time, peak RSS.
//!
//! Its output goes to /dev/null, as that of every command measured here.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::cost::Cost;

/// What a command cost that has ended; its own children are in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) cost: Cost,
    /// Peak RSS in bytes. A new process starts with the peak of the one that started it
    /// (setmax_mm_hiwater_rss() in the kernel's exec_mmap()), so it is never below ours.
    pub(crate) rss_max: u64,
}

/// Runs `command` and waits for it. Fails when it says that it failed.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<Ended> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let started = Instant::now();
    #[expect(clippy::zombie_processes, reason = "wait4 below waits for it")]
    let child = command
        .spawn()
        .with_context(|| format!("failed to start {command:?}"))?;
    let ended = wait(child.id(), started)?;
    if ended.1 != 0 {
        bail!("{command:?} ended with wait status {:#x}", ended.1);
    }
    Ok(ended.0)
}

/// Waits for child `pid`: what it cost, and its wait status.
pub(crate) fn wait(pid: u32, started: Instant) -> anyhow::Result<(Ended, i32)> {
    let pid = libc::pid_t::try_from(pid).context("a pid fits pid_t")?;
    let mut status = 0;
    // SAFETY: all-zero is a valid rusage: it holds numbers only.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to live values, which the call fills.
        let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        if waited == pid {
            break;
        }
        let error = std::io::Error::last_os_error();
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(error).with_context(|| format!("failed to wait for process {pid}"));
        }
    }
    let cost = Cost {
        wall: started.elapsed(),
        cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
    };
    let rss_max = u64::try_from(usage.ru_maxrss).unwrap_or_default() * 1024;
    Ok((Ended { cost, rss_max }, status))
}

fn duration(time: libc::timeval) -> Duration {
    Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default())
        + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or_default())
}
