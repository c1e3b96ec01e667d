//! The memory budget of the process: how it is divided, who holds what of it, and what was used.
//!
//! [`Plan`] divides it, without any I/O. The rest is reservations of the library's budget: one for the
//! process itself, one for each phase's files, one for each worker before it opens a connection. Costs:
//! a few hundred bytes.

use std::fs;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use plimsoll::budget::{Budget, Consumer, Policy, Reservation};
use plimsoll::ledger::Tag;

/// The least a budget may be.
pub const BUDGET_BYTES_MIN: u64 = 14 << 20;
/// The program itself: its code and libraries as far as they are touched, certificates, threads, what
/// the allocator keeps. A run that had nothing to transfer peaked at 7.4 MiB of RSS, ledger and beacon included.
pub const PROCESS_BYTES: u64 = 10 << 20;
/// Readers and writers of the state: frames of 64 KiB and their indexes.
pub const STATE_BYTES: u64 = 2 << 20;
/// A worker of a transfer: buffers of HTTP (80 KiB), of the file (64 KiB), of TLS on three connections
/// (some 40 KiB each), and what is touched of its stack.
pub const WORKER_BYTES: u64 = 384 << 10;
/// A connection that lists: buffers of HTTP and TLS, and a stack.
pub const LISTER_BYTES: u64 = 192 << 10;
/// A page of 1000 keys of 100 bytes; longer keys are read too, and take more.
pub const PAGE_BYTES: u64 = 192 << 10;
/// Keys of a page.
const PAGE_KEYS: usize = 1000;

/// What of a run's allocations is for what, as the ledger and `plimsoll watch` name it.
pub static LISTING: Tag = Tag::new("listing");
pub static STATE: Tag = Tag::new("state");
pub static TRANSFER: Tag = Tag::new("transfer");
pub static TLS: Tag = Tag::new("tls");
pub static METRICS: Tag = Tag::new("metrics");

/// What was asked for by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    pub source_workers: Option<u32>,
    pub dest_workers: Option<u32>,
    pub keys_ahead: Option<usize>,
}

/// How a budget is divided. Listing and transfer come one after the other, so each may have what the
/// process and the state leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    pub budget_bytes: u64,
    pub source_workers: u32,
    pub dest_workers: u32,
    /// Keys that are listed ahead, in whole pages.
    pub keys_ahead: usize,
    /// For sorting a listing that is not in order.
    pub sort_bytes: u64,
}

impl Default for Plan {
    /// That of 32 MiB.
    fn default() -> Plan {
        Plan::new(32 << 20, Wishes::default()).expect("the preset fits")
    }
}

