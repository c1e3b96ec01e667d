//! [`read_snapshot`]: one live process becomes a snapshot and a target to ask more of.
//!
//! Two methods give the counters. Smaps: the kernel's own figures, but the target's mm lock is
//! held for the whole of each mapping. Walk: page flags in small paced steps. Which one a choice
//! of `Auto` takes depends on RSS and on the number of mappings.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::time::{SystemTime, UNIX_EPOCH};

use plimsoll_model::{
    Bytes, CountersSource, Gap, GapReason, Mapping, Method, PageRun, ProcessInfo, Snapshot,
    SystemMemory,
};

use crate::ProbeError;
use crate::cache::Sharers;
use crate::facilities::WalkFacilities;
use crate::hold::{HoldMeter, TEXT_HOLD};
use crate::maps::{MapsParser, ParsedMappings};
use crate::memory::page_size;
use crate::names::correct_names;
use crate::pagemap::{Pagemap, ScanMeans};
use crate::proc_file::ProcDir;
use crate::processes::ProcDirectory;
use crate::quick::status_of;
use crate::relatives;
use crate::smaps::{Rollup, SmapsParser, parse_rollup};
use crate::stat::Stat;
use crate::status::Status;
use crate::target::{LiveTarget, residency_gap};
use crate::threads::read_threads;
use crate::walk::{PageCounts, WalkMeans, walk};

/// How to read the counters of mappings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodChoice {
    /// Smaps up to [`SMAPS_RSS_MAX`] and, where a walk is as exact, [`SMAPS_MAPPINGS_MAX`]; else
    /// walk.
    Auto,
    Smaps,
    Walk,
}

/// Up to this RSS, `Auto` reads smaps. The kernel holds the lock for all of one mapping, 25 to
/// 35 ns a page (measured, Linux 6.18): at most 9 ms when one mapping is all of 1 GiB.
pub const SMAPS_RSS_MAX: Bytes = Bytes::gib(1);

/// Above this many mappings `Auto` walks if it may read page counts (root), so that PSS is exact
/// all the same: smaps costs 1.7 µs of processor time a mapping, a line of maps 0.1 µs (measured,
/// Linux 6.18).
pub const SMAPS_MAPPINGS_MAX: usize = 4096;

/// Without PAGEMAP_SCAN a walk looks at each page of virtual memory, 8 bytes of pagemap each:
/// 128 MiB of entries for this much.
const ENTRIES_WALK_MAX: Bytes = Bytes::gib(64);

/// What to read.
#[derive(Clone, Copy, Debug)]
pub struct ReadOptions {
    pub method: MethodChoice,
    /// Symbols to look up in programs and libraries.
    pub wanted_symbols: &'static [&'static str],
    pub files: FileDetail,
}

/// What to find out about mapped files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileDetail {
    Nothing,
    /// Size and state in the page cache: one open and one call a file.
    Cache,
    /// And how many processes map each: reads the maps of all processes. For several processes
    /// ask for [`FileDetail::Cache`] and call [`crate::count_sharers`] once.
    CacheAndSharers,
}

/// Readings of a process that executes other programs in a row are given up after so many.
const ATTEMPTS_MAX: u32 = 3;

/// Reads process `pid`.
///
/// Fails whole when the process ends half-way; a part that can't be read is a gap in the
/// snapshot.
pub fn read_snapshot(
    pid: u32,
    options: &ReadOptions,
) -> Result<(Snapshot, LiveTarget), ProbeError> {
    let process = ProcDir::open(pid)?;
    for _ in 0..ATTEMPTS_MAX {
        let before = process.stat_with_memory()?;
        let read = Reading::start(&process, &before, options).read();
        let after = match process.stat_with_memory() {
            Ok(after) => after,
            Err(ProbeError::Zombie { .. } | ProbeError::LeaderGone { .. }) => {
                return Err(ProbeError::Vanished { pid });
            }
            Err(error) => return Err(error),
        };
        if is_same_program(&before, &after) {
            return read;
        }
    }
    Err(ProbeError::Replaced {
        pid,
        attempts: ATTEMPTS_MAX,
    })
}

/// execve(2) keeps pid and start time, but moves the stack (unless randomization is off).
fn is_same_program(before: &Stat, after: &Stat) -> bool {
    before.start_time == after.start_time && before.stack_start == after.stack_start
}

