//! The counters of mappings, summed up from what is found of their pages.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use plimsoll_model::{AddressRange, Bytes, Exactness, Mapping, PageRun};

use super::{PageKind, WalkMeans, Walked};
use crate::hold::HoldMeter;
use crate::pagemap::{Entry, Pagemap, Region, SCAN_HUGE, SCAN_PRESENT};

/// Shared pages whose map counts are looked up together.
const SHARED_PAGES_MAX: usize = 64 * 1024;

/// Runs of pages that a walk keeps: 8 MiB.
const RUNS_KEPT: usize = 256 * 1024;

/// Map counts of page frames: /proc/kpagecount.
#[derive(Debug)]
pub(crate) struct PageCounts {
    file: File,
}

impl PageCounts {
    pub(crate) fn open() -> io::Result<PageCounts> {
        File::open("/proc/kpagecount").map(|file| PageCounts { file })
    }

    /// Calls `visit` with the index and the map count of each frame.
    fn each(&self, frames: &[(u32, u64)], visit: &mut dyn FnMut(u32, u64)) -> io::Result<()> {
        let mut buffer = [0_u8; 512 * 8];
        let mut rest = frames;
        while let Some((_, first)) = rest.first() {
            // Pages that were touched in order often lie in adjoining frames.
            let run = rest
                .iter()
                .zip(*first..)
                .take(512)
                .take_while(|((_, frame), expected)| frame == expected)
                .count();
            let part = &mut buffer[..run * 8];
            self.file.read_exact_at(part, first * 8)?;
            for ((index, _), count) in rest.iter().zip(part.chunks_exact(8)) {
                visit(*index, count.try_into().map_or(0, u64::from_ne_bytes));
            }
            rest = &rest[run..];
        }
        Ok(())
    }
}

pub(super) struct Account<'a> {
    means: WalkMeans<'a>,
    kinds: Vec<PageKind>,
    /// PSS in bytes × 4096, as the kernel sums it (PSS_SHIFT).
    proportional: Vec<u64>,
    mappings: &'a mut [Mapping],
    /// The mapping of the last page: pages come in ascending order.
    mapping: usize,
    /// Index of the mapping and frame of pages that are mapped more than once.
    shared: Vec<(u32, u64)>,
    /// See [`Walked::anonymous`].
    anonymous: Option<Vec<PageRun>>,
    halved: bool,
    failed: Option<io::Error>,
}

const PSS_SHIFT: u32 = 12;

/// Neighbouring pages of one mapping and region that count alike; at first none.
#[derive(Clone, Copy, Debug, Default)]
struct Alike {
    start: u64,
    end: u64,
    /// Where the mapping or the region ends, or the page itself when it is one of a kind.
    limit: u64,
    /// Of the first page.
    entry: Entry,
    categories: u64,
    mapping: usize,
}

impl Alike {
    /// Whether the page at `address` is the next of these; then it is one of them.
    fn take_in(&mut self, address: u64, entry: Entry, page: u64) -> bool {
        let is_next =
            address == self.end && address < self.limit && entry.state() == self.entry.state();
        if is_next {
            self.end += page;
        }
        is_next
    }
}

