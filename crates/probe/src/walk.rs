//! Counters of every mapping by a walk of page flags in small paced steps, where reading smaps
//! would hold the target's mm lock for the whole of a large mapping.
//!
//! A page's entry tells who maps it, for which the kernel looks at its descriptor. Where nobody else can map
//! anonymous pages (`relatives`), those are counted by scans alone, which do not.
//!
//! Exact: resident, swapped, anonymous and private bytes. PSS: exact with /proc/kpagecount (which
//! does not take the lock), else a page that others map too counts as one half. Not told: dirty
//! or clean file pages, lazily freed, locked and referenced pages. Memory cost: 4 MiB, and 9
//! bytes a mapping.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use plimsoll_model::{AddressRange, Backing, Bytes, Counters, Exactness, Mapping, PageRun};

use crate::hold::HoldMeter;
use crate::pagemap::{Entry, Pagemap, Region, SCAN_HUGE, SCAN_PRESENT};

/// Address space scanned before its pages are looked at one by one. Bounds the regions held:
/// half a million for alternating pages, 12 MiB; real heaps stay a hundred times below.
const BATCH_BYTES: u64 = 4 << 30;

/// Regions closer than this are read from pagemap in one call: 64 entries cost less than a call.
const JOIN_PAGES: u64 = 64;

/// Shared pages whose map counts are looked up together.
const SHARED_PAGES_MAX: usize = 64 * 1024;

/// Which addresses /proc/PID/pagemap covers: user space. The kernel lists `[vsyscall]` beyond.
pub(crate) const USER_SPACE_END: u64 = 1 << 63;

/// How pages of a mapping count in RSS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageKind {
    /// Private without a file: a page with the file bit is the huge zero page, which RSS does not
    /// count (kernels before 6.18 do not say so in PAGEMAP_SCAN).
    Anonymous,
    /// Private with a file: file pages, and anonymous ones where it was written.
    PrivateFile,
    /// Shared: a page without the file bit is no page of RAM that RSS counts.
    Shared,
    /// Counted apart from RSS.
    Hugetlb,
}

impl PageKind {
    pub(crate) fn of(mapping: &Mapping) -> PageKind {
        match &mapping.backing {
            Backing::Hugetlb(_) => PageKind::Hugetlb,
            // Pages that a driver or the kernel maps in may have no page descriptor.
            Backing::Device(_) | Backing::Kernel(_) => PageKind::Shared,
            _ if mapping.permissions.shared => PageKind::Shared,
            _ if mapping.is_anonymous_private() => PageKind::Anonymous,
            _ => PageKind::PrivateFile,
        }
    }

    /// Whether RSS counts a present page that is no zero page.
    pub(crate) fn counts(self, file: bool) -> bool {
        match self {
            PageKind::Anonymous => !file,
            PageKind::PrivateFile => true,
            PageKind::Shared => file,
            PageKind::Hugetlb => false,
        }
    }
}

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

/// What a walk finds besides the counters.
pub(crate) struct Walked {
    /// How exact PSS is.
    pub(crate) pss: Exactness,
    /// Resident and swapped pages of private mappings without a file, in ascending order, so that
    /// attribution need not scan them again; `None` when they are more than [`RUNS_KEPT`].
    pub(crate) anonymous: Option<Vec<PageRun>>,
}

/// Runs of pages that a walk keeps: 8 MiB.
const RUNS_KEPT: usize = 256 * 1024;

/// What a walk goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WalkMeans<'a> {
    pub(crate) page: u64,
    pub(crate) counts: Option<&'a PageCounts>,
    /// Frame of the zero page; `None` where frames are hidden.
    pub(crate) zero_frame: Option<u64>,
    /// Whether each anonymous page is mapped by this process alone.
    pub(crate) alone: bool,
    /// Whether the process has anything in swap: entries that only look like swap (guards,
    /// migration) are else not taken for it.
    pub(crate) swap_used: bool,
}

/// Fills the counters of `mappings`.
pub(crate) fn walk(
    pagemap: &mut Pagemap,
    means: WalkMeans<'_>,
    mappings: &mut [Mapping],
    meter: &mut HoldMeter,
) -> io::Result<Walked> {
    let kinds: Vec<PageKind> = mappings.iter().map(PageKind::of).collect();
    let batches = batches(mappings, &kinds, means);
    let mut account = Account {
        means,
        kinds,
        proportional: vec![0; mappings.len()],
        mappings,
        mapping: 0,
        shared: Vec::new(),
        anonymous: Some(Vec::new()),
        halved: false,
        failed: None,
    };
    let mut regions: Vec<Region> = Vec::new();
    for spans in batches {
        regions.clear();
        for spans in spans.chunk_by(|a, b| a.look == b.look) {
            look(pagemap, spans, meter, &mut regions)?;
        }
        if is_disproved(pagemap, &regions, means.page, meter) {
            drop(account);
            return walk_again(pagemap, means, mappings, meter);
        }
        for group in joined(&regions, means.page * JOIN_PAGES) {
            match group[0].categories & COUNTED != 0 {
                true => group.iter().for_each(|region| account.counted(*region)),
                false => account.group(pagemap, group, meter)?,
            }
        }
    }
    account.finish()
}