/// Who process `pid` is; also for zombies and kernel threads.
pub fn process_info(pid: u32) -> Result<ProcessInfo, ProbeError> {
    let process = ProcDir::open(pid)?;
    let info = ProcDirectory::open()
        .map_err(|error| process.error("", error))?
        .read_info(pid);
    info.ok_or(ProbeError::Vanished { pid })
}

/// The sums of /proc/PID/smaps_rollup now.
pub fn read_rollup(pid: u32) -> Result<Rollup, ProbeError> {
    const NAME: &str = "smaps_rollup";
    let process = ProcDir::open(pid)?;
    process.stat_with_memory()?;
    let text = process
        .read(NAME)
        .map_err(|error| process.error(NAME, error))?;
    parse_rollup(&text).ok_or(ProbeError::Vanished { pid })
}

/// How the counters of mappings are to be read.
enum Way {
    Smaps,
    /// By page flags, of the mappings that maps was seen to list already.
    Walk(Option<ParsedMappings>),
}

/// One attempt.
struct Reading<'a> {
    process: &'a ProcDir,
    stat: &'a Stat,
    options: &'a ReadOptions,
    meter: HoldMeter,
    /// Anonymous pages that a walk has seen.
    walked: Option<Vec<PageRun>>,
    gaps: Vec<Gap>,
}

