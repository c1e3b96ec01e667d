use plimsoll_model::Snapshot;
use proptest::prelude::*;

use super::*;
use crate::fake::FakeTarget;
use crate::owners::fake_image::{add_image, claims, process};

const BASE: u64 = 0x7f00_0000_0000;
/// The arena starts on a page, not on a pool.
const ARENA: u64 = BASE + 0x3000;
const HEAP: u64 = 0x5500_0000_0000;
const DATA: u64 = 0x5400_0000_0000;

fn python() -> Snapshot {
    let mut snapshot = process(&[
        AddressRange::sized(HEAP, 1 << 20),
        AddressRange::sized(BASE, 8 << 20),
    ]);
    let function = AddressRange::sized(DATA + 0x800, 64);
    add_image(
        &mut snapshot,
        "/usr/lib/libpython3.11.so.1.0",
        AddressRange::sized(DATA, 0x4000),
        &[("PyObject_Malloc", function)],
    );
    snapshot
}

/// A header of 64-byte blocks, `live` of the first eight in use.
fn header(address: u64, layout: &Layout, arena_index: u32, live: u32) -> Vec<u8> {
    let size = 64_u64;
    let mut bytes = Vec::new();
    bytes.extend(u64::from(live).to_ne_bytes());
    bytes.extend((address + HEADER + size).to_ne_bytes());
    bytes.extend(DATA.to_ne_bytes());
    bytes.extend(DATA.to_ne_bytes());
    bytes.extend(arena_index.to_ne_bytes());
    bytes.extend(3_u32.to_ne_bytes());
    bytes.extend(((HEADER + 8 * size) as u32).to_ne_bytes());
    bytes.extend(((layout.pool - size) as u32).to_ne_bytes());
    bytes
}

/// Four pools of arena 2 in `ARENA`, and the table entry that names it.
fn with_arena(layout: &Layout) -> FakeTarget {
    let mut target = FakeTarget::default();
    let first = ARENA.next_multiple_of(layout.pool);
    for pool in 0..4 {
        let address = first + pool * layout.pool;
        target.write(address, &header(address, layout, 2, 5));
    }
    let pools = (ARENA + layout.arena - first) / layout.pool;
    let table = HEAP + 0x1000;
    target.touch(AddressRange::sized(DATA, 0x4000));
    target.words(DATA + 0x100, &[table]);
    target.words(
        table + 2 * ARENA_OBJECT,
        &[ARENA, first + 4 * layout.pool, pools << 32, 0, 0, 0],
    );
    target
}

#[test]
fn an_arena_of_the_table_is_claimed_whole() {
    for layout in &LAYOUTS {
        let found = claims(&python(), &with_arena(layout), claim);
        let arena = AddressRange::sized(ARENA, layout.arena);
        let live = 4 * 5 * 64;
        assert_eq!(
            found,
            [(arena, "small-object arenas".to_owned(), Some(live))]
        );
    }
}

#[test]
fn pools_without_a_table_are_claimed_alone() {
    let layout = &LAYOUTS[0];
    let mut target = with_arena(layout);
    target.words(DATA + 0x100, &[0]);
    let stray = BASE + (6 << 20);
    target.write(stray, &header(stray, layout, 9, 1));
    let found = claims(&python(), &target, claim);
    assert_eq!(
        found.len(),
        4,
        "the stray pool has no neighbours: {found:?}"
    );
    assert!(
        found
            .iter()
            .all(|(range, ..)| range.size().0 == layout.pool)
    );
}

#[test]
fn a_table_that_contradicts_itself_is_not_believed() {
    let layout = &LAYOUTS[0];
    for wrong in [
        [ARENA + 1, 0, 63 << 32],
        [ARENA, ARENA + (2 << 20), 63 << 32],
        [ARENA, ARENA.next_multiple_of(layout.pool), 64 << 32],
        [ARENA, ARENA.next_multiple_of(layout.pool), (63 << 32) | 64],
    ] {
        let mut target = with_arena(layout);
        target.words(HEAP + 0x1000 + 2 * ARENA_OBJECT, &wrong);
        let found = claims(&python(), &target, claim);
        assert!(
            found
                .iter()
                .all(|(range, ..)| range.size().0 == layout.pool),
            "{wrong:x?}: {found:?}"
        );
    }
}

#[test]
fn nothing_is_claimed_without_an_interpreter() {
    let mut snapshot = python();
    snapshot.images.clear();
    assert_eq!(claims(&snapshot, &with_arena(&LAYOUTS[0]), claim), []);
}

#[test]
fn every_field_of_a_pool_header_counts() {
    let layout = &LAYOUTS[0];
    let address = BASE;
    let good = header(address, layout, 2, 5);
    assert_eq!(
        Pool::parse(address, &good, layout).map(|pool| pool.live),
        Some(320)
    );
    let words: [(usize, u64, &str); 8] = [
        (0, 9, "more in use than carved"),
        (8, 0, "no free block though not full"),
        (8, address + HEADER + 8, "free block off the grid"),
        (8, address + layout.pool, "free block outside"),
        (8, address + HEADER + 8 * 64, "free block not carved yet"),
        (16, 0x123, "odd link"),
        (24, 1 << 50, "link outside user space"),
        (36, 4 | ((HEADER + 512) << 32), "class of another size"),
    ];
    for (at, word, what) in words {
        let mut bad = good.clone();
        bad[at..at + 8].copy_from_slice(&word.to_ne_bytes());
        assert_eq!(Pool::parse(address, &bad, layout), None, "{what}");
    }
    let halves: [(usize, u32, &str); 3] = [
        (40, 47, "carved into the header"),
        (40, 48 + 8 * 64 + 1, "carved off the grid"),
        (44, 16, "room for less than a block"),
    ];
    for (at, half, what) in halves {
        let mut bad = good.clone();
        bad[at..at + 4].copy_from_slice(&half.to_ne_bytes());
        assert_eq!(Pool::parse(address, &bad, layout), None, "{what}");
    }
    assert_eq!(Pool::parse(address, &good, &LAYOUTS[1]), None);
    assert_eq!(Pool::parse(address + 32, &good, layout), None);
}

#[test]
fn a_full_pool_has_no_free_block() {
    let layout = &LAYOUTS[0];
    let capacity = (layout.pool - HEADER) / 64;
    let mut full = header(BASE, layout, 0, capacity as u32);
    full[8..16].fill(0);
    let carved = (HEADER + capacity * 64) as u32;
    full[40..44].copy_from_slice(&carved.to_ne_bytes());
    let pool = Pool::parse(BASE, &full, layout).expect("full");
    assert_eq!(pool.live, pool.capacity);
}

proptest! {
    #[test]
    fn foreign_bytes_are_never_a_pool(bytes in prop::collection::vec(any::<u8>(), 48)) {
        for layout in &LAYOUTS {
            prop_assert_eq!(Pool::parse(BASE, &bytes, layout), None);
        }
    }

    #[test]
    fn foreign_memory_is_never_claimed(words in prop::collection::vec(any::<u64>(), 6 * 16)) {
        let mut target = FakeTarget::default();
        for (pool, header) in words.chunks(6).enumerate() {
            target.words(BASE + 0x4000 * pool as u64, header);
        }
        prop_assert_eq!(claims(&python(), &target, claim), []);
    }
}
