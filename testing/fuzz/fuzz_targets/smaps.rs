//! `parse_smaps`: reading counters at fixed places gives what reading line by line gives, and the
//! headers are those that `parse_maps` reads.
//!
//! RSS is not compared with the sum of its classes: a hostile text may state anything.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_model::Mapping;
use plimsoll_probe::{parse_maps, parse_smaps};

/// A first record without counters has no fixed form to learn, which turns the fast path off.
const NOTHING_TO_LEARN: &[u8] = b"00000000-00000000 ---p 00000000 00:00 0 \nVmFlags:\n";

fuzz_target!(|text: &[u8]| {
    let fast = parse_smaps(text);
    let line_by_line = parse_smaps(&[NOTHING_TO_LEARN, text].concat());
    // Counter lines at the head of the text have no mapping in the one and a mapping in the other.
    if !text.first().is_some_and(u8::is_ascii_uppercase) && !text.starts_with(b"\n") {
        assert_eq!(fast.mappings[..], line_by_line.mappings[1..]);
        assert_eq!(fast.malformed, line_by_line.malformed);
    }

    let whole_lines = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(&[][..], |end| &text[..end]);
    let headers: Vec<&[u8]> = whole_lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.first().is_some_and(u8::is_ascii_uppercase))
        .collect();
    let maps = parse_maps(&headers.join(&b'\n'));
    assert!(maps.malformed <= fast.malformed);
    // Names are left out: VmFlags may tell that a mapping is of huge pages.
    let header = |mapping: &Mapping| {
        (
            mapping.range,
            mapping.permissions,
            mapping.offset,
            mapping.file,
        )
    };
    assert!(
        fast.mappings
            .iter()
            .map(header)
            .eq(maps.mappings.iter().map(header))
    );
});
