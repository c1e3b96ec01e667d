//! Subjects that change when told.

use plimsoll_subjects::Subject;

use crate::smaps::{assert_fits, read, sum, within};
use crate::{MIB, NEIGHBOURS};

fn anonymous(subject: &Subject) -> u64 {
    sum(&read(subject.pid), "Anonymous")
}

#[test]
fn grower() {
    for arguments in [
        &["--step-kib", "2048"][..],
        &["--step-kib", "2048", "--malloc"],
    ] {
        let mut subject = Subject::start("grower", arguments);
        let before = anonymous(&subject);
        assert_eq!(subject.number("step_bytes"), 2 * MIB);
        let mut answer = serde_json::Value::Null;
        for step in ["", "", "4096"] {
            answer = subject.tell(step);
        }
        assert_eq!(answer["steps"], 3);
        let told = answer["anon_bytes"].as_u64().unwrap();
        assert_fits("told", told, 8 * MIB, 3_000);
        // Blocks of 1000 bytes are chunks of 1008, and the heap ends up to 132 KiB after the last.
        assert_fits(
            "grown",
            anonymous(&subject) - before,
            told,
            told / 100 + (256 << 10),
        );
        assert_eq!(subject.tell("drop")["anon_bytes"], 0);
        if arguments.len() == 2 {
            assert_fits("left", anonymous(&subject), before, 64 << 10);
        } else {
            // What malloc keeps depends on what else lies above the freed blocks.
            assert!(anonymous(&subject) < before + told);
        }
        assert!(subject.finish().success());
    }
}

#[test]
fn saw_tooth() {
    let mut subject = Subject::start("saw_tooth", &["--step-mib", "2", "--steps", "3"]);
    let before = anonymous(&subject);
    let levels: Vec<u64> = (0..8)
        .map(|_| {
            let told = subject.tell("")["anon_bytes"].as_u64().unwrap();
            assert_fits("level", anonymous(&subject) - before, told, NEIGHBOURS);
            told / MIB
        })
        .collect();
    assert_eq!(levels, [2, 4, 6, 0, 2, 4, 6, 0]);
    assert_eq!(subject.number("peak_bytes"), 6 * MIB);
}

#[test]
fn mmap_stall() {
    let mut subject = Subject::start("mmap_stall", &["--mib", "64", "--vmas", "400"]);
    let address = subject.number("address");
    let bytes = subject.number("anon_bytes");
    let vmas = read(subject.pid);
    let ours = within(&vmas, address..address + bytes);
    assert_eq!(ours.len() as u64, subject.number("vmas"));
    assert_eq!(sum(ours, "Anonymous"), bytes);
    // The thread never pauses, so each answer sooner or later counts some operations.
    let mut count = 0;
    while count < 1_000 {
        let answer = subject.tell("");
        let number = |key: &str| answer[key].as_u64().unwrap();
        assert!(number("p50_nanoseconds") <= number("p99_nanoseconds"));
        assert!(number("p99_nanoseconds") <= number("max_nanoseconds"));
        count += number("count");
    }
    assert!(subject.finish().success());
}
