use plimsoll_model::{AddressRange, Bytes, Snapshot};

use super::*;
use crate::fake::{FakeTarget, anonymous};
use crate::owners::fake_image::{add_image, claims, process};

const DATA: u64 = 0x7f00_0000_0000;
const BRK: AddressRange = AddressRange::new(0x5600_0000_0000, 0x5600_0010_0000);

fn program() -> Snapshot {
    let mut snapshot = process(&[]);
    let mut brk = anonymous(BRK, Bytes::ZERO);
    brk.backing = Backing::Heap;
    snapshot.mappings.push(brk);
    add_image(
        &mut snapshot,
        "/usr/lib/libtcmalloc_minimal.so.4",
        AddressRange::sized(DATA, 0x4000),
        &[("tc_malloc", AddressRange::sized(DATA + 0x10, 64))],
    );
    snapshot
}

#[test]
fn the_brk_area_is_tcmallocs_when_its_data_points_there() {
    let pointers: Vec<u64> = (0..POINTERS_MIN as u64)
        .map(|index| BRK.start + 64 * index)
        .collect();
    let mut target = FakeTarget::default();
    target.words(DATA + 0x1000, &pointers);
    let found = claims(&program(), &target, claim);
    assert_eq!(found, [(BRK, "brk area".to_owned(), None)]);

    target.words(DATA + 0x1000, &[0]);
    assert_eq!(claims(&program(), &target, claim), [], "too few pointers");

    let mut snapshot = program();
    snapshot.images.clear();
    assert_eq!(claims(&snapshot, &target, claim), [], "not loaded");
}
