//! Reads real processes whose memory is known to the page.
//!
//! Each test starts this very file again as a child (see `child`), which maps what the scenario
//! says, prints where, and waits for its standard input to close. Asleep it changes nothing of its
//! own, so that two readings agree; what others share with it is not compared: they come and go.

mod subject;

use std::collections::BTreeMap;

use plimsoll_model::{
    AddressRange, Backing, Bytes, Counters, CountersSource, Exactness, GapReason, Mapping,
    Snapshot, Target,
};
use plimsoll_probe::{
    FileDetail, Grouping, LiveTarget, MethodChoice, ProbeError, QuickSampler, ReadOptions,
    TableOptions, process_info, read_process_table, read_rollup, read_snapshot, read_status,
};
use subject::Subject;

/// The entry of children: does nothing unless it was started by [`Subject::start`].
#[test]
fn child() {
    subject::run_child();
}

fn read(pid: u32, method: MethodChoice) -> (Snapshot, LiveTarget) {
    let options = ReadOptions {
        method,
        wanted_symbols: &[],
        files: FileDetail::Nothing,
    };
    read_snapshot(pid, &options).expect("a live process of ours")
}

fn sum(snapshot: &Snapshot) -> Counters {
    let mut sum = Counters::default();
    for mapping in &snapshot.mappings {
        sum += mapping.counters;
    }
    sum
}

fn mapping_at(snapshot: &Snapshot, address: u64) -> &Mapping {
    let mut mappings = snapshot.mappings.iter();
    mappings
        .find(|mapping| mapping.range.contains(address))
        .expect("a mapping of the subject")
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, a: T, b: T) -> Result<(), String> {
    if a == b {
        Ok(())
    } else {
        Err(format!("{what}: {a:?} != {b:?}"))
    }
}

#[test]
fn mappings_sum_to_rollup_and_status() -> Result<(), String> {
    for scenario in ["zoo", "many", "fork"] {
        let subject = Subject::start(scenario);
        let (snapshot, _) = read(subject.pid, MethodChoice::Smaps);
        let rollup = read_rollup(subject.pid).expect("a rollup");
        let sum = sum(&snapshot);
        same("rss and rollup", sum.rss, rollup.counters.rss)?;
        same("anonymous", sum.anonymous, rollup.counters.anonymous)?;
        same("rss and status", sum.rss, snapshot.status.rss)?;
        same("parts", sum.rss, sum.private() + sum.shared())?;
    }
    Ok(())
}

#[test]
fn walk_and_smaps_agree_to_the_page() -> Result<(), String> {
    for scenario in ["zoo", "many", "fork", "huge"] {
        let subject = Subject::start(scenario);
        let (smaps, _) = read(subject.pid, MethodChoice::Smaps);
        let (walked, _) = read(subject.pid, MethodChoice::Walk);
        let CountersSource::Walk { pss } = walked.counters_source else {
            return Err("not walked".into());
        };
        same("mappings", smaps.mappings.len(), walked.mappings.len())?;
        for (a, b) in smaps.mappings.iter().zip(&walked.mappings) {
            compare(a, b, pss).map_err(|error| format!("{a:?}: {error}"))?;
        }
        same("rss and status", sum(&walked).rss, walked.status.rss)?;
        if scenario == "huge" && sum(&walked).anon_huge.is_zero() {
            eprintln!("skipped: this system gave no huge pages");
        }
    }
    Ok(())
}

fn compare(smaps: &Mapping, walked: &Mapping, pss: Exactness) -> Result<(), String> {
    same("range", smaps.range, walked.range)?;
    same("backing", &smaps.backing, &walked.backing)?;
    let (a, b) = (smaps.counters, walked.counters);
    same("rss", a.rss, b.rss)?;
    same("anonymous", a.anonymous, b.anonymous)?;
    same("swap", a.swap, b.swap)?;
    same("anon huge", a.anon_huge, b.anon_huge)?;
    if !subject::is_its_own(smaps) {
        return same("parts", b.rss, b.private() + b.shared());
    }
    same("private", a.private(), b.private())?;
    match pss {
        // smaps rounds down to a kB.
        Exactness::Exact => same("pss", a.pss.0 / 1024, b.pss.0 / 1024),
        _ => same("pss at most", true, a.pss <= b.pss),
    }
}

