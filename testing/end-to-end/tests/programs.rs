//! Real programs of other runtimes: at least 98 % of RSS named, sums exact to the page, and what is
//! live within the runtime's own account.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use plimsoll_end_to_end::{MIB, Report, Resident, Scratch, program, skip, until};
use plimsoll_subjects::{Program, Subject};
use serde_json::Value;

fn start(program: Program, arguments: &[&str]) -> Option<Subject> {
    program
        .start(arguments)
        .inspect_err(|skipped| eprintln!("{program:?}: {skipped}"))
        .ok()
}

/// The promises that hold for every program, on a quiet one.
fn examine(subject: &Subject) -> Report {
    let (report, kernel) = Report::of_quiet(subject.pid);
    check(&report, kernel);
    let (walked, _) = Report::quiet_with(subject.pid, &["--method", "walk"]);
    assert_named(&walked);
    // Both ways of reading give each owner the same bytes, as long as nothing moves.
    if Resident::read(subject.pid) == kernel && walked.resident() == report.resident() {
        assert_eq!(owners(&walked), owners(&report));
    }
    report
}

/// Name, kind and resident bytes of each owner.
fn owners(report: &Report) -> Vec<(String, u64)> {
    let mut owners: Vec<(String, u64)> = report
        .components()
        .iter()
        .map(|one| {
            (
                format!("{} {}", one["kind"], one["name"]),
                number(one, "resident_bytes"),
            )
        })
        .collect();
    owners.sort_unstable();
    owners
}

fn check(report: &Report, kernel: Resident) {
    // Report::new has checked that the components sum to the total.
    kernel.assert_is(report.resident(), &report.outline());
    assert_named(report);
}

/// At least 98 %.
fn assert_named(report: &Report) {
    assert!(
        report.unattributed() * 50 <= report.resident(),
        "{} of {} is unattributed:\n{}\n{:?}",
        report.unattributed(),
        report.resident(),
        report.outline(),
        report.gaps(),
    );
}

