//! Promises of the monitor on real memory and real processes.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use plimsoll::ErrorKind;
use plimsoll::budget::{Budget, Policy, Pressure};
use plimsoll::lazy::{Lazy, LazyOptions};
use plimsoll::monitor::{
    LevelChange, Monitor, MonitorOptions, PeakMethod, StallSource, Thresholds,
};

const MIB: u64 = 1 << 20;

/// For a busy machine; nothing here takes a hundredth of it.
const PATIENCE: Duration = Duration::from_secs(30);

/// RSS belongs to all tests of this process: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Resident memory of its own mapping, which goes back to the system when dropped: malloc keeps
/// freed blocks below a threshold that moves.
struct Memory {
    start: *mut libc::c_void,
    length: usize,
}

// SAFETY: the mapping is owned, and nothing but its unmapping is done with it.
unsafe impl Send for Memory {}
// SAFETY: as above; there is no access through a shared reference.
unsafe impl Sync for Memory {}

fn memory(bytes: u64) -> Memory {
    let length = usize::try_from(bytes).unwrap();
    // SAFETY: a new private mapping at an address of the kernel's choice touches nothing of ours.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    assert_ne!(start, libc::MAP_FAILED);
    // SAFETY: the mapping is writable and has this length.
    unsafe { start.cast::<u8>().write_bytes(1, length) };
    Memory { start, length }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: start and length are those of the mapping, and this is its only owner.
        unsafe { libc::munmap(self.start, self.length) };
    }
}

/// By fill alone: other tests of the machine may make it stall.
fn by_fill() -> Thresholds {
    Thresholds {
        tight_stall: 2.0,
        critical_stall: 2.0,
        calm_after: Duration::from_millis(50),
        ..Thresholds::default()
    }
}

fn quick() -> MonitorOptions {
    MonitorOptions::default()
        .thresholds(by_fill())
        .interval(Duration::from_millis(10))
}

/// Waits until the monitor has looked twice from now on: a whole turn is in between.
fn two_looks(monitor: &Monitor) {
    let until = Instant::now() + PATIENCE;
    for _ in 0..2 {
        let seen = monitor.figures().readings_total;
        monitor.look();
        while monitor.figures().readings_total == seen {
            assert!(Instant::now() < until, "the monitor does not look");
            std::thread::yield_now();
        }
    }
}

fn next(changes: &Receiver<LevelChange>) -> (Pressure, Pressure) {
    let change = changes.recv_timeout(PATIENCE).unwrap();
    (change.from, change.to)
}

#[test]
fn levels_follow_resident_memory() {
    let _alone = alone();
    let base = Monitor::start().unwrap().figures().process.rss_bytes;
    let limit = base + 100 * MIB;
    let (sender, changes) = channel();
    let monitor = quick()
        .rss_limit(limit)
        .trim_never()
        .on_level(move |change| sender.send(*change).unwrap())
        .start()
        .unwrap();
    assert_eq!(monitor.level(), Pressure::Calm);
    let to = |share: f64| memory((limit as f64 * share) as u64 - base);
    let tight = to(0.86);
    assert_eq!(next(&changes), (Pressure::Calm, Pressure::Tight));
    let critical = memory((limit as f64 * 0.10) as u64);
    assert_eq!(next(&changes), (Pressure::Tight, Pressure::Critical));
    drop(critical);
    assert_eq!(next(&changes), (Pressure::Critical, Pressure::Tight));
    drop(tight);
    assert_eq!(next(&changes), (Pressure::Tight, Pressure::Calm));
    assert_eq!(monitor.figures().level_changes_total, 4);
}

