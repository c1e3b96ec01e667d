use std::collections::BTreeMap;

use plimsoll_model::Snapshot;
use proptest::prelude::*;

use super::*;
use crate::fake::FakeTarget;
use crate::owners::fake_image::{add_image, claims, process, reserve};

const DATA: u64 = 0x5400_0000_0000;
const SYMBOL: u64 = DATA + 0x100;
const TABLE: u64 = DATA + 0x1000;
const NAMES: u64 = DATA + 0x6000;
/// What malloc gave the JVM.
const OBJECTS: u64 = 0x5500_0000_0000;
const HEAP: u64 = 0xda80_0000;
const HEAP_SIZE: u64 = 64 << 20;
const CODE: u64 = 0x7f50_0000_0000;
const CODE_SIZE: u64 = 48 << 20;
const METASPACE: u64 = 0x7f60_0000_0000;
const NODE_SIZE: u64 = 64 << 20;
const TABLES: u64 = 0x7f70_0000_0000;

/// A field: type, name, offset, or the value of a static one.
type Row = (&'static str, &'static str, Field);

enum Field {
    At(u64),
    Static(u64),
}
use Field::{At, Static};

fn rows() -> Vec<Row> {
    vec![
        ("Universe", "_collectedHeap", Static(OBJECTS)),
        ("CollectedHeap", "_reserved", At(32)),
        ("MemRegion", "_start", At(0)),
        ("MemRegion", "_word_size", At(8)),
        ("G1CollectedHeap", "_hrm", At(0x100)),
        ("HeapRegionManager", "_regions", At(96)),
        ("CodeCache", "_low_bound", Static(CODE)),
        ("CodeCache", "_high_bound", Static(CODE + CODE_SIZE)),
        ("BarrierSet", "_barrier_set", Static(OBJECTS + 0x1000)),
        ("CardTableBarrierSet", "_card_table", At(64)),
        ("CardTable", "_whole_heap", At(8)),
        ("CardTable", "_byte_map_size", At(48)),
        ("CardTable", "_byte_map", At(56)),
    ]
}

fn java() -> Snapshot {
    let mut snapshot = process(&[
        AddressRange::sized(HEAP, HEAP_SIZE / 2),
        AddressRange::sized(OBJECTS, 1 << 20),
        AddressRange::sized(CODE, 4 << 20),
        AddressRange::sized(METASPACE, 1 << 20),
        AddressRange::sized(TABLES, 4 << 20),
    ]);
    reserve(
        &mut snapshot,
        AddressRange::new(HEAP + HEAP_SIZE / 2, HEAP + HEAP_SIZE),
    );
    reserve(
        &mut snapshot,
        AddressRange::new(CODE + (4 << 20), CODE + CODE_SIZE),
    );
    reserve(
        &mut snapshot,
        AddressRange::new(METASPACE + (1 << 20), METASPACE + NODE_SIZE),
    );
    add_image(
        &mut snapshot,
        "/usr/lib/jvm/lib/server/libjvm.so",
        AddressRange::sized(DATA, 0x1_0000),
        &[("gHotSpotVMStructs", AddressRange::sized(SYMBOL, 8))],
    );
    snapshot
}

fn jvm() -> FakeTarget {
    let mut target = FakeTarget::default();
    target.touch(AddressRange::sized(DATA, 0x1_0000));
    target.touch(AddressRange::sized(OBJECTS, 0x1_0000));
    target.words(SYMBOL, &[TABLE]);
    let mut names: BTreeMap<&str, u64> = BTreeMap::new();
    for (index, (of, field, place)) in rows().into_iter().enumerate() {
        let mut name = |text: &'static str| {
            let next = NAMES + 64 * names.len() as u64;
            let at = *names.entry(text).or_insert(next);
            target.write(at, text.as_bytes());
            at
        };
        let (of, field) = (name(of), name(field));
        let value = DATA + 0x5000 + 8 * index as u64;
        let place = match place {
            At(offset) => [0, offset, 0],
            Static(content) => {
                target.words(value, &[content]);
                [1, 0, value]
            }
        };
        let row = TABLE + (index * 48) as u64;
        target.words(row, &[of, field, 0, place[0], place[1], place[2]]);
    }
    target.words(OBJECTS + 32, &[HEAP, HEAP_SIZE / 8]);
    target
}

fn parts(found: &[(AddressRange, String, Option<u64>)]) -> Vec<(AddressRange, &str)> {
    found
        .iter()
        .map(|(range, part, _)| (*range, part.as_str()))
        .collect()
}

fn heap_and_code() -> Vec<(AddressRange, &'static str)> {
    vec![
        (AddressRange::sized(HEAP, HEAP_SIZE / 2), "objects"),
        (
            AddressRange::new(HEAP + HEAP_SIZE / 2, HEAP + HEAP_SIZE),
            "objects",
        ),
        (AddressRange::sized(CODE, 4 << 20), "compiled code"),
        (
            AddressRange::new(CODE + (4 << 20), CODE + CODE_SIZE),
            "compiled code",
        ),
    ]
}

