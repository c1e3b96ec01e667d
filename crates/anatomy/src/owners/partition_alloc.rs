//! PartitionAlloc (Chromium, Electron): super pages of its partitions.
//!
//! Memory is given out in super pages of 2 MiB. The metadata of each is one page of 128 entries of 32 bytes:
//! inside the super page behind a guard, or since Chromium 12x in a reservation apart, at the same distance for
//! all super pages of a pool. Its first entry names the partition and the metadata of the next extent; the
//! others, one a slot span, hold a free slot of the super page and a bucket of the partition. A super page
//! counts where all of these agree. Occupancy is not read: its bit fields differ between versions.
//!
//! Source: base/allocator/partition_allocator/src/partition_alloc/partition_page.h. Cost: one page read for
//! each writable mapping of at most two pages, in processes with code enough.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_model::{AddressRange, Kind};

use super::words;
use crate::ground::Ground;
use crate::territory::{Owner, Territory};

/// `kSuperPageSize`.
const SUPER_PAGE: u64 = 2 << 20;

/// `kPageMetadataSize` and `NumPartitionPagesPerSuperPage()`.
const ENTRY: usize = 32;
const ENTRIES: usize = 128;

/// A `PartitionRoot` with its buckets is no longer.
const ROOT_MAX: u64 = 64 << 10;

/// Metadata takes one page, or two between guards.
const METADATA_MAPPING_MAX: u64 = 8 << 10;

/// Mappings of that size looked at: super pages of 128 GiB.
const METADATA_MAX: usize = 1 << 16;

/// What a page of metadata says, not yet checked against others.
struct Metadata {
    page: u64,
    root: u64,
    /// Of its free slots, all in one; `None` where no span has a free slot.
    super_page: Option<u64>,
    /// One block that may reach over several super pages: its bucket is in the metadata itself.
    is_direct_map: bool,
}

pub(crate) fn claim(ground: &Ground<'_>, territory: &mut Territory) {
    if !ground.has_code_of(super::v8::CODE_MIN) {
        return;
    }
    let found = find_metadata(ground);
    let super_pages = locate(&found);
    let starts: Vec<u64> = super_pages.keys().copied().collect();
    for (index, (start, metadata)) in super_pages.iter().enumerate() {
        let next = starts.get(index + 1).copied().unwrap_or(words::USER_END);
        let end = match metadata.is_direct_map {
            true => next,
            false => next.min(start + SUPER_PAGE),
        };
        claim_super_page(ground, territory, metadata, AddressRange::new(*start, end));
    }
}

fn find_metadata(ground: &Ground<'_>) -> Vec<Metadata> {
    let small = ground.anonymous().filter(|mapping| {
        let permissions = mapping.permissions;
        permissions.read
            && permissions.write
            && !permissions.execute
            && mapping.range.size().0 <= METADATA_MAPPING_MAX
    });
    let mut candidates: Vec<u64> = small
        .map(|mapping| mapping.range.start)
        .take(METADATA_MAX)
        .collect();
    let mut found = Vec::new();
    words::for_each_structure(ground, &mut candidates, ENTRY * ENTRIES, |page, bytes| {
        found.extend(parse(page, bytes).filter(|metadata| is_data(ground, metadata.root)));
    });
    found
}

/// `{ root, next_extent, counts: u32, … }`, then `{ freelist_head, next_span, bucket, bits }` for each span.
fn parse(page: u64, bytes: &[u8]) -> Option<Metadata> {
    let word = |entry: usize, at: usize| words::u64_at(bytes, ENTRY * entry + 8 * at);
    let (root, next, counts, rest) = (word(0, 0), word(0, 1), word(0, 2), word(0, 3));
    let is_extent = root != 0
        && root.is_multiple_of(8)
        && root < words::USER_END
        && (next == 0 || next % SUPER_PAGE == page % SUPER_PAGE)
        && counts >> 32 == 0
        && rest == 0;
    if !is_extent {
        return None;
    }
    let in_root = root..root + ROOT_MAX;
    let in_page = page..page + (ENTRY * ENTRIES) as u64;
    let mut super_pages = BTreeSet::new();
    let (mut spans, mut direct) = (0, 0);
    for entry in 1..ENTRIES {
        let (head, bucket) = (word(entry, 0), word(entry, 2));
        spans += usize::from(in_root.contains(&bucket));
        direct += usize::from(in_page.contains(&bucket));
        let is_span = in_root.contains(&bucket) || in_page.contains(&bucket);
        if is_span && head != 0 {
            super_pages.insert(head - head % SUPER_PAGE);
        }
    }
    (spans + direct > 0 && super_pages.len() <= 1).then(|| Metadata {
        page,
        root,
        super_page: super_pages.first().copied(),
        is_direct_map: direct > 0 && spans == 0,
    })
}

/// Partitions are static data of the program, or lie in memory that it allocated.
fn is_data(ground: &Ground<'_>, root: u64) -> bool {
    ground
        .mapping_at(root)
        .is_some_and(|mapping| mapping.permissions.write && !mapping.permissions.shared)
}

/// Super pages by address. Where a page of metadata has no free slot to tell its own, the distance is that of
/// another one of the same partition, if all of those agree.
fn locate(found: &[Metadata]) -> BTreeMap<u64, &Metadata> {
    let mut distances: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for metadata in found {
        if let Some(super_page) = metadata.super_page {
            let distance = metadata.page.wrapping_sub(super_page);
            distances.entry(metadata.root).or_default().insert(distance);
        }
    }
    let mut super_pages = BTreeMap::new();
    for metadata in found {
        let Some(known) = distances.get(&metadata.root) else {
            continue;
        };
        let start = match (metadata.super_page, known.first()) {
            (Some(super_page), _) => super_page,
            (None, Some(distance)) if known.len() == 1 => metadata.page.wrapping_sub(*distance),
            _ => continue,
        };
        if start != 0 && start.is_multiple_of(SUPER_PAGE) && start < words::USER_END {
            super_pages.insert(start, metadata);
        }
    }
    super_pages
}

/// What of a super page may be written: all but guards. A block that was mapped for itself goes on as far as
/// its mapping does.
fn claim_super_page(
    ground: &Ground<'_>,
    territory: &mut Territory,
    metadata: &Metadata,
    range: AddressRange,
) {
    let owner = || Owner {
        kind: Kind::Heap,
        component: "PartitionAlloc".into(),
        part: match metadata.is_direct_map {
            true => format!("large blocks of partition {:x}", metadata.root),
            false => format!("partition {:x}", metadata.root),
        },
        evidence: "super page and metadata that name each other",
    };
    let first = AddressRange::new(range.start, range.start + SUPER_PAGE);
    for mapping in ground.mappings_within(range) {
        let is_plain = mapping.is_anonymous_private() && mapping.permissions.write;
        // A later mapping would belong to another super page.
        let is_of_it = mapping.range.start < first.end;
        if is_plain && is_of_it {
            for free in territory.unclaimed_within(mapping.range.intersection(range)) {
                territory.claim(free, owner());
            }
        }
    }
    let page = AddressRange::sized(metadata.page, (ENTRY * ENTRIES) as u64);
    for free in territory.unclaimed_within(page) {
        territory.claim(
            free,
            Owner {
                part: "metadata".into(),
                ..owner()
            },
        );
    }
}

#[cfg(test)]
mod tests;
