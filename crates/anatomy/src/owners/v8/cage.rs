//! V8 with pointer compression and its sandbox (Chromium): pages in a cage of 4 GiB.
//!
//! A page's header is its flags and its number, which is its place in the cage in units of 256 KiB; a page of
//! the trusted cage adds 16,384. The metadata that it stands for can't be found from outside. A cage counts
//! where at least four pages state their place in it and the whole of it is one reservation; as that is V8's
//! alone, all of it is claimed. Occupancy is not read. Source: src/heap/memory-chunk.h, V8 13 to 15.

use std::collections::BTreeMap;

use plimsoll_model::{AddressRange, Kind, Mapping};

use super::{ALIGNMENT, PAGES_TOGETHER};
use crate::ground::Ground;
use crate::owners::words;
use crate::territory::{Owner, Territory};

/// `kPtrComprCageReservationSize`.
const CAGE: u64 = 4 << 30;

/// `kTrustedSpaceMetadataOffset`: what the numbers of trusted pages are above those of others.
const TRUSTED: u64 = CAGE / ALIGNMENT;

/// Pages that state where they are in a cage.
#[derive(Default)]
struct Witnesses {
    pages: usize,
    trusted: usize,
    last: u64,
}

pub(super) fn claim(ground: &Ground<'_>, territory: &mut Territory, mut pages: Vec<u64>) {
    let mut cages: BTreeMap<u64, Witnesses> = BTreeMap::new();
    words::for_each_structure(ground, &mut pages, 16, |page, header| {
        let (flags, number) = (words::u64_at(header, 0), words::u64_at(header, 8));
        let place = page % CAGE / ALIGNMENT;
        // The first page's number would be that of any two zeros.
        if place == 0 || flags > u64::from(u32::MAX) || number % TRUSTED != place {
            return;
        }
        let cage = cages.entry(page - page % CAGE).or_default();
        match number / TRUSTED {
            0 => cage.pages += 1,
            1 => cage.trusted += 1,
            _ => return,
        }
        cage.last = cage.last.max(page);
    });
    // The trusted cage may have one page alone; it is never there without the other one.
    let is_main = |cage: &Witnesses| cage.pages >= PAGES_TOGETHER;
    if !cages.values().any(is_main) {
        return;
    }
    for (start, cage) in &cages {
        if is_main(cage) || cage.trusted > 0 {
            claim_cage(ground, territory, *start, cage);
        }
    }
}

fn claim_cage(ground: &Ground<'_>, territory: &mut Territory, start: u64, cage: &Witnesses) {
    let reserved = reserved_from(ground, start);
    if reserved
        .last()
        .is_none_or(|last| last.range.end <= cage.last)
    {
        return;
    }
    for mapping in reserved.iter().filter(|mapping| mapping.permissions.read) {
        let (kind, component, part) = match () {
            () if mapping.permissions.execute => (Kind::Jit, "V8 code", "compiled code"),
            () if !mapping.permissions.write => (Kind::Runtime, "V8 heap", "read-only objects"),
            () if cage.trusted > 0 => (Kind::Runtime, "V8 heap", "trusted objects"),
            () => (Kind::Runtime, "V8 heap", "pages of a cage"),
        };
        let range = mapping.range.intersection(AddressRange::sized(start, CAGE));
        for free in territory.unclaimed_within(range) {
            territory.claim(
                free,
                Owner {
                    kind,
                    component: component.into(),
                    part: part.into(),
                    evidence: "V8 pages that state their place in a cage",
                },
            );
        }
    }
}

/// Private memory without a file from the start of a cage on, without a gap.
fn reserved_from<'a>(ground: &Ground<'a>, start: u64) -> Vec<&'a Mapping> {
    let mut next = start;
    let mut reserved = Vec::new();
    for mapping in ground.mappings_within(AddressRange::sized(start, CAGE)) {
        if !mapping.is_anonymous_private() || mapping.range.start > next {
            break;
        }
        next = mapping.range.end;
        reserved.push(mapping);
    }
    reserved
}