fn number(value: &Value, key: &str) -> u64 {
    value[key]
        .as_u64()
        .unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// Live bytes of all outermost components that `wanted` holds for.
fn live(report: &Report, wanted: impl Fn(&str) -> bool) -> u64 {
    let found = report.find(|component| {
        wanted(component["name"].as_str().unwrap()) && component["used"].is_object()
    });
    assert!(!found.is_empty(), "nothing live in {}", report.outline());
    let live = found
        .iter()
        .map(|found| number(&found["used"], "live_bytes"));
    live.sum()
}

fn assert_near(what: &str, found: u64, expected: u64, room: u64) {
    assert!(
        found.abs_diff(expected) <= room,
        "{what}: {found} found, {expected} expected, room {room}"
    );
}

#[test]
fn python_numpy() {
    let arguments = ["--arrays", "3", "--mib", "16", "--objects", "100000"];
    let Some(subject) = start(Program::PythonNumpy, &arguments) else {
        return;
    };
    let report = examine(&subject);
    // Arrays of 16 MiB are malloc's own mappings.
    let heap = report.exactly("glibc malloc");
    assert!(number(heap, "resident_bytes") >= subject.number("array_bytes"));
    if let Some(in_use) = subject.truth["pymalloc"]["in_use_bytes"].as_u64() {
        let found = live(&report, |name| name.contains("CPython"));
        assert_near("pymalloc", found, in_use, in_use / 50 + MIB);
    }
    // One line for NumPy that opens to its files, those of numpy.libs among them.
    let numpy = report.find(|component| {
        component["package"]["manager"] == "python" && component["package"]["name"] == "numpy"
    });
    assert_eq!(numpy.len(), 1, "{}", report.outline());
    let files: Vec<&str> = numpy[0]["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| part["name"].as_str().unwrap())
        .collect();
    assert!(
        files.iter().any(|file| file.contains("_multiarray_umath")),
        "{files:?}"
    );
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", subject.pid)).unwrap();
    if maps.contains("numpy.libs/") {
        assert!(
            files.iter().any(|file| file.contains("numpy.libs/")),
            "{files:?}"
        );
    }
    // Each thread once: "thread 41 NAME", "thread 41 NAME (first), local storage".
    let stacks = report.find(|component| component["kind"] == "stack");
    let parts = stacks
        .iter()
        .flat_map(|stacks| stacks["parts"].as_array().unwrap());
    let threads: BTreeSet<&str> = parts
        .map(|part| part["name"].as_str().unwrap().split(' ').nth(1).unwrap())
        .collect();
    assert_eq!(
        threads.len() as u64,
        subject.number("threads"),
        "{}",
        report.outline()
    );
}

#[test]
fn python_sqlite() {
    let Some(subject) = start(
        Program::PythonSqlite,
        &["--mib", "24", "--connections", "12"],
    ) else {
        return;
    };
    let report = examine(&subject);
    let found = report.find(|component| component["name"] == subject.text("file"));
    assert_eq!(found.len(), 1, "{}", report.outline());
    let database = found[0];
    let mappings = subject.number("mappings");
    assert_eq!(number(&database["sharing"], "mappings"), mappings);
    assert_eq!(
        number(database, "distinct_bytes"),
        subject.number("distinct_bytes")
    );
    let each = subject.number("resident_bytes_each");
    assert_eq!(number(database, "resident_bytes"), each * mappings);
    assert_eq!(
        number(&database["reclaim"], "droppable_bytes"),
        each * mappings
    );
}

#[test]
fn go() {
    let Some(subject) = start(Program::Go, &["-mib", "32", "-goroutines", "500"]) else {
        return;
    };
    let report = examine(&subject);
    let heap = report.named("Go heap");
    assert!(!heap.is_empty(), "{}", report.outline());
    let resident: u64 = heap.iter().map(|heap| number(heap, "resident_bytes")).sum();
    let in_use = subject.number("heap_in_use_bytes");
    assert!(resident >= in_use - in_use / 50, "{resident} of {in_use}");
    // The runtime tells what is live only after a collection; between two it may say in-use spans.
    if heap.iter().any(|heap| heap["used"].is_object()) {
        let found = live(&report, |name| name.contains("Go heap"));
        let least = subject.number("live_bytes");
        let most = in_use + in_use / 20;
        assert!(
            (least..=most).contains(&found),
            "{found} of {least}..{most}"
        );
    }
}

#[test]
fn java() {
    let Some(subject) = start(Program::Java, &["--mib", "32", "--direct-mib", "8"]) else {
        return;
    };
    let report = examine(&subject);
    let heap: Vec<&Value> = report.named("Java heap");
    assert_eq!(heap.len(), 1, "{}", report.outline());
    let resident = number(heap[0], "resident_bytes");
    assert!(resident >= subject.number("live_bytes"), "{resident}");
    assert!(
        resident <= subject.number("heap_committed_bytes") + MIB,
        "{resident}"
    );
    for name in ["code cache", "metaspace"] {
        let found = report.find(|component| {
            component["name"]
                .as_str()
                .unwrap()
                .to_lowercase()
                .contains(name)
        });
        assert!(!found.is_empty(), "{name}: {}", report.outline());
    }
    let waiters = report.find(|component| {
        let name = component["name"].as_str().unwrap();
        component["kind"] == "stack" && name.contains("java-waiter")
    });
    assert_eq!(waiters.len() as u64, subject.number("started_threads"));
}

#[test]
fn node() {
    let Some(subject) = start(Program::Node, &["--buffers", "4", "--mib", "8"]) else {
        return;
    };
    let report = examine(&subject);
    let v8 = report.named("V8");
    assert!(!v8.is_empty(), "{}", report.outline());
    let resident: u64 = v8.iter().map(|heap| number(heap, "resident_bytes")).sum();
    let used = subject.number("heap_used_bytes");
    let most = subject.number("heap_total_bytes") + subject.number("external_bytes") + 8 * MIB;
    assert!(
        (used..=most).contains(&resident),
        "{resident} of {used}..{most}"
    );
}

/// Chromium has allocators of its own in all of its processes, and V8 in a cage.
#[test]
fn chromium() {
    const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
    let Some(browser) = program(&BROWSERS) else {
        skip("chromium", format!("none of {BROWSERS:?} is installed"));
        return;
    };
    let folder = Scratch::new("chromium");
    let page =
        "data:text/html,<script>held=[];for(i=0;i<200000;i++)held.push({i,s:'held '+i})</script>";
    let child = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--remote-debugging-port=0",
        ])
        .arg(format!("--user-data-dir={}", folder.file("profile")))
        .arg(page)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let browser = Group(child);
    let has = |report: &Report, name: &str| {
        let found = report.named(name).into_iter();
        found.map(|one| number(one, "resident_bytes")).sum::<u64>() >= 256 << 10
    };
    let mut renderer = None;
    until("a page that has been loaded", || {
        let processes = processes_of(browser.0.id(), "--type=renderer");
        renderer = processes.into_iter().find_map(|pid| {
            let report = Report::of(pid);
            let names = ["V8 heap", "PartitionAlloc", "Oilpan"];
            names
                .iter()
                .all(|name| has(&report, name))
                .then_some(report)
        });
        renderer.is_some()
    });
    assert_named(&renderer.unwrap());
    let main = Report::of(browser.0.id());
    assert!(has(&main, "PartitionAlloc"), "{}", main.outline());
    assert_named(&main);
}

