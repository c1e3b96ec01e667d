use plimsoll_model::Snapshot;
use proptest::prelude::*;

use super::*;
use crate::fake::{self, FakeTarget, PAGE};
use crate::owners::fake_image::{claims, process};

const FIRST: u64 = 0x1000_0000_0000;
const CODE: u64 = 0x40_0000;
const HEAP: u64 = 0x5500_0000_0000;
const HEAP_OBJECT: u64 = HEAP + 0x100;
const SPACE: u64 = HEAP + 0x200;
const ALLOCATOR: u64 = HEAP + 0x300;
const ALLOCATED: u64 = 0x2000;

fn page(index: u64) -> u64 {
    FIRST + index * ALIGNMENT
}

fn node(pages: u64) -> Snapshot {
    with_code(CODE_MIN, pages * ALIGNMENT)
}

/// A program with so much code, in two mappings, and so much memory where its pages are.
fn with_code(code: u64, memory: u64) -> Snapshot {
    let mut snapshot = process(&[
        AddressRange::sized(FIRST, memory),
        AddressRange::sized(HEAP, 1 << 20),
    ]);
    for (start, size) in [(0, PAGE), (PAGE, code - PAGE)] {
        let mut mapping = fake::file(AddressRange::sized(CODE + start, size), 0, 1, Bytes::ZERO);
        mapping.permissions.execute = true;
        snapshot.mappings.push(mapping);
    }
    snapshot.mappings.sort_by_key(|mapping| mapping.range.start);
    snapshot
}

/// `size, flags, heap, area, allocated, wasted, high water mark, owner, allocator, reservation`.
fn header(address: u64) -> Vec<u64> {
    let size = ALIGNMENT;
    let area = [address + 0x1148, address + size];
    vec![
        size,
        4,
        HEAP_OBJECT,
        area[0],
        area[1],
        ALLOCATED,
        0,
        size,
        SPACE,
        ALLOCATOR,
        address,
        size,
    ]
}

/// The same in the layout of V8 12: flags and a pointer to itself first.
fn header_12(address: u64) -> Vec<u64> {
    let mut header = header(address);
    header.splice(0..2, [4, address, ALIGNMENT]);
    header
}

/// The metadata of V8 13.
fn metadata_13(address: u64) -> Vec<u64> {
    let old = header(address);
    vec![
        ALLOCATOR, address, ALIGNMENT, old[5], old[6], old[7], ALIGNMENT, old[4], old[2], old[3],
        old[8],
    ]
}

fn with_pages(pages: u64, header: fn(u64) -> Vec<u64>) -> FakeTarget {
    let mut target = FakeTarget::default();
    for index in 0..pages {
        target.touch(AddressRange::sized(page(index), 0x4000));
        target.words(page(index), &header(page(index)));
    }
    target
}

#[test]
fn pages_of_one_heap_are_claimed() {
    for header in [header, header_12] {
        let found = claims(&node(5), &with_pages(5, header), claim);
        assert_eq!(found.len(), 5);
        assert_eq!(
            found[1],
            (
                AddressRange::sized(page(1), ALIGNMENT),
                "old generation".to_owned(),
                Some(ALLOCATED)
            )
        );
    }
}

#[test]
fn metadata_apart_from_the_page_is_followed() {
    let mut target = FakeTarget::default();
    for index in 0..4 {
        let metadata = HEAP + 0x1000 + 0x100 * index;
        target.touch(AddressRange::sized(page(index), 0x4000));
        target.words(page(index), &[4, metadata]);
        target.words(metadata, &metadata_13(page(index)));
    }
    let found = claims(&node(4), &target, claim);
    assert_eq!(found.len(), 4);
    assert_eq!(found[3].2, Some(ALLOCATED));
}

#[test]
fn a_program_without_the_code_of_v8_is_not_searched() {
    let target = with_pages(5, header);
    let check = |code, expected| {
        let found = claims(&with_code(code, 5 * ALIGNMENT), &target, claim);
        assert_eq!(found.len(), expected, "{code}");
    };
    check(CODE_MIN, 5);
    check(CODE_MIN - PAGE, 0);
}

#[test]
fn a_few_pages_prove_no_heap() {
    let found = claims(&node(3), &with_pages(3, header), claim);
    assert_eq!(found, []);
}

#[test]
fn a_page_longer_than_its_mapping_is_not_claimed() {
    let snapshot = with_code(CODE_MIN, 5 * ALIGNMENT - 0x1000);
    let found = claims(&snapshot, &with_pages(5, header), claim);
    assert_eq!(found.len(), 4);
}

