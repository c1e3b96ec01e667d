//! What is written is what is read: a small run by hand, arbitrary component trees by proptest,
//! and long runs thinned on the way back.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, also in its own functions"
)]

mod made;

use std::time::Duration;

use made::{
    Folder, breakdown, cap, event, gap, id, meta, pressure, process, sample, stage, write_small,
};
use plimsoll_model::{
    Bytes, CacheState, Component, Exactness, Kind, Package, PackageManager, ProcessCount,
    ProcessId, Reclaim, Recorded, RecordingMeta, Sharing, Stage, TimedBreakdown, Usage, Used,
};
use plimsoll_recording::{BREAKDOWNS_LIMIT, RecordingError, RecordingWriter, read_recorded};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

#[test]
fn a_small_run_comes_back_whole() {
    let folder = Folder::new();
    write_small(&folder.file());
    let mut ended = process(42);
    ended.ended = Some(Duration::from_micros(90));
    ended.rss_peak = Bytes(30_000);
    // Not seen to end: its peak is its highest sample.
    let mut alive = process(41);
    alive.rss_peak = Bytes(10_000);
    let expected = Recorded {
        meta: meta(),
        processes: vec![alive, ended],
        samples: vec![sample(0, 41, 10_000), sample(100_000, 42, 20_000)],
        breakdowns: vec![
            TimedBreakdown {
                at: Duration::from_micros(50),
                breakdown: breakdown(9000),
            },
            TimedBreakdown {
                at: Duration::from_micros(60),
                breakdown: breakdown(9001),
            },
        ],
        stages: vec![
            stage(Stage::BEGINNING, 0, 95, None),
            stage("scan\n\"a\"", 95, 2_400_000, Some(Bytes(21_000))),
        ],
        pressure: vec![pressure(1_000_000), pressure(2_000_000)],
        cap: Some(cap()),
        events: vec![event(70)],
        gaps: vec![gap()],
    };
    assert_eq!(read_recorded(&folder.file(), 1000).unwrap(), expected);
    // One file, nothing beside it.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn an_existing_file_is_only_replaced_when_told() {
    let folder = Folder::new();
    std::fs::write(folder.file(), "precious").unwrap();
    let refused = RecordingWriter::create(&folder.file(), &meta());
    let refused = refused.err().unwrap();
    assert!(matches!(refused, RecordingError::Exists { .. }));
    assert!(refused.to_string().contains("--overwrite"), "{refused}");
    assert_eq!(std::fs::read(folder.file()).unwrap(), b"precious");
    RecordingWriter::replace(&folder.file(), &meta())
        .unwrap()
        .finish(&meta())
        .unwrap();
    assert!(read_recorded(&folder.file(), 10).unwrap().meta.complete);
    let refused = RecordingWriter::replace(folder.path(), &meta());
    assert!(matches!(refused, Err(RecordingError::Create { .. })));
}

#[test]
fn a_recording_may_begin_before_its_subject() {
    let folder = Folder::new();
    let before = RecordingMeta {
        root: ProcessId {
            pid: 0,
            start_time: 0,
        },
        ..meta()
    };
    let mut writer = RecordingWriter::create(&folder.file(), &before).unwrap();
    writer.flush().unwrap();
    assert_eq!(read_recorded(&folder.file(), 10).unwrap().meta.root.pid, 0);
    writer
        .subject_started(id(41), Duration::from_secs(5))
        .unwrap();
    writer.process_started(&process(41)).unwrap();
    writer.sample(&sample(250_000, 41, 4096)).unwrap();
    writer.flush().unwrap();
    // Still being written: readable, and not called complete.
    let running = read_recorded(&folder.file(), 10).unwrap();
    assert_eq!(running.meta.root, id(41));
    assert_eq!(running.meta.started_at, Duration::from_secs(5));
    assert_eq!(running.meta.length, Duration::from_micros(250_000));
    assert_eq!(running.meta.samples_taken, 1);
    assert!(!running.meta.complete);
    assert!(
        running
            .gaps
            .iter()
            .any(|gap| gap.what == "end of the recording")
    );
    drop(writer);
    assert!(!read_recorded(&folder.file(), 10).unwrap().meta.complete);
}

#[test]
fn a_process_that_was_not_announced_keeps_its_samples() {
    let folder = Folder::new();
    let mut writer = RecordingWriter::create(&folder.file(), &meta()).unwrap();
    writer.sample(&sample(5, 77, 4096)).unwrap();
    writer.finish(&meta()).unwrap();
    let recorded = read_recorded(&folder.file(), 10).unwrap();
    assert_eq!(recorded.samples, [sample(5, 77, 4096)]);
    assert_eq!(recorded.processes[0].id, id(77));
}