/// A program with all that it has started, ended together.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-9", "--", &group]).status();
        let _ = self.0.wait();
    }
}

/// Processes of a group with this among their arguments.
fn processes_of(group: u32, argument: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        let read = |name| std::fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
        let is_of_group = read("stat").is_some_and(|stat| {
            let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
            after.split_whitespace().nth(2) == Some(group.to_string().as_str())
        });
        is_of_group && read("cmdline").is_some_and(|line| line.contains(argument))
    })
    .collect()
}

#[test]
fn rust_on_glibc() {
    let subject = Subject::start("malloc_blocks", &["--count", "200000", "--size", "200"]);
    let report = examine(&subject);
    let in_use = number(&subject.truth["glibc"], "in_use_bytes");
    let found = live(&report, |name| name == "glibc malloc");
    assert_near("live", found, in_use, in_use / 50);
}

#[test]
fn rust_on_jemalloc() {
    let subject = Subject::start("jemalloc_blocks", &["--count", "200000", "--size", "100"]);
    let report = examine(&subject);
    let heap = report.exactly("jemalloc");
    assert_eq!(heap["kind"], "heap");
    let told = &subject.truth["jemalloc"];
    let resident = number(heap, "resident_bytes");
    let active = number(told, "active_bytes");
    assert!(
        resident <= number(told, "resident_bytes") + MIB,
        "{resident}: {told}"
    );
    assert!(
        resident + MIB >= active.min(number(told, "resident_bytes")) * 9 / 10,
        "{resident}: {told}"
    );
    if heap["used"].is_object() {
        let allocated = number(told, "allocated_bytes");
        assert_near(
            "live",
            live(&report, |name| name == "jemalloc"),
            allocated,
            allocated / 50,
        );
    }
}

#[test]
fn other_allocators() {
    let check = |program: Program, arguments: &[&str], name: &str, live_key: &str| {
        let Some(subject) = start(program, arguments) else {
            return;
        };
        let report = examine(&subject);
        let heap = report.find(|component| {
            component["kind"] == "heap" && component["name"].as_str().unwrap().contains(name)
        });
        assert_eq!(heap.len(), 1, "{name}: {}", report.outline());
        let resident = number(heap[0], "resident_bytes");
        assert!(
            resident >= subject.number(live_key),
            "{name}: {}",
            report.outline()
        );
        if let Some(live) = heap[0]["used"]["live_bytes"].as_u64() {
            let usable =
                subject.number(live_key) + subject.truth["large_bytes"].as_u64().unwrap_or(0);
            assert_near(name, live, usable, usable / 5 + MIB);
        }
    };
    check(
        Program::Musl,
        &["--count", "100000"],
        "musl",
        "usable_bytes",
    );
    check(
        Program::Mimalloc,
        &["--count", "200000"],
        "mimalloc",
        "usable_bytes",
    );
    check(
        Program::Tcmalloc,
        &["--count", "200000"],
        "tcmalloc",
        "usable_bytes",
    );
}
