use plimsoll_model::Snapshot;
use proptest::prelude::*;

use super::*;
use crate::fake::FakeTarget;
use crate::owners::fake_image::{add_image, claims, process, reserve};

const DATA: u64 = 0x54_0000;
const MHEAP: u64 = DATA + 0x1000;
const CHUNKS: u64 = DATA + 0x8000;
const BITS: u64 = DATA + 0x8100;
const HEAP: u64 = 0xc0_0000_0000;
const INDEX: u64 = 0x7f00_0000_0000;
/// A persistent chunk that holds the arenas' numbers; the next one; a chunk of mark bits.
const PERSISTENT: [u64; 2] = [0x7f10_0000_0000, 0x7f11_0000_0000];
const MARK_BITS: u64 = 0x7f12_0000_0000;
const HEAP_ARENA: u64 = 0x7f13_0000_0000;
const NUMBERS: u64 = PERSISTENT[0] + 0x500;
/// (0xc000000000 + 2^47) / 64 MiB.
const FIRST_NUMBER: u64 = 0x20_3000;

fn program(with_symbols: bool) -> Snapshot {
    let mut snapshot = process(&[
        AddressRange::sized(HEAP, ARENA + (1 << 20)),
        AddressRange::sized(INDEX, ARENA_INDEX),
        AddressRange::sized(PERSISTENT[0], PERSISTENT_CHUNK),
        AddressRange::sized(PERSISTENT[1], PERSISTENT_CHUNK),
        AddressRange::sized(MARK_BITS, BITS_CHUNK),
        AddressRange::sized(HEAP_ARENA, 4 << 20),
    ]);
    // The second arena is reserved to its end and mapped at its start.
    reserve(
        &mut snapshot,
        AddressRange::new(HEAP + ARENA + (1 << 20), HEAP + 2 * ARENA),
    );
    let symbols = [
        ("runtime.mheap_", AddressRange::sized(MHEAP, 0x4000)),
        ("runtime.persistentChunks", AddressRange::sized(CHUNKS, 8)),
        ("runtime.gcBitsArenas", AddressRange::sized(BITS, 40)),
    ];
    add_image(
        &mut snapshot,
        "/usr/bin/subject",
        AddressRange::sized(DATA, 0x1_0000),
        if with_symbols { &symbols } else { &[] },
    );
    for image in snapshot.images.values_mut() {
        image.is_go = true;
    }
    snapshot
}

fn runtime() -> FakeTarget {
    let mut target = FakeTarget::default();
    target.touch(AddressRange::sized(DATA, 0x1_0000));
    target.words(MHEAP + 0x800, &[INDEX]);
    target.words(MHEAP + 0x850, &[NUMBERS, 2, 512]);
    target.words(NUMBERS, &[FIRST_NUMBER, FIRST_NUMBER + 1]);
    target.words(
        INDEX + 8 * FIRST_NUMBER,
        &[HEAP_ARENA, HEAP_ARENA + 0x20000],
    );
    target.words(CHUNKS, &[PERSISTENT[1]]);
    target.words(PERSISTENT[1], &[PERSISTENT[0]]);
    target.words(PERSISTENT[0], &[0]);
    target.words(BITS, &[0, 0, MARK_BITS, 0, 0]);
    target.words(MARK_BITS, &[512, 0]);
    target
}

fn parts(found: &[(AddressRange, String, Option<u64>)]) -> Vec<(u64, u64, &str)> {
    found
        .iter()
        .map(|(range, part, _)| (range.start, range.size().0, part.as_str()))
        .collect()
}

const ARENAS: [(u64, u64, &str); 3] = [
    (HEAP, ARENA, "objects and goroutine stacks"),
    (HEAP + ARENA, ARENA, "objects and goroutine stacks"),
    (INDEX, ARENA_INDEX, "heap index"),
];

#[test]
fn arenas_and_structures_are_claimed() {
    let found = claims(&program(true), &runtime(), claim);
    let mut expected = ARENAS.to_vec();
    for chunk in PERSISTENT {
        expected.push((chunk, PERSISTENT_CHUNK, "persistent structures"));
    }
    expected.push((MARK_BITS, BITS_CHUNK, "mark bits"));
    assert_eq!(parts(&found), expected);
}

#[test]
fn a_stripped_program_is_read_too() {
    let found = claims(&program(false), &runtime(), claim);
    assert_eq!(parts(&found)[..5].len(), 5);
    assert_eq!(parts(&found)[..3], ARENAS);
}

