use plimsoll_model::Snapshot;
use proptest::prelude::*;

use super::*;
use crate::fake::FakeTarget;
use crate::owners::fake_image::{add_image, claims, process};

const DATA: u64 = 0x5400_0000_0000;
const SECRET: u64 = 0x1234_5678_9abc_def1;
const HEAP: u64 = 0x2_5480_0000_0000 >> 4 & !(SEGMENT - 1);

fn program() -> Snapshot {
    let mut snapshot = process(&[AddressRange::sized(HEAP, 4 * SEGMENT)]);
    add_image(
        &mut snapshot,
        "/usr/lib/libmimalloc.so.2.0",
        AddressRange::sized(DATA, 0x4000),
        &[("mi_malloc", AddressRange::sized(DATA + 0x100, 64))],
    );
    snapshot
}

/// Cookie, `between` words, then `segment_slices, segment_info_slices, kind, slice_entries`.
fn segment(address: u64, between: usize, slices: u64, kind: u64) -> Vec<u64> {
    let mut words = vec![0, 1, 0, 7, SECRET ^ address];
    words.resize(words.len() + between, 0);
    words.extend([slices, 1, kind, slices.min(512), 0x7f00_1234_5000]);
    words.resize(SEGMENT_WORDS, 0);
    words
}

fn with(segments: &[(u64, Vec<u64>)]) -> FakeTarget {
    let mut target = FakeTarget::default();
    target.words(DATA + 0x1000, &[3, SECRET]);
    for (address, words) in segments {
        target.words(*address, words);
    }
    target
}

fn ranges(target: &FakeTarget) -> Vec<AddressRange> {
    claims(&program(), target, claim)
        .into_iter()
        .map(|(range, ..)| range)
        .collect()
}

#[test]
fn segments_are_proved_by_their_cookie() {
    for between in [0, 2] {
        let huge = HEAP + SEGMENT;
        let target = with(&[
            (HEAP, segment(HEAP, between, 512, 0)),
            (huge, segment(huge, between, 700, 1)),
        ]);
        assert_eq!(
            ranges(&target),
            [
                AddressRange::sized(HEAP, SEGMENT),
                AddressRange::sized(huge, 700 * SLICE)
            ]
        );
    }
}

#[test]
fn a_segment_that_contradicts_itself_is_not_claimed() {
    let good = segment(HEAP, 0, 512, 0);
    for (what, words) in [
        (
            "cookie of another address",
            segment(HEAP + SEGMENT, 0, 512, 0),
        ),
        ("normal segment of another size", segment(HEAP, 0, 511, 0)),
        ("longer than its mapping", segment(HEAP, 0, 512 * 5, 1)),
        ("no such kind", segment(HEAP, 0, 512, 2)),
    ] {
        assert_eq!(ranges(&with(&[(HEAP, words)])), [], "{what}");
    }
    let mut target = with(&[(HEAP, good)]);
    target.words(DATA + 0x1000, &[3, 0]);
    assert_eq!(ranges(&target), [], "the secret is not mimalloc's");
}

#[test]
fn arenas_and_sub_process_name_each_other() {
    let arena = HEAP + 3 * SLICE;
    let subprocess = DATA + 0x2000;
    let slices = 100;
    let mut target = with(&[]);
    target.words(DATA + 0x800, &[arena]);
    target.words(arena, &[arena, slices * SLICE, 4, subprocess, 2, slices, 3]);
    target.words(subprocess, &[0, 0, 0, 3]);
    let entry = subprocess + (4 + 2) * 8;
    target.words(entry, &[arena]);
    assert_eq!(
        ranges(&target),
        [AddressRange::sized(arena, slices * SLICE)]
    );
    target.words(entry, &[arena + SLICE]);
    assert_eq!(ranges(&target), []);
}

proptest! {
    #[test]
    fn foreign_memory_is_never_claimed(words in prop::collection::vec(any::<u64>(), 3 * 64)) {
        let mut target = with(&[]);
        for (index, header) in words.chunks(64).enumerate() {
            target.words(HEAP + SEGMENT * index as u64, header);
        }
        target.words(DATA + 0x1100, &[HEAP, HEAP + SEGMENT]);
        prop_assert_eq!(ranges(&target), []);
    }
}
