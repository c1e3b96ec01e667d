use plimsoll_model::Snapshot;
use proptest::prelude::*;

use super::*;
use crate::fake::FakeTarget;
use crate::owners::fake_image::{add_image, claims, process};

const DATA: u64 = 0x5400_0000_0000;
const ROOT: u64 = DATA + 0x1_0000;
const ARENAS: u64 = DATA + 0x1000;
/// jemalloc's metadata: a base block with leaf and descriptors in it.
const BASE: u64 = 0x7e00_0000_0000;
const NODE: u64 = BASE + (4 << 20);
const LEAF: u64 = BASE + (8 << 20);
const BASE_SIZE: u64 = 16 << 20;
const HEAP: u64 = 0x7f00_0000_0000;
const PAGE: u64 = 4096;

const ACTIVE: u64 = 0;
const DIRTY: u64 = 1;
const RETAINED: u64 = 3;
const MERGING: u64 = 5;

fn program(shape: &Shape) -> Snapshot {
    let mut snapshot = process(&[
        AddressRange::sized(BASE, BASE_SIZE),
        AddressRange::sized(HEAP, 8 << 20),
    ]);
    add_image(
        &mut snapshot,
        "/usr/bin/server",
        AddressRange::sized(DATA, 4 << 20),
        &[(
            "_rjem_je_arena_emap_global",
            AddressRange::new(ROOT - 0x78, ROOT + (8 << shape.bits)),
        )],
    );
    snapshot
}

/// `e_bits` of a slab or large extent.
fn bits(state: u64, slab: bool, class: u64, free: u64) -> u64 {
    7 | u64::from(slab) << 12 | state << 17 | class << 20 | free << 28
}

fn descriptor(index: u64) -> u64 {
    BASE + 0x10000 + 128 * index
}

/// A tree with these extents: first page in the heap, pages, bits.
fn with_extents(shape: &Shape, extents: &[(u64, u64, u64)]) -> FakeTarget {
    let mut target = FakeTarget::default();
    let slot = |node: u64, shift: u32| node + 8 * ((HEAP >> shift) & ((1 << shape.bits) - 1));
    match shape.shifts {
        [first, _] => target.words(slot(ROOT, *first), &[LEAF]),
        [first, second, _] => target
            .words(slot(ROOT, *first), &[NODE])
            .words(slot(NODE, *second), &[LEAF]),
        _ => panic!("no such shape"),
    };
    for (index, (first, pages, bits)) in extents.iter().enumerate() {
        let descriptor = descriptor(index as u64);
        let start = HEAP + first * PAGE;
        target.words(descriptor, &[*bits, start, (pages * PAGE) | 9]);
        target.touch(AddressRange::sized(start, pages * PAGE));
        // First and last page name the extent; the low bits mirror its state.
        for page in [*first, first + pages - 1] {
            target.words(LEAF + page * shape.leaf as u64, &[descriptor | 0b101]);
        }
    }
    target
}

#[test]
fn extents_are_claimed_by_state() {
    for shape in &SHAPES {
        let target = with_extents(
            shape,
            &[
                (0, 1, bits(ACTIVE, true, 4, 10)),
                (1, 1, bits(ACTIVE, true, 4, 0)),
                (2, 5, bits(ACTIVE, false, 36, 0)),
                (7, 3, bits(DIRTY, false, 231, 0)),
                (20, 6, bits(RETAINED, false, 231, 0)),
                (30, 2, bits(MERGING, false, 231, 0)),
            ],
        );
        let found = claims(&program(shape), &target, claim);
        let pages = |first, count| AddressRange::sized(HEAP + first * PAGE, count * PAGE);
        assert_eq!(
            found,
            [
                // 64-byte blocks: 54 of 64 in use, then all.
                (pages(0, 2), "small blocks".to_owned(), Some(54 * 64 + 4096)),
                (pages(2, 5), "large blocks".to_owned(), Some(16 << 10)),
                (pages(7, 3), "freed, not yet returned".to_owned(), Some(0)),
                (
                    pages(20, 6),
                    "returned, address space kept".to_owned(),
                    Some(0)
                ),
            ]
        );
    }
}

#[test]
fn a_descriptor_that_its_leaf_contradicts_is_stale() {
    let shape = &SHAPES[0];
    let mut target = with_extents(shape, &[(0, 4, bits(ACTIVE, false, 36, 0))]);
    target.words(descriptor(0) + 8, &[HEAP + 64 * PAGE]);
    assert_eq!(claims(&program(shape), &target, claim), []);
}