#[test]
fn pressure_unloads_what_is_lazy_and_calms_down() {
    let _alone = alone();
    let base = Monitor::start().unwrap().figures().process.rss_bytes;
    let budget = Budget::new(1 << 40, Policy::Greedy);
    let options = LazyOptions {
        cost_bytes: 95 * MIB,
        ..LazyOptions::default()
    };
    let model = Lazy::new(&budget, "model", options, |reservation| {
        Ok::<_, std::io::Error>(memory(reservation.bytes()))
    });
    let (sender, changes) = channel();
    let monitor = quick()
        .rss_limit(base + 100 * MIB)
        .budget("main", &budget)
        .lazy(&model)
        .on_level(move |change| sender.send(*change).unwrap())
        .start()
        .unwrap();
    drop(model.get().unwrap());
    let (from, to) = next(&changes);
    assert!(from == Pressure::Calm && to > Pressure::Calm);
    while next(&changes).1 != Pressure::Calm {}
    let figures = monitor.figures();
    assert!(!model.figures().loaded);
    assert_eq!(model.figures().unloaded_by_pressure_total, 1);
    assert_eq!(figures.relieved_bytes_total, 95 * MIB);
    assert_eq!(figures.budgets[0].1.held_bytes, 0);
    // Nothing is reserved: all of RSS is drift.
    two_looks(&monitor);
    assert!(monitor.figures().budgets[0].1.drift_bytes > 0);
}

#[test]
fn trimming_is_measured() {
    let _alone = alone();
    if cfg!(not(target_env = "gnu")) {
        println!("skipped: malloc_trim is glibc's");
        return;
    }
    // Small blocks under one that stays: glibc keeps what is freed below it.
    let blocks: Vec<_> = (0..40 << 10).map(|_| black_box(vec![1_u8; 1000])).collect();
    let pin = black_box(vec![1_u8; 1000]);
    drop(blocks);
    let monitor = quick()
        .trim_at(Pressure::Calm, Duration::from_secs(3600))
        .start()
        .unwrap();
    let trim = monitor.figures().trim;
    assert_eq!(trim.trims_total, 1, "once in an hour, at the first reading");
    assert!(trim.freed_bytes_last > 30 * MIB, "{trim:?}");
    drop(pin);

    let purged = Arc::new(AtomicUsize::new(0));
    let count = purged.clone();
    let monitor = quick()
        .trim_at(Pressure::Calm, Duration::ZERO)
        .purge(move || {
            count.fetch_add(1, Ordering::Relaxed);
            panic!("counted, and no end of the monitor");
        })
        .start()
        .unwrap();
    two_looks(&monitor);
    assert!(purged.load(Ordering::Relaxed) >= 2);
    assert!(monitor.figures().panics_total >= 2);
}

#[test]
fn an_operation_has_its_own_peak() {
    let _alone = alone();
    drop(memory(100 * MIB));
    let monitor = Monitor::start().unwrap();
    let ((inner, kept), outer) = monitor.operation("outer", || {
        drop(memory(40 * MIB));
        let ((), inner) = monitor.operation("inner", || drop(memory(20 * MIB)));
        (inner, memory(10 * MIB))
    });
    if outer.peak_method != PeakMethod::Exact {
        println!("skipped: this kernel does not reset VmHWM");
        return;
    }
    // 2 MiB of room: the allocator's own, and pages counted late.
    let check = |peak: u64, start: u64, mib: u64| {
        let rise = peak - start;
        assert!(rise.abs_diff(mib * MIB) < 2 * MIB, "{rise} for {mib} MiB");
    };
    check(outer.peak_own_bytes, outer.start_bytes, 40);
    check(inner.peak_own_bytes, inner.start_bytes, 20);
    check(outer.end_bytes, outer.start_bytes, 10);
    let figures = monitor.figures();
    assert_eq!(figures.operations.len(), 2);
    assert_eq!(figures.operations[1].1.peak_bytes, outer.peak_bytes);
    drop(kept);
}

/// This test binary once more, doing what `role` says, see [`roles`]. It tells "ready" and ends when
/// its stdin is closed.
struct Role(Child);

impl Role {
    fn start(role: &str) -> Role {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "roles", "--ignored", "--nocapture"])
            .env("PLIMSOLL_ROLE", role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let ready = lines
            .map_while(Result::ok)
            .any(|line| line.ends_with("ready"));
        assert!(ready, "{role} ended early");
        Role(child)
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "started by other tests"]
fn roles() {
    let Ok(role) = std::env::var("PLIMSOLL_ROLE") else {
        return;
    };
    let held = match role.as_str() {
        "holder" => (memory(30 * MIB), None),
        "parent" => (memory(10 * MIB), Some(Role::start("holder"))),
        role => panic!("no role {role}"),
    };
    println!("ready");
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().read_line(&mut String::new());
    drop(held);
}