/// As if nothing had been known of who else maps pages.
fn walk_again(
    pagemap: &mut Pagemap,
    means: WalkMeans<'_>,
    mappings: &mut [Mapping],
    meter: &mut HoldMeter,
) -> io::Result<Walked> {
    for mapping in mappings.iter_mut() {
        mapping.counters = Counters::default();
    }
    let means = WalkMeans {
        alone: false,
        ..means
    };
    walk(pagemap, means, mappings, meter)
}

/// Adds what is found in neighbouring spans of one look, in ascending order.
fn look(
    pagemap: &mut Pagemap,
    spans: &[Span],
    meter: &mut HoldMeter,
    regions: &mut Vec<Region>,
) -> io::Result<()> {
    let ranges = spans.iter().map(|span| span.range);
    let mark = match spans.first().map(|span| span.look) {
        Some(Look::Entries) => {
            regions.extend(ranges.map(unscanned));
            return Ok(());
        }
        Some(Look::Count) => COUNTED,
        _ => 0,
    };
    let ranges: Vec<AddressRange> = ranges.collect();
    pagemap.scan(&ranges, SCAN_HUGE, meter, &mut |mut region| {
        // Which of huge pages is the zero page only their entries say, before Linux 6.18.
        if region.categories & SCAN_HUGE == 0 {
            region.categories |= mark;
        }
        regions.push(region);
    })
}

/// Of a region whose pages are known without their entries. No category of PAGEMAP_SCAN.
const COUNTED: u64 = 1 << 63;

/// Pages of a batch that are looked at to see whether they are mapped once, as was concluded.
const SAMPLE: u64 = 64;

/// Whether one of a sample of the pages that are counted is mapped by another process too.
fn is_disproved(pagemap: &Pagemap, regions: &[Region], page: u64, meter: &mut HoldMeter) -> bool {
    let size = |region: &Region| region.end - region.start;
    let counted = regions
        .iter()
        .filter(|region| region.categories & COUNTED != 0);
    let bytes: u64 = counted.clone().map(size).sum();
    let step = (bytes / SAMPLE).next_multiple_of(page).max(page);
    let mut offset = 0;
    for region in counted {
        while offset < size(region) {
            let entry = pagemap.entry(region.start + offset, meter);
            let is_shared = |entry: Entry| entry.present() && !entry.file() && !entry.exclusive();
            if entry.is_some_and(is_shared) {
                return true;
            }
            offset += step;
        }
        offset -= size(region);
    }
    false
}

/// A part of address space without a hole, to be looked at in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    range: AddressRange,
    look: Look,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// A scan, which tells all of anonymous pages that nobody else maps but of huge ones.
    Count,
    /// A scan tells where pages are, and which are zero or huge pages; then their entries.
    Scan,
    /// All entries, without a scan.
    Entries,
}

impl Look {
    /// A mapping without room for a huge page can't be a large reservation with few pages in it,
    /// and its zero pages are told by their frame: its scan would tell nothing that the entries
    /// do not.
    fn at(range: AddressRange, kind: PageKind, means: WalkMeans<'_>) -> Look {
        if means.alone && kind == PageKind::Anonymous {
            return Look::Count;
        }
        // A huge page is as many pages as one page of page-table entries has: 512 of 4 KiB.
        let huge = means.page * (means.page / 8);
        let room = range.start.next_multiple_of(huge).saturating_add(huge) <= range.end;
        match means.zero_frame {
            Some(_) if !room => Look::Entries,
            _ => Look::Scan,
        }
    }
}

/// A region in which any page may be there.
fn unscanned(range: AddressRange) -> Region {
    Region {
        start: range.start,
        end: range.end,
        categories: SCAN_PRESENT,
    }
}

/// What mappings cover, in batches of [`BATCH_BYTES`].
fn batches(mappings: &[Mapping], kinds: &[PageKind], means: WalkMeans<'_>) -> Vec<Vec<Span>> {
    let mut batches: Vec<Vec<Span>> = vec![Vec::new()];
    let mut left = BATCH_BYTES;
    for (mapping, kind) in mappings.iter().zip(kinds) {
        let mut range = mapping.range;
        let look = Look::at(range, *kind, means);
        while !range.is_empty() && range.end <= USER_SPACE_END {
            let size = range.size().0.min(left);
            let part = AddressRange::sized(range.start, size);
            if let Some(batch) = batches.last_mut() {
                match batch.last_mut() {
                    Some(last) if last.range.end == part.start && last.look == look => {
                        last.range.end = part.end;
                    }
                    _ => batch.push(Span { range: part, look }),
                }
            }
            range.start += size;
            left -= size;
            if left == 0 {
                batches.push(Vec::new());
                left = BATCH_BYTES;
            }
        }
    }
    batches
}

