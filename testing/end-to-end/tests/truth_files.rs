//! Files: deleted, dirty, and with names that would spoil a careless report.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use plimsoll_end_to_end::{Plimsoll, Report};
use plimsoll_subjects::Subject;
use serde_json::Value;

fn number(value: &Value, key: &str) -> u64 {
    value[key]
        .as_u64()
        .unwrap_or_else(|| panic!("no {key} in {value}"))
}

#[test]
fn deleted_file() {
    let subject = Subject::start("deleted_file", &["--mib", "8"]);
    let report = Report::of(subject.pid);
    let file = report.only("model.weights");
    assert_eq!(file["kind"], "file");
    assert_eq!(
        number(file, "resident_bytes"),
        subject.number("resident_bytes")
    );
    assert!(
        file["name"].as_str().unwrap().ends_with(" (deleted)"),
        "{file}"
    );
    let text = Plimsoll::new(["inspect", &subject.pid.to_string()])
        .call()
        .ok();
    assert!(text.contains("model.weights (deleted)"), "{text}");
}

#[test]
fn dirty_file() {
    let mut subject = Subject::start("dirty_file", &["--mib", "16", "--dirty-mib", "6"]);
    let dirty = subject.number("dirty_bytes");
    // A system that writes back early may have cleaned some: then they are dirtied again.
    let mut found = Vec::new();
    for _ in 0..5 {
        let report = Report::of(subject.pid);
        let file = report.find(|component| component["name"] == subject.text("file"))[0].clone();
        assert_eq!(
            number(&file, "resident_bytes"),
            subject.number("resident_bytes")
        );
        let waits = number(&file["reclaim"], "after_writeback_bytes");
        assert_eq!(waits, number(&file, "dirty_bytes"));
        assert_eq!(
            number(&file["reclaim"], "droppable_bytes"),
            subject.number("resident_bytes") - waits
        );
        found.push(waits);
        if waits == dirty {
            break;
        }
        subject.tell("again");
    }
    assert_eq!(found.last(), Some(&dirty), "{found:?}");
}

/// Each file once, with its exact bytes, its own name, and in every output without a control
/// character that it could smuggle in.
#[test]
fn odd_file_names() {
    let subject = Subject::start("odd_file_names", &["--kib", "256"]);
    let report = Report::of(subject.pid);
    let files = report.find(|component| component["kind"] == "file");
    let files: Vec<&&Value> = files
        .iter()
        .filter(|file| number(file, "resident_bytes") == 256 << 10)
        .collect();
    let expected = subject.truth["files"].as_array().unwrap();
    assert_eq!(files.len(), expected.len(), "{}", report.outline());
    for row in expected {
        let path: Vec<u8> = row["path_bytes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|byte| u8::try_from(byte.as_u64().unwrap()).unwrap())
            .collect();
        // The kernel writes a newline as \012 and a backslash as itself, so that of two names with
        // the same text the report can only tell the text.
        let own = String::from_utf8_lossy(&path).into_owned();
        let as_the_kernel = row["maps_text"].as_str().unwrap();
        let names = [own.as_str(), as_the_kernel];
        let ours = files
            .iter()
            .filter(|file| names.contains(&file["name"].as_str().unwrap()));
        assert_eq!(ours.count(), 1, "{names:?} in {}", report.outline());
    }
    let pid = subject.pid.to_string();
    let text = Plimsoll::new(["inspect", "--all", &pid]).call().ok();
    let control = text.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(control, None, "{text}");
    assert!(!text.lines().any(|line| line.starts_with("line")), "{text}");
    assert!(text.contains("still here (deleted)"), "{text}");
}

/// Two files of the same name, as when a database is replaced while it is open, are two owners, or
/// one that says nothing of one file alone.
#[test]
fn two_files_of_one_name() {
    let subject = Subject::start("memfd", &["--mib", "4", "--name", "twin"]);
    let report = Report::of(subject.pid);
    let twin = report.only("twin");
    assert_eq!(number(twin, "file_bytes"), subject.number("shmem_bytes"));
    let Some(python) = plimsoll_end_to_end::program(&["python3"]) else {
        return plimsoll_end_to_end::skip("two files of one name", "python3 is not installed");
    };
    let program = "
import mmap, os, sys
maps = []
for mib in (2, 6):
    fd = os.memfd_create('twin')
    os.truncate(fd, mib << 20)
    maps.append(mmap.mmap(fd, mib << 20))
    maps[-1].write(b'x' * (mib << 20))
print('ready {\"shmem_bytes\": %d}' % (8 << 20), flush=True)
sys.stdin.read()
";
    let mut command = std::process::Command::new(python);
    command.args(["-c", program]);
    let subject = Subject::start_command("twins", command);
    let report = Report::of(subject.pid);
    let twins = report.named("twin");
    let resident: u64 = twins
        .iter()
        .map(|twin| number(twin, "resident_bytes"))
        .sum();
    assert_eq!(
        resident,
        subject.number("shmem_bytes"),
        "{}",
        report.outline()
    );
    for twin in &twins {
        if let Some(length) = twin["file_bytes"].as_u64() {
            assert_eq!(length, number(twin, "resident_bytes"), "{twin}");
        }
        if let Some(cached) = twin["cache"]["cached_bytes"].as_u64() {
            assert_eq!(cached, number(twin, "resident_bytes"), "{twin}");
        }
    }
}
