//! Looking at a process changes nothing in it.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use plimsoll_end_to_end::{MIB, Plimsoll, Report, Scratch};
use plimsoll_subjects::Subject;

/// `Pss` and `Private_Clean` + `Private_Dirty` of /proc/PID/smaps_rollup, in KiB.
fn owned(pid: u32) -> (u64, u64) {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let field = |key: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(key));
        let number = line.unwrap().trim().trim_end_matches(" kB");
        number.parse::<u64>().unwrap()
    };
    (
        field("Pss:"),
        field("Private_Clean:") + field("Private_Dirty:"),
    )
}

/// process_vm_readv(2) pins what it reads, and since Linux 5.19 pinning a page that is still shared
/// after a fork copies it in the target (mm/gup.c, gup_must_unshare). A reader that uses it on the
/// heap of a forked server undoes its sharing.
#[test]
fn reading_leaves_shared_pages_shared() {
    let check = |subject: &Subject, arguments: &[&str]| {
        let before = owned(subject.pid);
        let _ = Report::with(subject.pid, arguments);
        let after = owned(subject.pid);
        // PSS of libraries moves by some KiB when another process starts or ends.
        let moved = before.0.abs_diff(after.0).max(before.1.abs_diff(after.1));
        assert!(
            moved <= 256,
            "{arguments:?}: {before:?} KiB became {after:?}"
        );
    };
    let subject = Subject::start(
        "forked_copy_on_write",
        &["--mib", "16", "--rewrite-mib", "2"],
    );
    check(&subject, &[]);
    check(&subject, &["--method", "walk"]);
    check(&subject, &["--tree"]);
}

#[test]
fn reading_brings_nothing_into_memory() {
    // Half of the file was never touched: a reader that looks there would fault it in.
    let subject = Subject::start("tmpfs_file", &["--mib", "8"]);
    let resident = |subject: &Subject| Report::of(subject.pid).resident();
    let first = resident(&subject);
    let again = resident(&subject);
    assert_eq!(first, again);
}

#[test]
fn a_stopped_process_is_read_and_stays_stopped() {
    let subject = Subject::start("malloc_blocks", &["--count", "10000"]);
    let pid = i32::try_from(subject.pid).unwrap();
    // SAFETY: kill takes plain numbers; the subject is our child and not reaped.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGSTOP) }, 0);
    let report = Report::of(subject.pid);
    assert!(report.resident_of_kind("heap") > 0, "{}", report.outline());
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    assert!(stat.contains(") T "), "{stat}");
}

#[test]
fn the_report_says_what_the_reading_cost() {
    let subject = Subject::start("swiss_vmas", &["--vmas", "2000"]);
    for method in ["smaps", "walk"] {
        let report = Report::with(subject.pid, &["--method", method]);
        assert_eq!(report.json["cost"]["method"], method);
        assert!(report.number("/cost/holds") > 0);
        assert!(report.number("/cost/read_bytes") > 2000 * 40);
        let seconds = |key: &str| report.json["cost"][key].as_f64().unwrap();
        assert!(seconds("longest_hold_seconds") > 0.0);
        assert!(seconds("longest_hold_seconds") <= seconds("total_hold_seconds"));
        assert!(seconds("total_hold_seconds") <= seconds("wall_seconds"));
    }
    let text = Plimsoll::new(["inspect", &subject.pid.to_string()])
        .call()
        .ok();
    assert!(text.contains("reading took"), "{text}");
    assert!(text.contains("memory lock"), "{text}");
}

/// The tool looked at by the tool: its own memory while it reads a process of many mappings, up
/// to nearly as many as the kernel allows (`vm.max_map_count`).
#[test]
fn the_tool_itself_stays_small() {
    let folder = Scratch::new("own-memory");
    let own = plimsoll_end_to_end::executable().to_str().unwrap();
    let check = |vmas: &str, method: &str, peak_max: u64| {
        let subject = Subject::start("swiss_vmas", &["--vmas", vmas]);
        let recording = folder.file(&format!("{vmas}-{method}.plimsoll"));
        let pid = subject.pid.to_string();
        let flags = ["run", "--interval", "2ms", "--recording", &recording];
        let inspect = [
            "--", own, "inspect", "--format", "csv", "--method", method, &pid,
        ];
        let call = Plimsoll::new(flags.iter().chain(&inspect)).call();
        assert_eq!(call.code, Some(0), "{call:?}");
        let report = Plimsoll::new(["report", "--format", "json", &recording])
            .call()
            .json();
        let peak = report["peak"]["kernel_rss_peak_bytes"].as_u64().unwrap();
        let verdict = &report["verdict"];
        assert!(peak < peak_max, "{vmas}, {method}: {peak}: {verdict}");
    };
    for method in ["smaps", "walk"] {
        check("20000", method, 16 * MIB);
        check("65000", method, 24 * MIB);
    }
}