impl Plan {
    /// Sizes everything: what is asked for if it fits, and for the rest as much for each MiB as 32 MiB
    /// have (five workers a side, two pages a worker).
    ///
    /// # Errors
    /// A budget that is too small, or a wish that does not fit: the message says what does.
    pub fn new(budget_bytes: u64, wishes: Wishes) -> Result<Plan> {
        if budget_bytes < BUDGET_BYTES_MIN {
            bail!(
                "--memory-budget {} is too small: the program needs {} at least",
                shown(budget_bytes),
                shown(BUDGET_BYTES_MIN)
            );
        }
        let left = budget_bytes - PROCESS_BYTES - STATE_BYTES;
        let usual = (budget_bytes * 5 / (32 << 20)).clamp(1, 64);
        let fits = |name: &str, wish: Option<u32>, each: u64| -> Result<u32> {
            let most = left / each;
            match wish {
                Some(wish) if u64::from(wish) > most => bail!(
                    "--{name} {wish} needs {}, and --memory-budget {} leaves {} for it: at most {most} fit; \
                     or give a budget of {}",
                    shown(u64::from(wish) * each),
                    shown(budget_bytes),
                    shown(left),
                    shown(
                        (u64::from(wish) * each + PROCESS_BYTES + STATE_BYTES)
                            .next_multiple_of(1 << 20)
                    )
                ),
                Some(wish) => Ok(wish),
                None => Ok(usual.min(most).max(1) as u32),
            }
        };
        let dest_workers = fits("dest-workers", wishes.dest_workers, WORKER_BYTES)?;
        // Each has a page that it reads, and the window behind it.
        let lister = LISTER_BYTES + PAGE_BYTES;
        let source_workers = fits("source-workers", wishes.source_workers, lister)?;
        let window = left - u64::from(source_workers) * lister;
        let pages_max = (window / PAGE_BYTES).max(1);
        let pages = match wishes.keys_ahead {
            None | Some(0) => (2 * u64::from(source_workers)).min(pages_max),
            Some(keys) => {
                let pages = keys.div_ceil(PAGE_KEYS) as u64;
                if pages > pages_max {
                    bail!(
                        "--source-max-queue-size {keys} needs {}, and --memory-budget {} with \
                         {source_workers} source workers leaves {}: at most {} fit",
                        shown(pages * PAGE_BYTES),
                        shown(budget_bytes),
                        shown(window),
                        pages_max as usize * PAGE_KEYS
                    );
                }
                pages
            }
        };
        Ok(Plan {
            budget_bytes,
            source_workers,
            dest_workers,
            keys_ahead: pages as usize * PAGE_KEYS,
            sort_bytes: (left / 3).min(64 << 20),
        })
    }

    /// What the listing of this plan holds at its fullest.
    #[must_use]
    pub fn listing_bytes(&self) -> u64 {
        let pages = self.keys_ahead.div_ceil(PAGE_KEYS) as u64;
        u64::from(self.source_workers) * (LISTER_BYTES + PAGE_BYTES) + pages * PAGE_BYTES
    }
}

pub(crate) fn shown(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.0} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// The budget of the process with its holders.
#[derive(Debug)]
pub struct Memory {
    pub budget: Budget,
    pub listing: Consumer,
    pub transfer: Consumer,
    pub sort: Consumer,
    /// Held as long as the process lives.
    _fixed: [Reservation; 2],
}

static MEMORY: OnceLock<Memory> = OnceLock::new();

impl Memory {
    /// Divides the budget of this process, once.
    ///
    /// # Errors
    /// The fixed parts do not fit, which [`Plan::new`] rules out.
    pub fn begin(plan: &Plan) -> Result<&'static Memory> {
        if let Some(memory) = MEMORY.get() {
            return Ok(memory);
        }
        let budget = Budget::new(plan.budget_bytes, Policy::Greedy);
        let process = budget.consumer("process").reserve(PROCESS_BYTES)?;
        let state = budget.consumer("state").reserve(STATE_BYTES)?;
        let memory = Memory {
            listing: budget.consumer("listing"),
            transfer: budget.consumer("transfer"),
            sort: budget.consumer("sort"),
            budget,
            _fixed: [process, state],
        };
        Ok(MEMORY.get_or_init(|| memory))
    }

    /// The line at the end of a run.
    #[must_use]
    pub fn line(&self) -> String {
        let figures = self.budget.figures();
        let rss = Usage::read().peak;
        let rss = rss.map_or("unknown".to_owned(), |bytes| bytes.to_string());
        let parts: Vec<String> = figures
            .consumers
            .iter()
            .map(|one| format!("{}_peak={}", one.name, one.held_peak_bytes))
            .collect();
        format!(
            "MemoryBudget: limit={}, peak={}, rss_peak={rss}, {}",
            figures.limit_bytes,
            figures.held_peak_bytes,
            parts.join(", ")
        )
    }
}

/// The budget of this process, once it has one.
pub(crate) fn current() -> Option<&'static Memory> {
    MEMORY.get()
}

/// What the kernel says of this process, in bytes; none where it can't be read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) rss: Option<u64>,
    pub(crate) anon: Option<u64>,
    pub(crate) file: Option<u64>,
    pub(crate) peak: Option<u64>,
}

