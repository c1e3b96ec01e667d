use std::path::PathBuf;

use plimsoll_model::{ProcessId, ProcessState};
use proptest::prelude::*;

use super::*;

fn classes(text: &str, swap: bool) -> [u64; 4] {
    let rollup = Totals::parse(text.as_bytes()).unwrap();
    let split = rollup.reclaim(swap);
    assert_eq!(split.total(), rollup.pss, "{text}");
    [
        split.must_stay,
        split.swap_only,
        split.droppable,
        split.after_writeback,
    ]
    .map(|class| class.0 / 1024)
}

#[test]
fn reclaim_of_a_recorded_process() {
    let text = include_bytes!("../../fixtures/smaps_rollup-6.18");
    let rollup = Totals::parse(text).unwrap();
    assert_eq!(
        (rollup.rss, rollup.pss),
        (Bytes::kib(13_520), Bytes::kib(8_031))
    );
    assert_eq!(rollup.pss_dirty, Some(Bytes::kib(6_864)));
    let split = rollup.reclaim(false);
    assert_eq!(split.must_stay, Bytes::kib(6_864));
    assert_eq!(split.droppable, Bytes::kib(8_031 - 6_864));
    assert_eq!(split.total(), rollup.pss);
}

#[test]
fn reclaim_by_kind_of_page() {
    let check = |lines: &str, swap, expected| {
        let text: String = lines
            .split(", ")
            .map(|line| format!("{line} kB\n"))
            .collect();
        assert_eq!(classes(&text, swap), expected, "{lines}");
    };
    // must stay, swap only, droppable, after write-back
    let anon = "Rss: 100, Pss: 100, Pss_Dirty: 60, Pss_Anon: 60, Pss_Shmem: 0";
    check(anon, false, [60, 0, 40, 0]);
    check(anon, true, [0, 60, 40, 0]);
    let shared = "Rss: 100, Pss: 50, Pss_Dirty: 45, Pss_Anon: 10, Pss_Shmem: 30";
    check(shared, false, [40, 0, 5, 5]);
    check(shared, true, [0, 40, 5, 5]);
    // Freed lazily: anonymous, but clean, so it is not in Pss_Dirty.
    let lazy = "Rss: 90, Pss: 90, Pss_Dirty: 25, Pss_Anon: 60, Pss_Shmem: 0, LazyFree: 40";
    check(lazy, true, [0, 20, 65, 5]);
    // Clean anonymous pages hide dirty file pages of the same size, but never make any.
    let clean_anon = "Rss: 90, Pss: 90, Pss_Dirty: 50, Pss_Anon: 60, Pss_Shmem: 0";
    check(clean_anon, false, [60, 0, 30, 0]);
    // Locked: from what needs swap first, then dirty, then clean.
    let locked = |kib: u32| {
        format!("Rss: 90, Pss: 90, Pss_Dirty: 70, Pss_Anon: 60, Pss_Shmem: 0, Locked: {kib}")
    };
    check(&locked(40), true, [40, 20, 20, 10]);
    check(&locked(40), false, [60, 0, 20, 10]);
    check(&locked(65), false, [65, 0, 20, 5]);
    check(&locked(75), true, [75, 0, 15, 0]);
    check(&locked(900), true, [90, 0, 0, 0]);
    // Linux 5.4 to 5.19: dirty is known in RSS only.
    let older = "Rss: 200, Pss: 100, Shared_Dirty: 0, Private_Dirty: 70, Anonymous: 60, \
                 Pss_Anon: 60, Pss_Shmem: 0";
    check(older, false, [60, 0, 30, 10]);
    // Before: no split of PSS at all.
    let oldest = "Rss: 200, Pss: 100, Private_Dirty: 60, Anonymous: 60";
    check(oldest, false, [60, 0, 40, 0]);
}

#[test]
fn shared_memory_on_older_kernels_is_not_taken_for_dirty_files() {
    // A database of 100 processes: 8 GiB of shared memory, each has a hundredth of it.
    let text = b"Rss: 8400000 kB\nPss: 90000 kB\nShared_Dirty: 8388608 kB\n\
                 Private_Dirty: 4000 kB\nAnonymous: 4000 kB\n";
    let mut rollup = Totals::parse(text).unwrap();
    assert!(rollup.wants_shmem());
    rollup.rss_shmem = Bytes::kib(8_388_608);
    let split = rollup.reclaim(false);
    assert_eq!(split.after_writeback, Bytes::ZERO);
    assert!(split.must_stay > Bytes::kib(89_000), "{split:?}");
}

