use plimsoll_model::{AddressRange, Breakdown, Snapshot};
use proptest::prelude::*;

use crate::fake::{self, FakeTarget};

use super::*;

const BASE: u64 = 0x7f00_0000_0000;

/// A slot as the library writes it, with a checksum that fits.
fn slot(sequence: u64, start_time: u64, written_at: u64, text: &[u8]) -> Vec<u8> {
    let mut bytes = b"plimsoll\x01\x00\x30\x00".to_vec();
    bytes.extend((text.len() as u32).to_le_bytes());
    for number in [sequence, start_time, written_at] {
        bytes.extend(number.to_le_bytes());
    }
    let mut sum = crc32fast::Hasher::new();
    sum.update(&bytes);
    sum.update(text);
    bytes.extend(sum.finalize().to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(text);
    bytes
}

fn record(kind: u16, numbers: &[u64], name: Option<&[u8]>) -> Vec<u8> {
    let mut payload: Vec<u8> = numbers.iter().flat_map(|it| it.to_le_bytes()).collect();
    if let Some(name) = name {
        payload.extend((name.len() as u16).to_le_bytes());
        payload.extend(name);
    }
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend((payload.len() as u16).to_le_bytes());
    bytes.extend(payload);
    bytes
}

fn snapshot() -> Snapshot {
    let mut mapping = fake::anonymous(AddressRange::sized(BASE, PAGE_BYTES), Bytes(0x2000));
    mapping.backing = Backing::Memfd(MEMFD_NAME.to_owned());
    mapping.permissions.shared = true;
    let mut snapshot = fake::snapshot(vec![mapping]);
    snapshot.taken_at = Duration::from_secs(10);
    snapshot
}

fn start_time() -> u64 {
    snapshot().process.id.start_time
}

fn look(first: &[u8], second: &[u8]) -> Breakdown {
    let mut target = FakeTarget::default();
    target.touch(AddressRange::sized(BASE, PAGE_BYTES));
    target.write(BASE, first).write(BASE + SLOT_BYTES, second);
    crate::breakdown(&snapshot(), &target)
}

fn of_text(text: &[u8]) -> Breakdown {
    look(&slot(1, start_time(), 9_000_000_000, text), &[])
}

#[test]
fn all_that_a_program_says_is_read() {
    let text = [
        record(1, &[700, 7, 900, 5000, 50], None),
        record(
            4,
            &[100, 1, 40, 60, 59, (-3_i64).cast_unsigned(), 2, 80],
            Some(b"main"),
        ),
        record(5, &[0, 30, 50, 4], Some(b"covers")),
        record(3, &[8_500_000_000, 100, u64::MAX], Some(b"import/batch")),
        record(2, &[600, 6, 800, 4000, 40], Some(b"thumb\xffnails")),
        record(99, &[1, 2, 3], Some(b"of a later version")),
        record(6, &[12], None),
    ]
    .concat();
    let found = of_text(&text);
    let [published] = &found.published[..] else {
        panic!("{:?}", found.gaps)
    };
    assert_eq!(published.age, Duration::from_secs(1));
    assert_eq!(published.total.unwrap().live, Bytes(700));
    assert_eq!(published.tags[0].name, "thumb\u{fffd}nails");
    assert_eq!(published.tags[0].counted.requested_blocks, 40);
    let stage = &published.stages[0];
    assert_eq!(
        (stage.path.as_str(), stage.open_for),
        ("import/batch", Duration::from_millis(500))
    );
    assert_eq!(
        (stage.begin_live, stage.peak_live),
        (Some(Bytes(100)), None)
    );
    let budget = &published.budgets[0];
    assert_eq!(
        (budget.name.as_str(), budget.drift, budget.waiting),
        ("main", -3, 2)
    );
    assert_eq!(budget.consumers[0].held_peak, Bytes(50));
    assert_eq!(published.left_out, 12);
    assert!(found.gaps.is_empty(), "{:?}", found.gaps);
}

#[test]
fn the_newest_whole_slot_counts() {
    let live = |bytes: u64| record(1, &[bytes, 0, 0, 0, 0], None);
    let of = |first: &[u8], second: &[u8]| {
        let found = look(first, second);
        found
            .published
            .first()
            .map(|published| published.total.unwrap().live.0)
    };
    let old = slot(7, start_time(), 1, &live(1));
    let new = slot(8, start_time(), 2, &live(2));
    assert_eq!(of(&old, &new), Some(2));
    assert_eq!(of(&new, &old), Some(2));
    for at in 0..new.len() {
        let mut torn = new.clone();
        torn[at] ^= 0x20;
        // The four spare bytes of the header are in no checksum.
        let expected = if (44..48).contains(&at) { 2 } else { 1 };
        assert_eq!(of(&torn, &old), Some(expected), "byte {at}");
    }
}

#[test]
fn what_makes_no_sense_is_one_gap() {
    let check = |first: &[u8], second: &[u8], expected: &str| {
        let found = look(first, second);
        assert!(found.published.is_empty());
        let details: Vec<&str> = found.gaps.iter().map(|gap| gap.detail.as_str()).collect();
        assert!(
            details.len() == 1 && details[0].contains(expected),
            "{details:?}"
        );
    };
    let good = slot(1, start_time(), 1, b"");
    let changed = |at: usize, byte: u8| {
        let mut slot = good.clone();
        slot[at] = byte;
        slot
    };
    check(&[], &[], "never written");
    check(b"garbage", &[], "something else");
    check(&changed(8, 9), &[], "version 9");
    check(&changed(13, 0xff), &[], "something else");
    check(&changed(16, 5), b"garbage", "checksum");
    // A record that is longer than what is left, and a consumer of no budget.
    let of_text = |text: &[u8]| slot(1, start_time(), 1, text);
    check(&of_text(&[2, 0, 0xff, 0xff]), &[], "lengths");
    check(
        &of_text(&record(5, &[u64::MAX, 1, 1, 1], Some(b"x"))),
        &[],
        "lengths",
    );
    // The parent's page in a child that has a copy of the mapping.
    check(&slot(1, start_time() + 1, 1, b""), &[], "another process");
}

#[test]
fn a_page_of_another_size_is_one_gap() {
    let mut cut = snapshot();
    cut.mappings[0].range.end -= 0x1000;
    let found = crate::breakdown(&cut, &FakeTarget::default());
    let about = found.gaps.iter().filter(|gap| gap.what == WHAT);
    assert_eq!(about.count(), 1, "{:?}", found.gaps);
    assert!(found.published.is_empty());
}

#[test]
fn sizes_of_a_liar_harm_no_sum() {
    let huge = [u64::MAX; 5];
    let found = of_text(&[record(1, &huge, None), record(2, &huge, Some(b"x"))].concat());
    assert_eq!(found.totals.usage.resident, Bytes(0x2000));
    assert_eq!(found.published[0].beyond_live(), None);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let found = of_text(&text);
        let entries: usize = found
            .published
            .iter()
            .map(|it| it.tags.len() + it.stages.len() + it.budgets.len())
            .sum();
        prop_assert!(entries <= text.len() / 4);
        prop_assert_eq!(found.published.len() + found.gaps.len(), 1);
    }

    #[test]
    fn any_page_is_read_or_refused(page in proptest::collection::vec(any::<u8>(), 0..200)) {
        let found = look(&page, &page);
        prop_assert!(found.published.is_empty());
    }
}