impl<'a> Reading<'a> {
    fn start(process: &'a ProcDir, stat: &'a Stat, options: &'a ReadOptions) -> Reading<'a> {
        Reading {
            process,
            stat,
            options,
            meter: HoldMeter::start_for(process.pid, stat.threads),
            walked: None,
            gaps: Vec::new(),
        }
    }

    fn read(mut self) -> Result<(Snapshot, LiveTarget), ProbeError> {
        let process = self.process;
        let pid = process.pid;
        let taken_at = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let status = self.status()?;
        let info = process_info(pid)?;
        let (system, gaps) = crate::system::read_system_memory();
        self.gaps.extend(gaps);
        let mut pagemap = self.pagemap();
        let (mut mappings, counters_source) = match self.way(&status) {
            Way::Smaps => (self.smaps()?, CountersSource::Smaps),
            Way::Walk(listed) => {
                let listed = match listed {
                    Some(listed) => listed,
                    None => self.maps()?,
                };
                self.walk(&status, listed, &mut pagemap)?
            }
        };
        // A walk that may not read pagemap has read smaps instead: what was done is told.
        let method = match counters_source {
            CountersSource::Smaps => Method::Smaps,
            CountersSource::Walk { .. } => Method::Walk,
        };
        if mappings.is_empty() {
            // A process that is about to end has given up its memory already.
            return Err(ProbeError::Vanished { pid });
        }
        if method != Method::Walk {
            correct_names(process, &mut mappings, false);
        }
        let threads = read_threads(process, &mut self.gaps);
        let wanted = self.options.wanted_symbols;
        let images = crate::images::read_images(process, &mappings, wanted, &mut self.gaps);
        let sharers = match self.options.files {
            FileDetail::Nothing => None,
            FileDetail::Cache => Some(Sharers::Skip),
            FileDetail::CacheAndSharers => Some(Sharers::Count),
        };
        let mut files = BTreeMap::new();
        if let Some(sharers) = sharers {
            let (found, gaps) = crate::cache::read_mapped_files(pid, &mappings, sharers);
            self.gaps.extend(gaps);
            files = found;
        }
        let (cgroup, gaps) = crate::cgroup::read_cgroup(pid);
        self.gaps.extend(gaps);
        let page_size = page_size();
        let cost = self.meter.cost(method);
        let target = LiveTarget::new(
            pid,
            page_size.0,
            &mappings,
            may_swap(&system),
            pagemap,
            self.meter,
            method,
        )
        .knowing(self.walked);
        let snapshot = Snapshot {
            taken_at,
            process: info,
            page_size,
            status: status.figures,
            mappings,
            counters_source,
            threads,
            files,
            images,
            cgroup,
            system,
            gaps: self.gaps,
            cost,
        };
        Ok((snapshot, target))
    }

    fn status(&mut self) -> Result<Status, ProbeError> {
        let status = status_of(self.process)?;
        if !status.has_memory {
            return Err(ProbeError::Vanished {
                pid: self.process.pid,
            });
        }
        if !status.has_rss_parts {
            let detail = "/proc/PID/status has no RssAnon: Linux 4.5 or later has";
            self.gap("RSS by kind", GapReason::Unsupported, detail);
        }
        Ok(status)
    }

    fn gap(&mut self, what: &str, reason: GapReason, detail: &str) {
        self.gaps.push(Gap::new(what, reason, detail));
    }

    fn way(&mut self, status: &Status) -> Way {
        let is_small = status.figures.rss <= SMAPS_RSS_MAX;
        if is_small {
            self.meter.pace_for_small_process();
        }
        let scan = matches!(WalkFacilities::get().means, ScanMeans::Scan { .. });
        let walk = match self.options.method {
            MethodChoice::Auto if is_small => {
                let locked = !status.figures.locked.is_zero();
                let exact = scan && !locked && WalkFacilities::get().page_counts.is_ok();
                return match exact.then(|| self.many_mappings()).flatten() {
                    Some(listed) => Way::Walk(Some(listed)),
                    None => Way::Smaps,
                };
            }
            MethodChoice::Auto | MethodChoice::Walk => true,
            MethodChoice::Smaps => false,
        };
        if walk && !scan && status.figures.virtual_size > ENTRIES_WALK_MAX {
            self.gap(
                "reading in small steps",
                GapReason::Unsupported,
                "PAGEMAP_SCAN needs Linux 6.7; smaps was read instead, which holds the target's \
                 mm lock for the whole of each mapping",
            );
            return Way::Smaps;
        }
        if walk { Way::Walk(None) } else { Way::Smaps }
    }

    /// What maps lists, if that is more than [`SMAPS_MAPPINGS_MAX`]; an unreadable file is told by
    /// the reading itself.
    fn many_mappings(&mut self) -> Option<ParsedMappings> {
        let listed = self.maps().ok()?;
        (listed.mappings.len() > SMAPS_MAPPINGS_MAX).then_some(listed)
    }

    fn maps(&mut self) -> Result<ParsedMappings, ProbeError> {
        let mut parser = MapsParser::default();
        let rest = self.read_text("maps", &mut |bytes| parser.feed(bytes))?;
        Ok(parser.finish(&rest))
    }

    fn pagemap(&self) -> Result<Pagemap, Gap> {
        let file = self.process.file("pagemap");
        let file = file.map_err(|error| residency_gap(&error))?;
        let means = WalkFacilities::get().means;
        Ok(Pagemap::new(file, page_size().0, means))
    }

    /// The pages of what maps `listed`.
    fn walk(
        &mut self,
        status: &Status,
        listed: ParsedMappings,
        pagemap: &mut Result<Pagemap, Gap>,
    ) -> Result<(Vec<Mapping>, CountersSource), ProbeError> {
        let facilities = WalkFacilities::get();
        let mut mappings = self.settled(listed);
        let has_hugetlb = !status.figures.hugetlb.is_zero();
        correct_names(self.process, &mut mappings, has_hugetlb);
        let pagemap = match pagemap {
            Ok(pagemap) => pagemap,
            Err(gap) => {
                self.gaps.push(gap.clone());
                self.gap(
                    "reading in small steps",
                    GapReason::Denied,
                    "smaps was read instead",
                );
                return Ok((self.smaps()?, CountersSource::Smaps));
            }
        };
        let counts = match &facilities.page_counts {
            Ok(()) => PageCounts::open().ok(),
            Err(_) => None,
        };
        let means = WalkMeans {
            page: page_size().0,
            counts: counts.as_ref(),
            zero_frame: facilities.zero_frame,
            alone: self.is_alone(status),
            swap_used: !status.figures.swap.is_zero(),
        };
        let meter = &mut self.meter;
        let walked = walk(pagemap, means, &mut mappings, meter)
            .map_err(|error| self.process.error("pagemap", error))?;
        let pss = walked.pss;
        self.walked = walked.anonymous;
        self.tell_walk_limits(pss);
        Ok((mappings, CountersSource::Walk { pss }))
    }

    /// Whether anonymous pages need not be looked at to know that nobody else maps them.
    fn is_alone(&self, status: &Status) -> bool {
        let pages = match self.options.method {
            MethodChoice::Walk => u64::MAX,
            _ => status.figures.anon.0 / page_size().0,
        };
        let can_scan = matches!(WalkFacilities::get().means, ScanMeans::Scan { .. });
        can_scan && relatives::has_none(self.stat, status.text, pages)
    }

    /// What a walk can't tell, so that no zero stands for it unsaid.
    fn tell_walk_limits(&mut self, pss: plimsoll_model::Exactness) {
        self.gap(
            "dirty file pages, lazily freed, locked and referenced pages",
            GapReason::Bounded,
            "a walk of page flags does not tell them; `--method smaps` does, and holds the \
             target's mm lock longer",
        );
        if pss != plimsoll_model::Exactness::Exact {
            self.gap(
                "PSS of shared pages",
                GapReason::Denied,
                "page counts need root: a page that others map too counts as one half; \
                 `--method smaps` gives the exact figure",
            );
        }
        if let ScanMeans::Entries { zero_frame: None } = WalkFacilities::get().means {
            self.gap(
                "zero pages",
                GapReason::Unsupported,
                "without PAGEMAP_SCAN (Linux 6.7) and page frames (root) they can't be told from \
                 shared pages, so that RSS may be stated too high; `--method smaps` is exact",
            );
        }
    }

    fn smaps(&mut self) -> Result<Vec<Mapping>, ProbeError> {
        let mut parser = SmapsParser::default();
        let rest = self.read_text("smaps", &mut |bytes| parser.feed(bytes))?;
        Ok(self.settled(parser.finish(&rest)))
    }

    /// Reads a file of /proc/PID in one pass. `take` is given what is there and says how much of
    /// it it took; what it left at the end comes back.
    fn read_text(
        &mut self,
        name: &str,
        take: &mut dyn FnMut(&[u8]) -> usize,
    ) -> Result<Vec<u8>, ProbeError> {
        let failed = |error: io::Error| self.process.error(name, error);
        let mut file = self.process.file(name).map_err(failed)?;
        let mut buffer = vec![0_u8; TEXT_BUFFER];
        let mut filled = 0;
        loop {
            if filled == buffer.len() {
                // A single line as long as the buffer: the kernel prints no such.
                buffer.resize(filled * 2, 0);
            }
            let free = &mut buffer[filled..];
            let (read, took) = self.meter.hold(|| file.read(free));
            let length = match read {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error)),
            };
            self.meter.bytes_read += length as u64;
            filled += length;
            if length == 0 || buffer.len() - filled < TEXT_READ {
                let taken = take(&buffer[..filled]);
                buffer.copy_within(taken..filled, 0);
                filled -= taken;
            }
            if length == 0 {
                buffer.truncate(filled);
                return Ok(buffer);
            }
            self.meter.pause_after_long(took, TEXT_HOLD);
        }
    }

    /// Mappings in ascending order without overlap. The kernel lets go of the lock between two
    /// reads: a mapping that was joined to its neighbour meanwhile comes again, larger.
    fn settled(&mut self, parsed: ParsedMappings) -> Vec<Mapping> {
        if parsed.malformed > 0 {
            let detail = format!("{} lines; report it with `uname -r`", parsed.malformed);
            self.gap("lines of smaps or maps", GapReason::Malformed, &detail);
        }
        let ascending = |pair: &[Mapping]| pair[0].range.end <= pair[1].range.start;
        if parsed.mappings.windows(2).all(ascending) {
            return parsed.mappings;
        }
        let mut dropped = 0;
        let mut settled: Vec<Mapping> = Vec::with_capacity(parsed.mappings.len());
        for mapping in parsed.mappings {
            while settled
                .pop_if(|last| last.range.end > mapping.range.start)
                .is_some()
            {
                dropped += 1;
            }
            settled.push(mapping);
        }
        let detail = format!("{dropped} were replaced by ones read later");
        self.gap("mappings", GapReason::Changed, &detail);
        settled
    }
}

/// A read(2) of maps or smaps returns at most one page of whole lines (seq_read_iter() in
/// fs/seq_file.c), whatever it is offered; parsing starts when less than this is free.
const TEXT_READ: usize = 8 * 1024;

/// Fits the processor's second-level cache: text is parsed while it is still there.
const TEXT_BUFFER: usize = 128 * 1024;

fn may_swap(system: &SystemMemory) -> bool {
    !system.swap_total.is_zero()
}