#[test]
fn mappings_add_up_to_the_rollup() {
    let smaps = b"00400000-00401000 r-xp 00000000 fe:00 42    /bin/x\n\
        Rss: 4 kB\nPss: 2 kB\nPrivate_Clean: 0 kB\nVmFlags: rd ex\n\
        00600000-00601000 rw-p 00000000 00:00 0\n\
        Rss: 8 kB\nPss: 8 kB\nPrivate_Dirty: 8 kB\nAnonymous: 8 kB\nSwap: 12 kB\n";
    let rollup = Totals::parse(smaps).unwrap();
    assert_eq!((rollup.rss, rollup.pss), (Bytes::kib(12), Bytes::kib(10)));
    assert_eq!(
        (rollup.anonymous, rollup.swap),
        (Bytes::kib(8), Bytes::kib(12))
    );
}

#[test]
fn what_is_no_rollup_is_none() {
    let check = |text: &[u8]| assert_eq!(Totals::parse(text), None);
    check(b"");
    check(b"Rss: 4 kB\n");
    check(b"Rss: 4\nPss: 4\n");
}

fn row(pid: u32, name: &str, cgroup: &str, resident: u64, pss: Option<u64>) -> ProcessRow {
    let process = ProcessInfo {
        id: ProcessId { pid, start_time: 1 },
        parent: 1,
        name: name.to_owned(),
        command: vec![name.to_owned()],
        executable: Some(PathBuf::from(format!("/usr/bin/{name}"))),
        uid: 0,
        state: ProcessState::Sleeping,
        cgroup: Some(cgroup.to_owned()),
    };
    let mut row = row_without_rollup(process, Bytes::kib(resident));
    row.proportional = pss.map(Bytes::kib);
    row.private = row.proportional;
    row.swap = row.proportional.map(|_| Bytes::ZERO);
    row.reclaim.must_stay = row.proportional.unwrap_or_default();
    row
}

#[test]
fn groups_and_their_order() {
    let rows = || {
        vec![
            row(1, "init", "/init.scope", 10, None),
            row(2, "web", "/system.slice/web.service", 50, Some(20)),
            row(3, "web", "/system.slice/web.service", 60, Some(25)),
            row(4, "web", "/lxc/a", 30, Some(30)),
            row(5, "sh", "/", 9, Some(5)),
            row(6, "web", "/lxc/a", 99, None),
        ]
    };
    let check = |grouping, expected: &[(&str, u32, u32, u64, Option<u64>)]| {
        let found: Vec<_> = rows::group(rows(), grouping)
            .into_iter()
            .map(|row| {
                let pss = row.proportional.map(|bytes| bytes.0 / 1024);
                assert_eq!(row.reclaim.total(), row.proportional.unwrap_or_default());
                (
                    row.label,
                    row.processes,
                    row.process.id.pid,
                    row.resident.0 / 1024,
                    pss,
                )
            })
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(label, processes, pid, rss, pss)| {
                ((*label).to_owned(), *processes, *pid, *rss, *pss)
            })
            .collect();
        assert_eq!(found, expected, "{grouping:?}");
    };
    check(
        Grouping::Process,
        &[
            ("web", 1, 6, 99, None),
            ("web", 1, 4, 30, Some(30)),
            ("web", 1, 3, 60, Some(25)),
            ("web", 1, 2, 50, Some(20)),
            ("init", 1, 1, 10, None),
            ("sh", 1, 5, 9, Some(5)),
        ],
    );
    check(
        Grouping::Application,
        &[
            ("web (PSS unknown)", 1, 6, 99, None),
            ("web", 3, 4, 140, Some(75)),
            ("init (PSS unknown)", 1, 1, 10, None),
            ("sh", 1, 5, 9, Some(5)),
        ],
    );
    check(
        Grouping::Container,
        &[
            ("lxc:a (PSS unknown)", 1, 6, 99, None),
            ("web.service", 2, 3, 110, Some(45)),
            ("lxc:a", 1, 4, 30, Some(30)),
            ("init.scope (PSS unknown)", 1, 1, 10, None),
            ("outside containers and services", 1, 5, 9, Some(5)),
        ],
    );
}

