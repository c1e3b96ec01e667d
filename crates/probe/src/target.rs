//! [`LiveTarget`]: answers to attribution's questions from a live process.
//!
//! Residency is scanned once per 64 MiB of address space and kept; only resident pages are read,
//! so that nothing is faulted in. Memory cost: 24 bytes for neighbouring mappings of
//! one kind and for a run of pages, bounded.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use plimsoll_model::{
    AddressRange, Gap, GapReason, Mapping, Method, Page, PageRun, ReadingCost, Residency, Target,
};

use crate::hold::{HoldMeter, STEP_HOLD};
use crate::memory::Memory;
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
    /// Neighbours of one kind are one here.
    mappings: Vec<(AddressRange, PageKind)>,
    /// Whether swap is there at all; without it, entries that look swapped are guards.
    swap: bool,
    /// All pages of private mappings without a file, when a walk has seen them.
    walked: Option<Vec<PageRun>>,
    asked: RefCell<Asked>,
}

#[derive(Debug)]
struct Asked {
    /// `Err` when pagemap may not be opened.
    pagemap: Result<Pagemap, Gap>,
    memory: Memory,
    meter: HoldMeter,
    method: Method,
    blocks: BTreeMap<BlockId, Rc<Block>>,
    runs_kept: usize,
    /// The last block asked for: questions come in address order.
    last: Option<Rc<Block>>,
}

/// The mappings of one class in one piece of address space: they are scanned together, because
/// a system call for each of 20,000 mappings costs more than the pages in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct BlockId {
    number: u64,
    class: ScanClass,
}

impl BlockId {
    fn range(self) -> AddressRange {
        AddressRange::sized(self.number * BLOCK, BLOCK)
    }
}

/// What the kernel must be asked to tell which pages RSS counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ScanClass {
    /// Huge pages apart, in search of the huge zero page.
    Anonymous,
    /// File pages apart, which costs a look at each page's descriptor.
    File,
}

impl ScanClass {
    /// `None` for pages that are counted apart from RSS, which are in no run.
    fn of(kind: PageKind) -> Option<ScanClass> {
        match kind {
            PageKind::Anonymous => Some(ScanClass::Anonymous),
            PageKind::PrivateFile | PageKind::Shared => Some(ScanClass::File),
            PageKind::Hugetlb => None,
        }
    }

    fn wanted(self) -> u64 {
        match self {
            ScanClass::Anonymous => SCAN_HUGE,
            ScanClass::File => SCAN_FILE,
        }
    }
}

#[derive(Debug)]
struct Block {
    id: BlockId,
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
            mappings: by_kind(mappings),
            swap,
            walked: None,
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

    /// Takes over what a walk has seen, so that it is not scanned again.
    pub(crate) fn knowing(self, walked: Option<Vec<PageRun>>) -> LiveTarget {
        LiveTarget { walked, ..self }
    }

    /// What the snapshot and everything asked since cost, up to now.
    #[must_use]
    pub fn cost(&self) -> ReadingCost {
        let asked = self.asked.borrow();
        asked.meter.cost(asked.method)
    }

    /// The blocks that `range` touches with the part of a mapping that each holds.
    fn blocks(&self, range: AddressRange) -> impl Iterator<Item = (AddressRange, BlockId)> {
        self.mappings_within(range)
            .filter_map(|(mapping, kind)| Some((mapping, ScanClass::of(kind)?)))
            .flat_map(move |(mapping, class)| {
                let wanted = mapping.intersection(range);
                let first = wanted.start / BLOCK;
                let last = wanted.end.saturating_sub(1) / BLOCK;
                (first..=last).map(move |number| {
                    let id = BlockId { number, class };
                    (id.range().intersection(wanted), id)
                })
            })
    }

    fn mappings_within(
        &self,
        range: AddressRange,
    ) -> impl Iterator<Item = (AddressRange, PageKind)> {
        let first = self
            .mappings
            .partition_point(|(mapping, _)| mapping.end <= range.start);
        self.mappings[first..]
            .iter()
            .take_while(move |(mapping, _)| mapping.start < range.end)
            .copied()
    }

    fn block(&self, asked: &mut Asked, id: BlockId) -> Result<Rc<Block>, Gap> {
        if let Some(last) = asked.last.as_ref().filter(|last| last.id == id) {
            return Ok(Rc::clone(last));
        }
        let known = asked.blocks.get(&id).map(Rc::clone);
        let block = match known {
            Some(block) => block,
            None => {
                let runs = self.scan_block(asked, id)?;
                let cost = runs.len() + 1;
                if asked.runs_kept + cost > RUNS_MAX {
                    asked.blocks.clear();
                    asked.runs_kept = 0;
                }
                asked.runs_kept += cost;
                let block = Rc::new(Block { id, runs });
                asked.blocks.insert(id, Rc::clone(&block));
                block
            }
        };
        asked.last = Some(Rc::clone(&block));
        Ok(block)
    }

