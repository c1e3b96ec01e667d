//! A main arena whose brk area could not grow, and heaps that change while they are read.

use std::cell::Cell;

use plimsoll_model::{Backing, Gap, GapReason, Mapping, Page, Residency, Target};

use super::super::{claim_arenas, claim_mapped};
use super::*;
use crate::fake::{self, FakeTarget};
use crate::owners::fake_image::add_image;

const DATA: u64 = 0x7f00_0000_0000;
/// Of `main_arena` in the C library's data.
const ARENA: u64 = DATA + 0xc60;
const BRK: AddressRange = AddressRange::new(0x1000_0000, 0x1002_1000);
/// Two extensions below foreign memory, joined by the kernel.
const MAPPED: AddressRange = AddressRange::new(0x7f10_0000_0000, 0x7f10_0040_0000);
const FIRST: AddressRange = AddressRange::new(MAPPED.start + 0x10_0000, MAPPED.start + 0x20_0000);
const SECOND: AddressRange = AddressRange::new(FIRST.end, FIRST.end + 0x18_0000);

/// Chunks of `size` in use from `start` to `end`; each has its data up to the size of the next.
fn fill(target: &mut FakeTarget, start: u64, end: u64, size: u64) {
    for at in (start..end).step_by(size as usize) {
        let data = if at == start { 0 } else { 0x5A };
        target.words(at, &[data, size.min(end - at) | PREV_INUSE]);
    }
}

fn fence(target: &mut FakeTarget, end: u64) {
    target.words(end - 0x20, &[0, 0x11, 0, 0x11]);
}

/// A brk area that ends in fence posts, an extension that does too, and one with the top.
fn blocked_brk() -> FakeTarget {
    let mut target = FakeTarget::default();
    target.touch(MAPPED);
    for range in [BRK, FIRST] {
        target.touch(range);
        fill(&mut target, range.start, range.end - 0x20, 0x70);
        fence(&mut target, range.end);
    }
    let top = SECOND.end - 0x8_0000;
    fill(&mut target, SECOND.start, top, 0x1000);
    target.words(top, &[0, 0x8_0000 | PREV_INUSE]);
    describe(&mut target, top, BRK.size().0 + 0x28_0000);
    target
}

/// Writes `main_arena`, with empty bins but for one.
fn describe(target: &mut FakeTarget, top: u64, system_mem: u64) {
    let mut words = vec![0; offset::END];
    words[offset::FLAGS] = NONCONTIGUOUS << 32;
    words[offset::TOP] = top;
    for bin in 0..BINS {
        let at = offset::BINS + 2 * bin;
        let own = ARENA + 8 * at as u64 - 16;
        words[at..at + 2].fill(if bin == 40 { FIRST.start + 0x700 } else { own });
    }
    words[offset::NEXT] = ARENA;
    words[offset::SYSTEM_MEM] = system_mem;
    words[offset::MAX_SYSTEM_MEM] = system_mem;
    target.touch(AddressRange::sized(DATA, 0x2000));
    target.words(ARENA, &words);
}

struct Found {
    claims: Vec<(AddressRange, Option<(u64, u64)>)>,
    gaps: Vec<Gap>,
}

fn claim(target: &dyn Target) -> Found {
    claim_in(target, &[BRK])
}

/// With these mappings called `[heap]`.
fn claim_in(target: &dyn Target, heaps: &[AddressRange]) -> Found {
    let heaps = heaps.iter().map(|range| Mapping {
        backing: Backing::Heap,
        ..fake::anonymous(*range, range.size())
    });
    let mapped = fake::anonymous(MAPPED, MAPPED.size());
    let mut snapshot = fake::snapshot(heaps.chain([mapped]).collect());
    let data = AddressRange::sized(DATA, 0x2000);
    add_image(&mut snapshot, "/usr/lib/libc.so.6", data, &[]);
    let ground = Ground::new(&snapshot, target);
    let mut territory = Territory::default();
    claim_arenas(&ground, &mut territory);
    claim_mapped(&ground, &mut territory);
    let claims = territory
        .overlapping(AddressRange::new(0, u64::MAX))
        .map(|claim| {
            assert_eq!(claim.owner.part, "main arena");
            let used = claim.used.as_ref();
            let used = used.map(|used| (used.live.0, used.held_free.0));
            (claim.range, used)
        })
        .collect();
    Found {
        claims,
        gaps: ground.into_gaps(),
    }
}

/// The bytes of a node process whose code range lay right behind the brk area: 2.1 MiB of its main
/// arena were in the brk area, and 10.2 MiB in extensions belonged to nobody.
#[test]
fn a_main_arena_goes_on_where_brk_is_blocked() {
    let found = claim(&blocked_brk());
    let expected = [
        (BRK, Some((BRK.size().0, 0))),
        (FIRST, Some((FIRST.size().0, 0))),
        (SECOND, Some((SECOND.size().0 - 0x8_0000, 0x8_0000))),
    ];
    assert_eq!(found.claims, expected);
    assert_eq!(found.gaps, []);
}

