//! Runs a command to its end: what it said, its processor time, its peak RSS.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// What a command cost that has ended, its own children included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    /// In bytes; of the largest process of it.
    pub(crate) rss_max: u64,
}

/// Runs `command`; its standard output, and what it cost.
///
/// # Errors
/// It can't be started, or says that it failed.
pub(crate) fn run(command: &mut Command) -> Result<(String, Cost)> {
    let started = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("start {command:?}"))?;
    let mut text = String::new();
    if let Some(mut out) = child.stdout.take() {
        out.read_to_string(&mut text)
            .with_context(|| format!("read from {command:?}"))?;
    }
    let (status, usage) = wait(child.id())?;
    if status != 0 {
        bail!("{command:?} ended with wait status {status:#x}");
    }
    let cost = Cost {
        cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
        wall: started.elapsed(),
        rss_max: u64::try_from(usage.ru_maxrss).unwrap_or_default() << 10,
    };
    Ok((text, cost))
}

fn wait(pid: u32) -> Result<(i32, libc::rusage)> {
    let pid = libc::pid_t::try_from(pid).context("a pid fits pid_t")?;
    let mut status = 0;
    // SAFETY: all-zero is a valid rusage: it holds numbers only.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to live values, which the call fills.
        if unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) } == pid {
            return Ok((status, usage));
        }
        let error = std::io::Error::last_os_error();
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(error).with_context(|| format!("wait for process {pid}"));
        }
    }
}

fn duration(time: libc::timeval) -> Duration {
    Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default())
        + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or_default())
}