#[test]
fn residency_agrees_with_smaps() -> Result<(), String> {
    for scenario in ["zoo", "many", "fork", "huge"] {
        let subject = Subject::start(scenario);
        let (snapshot, target) = read(subject.pid, MethodChoice::Smaps);
        for mapping in &snapshot.mappings {
            let residency = target.residency(mapping.range).expect("residency");
            let resident = residency.resident_within(mapping.range);
            same("resident", mapping.counters.rss, resident)
                .map_err(|error| format!("{mapping:?}: {error}"))?;
            let adjoining =
                |pair: &[plimsoll_model::PageRun]| pair[0].range.end <= pair[1].range.start;
            same("order", true, residency.runs.windows(2).all(adjoining))?;
        }
    }
    Ok(())
}

#[test]
fn backings_are_told_by_name_and_by_the_system() {
    let subject = Subject::start("zoo");
    let (snapshot, _) = read(subject.pid, MethodChoice::Smaps);
    let folder = subject.text("folder");
    let check = |what: &str, expected: Backing| {
        let found = &mapping_at(&snapshot, subject.address(what)).backing;
        assert_eq!(*found, expected, "{what}");
    };
    let file = |name: &str, deleted| Backing::File {
        path: format!("{folder}/{name}").into(),
        deleted,
    };
    check("sparse", Backing::Anonymous);
    check("shared_anonymous", Backing::SharedAnonymous);
    check("memfd", Backing::Memfd("a (deleted) b".into()));
    check("file_shared", file("shared", false));
    check("file_private", file("private", false));
    check("file_deleted", file("gone", true));
    check("file_named_deleted", file("kept (deleted)", false));
    check("file_newline", file("two\nlines", false));
    check("file_backslash", file("back\\012slash", false));
}

#[test]
fn zero_pages_do_not_count() {
    let subject = Subject::start("zoo");
    let address = subject.address("zeroes");
    for method in [MethodChoice::Smaps, MethodChoice::Walk] {
        let (snapshot, target) = read(subject.pid, method);
        let zeroes = AddressRange::sized(address, Bytes::mib(1).0);
        let residency = target.residency(zeroes).expect("residency");
        assert_eq!(residency.resident_within(zeroes), Bytes::ZERO);
        let counters = mapping_at(&snapshot, address).counters;
        assert_eq!(counters.rss, Bytes::ZERO, "{method:?}");
    }
}

#[test]
fn only_resident_pages_are_read() {
    let subject = Subject::start("zoo");
    let (_, target) = read(subject.pid, MethodChoice::Smaps);
    let page = snapshot_page();
    // Every other page of `sparse` is written, with its own number.
    let sparse = subject.address("sparse");
    let pages = 64;
    // Anonymous memory alone: the subject may still bring in code on its way to sleep.
    let before = read_status(subject.pid).expect("status").anon;
    for number in 0..pages {
        let expected = (number % 2 == 0).then_some(number);
        assert_eq!(target.read_word(sparse + number * page), expected);
    }
    let addresses: Vec<u64> = (0..pages).map(|number| sparse + number * page).collect();
    let mut words = Vec::new();
    let readable = target.read_each(&addresses, 8, &mut words);
    assert_eq!(words.len(), 8 * addresses.len());
    for (number, (readable, word)) in readable.iter().zip(words.chunks_exact(8)).enumerate() {
        assert_eq!(*readable, number % 2 == 0);
        if *readable {
            let word = u64::from_ne_bytes(word.try_into().expect("eight bytes"));
            assert_eq!(word, number as u64);
        }
    }
    let mut across = vec![0; 2 * usize::try_from(page).expect("a small number")];
    assert!(
        !target.read(sparse, &mut across),
        "the second page is a hole"
    );
    assert!(!target.read(sparse + page - 4, &mut [0; 8]));
    assert!(target.read(sparse + page - 8, &mut [0; 8]));
    assert!(!target.read(16, &mut [0; 8]), "nothing is mapped there");
    assert!(!target.read(u64::MAX - 3, &mut [0; 8]));
    let after = read_status(subject.pid).expect("status").anon;
    assert_eq!(before, after, "reading brought pages in");
    assert!(target.cost().target_bytes_read >= 2 * 8 * pages / 2);
}

