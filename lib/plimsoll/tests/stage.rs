//! Peaks inside stages. One test: peaks are of the whole process, so nothing else may run beside it.

use std::thread;

use plimsoll::ErrorKind;
use plimsoll::ledger::Ledger;
use plimsoll::stage::{self, RssPeak, Stage};

#[global_allocator]
static LEDGER: Ledger = Ledger::system();

const MIB: u64 = 1 << 20;
/// Beside what a stage measures: the harness, and counters of RSS that lag behind.
const ROOM: u64 = 4 * MIB;

fn gather(mib: u64) -> Vec<u8> {
    std::hint::black_box(vec![1; (mib * MIB) as usize])
}

#[test]
fn stages() {
    peaks_that_fell_are_seen_in_their_stage_and_in_those_around_it();
    overlapping_stages_of_threads_have_their_own_peaks();
    too_many_stages_have_no_peaks();
    without_an_observer_nobody_is_told();
    many_stages_leave_nothing();
    the_mark_is_kept_on_request();
}

#[track_caller]
fn near(found: u64, expected: u64) {
    assert!(
        found.abs_diff(expected) <= ROOM,
        "{found} is not near {expected}"
    );
}

fn exactly(peak: RssPeak) -> Option<u64> {
    match peak {
        RssPeak::Exactly(bytes) => Some(bytes),
        // The kernel does not let us reset the mark here.
        other => {
            eprintln!("skipped: no exact peak of RSS here: {other:?}");
            None
        }
    }
}

fn peaks_that_fell_are_seen_in_their_stage_and_in_those_around_it() {
    drop(gather(200));
    let outer = Stage::begin("outer");
    let first = outer.nest("first");
    drop(gather(100));
    let first = first.end();
    let second = outer.nest("second");
    let kept = gather(50);
    let second = second.end();
    let outer = outer.end();
    assert_eq!(
        (first.path.as_str(), second.path.as_str()),
        ("outer/first", "outer/second")
    );

    let live = |figures: &stage::StageFigures| figures.live.expect("a ledger");
    near(
        live(&first).peak_bytes.expect("few stages"),
        live(&first).begin_bytes + 100 * MIB,
    );
    near(live(&first).end_bytes, live(&first).begin_bytes);
    near(
        live(&second).peak_bytes.expect("few stages"),
        live(&second).begin_bytes + 50 * MIB,
    );
    near(
        live(&outer).peak_bytes.expect("few stages"),
        live(&outer).begin_bytes + 100 * MIB,
    );
    near(live(&outer).total_bytes, 150 * MIB);
    near(live(&outer).end_bytes, live(&outer).begin_bytes + 50 * MIB);

    let end = outer.rss_bytes.expect("/proc");
    if let (Some(first), Some(second), Some(outer)) = (
        exactly(first.rss_peak),
        exactly(second.rss_peak),
        exactly(outer.rss_peak),
    ) {
        // The 200 MiB before are in none, the 100 MiB are not in the second.
        near(second, end);
        near(first, end + 50 * MIB);
        near(outer, first);
    }
    let line = outer.memstats().to_string();
    assert!(line.starts_with("[MEMSTATS:outer] Alloc=5"), "{line}");
    drop(kept);
}

fn overlapping_stages_of_threads_have_their_own_peaks() {
    let one = Stage::begin("one");
    let begin = thread::spawn(|| {
        let two = Stage::begin("two");
        drop(gather(40));
        two.end()
    });
    let two = begin.join().expect("no panic");
    let three = Stage::begin("three");
    let one = one.end();
    drop(gather(80));
    let three = three.end();
    let peak = |figures: &stage::StageFigures| {
        let live = figures.live.expect("a ledger");
        live.peak_bytes.expect("few stages") - live.begin_bytes
    };
    near(peak(&one), 40 * MIB);
    near(peak(&two), 40 * MIB);
    near(peak(&three), 80 * MIB);
}

fn too_many_stages_have_no_peaks() {
    let mut stages: Vec<_> = (0..20)
        .map(|number| Stage::begin(&number.to_string()))
        .collect();
    let last = stages.pop().expect("20").end();
    assert_eq!(last.live.expect("a ledger").peak_bytes, None);
    assert_eq!(last.rss_peak, RssPeak::Unknown);
    let first = stages.swap_remove(0).end();
    assert!(first.live.expect("a ledger").peak_bytes.is_some());
    // Dropped stages give their places back.
    drop(stages);
    let next = Stage::begin("next").end();
    assert!(next.live.expect("a ledger").peak_bytes.is_some());
}

fn without_an_observer_nobody_is_told() {
    let outer = Stage::begin("outer");
    assert!(!outer.tell_observer().expect("nobody is no error"));
    let inner = outer.nest("inner").tell_observer().expect_err("nested");
    assert_eq!(inner.kind(), ErrorKind::Invalid);
    let lines = Stage::begin("two\nlines")
        .tell_observer()
        .expect_err("two lines");
    assert_eq!(lines.kind(), ErrorKind::Invalid);
    let long = Stage::begin(&"x".repeat(5000))
        .tell_observer()
        .expect_err("too long");
    assert!(long.to_string().contains("4095"), "{long}");
}

fn many_stages_leave_nothing() {
    let outer = Stage::begin("batches");
    for _ in 0..1000 {
        let batch = outer.nest("batch").end();
        assert!(batch.live.expect("a ledger").peak_bytes.is_some());
    }
    let outer = outer.end();
    let live = outer.live.expect("a ledger");
    assert!(live.end_bytes <= live.begin_bytes + 4096, "{live:?}");
}

fn the_mark_is_kept_on_request() {
    drop(gather(300));
    stage::keep_high_water();
    let stage = Stage::begin("kept");
    // The mark moves no more: what is left of the 300 MiB, or of a stage that ended since.
    let first = stage.end();
    let again = Stage::begin("again");
    drop(gather(20));
    let again = again.end();
    match again.rss_peak {
        RssPeak::AtMost(bytes) => assert!(bytes >= 300 * MIB, "{bytes}"),
        other => panic!("{other:?} after {first:?}"),
    }
    assert!(
        stage::memstats("END")
            .to_string()
            .starts_with("[MEMSTATS:END] Alloc=")
    );
}
