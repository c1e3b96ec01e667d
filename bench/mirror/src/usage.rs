//! What a stretch of work cost: time, processor time of all threads, peaks of memory.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// What it cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    /// The highest RSS, by the kernel.
    pub(crate) rss_max: u64,
    /// The highest of its parts that was seen in samples, each for itself.
    pub(crate) anon_max: u64,
    pub(crate) file_max: u64,
}

/// Parts of RSS in bytes, of any process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rss {
    pub(crate) anon: u64,
    pub(crate) file: u64,
    pub(crate) peak: u64,
}

impl Rss {
    /// None when the process has gone.
    pub(crate) fn read(process: &str) -> Option<Rss> {
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let figure = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
            Some(kib << 10)
        };
        Some(Rss {
            anon: figure("RssAnon:")?,
            file: figure("RssFile:")?,
            peak: figure("VmHWM:")?,
        })
    }
}

/// Looks at this process until it is dropped.
#[derive(Debug)]
struct Sampler {
    shared: Arc<(AtomicBool, AtomicU64, AtomicU64)>,
    thread: Option<JoinHandle<()>>,
}

/// The file pages of a large map come and go within milliseconds, anonymous ones do not.
const PERIOD: Duration = Duration::from_millis(5);

impl Sampler {
    fn start() -> Sampler {
        let shared = Arc::new((AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0)));
        let theirs = shared.clone();
        let thread = thread::spawn(move || {
            while !theirs.0.load(Ordering::Relaxed) {
                let rss = Rss::read("self").unwrap_or_default();
                theirs.1.fetch_max(rss.anon, Ordering::Relaxed);
                theirs.2.fetch_max(rss.file, Ordering::Relaxed);
                thread::park_timeout(PERIOD);
            }
        });
        Sampler {
            shared,
            thread: Some(thread),
        }
    }

    fn end(mut self) -> (u64, u64) {
        self.shared.0.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
        let (_, anon, file) = &*self.shared;
        (anon.load(Ordering::Relaxed), file.load(Ordering::Relaxed))
    }
}

impl Cost {
    /// What `act` costs, done in this process; the high-water mark of RSS is reset first.
    pub(crate) fn of<T>(act: impl FnOnce() -> Result<T>) -> Result<(T, Cost)> {
        // Of proc_pid_clear_refs(5): 5 resets VmHWM.
        fs::write("/proc/self/clear_refs", "5").context("reset the peak of RSS")?;
        let sampler = Sampler::start();
        let (wall, cpu) = (Instant::now(), processor_time()?);
        let value = act();
        let (wall, cpu) = (wall.elapsed(), processor_time()?.saturating_sub(cpu));
        let (anon_max, file_max) = sampler.end();
        let rss = Rss::read("self").context("read our own status")?;
        let cost = Cost {
            wall,
            cpu,
            rss_max: rss.peak,
            anon_max,
            file_max,
        };
        Ok((value?, cost))
    }
}

/// User and system time of this process.
fn processor_time() -> Result<Duration> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a live timespec, which the call fills.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    if answer != 0 {
        return Err(std::io::Error::last_os_error()).context("read the processor time");
    }
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// User and system time of another process that is there.
pub(crate) fn processor_time_of(process: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || -> Option<u64> { fields.next()?.parse().ok() };
    // SAFETY: it only asks for a number.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    let all = ticks()? + ticks()?;
    Some(Duration::from_secs_f64(all as f64 / per_second as f64))
}
