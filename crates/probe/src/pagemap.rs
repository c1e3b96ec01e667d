//! Page residency of a process: the PAGEMAP_SCAN ioctl in small paced steps (kernel 6.7 and
//! later), else /proc/PID/pagemap; and the entries of pagemap themselves.
//!
//! Structures: include/uapi/linux/fs.h. Bits of an entry: Documentation/admin-guide/mm/pagemap.rst.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use plimsoll_model::AddressRange;

use crate::hold::{HoldMeter, STEP_HOLD};

/// Categories of PAGEMAP_SCAN.
pub(crate) const SCAN_FILE: u64 = 1 << 2;
pub(crate) const SCAN_PRESENT: u64 = 1 << 3;
pub(crate) const SCAN_SWAPPED: u64 = 1 << 4;
pub(crate) const SCAN_ZERO: u64 = 1 << 5;
pub(crate) const SCAN_HUGE: u64 = 1 << 6;
/// Guard regions (MADV_GUARD_INSTALL), which also read as swapped; kernel 6.15 and later.
pub(crate) const SCAN_GUARD: u64 = 1 << 8;

/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: libc::Ioctl = 0xc060_6610_u32 as libc::Ioctl;

#[repr(C)]
#[derive(Debug, Default)]
struct ScanArgument {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `struct page_region`: adjacent pages of the same categories.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) categories: u64,
}

/// One entry of pagemap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry(pub(crate) u64);

impl Entry {
    /// The bits that the questions below are answered by, all but the frame.
    pub(crate) fn state(self) -> u64 {
        self.0 & (0b111 << 61 | 1 << 58 | 1 << 56)
    }

    pub(crate) fn present(self) -> bool {
        self.0 & 1 << 63 != 0
    }

    pub(crate) fn swapped(self) -> bool {
        // Guard regions are marked with bit 58 and read as swapped too (kernel 6.15).
        self.0 & 1 << 62 != 0 && self.0 & 1 << 58 == 0
    }

    /// A file's or shared memory's page, not an anonymous one.
    pub(crate) fn file(self) -> bool {
        self.0 & 1 << 61 != 0
    }

    /// Mapped once only.
    pub(crate) fn exclusive(self) -> bool {
        self.0 & 1 << 56 != 0
    }

    /// Physical frame; `None` when it is hidden (no CAP_SYS_ADMIN: the kernel gives 0).
    pub(crate) fn frame(self) -> Option<u64> {
        let frame = self.0 & ((1 << 55) - 1);
        (self.present() && frame != 0).then_some(frame)
    }
}

/// Regions that one call returns at most: 12 KiB, twice what the kernel gathers before it copies
/// out (PAGEMAP_SCAN's internal vector), so that a step is bound by pages and not by this.
const REGIONS_MAX: usize = 512;
/// A step ends after this many matching pages: between 2 and 64 MiB of small pages. At some 11 ns
/// a page the largest step holds the lock for about 0.2 ms, once, before it is halved.
const STEP_PAGES: std::ops::RangeInclusive<u64> = 512..=16_384;
const STEP_PAGES_START: u64 = 1024;
/// A step covers at most this much address space of mappings: page tables that hold nothing any
/// more cost 2-3 ns a page to look through.
const STEP_SPAN: std::ops::RangeInclusive<u64> = 4 << 20..=256 << 20;
/// After so many steps of the largest span without a page, spans double: reservations of
/// terabytes (JVM, sanitizers) have no page tables to walk.
const EMPTY_STEPS: u32 = 16;

/// How to look at residency on this kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScanMeans {
    /// PAGEMAP_SCAN; `guard` when it knows guard regions.
    Scan { guard: bool },
    /// Entries of pagemap; zero pages are told by their frame when that is visible.
    Entries { zero_frame: Option<u64> },
}

/// Walks residency and entries of one process. Memory cost: 20 KiB.
#[derive(Debug)]
pub(crate) struct Pagemap {
    file: File,
    page: u64,
    means: ScanMeans,
    regions: Vec<Region>,
    entries: Vec<u8>,
    step_pages: u64,
    step_span: u64,
    empty_steps: u32,
}

impl Pagemap {
    pub(crate) fn new(file: File, page: u64, means: ScanMeans) -> Pagemap {
        Pagemap {
            file,
            page,
            means,
            regions: vec![Region::default(); REGIONS_MAX],
            entries: vec![0; ENTRIES_STEP * 8],
            step_pages: STEP_PAGES_START,
            step_span: *STEP_SPAN.start(),
            empty_steps: 0,
        }
    }

