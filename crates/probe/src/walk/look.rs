//! How to look at which part of address space, so that no page is asked for more than is not known of it.

use std::io;

use plimsoll_model::{AddressRange, Mapping};

use super::{PageKind, USER_SPACE_END, WalkMeans};
use crate::hold::HoldMeter;
use crate::pagemap::{Pagemap, Region, SCAN_HUGE, SCAN_PRESENT};

/// Address space scanned before its pages are looked at one by one. Bounds the regions held:
/// half a million for alternating pages, 12 MiB; real heaps stay a hundred times below.
const BATCH_BYTES: u64 = 4 << 30;

/// Regions closer than this are read from pagemap in one call: 64 entries cost less than a call.
const JOIN_PAGES: u64 = 64;

/// Adds what is found in neighbouring spans of one look, in ascending order.
pub(super) fn look(
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
pub(super) const COUNTED: u64 = 1 << 63;

/// A part of address space without a hole, to be looked at in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    range: AddressRange,
    pub(super) look: Look,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
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
pub(super) fn batches(
    mappings: &[Mapping],
    kinds: &[PageKind],
    means: WalkMeans<'_>,
) -> Vec<Vec<Span>> {
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

/// Splits regions into groups to be accounted for at once: those that are counted, and others that lie close.
pub(super) fn joined(regions: &[Region], page: u64) -> impl Iterator<Item = &[Region]> {
    let gap = page * JOIN_PAGES;
    regions.chunk_by(move |a, b| {
        let counted = [a, b].map(|region| region.categories & COUNTED != 0);
        match counted {
            [true, true] => true,
            [false, false] => b.start.saturating_sub(a.end) <= gap,
            _ => false,
        }
    })
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
        let regions = [region(0, 1), region(1, 2), region(66, 67), region(132, 133)];
        let lengths = |regions: &[Region]| -> Vec<usize> {
            joined(regions, 1).map(<[Region]>::len).collect()
        };
        assert_eq!(lengths(&regions), [3, 1]);
        let mut mixed = regions;
        mixed[0].categories |= COUNTED;
        mixed[3].categories |= COUNTED;
        assert_eq!(lengths(&mixed), [1, 2, 1]);
    }
}
