//! Works without privilege on one's own processes, and says what is missing on others'.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use plimsoll_end_to_end::{Plimsoll, Report, Scratch, is_root, program, skip};
use plimsoll_subjects::Subject;

/// Runs what follows as the user nobody, without any capability.
const NOBODY: [&str; 4] = [
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
];

fn can_become_nobody(test: &str) -> bool {
    if !is_root() {
        skip(test, "only root can become another user");
        return false;
    }
    if program(&["setpriv"]).is_none() {
        skip(test, "setpriv is not installed");
        return false;
    }
    // The target folder may lie where nobody may not go.
    let call = Plimsoll::under(&NOBODY, ["--version"]).call();
    if call.code != Some(0) {
        skip(
            test,
            format!("nobody may not run the command: {}", call.stderr.trim()),
        );
        return false;
    }
    true
}

/// A subject that runs as nobody, in a folder that is nobody's.
fn subject_of_nobody(name: &str, arguments: &[&str]) -> Subject {
    let mut command = std::process::Command::new(NOBODY[0]);
    command
        .args(&NOBODY[1..])
        .arg(Subject::executable(name))
        .args(arguments);
    Subject::start_command(name, command)
}

#[test]
fn own_processes() {
    if !can_become_nobody("own processes") {
        return;
    }
    for (name, arguments) in [
        ("malloc_blocks", &["--count", "100000"][..]),
        ("named_threads", &["--threads", "20"]),
        ("memfd", &["--mib", "8"]),
    ] {
        let subject = subject_of_nobody(name, arguments);
        let pid = subject.pid.to_string();
        for method in ["smaps", "walk"] {
            let arguments = ["inspect", "--format", "json", "--method", method, &pid];
            let report = Report::new(Plimsoll::under(&NOBODY, arguments).call().json());
            let kernel = plimsoll_end_to_end::Resident::read(subject.pid);
            assert_eq!(report.resident(), kernel.rollup_rss, "{name} {method}");
            assert!(
                report.unattributed() * 50 <= report.resident(),
                "{name} {method}: {}",
                report.outline()
            );
            // Other users' processes cannot be asked which files they map.
            let gaps = report.gaps();
            assert!(
                gaps.iter()
                    .any(|gap| gap.contains("denied") && gap.contains("share")),
                "{gaps:?}"
            );
        }
    }
}

#[test]
fn processes_of_others() {
    if !can_become_nobody("processes of others") {
        return;
    }
    let subject = Subject::start("locked", &[]);
    let pid = subject.pid.to_string();
    let folder = Scratch::new("others");
    let nobody = |arguments: &[&str]| Plimsoll::under(&NOBODY, arguments).call();
    nobody(&["inspect", &pid]).refused(&[&pid, "permission", "root"]);
    let recording = folder.file("others.plimsoll");
    let recorded = nobody(&["record", "--pid", &pid, "--recording", &recording]);
    assert_eq!(recorded.code, Some(2), "{recorded:?}");
    assert!(!std::path::Path::new(&recording).exists());
    // The list still has what anyone may read, and says what it lacks.
    let table = nobody(&["ps", "--format", "json"]).json();
    let rows = table["rows"].as_array().unwrap();
    let row = rows
        .iter()
        .find(|row| row["process"]["pid"] == subject.pid)
        .unwrap();
    assert!(row["proportional_bytes"].is_null(), "{row}");
    assert!(row["resident_bytes"].as_u64().unwrap() > 0, "{row}");
    assert!(!table["gaps"].as_array().unwrap().is_empty());
}

#[test]
fn facilities_say_what_works_here() {
    let text = Plimsoll::new(["facilities"]).call().ok();
    for facility in [
        "smaps_rollup",
        "PAGEMAP_SCAN",
        "cachestat",
        "process_vm_readv",
    ] {
        assert!(
            text.to_lowercase().contains(&facility.to_lowercase()),
            "{facility}: {text}"
        );
    }
}