#[test]
fn a_long_run_is_thinned_and_keeps_its_peak() {
    let folder = Folder::new();
    let mut writer = RecordingWriter::create(&folder.file(), &meta()).unwrap();
    let peak = sample(31_234, 41, 9_000_000);
    for at in 0..40_000 {
        let taken = if at == 31_234 {
            peak
        } else {
            sample(at, 41, 1_000_000 + at)
        };
        writer.sample(&taken).unwrap();
        if at % 1000 == 0 {
            writer.flush().unwrap();
        }
    }
    for at in 0..BREAKDOWNS_LIMIT as u64 + 500 {
        let resident = if at == 777 { 5 << 30 } else { 1 << 30 };
        writer
            .breakdown(Duration::from_micros(at), &breakdown(resident))
            .unwrap();
        if at % 100 == 0 {
            writer.flush().unwrap();
        }
    }
    let summary = writer
        .finish(&RecordingMeta {
            samples_taken: 40_000,
            ..meta()
        })
        .unwrap();
    assert_eq!(summary.rows_dropped, 0);
    let recorded = read_recorded(&folder.file(), 500).unwrap();
    assert!((250..=500).contains(&recorded.samples.len()));
    assert!(recorded.samples.contains(&peak));
    assert_eq!(recorded.meta.samples_taken, 40_000);
    assert_eq!(recorded.processes[0].rss_peak, peak.rss);
    assert!(recorded.breakdowns.len() <= BREAKDOWNS_LIMIT);
    assert!(
        recorded
            .breakdowns
            .iter()
            .any(|timed| timed.at == Duration::from_micros(777))
    );
    assert!(
        recorded
            .gaps
            .iter()
            .any(|gap| gap.what == "breakdowns of the recording")
    );
}

#[test]
fn what_was_cut_off_lasts_to_the_last_stage_or_pressure() {
    let check = |write: &dyn Fn(&mut RecordingWriter), expected: u64| {
        let folder = Folder::new();
        let mut writer = RecordingWriter::create(&folder.file(), &meta()).unwrap();
        writer.sample(&sample(1000, 41, 4096)).unwrap();
        write(&mut writer);
        drop(writer);
        let recorded = read_recorded(&folder.file(), 10).unwrap();
        assert!(!recorded.meta.complete);
        assert_eq!(recorded.meta.length, Duration::from_micros(expected));
    };
    check(&|_| {}, 1000);
    check(
        &|writer| writer.stage(&stage("load", 10, 5000, None)).unwrap(),
        5000,
    );
    check(&|writer| writer.pressure(&pressure(7000)).unwrap(), 7000);
    check(&|writer| writer.pressure(&pressure(500)).unwrap(), 1000);
}

#[test]
fn pressure_of_days_is_thinned_and_keeps_its_totals() {
    let folder = Folder::new();
    let mut writer = RecordingWriter::create(&folder.file(), &meta()).unwrap();
    for second in 1..=9001 {
        writer.pressure(&pressure(second * 1_000_000)).unwrap();
        if second % 1000 == 0 {
            writer.flush().unwrap();
        }
    }
    writer.finish(&meta()).unwrap();
    let kept = read_recorded(&folder.file(), 10).unwrap().pressure;
    assert!((3000..=4001).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept.last(), Some(&pressure(9_001_000_000)));
    assert!(kept.is_sorted_by_key(|sample| sample.at));
}

#[test]
fn a_cap_told_again_keeps_what_is_no_longer_known() {
    let folder = Folder::new();
    let mut writer = RecordingWriter::create(&folder.file(), &meta()).unwrap();
    writer.cap(&cap()).unwrap();
    let last = plimsoll_model::CapRecord {
        oom_kills: Some(1),
        limit_hits: None,
        ..cap()
    };
    writer.cap(&last).unwrap();
    writer.finish(&meta()).unwrap();
    let read = read_recorded(&folder.file(), 10).unwrap().cap.unwrap();
    assert_eq!((read.oom_kills, read.limit_hits), (Some(1), Some(12)));
}

