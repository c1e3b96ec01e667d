//! `parse_rollup`: its counters are those that `parse_smaps` reads from the same lines, and they
//! come back when they are printed again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_model::Bytes;
use plimsoll_probe::{Rollup, parse_rollup, parse_smaps};

fuzz_target!(|text: &[u8]| {
    let Some(rollup) = parse_rollup(text) else {
        return;
    };
    let mut record = b"00000000-00001000 ---p 00000000 00:00 0 \n".to_vec();
    for line in text.split(|byte| *byte == b'\n') {
        if line.first().is_some_and(u8::is_ascii_uppercase) {
            record.extend_from_slice(line);
            record.push(b'\n');
        }
    }
    let smaps = parse_smaps(&record);
    assert_eq!(smaps.malformed, 0);
    assert_eq!(smaps.mappings[0].counters, rollup.counters);
    assert_eq!(parse_rollup(print(&rollup).as_bytes()), Some(rollup));
});

fn print(rollup: &Rollup) -> String {
    let counters = &rollup.counters;
    let mut text = String::from("00400000-7fff0000 ---p 00000000 00:00 0    [rollup]\n");
    let lines = [
        ("Rss", Some(counters.rss)),
        ("Pss", Some(counters.pss)),
        ("Pss_Dirty", rollup.pss_dirty),
        ("Pss_Anon", rollup.pss_anon),
        ("Pss_File", rollup.pss_file),
        ("Pss_Shmem", rollup.pss_shmem),
        ("Shared_Clean", Some(counters.shared_clean)),
        ("Shared_Dirty", Some(counters.shared_dirty)),
        ("Private_Clean", Some(counters.private_clean)),
        ("Private_Dirty", Some(counters.private_dirty)),
        ("Referenced", Some(counters.referenced)),
        ("Anonymous", Some(counters.anonymous)),
        ("LazyFree", Some(counters.lazy_free)),
        ("AnonHugePages", Some(counters.anon_huge)),
        ("Shared_Hugetlb", Some(counters.hugetlb)),
        ("Swap", Some(counters.swap)),
        ("SwapPss", Some(counters.swap_pss)),
        ("Locked", Some(counters.locked)),
    ];
    for (label, bytes) in lines {
        if let Some(Bytes(bytes)) = bytes {
            // Rounded up, so that a figure at the top of the range comes back as that.
            let kilobytes = bytes.div_ceil(1024);
            text += &format!("{label}:{kilobytes:>16} kB\n");
        }
    }
    text
}
