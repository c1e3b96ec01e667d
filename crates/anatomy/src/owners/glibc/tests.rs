//! Arenas and blocks on made-up memory, look-alikes included.

use plimsoll_model::Backing;

use proptest::prelude::*;

use super::chunk_walk::{IS_MMAPPED, PREV_INUSE};
use super::*;
use crate::fake::{self, FakeTarget};

const BASE: u64 = 0x7f10_0000_0000;

fn large_blocks(mappings: Vec<plimsoll_model::Mapping>, target: &FakeTarget) -> Vec<(u64, u64)> {
    let snapshot = fake::snapshot(mappings);
    let ground = Ground::new(&snapshot, target);
    let mut territory = Territory::default();
    claim_mapped(&ground, &mut territory);
    territory
        .overlapping(AddressRange::new(0, u64::MAX))
        .map(|claim| (claim.range.start - BASE, claim.range.size().0))
        .collect()
}

fn mapping(start: u64, size: u64) -> plimsoll_model::Mapping {
    fake::anonymous(AddressRange::sized(BASE + start, size), Bytes::kib(4))
}

#[test]
fn blocks_in_a_row_are_told_apart() {
    let mut target = FakeTarget::default();
    target.words(BASE, &[0, 0x10_0000 | IS_MMAPPED]);
    target.words(BASE + 0x10_0000, &[0, 0x20_0000 | IS_MMAPPED]);
    let found = large_blocks(vec![mapping(0, 0x30_0000)], &target);
    assert_eq!(found, [(0, 0x10_0000), (0x10_0000, 0x20_0000)]);
}

/// numpy asks for huge pages inside a block, which splits the mapping from its header.
#[test]
fn a_block_reaches_over_split_mappings() {
    let mut target = FakeTarget::default();
    target.words(BASE, &[0, 0x40_0000 | IS_MMAPPED]);
    let mappings = vec![
        mapping(0, 0x1000),
        mapping(0x1000, 0x20_0000),
        mapping(0x20_1000, 0x1f_f000),
    ];
    assert_eq!(large_blocks(mappings, &target), [(0, 0x40_0000)]);
}

#[test]
fn aligned_blocks_have_their_header_further_in() {
    for alignment in [64_u64, 4096, 2 << 20] {
        let mut target = FakeTarget::default();
        let lead = (BASE + 0x3000 + 16).next_multiple_of(alignment) - 16 - (BASE + 0x3000);
        let total = (lead + 0x10_0000).next_multiple_of(0x1000);
        target.words(BASE + 0x3000 + lead, &[lead, (total - lead) | IS_MMAPPED]);
        let found = large_blocks(vec![mapping(0x3000, total)], &target);
        assert_eq!(found, [(0x3000, total)], "alignment {alignment}");
    }
}