    /// Visits present and swapped pages of `ranges` (ascending, not overlapping) as regions, in
    /// order. Zero pages and guard pages are left out. A region may reach over the border of two
    /// adjoining ranges, and over what lies between two ranges: clip it.
    ///
    /// `wanted` adds to what is told: [`SCAN_FILE`] costs a look at every page's descriptor.
    pub(crate) fn scan(
        &mut self,
        ranges: &[AddressRange],
        wanted: u64,
        meter: &mut HoldMeter,
        visit: &mut dyn FnMut(Region),
    ) -> io::Result<()> {
        match self.means {
            ScanMeans::Scan { guard } => self.scan_by_ioctl(ranges, wanted, guard, meter, visit),
            ScanMeans::Entries { zero_frame } => {
                for range in ranges {
                    self.scan_by_entries(*range, zero_frame, meter, visit)?;
                }
                Ok(())
            }
        }
    }

    fn scan_by_ioctl(
        &mut self,
        ranges: &[AddressRange],
        wanted: u64,
        guard: bool,
        meter: &mut HoldMeter,
        visit: &mut dyn FnMut(Region),
    ) -> io::Result<()> {
        let guard = if guard { SCAN_GUARD } else { 0 };
        let returned =
            SCAN_PRESENT | SCAN_SWAPPED | SCAN_ZERO | guard | (wanted & (SCAN_FILE | SCAN_HUGE));
        let mut regions = std::mem::take(&mut self.regions);
        let mut result = Ok(());
        let mut next = first_step(ranges, 0, 0, self.step_span);
        while let Some(step) = next {
            let (answer, took) =
                meter.hold(|| scan_once(&self.file, step, self.step_pages, returned, &mut regions));
            let (count, walk_end) = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            };
            for region in &regions[..count] {
                if region.categories & (SCAN_ZERO | guard) == 0 {
                    visit(*region);
                }
            }
            self.adapt(took, count == 0, walk_end < step.range.end);
            meter.pause_between_steps();
            next = first_step(
                ranges,
                step.index,
                walk_end.max(step.range.start + self.page),
                self.step_span,
            );
        }
        self.regions = regions;
        result
    }

    /// Sizes the next step by what the last one took.
    fn adapt(&mut self, took: Duration, empty: bool, cut: bool) {
        let (low, high) = (*STEP_SPAN.start(), *STEP_SPAN.end());
        self.empty_steps = if empty { self.empty_steps + 1 } else { 0 };
        if took > STEP_HOLD {
            self.step_pages = (self.step_pages / 2).max(*STEP_PAGES.start());
            self.step_span = (self.step_span / 2).clamp(low, high);
        } else if took < STEP_HOLD / 3 {
            if cut {
                self.step_pages = (self.step_pages * 2).min(*STEP_PAGES.end());
            } else if self.step_span < high {
                self.step_span *= 2;
            } else if self.empty_steps >= EMPTY_STEPS {
                self.step_span = self.step_span.saturating_mul(2);
            }
        }
        if !empty {
            self.step_span = self.step_span.min(high);
        }
    }

    fn scan_by_entries(
        &mut self,
        range: AddressRange,
        zero_frame: Option<u64>,
        meter: &mut HoldMeter,
        visit: &mut dyn FnMut(Region),
    ) -> io::Result<()> {
        let page = self.page;
        let mut open = Region::default();
        self.entries(range, meter, &mut |address, entry| {
            let zero = zero_frame.is_some() && entry.frame() == zero_frame;
            let mut categories = 0;
            if entry.present() && !zero {
                categories = SCAN_PRESENT | if entry.file() { SCAN_FILE } else { 0 };
            } else if entry.swapped() {
                categories = SCAN_SWAPPED;
            }
            if categories != open.categories || address != open.end {
                if open.categories != 0 {
                    visit(open);
                }
                open = Region {
                    start: address,
                    end: address,
                    categories,
                };
            }
            open.end = address + page;
        })?;
        if open.categories != 0 {
            visit(open);
        }
        Ok(())
    }

    /// Visits the entry of every page of `range`, present or not.
    pub(crate) fn entries(
        &mut self,
        range: AddressRange,
        meter: &mut HoldMeter,
        visit: &mut impl FnMut(u64, Entry),
    ) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.entries);
        let mut address = range.start;
        let mut result = Ok(());
        while address < range.end {
            // The kernel takes the lock once for each 2 MiB of address space (PAGEMAP_WALK_SIZE
            // is PMD_SIZE in fs/proc/task_mmu.c): a call that stays within one is one hold.
            let step = self.page * ENTRIES_STEP as u64;
            let end = range.end.min((address / step + 1) * step);
            let bytes = (end - address) / self.page * 8;
            let part = &mut buffer[..usize::try_from(bytes).unwrap_or(ENTRIES_STEP * 8)];
            let (read, _) = meter.hold(|| self.file.read_at(part, address / self.page * 8));
            meter.bytes_read += bytes;
            match read {
                Ok(0) => break,
                Ok(length) => {
                    for entry in part[..length].chunks_exact(8) {
                        let entry = entry.try_into().map_or(0, u64::from_ne_bytes);
                        visit(address, Entry(entry));
                        address += self.page;
                    }
                }
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
            meter.pause_between_steps();
        }
        self.entries = buffer;
        result
    }

    /// The entry of one page, or `None` when it can't be read.
    pub(crate) fn entry(&self, address: u64, meter: &mut HoldMeter) -> Option<Entry> {
        let mut entry = [0; 8];
        let at = address / self.page * 8;
        let (read, _) = meter.hold(|| self.file.read_exact_at(&mut entry, at));
        meter.pause_between_steps();
        read.ok().map(|()| Entry(u64::from_ne_bytes(entry)))
    }
}

