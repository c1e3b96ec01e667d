//! Every subject's truth row against the kernel's own figures in `/proc/PID/smaps`, with stated room.

#![expect(
    clippy::unwrap_used,
    reason = "a test may fail by panic, also outside of #[test]"
)]

mod files;
mod growth;
mod processes;
mod programs;
mod smaps;

use plimsoll_subjects::Subject;
use smaps::{assert_fits, read, sum, within};

pub(crate) const MIB: u64 = 1 << 20;

/// Room for what may merge with a mapping of ours: neighbours made by the C library or by Rust.
pub(crate) const NEIGHBOURS: u64 = 128 << 10;

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

/// malloc goes on outside of the brk area, from which nothing is left out of glibc's own figure.
#[test]
fn malloc_blocks_without_brk() {
    let arguments = ["--count", "100000", "--free", "none", "--brk", "blocked"];
    let subject = Subject::start("malloc_blocks", &arguments);
    let vmas = read(subject.pid);
    let heap = sum(vmas.iter().filter(|vma| vma.path == "[heap]"), "Rss");
    assert!(heap < 256 << 10, "{heap}");
    let arena = subject.truth["glibc"]["arena_bytes"].as_u64().unwrap();
    assert!(arena >= 100_000 * 112, "{arena}");
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

#[test]
fn thread_arenas() {
    // 6 arenas within one heap each, and one that needs a third heap of 64 MiB.
    for (threads, kib, heaps) in [("6", "3072", 6), ("1", "139264", 3)] {
        let subject = Subject::start("thread_arenas", &["--threads", threads, "--kib", kib]);
        let vmas = read(subject.pid);
        let starts = subject.truth["heap_starts"].as_array().unwrap();
        assert_eq!(starts.len(), heaps, "{starts:?}");
        assert_eq!(subject.number("arenas").to_string(), threads);
        let mut resident = 0;
        for start in starts {
            let start = start.as_u64().unwrap();
            assert_eq!(start % (64 * MIB), 0);
            let heap = within(&vmas, start..start + 64 * MIB);
            assert_eq!(heap[0].permissions, "rw-p");
            // A full heap is one mapping with the next one where that lies right above it, and is
            // then counted with the first.
            if heap[0].start == start {
                resident += heap[0].get("Rss");
            }
        }
        // Chunks of 256 bytes for blocks of 240; the room is each arena's own state, its last pages
        // and the ends of full heaps.
        let chunks = subject.number("live_blocks") * 256;
        assert_fits("arenas", resident, chunks, 6 * (64 << 10));
    }
}

#[test]
fn large_malloc() {
    let subject = Subject::start("large_malloc", &["--mib", "8"]);
    let vmas = read(subject.pid);
    for block in subject.truth["blocks"].as_array().unwrap() {
        let number = |key: &str| block[key].as_u64().unwrap();
        let kind = block["kind"].as_str().unwrap();
        let address = number("address");
        let parts = within(&vmas, address - 16..address + number("usable_bytes"));
        assert!(number("usable_bytes") >= number("requested_bytes"));
        let header = within(&vmas, address - 16..address - 15);
        assert_eq!(header.len(), 1, "{kind}: its header is mapped");
        let advised: u64 = parts
            .iter()
            .filter(|vma| vma.flags.iter().any(|flag| flag == "hg"))
            .map(|vma| vma.get("Rss"))
            .sum();
        match kind {
            // The page of the header stays outside of the advised part.
            "numpy" => assert_fits("advised", advised, 8 * MIB - 8192, 8192),
            _ => assert_eq!(advised, 0, "{kind}"),
        }
        match kind {
            "aligned_64" => assert_eq!(address % 64, 0),
            "aligned_4096" => assert_eq!(address % 4096, 0),
            _ => assert_eq!(
                address % 4096,
                16,
                "{kind} follows its header in a page of its own"
            ),
        }
    }
    let addresses = subject.truth["blocks"].as_array().unwrap().iter();
    let addresses = addresses.map(|block| block["address"].as_u64().unwrap());
    let range = addresses.clone().min().unwrap() - 16..addresses.max().unwrap() + 8 * MIB;
    let found = sum(within(&vmas, range), "Anonymous");
    assert_fits(
        "all blocks",
        found,
        subject.number("anon_bytes"),
        NEIGHBOURS,
    );
    assert_eq!(subject.truth["glibc"]["mmapped_blocks"], 5);
}

#[test]
fn jit_code() {
    let subject = Subject::start("jit_code", &["--mib", "8"]);
    let address = subject.number("address");
    let vmas = read(subject.pid);
    let code = within(&vmas, address..address + 8 * MIB);
    assert_eq!(code.len(), 1);
    assert_eq!(code[0].permissions, "r-xp");
    assert_eq!(code[0].get("Anonymous"), subject.number("executable_bytes"));
    if cfg!(target_arch = "x86_64") {
        assert_eq!(
            subject.number("called"),
            code[0].get("Rss") / code[0].get("KernelPageSize")
        );
    }
}

#[test]
fn locked() {
    let subject = Subject::start("locked", &["--mib", "4"]);
    let address = subject.number("address");
    let vmas = read(subject.pid);
    let ours = within(&vmas, address..address + 8 * MIB);
    assert_eq!(
        sum(ours.iter().copied(), "Locked"),
        subject.number("locked_bytes")
    );
    assert_eq!(
        sum(ours.iter().copied(), "Anonymous"),
        subject.number("anon_bytes")
    );
}

#[test]
fn lazy_free() {
    let subject = Subject::start("lazy_free", &["--mib", "32", "--freed-mib", "16"]);
    let address = subject.number("address");
    let vmas = read(subject.pid);
    let ours = within(&vmas, address..address + 32 * MIB);
    assert_eq!(
        sum(ours.iter().copied(), "Anonymous"),
        subject.number("anon_bytes")
    );
    // The last batch of each CPU, up to 31 pages, may still be unmarked (mm/swap.c).
    let cpus = std::thread::available_parallelism().unwrap().get() as u64;
    let unmarked = cpus * 31 * ours[0].get("KernelPageSize");
    let lazy = sum(ours.iter().copied(), "LazyFree");
    assert_fits(
        "lazily freed",
        lazy + unmarked,
        subject.number("lazy_free_bytes"),
        unmarked,
    );
}

#[test]
fn hugetlb() {
    let subject = Subject::start("hugetlb", &["--mib", "4"]);
    if subject.truth["available"] == false {
        eprintln!(
            "skipped: no huge pages are reserved: {}",
            subject.text("reason")
        );
        return;
    }
    let address = subject.number("address");
    let vmas = read(subject.pid);
    let ours = within(&vmas, address..address + 4 * MIB);
    assert_eq!(
        sum(ours.iter().copied(), "Private_Hugetlb"),
        subject.number("hugetlb_bytes")
    );
}

#[test]
fn swiss_vmas() {
    for asked in ["2", "20000", "100000"] {
        let subject = Subject::start("swiss_vmas", &["--vmas", asked]);
        let address = subject.number("address");
        let bytes = subject.number("anon_bytes");
        let vmas = read(subject.pid);
        let ours = within(&vmas, address..address + bytes);
        assert_eq!(ours.len() as u64, subject.number("vmas"));
        assert_eq!(sum(ours, "Anonymous"), bytes);
        let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
        let limit: u64 = limit.trim().parse().unwrap();
        if limit > subject.number("asked_vmas") + 1_000 {
            assert_eq!(subject.number("vmas"), subject.number("asked_vmas"));
        } else {
            assert!(subject.truth["stopped_by"].is_string(), "{}", subject.truth);
            assert!(subject.number("vmas") > limit - 1_000);
        }
    }
}