#[test]
fn children_and_their_children_count() {
    let _alone = alone();
    let monitor = Monitor::start().unwrap();
    let ((), report) = monitor.operation("spawn", || {
        let child = Role::start("parent");
        two_looks(&monitor);
        drop(child);
    });
    let Some(children) = report.peak_children_bytes else {
        println!("skipped: this kernel does not list children");
        return;
    };
    assert_eq!(report.children_max, 2);
    assert!(report.samples >= 2);
    // Each has its program and libraries beside what it was told to hold.
    assert!((40 * MIB..80 * MIB).contains(&children), "{children}");
    assert!(report.peak_bytes >= report.start_bytes + 40 * MIB);
    assert!(report.peak_bytes <= report.peak_own_bytes + children);
    assert!(report.peak_own_bytes < report.start_bytes + 8 * MIB);
}

#[test]
fn a_panicking_operation_ends() {
    let _alone = alone();
    let monitor = Monitor::start().unwrap();
    let work = std::panic::AssertUnwindSafe(|| monitor.operation("bad", || panic!("no")));
    assert!(std::panic::catch_unwind(work).is_err());
    assert_eq!(monitor.figures().operations[0].1.count, 1);
}

#[test]
fn the_kernels_facilities_are_told() {
    let _alone = alone();
    let monitor = quick().start().unwrap();
    two_looks(&monitor);
    let figures = monitor.figures();
    match figures.stall_source {
        StallSource::Absent => println!("skipped: no memory pressure figures here"),
        source if figures.stall_trigger => println!("pressure of {source:?}, with a trigger"),
        source => println!("skipped: no pressure trigger here, {source:?} is polled"),
    }
    if figures.cgroup.is_none() {
        println!("skipped: no memory cgroup can be read here");
    }
    assert_eq!(figures.failed_total, 0);
    assert!(figures.process.rss_bytes > 0);
}

