//! musl's mallocng (src/malloc/mallocng/meta.h, musl 1.2.1 and later).
//!
//! Metadata lies in pages of the brk area that start with a secret, the same in each; a page
//! describes up to 101 groups, and each group starts with a pointer back to its description.
//! Groups with a map length of their own are whole mappings; the others lie inside slots of
//! larger groups. Older musl is not read. Cost: the brk area, and one word per group.

use std::collections::BTreeMap;

use plimsoll_model::{AddressRange, Backing, Bytes, Kind, Used};

use super::words;
use crate::ground::Ground;
use crate::territory::{Claim, Owner, Territory};

/// In the symbol table of static programs; the loader is stripped of it.
pub(crate) const SYMBOLS: &[&str] = &["__malloc_context"];

/// Bytes of brk area searched for pages of metadata: enough for 500 GiB of groups.
const BRK_MAX: u64 = 64 << 20;

const PAGE: usize = 4096;
/// `struct meta_area { check, next, nslots, slots }`.
const AREA_HEADER: usize = 24;
/// `struct meta { prev, next, mem, avail_mask, freed_mask, flags }`.
const META: usize = 40;
const SLOTS: usize = (PAGE - AREA_HEADER) / META;
/// `UNIT`.
const UNIT: u64 = 16;

/// `__malloc_size_classes`, in units.
const SIZE_CLASSES: [u64; 48] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 18, 20, 25, 31, 36, 42, 50, 63, 72, 84, 102, 127, 146,
    170, 204, 255, 292, 340, 409, 511, 584, 682, 818, 1023, 1169, 1364, 1637, 2047, 2340, 2730,
    3276, 4095, 4680, 5460, 6552, 8191,
];

/// A group of slots: where it lies, and how full it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Group {
    meta: u64,
    start: u64,
    /// Of its own mapping; `None` inside a slot of another group.
    mapped: Option<u64>,
    stride: u64,
    used: u64,
    free: u64,
}

impl Group {
    fn parse(meta: u64, bytes: &[u8]) -> Option<Group> {
        let start = words::u64_at(bytes, 16);
        let free_mask = words::u32_at(bytes, 24) | words::u32_at(bytes, 28);
        let flags = words::u64_at(bytes, 32);
        let last = flags & 31;
        let class = (flags >> 6 & 63) as usize;
        let pages = flags >> 12;
        let is_group = start != 0
            && start.is_multiple_of(UNIT)
            && start < words::USER_END
            && pages < 1 << 35
            && u64::from(free_mask) >> last <= 1;
        if !is_group {
            return None;
        }
        let mapped = pages * PAGE as u64;
        let stride = match SIZE_CLASSES.get(class) {
            _ if last == 0 && pages > 0 => mapped - UNIT,
            Some(units) => units * UNIT,
            None => return None,
        };
        let slots = last + 1;
        let free = u64::from(free_mask.count_ones());
        let is_inside = pages == 0 || UNIT + slots * stride <= mapped;
        is_inside.then_some(Group {
            meta,
            start,
            mapped: (pages > 0).then_some(mapped),
            stride,
            used: slots.saturating_sub(free),
            free,
        })
    }
}

pub(crate) fn claim(ground: &Ground<'_>, territory: &mut Territory) {
    let is_loaded_by_musl = ground.executable().is_some_and(|(_, image)| {
        image
            .interpreter
            .as_deref()
            .is_some_and(|interpreter| interpreter.contains("/ld-musl-"))
    });
    if ground.symbol(SYMBOLS).is_none() && !is_loaded_by_musl {
        return;
    }
    let (areas, groups) = find_groups(ground);
    for area in areas {
        territory.claim(
            AddressRange::sized(area, PAGE as u64),
            owner("metadata", "mallocng metadata pages with one secret"),
        );
    }
    claim_groups(ground, territory, &groups);
}

/// Pages of metadata, and the groups in them that point back.
fn find_groups(ground: &Ground<'_>) -> (Vec<u64>, Vec<Group>) {
    let mut by_secret: BTreeMap<u64, (Vec<u64>, Vec<Group>)> = BTreeMap::new();
    for mapping in &ground.snapshot.mappings {
        if mapping.backing != Backing::Heap {
            continue;
        }
        words::for_each_resident(ground, mapping.range, BRK_MAX, |start, bytes| {
            for (index, page) in bytes.chunks_exact(PAGE).enumerate() {
                let area = start + (index * PAGE) as u64;
                if let Some((secret, groups)) = parse_area(area, page) {
                    let (areas, all) = by_secret.entry(secret).or_default();
                    areas.push(area);
                    all.extend(groups);
                }
            }
        });
    }
    let mut best = (Vec::new(), Vec::new());
    for (areas, mut groups) in by_secret.into_values() {
        let mut starts: Vec<u64> = groups.iter().map(|group| group.start).collect();
        let mut metas: BTreeMap<u64, u64> = BTreeMap::new();
        words::for_each_structure(ground, &mut starts, 8, |start, word| {
            metas.insert(start, words::u64_at(word, 0));
        });
        groups.retain(|group| metas.get(&group.start) == Some(&group.meta));
        if groups.len() > best.1.len() {
            best = (areas, groups);
        }
    }
    best
}

fn parse_area(area: u64, page: &[u8]) -> Option<(u64, Vec<Group>)> {
    let secret = words::u64_at(page, 0);
    let next = words::u64_at(page, 8);
    let slots = words::u32_at(page, 16) as usize;
    let is_area = secret != 0
        && next.is_multiple_of(PAGE as u64)
        && next < words::USER_END
        && (1..=SLOTS).contains(&slots);
    is_area.then(|| {
        let groups = (0..slots).filter_map(|slot| {
            let at = AREA_HEADER + slot * META;
            Group::parse(area + at as u64, &page[at..at + META])
        });
        (secret, groups.collect())
    })
}

/// Claims whole mappings of groups. Free slots of the groups nested in them are not live.
fn claim_groups(ground: &Ground<'_>, territory: &mut Territory, groups: &[Group]) {
    let mut mapped: BTreeMap<u64, (u64, u64, u64)> = BTreeMap::new();
    for group in groups {
        if let Some(size) = group.mapped {
            let live = group.used * group.stride;
            mapped.insert(group.start, (size, live, group.free * group.stride));
        }
    }
    for group in groups.iter().filter(|group| group.mapped.is_none()) {
        let around = mapped.range_mut(..=group.start).next_back();
        if let Some((start, (size, live, free))) = around
            && group.start < start + *size
        {
            let nested_free = (group.free * group.stride).min(*live);
            *live -= nested_free;
            *free += nested_free;
        }
    }
    for (start, (size, live, free)) in mapped {
        let range = AddressRange::sized(start, size);
        if !start.is_multiple_of(PAGE as u64) || !ground.is_anonymous_memory(range) {
            continue;
        }
        let resident = ground.residency(range).resident_within(range).0;
        let live = live.min(resident);
        territory.claim_with(Claim {
            range,
            owner: owner(
                "blocks",
                "mallocng groups and descriptions that name each other",
            ),
            used: Some(Used {
                live: Bytes(live),
                held_free: Bytes(free.min(resident - live)),
                method: "mallocng slot masks".into(),
            }),
        });
    }
}

fn owner(part: &str, evidence: &'static str) -> Owner {
    Owner {
        kind: Kind::Heap,
        component: "musl malloc".into(),
        part: part.into(),
        evidence,
    }
}

#[cfg(test)]
mod tests;
