//! Super pages on made-up memory, look-alikes included.

use plimsoll_model::{Bytes, Snapshot};
use proptest::prelude::*;

use super::*;
use crate::fake::{self, FakeTarget, PAGE};
use crate::owners::fake_image::{claims, process, reserve};
use crate::owners::v8::CODE_MIN;

const CODE: u64 = 0x40_0000;
const ROOT: u64 = 0x5500_0000_0000;
const POOL: u64 = 0x4800_0000_0000;
/// Where metadata lies apart.
const APART: u64 = 0x3200_0000_d000;

fn super_page(index: u64) -> u64 {
    POOL + index * SUPER_PAGE
}

/// A program with code and data, with so many super pages behind guards, and their metadata.
fn browser(pages: u64, metadata: fn(u64) -> u64) -> Snapshot {
    let mut mappings = vec![AddressRange::sized(ROOT, 1 << 20)];
    for index in 0..pages {
        let start = super_page(index) + 0x4000;
        mappings.push(AddressRange::new(start, start + 0x10_0000));
        mappings.push(AddressRange::sized(metadata(index), PAGE));
    }
    mappings.sort_unstable();
    let mut snapshot = process(&mappings);
    let mut code = fake::file(AddressRange::sized(CODE, CODE_MIN), 0, 1, Bytes::ZERO);
    code.permissions.execute = true;
    snapshot.mappings.push(code);
    reserve(&mut snapshot, AddressRange::sized(POOL - PAGE, PAGE));
    snapshot
}

fn apart(index: u64) -> u64 {
    APART + index * SUPER_PAGE
}

fn inside(index: u64) -> u64 {
    super_page(index) + PAGE
}

/// `head` of the first span's free slots; 0 for none.
fn describe(target: &mut FakeTarget, metadata: u64, next: u64, head: u64, bucket: u64) {
    target.touch(AddressRange::sized(metadata, PAGE));
    target.words(metadata, &[ROOT, next, 0x2_0001, 0]);
    target.words(metadata + 32, &[head, 0, bucket, 0x40_0000]);
}

#[test]
fn super_pages_are_claimed_wherever_their_metadata_lies() {
    for metadata in [apart as fn(u64) -> u64, inside] {
        let mut target = FakeTarget::default();
        let slot = super_page(0) + 0x5000;
        describe(&mut target, metadata(0), metadata(1), slot, ROOT + 0x138);
        // The second one has no free slot: it lies as far from its metadata as the first.
        describe(&mut target, metadata(1), 0, 0, ROOT + 0x170);
        let found = claims(&browser(2, metadata), &target, claim);
        let of = |part: &str| found.iter().filter(|found| found.1.contains(part)).count();
        assert_eq!(
            of("partition 550000000000"),
            if metadata(0) == apart(0) { 2 } else { 4 }
        );
        for index in 0..2 {
            let payload = AddressRange::sized(super_page(index) + 0x4000, 0x10_0000);
            assert!(found.iter().any(|found| found.0 == payload), "{found:?}");
        }
    }
}

#[test]
fn a_block_of_its_own_goes_on_over_super_pages() {
    let mut snapshot = browser(1, apart);
    let long = AddressRange::sized(super_page(0) + 0x4000, 3 * SUPER_PAGE);
    for mapping in &mut snapshot.mappings {
        if mapping.range.start == long.start {
            mapping.range = long;
        }
    }
    let mut target = FakeTarget::default();
    let slot = super_page(0) + 0x4000;
    describe(&mut target, apart(0), 0, slot, apart(0) + 0x80);
    let found = claims(&snapshot, &target, claim);
    assert!(found.iter().any(|found| found.0 == long), "{found:?}");
}

#[test]
fn what_does_not_agree_claims_nothing() {
    let slot = super_page(0) + 0x5000;
    let bucket = ROOT + 0x138;
    let wrong: [(u64, u64, u64); 4] = [
        // The next extent's metadata lies elsewhere in its super page.
        (apart(1) + PAGE, slot, bucket),
        // A bucket of nobody.
        (0, slot, ROOT + 0x10_0000),
        // Nobody says where the super page is.
        (0, 0, bucket),
        (0, slot, 0),
    ];
    for (next, head, bucket) in wrong {
        let mut target = FakeTarget::default();
        describe(&mut target, apart(0), next, head, bucket);
        assert_eq!(claims(&browser(1, apart), &target, claim), []);
    }
    // Free slots in two super pages.
    let mut target = FakeTarget::default();
    describe(&mut target, apart(0), 0, slot, bucket);
    target.words(apart(0) + 64, &[super_page(1) + 0x5000, 0, bucket, 0]);
    assert_eq!(claims(&browser(1, apart), &target, claim), []);
}

proptest! {
    #[test]
    fn random_metadata_never_escapes(
        seed in proptest::collection::vec(any::<u64>(), 64),
        small in proptest::collection::vec(0..4_u64, 64),
    ) {
        let mut target = FakeTarget::default();
        target.touch(AddressRange::sized(apart(0), PAGE));
        target.touch(AddressRange::sized(apart(1), PAGE));
        target.words(apart(0), &seed);
        let near: Vec<u64> = small.iter().map(|word| [0, ROOT, ROOT + 64, super_page(0) + 0x5000][*word as usize]).collect();
        target.words(apart(1), &near);
        let snapshot = browser(2, apart);
        for (range, ..) in claims(&snapshot, &target, claim) {
            let is_known = snapshot.mappings.iter().any(|mapping| mapping.range.covers(range));
            prop_assert!(is_known);
        }
    }
}
