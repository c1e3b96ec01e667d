//! [`LiveTarget`]: answers to attribution's questions from a live process.
//!
//! Residency is scanned once per 64 MiB of a mapping and kept; only resident pages are read, so
//! that nothing is faulted in. Memory cost: 24 bytes a mapping and a run of pages, bounded.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use plimsoll_model::{
    AddressRange, Gap, GapReason, Mapping, Method, Page, PageRun, ReadingCost, Residency, Target,
};

use crate::hold::{ExactSleep, HoldMeter, STEP_HOLD};
use crate::memory::{Memory, PIECES_MAX};
use crate::pagemap::{Pagemap, Region, SCAN_FILE, SCAN_HUGE, SCAN_PRESENT, SCAN_SWAPPED};
use crate::walk::{PageKind, USER_SPACE_END};

/// Residency is scanned in blocks of this much address space: one costs at most 16,384 pages, a
/// tenth of a millisecond in several steps.
const BLOCK: u64 = 64 << 20;

/// Runs (and blocks without one) kept before all are forgotten: 10 MiB.
const RUNS_MAX: usize = 256 * 1024;

/// A process that can be asked for more than its snapshot holds.
#[derive(Debug)]
pub struct LiveTarget {
    page: u64,
    mappings: Vec<(AddressRange, PageKind)>,
    /// Whether swap is there at all; without it, entries that look swapped are guards.
    swap: bool,
    asked: RefCell<Asked>,
}

#[derive(Debug)]
struct Asked {
    /// `Err` when pagemap may not be opened.
    pagemap: Result<Pagemap, Gap>,
    memory: Memory,
    meter: HoldMeter,
    method: Method,
    /// By the block's first address.
    blocks: BTreeMap<u64, Rc<Block>>,
    runs_kept: usize,
    /// The last block asked for: questions come in address order.
    last: Option<Rc<Block>>,
}

#[derive(Debug)]
struct Block {
    range: AddressRange,
    runs: Vec<PageRun>,
}

impl LiveTarget {
    pub(crate) fn new(
        pid: u32,
        page: u64,
        mappings: &[Mapping],
        swap: bool,
        pagemap: Result<Pagemap, Gap>,
        meter: HoldMeter,
        method: Method,
    ) -> LiveTarget {
        LiveTarget {
            page,
            mappings: mappings
                .iter()
                .filter(|mapping| mapping.range.end <= USER_SPACE_END)
                .map(|mapping| (mapping.range, PageKind::of(mapping)))
                .collect(),
            swap,
            asked: RefCell::new(Asked {
                pagemap,
                memory: Memory::new(pid),
                meter,
                method,
                blocks: BTreeMap::new(),
                runs_kept: 0,
                last: None,
            }),
        }
    }

    /// What the snapshot and everything asked since cost, up to now.
    #[must_use]
    pub fn cost(&self) -> ReadingCost {
        let asked = self.asked.borrow();
        asked.meter.cost(asked.method)
    }

    /// The blocks that `range` touches, mapped parts only.
    fn blocks(&self, range: AddressRange) -> impl Iterator<Item = (AddressRange, PageKind)> {
        let first = self
            .mappings
            .partition_point(|(mapping, _)| mapping.end <= range.start);
        self.mappings[first..]
            .iter()
            .take_while(move |(mapping, _)| mapping.start < range.end)
            .flat_map(move |(mapping, kind)| {
                let wanted = mapping.intersection(range);
                let first = wanted.start / BLOCK;
                let last = wanted.end.saturating_sub(1) / BLOCK;
                (first..=last).map(move |number| {
                    let block = AddressRange::sized(number * BLOCK, BLOCK);
                    (block.intersection(*mapping), *kind)
                })
            })
    }

    fn block(
        &self,
        asked: &mut Asked,
        range: AddressRange,
        kind: PageKind,
    ) -> Result<Rc<Block>, Gap> {
        if let Some(last) = asked.last.as_ref().filter(|last| last.range == range) {
            return Ok(Rc::clone(last));
        }
        let known = asked.blocks.get(&range.start).map(Rc::clone);
        let block = match known {
            Some(block) => block,
            None => {
                let runs = self.scan_block(asked, range, kind)?;
                let cost = runs.len() + 1;
                if asked.runs_kept + cost > RUNS_MAX {
                    asked.blocks.clear();
                    asked.runs_kept = 0;
                }
                asked.runs_kept += cost;
                let block = Rc::new(Block { range, runs });
                asked.blocks.insert(range.start, Rc::clone(&block));
                block
            }
        };
        asked.last = Some(Rc::clone(&block));
        Ok(block)
    }

