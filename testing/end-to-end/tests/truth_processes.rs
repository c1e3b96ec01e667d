//! Several processes: trees, and what the other verbs say of the same subjects.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use plimsoll_end_to_end::{MIB, Plimsoll, Report, is_root, skip};
use plimsoll_subjects::Subject;
use serde_json::Value;

fn assert_near(what: &str, found: u64, expected: u64, room: u64) {
    assert!(
        found.abs_diff(expected) <= room,
        "{what}: {found} found, {expected} expected, room {room}"
    );
}

/// Whether this process sees physical frames: CAP_SYS_ADMIN in the first user namespace.
fn sees_frames() -> bool {
    let page = [7_u8; 4096];
    let offset = (page.as_ptr() as u64 / 4096) * 8;
    let mut entry = [0; 8];
    let read = std::fs::File::open("/proc/self/pagemap")
        .and_then(|file| std::os::unix::fs::FileExt::read_exact_at(&file, &mut entry, offset));
    read.is_ok() && u64::from_ne_bytes(entry) & ((1 << 55) - 1) != 0
}

#[test]
fn a_tree_counts_shared_pages_once() {
    let arguments = ["--mib", "32", "--children", "3", "--rewrite-mib", "8"];
    let subject = Subject::start("forked_copy_on_write", &arguments);
    let report = Report::with(subject.pid, &["--tree"]);
    assert_eq!(report.json["subject"]["scope"], "tree");
    let processes = report.json["subject"]["processes"].as_array().unwrap();
    assert_eq!(processes.len() as u64, subject.number("processes"));
    let told = subject.number("distinct_bytes");
    if sees_frames() {
        assert_near("distinct", report.unattributed(), told, 512 << 10);
        assert_eq!(report.json["totals"]["resident_exactness"], "exact");
    } else {
        // By address alone, pages that children have rewritten look like the root's.
        assert!(
            report.unattributed() <= told + (512 << 10),
            "{}",
            report.outline()
        );
        assert_ne!(report.json["totals"]["resident_exactness"], "exact");
    }
    // RSS added up counts the shared pages once in each process.
    let sum = report.number("/totals/status_rss_bytes");
    assert!(sum >= subject.number("anon_bytes") * 4, "{sum}");
}

#[test]
fn without_privilege_a_tree_is_marked_as_an_estimate() {
    if !is_root() {
        return skip(
            "a tree without privilege",
            "the other test of trees does it",
        );
    }
    let arguments = ["--mib", "16", "--children", "2", "--rewrite-mib", "4"];
    let subject = Subject::start("forked_copy_on_write", &arguments);
    // Root without CAP_SYS_ADMIN still may read its own processes, but sees no frames.
    let launcher = [
        "setpriv",
        "--bounding-set=-sys_admin",
        "--inh-caps=-sys_admin",
    ];
    if plimsoll_end_to_end::program(&["setpriv"]).is_none() {
        return skip("a tree without privilege", "setpriv is not installed");
    }
    let pid = subject.pid.to_string();
    let arguments = ["inspect", "--tree", "--format", "json", &pid];
    let report = Report::new(Plimsoll::under(&launcher, arguments).call().json());
    let exactness = &report.json["totals"]["resident_exactness"];
    assert_ne!(exactness, "exact", "{}", report.outline());
    // Never more than RSS added up, never less than one process.
    let found = report.unattributed();
    let most = subject.number("anon_bytes") * 3 + MIB;
    assert!((16 * MIB..=most).contains(&found), "{found}");
}

/// Shared pages count once in every figure, not in RSS alone: nothing that is a part of the resident
/// bytes is more than they are (checked whenever a report is made).
#[test]
fn figures_of_a_tree_fit_each_other() {
    let subject = Subject::start(
        "forked_copy_on_write",
        &["--mib", "16", "--rewrite-mib", "4"],
    );
    let report = Report::with(subject.pid, &["--tree"]);
    let dirty = report.number("/totals/dirty_bytes");
    if report.json["totals"]["resident_exactness"] == "exact" {
        assert_near("dirty", dirty, subject.number("distinct_bytes"), MIB);
    }
}

/// A server that makes its objects, then forks its workers: they share what they do not touch.
#[test]
fn a_preforked_server() {
    let Some(python) = plimsoll_end_to_end::program(&["python3"]) else {
        return skip("a preforked server", "python3 is not installed");
    };
    let program = "
import os, sys
data = [('x%d' % i, i * 1.5) for i in range(200000)]
workers = []
for _ in range(3):
    up, ready = os.pipe()
    worker = os.fork()
    if worker == 0:
        os.write(ready, b'.')
        sys.stdin.read()
        os._exit(0)
    os.read(up, 1)
    workers.append(worker)
print('ready {\"processes\": 4}', flush=True)
sys.stdin.read()
";
    let mut command = std::process::Command::new(python);
    command.args(["-c", program]);
    let subject = Subject::start_command("preforked", command);
    let report = Report::with(subject.pid, &["--tree"]);
    let processes = report.json["subject"]["processes"].as_array().unwrap();
    assert_eq!(processes.len() as u64, subject.number("processes"));
    let one = Report::of(subject.pid).resident();
    let sum = report.number("/totals/status_rss_bytes");
    assert!(sum > one * 3, "{sum}");
    if report.json["totals"]["resident_exactness"] == "exact" {
        // Workers that only wait have touched little of it.
        assert!(
            report.resident() < one * 2,
            "{} of {one}",
            report.resident()
        );
    }
    assert!(
        report.unattributed() * 50 <= report.resident(),
        "{}",
        report.outline()
    );
}