impl<'a> Account<'a> {
    pub(super) fn new(
        means: WalkMeans<'a>,
        kinds: Vec<PageKind>,
        mappings: &'a mut [Mapping],
    ) -> Account<'a> {
        Account {
            means,
            kinds,
            proportional: vec![0; mappings.len()],
            mappings,
            mapping: 0,
            shared: Vec::new(),
            anonymous: Some(Vec::new()),
            halved: false,
            failed: None,
        }
    }

    /// Accounts for the pages of some neighbouring regions.
    pub(super) fn group(
        &mut self,
        pagemap: &mut Pagemap,
        regions: &[Region],
        meter: &mut HoldMeter,
    ) -> io::Result<()> {
        let (Some(first), Some(last)) = (regions.first(), regions.last()) else {
            return Ok(());
        };
        let range = AddressRange::new(first.start, last.end);
        let mut regions = regions.iter().peekable();
        let mut alike = Alike::default();
        let page = self.means.page;
        pagemap.entries(range, meter, &mut |address, entry| {
            if alike.take_in(address, entry, page) {
                return;
            }
            self.count(std::mem::take(&mut alike));
            while regions.next_if(|region| region.end <= address).is_some() {}
            if let Some(region) = regions.peek().filter(|region| region.start <= address) {
                alike = self.start(address, entry, **region).unwrap_or_default();
            }
        })?;
        self.count(alike);
        if self.shared.len() >= SHARED_PAGES_MAX {
            self.settle_shared();
        }
        Ok(())
    }

    /// Accounts for pages that a scan has said all of. What it told of other mappings is left: it reaches over
    /// what lies between those that it was asked about.
    pub(super) fn counted(&mut self, region: Region) {
        let mut start = region.start;
        while start < region.end {
            let Some(mapping) = self.mappings.get_mut(self.mapping) else {
                return;
            };
            if mapping.range.end <= start {
                self.mapping += 1;
                continue;
            }
            let end = region.end.min(mapping.range.end);
            start = start.max(mapping.range.start);
            if start < end && self.kinds[self.mapping] == PageKind::Anonymous {
                let range = AddressRange::new(start, end);
                let bytes = range.size();
                let resident = region.categories & SCAN_PRESENT != 0;
                let counters = &mut mapping.counters;
                if resident {
                    counters.rss += bytes;
                    counters.anonymous += bytes;
                    counters.private_dirty += bytes;
                    self.proportional[self.mapping] += bytes.0 << PSS_SHIFT;
                } else if self.means.swap_used {
                    counters.swap += bytes;
                }
                if resident || self.means.swap_used {
                    keep(&mut self.anonymous, range, resident);
                }
            }
            start = end.max(start);
        }
    }

    /// The page at `address`, if it is one of a mapping.
    fn start(&mut self, address: u64, entry: Entry, region: Region) -> Option<Alike> {
        while self.mappings.get(self.mapping)?.range.end <= address {
            self.mapping += 1;
        }
        let mapping = self.mappings[self.mapping].range;
        let end = address + self.means.page;
        // Which frame a page of several users has must be seen of each.
        let limit = match entry.present() && !entry.exclusive() {
            true => end,
            false => region.end.min(mapping.end),
        };
        mapping.contains(address).then_some(Alike {
            start: address,
            end,
            limit,
            entry,
            categories: region.categories,
            mapping: self.mapping,
        })
    }

    /// The scan says what kind of page it is, if there was one; the entry whether it is still there
    /// and who maps it.
    fn count(&mut self, alike: Alike) {
        let range = AddressRange::new(alike.start, alike.end);
        if range.is_empty() {
            return;
        }
        let bytes = range.size();
        let (entry, index) = (alike.entry, alike.mapping);
        let kind = self.kinds[index];
        let counters = &mut self.mappings[index].counters;
        if kind == PageKind::Hugetlb {
            if entry.present() {
                counters.hugetlb += bytes;
            }
            return;
        }
        let swapped = entry.swapped() && self.means.swap_used;
        if swapped {
            counters.swap += bytes;
        }
        let is_zero = entry.frame().is_some() && entry.frame() == self.means.zero_frame;
        let present = entry.present() && !is_zero && alike.categories & SCAN_PRESENT != 0;
        let resident = present && kind.counts(entry.file());
        if kind == PageKind::Anonymous && (resident || swapped) {
            keep(&mut self.anonymous, range, resident);
        }
        if !resident {
            return;
        }
        counters.rss += bytes;
        let (private, shared) = if entry.file() {
            (&mut counters.private_clean, &mut counters.shared_clean)
        } else {
            counters.anonymous += bytes;
            if alike.categories & SCAN_HUGE != 0 {
                counters.anon_huge += bytes;
            }
            (&mut counters.private_dirty, &mut counters.shared_dirty)
        };
        if entry.exclusive() {
            *private += bytes;
            self.proportional[index] += bytes.0 << PSS_SHIFT;
        } else {
            *shared += bytes;
            self.shared_page(index, entry);
        }
    }

    fn shared_page(&mut self, index: usize, entry: Entry) {
        match (self.means.counts, entry.frame(), u32::try_from(index)) {
            (Some(_), Some(frame), Ok(index)) => self.shared.push((index, frame)),
            _ => {
                self.halved = true;
                self.proportional[index] += (self.means.page << PSS_SHIFT) / 2;
            }
        }
    }

    fn settle_shared(&mut self) {
        let shared = std::mem::take(&mut self.shared);
        let Some(counts) = self.means.counts else {
            return;
        };
        let page = self.means.page << PSS_SHIFT;
        let proportional = &mut self.proportional;
        let settled = counts.each(&shared, &mut |index, count| {
            // A page that was unmapped by its last other user meanwhile is ours alone.
            proportional[index as usize] += page / count.max(1);
        });
        if let Err(error) = settled {
            self.failed.get_or_insert(error);
        }
    }

    pub(super) fn finish(mut self) -> io::Result<Walked> {
        self.settle_shared();
        if let Some(error) = self.failed {
            return Err(error);
        }
        for (mapping, proportional) in self.mappings.iter_mut().zip(&self.proportional) {
            mapping.counters.pss = Bytes(proportional >> PSS_SHIFT);
        }
        let pss = if self.halved {
            Exactness::AtMost
        } else {
            Exactness::Exact
        };
        Ok(Walked {
            pss,
            anonymous: self.anonymous,
        })
    }
}

/// Adds pages to the runs; gives all of them up when they are too many.
fn keep(runs: &mut Option<Vec<PageRun>>, range: AddressRange, resident: bool) {
    let Some(kept) = runs else {
        return;
    };
    match kept.last_mut() {
        Some(last) if last.range.end == range.start && last.resident == resident => {
            last.range.end = range.end;
        }
        _ => kept.push(PageRun {
            range,
            resident,
            swapped: !resident,
            file: false,
        }),
    }
    if kept.len() > RUNS_KEPT {
        *runs = None;
    }
}