/// A child that is ended when the test is over.
struct Sleeper(std::process::Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn live_table(grouping: Grouping) -> ProcessTable {
    read_process_table(TableOptions { grouping }).unwrap()
}

#[test]
fn a_quiet_child_has_the_figures_of_its_rollup() {
    let child = std::process::Command::new("sleep").arg("1000").spawn();
    let sleeper = Sleeper(child.unwrap());
    let pid = sleeper.0.id();
    // Until it sleeps, it still maps its libraries.
    while std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap() != "sleep\n"
        || !std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .unwrap()
            .contains(") S ")
    {
        std::thread::yield_now();
    }
    // PSS and USS move with those who share its libraries; what is its own alone does not.
    let rollup = || {
        let text = std::fs::read(format!("/proc/{pid}/smaps_rollup")).unwrap();
        Totals::parse(&text).unwrap()
    };
    let before = rollup();
    let table = live_table(Grouping::Process);
    let after = rollup();
    assert_eq!((before.rss, before.anonymous), (after.rss, after.anonymous));
    let found = table
        .rows
        .iter()
        .find(|row| row.process.id.pid == pid)
        .unwrap();
    assert_eq!(found.resident, before.rss);
    assert_eq!(found.label, "sleep");
    assert_eq!(found.swap, Some(before.swap));
    let pss = found.proportional.unwrap();
    assert!(pss >= before.anonymous && pss <= before.rss, "{pss}");
    assert_eq!(found.reclaim.total(), pss);
    assert!(table.cost.holds >= 1 && table.cost.bytes_read > 0);
    assert!(
        table.rows.is_sorted_by_key(|row| {
            std::cmp::Reverse(row.proportional.unwrap_or(row.resident))
        })
    );
}

#[test]
fn without_smaps_rollup_the_mappings_are_added_up() {
    let mut directory = ProcDirectory::open().unwrap();
    let mut meter = HoldMeter::start();
    let child = std::process::Command::new("sleep").arg("1000").spawn();
    let sleeper = Sleeper(child.unwrap());
    while !std::fs::read_to_string(format!("/proc/{}/stat", sleeper.0.id()))
        .unwrap()
        .contains("(sleep) S ")
    {
        std::thread::yield_now();
    }
    let process = directory.enter(sleeper.0.id()).unwrap();
    let mut read = |rollup_missing| {
        let mut reading = Reading {
            rollup_missing,
            ..Reading::default()
        };
        reading
            .read_rollup(&mut directory, &process, &mut meter)
            .unwrap()
    };
    let (rollup, sum) = (read(false), read(true));
    assert_eq!(
        (sum.rss, sum.anonymous, sum.private_dirty, sum.swap),
        (
            rollup.rss,
            rollup.anonymous,
            rollup.private_dirty,
            rollup.swap
        )
    );
}

#[test]
fn a_zombie_is_counted_apart() {
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let pid = child.id();
    while !std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .unwrap()
        .contains(") Z ")
    {
        std::thread::yield_now();
    }
    let table = live_table(Grouping::Process);
    assert!(table.rows.iter().all(|row| row.process.id.pid != pid));
    assert!(table.without_memory >= 1);
    child.wait().unwrap();
}

#[test]
fn every_row_of_the_live_table_splits_its_pss() {
    for grouping in [
        Grouping::Process,
        Grouping::Application,
        Grouping::Container,
    ] {
        for row in live_table(grouping).rows {
            assert_eq!(
                row.reclaim.total(),
                row.proportional.unwrap_or_default(),
                "{row:?}"
            );
        }
    }
}

const KEYS: [&str; 12] = [
    "Rss",
    "Pss",
    "Pss_Dirty",
    "Pss_Anon",
    "Pss_Shmem",
    "Shared_Dirty",
    "Private_Dirty",
    "Private_Clean",
    "Anonymous",
    "LazyFree",
    "Locked",
    "Swap",
];

proptest! {
    #[test]
    fn never_panics(text in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Totals::parse(&text);
    }

    /// Whatever the kernel says, and whichever of the newer lines it lacks.
    #[test]
    fn classes_sum_to_pss(
        values in proptest::array::uniform12(0_u64..1 << 53),
        there in proptest::array::uniform12(any::<bool>()),
        rss_shmem in 0_u64..1 << 60,
        swap: bool,
    ) {
        let text: String = KEYS
            .iter()
            .zip(values.iter().zip(there))
            .filter(|(key, (_, there))| *there || matches!(**key, "Rss" | "Pss"))
            .map(|(key, (value, _))| format!("{key}: {value} kB\n"))
            .collect();
        let mut rollup = Totals::parse(text.as_bytes()).unwrap();
        rollup.rss_shmem = Bytes(rss_shmem);
        let _ = rollup.wants_shmem();
        let split = rollup.reclaim(swap);
        prop_assert_eq!(split.total(), rollup.pss);
        if !swap {
            prop_assert_eq!(split.swap_only, Bytes::ZERO);
        }
    }
}