impl Usage {
    /// From /proc/self/status, proc_pid_status(5).
    pub(crate) fn read() -> Usage {
        let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Usage {
            rss: kib(&text, "VmRSS:"),
            anon: kib(&text, "RssAnon:"),
            file: kib(&text, "RssFile:"),
            peak: kib(&text, "VmHWM:"),
        }
    }
}

/// The proportional share, which walks every page table: some 100 µs here.
pub(crate) fn pss() -> Option<u64> {
    kib(&fs::read_to_string("/proc/self/smaps_rollup").ok()?, "Pss:")
}

fn kib(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(number * 1024)
}

/// What is charged to this process's memory cgroup, of version 2 or 1; none where it can't be read.
pub(crate) fn cgroup_bytes() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let file = match controllers {
            "" => format!("/sys/fs/cgroup{path}/memory.current"),
            _ if controllers.split(',').any(|one| one == "memory") => {
                format!("/sys/fs/cgroup/memory{path}/memory.usage_in_bytes")
            }
            _ => return None,
        };
        fs::read_to_string(file).ok()?.trim().parse().ok()
    })
}

/// Reserves for as many workers as fit of those that are wanted, one at least.
///
/// # Errors
/// Not even one fits: the message names who holds the rest.
pub(crate) fn reserve_worker(number: usize) -> Result<Option<Reservation>> {
    let Some(memory) = current() else {
        return Ok(None);
    };
    memory
        .transfer
        .reserve(WORKER_BYTES)
        .map(Some)
        .with_context(|| format!("memory for worker {number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(source: Option<u32>, dest: Option<u32>, keys: Option<usize>) -> Wishes {
        Wishes {
            source_workers: source,
            dest_workers: dest,
            keys_ahead: keys,
        }
    }

    #[test]
    fn a_budget_is_divided() {
        for (mib, wish, source, dest, keys) in [
            (16, wishes(None, None, None), 2, 2, 4000),
            (32, wishes(None, None, None), 5, 5, 10_000),
            (64, wishes(None, None, None), 10, 10, 20_000),
            (14, wishes(None, None, None), 2, 2, 4000),
            (4096, wishes(None, None, None), 64, 64, 128_000),
            (32, wishes(Some(20), Some(50), None), 20, 50, 40_000),
            (32, wishes(None, None, Some(1)), 5, 5, 1000),
            (32, wishes(None, None, Some(1001)), 5, 5, 2000),
        ] {
            let plan = Plan::new(mib << 20, wish).unwrap();
            assert_eq!(
                (plan.source_workers, plan.dest_workers, plan.keys_ahead),
                (source, dest, keys),
                "{mib} MiB, {wish:?}"
            );
            let fixed = PROCESS_BYTES + STATE_BYTES;
            let listing = fixed + plan.listing_bytes();
            let transfer = fixed + u64::from(plan.dest_workers) * WORKER_BYTES;
            let sort = fixed + LISTER_BYTES + PAGE_BYTES + plan.sort_bytes;
            for sum in [listing, transfer, sort] {
                assert!(sum <= plan.budget_bytes, "{mib} MiB: {sum}");
            }
            assert!(plan.sort_bytes >= 512 << 10, "{}", plan.sort_bytes);
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        for (mib, wish, expected) in [
            (13, Wishes::default(), "needs 14.0 MiB at least"),
            (
                16,
                wishes(None, Some(11), None),
                "at most 10 fit; or give a budget of 17.0 MiB",
            ),
            (
                32,
                wishes(Some(256), None, None),
                "--source-workers 256 needs 96.0 MiB",
            ),
            (
                32,
                wishes(None, None, Some(1_000_000)),
                "--source-max-queue-size 1000000 needs",
            ),
        ] {
            let error = Plan::new(mib << 20, wish).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