    fn scan_block(&self, asked: &mut Asked, id: BlockId) -> Result<Vec<PageRun>, Gap> {
        if let (ScanClass::Anonymous, Some(walked)) = (id.class, &self.walked) {
            return Ok(clipped(walked, id.range()));
        }
        let pagemap = asked.pagemap.as_mut().map_err(|gap| gap.clone())?;
        let meter = &mut asked.meter;
        let (ranges, kinds): (Vec<AddressRange>, Vec<PageKind>) = self
            .mappings_within(id.range())
            .filter(|(_, kind)| ScanClass::of(*kind) == Some(id.class))
            .map(|(mapping, kind)| (mapping.intersection(id.range()), kind))
            .unzip();
        let mut regions: Vec<Region> = Vec::new();
        pagemap
            .scan(&ranges, id.class.wanted(), meter, &mut |region| {
                regions.push(region);
            })
            .map_err(|error| residency_gap(&error))?;
        let mut runs: Vec<PageRun> = Vec::new();
        for region in regions {
            let whole = AddressRange::new(region.start, region.end);
            let first = ranges.partition_point(|range| range.end <= whole.start);
            let touched = ranges[first..].iter().zip(&kinds[first..]);
            for (range, kind) in touched.take_while(|(range, _)| range.start < whole.end) {
                let clipped = whole.intersection(*range);
                self.push_region(
                    pagemap,
                    meter,
                    (clipped, *kind),
                    region.categories,
                    &mut runs,
                );
            }
        }
        Ok(runs)
    }

    /// Adds what RSS counts, or swap holds, of one mapping's part of a region.
    fn push_region(
        &self,
        pagemap: &mut Pagemap,
        meter: &mut HoldMeter,
        (range, kind): (AddressRange, PageKind),
        categories: u64,
        runs: &mut Vec<PageRun>,
    ) {
        let file = categories & SCAN_FILE != 0;
        let resident = categories & SCAN_PRESENT != 0 && kind.counts(file);
        let swapped = categories & SCAN_SWAPPED != 0 && self.swap && !resident;
        if range.is_empty() || !(resident || swapped) {
            return;
        }
        let run = PageRun {
            range,
            resident,
            swapped,
            file,
        };
        if categories & SCAN_HUGE != 0 {
            self.push_huge(pagemap, meter, run, runs);
        } else {
            push(runs, run);
        }
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
        // Most questions follow one another; a block's runs are of its own mappings only.
        if let Some(last) = &asked.last
            && covered(&last.runs, range) == range.end
        {
            return true;
        }
        let mut reached = range.start;
        for (part, id) in self.blocks(range) {
            if part.start > reached {
                return false;
            }
            let Ok(block) = self.block(asked, id) else {
                return false;
            };
            reached = covered(&block.runs, AddressRange::new(reached, part.end));
            if reached < part.end {
                return false;
            }
        }
        reached >= range.end
    }

    fn copy(asked: &mut Asked, address: u64, buffer: &mut [u8]) -> bool {
        let memory = &mut asked.memory;
        let (whole, took) = asked.meter.hold(|| memory.read(address, buffer));
        if whole {
            asked.meter.target_bytes_read += buffer.len() as u64;
        }
        // The lock is free between two copies, and a small one holds it for a microsecond.
        asked.meter.pause_after_long(took, STEP_HOLD);
        whole
    }
}

/// What mappings cover, neighbours of one kind joined: their pages are counted alike.
fn by_kind(mappings: &[Mapping]) -> Vec<(AddressRange, PageKind)> {
    let mut joined: Vec<(AddressRange, PageKind)> = Vec::new();
    let mappings = mappings.iter();
    for mapping in mappings.filter(|mapping| mapping.range.end <= USER_SPACE_END) {
        let (range, kind) = (mapping.range, PageKind::of(mapping));
        match joined.last_mut() {
            Some((last, same)) if last.end == range.start && *same == kind => last.end = range.end,
            _ => joined.push((range, kind)),
        }
    }
    joined
}

/// The parts of `runs` that lie in `range`.
fn clipped(runs: &[PageRun], range: AddressRange) -> Vec<PageRun> {
    let first = runs.partition_point(|run| run.range.end <= range.start);
    let touched = runs[first..]
        .iter()
        .take_while(|run| run.range.start < range.end);
    touched
        .map(|run| PageRun {
            range: run.range.intersection(range),
            ..*run
        })
        .collect()
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
        buffer.is_empty() || LiveTarget::copy(&mut asked, address, buffer)
    }

    fn read_each(&self, addresses: &[u64], width: usize, out: &mut Vec<u8>) -> Vec<bool> {
        let mut asked = self.asked.borrow_mut();
        out.clear();
        out.resize(addresses.len() * width, 0);
        if width == 0 {
            return vec![false; addresses.len()];
        }
        let pieces = addresses.iter().zip(out.chunks_exact_mut(width));
        pieces
            .map(|(address, piece)| {
                let range = AddressRange::sized(*address, width as u64);
                range.size().0 == width as u64
                    && self.is_resident(&mut asked, range)
                    && LiveTarget::copy(&mut asked, *address, piece)
            })
            .collect()
    }

    fn residency(&self, range: AddressRange) -> Result<Residency, Gap> {
        let mut asked = self.asked.borrow_mut();
        let mut residency = Residency::default();
        for (part, id) in self.blocks(range) {
            let block = self.block(&mut asked, id)?;
            let first = block
                .runs
                .partition_point(|run| run.range.end <= part.start);
            for run in block.runs[first..]
                .iter()
                .take_while(|run| run.range.start < part.end)
            {
                let clipped = run.range.intersection(part);
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