#[test]
fn one_process_of_a_tree_is_exact() {
    let subject = Subject::start(
        "forked_copy_on_write",
        &["--mib", "16", "--rewrite-mib", "4"],
    );
    let (report, kernel) = Report::of_quiet(subject.pid);
    assert_eq!(report.resident(), kernel.rollup_rss);
    let proportional = report.number("/totals/proportional_bytes");
    assert!(proportional < report.resident(), "{proportional}");
}

/// A tree whose members appear and vanish under the reader's hands: always an answer that adds up.
#[test]
fn a_tree_that_changes_while_it_is_read() {
    let subject = Subject::start("spawner", &["--children", "4", "--milliseconds", "5"]);
    for _ in 0..10 {
        let report = Report::with(subject.pid, &["--tree"]);
        let processes = report.json["subject"]["processes"].as_array().unwrap();
        assert_eq!(processes[0]["pid"], subject.pid);
    }
}

/// How many times a process was there for the whole reading, and how many times it was not.
#[derive(Debug, Default)]
struct Endings {
    whole: u32,
    gone: u32,
}

/// Ends `subject` a little later in the next reading of it when the end came too early for an
/// answer, and a little earlier when it came too late, so that ends fall into readings. Each time
/// the answer is whole or one clear error.
fn sweep(
    start: impl Fn() -> Subject,
    mut end: impl FnMut(&mut Subject),
    check: impl Fn(&Subject, &Report),
) {
    let mut endings = Endings::default();
    let mut delay_microseconds: u64 = 0;
    for _ in 0..400 {
        let mut subject = start();
        let pid = subject.pid.to_string();
        let reading = Plimsoll::new(["inspect", "--format", "json", &pid]).start();
        // Not to wait for anything: the end is to fall into another part of the reading each time.
        std::thread::sleep(std::time::Duration::from_micros(delay_microseconds));
        end(&mut subject);
        let call = reading.end();
        if call.code == Some(0) {
            check(&subject, &Report::new(call.json()));
            endings.whole += 1;
            delay_microseconds = delay_microseconds.saturating_sub(300);
        } else {
            call.refused(&[&pid]);
            endings.gone += 1;
            delay_microseconds += 400;
        }
        if endings.whole >= 8 && endings.gone >= 8 {
            return;
        }
    }
    panic!("{endings:?}: the end never fell into a reading");
}

#[test]
fn a_process_that_ends_half_way() {
    sweep(
        || Subject::start("exits_during_read", &["--mib", "32"]),
        |subject| subject.send("end"),
        |subject, report| {
            // It unmaps the region, then ends: the region is there whole or not at all.
            let found = report.unattributed();
            let all = found >= subject.number("anon_bytes");
            // What came or went between two readings of one report is stated in it.
            let gaps = report.gaps();
            let stated = gaps
                .iter()
                .any(|gap| gap.contains("changed") || gap.contains("vanished"));
            let fits = all || found < MIB || stated;
            assert!(fits, "half, and not stated: {gaps:?} {}", report.outline());
        },
    );
}

#[test]
fn a_process_with_many_mappings_that_is_killed_half_way() {
    sweep(
        || Subject::start("swiss_vmas", &["--vmas", "5000"]),
        |subject| {
            let pid = i32::try_from(subject.pid).unwrap();
            // SAFETY: kill takes plain numbers; the subject is our child and not reaped.
            assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0);
        },
        |subject, report| {
            let all = report.unattributed() >= subject.number("anon_bytes");
            assert!(all, "half: {}", report.outline());
        },
    );
}

#[test]
fn ps_lists_a_subject_with_its_own_memory() {
    let subject = Subject::start("memfd", &["--mib", "24", "--name", "for-ps"]);
    let table = Plimsoll::new(["ps", "--format", "json"]).call().json();
    assert_eq!(table["kind"], "process_table");
    let rows = table["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["process"]["pid"] == subject.pid);
    let row = row.expect("the subject is listed");
    let proportional = row["proportional_bytes"].as_u64().unwrap();
    assert_near("PSS", proportional, 24 * MIB, MIB);
    let reclaim = &row["reclaim"];
    let keys = [
        "must_stay_bytes",
        "swap_only_bytes",
        "droppable_bytes",
        "after_writeback_bytes",
    ];
    let sum: u64 = keys.iter().map(|key| reclaim[key].as_u64().unwrap()).sum();
    assert_eq!(sum, proportional, "{row}");
    let sizes: Vec<u64> = rows
        .iter()
        .filter_map(|row| row["proportional_bytes"].as_u64())
        .collect();
    assert!(sizes.is_sorted_by(|a, b| a >= b), "largest first");
}

#[test]
fn ps_groups_by_application() {
    let subject = Subject::start("forked_copy_on_write", &["--mib", "8", "--children", "3"]);
    let call = Plimsoll::new(["ps", "--group", "application", "--format", "json"]).call();
    let table = call.json();
    let rows = table["rows"].as_array().unwrap();
    let group: Vec<&Value> = rows
        .iter()
        .filter(|row| row["label"] == "forked_copy_on_write")
        .collect();
    assert_eq!(group.len(), 1);
    assert!(group[0]["processes"].as_u64().unwrap() >= subject.number("processes"));
    let container = Plimsoll::new(["ps", "--group", "container", "--format", "json"])
        .call()
        .json();
    assert!(container["rows"].as_array().unwrap().len() <= rows.len());
}
