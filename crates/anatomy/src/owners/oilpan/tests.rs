//! Pages of garbage-collected objects on made-up memory, look-alikes included.

use plimsoll_model::{Bytes, Snapshot};

use super::*;
use crate::fake::{self, FakeTarget};
use crate::owners::fake_image::{claims, process};
use crate::owners::v8::CODE_MIN;

const CODE: u64 = 0x40_0000;
const HEAP: u64 = 0x5500_0000_0000;
const SPACE: u64 = HEAP + 0x1000;
const LARGE: u64 = HEAP + 0x2000;
const LIST: u64 = HEAP + 0x3000;
const CAGE: u64 = 0x3400_0200_0000;

fn page(index: u64) -> u64 {
    CAGE + index * PAGE
}

fn browser(pages: u64) -> Snapshot {
    let mut snapshot = process(&[
        AddressRange::sized(CAGE, pages * PAGE),
        AddressRange::sized(HEAP, 1 << 20),
    ]);
    let mut code = fake::file(AddressRange::sized(CODE, CODE_MIN), 0, 1, Bytes::ZERO);
    code.permissions.execute = true;
    snapshot.mappings.insert(0, code);
    snapshot
}

/// A space whose list has these pages, of which each names it.
fn space(target: &mut FakeTarget, at: u64, list: u64, is_large: bool, pages: &[u64]) {
    let end = list + 8 * pages.len() as u64;
    target.words(
        at,
        &[
            CODE + 0x100,
            HEAP + 8,
            list,
            end,
            end,
            0,
            3,
            is_large.into(),
        ],
    );
    target.words(list, pages);
    target.touch(AddressRange::sized(HEAP, 0x100));
    for page in pages {
        target.words(*page, &[HEAP, at]);
    }
}

#[test]
fn pages_on_the_list_of_their_space_are_claimed() {
    let mut target = FakeTarget::default();
    space(&mut target, SPACE, LIST, false, &[page(0), page(2)]);
    space(&mut target, LARGE, LIST + 0x100, true, &[page(3)]);
    // Names the space, which knows nothing of it.
    target.words(page(1), &[HEAP, SPACE]);
    let found = claims(&browser(6), &target, claim);
    let expected = [
        (page(0), PAGE, "pages"),
        (page(2), PAGE, "pages"),
        (page(3), 3 * PAGE, "large objects"),
    ];
    let expected = expected
        .map(|(start, size, part)| (AddressRange::sized(start, size), part.to_owned(), None));
    assert_eq!(found, expected);
}

#[test]
fn a_space_that_does_not_name_its_heap_claims_nothing() {
    for (at, wrong) in [(0, HEAP), (1, HEAP + 0x1000), (2, 1), (3, 0), (4, 0)] {
        let mut target = FakeTarget::default();
        space(&mut target, SPACE, LIST, false, &[page(0), page(1)]);
        target.words(SPACE + 8 * at, &[wrong]);
        assert_eq!(claims(&browser(2), &target, claim), [], "word {at}");
    }
}
