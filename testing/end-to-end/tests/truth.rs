//! Every subject's truth row is what the command finds.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use plimsoll_end_to_end::{MIB, Report, skip};
use plimsoll_subjects::Subject;
use serde_json::Value;

/// Room for pages that the C library, Rust's runtime and the loader touch beside what the row names.
const RUNTIME: u64 = 192 << 10;

fn bytes(component: &Value, key: &str) -> u64 {
    component[key]
        .as_u64()
        .unwrap_or_else(|| panic!("no {key} in {component}"))
}

fn assert_near(what: &str, found: u64, expected: u64, room: u64) {
    assert!(
        found.abs_diff(expected) <= room,
        "{what}: {found} found, {expected} expected, room {room}"
    );
}

/// The part of a percentage of `expected` that a found figure may be off by.
fn percent(expected: u64, percent: u64) -> u64 {
    expected * percent / 100
}

#[test]
fn steady_anonymous() {
    let subject = Subject::start("steady_anonymous", &["--mib", "32"]);
    let (report, kernel) = Report::of_quiet(subject.pid);
    kernel.assert_is(report.resident(), "steady");
    // A bare mapping of the program's own has no owner that could be told from outside: it must be
    // unattributed, all of it, and nothing else may be.
    assert_near("unattributed", report.unattributed(), 32 * MIB, RUNTIME);
    let class = report.number("/totals/reclaim/must_stay_bytes")
        + report.number("/totals/reclaim/swap_only_bytes");
    assert_near("anonymous", class, 32 * MIB, 512 << 10);
}

#[test]
fn memory_that_can_be_shared() {
    let check = |name: &str, arguments: &[&str], called: &str| {
        let subject = Subject::start(name, arguments);
        let report = Report::of(subject.pid);
        let component = report.only(called);
        assert_eq!(component["kind"], "shared", "{name}: {}", report.outline());
        assert_eq!(
            bytes(component, "resident_bytes"),
            subject.number("shmem_bytes"),
            "{name}"
        );
        assert_eq!(bytes(&component["reclaim"], "droppable_bytes"), 0, "{name}");
        assert!(subject.finish().success());
    };
    check("memfd", &["--mib", "16", "--name", "frames"], "frames");
    check("sysv_shm", &["--mib", "16"], "System V");
    check("tmpfs_file", &["--mib", "16"], "plimsoll-subject");
    check("shared_anonymous", &["--mib", "16"], "shared anonymous");
}

#[test]
fn mapped_file_connections() {
    let check = |arguments: &[&str]| {
        let subject = Subject::start("mapped_file_connections", arguments);
        let report = Report::of(subject.pid);
        let found = report.find(|component| component["name"] == subject.text("file"));
        assert_eq!(found.len(), 1, "{}", report.outline());
        let file = found[0];
        assert_eq!(file["kind"], "file");
        assert_eq!(
            bytes(file, "resident_bytes"),
            subject.number("resident_bytes")
        );
        assert_eq!(
            bytes(file, "distinct_bytes"),
            subject.number("distinct_bytes")
        );
        assert_eq!(bytes(file, "file_bytes"), subject.number("file_bytes"));
        assert_eq!(
            bytes(&file["sharing"], "mappings"),
            subject.number("mappings")
        );
        assert_eq!(
            bytes(&file["reclaim"], "droppable_bytes"),
            subject.number("resident_bytes")
        );
        assert_eq!(
            bytes(&file["cache"], "cached_bytes"),
            subject.number("file_bytes")
        );
        if let Some(processes) = file["sharing"]["processes"].as_u64() {
            assert_eq!(processes, 1);
        }
        assert!(
            report.verdict().contains("cache.db"),
            "{}",
            report.verdict()
        );
    };
    check(&["--mib", "16", "--connections", "12"]);
    check(&["--mib", "16", "--connections", "12", "--touch", "part"]);
    check(&["--mib", "16", "--connections", "3", "--private"]);
}

#[test]
fn large_malloc() {
    let subject = Subject::start("large_malloc", &["--mib", "8"]);
    let report = Report::of(subject.pid);
    let heap = report.exactly("glibc malloc");
    assert_eq!(heap["kind"], "heap");
    // The huge-page advice splits one block into three mappings, and two are aligned inside theirs:
    // all five have headers, and all five are malloc's.
    let expected = subject.number("anon_bytes");
    assert_near("blocks", bytes(heap, "resident_bytes"), expected, RUNTIME);
    let live = bytes(&heap["used"], "live_bytes");
    let usable = subject.number("live_bytes").min(expected);
    assert_near("live", live, usable, percent(usable, 2));
    assert_near("unattributed", report.unattributed(), 0, RUNTIME);
}

#[test]
fn malloc_blocks() {
    for (free, brk) in [
        ("none", "free"),
        ("alternate", "free"),
        ("most", "free"),
        ("none", "blocked"),
        ("alternate", "blocked"),
        ("most", "blocked"),
    ] {
        let arguments = ["--count", "100000", "--free", free, "--brk", brk];
        let subject = Subject::start("malloc_blocks", &arguments);
        let report = Report::of(subject.pid);
        let heap = report.exactly("glibc malloc");
        let glibc = &subject.truth["glibc"];
        let arena = bytes(glibc, "arena_bytes");
        assert_near(free, bytes(heap, "resident_bytes"), arena, RUNTIME);
        // mallinfo2's own figures. What is free at the very end need not be resident.
        let live = bytes(glibc, "in_use_bytes");
        let held = bytes(glibc, "free_bytes");
        let room = percent(arena, 2);
        assert_near("live", bytes(&heap["used"], "live_bytes"), live, room);
        assert_near(
            "free",
            bytes(&heap["used"], "held_free_bytes"),
            held,
            room.max(RUNTIME),
        );
        assert_near("unattributed", report.unattributed(), 0, RUNTIME);
    }
}