    fn scan_block(
        &self,
        asked: &mut Asked,
        range: AddressRange,
        kind: PageKind,
    ) -> Result<Vec<PageRun>, Gap> {
        let pagemap = asked.pagemap.as_mut().map_err(|gap| gap.clone())?;
        let meter = &mut asked.meter;
        let _exact = ExactSleep::start();
        let wanted = match kind {
            // Counted apart from RSS, so in no run.
            PageKind::Hugetlb => return Ok(Vec::new()),
            PageKind::Anonymous => SCAN_HUGE,
            PageKind::PrivateFile | PageKind::Shared => SCAN_FILE,
        };
        let mut regions: Vec<Region> = Vec::new();
        pagemap
            .scan(&[range], wanted, meter, &mut |region| regions.push(region))
            .map_err(|error| residency_gap(&error))?;
        let mut runs: Vec<PageRun> = Vec::new();
        for region in regions {
            let clipped = AddressRange::new(region.start, region.end).intersection(range);
            let present = region.categories & SCAN_PRESENT != 0;
            let file = region.categories & SCAN_FILE != 0;
            let swapped = region.categories & SCAN_SWAPPED != 0 && self.swap;
            let resident = present && kind.counts(file);
            if clipped.is_empty() || !(resident || swapped) {
                continue;
            }
            let run = PageRun {
                range: clipped,
                resident,
                swapped: swapped && !resident,
                file,
            };
            if region.categories & SCAN_HUGE != 0 {
                self.push_huge(pagemap, meter, run, &mut runs);
            } else {
                push(&mut runs, run);
            }
        }
        Ok(runs)
    }

    /// Adds a run of anonymous huge pages without the huge zero page, which reads as a file's
    /// page in pagemap.
    fn push_huge(
        &self,
        pagemap: &mut Pagemap,
        meter: &mut HoldMeter,
        run: PageRun,
        runs: &mut Vec<PageRun>,
    ) {
        // A huge page is as many pages as one page of page-table entries has: 512 of 4 KiB.
        let huge = self.page * (self.page / 8);
        let mut start = run.range.start;
        while start < run.range.end {
            let end = run.range.end.min((start / huge + 1) * huge);
            let zero = pagemap
                .entry(start, meter)
                .is_some_and(|entry| entry.file());
            if !zero {
                let range = AddressRange { start, end };
                push(runs, PageRun { range, ..run });
            }
            start = end;
        }
    }

    /// Whether every page of `range` is resident.
    fn is_resident(&self, asked: &mut Asked, range: AddressRange) -> bool {
        if let Some(last) = asked.last.as_ref().filter(|last| last.range.covers(range)) {
            return covered(&last.runs, range) == range.end;
        }
        let mut reached = range.start;
        for (part, kind) in self.blocks(range) {
            if part.start > reached {
                return false;
            }
            let Ok(block) = self.block(asked, part, kind) else {
                return false;
            };
            let wanted = AddressRange::new(reached, range.end.min(part.end));
            reached = covered(&block.runs, wanted);
            if reached < wanted.end {
                return false;
            }
        }
        reached >= range.end
    }

    fn read_pieces(&self, asked: &mut Asked, addresses: &[u64], buffer: &mut [u8]) -> usize {
        let memory = &mut asked.memory;
        let (whole, _) = asked.meter.hold(|| memory.read_pieces(addresses, buffer));
        if let Some(width) = buffer.len().checked_div(addresses.len()) {
            asked.meter.target_bytes_read += (whole * width) as u64;
        }
        asked.meter.pause_after(STEP_HOLD);
        whole
    }
}

/// How far from its start `range` is resident without a hole.
fn covered(runs: &[PageRun], range: AddressRange) -> u64 {
    let first = runs.partition_point(|run| run.range.end <= range.start);
    let mut reached = range.start;
    for run in &runs[first..] {
        if reached >= range.end || run.range.start > reached || !run.resident {
            break;
        }
        reached = run.range.end;
    }
    reached.min(range.end)
}