fn snapshot_page() -> u64 {
    // SAFETY: sysconf takes a number and returns one.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("a page size")
}

#[test]
fn more_addresses_than_one_call_takes() {
    let subject = Subject::start("many");
    let (_, target) = read(subject.pid, MethodChoice::Smaps);
    let first = subject.address("first");
    let stride = subject.address("stride");
    let count = subject.address("count");
    // The second page of each pair has no permission and is never touched.
    let addresses: Vec<u64> = (0..2 * count)
        .map(|number| first + number * stride / 2)
        .collect();
    let mut out = Vec::new();
    let readable = target.read_each(&addresses, 1, &mut out);
    let expected: Vec<bool> = (0..2 * count).map(|number| number % 2 == 0).collect();
    assert_eq!(readable, expected);
    assert!(out.iter().step_by(2).all(|byte| *byte == 1));
}

/// What is known of other processes spares the look at each page; where that is contradicted by pages, all are
/// looked at.
#[test]
fn pages_shared_after_fork() {
    check_pages_shared_after_fork("fork");
    check_pages_shared_after_fork("fork_disguised");
}

/// Entries of pagemap have 8 bytes a page.
#[test]
fn pages_that_nobody_else_can_map_are_not_looked_at() -> Result<(), String> {
    // SAFETY: takes nothing and can't fail.
    let is_root = unsafe { libc::geteuid() } == 0;
    let merged = std::fs::read_to_string("/sys/kernel/mm/ksm/pages_shared").unwrap_or_default();
    if !is_root || !["", "0"].contains(&merged.trim()) {
        eprintln!("skipped: takes root, and a system whose KSM has merged nothing");
        return Ok(());
    }
    let subject = Subject::start("apart");
    let entries = Bytes::mib(64).0 / snapshot_page() * 8;
    let (smaps, _) = read(subject.pid, MethodChoice::Smaps);
    // Threads of others that are about to end are not known to be no relatives.
    let walked = (0..100)
        .map(|_| read(subject.pid, MethodChoice::Walk).0)
        .find(|walked| walked.cost.bytes_read < entries)
        .ok_or("all entries are read")?;
    let start = subject.address("start");
    let (a, b) = (mapping_at(&smaps, start), mapping_at(&walked, start));
    compare(a, b, Exactness::Exact)?;
    same("rss", b.counters.rss, Bytes::mib(64))?;
    same("pss", b.counters.pss, Bytes::mib(64))
}

fn check_pages_shared_after_fork(scenario: &str) {
    let subject = Subject::start(scenario);
    let (snapshot, target) = read(subject.pid, MethodChoice::Walk);
    let range = AddressRange::sized(subject.address("both"), Bytes::mib(8).0);
    let shared = target.shared_pages(range).expect("shared pages");
    // 2,048 pages, of which the first half was written again after fork(2).
    let page = snapshot.page_size.0;
    assert_eq!(shared.len() as u64, Bytes::mib(4).0 / page);
    let middle = range.start + Bytes::mib(4).0;
    assert!(shared.iter().all(|page| page.address >= middle));
    let counters = mapping_at(&snapshot, range.start).counters;
    assert_eq!(counters.shared(), Bytes::mib(4));
    if shared[0].frame.is_some() {
        assert_eq!(counters.pss, Bytes::mib(6));
        let frames: BTreeMap<_, _> = shared.iter().map(|page| (page.frame, ())).collect();
        assert_eq!(frames.len(), shared.len());
    } else {
        eprintln!("skipped: page frames are hidden without root");
    }
}