#[test]
fn overlapping_descriptors_prove_nothing() {
    let shape = &SHAPES[0];
    let target = with_extents(
        shape,
        &[
            (0, 8, bits(ACTIVE, false, 36, 0)),
            (4, 8, bits(ACTIVE, false, 36, 0)),
        ],
    );
    assert_eq!(claims(&program(shape), &target, claim), []);
}

#[test]
fn base_blocks_are_metadata() {
    let shape = &SHAPES[0];
    let mut target = with_extents(shape, &[]);
    let older = BASE;
    let newer = BASE + (4 << 20);
    let block = |at: u64, next: u64| [2 << 20, next, 7, at + 0x2000, (2 << 20) - 0x2000];
    target.words(older, &block(older, 0));
    target.words(newer, &block(newer, older));
    // The base structure, behind the first block's header, names the newest block.
    target.words(older + 0x200, &[newer]);
    target.words(ARENAS, &[0, older + 0x1000]);
    let found = claims(&program(shape), &target, claim);
    let metadata = |at| {
        (
            AddressRange::sized(at, 2 << 20),
            "metadata".to_owned(),
            None,
        )
    };
    assert_eq!(found, [metadata(older), metadata(newer)]);

    // A list that runs in a circle ends: only the block that the arena lies in is proved.
    target.words(older, &block(older, newer));
    assert_eq!(claims(&program(shape), &target, claim), [metadata(older)]);
}

#[test]
fn a_stripped_library_is_read_too() {
    for shape in &SHAPES {
        let mut snapshot = program(shape);
        for image in snapshot.images.values_mut() {
            let api = image.symbols.remove("_rjem_je_arena_emap_global");
            image
                .symbols
                .extend(api.map(|symbol| ("mallctlnametomib".to_owned(), symbol)));
        }
        let extents: Vec<_> = (0..4)
            .map(|index| (8 * index, 4, bits(ACTIVE, false, 36, 0)))
            .collect();
        let mut target = with_extents(shape, &extents);
        target.words(ROOT - 0x78, &[BASE + 0x200]);
        let large = |found: Vec<(AddressRange, String, Option<u64>)>| {
            found
                .iter()
                .filter(|(_, part, _)| part == "large blocks")
                .count()
        };
        assert_eq!(large(claims(&snapshot, &target, claim)), 0, "no base block");
        target.words(BASE, &[2 << 20, 0, 7, BASE + 0x2000, (2 << 20) - 0x2000]);
        target.touch(AddressRange::sized(ROOT - 0x1000, 0x1000));
        assert_eq!(large(claims(&snapshot, &target, claim)), 4);
        target.words(descriptor(2) + 8, &[HEAP + (7 << 20)]);
        assert_eq!(
            large(claims(&snapshot, &target, claim)),
            0,
            "three extents agree, which is too few"
        );
    }
}

#[test]
fn an_unknown_shape_is_a_gap() {
    let mut snapshot = program(&SHAPES[0]);
    for image in snapshot.images.values_mut() {
        for symbol in image.symbols.values_mut() {
            symbol.size = 8 << 16;
        }
    }
    let target = FakeTarget::default();
    let ground = Ground::new(&snapshot, &target);
    claim(&ground, &mut Territory::default());
    let gaps = ground.into_gaps();
    assert_eq!(gaps.len(), 1);
    assert_eq!(gaps[0].reason, GapReason::Unsupported);
}

#[test]
fn size_classes_are_jemallocs() {
    // The first classes of `bin.*.size` in `malloc_stats_print`, 5.3 on x86-64.
    let sizes = [
        8, 16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640,
    ];
    for (index, size) in sizes.into_iter().enumerate() {
        assert_eq!(class_size(index as u64), size, "{index}");
    }
    assert_eq!(class_size(35), 14 << 10);
    assert_eq!(class_size(36), 16 << 10);
}

proptest! {
    #[test]
    fn class_size_never_panics(index in 0_u64..256) {
        prop_assert!(class_size(index) > 0);
    }

    #[test]
    fn foreign_memory_is_never_claimed(words in prop::collection::vec(any::<u64>(), 64)) {
        for shape in &SHAPES {
            let mut target = FakeTarget::default();
            target.words(ROOT, &words);
            target.words(ARENAS, &words[..8]);
            prop_assert_eq!(claims(&program(shape), &target, claim), []);
        }
    }

    #[test]
    fn foreign_descriptors_are_never_claimed(words in prop::collection::vec(any::<u64>(), 3 * 8)) {
        let shape = &SHAPES[1];
        let mut target = with_extents(shape, &[(0, 1, 0); 8]);
        for (index, fields) in words.chunks(3).enumerate() {
            target.words(descriptor(index as u64), fields);
        }
        prop_assert_eq!(claims(&program(shape), &target, claim), []);
    }
}