fn push(runs: &mut Vec<PageRun>, run: PageRun) {
    let same = |last: &PageRun| {
        last.range.end == run.range.start
            && (last.resident, last.swapped, last.file) == (run.resident, run.swapped, run.file)
    };
    match runs.last_mut().filter(|last| same(last)) {
        Some(last) => last.range.end = run.range.end,
        None => runs.push(run),
    }
}

/// What can't be told when pagemap can't be read.
pub(crate) fn residency_gap(error: &io::Error) -> Gap {
    let reason = match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => GapReason::Denied,
        Some(libc::ESRCH | libc::ENOENT) => GapReason::Vanished,
        _ => GapReason::Unsupported,
    };
    Gap::new(
        "which pages are resident",
        reason,
        format!("/proc/PID/pagemap: {error}"),
    )
}

impl Target for LiveTarget {
    fn read(&self, address: u64, buffer: &mut [u8]) -> bool {
        let mut asked = self.asked.borrow_mut();
        let range = AddressRange::sized(address, buffer.len() as u64);
        if range.size().0 != buffer.len() as u64 || !self.is_resident(&mut asked, range) {
            return false;
        }
        buffer.is_empty() || self.read_pieces(&mut asked, &[address], buffer) == 1
    }

    fn read_each(&self, addresses: &[u64], width: usize, out: &mut Vec<u8>) -> Vec<bool> {
        let mut asked = self.asked.borrow_mut();
        let _exact = ExactSleep::start();
        out.clear();
        out.resize(addresses.len() * width, 0);
        let mut readable = vec![false; addresses.len()];
        if width == 0 {
            return readable;
        }
        let resident: Vec<usize> = (0..addresses.len())
            .filter(|index| {
                let range = AddressRange::sized(addresses[*index], width as u64);
                range.size().0 == width as u64 && self.is_resident(&mut asked, range)
            })
            .collect();
        let mut pieces = Vec::with_capacity(PIECES_MAX);
        let mut buffer = Vec::new();
        let mut rest = &resident[..];
        while !rest.is_empty() {
            let part = &rest[..rest.len().min(PIECES_MAX)];
            pieces.clear();
            pieces.extend(part.iter().map(|index| addresses[*index]));
            buffer.resize(part.len() * width, 0);
            let whole = self.read_pieces(&mut asked, &pieces, &mut buffer);
            for (index, bytes) in part[..whole].iter().zip(buffer.chunks_exact(width)) {
                out[index * width..(index + 1) * width].copy_from_slice(bytes);
                readable[*index] = true;
            }
            // The piece that stopped the call can't be read; go on behind it.
            rest = &rest[(whole + 1).min(part.len())..];
        }
        readable
    }

    fn residency(&self, range: AddressRange) -> Result<Residency, Gap> {
        let mut asked = self.asked.borrow_mut();
        let mut residency = Residency::default();
        for (part, kind) in self.blocks(range) {
            let block = self.block(&mut asked, part, kind)?;
            let first = block
                .runs
                .partition_point(|run| run.range.end <= range.start);
            for run in block.runs[first..]
                .iter()
                .take_while(|run| run.range.start < range.end)
            {
                let clipped = run.range.intersection(range);
                push(
                    &mut residency.runs,
                    PageRun {
                        range: clipped,
                        ..*run
                    },
                );
            }
        }
        Ok(residency)
    }

    fn shared_pages(&self, range: AddressRange) -> Result<Vec<Page>, Gap> {
        let residency = self.residency(range)?;
        let mut asked = self.asked.borrow_mut();
        let Asked { pagemap, meter, .. } = &mut *asked;
        let pagemap = pagemap.as_mut().map_err(|gap| gap.clone())?;
        let _exact = ExactSleep::start();
        let mut pages = Vec::new();
        for run in residency.runs.iter().filter(|run| run.resident) {
            pagemap
                .entries(run.range, meter, &mut |address, entry| {
                    if entry.present() && !entry.exclusive() {
                        let frame = entry.frame();
                        pages.push(Page { address, frame });
                    }
                })
                .map_err(|error| residency_gap(&error))?;
        }
        Ok(pages)
    }
}