#[test]
fn threads_have_names_and_stack_pointers() {
    let subject = Subject::start("zoo");
    let stack = subject.address("stack");
    let (snapshot, _) = read(subject.pid, MethodChoice::Smaps);
    let mut threads = snapshot.threads.iter();
    let worker = threads.find(|thread| thread.name == "worker (1) x");
    match worker.expect("the named thread").stack_pointer {
        Some(pointer) => assert!(mapping_at(&snapshot, pointer).range.contains(stack)),
        None => {
            let mut gaps = snapshot.gaps.iter();
            assert!(gaps.any(|gap| gap.what.contains("stacks")));
        }
    }
}

#[test]
fn cost_is_told() {
    let subject = Subject::start("many");
    for method in [MethodChoice::Smaps, MethodChoice::Walk] {
        let (snapshot, _) = read(subject.pid, method);
        let cost = snapshot.cost;
        assert!(cost.holds > 10 && cost.bytes_read > 100_000, "{cost:?}");
        assert!(cost.longest_hold <= cost.total_hold && cost.total_hold <= cost.wall);
        assert!(!cost.cpu.is_zero());
    }
}

#[test]
fn processes_that_can_not_be_read() {
    let options = ReadOptions {
        method: MethodChoice::Auto,
        wanted_symbols: &[],
        files: FileDetail::Nothing,
    };
    let error = |pid| {
        read_snapshot(pid, &options)
            .map(|_| ())
            .expect_err("an error")
    };
    // Above the largest pid_max of Linux, 2^22.
    assert!(matches!(error(4_194_305), ProbeError::NoSuchProcess { .. }));

    let mut ended = std::process::Command::new("true").spawn().expect("true");
    let zombie = ended.id();
    wait_until(|| {
        let state = process_info(zombie).map(|info| info.state);
        matches!(state, Ok(plimsoll_model::ProcessState::Zombie))
    });
    let refused = error(zombie);
    assert!(matches!(refused, ProbeError::Zombie { .. }), "{refused}");
    assert!(refused.to_string().contains("zombie"));
    ended.wait().expect("the exit code");
    assert!(matches!(error(zombie), ProbeError::NoSuchProcess { .. }));

    match process_info(2) {
        Ok(info) if info.name == "kthreadd" => {
            assert!(matches!(error(2), ProbeError::KernelThread { .. }));
        }
        _ => eprintln!("skipped: no kernel threads can be seen here"),
    }
}

/// pthread_exit(3) in main: /proc/PID shows a zombie without memory, but the process lives on.
#[test]
fn a_process_outlives_its_first_thread() {
    let subject = Subject::start("leader_gone");
    let pid = u32::try_from(subject.address("child")).expect("a pid");
    let held = subject.address("held");
    let options = ReadOptions {
        method: MethodChoice::Auto,
        wanted_symbols: &[],
        files: FileDetail::Nothing,
    };
    let mut thread = None;
    wait_until(|| match read_snapshot(pid, &options) {
        Err(ProbeError::LeaderGone { thread: other, .. }) => {
            thread = Some(other);
            true
        }
        _ => false,
    });
    let thread = thread.expect("a thread");
    let block_of = |snapshot: &Snapshot| {
        let mut mappings = snapshot.mappings.iter();
        let found = mappings.find(|mapping| mapping.range.contains(held));
        found.expect("its block").counters.rss
    };
    wait_until(|| {
        let (snapshot, _) = read_snapshot(thread, &options).expect("it lives");
        block_of(&snapshot) == Bytes(8 << 20)
    });

    // The lists and the sampler need no advice.
    let info = process_info(pid).expect("it lives");
    assert_eq!(info.id.pid, pid);
    assert!(!info.command.is_empty());
    let table = read_process_table(TableOptions {
        grouping: Grouping::Process,
    })
    .expect("/proc is there");
    let row = table.rows.iter().find(|row| row.process.id == info.id);
    assert!(row.expect("its row").resident >= Bytes(8 << 20));
    let mut sampler = QuickSampler::open(pid).expect("it lives");
    assert_eq!(sampler.id(), info.id);
    let figures = sampler.read().expect("its status").expect("it lives");
    assert!(figures.rss >= Bytes(8 << 20));
    drop(subject);
    assert_eq!(sampler.read().expect("its end"), None);
}