#[test]
fn heap_and_code_have_the_bounds_that_the_jvm_states() {
    let found = claims(&java(), &jvm(), claim);
    assert_eq!(parts(&found), heap_and_code());
}

#[test]
fn a_heap_that_is_not_mapped_is_not_claimed() {
    let mut target = jvm();
    target.words(OBJECTS + 32, &[HEAP, HEAP_SIZE]);
    let found = claims(&java(), &target, claim);
    assert_eq!(parts(&found), heap_and_code()[2..]);
}

#[test]
fn names_that_are_not_resident_are_a_gap() {
    let mut target = jvm();
    target.words(SYMBOL, &[0x7fff_0000_0000]);
    let snapshot = java();
    let ground = Ground::new(&snapshot, &target);
    let mut territory = Territory::default();
    claim(&ground, &mut territory);
    assert_eq!(
        territory
            .overlapping(AddressRange::new(0, u64::MAX))
            .count(),
        0
    );
    assert_eq!(ground.into_gaps().len(), 1);
}

#[test]
fn metaspace_nodes_state_their_bounds_twice() {
    let (context, list, node) = (OBJECTS + 0x2000, OBJECTS + 0x2100, OBJECTS + 0x2200);
    let node_words = |words: u64| {
        [
            0,
            METASPACE,
            NODE_SIZE,
            0,
            1 << 24,
            0,
            0,
            1,
            METASPACE,
            words,
            4096,
        ]
    };
    let mut target = jvm();
    target.words(DATA + 0x200, &[context]);
    target.words(context, &[NAMES, list]);
    target.words(list, &[DATA, NAMES, node]);
    target.words(node, &node_words(NODE_SIZE / 8));
    let found = claims(&java(), &target, claim);
    let metadata: Vec<_> = parts(&found)
        .into_iter()
        .filter(|(_, part)| *part == "class metadata")
        .map(|(range, _)| range)
        .collect();
    assert_eq!(
        metadata,
        [
            AddressRange::sized(METASPACE, 1 << 20),
            AddressRange::new(METASPACE + (1 << 20), METASPACE + NODE_SIZE)
        ]
    );

    target.words(node, &node_words(NODE_SIZE / 16));
    let found = claims(&java(), &target, claim);
    assert_eq!(parts(&found), heap_and_code());
}

#[test]
fn the_mapper_of_the_heap_proves_g1s_other_mappers() {
    let manager = OBJECTS + 0x100;
    let mapper = |range: AddressRange| [DATA, 0, range.start, range.end, 0, 4096, 0, 0];
    let bitmap = AddressRange::sized(TABLES, 1 << 20);
    let heap = AddressRange::sized(HEAP, HEAP_SIZE);
    let mut target = jvm();
    target.words(manager + 16, &[OBJECTS + 0x3000, OBJECTS + 0x3100]);
    target.words(OBJECTS + 0x3000, &mapper(bitmap));
    target.words(OBJECTS + 0x3100, &mapper(heap));
    let claimed = |target: &FakeTarget| {
        parts(&claims(&java(), target, claim)).contains(&(bitmap, "G1 bitmaps and tables"))
    };
    assert!(claimed(&target));
    target.words(
        OBJECTS + 0x3100,
        &mapper(AddressRange::sized(HEAP, HEAP_SIZE / 2)),
    );
    assert!(!claimed(&target), "no mapper states the heap's bounds");
}

#[test]
fn the_card_table_covers_the_heap() {
    let cards = OBJECTS + 0x4000;
    let mut target = jvm();
    target.words(OBJECTS + 0x1000 + 64, &[cards]);
    target.words(cards + 8, &[HEAP, HEAP_SIZE / 8]);
    target.words(cards + 48, &[HEAP_SIZE / 512, TABLES]);
    let table = AddressRange::sized(TABLES, HEAP_SIZE / 512);
    let claimed = |target: &FakeTarget| {
        parts(&claims(&java(), target, claim)).contains(&(table, "card table"))
    };
    assert!(claimed(&target));
    target.words(cards + 8, &[HEAP + 4096]);
    assert!(!claimed(&target), "a table of another heap");
}

proptest! {
    #[test]
    fn foreign_tables_never_panic(words in prop::collection::vec(any::<u64>(), 6 * 20)) {
        let mut target = jvm();
        target.words(TABLE, &words);
        claims(&java(), &target, claim);
    }

    #[test]
    fn hostile_fields_never_panic(
        values in prop::collection::vec(prop_oneof![any::<u64>(), u64::MAX - 64..=u64::MAX], 16),
    ) {
        let mut target = jvm();
        for (index, value) in values.into_iter().enumerate() {
            target.words(TABLE + 48 * index as u64 + 32, &[value]);
            target.words(DATA + 0x5000 + 8 * index as u64, &[value]);
        }
        claims(&java(), &target, claim);
    }

    #[test]
    fn foreign_structures_are_never_claimed(words in prop::collection::vec(any::<u64>(), 0x800)) {
        let mut target = jvm();
        target.words(OBJECTS, &words);
        let found = claims(&java(), &target, claim);
        prop_assert_eq!(parts(&found), heap_and_code()[2..].to_vec());
    }
}
