//! Recorded texts, hand-made variants of other kernels, and properties of the smaps parser.

use plimsoll_model::{Backing, Bytes, Counters};
use proptest::prelude::*;

use super::*;
use crate::maps::parse_maps;

const RECORDED: &[u8] = include_bytes!("../../fixtures/linux-6.18/python.smaps");
const MAPS: &[u8] = include_bytes!("../../fixtures/linux-6.18/python.maps");
const ROLLUP: &[u8] = include_bytes!("../../fixtures/linux-6.18/python.smaps_rollup");
const LINUX_4_14: &[u8] = include_bytes!("../../fixtures/linux-4.14/made.smaps");
const LINUX_5_10: &[u8] = include_bytes!("../../fixtures/linux-5.10/made.smaps");

fn sum(parsed: &ParsedMappings) -> Counters {
    let mut sum = Counters::default();
    for mapping in &parsed.mappings {
        sum += mapping.counters;
    }
    sum
}

/// The same text through the line parser alone.
fn parse_by_lines(text: &[u8]) -> ParsedMappings {
    let mut parser = SmapsParser {
        layout: Learned::Irregular,
        ..SmapsParser::default()
    };
    let consumed = parser.feed(text);
    parser.finish(&text[consumed..])
}

#[test]
fn a_recorded_process_agrees_with_its_maps_and_rollup() {
    let parsed = parse_smaps(RECORDED);
    assert_eq!(parsed.malformed, 0);
    assert_eq!(parsed, parse_by_lines(RECORDED));
    let maps = parse_maps(MAPS);
    let strip = |parsed: &ParsedMappings| {
        let ranges = parsed.mappings.iter();
        ranges
            .map(|m| (m.range, m.permissions, m.backing.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(strip(&parsed), strip(&maps));
    let rollup = parse_rollup(ROLLUP).expect("a rollup");
    let sum = sum(&parsed);
    assert_eq!(sum.rss, rollup.counters.rss);
    assert_eq!(sum.anonymous, rollup.counters.anonymous);
    assert_eq!(sum.private(), rollup.counters.private());
    assert_eq!(sum.rss, sum.private() + sum.shared());
    let parts = [rollup.pss_anon, rollup.pss_file, rollup.pss_shmem];
    let parts: Bytes = parts.into_iter().map(|part| part.expect("a part")).sum();
    // Each part is rounded down to a kB by the kernel.
    assert!(rollup.counters.pss.0.abs_diff(parts.0) <= 3 * 1024);
}

#[test]
fn the_fixed_layout_is_learned_from_real_texts() {
    for text in [RECORDED, LINUX_5_10, LINUX_4_14] {
        let mut parser = SmapsParser::default();
        parser.feed(text);
        assert!(matches!(parser.layout, Learned::Fixed(_)));
        assert_eq!(parse_smaps(text), parse_by_lines(text));
        assert_eq!(parse_smaps(text).malformed, 0);
    }
}

#[test]
fn older_kernels() {
    let parsed = parse_smaps(LINUX_4_14);
    let heap = &parsed.mappings[1];
    assert_eq!(heap.backing, Backing::Heap);
    assert_eq!(heap.counters.rss, Bytes::kib(132));
    assert_eq!(heap.counters.pss, Bytes::kib(66));
    assert_eq!(heap.counters.locked, Bytes::kib(132));
    assert_eq!(heap.counters.swap, Bytes::kib(8));
    assert!(heap.flags.locked);
    assert_eq!(heap.counters.swap_pss, Bytes::ZERO);

    let parsed = parse_smaps(LINUX_5_10);
    assert_eq!(parsed.mappings.len(), 3);
    assert_eq!(parsed.mappings[2].counters.hugetlb, Bytes::mib(4));
    assert_eq!(parsed.mappings[2].counters.rss, Bytes::ZERO);
    let huge = Backing::Hugetlb("/mnt/huge/pool".into());
    assert_eq!(parsed.mappings[2].backing, huge);
}

#[test]
fn a_record_of_another_form_goes_through_the_line_parser() {
    // Nine digits of kB (100 GB and more) widen their line.
    let wide = String::from_utf8_lossy(RECORDED).replacen(
        "Size:                  4 kB",
        "Size:          123456789 kB",
        40,
    );
    let parsed = parse_smaps(wide.as_bytes());
    assert_eq!(parsed.malformed, 0);
    assert_eq!(sum(&parsed), sum(&parse_smaps(RECORDED)));
}

#[test]
fn numbers_in_eight_places() {
    let check = |text: &[u8; 8], expected| assert_eq!(padded_number(*text), expected, "{text:?}");
    check(b"       0", Some(0));
    check(b"       7", Some(7));
    check(b"      42", Some(42));
    check(b"99999999", Some(99_999_999));
    check(b"12345678", Some(12_345_678));
    check(b"        ", None);
    check(b"1      2", None);
    check(b"12      ", None);
    check(b"     -12", None);
    check(b"     1:2", None);
    check(b"      \xb0\xb1", None);
    check(b"     !12", None);
}

#[test]
fn a_text_without_counters_is_no_rollup() {
    assert_eq!(parse_rollup(b""), None);
    assert_eq!(parse_rollup(b"Rss: x kB\n"), None);
}

#[test]
fn a_hundred_thousand_mappings_in_pieces() {
    let record = &RECORDED[RECORDED
        .iter()
        .position(|byte| *byte == b'\n')
        .expect("a line")..];
    let end = record.windows(8).position(|window| window == b"VmFlags:");
    let record = &record[..end.expect("flags")];
    let one = parse_smaps(&[b"1000-2000 rw-p 0 00:00 0".as_slice(), record].concat());
    let one = one.mappings[0].counters;
    let mut parser = SmapsParser::default();
    let mut pending = Vec::new();
    for number in 1..=100_000_u64 {
        let header = format!("{:x}-{:x} rw-p 0 00:00 0", number << 12, (number + 1) << 12);
        pending.extend_from_slice(header.as_bytes());
        pending.extend_from_slice(record);
        // Cut as read(2) does, in the middle of a line.
        if pending.len() > 4000 {
            let cut = pending.len() - 7;
            let consumed = parser.feed(&pending[..cut]);
            pending.drain(..consumed);
        }
    }
    let consumed = parser.feed(&pending);
    let parsed = parser.finish(&pending[consumed..]);
    assert_eq!((parsed.mappings.len(), parsed.malformed), (100_000, 0));
    assert_eq!(sum(&parsed).rss, Bytes(one.rss.0 * 100_000));
    assert!(!one.rss.is_zero());
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = parse_smaps(&bytes);
        let _ = parse_rollup(&bytes);
    }

    #[test]
    fn never_panics_on_damaged_texts(
        damage in proptest::collection::vec((0..RECORDED.len(), any::<u8>()), 1..20),
    ) {
        let mut text = RECORDED.to_vec();
        for (at, byte) in damage {
            text[at] = byte;
        }
        let parsed = parse_smaps(&text);
        let by_lines = parse_by_lines(&text);
        // The fixed places may refuse what the line parser reads, never the other way round.
        prop_assert!(parsed.mappings == by_lines.mappings);
    }

    #[test]
    fn numbers_come_back(number in 0_u64..100_000_000) {
        let text = format!("{number:8}");
        let bytes = text.as_bytes().try_into().expect("eight bytes");
        prop_assert_eq!(padded_number(bytes), Some(number));
    }

    #[test]
    fn pieces_give_what_the_whole_gives(cuts in proptest::collection::vec(1_usize..9000, 1..40)) {
        let mut parser = SmapsParser::default();
        let mut pending: Vec<u8> = Vec::new();
        let mut rest = RECORDED;
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            pending.extend_from_slice(piece);
            let consumed = parser.feed(&pending);
            pending.drain(..consumed);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(parser.finish(&pending), parse_smaps(RECORDED));
    }
}
