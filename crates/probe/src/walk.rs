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

mod account;
mod look;

use std::io;

use plimsoll_model::{Backing, Counters, Exactness, Mapping, PageRun};

use crate::hold::HoldMeter;
use crate::pagemap::{Entry, Pagemap, Region};
use account::Account;
use look::{COUNTED, batches, joined, look};

pub(crate) use account::PageCounts;

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

/// What a walk finds besides the counters.
pub(crate) struct Walked {
    /// How exact PSS is.
    pub(crate) pss: Exactness,
    /// Resident and swapped pages of private mappings without a file, in ascending order, so that
    /// attribution need not scan them again; `None` when they are too many.
    pub(crate) anonymous: Option<Vec<PageRun>>,
}

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
    let mut account = Account::new(means, kinds, mappings);
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
        for group in joined(&regions, means.page) {
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
