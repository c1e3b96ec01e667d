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
    let child = command
        .spawn()
        .with_context(|| format!("failed to start {command:?}"))?;
    let ended = wait(child.id(), started)?;
    if ended.1 != 0 {
        bail!("{command:?} ended with wait status {:#x}", ended.1);
    }
    Ok(ended.0)
}

/// First argument of this program when it is started again to run a command and print its peak.
const PEAK_OF: &str = "--peak-of";

/// Peak RSS of `command` in bytes, run by a new and small process, so that ours is not in it.
pub(crate) fn peak_rss(command: &Command) -> anyhow::Result<u64> {
    let own = std::env::current_exe().context("failed to find this program")?;
    let output = Command::new(own)
        .arg(PEAK_OF)
        .arg(command.get_program())
        .args(command.get_args())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("failed to start {command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let peak = text.trim().parse().ok();
    peak.with_context(|| format!("{command:?} failed"))
}

/// Does what [`peak_rss`] started this process for, if it did.
pub(crate) fn answer_peak_rss() -> Option<anyhow::Result<()>> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != PEAK_OF {
        return None;
    }
    let mut command = Command::new(arguments.next()?);
    command.args(arguments);
    Some(run(&mut command).map(|ended| println!("{}", ended.rss_max)))
}

/// Waits for child `pid`: what it cost, and its wait status.
fn wait(pid: u32, started: Instant) -> anyhow::Result<(Ended, i32)> {
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