/// Blocks of calloc, aligned_alloc(4096) and aligned_alloc(64) that the kernel has joined.
#[test]
fn aligned_blocks_follow_one_another() {
    let mut target = FakeTarget::default();
    target.words(BASE, &[0, 0x80_1000 | IS_MMAPPED]);
    target.touch(AddressRange::sized(BASE + 0x80_1000, 0x100_4000));
    let aligned = BASE + 0x80_1000;
    target.words(aligned + 0xff0, &[0xff0, 0x80_1010 | IS_MMAPPED]);
    target.words(aligned + 0x80_2000 + 0x30, &[0x30, 0x80_0fd0 | IS_MMAPPED]);
    let mappings = vec![mapping(0, 0x1000), mapping(0x1000, 0x180_3000)];
    let found = large_blocks(mappings, &target);
    let expected = [
        (0, 0x80_1000),
        (0x80_1000, 0x80_2000),
        (0x100_3000, 0x80_1000),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_block_above_foreign_memory_is_found() {
    let mut target = FakeTarget::default();
    target.words(BASE, &[7, 7]);
    target.words(BASE + 0x3000, &[0, 0x10_0000 | IS_MMAPPED]);
    let found = large_blocks(vec![mapping(0, 0x10_3000)], &target);
    assert_eq!(found, [(0x3000, 0x10_0000)]);
}

#[test]
fn data_that_looks_like_a_header_claims_nothing() {
    let mut target = FakeTarget::default();
    // Fits the mapping but ends at no boundary.
    target.words(BASE, &[0, 0x10_0000 | IS_MMAPPED]);
    target.touch(AddressRange::sized(BASE + 0x10_0000, 0x1000));
    assert_eq!(large_blocks(vec![mapping(0, 0x20_0000)], &target), []);
    // Reaches beyond the mapping.
    target.words(BASE, &[0, 0x40_0000 | IS_MMAPPED]);
    assert_eq!(large_blocks(vec![mapping(0, 0x20_0000)], &target), []);
}

/// A small brk heap: three live blocks, a free one, the top.
fn brk_heap(target: &mut FakeTarget) -> plimsoll_model::Mapping {
    let range = AddressRange::sized(BASE, 0x2_1000);
    target.touch(range);
    let sizes = [0x290_u64, 0x1000, 0x2000, 0x20];
    let mut at = BASE;
    let mut previous_in_use = PREV_INUSE;
    for (index, size) in sizes.into_iter().enumerate() {
        target.words(at + 8, &[size | previous_in_use]);
        previous_in_use = if index == 2 { 0 } else { PREV_INUSE };
        at += size;
    }
    target.words(at + 8, &[(range.end - at) | PREV_INUSE]);
    plimsoll_model::Mapping {
        backing: Backing::Heap,
        ..fake::anonymous(range, range.size())
    }
}

#[test]
fn the_chunk_walk_tells_live_from_free() {
    let mut target = FakeTarget::default();
    let snapshot = fake::snapshot(vec![brk_heap(&mut target)]);
    let ground = Ground::new(&snapshot, &target);
    let mut territory = Territory::default();
    claim_arenas(&ground, &mut territory);
    let claim = territory
        .overlapping(AddressRange::new(0, u64::MAX))
        .next()
        .unwrap();
    let used = claim.used.as_ref().unwrap();
    assert_eq!(claim.owner.part, "main arena");
    assert_eq!(used.live, Bytes(0x290 + 0x1000 + 0x20));
    assert_eq!(used.live + used.held_free, Bytes(0x2_1000));
}

#[test]
fn a_brk_area_of_another_allocator_is_not_glibc() {
    let mut target = FakeTarget::default();
    let range = AddressRange::sized(BASE, 0x2_1000);
    target.touch(range);
    target.words(BASE, &[0x1234_5678, 0xffff_ffff_0001, 3, 4]);
    let heap = plimsoll_model::Mapping {
        backing: Backing::Heap,
        ..fake::anonymous(range, range.size())
    };
    let snapshot = fake::snapshot(vec![heap]);
    let ground = Ground::new(&snapshot, &target);
    let mut territory = Territory::default();
    claim_arenas(&ground, &mut territory);
    assert!(
        territory
            .overlapping(AddressRange::new(0, u64::MAX))
            .next()
            .is_none()
    );
}

#[test]
fn thread_arenas_are_proved_by_their_descriptor() {
    let heap = 0x7f20_0000_0000_u64;
    let check = |words: [u64; 4], expected: usize| {
        let mut target = FakeTarget::default();
        target.words(heap, &words);
        let range = AddressRange::sized(heap, 0x10_0000);
        let snapshot = fake::snapshot(vec![fake::anonymous(range, Bytes::kib(4))]);
        let ground = Ground::new(&snapshot, &target);
        let mut territory = Territory::default();
        claim_arenas(&ground, &mut territory);
        let found = territory
            .overlapping(AddressRange::new(0, u64::MAX))
            .count();
        assert_eq!(found, expected, "{words:x?}");
    };
    check([heap + 0x30, 0, 0x2_1000, 0x2_1000], 1);
    // Size beyond what is mapped, size beyond what is accessible, arena elsewhere, odd size.
    check([heap + 0x30, 0, 0x2_1000, 0x20_0000], 0);
    check([heap + 0x30, 0, 0x3_0000, 0x2_1000], 0);
    check([heap + 0x3000, 0, 0x2_1000, 0x2_1000], 0);
    check([heap + 0x30, 0, 0x2_1008, 0x2_1008], 0);
}

proptest! {
    /// Whatever the memory holds, claims stay inside anonymous memory and nothing panics.
    #[test]
    fn random_memory_never_escapes(words in proptest::collection::vec(any::<u64>(), 0..600)) {
        let mut target = FakeTarget::default();
        let range = AddressRange::sized(BASE, 0x10_0000);
        target.words(BASE, &words);
        let heap = plimsoll_model::Mapping { backing: Backing::Heap, ..fake::anonymous(range, Bytes::kib(4)) };
        let snapshot = fake::snapshot(vec![heap, mapping(0x10_0000, 0x10_0000)]);
        let ground = Ground::new(&snapshot, &target);
        let mut territory = Territory::default();
        claim_arenas(&ground, &mut territory);
        claim_mapped(&ground, &mut territory);
        for claim in territory.overlapping(AddressRange::new(0, u64::MAX)) {
            prop_assert!(AddressRange::sized(BASE, 0x20_0000).covers(claim.range));
        }
    }
}

/// An arena that has outgrown its first heap: the first ends in fence posts, the second in the top.
#[test]
fn all_heaps_of_an_arena_are_walked() {
    let (first, second) = (0x7f20_0000_0000_u64, 0x7f20_0400_0000_u64);
    let mut target = FakeTarget::default();
    let size = 0x2_1000;
    for heap in [first, second] {
        target.touch(AddressRange::sized(heap, size));
    }
    target.words(first, &[first + 0x30, 0, size, size]);
    let start = first + 0x8d0;
    let fence = first + size - 0x20;
    target.words(start + 8, &[(fence - start) | PREV_INUSE]);
    target.words(fence + 8, &[0x10 | PREV_INUSE]);
    target.words(fence + 24, &[PREV_INUSE]);
    target.words(second, &[first + 0x30, first, size, size]);
    target.words(second + 0x30 + 8, &[0x1000 | PREV_INUSE]);
    target.words(second + 0x1030 + 8, &[(size - 0x1030) | PREV_INUSE]);
    let mappings = [first, second]
        .map(|heap| fake::anonymous(AddressRange::sized(heap, size), Bytes(size)))
        .to_vec();
    let snapshot = fake::snapshot(mappings);
    let ground = Ground::new(&snapshot, &target);
    let mut territory = Territory::default();
    claim_arenas(&ground, &mut territory);
    let used: Vec<_> = territory
        .overlapping(AddressRange::new(0, u64::MAX))
        .map(|claim| {
            claim
                .used
                .as_ref()
                .map(|used| (used.live.0, used.held_free.0))
        })
        .collect();
    let expected = [
        Some((fence - start + 0x20, 0)),
        Some((0x1000, size - 0x1030)),
    ];
    assert_eq!(used, expected);
}

/// The kernel may put the second heap above the first and the third below both.
#[test]
fn heaps_are_found_in_whatever_order_they_lie() {
    let size = 0x2_1000;
    let base = 0x7f20_0000_0000_u64;
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2], [2, 0, 1]] {
        let [first, second, third] = order.map(|place| base + place * 2 * HEAP_ALIGNMENT);
        let arena = first + 0x30;
        let mut target = FakeTarget::default();
        for (heap, previous) in [(first, 0), (second, first), (third, second)] {
            target.touch(AddressRange::sized(heap, size));
            target.words(heap, &[arena, previous, size, size]);
        }
        let mut heaps = [first, second, third];
        heaps.sort_unstable();
        let mappings = heaps
            .map(|heap| fake::anonymous(AddressRange::sized(heap, size), Bytes(size)))
            .to_vec();
        let snapshot = fake::snapshot(mappings);
        let mut territory = Territory::default();
        claim_arenas(&Ground::new(&snapshot, &target), &mut territory);
        let claims = territory.overlapping(AddressRange::new(0, u64::MAX));
        let claimed: Vec<u64> = claims.map(|claim| claim.range.start).collect();
        assert_eq!(claimed, heaps, "{order:?}");
    }
}

