//! Every real program's truth row against the kernel's own figures, where the machine has it.

use crate::MIB;
use crate::smaps::{assert_fits, read, sum, within};
use plimsoll_subjects::{Program, Subject};

fn start(program: Program, arguments: &[&str]) -> Option<Subject> {
    program
        .start(arguments)
        .inspect_err(|skipped| eprintln!("{program:?}: {skipped}"))
        .ok()
}

/// The anonymous resident bytes of the whole process.
fn anonymous(subject: &Subject) -> u64 {
    sum(&read(subject.pid), "Anonymous")
}

#[test]
fn python_numpy() {
    let Some(subject) = start(Program::PythonNumpy, &["--arrays", "3", "--mib", "16"]) else {
        return;
    };
    let vmas = read(subject.pid);
    for array in subject.truth["arrays"].as_array().unwrap() {
        let address = array["address"].as_u64().unwrap();
        let bytes = array["bytes"].as_u64().unwrap();
        let rss = sum(within(&vmas, address..address + bytes), "Rss");
        assert!(rss >= bytes, "{array}: {rss}");
    }
    assert_eq!(subject.number("array_bytes"), 48 * MIB);
    if let Some(arenas) = subject.truth["pymalloc"]["arenas"].as_u64() {
        let bytes = subject.truth["pymalloc"]["arena_bytes"].as_u64().unwrap();
        assert!(arenas * bytes >= subject.number("object_bytes"));
    }
    let held = subject.number("array_bytes") + subject.number("object_bytes");
    assert_fits("anonymous", anonymous(&subject), held, 48 * MIB);
    let tasks = std::fs::read_dir(format!("/proc/{}/task", subject.pid))
        .unwrap()
        .count();
    assert_eq!(tasks as u64, subject.number("threads"));
    assert!(subject.finish().success());
}

#[test]
fn python_sqlite() {
    let Some(subject) = start(Program::PythonSqlite, &["--mib", "48"]) else {
        return;
    };
    let vmas = read(subject.pid);
    let ours: Vec<_> = vmas
        .iter()
        .filter(|vma| vma.path == subject.text("file"))
        .collect();
    assert_eq!(ours.len() as u64, subject.number("mappings"));
    for vma in &ours {
        assert_eq!(vma.get("Rss"), subject.number("resident_bytes_each"));
    }
    assert!(subject.number("file_bytes") > 48 * MIB);
    assert!(subject.finish().success());
}

#[test]
fn go() {
    let Some(subject) = start(Program::Go, &["-mib", "32", "-goroutines", "500"]) else {
        return;
    };
    let live = subject.number("live_bytes");
    assert_eq!(live, 32 * MIB);
    assert!(subject.number("goroutines") >= 501);
    assert_fits("heap", subject.number("heap_alloc_bytes"), live, 8 * MIB);
    let vmas = read(subject.pid);
    // On 64-bit machines the Go heap begins at 0xc000000000 (runtime/malloc.go).
    let address = subject.number("lowest_address");
    assert_eq!(address >> 32, 0xc0);
    let arena = within(&vmas, 0xc0_0000_0000..0xc1_0000_0000);
    // 32 MiB of collected garbage may or may not have been returned yet.
    assert_fits("arena", sum(arena, "Rss"), live, 48 * MIB);
    assert!(subject.finish().success());
}

#[test]
fn java() {
    let Some(subject) = start(Program::Java, &["--mib", "48", "--direct-mib", "8"]) else {
        return;
    };
    let live = subject.number("live_bytes");
    assert_eq!(live, 48 * MIB);
    assert_fits("heap", subject.number("heap_used_bytes"), live, 16 * MIB);
    assert!(subject.number("heap_committed_bytes") >= subject.number("heap_used_bytes"));
    assert!(anonymous(&subject) >= live + subject.number("direct_bytes"));
    let tasks = std::fs::read_dir(format!("/proc/{}/task", subject.pid)).unwrap();
    let names = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")));
    let waiters = names.filter(|name| name.as_ref().unwrap().starts_with("java-waiter"));
    assert_eq!(waiters.count() as u64, subject.number("started_threads"));
    assert!(subject.finish().success());
}

#[test]
fn node() {
    let Some(subject) = start(Program::Node, &["--buffers", "4", "--mib", "8"]) else {
        return;
    };
    assert_eq!(subject.number("buffer_bytes"), 32 * MIB);
    assert!(subject.number("array_buffers_bytes") >= 32 * MIB);
    // A linked object with a string of its own is 28 bytes at the very least.
    assert!(subject.number("heap_used_bytes") > subject.number("objects") * 28);
    let held = subject.number("heap_used_bytes") + subject.number("buffer_bytes");
    assert!(
        anonymous(&subject) >= held,
        "{} of {held}",
        anonymous(&subject)
    );
    assert!(subject.finish().success());
}

#[test]
fn musl() {
    let Some(subject) = start(Program::Musl, &["--count", "100000", "--size", "100"]) else {
        return;
    };
    let live = subject.number("usable_bytes") + subject.number("large_bytes");
    assert_eq!(subject.number("live_bytes"), 50_000 * 100);
    // Every other block is free, so the small ones hold twice what lives.
    let held = live + subject.number("usable_bytes");
    assert_fits("anonymous", anonymous(&subject), live, held);
    assert!(subject.finish().success());
}

#[test]
fn preloaded_allocators() {
    for program in [Program::Mimalloc, Program::Tcmalloc] {
        let Some(subject) = start(program, &["--count", "100000"]) else {
            continue;
        };
        assert_eq!(subject.truth["glibc"], serde_json::Value::Null);
        let vmas = read(subject.pid);
        let name = format!("{program:?}").to_lowercase();
        assert!(
            vmas.iter().any(|vma| vma.path.contains(&name)),
            "{name} is loaded"
        );
        let anonymous = sum(&vmas, "Anonymous");
        assert_fits(
            "anonymous",
            anonymous,
            subject.number("allocated_bytes"),
            32 * MIB,
        );
        assert!(subject.finish().success());
    }
}
