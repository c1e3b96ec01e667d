//! Every subject's truth row against the kernel's own figures in `/proc/PID/smaps`, with stated room.

#![expect(
    clippy::unwrap_used,
    reason = "a test may fail by panic, also outside of #[test]"
)]

mod smaps;

use plimsoll_subjects::Subject;
use smaps::{assert_fits, read, sum, within};

const MIB: u64 = 1 << 20;

/// Room for what may merge with a mapping of ours: neighbours made by the C library or by Rust.
const NEIGHBOURS: u64 = 128 << 10;

#[test]
fn steady_anonymous() {
    let subject = Subject::start("steady_anonymous", &["--mib", "48"]);
    assert_eq!(subject.number("anon_bytes"), 48 * MIB);
    let address = subject.number("address");
    let vmas = read(subject.pid);
    let found = sum(within(&vmas, address..address + 48 * MIB), "Anonymous");
    assert_fits("anonymous", found, 48 * MIB, NEIGHBOURS);
    assert!(subject.finish().success());
}

#[test]
fn memfd() {
    let subject = Subject::start("memfd", &["--mib", "16", "--name", "frames"]);
    let vmas = read(subject.pid);
    let ours: Vec<_> = vmas
        .iter()
        .filter(|vma| vma.path == "/memfd:frames (deleted)")
        .collect();
    assert_eq!(ours.len(), 1);
    assert_eq!(ours[0].start, subject.number("address"));
    assert_eq!(ours[0].get("Rss"), subject.number("shmem_bytes"));
    assert_eq!(subject.text("file"), ours[0].path);
}

#[test]
fn mapped_file_connections() {
    let check = |arguments: &[&str], distinct: u64, dirty: u64| {
        let subject = Subject::start("mapped_file_connections", arguments);
        let vmas = read(subject.pid);
        let ours: Vec<_> = vmas
            .iter()
            .filter(|vma| vma.path == subject.text("file"))
            .collect();
        assert_eq!(ours.len() as u64, subject.number("mappings"));
        for vma in &ours {
            assert_eq!(
                vma.get("Rss"),
                subject.number("resident_bytes_each"),
                "{arguments:?}"
            );
        }
        assert_eq!(
            sum(ours.iter().copied(), "Rss"),
            subject.number("resident_bytes")
        );
        assert_eq!(subject.number("distinct_bytes"), distinct);
        assert_eq!(sum(ours.iter().copied(), "Shared_Dirty"), dirty);
        let threads = std::fs::read_dir(format!("/proc/{}/task", subject.pid))
            .unwrap()
            .count();
        assert_eq!(threads as u64, subject.number("threads"));
    };
    check(&["--mib", "16"], 16 * MIB, 0);
    check(
        &["--mib", "16", "--private", "--connections", "3"],
        16 * MIB,
        0,
    );
    // 13 MiB in 13 steps of 1 MiB, of which each connection reads two.
    check(&["--mib", "13", "--touch", "part"], 13 * MIB, 0);
    check(
        &[
            "--mib",
            "8",
            "--touch",
            "part",
            "--connections",
            "3",
            "--private",
        ],
        8 * MIB,
        0,
    );
}

#[test]
fn malloc_blocks() {
    for (free, live) in [("none", 100_000), ("alternate", 50_000), ("most", 1_000)] {
        let arguments = ["--count", "100000", "--size", "100", "--free", free];
        let subject = Subject::start("malloc_blocks", &arguments);
        assert_eq!(subject.number("live_blocks"), live);
        // 100 bytes and the 8 of the header, rounded up to 16, are chunks of 112 bytes (glibc).
        assert_eq!(subject.number("allocated_bytes"), 100_000 * 104);
        assert_eq!(subject.number("usable_bytes"), live * 104);
        let vmas = read(subject.pid);
        let heap: Vec<_> = vmas.iter().filter(|vma| vma.path == "[heap]").collect();
        assert_fits(
            "heap",
            sum(heap.iter().copied(), "Rss"),
            100_000 * 112,
            256 << 10,
        );
        let inside = |address: u64| {
            heap.iter()
                .any(|vma| vma.start <= address && address < vma.end)
        };
        assert!(inside(subject.number("lowest_address")));
        assert!(inside(subject.number("highest_address")));
        // A freed neighbour of kept blocks stays with the heap, whether it is told as free or not.
        let glibc = &subject.truth["glibc"];
        let held = glibc["in_use_bytes"].as_u64().unwrap() + glibc["free_bytes"].as_u64().unwrap();
        assert_eq!(held, glibc["arena_bytes"].as_u64().unwrap());
        assert_fits(
            "in use",
            glibc["in_use_bytes"].as_u64().unwrap(),
            live * 112,
            64 << 10,
        );
    }
}

#[test]
fn named_threads() {
    let subject = Subject::start("named_threads", &["--threads", "200", "--kib", "64"]);
    let tasks = std::fs::read_dir(format!("/proc/{}/task", subject.pid)).unwrap();
    let names: Vec<String> = tasks
        .map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap())
        .collect();
    assert_eq!(names.len() as u64, subject.number("threads"));
    let workers = names
        .iter()
        .filter(|name| name.starts_with("worker-"))
        .count();
    assert_eq!(workers as u64, subject.number("workers"));
    let reserved = subject.number("stack_reserved_bytes_each");
    let vmas = read(subject.pid);
    let stacks: Vec<_> = vmas
        .iter()
        .filter(|vma| vma.path.is_empty() && vma.end - vma.start >= reserved)
        .filter(|vma| vma.permissions == "rw-p")
        .collect();
    let expected = subject.number("stack_bytes");
    assert!(expected >= 200 * subject.number("stack_bytes_each"));
    // Each thread also uses its control block, its TLS and what runs before and after the descent.
    assert_fits("stacks", sum(stacks, "Rss"), expected, 200 * (24 << 10));
}