/// Splits regions into groups to be accounted for at once: those that are counted, and others that are at most
/// `gap` bytes apart.
fn joined(regions: &[Region], gap: u64) -> impl Iterator<Item = &[Region]> {
    regions.chunk_by(move |a, b| {
        let counted = [a, b].map(|region| region.categories & COUNTED != 0);
        match counted {
            [true, true] => true,
            [false, false] => b.start.saturating_sub(a.end) <= gap,
            _ => false,
        }
    })
}

struct Account<'a> {
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

impl Account<'_> {
    /// Accounts for the pages of some neighbouring regions.
    fn group(
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
    fn counted(&mut self, region: Region) {
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

    fn finish(mut self) -> io::Result<Walked> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::parse_maps;

    #[test]
    fn batches_hold_every_byte_of_user_space_once() {
        let text = b"1000-3000 rw-p 0 00:00 0\n\
            100000000-a00000000 rw-p 0 00:00 0\n\
            ffffffffff600000-ffffffffff601000 --xp 0 00:00 0  [vsyscall]\n";
        let mappings = parse_maps(text).mappings;
        let batches = batches(&mappings, &kinds(&mappings), means(None));
        let sum: u64 = batches.iter().flatten().map(|s| s.range.size().0).sum();
        assert_eq!(sum, 0x2000 + 0x9_0000_0000);
        for batch in &batches {
            let size: u64 = batch.iter().map(|span| span.range.size().0).sum();
            assert!(size <= BATCH_BYTES);
        }
        assert!(batches.iter().flatten().map(|span| span.range).is_sorted());
    }

    fn means(zero_frame: Option<u64>) -> WalkMeans<'static> {
        WalkMeans {
            page: 4096,
            counts: None,
            zero_frame,
            alone: false,
            swap_used: false,
        }
    }

    fn kinds(mappings: &[Mapping]) -> Vec<PageKind> {
        mappings.iter().map(PageKind::of).collect()
    }

    #[test]
    fn anonymous_pages_that_nobody_else_maps_are_counted_by_scans() {
        let text = b"1000-3000 rw-p 0 00:00 0\n\
            3000-201000 r--p 0 fe:00 42 /lib/a.so\n\
            201000-901000 rw-p 0 00:00 0\n\
            901000-a01000 rw-s 0 00:01 7 /dev/zero (deleted)\n";
        let mappings = parse_maps(text).mappings;
        let means = WalkMeans {
            alone: true,
            ..means(Some(1))
        };
        let looks: Vec<Look> = batches(&mappings, &kinds(&mappings), means)
            .concat()
            .iter()
            .map(|span| span.look)
            .collect();
        assert_eq!(
            looks,
            [Look::Count, Look::Entries, Look::Count, Look::Entries]
        );
    }

    /// Neighbours too small for a huge page are one span that needs no scan, if zero pages can be
    /// told without.
    #[test]
    fn small_mappings_are_not_scanned() {
        let text = b"1000-3000 rw-p 0 00:00 0\n\
            3000-201000 r--p 0 00:00 0\n\
            3ff000-5ff000 rw-p 0 00:00 0\n\
            600000-800000 rw-p 0 00:00 0\n\
            800000-801000 rw-p 0 00:00 0\n";
        let mappings = parse_maps(text).mappings;
        let check = |zero_frame, expected: &[(u64, u64, Look)]| {
            let found: Vec<_> = batches(&mappings, &kinds(&mappings), means(zero_frame))
                .concat()
                .iter()
                .map(|span| (span.range.start, span.range.end, span.look))
                .collect();
            assert_eq!(found, expected, "{zero_frame:?}");
        };
        check(
            Some(1),
            &[
                (0x1000, 0x20_1000, Look::Entries),
                (0x3f_f000, 0x5f_f000, Look::Entries),
                (0x60_0000, 0x80_0000, Look::Scan),
                (0x80_0000, 0x80_1000, Look::Entries),
            ],
        );
        check(
            None,
            &[
                (0x1000, 0x20_1000, Look::Scan),
                (0x3f_f000, 0x5f_f000, Look::Scan),
                (0x60_0000, 0x80_1000, Look::Scan),
            ],
        );
    }

    #[test]
    fn neighbouring_regions_are_read_together() {
        let region = |start, end| Region {
            start,
            end,
            categories: SCAN_PRESENT,
        };
        let regions = [region(0, 1), region(1, 2), region(12, 13), region(40, 41)];
        let lengths = |regions: &[Region]| -> Vec<usize> {
            joined(regions, 10).map(<[Region]>::len).collect()
        };
        assert_eq!(lengths(&regions), [3, 1]);
        let mut mixed = regions;
        mixed[0].categories |= COUNTED;
        mixed[3].categories |= COUNTED;
        assert_eq!(lengths(&mixed), [1, 2, 1]);
    }
}