#[test]
fn thresholds_must_make_sense() {
    let thresholds = Thresholds {
        critical_fill: 0.5,
        ..Thresholds::default()
    };
    let error = MonitorOptions::default().thresholds(thresholds).start();
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_callback_may_drop_the_monitor() {
    let _alone = alone();
    let base = Monitor::start().unwrap().figures().process.rss_bytes;
    let slot: Arc<Mutex<Option<Monitor>>> = Arc::default();
    let (sender, dropped) = channel();
    let own = slot.clone();
    let monitor = quick()
        .rss_limit(base + 50 * MIB)
        .on_level(move |_| {
            let monitor = own.lock().unwrap().take();
            let held = monitor.is_some();
            drop(monitor);
            sender.send(held).unwrap();
        })
        .start()
        .unwrap();
    *slot.lock().unwrap() = Some(monitor);
    let _held = memory(60 * MIB);
    assert!(dropped.recv_timeout(PATIENCE).unwrap());
}

/// A memory cgroup of version 1, removed at the end.
struct Group(std::path::PathBuf);

impl Group {
    fn new(limit: u64) -> Result<Group, std::io::Error> {
        let name = format!("plimsoll-monitor-test-{}", std::process::id());
        let group = Group(std::path::Path::new("/sys/fs/cgroup/memory").join(name));
        std::fs::create_dir(&group.0)?;
        std::fs::write(group.0.join("memory.limit_in_bytes"), limit.to_string())?;
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_cgroup_is_the_limit() {
    run_in_a_cgroup("in_a_cgroup", 96 * MIB);
}

/// Runs a test of this file in a process of its own, in a cgroup of its own.
fn run_in_a_cgroup(test: &str, limit: u64) {
    let _alone = alone();
    let group = match Group::new(limit) {
        Ok(group) => group,
        Err(error) => {
            println!("skipped: make a cgroup v1: {error}");
            return;
        }
    };
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env("PLIMSOLL_ROLE", "in a cgroup")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::fs::write(group.0.join("cgroup.procs"), child.id().to_string()).unwrap();
    // Now it may begin.
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("as it should"), "{text}");
    print!("{text}");
}

#[test]
#[ignore = "started by another test"]
fn in_a_cgroup() {
    if std::env::var_os("PLIMSOLL_ROLE").is_none() {
        return;
    }
    let _ = std::io::stdin().read_line(&mut String::new());
    let limit = plimsoll::budget::Limit::from_cgroup(16 * MIB).unwrap();
    assert_eq!(limit.bytes(), 80 * MIB);
    let budget = Budget::new(limit, Policy::Greedy);
    let (sender, changes) = channel();
    let monitor = quick()
        .budget("main", &budget)
        .on_level(move |change| sender.send(*change).unwrap())
        .start()
        .unwrap();
    assert_eq!(
        monitor.figures().cgroup.unwrap().limit_bytes,
        Some(96 * MIB)
    );
    assert_eq!(monitor.level(), Pressure::Calm);
    let reservation = budget.consumer("index").reserve(80 * MIB).unwrap();
    let held = memory(reservation.bytes());
    assert!(next(&changes).1 >= Pressure::Tight);
    // Another limit of the group is the budget's, too.
    let path = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let path = path
        .lines()
        .find_map(|line| line.split_once(":memory:"))
        .unwrap()
        .1;
    let file = format!("/sys/fs/cgroup/memory{path}/memory.limit_in_bytes");
    std::fs::write(file, (160 * MIB).to_string()).unwrap();
    while next(&changes).1 != Pressure::Calm {}
    two_looks(&monitor);
    assert_eq!(monitor.figures().budgets[0].1.limit_bytes, 144 * MIB);
    drop(held);
    println!("as it should");
}

/// `cargo test -p plimsoll --test monitor -- --ignored a_stall_wakes_the_monitor`
#[test]
#[ignore = "makes the machine wait for its disk for some seconds"]
fn a_stall_wakes_the_monitor() {
    run_in_a_cgroup("in_a_stall", 24 * MIB);
}

#[test]
#[ignore = "started by another test"]
fn in_a_stall() {
    use std::os::fd::AsRawFd;
    if std::env::var_os("PLIMSOLL_ROLE").is_none() {
        return;
    }
    let _ = std::io::stdin().read_line(&mut String::new());
    // A file of three times the limit, out of the page cache, read over and over.
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("stall");
    write_out(&path);
    let file = std::fs::File::open(&path).unwrap();
    file.sync_all().unwrap();
    // SAFETY: advice on an open file touches no memory.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    let (sender, changes) = channel();
    // No reading by the clock: only a trigger wakes it.
    let monitor = MonitorOptions::default()
        .interval(Duration::from_secs(3600))
        .on_level(move |change| sender.send(*change).unwrap())
        .start()
        .unwrap();
    if monitor.figures().stall_trigger {
        let until = Instant::now() + PATIENCE;
        let change = loop {
            read_through(&file);
            match changes.try_recv() {
                Ok(change) => break Some(change),
                Err(_) if Instant::now() > until => break None,
                Err(_) => {}
            }
        };
        println!(
            "{change:?}, {} events",
            monitor.figures().stall_events_total
        );
        assert!(change.is_some_and(|change| change.to > Pressure::Calm));
    } else {
        println!("skipped: no pressure trigger here");
    }
    std::fs::remove_file(&path).unwrap();
    println!("as it should");
}

/// Reads a file once, through a small buffer.
fn read_through(file: &std::fs::File) {
    use std::os::unix::fs::FileExt;
    let mut buffer = vec![0; 64 << 10];
    let mut at = 0;
    while let Ok(length @ 1..) = file.read_at(&mut buffer, at) {
        at += length as u64;
    }
}

/// Writes 72 MiB, piece by piece.
fn write_out(path: &std::path::Path) {
    let mut file = std::fs::File::create(path).unwrap();
    for _ in 0..72 {
        file.write_all(&vec![7; 1 << 20]).unwrap();
    }
}