#[test]
fn code_pages_prove_their_code_range() {
    let mut snapshot = node(8);
    for mapping in &mut snapshot.mappings {
        mapping.permissions.execute = mapping.range.start == FIRST;
    }
    let mut target = with_pages(4, header);
    let range = [FIRST, 8 * ALIGNMENT];
    target.words(
        ALLOCATOR,
        &[1, 2, ALIGNMENT, 4096, SPACE, range[0], range[1]],
    );
    target.touch(AddressRange::sized(ALLOCATOR, 0x100));
    let found = claims(&snapshot, &target, claim);
    assert_eq!(found.len(), 5);
    assert_eq!(found[4].0, AddressRange::new(page(4), page(8)));
    assert_eq!(found[4].1, "rest of the code range");
}

#[test]
fn every_field_of_a_page_header_counts() {
    let address = FIRST;
    let bytes = |words: &[u64]| -> Vec<u8> {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.resize(HEADER, 0);
        bytes
    };
    assert!(Chunk::parse(address, &bytes(&header(address))).is_some());
    for (field, wrong) in [
        (0, 0),
        (0, ALIGNMENT + 1),
        (2, 0),
        (2, 3),
        (3, address),
        (3, address + (1 << 20)),
        (4, address + 2 * ALIGNMENT),
        (4, address),
        (5, 2 * ALIGNMENT),
        (6, 2 * ALIGNMENT),
        (7, 2 * ALIGNMENT),
        (8, 1 << 60),
        (9, 0),
        (10, address + ALIGNMENT),
        (11, 2 * ALIGNMENT),
    ] {
        let mut words = header(address);
        words[field] = wrong;
        assert_eq!(
            Chunk::parse(address, &bytes(&words)),
            None,
            "field {field} = {wrong:x}"
        );
    }
}

proptest! {
    #[test]
    fn foreign_memory_is_never_claimed(words in prop::collection::vec(any::<u64>(), 8 * 13)) {
        let mut target = FakeTarget::default();
        for (index, header) in words.chunks(13).enumerate() {
            target.words(page(index as u64), header);
        }
        prop_assert_eq!(claims(&node(8), &target, claim), []);
    }
}

const CAGE: u64 = 0x3c2a_0000_0000;
const TRUSTED_CAGE: u64 = 0x2358_0000_0000;

/// A browser with pages at these places of its cages, all the rest reserved.
fn sandboxed(cages: &[(u64, &[u64])]) -> (Snapshot, FakeTarget) {
    let mut snapshot = with_code(CODE_MIN, ALIGNMENT);
    let mut target = FakeTarget::default();
    for (cage, places) in cages {
        let mut next = *cage;
        for place in *places {
            let range = AddressRange::sized(cage + place * ALIGNMENT, ALIGNMENT);
            let gap = AddressRange::new(next, range.start);
            if !gap.is_empty() {
                snapshot.mappings.push(fake::guard(gap));
            }
            snapshot
                .mappings
                .push(fake::anonymous(range, Bytes(ALIGNMENT)));
            let above = if *cage == TRUSTED_CAGE { 16_384 } else { 0 };
            target.words(range.start, &[4, place + above]);
            next = range.end;
        }
        let rest = AddressRange::new(next, cage + (4 << 30));
        snapshot.mappings.push(fake::guard(rest));
    }
    snapshot.mappings.sort_by_key(|mapping| mapping.range.start);
    (snapshot, target)
}

#[test]
fn pages_that_state_their_place_prove_a_cage() {
    let cages: [(u64, &[u64]); 2] = [(CAGE, &[64, 66, 77, 90]), (TRUSTED_CAGE, &[64])];
    let (snapshot, target) = sandboxed(&cages);
    let found = claims(&snapshot, &target, claim);
    let parts = |part: &str| found.iter().filter(|found| found.1 == part).count();
    assert_eq!(parts("pages of a cage"), 4, "{found:?}");
    assert_eq!(parts("trusted objects"), 1, "{found:?}");
}

#[test]
fn a_cage_needs_four_pages_in_their_places_and_no_gap() {
    let (snapshot, target) = sandboxed(&[(CAGE, &[64, 66, 77]), (TRUSTED_CAGE, &[64])]);
    assert_eq!(claims(&snapshot, &target, claim), []);
    let (snapshot, mut target) = sandboxed(&[(CAGE, &[64, 66, 77, 90])]);
    target.words(CAGE + 90 * ALIGNMENT, &[4, 91]);
    assert_eq!(claims(&snapshot, &target, claim), []);
    let (mut snapshot, target) = sandboxed(&[(CAGE, &[64, 66, 77, 90])]);
    snapshot
        .mappings
        .retain(|mapping| mapping.range.start != CAGE + 67 * ALIGNMENT);
    assert_eq!(claims(&snapshot, &target, claim), []);
}