/// The first block a program maps lies just below the first thread's local storage.
#[test]
fn a_block_below_the_loaders_pages_is_found() {
    let mut target = FakeTarget::default();
    target.words(BASE, &[0, 0x80_1000 | IS_MMAPPED]);
    let found = large_blocks(vec![mapping(0, 0x80_4000)], &target);
    assert_eq!(found, [(0, 0x80_1000)]);
}

/// Address space that nobody has touched may be joined to a block.
#[test]
fn a_block_before_untouched_memory_is_found() {
    let mut target = FakeTarget::default();
    target.words(BASE, &[0, 0x80_1000 | IS_MMAPPED]);
    assert_eq!(large_blocks(vec![mapping(0, 0x280_1000)], &target), []);
    target.touch(AddressRange::sized(BASE, 0x80_1000));
    let found = large_blocks(vec![mapping(0, 0x280_1000)], &target);
    assert_eq!(found, [(0, 0x80_1000)]);
}

/// A free chunk whose middle page was never written counts its two other pages only.
#[test]
fn pages_that_are_not_there_are_not_live() {
    let mut target = FakeTarget::default();
    let range = AddressRange::sized(BASE, 0x2_1000);
    target.words(BASE + 8, &[0x2800 | PREV_INUSE]);
    target.words(BASE + 0x2808, &[(0x2_1000 - 0x2800) | PREV_INUSE]);
    let heap = plimsoll_model::Mapping {
        backing: Backing::Heap,
        ..fake::anonymous(range, Bytes(0x2000))
    };
    let snapshot = fake::snapshot(vec![heap]);
    let ground = Ground::new(&snapshot, &target);
    let mut territory = Territory::default();
    claim_arenas(&ground, &mut territory);
    let claim = territory.overlapping(range).next().unwrap();
    let used = claim.used.as_ref().unwrap();
    assert_eq!((used.live, used.held_free), (Bytes(0x1800), Bytes(0x800)));
}