/// What blocks brk is another's, also where the kernel has joined it to the brk area, or calls it `[heap]`.
#[test]
fn what_lies_behind_the_brk_area_is_not_its_own() {
    let behind = AddressRange::sized(BRK.end, 0x10_0000);
    let mut target = blocked_brk();
    target.touch(behind);
    target.words(behind.start, &[0, 0x71, 0x4141]);
    let expected = claim(&blocked_brk());
    let joined = AddressRange::new(BRK.start, behind.end);
    for heaps in [
        &[joined][..],
        &[BRK, behind],
        &[BRK, AddressRange::sized(behind.end, 0x1000)],
    ] {
        let found = claim_in(&target, heaps);
        assert_eq!(found.claims, expected.claims, "{heaps:?}");
        assert_eq!(found.gaps, [], "{heaps:?}");
    }
}

/// Whatever keeps an extension from being proved leaves it to nobody.
#[test]
fn an_extension_needs_all_its_proof() {
    let check = |what: &str, spoil: &dyn Fn(&mut FakeTarget), extensions: &[AddressRange]| {
        let mut target = blocked_brk();
        spoil(&mut target);
        let found = claim(&target);
        let ranges: Vec<AddressRange> = found.claims.iter().map(|(range, _)| *range).collect();
        assert_eq!(ranges[0], BRK, "{what}");
        assert_eq!(ranges[1..], *extensions, "{what}");
    };
    let word = |at: u64, value: u64| {
        move |target: &mut FakeTarget| {
            target.words(at, &[value]);
        }
    };
    let system_mem = ARENA + 8 * offset::SYSTEM_MEM as u64;
    check(
        "all of the arena is in brk",
        &word(system_mem, BRK.size().0),
        &[],
    );
    // The first 0xd00 bytes of the brk area are a static program's local storage.
    let all = BRK.size().0 + FIRST.size().0 + SECOND.size().0;
    check(
        "local storage in brk",
        &word(system_mem, all - 0xd00),
        &[FIRST, SECOND],
    );
    check("contiguous", &word(ARENA, 0), &[]);
    check("a broken bin", &word(ARENA + 8 * 100, 0x123), &[]);
    check(
        "no next arena",
        &word(ARENA + 8 * offset::NEXT as u64, 0),
        &[],
    );
    check("no fence", &word(FIRST.end - 8, 0x4141), &[SECOND]);
    check(
        "a broken chunk",
        &word(FIRST.start + 0x708, 0x4141),
        &[SECOND],
    );
    // The top is elsewhere: a chunk of the first extension.
    let elsewhere = word(ARENA + 8 * offset::TOP as u64, FIRST.start);
    check("another top", &elsewhere, &[]);
}

#[test]
fn what_is_not_found_is_told() {
    let mut target = blocked_brk();
    target.words(FIRST.end - 8, &[0x4141]);
    let found = claim(&target);
    let gap = &found.gaps[0];
    assert_eq!(gap.reason, GapReason::Changed, "{:?}", found.gaps);
    assert!(gap.detail.contains("1.00 MiB"), "{gap:?}");
}

/// A target in which the word at `at` has no sense in the first `times` copies of it.
struct Torn {
    inner: FakeTarget,
    at: u64,
    times: Cell<u32>,
}

impl Target for Torn {
    fn read(&self, address: u64, buffer: &mut [u8]) -> bool {
        let range = AddressRange::sized(address, buffer.len() as u64);
        if !self.inner.read(address, buffer) {
            return false;
        }
        let is_walk = buffer.len() > 4096;
        if is_walk && range.contains(self.at) && self.times.get() > 0 {
            self.times.set(self.times.get() - 1);
            let at = (self.at - address) as usize;
            buffer[at..at + 8].fill(0xAA);
        }
        true
    }

    fn read_each(&self, addresses: &[u64], width: usize, out: &mut Vec<u8>) -> Vec<bool> {
        self.inner.read_each(addresses, width, out)
    }

    fn residency(&self, range: AddressRange) -> Result<Residency, Gap> {
        self.inner.residency(range)
    }

    fn shared_pages(&self, range: AddressRange) -> Result<Vec<Page>, Gap> {
        self.inner.shared_pages(range)
    }
}

/// A chunk of the brk area and one of an extension that were being split when they were copied.
#[test]
fn a_chunk_that_is_torn_is_read_again() {
    for (at, index) in [(BRK.start + 100 * 0x70 + 8, 0), (FIRST.start + 0x1c08, 1)] {
        let check = |times: u32| {
            let target = Torn {
                inner: blocked_brk(),
                at,
                times: Cell::new(times),
            };
            claim(&target)
        };
        for times in 1..=4 {
            let found = check(times);
            assert_eq!(found.gaps, [], "{times} times");
            assert_eq!(found.claims.len(), 3);
            let (range, used) = found.claims[index];
            assert_eq!(used, Some((range.size().0, 0)), "{times} times");
        }
        // For good: the brk area still is malloc's, its free part is unknown; the extension is not
        // proved.
        let found = check(u32::MAX);
        assert_eq!(found.gaps.len(), 1, "{:?}", found.gaps);
        assert_eq!(found.gaps[0].reason, GapReason::Changed);
        match index {
            0 => assert_eq!(found.claims[0], (BRK, None)),
            _ => assert_eq!(found.claims.len(), 2),
        }
    }
}