fn wait_until(mut ready: impl FnMut() -> bool) {
    while !ready() {
        std::thread::yield_now();
    }
}

#[test]
fn a_sampler_sees_the_end() {
    let subject = Subject::start("zoo");
    let mut sampler = QuickSampler::open(subject.pid).expect("a sampler");
    let figures = sampler.read().expect("a reading").expect("it lives");
    assert_eq!(figures.rss, figures.anon + figures.file + figures.shmem);
    assert!(figures.shmem >= Bytes::mib(1));
    drop(subject);
    wait_until(|| matches!(sampler.read(), Ok(None)));
}

#[test]
fn a_process_that_ends_half_way_gives_no_half_numbers() {
    for round in 0..40_u32 {
        let mut subject = Subject::start("many");
        let pid = subject.pid;
        let killer = std::thread::spawn(move || {
            // Spread over the length of a reading, which takes some 10 ms.
            let until = std::time::Instant::now() + std::time::Duration::from_micros(500) * round;
            while std::time::Instant::now() < until {
                std::hint::spin_loop();
            }
            subject.kill();
        });
        let options = ReadOptions {
            method: if round % 2 == 0 {
                MethodChoice::Smaps
            } else {
                MethodChoice::Walk
            },
            wanted_symbols: &[],
            files: FileDetail::Nothing,
        };
        match read_snapshot(pid, &options) {
            Ok((snapshot, _)) => assert!(snapshot.mappings.len() > 2000),
            Err(
                ProbeError::Vanished { .. }
                | ProbeError::Zombie { .. }
                | ProbeError::NoSuchProcess { .. },
            ) => {}
            Err(other) => panic!("{other}"),
        }
        killer.join().expect("the killer");
    }
}

#[test]
fn without_privileges_own_processes_can_be_read() {
    let subject = Subject::start("unprivileged");
    let outcome = subject.text("outcome").to_owned();
    if outcome.starts_with("skipped") {
        eprintln!("{outcome}");
    } else {
        assert_eq!(outcome, "fine");
    }
}

/// Runs in a child that gave up its privileges.
fn check_unprivileged(other: u32) -> Result<(), String> {
    let mut own = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .map_err(|error| error.to_string())?;
    let pid = own.id();
    // Until the child has executed sleep, it is a copy of this process.
    wait_until(|| process_info(pid).is_ok_and(|info| info.name == "sleep"));
    subject::wait_until_asleep(pid);
    let outcome = compare_unprivileged(pid, other);
    own.kill().map_err(|error| error.to_string())?;
    own.wait().map_err(|error| error.to_string())?;
    outcome
}

fn compare_unprivileged(pid: u32, other: u32) -> Result<(), String> {
    let (smaps, _) = read(pid, MethodChoice::Smaps);
    let (walked, target) = read(pid, MethodChoice::Walk);
    for (a, b) in smaps.mappings.iter().zip(&walked.mappings) {
        compare(a, b, Exactness::AtMost)?;
        let resident = target.residency(a.range).map_err(|gap| gap.to_string())?;
        same(
            "resident",
            resident.resident_within(a.range),
            a.counters.rss,
        )?;
    }
    same("rss", sum(&smaps).rss, smaps.status.rss)?;
    let pss = CountersSource::Walk {
        pss: Exactness::AtMost,
    };
    same("source", walked.counters_source, pss)?;
    let hinted = walked
        .gaps
        .iter()
        .any(|gap| gap.reason == GapReason::Denied && gap.detail.contains("--method smaps"));
    same("a gap for PSS", hinted, true)?;
    match read_snapshot(
        other,
        &ReadOptions {
            method: MethodChoice::Auto,
            wanted_symbols: &[],
            files: FileDetail::Nothing,
        },
    ) {
        Err(ProbeError::Denied { .. }) => Ok(()),
        Err(other) => Err(format!("{other}")),
        Ok(_) => Err("another user's process was read".into()),
    }
}
