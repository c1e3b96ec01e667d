//! The page as another process would find it: by the maps of this one, byte by byte.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use plimsoll::ErrorKind;
use plimsoll::beacon::{BeaconOptions, PAGE_BYTES};
use plimsoll::budget::{Budget, Policy};
use plimsoll::ledger::Ledger;
use plimsoll::stage::Stage;

#[global_allocator]
static LEDGER: Ledger = Ledger::system();

/// A process has one beacon: tests take turns.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Start of each mapping of a beacon.
fn mapped() -> Vec<u64> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let beacons = maps
        .lines()
        .filter(|line| line.contains("/memfd:plimsoll-beacon"));
    let start = |line: &str| u64::from_str_radix(line.split('-').next().unwrap(), 16).unwrap();
    beacons.map(start).collect()
}

/// Sequence and whole text of both slots.
fn slots() -> [(u64, Vec<u8>); 2] {
    let [start] = mapped()[..] else {
        panic!("one beacon")
    };
    let mut page = vec![0; PAGE_BYTES];
    let memory = File::open("/proc/self/mem").unwrap();
    memory.read_exact_at(&mut page, start).unwrap();
    [0, PAGE_BYTES / 2].map(|slot| {
        let slot = &page[slot..][..PAGE_BYTES / 2];
        let length = u32::from_le_bytes(slot[12..16].try_into().unwrap()) as usize;
        let sequence = u64::from_le_bytes(slot[16..24].try_into().unwrap());
        (sequence, slot[48..48 + length].to_vec())
    })
}

fn newest() -> (u64, Vec<u8>) {
    slots().into_iter().max_by_key(|slot| slot.0).unwrap()
}

fn has(text: &[u8], name: &str) -> bool {
    text.windows(name.len())
        .any(|window| window == name.as_bytes())
}

#[test]
fn it_is_there_until_it_is_dropped() {
    let _turn = turn();
    let budget = Budget::new(1 << 20, Policy::Greedy);
    let _consumer = budget.consumer("covers");
    let options = BeaconOptions::default().by_hand();
    let beacon = options.budget("pool of images", &budget).publish().unwrap();
    let error = BeaconOptions::default().publish().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
    let stage = Stage::begin("import");
    let inner = stage.nest("batch");
    beacon.refresh();
    let (sequence, text) = newest();
    assert_eq!(sequence, 2);
    for name in [
        "pool of images",
        "covers",
        "import",
        "import/batch",
        "untagged",
    ] {
        assert!(has(&text, name), "{name}");
    }
    let _ = inner.end();
    drop(stage);
    beacon.refresh();
    let (sequence, text) = newest();
    assert_eq!(sequence, 3);
    assert!(!has(&text, "import"), "stages that ended are gone");
    let other = slots().into_iter().min_by_key(|slot| slot.0).unwrap();
    assert!(
        has(&other.1, "import/batch"),
        "the text before it is still whole"
    );
    drop(beacon);
    assert!(mapped().is_empty());
    drop(BeaconOptions::default().publish().unwrap());
}

#[test]
fn a_thread_writes_it_anew() {
    let _turn = turn();
    let options = BeaconOptions::default().interval(Duration::ZERO);
    let _beacon = options.publish().unwrap();
    let begun = Instant::now();
    while newest().0 < 3 {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "it is not written"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_child_of_fork_has_none_and_can_have_its_own() {
    let _turn = turn();
    let beacon = BeaconOptions::default().by_hand().publish().unwrap();
    // SAFETY: other threads may hold locks of the allocator, which glibc takes over fork itself; the
    // child leaves with _exit.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let inherited = mapped().len();
        beacon.refresh();
        drop(beacon);
        let own = BeaconOptions::default().by_hand().publish();
        let code = match (inherited, own.map(|own| (newest().0, own))) {
            (0, Ok((1, _))) => 0,
            _ => 1,
        };
        // SAFETY: ends this process.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: waits for the child just made.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
    assert_eq!(newest().0, 1, "the child wrote nothing into it");
}

/// Tags are counted, and so are 1,000 consumers that do not all fit.
#[test]
fn a_text_never_grows_beyond_its_slot() {
    let _turn = turn();
    let budget = Budget::new(1 << 30, Policy::Greedy);
    let consumers: Vec<_> = (0..1000)
        .map(|number| budget.consumer(format!("consumer {number}")))
        .collect();
    let options = BeaconOptions::default().by_hand();
    let beacon = options.budget("main", &budget).publish().unwrap();
    beacon.refresh();
    let (_, text) = newest();
    assert!(text.len() <= PAGE_BYTES / 2 - 48);
    assert!(text.len() > PAGE_BYTES / 2 - 200, "it is used to the end");
    assert_eq!(text[text.len() - 12..text.len() - 8], [6, 0, 8, 0]);
    drop(consumers);
}

/// A child finds no lock held that the beacon's thread took: it can use stages, budgets and a beacon
/// of its own, whenever the fork happens.
#[test]
fn a_fork_never_happens_while_a_text_is_written() {
    let _turn = turn();
    let budget = Budget::new(1 << 30, Policy::Greedy);
    let _consumers: Vec<_> = (0..50)
        .map(|number| budget.consumer(format!("consumer {number}")))
        .collect();
    let options = BeaconOptions::default().by_hand();
    let beacon = options.budget("main", &budget).publish().unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                beacon.refresh();
            }
        });
        let mut statuses = Vec::new();
        for _ in 0..100 {
            // SAFETY: the child allocates, which glibc takes over fork itself, and leaves with _exit;
            // the alarm ends it where it waits for a lock.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // SAFETY: ends this process when the time is up.
                unsafe { libc::alarm(30) };
                let stage = Stage::begin("in the child");
                let held = budget.figures().held_bytes;
                drop(stage);
                let own = BeaconOptions::default().by_hand().publish();
                // SAFETY: ends this process.
                unsafe { libc::_exit(i32::from(own.is_err() || held != 0)) };
            }
            let mut status = 0;
            // SAFETY: waits for the child just made.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            statuses.push(status);
            if status != 0 {
                break;
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        let last = statuses.last();
        assert_eq!(last, Some(&0), "14: it waited for a lock that nobody holds");
    });
}