/// Written down in the reference: what a sample and a repeated breakdown cost.
#[test]
fn samples_and_repeated_owners_are_compact() {
    let folder = Folder::new();
    let mut writer = RecordingWriter::create(&folder.file(), &meta()).unwrap();
    for at in 0..50_000_u64 {
        writer
            .sample(&sample(at * 100_000, 41, (1 << 30) + at))
            .unwrap();
        if at % 1000 == 0 {
            writer.flush().unwrap();
        }
    }
    let size = writer.finish(&meta()).unwrap().size;
    assert!(size.0 / 50_000 < 48, "{} bytes a sample", size.0 / 50_000);
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![Just(0), 0..1_u64 << 20, 0..1_u64 << 62].prop_map(Bytes)
}

fn process_count() -> impl Strategy<Value = ProcessCount> {
    (any::<u32>(), any::<bool>()).prop_map(|(count, complete)| ProcessCount { count, complete })
}

fn package() -> impl Strategy<Value = Package> {
    let managers = vec![
        PackageManager::Python,
        PackageManager::Debian,
        PackageManager::Rpm,
        PackageManager::Npm,
        PackageManager::Alpine,
        PackageManager::Folder,
    ];
    (prop::sample::select(managers), ".{0,9}", ".{0,5}").prop_map(|(manager, name, version)| {
        Package {
            manager,
            name,
            version,
        }
    })
}

fn cache_state() -> impl Strategy<Value = CacheState> {
    (
        bytes(),
        option::of(bytes()),
        option::of(bytes()),
        option::of(bytes()),
        option::of(bytes()),
    )
        .prop_map(
            |(cached, dirty, writeback, evicted, recently_evicted)| CacheState {
                cached,
                dirty,
                writeback,
                evicted,
                recently_evicted,
            },
        )
}

fn component() -> impl Strategy<Value = Component> {
    let kinds = vec![
        Kind::Heap,
        Kind::Runtime,
        Kind::Stack,
        Kind::Code,
        Kind::Jit,
        Kind::File,
        Kind::Shared,
        Kind::Hugetlb,
        Kind::Device,
        Kind::Kernel,
        Kind::Named,
        Kind::Unattributed,
    ];
    let exactness = vec![Exactness::Exact, Exactness::Estimated, Exactness::AtMost];
    let sizes = prop::collection::vec(bytes(), 12);
    let words = (".{0,12}", ".{0,6}", ".{0,6}");
    let used = option::of((bytes(), bytes(), ".{0,6}"));
    let rest = (
        any::<u32>(),
        option::of(process_count()),
        prop::sample::select(exactness),
    );
    let leaf = (
        (prop::sample::select(kinds), words, sizes, rest),
        (
            used,
            option::of(cache_state()),
            option::of(bytes()),
            option::of(package()),
        ),
    )
        .prop_map(
            |((kind, words, sizes, rest), (used, cache, file_size, package))| Component {
                name: words.0,
                kind,
                usage: Usage {
                    resident: sizes[0],
                    distinct: sizes[1],
                    proportional: sizes[2],
                    private: sizes[3],
                    dirty: sizes[4],
                    swap: sizes[5],
                    hugetlb: sizes[6],
                },
                reclaim: Reclaim {
                    must_stay: sizes[7],
                    swap_only: sizes[8],
                    droppable: sizes[9],
                    after_writeback: sizes[10],
                },
                sharing: Sharing {
                    mappings: rest.0,
                    processes: rest.1,
                    shared: sizes[11],
                },
                proportional_exactness: rest.2,
                evidence: words.1,
                detail: words.2,
                used: used.map(|(live, held_free, method)| Used {
                    live,
                    held_free,
                    method,
                }),
                cache,
                file_size,
                package,
                parts: Vec::new(),
            },
        );
    leaf.prop_recursive(5, 24, 4, |inner| {
        (inner.clone(), vec(inner, 0..4)).prop_map(|(mut component, parts)| {
            component.parts = parts;
            component
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn arbitrary_component_trees_come_back(trees in vec(vec(component(), 0..4), 1..4)) {
        let folder = Folder::new();
        let mut writer = RecordingWriter::create(&folder.file(), &meta()).unwrap();
        let mut expected = Vec::new();
        for (at, components) in trees.into_iter().enumerate() {
            let at = Duration::from_micros(at as u64);
            let mut breakdown = breakdown(1 << 20);
            breakdown.components = components;
            writer.breakdown(at, &breakdown).unwrap();
            expected.push(TimedBreakdown { at, breakdown });
        }
        writer.finish(&meta()).unwrap();
        prop_assert_eq!(read_recorded(&folder.file(), 10).unwrap().breakdowns, expected);
    }
}