/// Entries read at once: 2 MiB of small pages.
const ENTRIES_STEP: usize = 512;

#[derive(Clone, Copy, Debug)]
struct Step {
    range: AddressRange,
    /// The range that it starts in, to go on from.
    index: usize,
}

/// The step that starts at `from` or after it and covers up to `span` bytes of ranges; what lies
/// between ranges costs nothing.
fn first_step(ranges: &[AddressRange], mut index: usize, from: u64, span: u64) -> Option<Step> {
    while ranges.get(index)?.end <= from {
        index += 1;
    }
    let start = ranges[index].start.max(from);
    let mut left = span;
    let mut end = start;
    for range in &ranges[index..] {
        let part = range.end - range.start.max(start);
        end = range.start.max(start) + part.min(left);
        left -= part.min(left);
        if left == 0 {
            break;
        }
    }
    Some(Step {
        range: AddressRange { start, end },
        index,
    })
}

/// One call: how many regions it gave, and where it stopped.
fn scan_once(
    file: &File,
    step: Step,
    max_pages: u64,
    returned: u64,
    regions: &mut [Region],
) -> io::Result<(usize, u64)> {
    let mut argument = ScanArgument {
        size: size_of::<ScanArgument>() as u64,
        start: step.range.start,
        end: step.range.end,
        vec: regions.as_mut_ptr() as u64,
        vec_len: regions.len() as u64,
        max_pages,
        category_anyof_mask: SCAN_PRESENT | SCAN_SWAPPED,
        return_mask: returned,
        ..ScanArgument::default()
    };
    // SAFETY: the argument is laid out as struct pm_scan_arg and lives through the call; `vec`
    // and `vec_len` are those of a live slice of page regions, which the kernel fills.
    let count = unsafe { libc::ioctl(file.as_raw_fd(), PAGEMAP_SCAN, &raw mut argument) };
    match usize::try_from(count) {
        Ok(count) => Ok((count.min(regions.len()), argument.walk_end)),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// One unpaced scan of a range of ours, for the trial of the facility.
pub(crate) fn trial_scan(
    file: &File,
    range: AddressRange,
    returned: u64,
) -> io::Result<Vec<Region>> {
    let mut regions = vec![Region::default(); 64];
    let step = Step { range, index: 0 };
    let (count, _) = scan_once(file, step, 0, returned, &mut regions)?;
    regions.truncate(count);
    Ok(regions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_cover_the_ranges_and_skip_what_is_between() {
        let ranges = [(0x1000, 0x3000), (0x3000, 0x4000), (0x9000, 0xf000)]
            .map(|(start, end)| AddressRange { start, end });
        let check = |from, span, expected: Option<(u64, u64)>| {
            let step = first_step(&ranges, 0, from, span).map(|s| (s.range.start, s.range.end));
            assert_eq!(step, expected, "from {from:x} span {span:x}");
        };
        check(0, 0x1000, Some((0x1000, 0x2000)));
        check(0x2000, 0x2000, Some((0x2000, 0x4000)));
        check(0x2000, 0x3000, Some((0x2000, 0xa000)));
        check(0x5000, 0x100_0000, Some((0x9000, 0xf000)));
        check(0xf000, 0x1000, None);
    }

    #[test]
    fn entries_are_read_by_their_bits() {
        let present = Entry(1 << 63 | 1 << 56 | 42);
        assert!(present.present() && present.exclusive() && !present.file());
        assert_eq!(present.frame(), Some(42));
        assert_eq!(Entry(1 << 63).frame(), None);
        assert!(Entry(1 << 62 | 7).swapped());
        assert!(!Entry(1 << 62 | 1 << 58).swapped());
        assert_eq!(Entry(1 << 62 | 7).frame(), None);
    }
}
