use plimsoll_model::{Bytes, Snapshot};
use proptest::prelude::*;

use super::*;
use crate::fake::{FakeTarget, anonymous};
use crate::owners::fake_image::{add_image, claims, process};

const SECRET: u64 = 0xfeed_beef_0123_4567;
const BRK: u64 = 0x5600_0000_0000;
const HEAP: u64 = 0x7f00_0000_0000;

fn program() -> Snapshot {
    let mut snapshot = process(&[AddressRange::sized(HEAP, 64 << 10)]);
    let mut brk = anonymous(AddressRange::sized(BRK, 4 * PAGE as u64), Bytes::ZERO);
    brk.backing = Backing::Heap;
    snapshot.mappings.push(brk);
    add_image(
        &mut snapshot,
        "/usr/bin/subject",
        AddressRange::sized(0x40_0000, 0x1000),
        &[("__malloc_context", AddressRange::sized(0x40_0100, 64))],
    );
    snapshot.mappings.sort_by_key(|mapping| mapping.range.start);
    snapshot
}

fn meta(slot: u64) -> u64 {
    BRK + (AREA_HEADER as u64) + slot * META as u64
}

/// `{ prev, next, mem, masks, flags }`.
fn description(mem: u64, free: u32, slots: u64, class: u64, pages: u64) -> [u64; 5] {
    let flags = (slots - 1) | 1 << 5 | class << 6 | pages << 12;
    [0, 0, mem, u64::from(free), flags]
}

/// A mapped group of three free slots of 1023 units, a description of a group that is not there,
/// and a mapped group of two slots of 511 units.
fn allocator() -> FakeTarget {
    let mut target = FakeTarget::default();
    target.touch(AddressRange::sized(HEAP, 64 << 10));
    target.words(BRK, &[SECRET, 0, SLOTS as u64]);
    target.words(meta(0), &description(HEAP, 0b111, 3, 35, 12));
    target.words(HEAP, &[meta(0)]);
    target.words(meta(1), &description(HEAP + 0x8000, 0, 1, 0, 2));
    target.words(HEAP + 0xc000, &[meta(2)]);
    target.words(meta(2), &description(HEAP + 0xc000, 1, 2, 31, 4));
    target
}

#[test]
fn mapped_groups_are_claimed_and_counted() {
    let found = claims(&program(), &allocator(), claim);
    assert_eq!(
        found,
        [
            (
                AddressRange::sized(BRK, PAGE as u64),
                "metadata".to_owned(),
                None
            ),
            (
                AddressRange::sized(HEAP, 12 * PAGE as u64),
                "blocks".to_owned(),
                Some(0)
            ),
            // One of two slots of 511 units.
            (
                AddressRange::sized(HEAP + 0xc000, 4 * PAGE as u64),
                "blocks".to_owned(),
                Some(511 * 16)
            ),
        ]
    );
}

#[test]
fn free_slots_of_a_nested_group_are_not_live() {
    let mut target = allocator();
    target.words(meta(0), &description(HEAP, 0, 3, 35, 12));
    let nested = HEAP + 0x1000;
    target.words(meta(3), &description(nested, 0b11, 4, 3, 0));
    target.words(nested, &[meta(3)]);
    let found = claims(&program(), &target, claim);
    assert_eq!(found[1].2, Some(3 * 1023 * 16 - 2 * 64));
}

#[test]
fn a_group_that_does_not_point_back_is_not_claimed() {
    let mut target = allocator();
    target.words(HEAP, &[meta(1)]);
    let found = claims(&program(), &target, claim);
    assert!(
        found.iter().all(|(range, ..)| range.start != HEAP),
        "{found:?}"
    );
}

#[test]
fn pages_of_another_secret_are_not_metadata() {
    let mut target = allocator();
    target.words(BRK + PAGE as u64, &[SECRET + 1, 0, SLOTS as u64]);
    target.words(BRK + 2 * PAGE as u64, &[SECRET, 0, SLOTS as u64]);
    let metadata: Vec<u64> = claims(&program(), &target, claim)
        .into_iter()
        .filter(|(_, part, _)| part == "metadata")
        .map(|(range, ..)| range.start)
        .collect();
    assert_eq!(metadata, [BRK, BRK + 2 * PAGE as u64]);
}

#[test]
fn a_description_must_fit_its_map() {
    let parse = |fields: [u64; 5]| {
        let bytes: Vec<u8> = fields.iter().flat_map(|word| word.to_ne_bytes()).collect();
        Group::parse(meta(0), &bytes)
    };
    assert!(parse(description(HEAP, 0b111, 3, 35, 12)).is_some());
    assert_eq!(parse(description(HEAP, 0b1000, 3, 35, 12)), None, "mask");
    assert_eq!(parse(description(HEAP, 0, 3, 35, 11)), None, "too long");
    assert_eq!(
        parse(description(HEAP + 8, 0, 3, 35, 12)),
        None,
        "unaligned"
    );
    assert_eq!(parse(description(HEAP, 0, 3, 63, 12)), None, "no class");
    assert!(
        parse(description(HEAP, 0, 1, 63, 12)).is_some(),
        "one block"
    );
}

proptest! {
    #[test]
    fn foreign_memory_is_never_claimed(words in prop::collection::vec(any::<u64>(), 2 * 512)) {
        let mut target = FakeTarget::default();
        target.touch(AddressRange::sized(HEAP, 64 << 10));
        target.words(BRK, &words);
        target.words(BRK, &[SECRET, 0, SLOTS as u64]);
        prop_assert_eq!(claims(&program(), &target, claim), []);
    }
}
