//! The truth row of the subject on jemalloc against the kernel's own figures.

use plimsoll_subjects::Subject;

#[test]
fn jemalloc_blocks() {
    let subject = Subject::start("jemalloc_blocks", &["--count", "100000", "--size", "100"]);
    assert_eq!(subject.number("live_blocks"), 50_000);
    let told = |key: &str| subject.truth["jemalloc"][key].as_u64().unwrap();
    // Blocks of 100 bytes are in the size class of 112.
    let live = 50_000 * 112 + subject.number("large_bytes") + subject.number("table_bytes");
    assert!(
        (live..live + (1 << 20)).contains(&told("allocated_bytes")),
        "{}",
        subject.truth
    );
    assert!(told("active_bytes") >= told("allocated_bytes"));
    assert!(told("resident_bytes") <= told("mapped_bytes"));

    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", subject.pid)).unwrap();
    let anonymous = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Anonymous:"))
        .unwrap();
    let anonymous: u64 = anonymous.trim().trim_end_matches(" kB").parse().unwrap();
    // All that lives in jemalloc is written; its own figure of what is resident is an upper bound,
    // to which the stack, data segments and the C library's own heap come.
    assert!(anonymous * 1024 >= live);
    assert!(
        anonymous * 1024 <= told("resident_bytes") + (2 << 20),
        "{anonymous} kB"
    );
}