#[test]
fn spans_prove_the_size_of_a_heap_arena() {
    let mut target = runtime();
    let spans: Vec<u64> = (0..16)
        .map(|page| PERSISTENT[1] + 0x1000 + 0x100 * page)
        .collect();
    for (page, span) in spans.iter().enumerate() {
        let start = HEAP + PAGE * page as u64;
        target.words(*span, &[0, 0, 0, start, 1]);
    }
    target.words(HEAP_ARENA, &spans);
    let found = claims(&program(true), &target, claim);
    let size = 0x11000;
    for arena in [HEAP_ARENA, HEAP_ARENA + 0x20000] {
        assert!(
            parts(&found).contains(&(arena, size, "heap index")),
            "{found:?}"
        );
    }
}

#[test]
fn summaries_are_told_by_their_capacities() {
    let mut snapshot = program(true);
    let mut target = runtime();
    let mut at = 0x7e00_0000_0000;
    let mut slices = Vec::new();
    for entries in SUMMARY_ENTRIES {
        reserve(&mut snapshot, AddressRange::sized(at, entries * 8));
        slices.extend([at, entries, entries]);
        at += entries * 8 + 0x1000;
    }
    target.words(MHEAP + 0x2000, &slices);
    let found = claims(&snapshot, &target, claim);
    let summaries = parts(&found)
        .iter()
        .filter(|(_, _, part)| *part == "page allocator")
        .count();
    assert_eq!(summaries, SUMMARY_ENTRIES.len());
}

#[test]
fn contradictions_leave_the_heap_unattributed() {
    type Damage = fn(&mut FakeTarget);
    let cases: [(&str, Damage); 5] = [
        ("an arena that is not mapped", |target| {
            target.words(NUMBERS + 8, &[FIRST_NUMBER + 7]);
        }),
        ("the same arena twice", |target| {
            target.words(NUMBERS + 8, &[FIRST_NUMBER]);
        }),
        ("an arena without an entry in the index", |target| {
            target.words(INDEX + 8 * FIRST_NUMBER + 8, &[0]);
        }),
        ("no index", |target| {
            target.words(MHEAP + 0x800, &[0]);
        }),
        ("length above capacity", |target| {
            target.words(MHEAP + 0x850, &[NUMBERS, 2, 1]);
        }),
    ];
    for (what, break_it) in cases {
        let mut target = runtime();
        break_it(&mut target);
        let snapshot = program(true);
        let ground = Ground::new(&snapshot, &target);
        let mut territory = Territory::default();
        claim(&ground, &mut territory);
        let arenas = territory
            .overlapping(AddressRange::sized(HEAP, 2 * ARENA))
            .count();
        assert_eq!(arenas, 0, "{what}");
        assert_eq!(ground.into_gaps().len(), 1, "{what}");
    }
}

#[test]
fn a_list_of_chunks_that_runs_in_a_circle_ends() {
    let mut target = runtime();
    target.words(PERSISTENT[0], &[PERSISTENT[1]]);
    target.words(MARK_BITS, &[512, MARK_BITS]);
    let found = claims(&program(true), &target, claim);
    assert_eq!(parts(&found), ARENAS);
}

#[test]
fn only_a_go_program_is_read() {
    let mut snapshot = program(true);
    for image in snapshot.images.values_mut() {
        image.is_go = false;
    }
    assert_eq!(claims(&snapshot, &runtime(), claim), []);
}

#[test]
fn names_that_the_runtime_gave_are_taken() {
    let mut snapshot = program(true);
    for mapping in &mut snapshot.mappings {
        if mapping.range.start == HEAP {
            mapping.backing = Backing::AnonymousNamed("Go: heap".to_owned());
        }
    }
    let found = claims(&snapshot, &runtime(), claim);
    assert_eq!(parts(&found)[0], (HEAP, ARENA + (1 << 20), "heap"));
    assert_eq!(parts(&found)[1].0, HEAP + ARENA + (1 << 20));
}

proptest! {
    #[test]
    fn foreign_data_is_never_a_heap(words in prop::collection::vec(any::<u64>(), 256)) {
        let mut target = FakeTarget::default();
        target.touch(AddressRange::sized(DATA, 0x1_0000));
        target.words(MHEAP, &words);
        prop_assert_eq!(claims(&program(true), &target, claim), []);
        prop_assert_eq!(claims(&program(false), &target, claim), []);
    }
}