#[test]
fn thread_arenas() {
    for arguments in [
        ["--threads", "8", "--kib", "2048"],
        ["--threads", "1", "--kib", "139264"],
    ] {
        let subject = Subject::start("thread_arenas", &arguments);
        let report = Report::of(subject.pid);
        let heap = report.exactly("glibc malloc");
        let glibc = &subject.truth["glibc"];
        let live = bytes(glibc, "in_use_bytes");
        assert_near(
            "live",
            bytes(&heap["used"], "live_bytes"),
            live,
            percent(live, 2),
        );
        let arenas = heap["parts"].as_array().unwrap();
        let arenas = arenas
            .iter()
            .filter(|part| part["name"].as_str().unwrap().starts_with("thread arena"));
        assert_eq!(
            arenas.count() as u64,
            subject.number("arenas"),
            "{}",
            report.outline()
        );
        assert_near("unattributed", report.unattributed(), 0, RUNTIME);
    }
}

#[test]
fn named_threads() {
    let subject = Subject::start("named_threads", &["--threads", "200", "--kib", "64"]);
    let report = Report::of(subject.pid);
    let workers = report.find(|component| {
        let name = component["name"].as_str().unwrap();
        component["kind"] == "stack" && name.contains("worker-") && !name.contains("stacks")
    });
    assert_eq!(workers.len(), 200, "{}", report.outline());
    let used = subject.number("stack_bytes_each");
    for worker in &workers {
        // Its own pages, its control block and its TLS; never a neighbour's.
        let resident = bytes(worker, "resident_bytes");
        assert!((used..used + (28 << 10)).contains(&resident), "{worker}");
    }
    for number in 0..200 {
        let name = format!("worker-{number:03}");
        let named = |worker: &&&Value| worker["name"].as_str().unwrap().contains(&name);
        assert_eq!(workers.iter().filter(named).count(), 1, "{name}");
    }
    let stacks = subject.number("stack_bytes");
    assert_near(
        "stacks",
        report.resident_of_kind("stack"),
        stacks,
        201 * (24 << 10),
    );
    assert_near("unattributed", report.unattributed(), 0, RUNTIME);
}

#[test]
fn jit_code() {
    let subject = Subject::start("jit_code", &["--mib", "4"]);
    let report = Report::of(subject.pid);
    assert_eq!(
        report.resident_of_kind("jit"),
        subject.number("executable_bytes")
    );
}

#[test]
fn swiss_vmas() {
    let subject = Subject::start("swiss_vmas", &["--vmas", "20000"]);
    let (report, kernel) = Report::of_quiet(subject.pid);
    assert_eq!(report.resident(), kernel.rollup_rss);
    assert_near(
        "unattributed",
        report.unattributed(),
        subject.number("anon_bytes"),
        RUNTIME,
    );
}

#[test]
fn as_many_mappings_as_the_machine_allows() {
    let subject = Subject::start("swiss_vmas", &["--vmas", "100000"]);
    let vmas = subject.number("vmas");
    if vmas < 100_000 {
        eprintln!("{vmas} mappings: {}", subject.truth["stopped_by"]);
    }
    for method in ["smaps", "walk"] {
        let (report, kernel) = Report::quiet_with(subject.pid, &["--method", method]);
        let expected = subject.number("anon_bytes");
        assert_near(method, report.unattributed(), expected, RUNTIME);
        assert_eq!(report.resident(), kernel.rollup_rss, "{method}");
    }
}

#[test]
fn locked() {
    let subject = Subject::start("locked", &["--mib", "4"]);
    let report = Report::of(subject.pid);
    let stays = report.number("/totals/reclaim/must_stay_bytes");
    assert!(
        stays >= subject.number("locked_bytes"),
        "{}",
        report.outline()
    );
    if report.number("/system/swap_total_bytes") > 0 {
        let rest = subject.number("anon_bytes") - subject.number("locked_bytes");
        assert_near("must stay", stays, subject.number("locked_bytes"), RUNTIME);
        let swap = report.number("/totals/reclaim/swap_only_bytes");
        assert_near("swap only", swap, rest, 512 << 10);
    }
}

#[test]
fn lazy_free() {
    let subject = Subject::start("lazy_free", &["--mib", "32", "--freed-mib", "16"]);
    let report = Report::of(subject.pid);
    let unattributed = report.find(|component| component["kind"] == "unattributed");
    // The last batch of each CPU, up to 31 pages, may still be unmarked (mm/swap.c).
    let cpus = std::thread::available_parallelism().unwrap().get() as u64;
    let droppable = bytes(&unattributed[0]["reclaim"], "droppable_bytes");
    assert_near(
        "droppable",
        droppable,
        subject.number("lazy_free_bytes"),
        cpus * 31 * 4096,
    );
    // It was never of a file.
    let cache: u64 = report.number("/totals/reclaim/droppable_bytes") / MIB;
    let lie = format!("{cache}.");
    let sentence = report
        .verdict()
        .split("and ")
        .find(|part| part.contains("file cache"));
    assert!(
        sentence.is_none_or(|part| !part.starts_with(&lie)),
        "lazily freed memory is called file cache: {}",
        report.verdict()
    );
}

#[test]
fn hugetlb() {
    let subject = Subject::start("hugetlb", &["--mib", "4"]);
    if subject.truth["available"] == false {
        return skip("hugetlb", subject.text("reason"));
    }
    let report = Report::of(subject.pid);
    assert_eq!(
        report.number("/totals/hugetlb_bytes"),
        subject.number("hugetlb_bytes")
    );
}
