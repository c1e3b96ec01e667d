//! Arithmetic over made-up stages, in MiB and seconds.

use plimsoll_model::{
    Breakdown, Exactness, Gap, Kind, Method, ProcessId, ProcessInfo, ProcessState, ReadingCost,
    Reclaim, RecordingMeta, Scope, SystemMemory, Totals, Usage, Used,
};

use super::*;

fn parts(rss: u64) -> RssParts {
    RssParts {
        rss: Bytes::mib(rss),
        anon: Bytes::mib(rss / 2),
        file: Bytes::mib(rss - rss / 2),
        ..RssParts::default()
    }
}

/// Of `(label, seconds, end, peak)`: each begins where the one before ended, the first at nothing.
fn stages(rows: &[(&str, u64, u64, u64)]) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    for (label, seconds, end, peak) in rows {
        let before = stages.last();
        let start = before.map_or(Duration::ZERO, |stage| stage.end);
        stages.push(Stage {
            label: (*label).to_owned(),
            source: if *label == Stage::BEGINNING {
                StageSource::Start
            } else {
                StageSource::Mark
            },
            start,
            end: start + Duration::from_secs(*seconds),
            at_start: before.map_or_else(RssParts::default, |stage| stage.at_end),
            at_end: parts(*end),
            peak: Bytes::mib(*peak),
            peak_at_most: None,
        });
    }
    stages
}

/// A breakdown of `(name, resident, freed but held, droppable)`.
fn breakdown(at_ms: u64, components: &[(&str, u64, u64, u64)]) -> TimedBreakdown {
    let components: Vec<Component> = components
        .iter()
        .map(|(name, resident, held, droppable)| {
            let mut component = Component::new(*name, Kind::Heap);
            component.usage.resident = Bytes::mib(*resident);
            component.reclaim.droppable = Bytes::mib(*droppable);
            component.used = (*held > 0).then(|| Used {
                live: Bytes::mib(resident - held),
                held_free: Bytes::mib(*held),
                method: String::new(),
            });
            component
        })
        .collect();
    let resident = components.iter().map(|c| c.usage.resident).sum();
    let process = ProcessInfo {
        id: ProcessId {
            pid: 1,
            start_time: 1,
        },
        parent: 0,
        name: String::new(),
        command: Vec::new(),
        executable: None,
        uid: 0,
        state: ProcessState::Running,
        cgroup: None,
    };
    TimedBreakdown {
        at: Duration::from_millis(at_ms),
        breakdown: Breakdown {
            taken_at: Duration::ZERO,
            scope: Scope::Process,
            processes: vec![process.clone()],
            process,
            verdict: String::new(),
            totals: Totals {
                usage: Usage::default(),
                reclaim: Reclaim::default(),
                proportional_exactness: Exactness::Exact,
                resident_exactness: Exactness::Exact,
                status_rss: resident,
                rss_peak: resident,
                virtual_size: Bytes::ZERO,
                page_tables: Bytes::ZERO,
            },
            components,
            published: Vec::new(),
            cgroup: None,
            system: SystemMemory::default(),
            gaps: Vec::<Gap>::new(),
            cost: ReadingCost {
                method: Method::Quick,
                wall: Duration::ZERO,
                cpu: Duration::ZERO,
                longest_hold: Duration::ZERO,
                total_hold: Duration::ZERO,
                holds: 0,
                bytes_read: 0,
                target_bytes_read: 0,
            },
        },
    }
}

fn recorded(stages: Vec<Stage>, breakdowns: Vec<TimedBreakdown>) -> Recorded {
    Recorded {
        meta: RecordingMeta {
            command: Vec::new(),
            root: ProcessId {
                pid: 1,
                start_time: 1,
            },
            started_at: Duration::ZERO,
            length: Duration::from_secs(60),
            interval: Duration::from_millis(100),
            exit_code: Some(0),
            exit_signal: None,
            complete: true,
            tool_version: String::new(),
            recorder_cpu: Duration::ZERO,
            samples_taken: 0,
        },
        processes: Vec::new(),
        samples: Vec::new(),
        breakdowns,
        stages,
        pressure: Vec::new(),
        cap: None,
        events: Vec::new(),
        gaps: Vec::new(),
    }
}

#[test]
fn the_share_that_was_freed() {
    let check = |rows: &[(&str, u64, u64, u64)], expected: Option<(u64, u64, u64, f64)>| {
        let stages = stages(rows);
        let found = Freed::of(&stages).map(|freed| {
            let mib = |bytes: Bytes| bytes.0 >> 20;
            let ratio = freed.ratio().unwrap_or(-1.0);
            (mib(freed.base), mib(freed.max), mib(freed.remains()), ratio)
        });
        assert_eq!(found, expected, "{rows:?}");
    };
    check(&[], None);
    // Cut off before the first mark's stage ended.
    check(&[("(start)", 1, 10, 10)], None);
    // The base is where the first mark was; the peak inside counts, not only what was there at ends.
    check(
        &[
            ("(start)", 1, 10, 12),
            ("load", 1, 30, 50),
            ("free", 1, 20, 30),
        ],
        Some((10, 50, 10, 0.75)),
    );
    // A peak before the first mark is none of theirs.
    check(
        &[
            ("(start)", 1, 10, 99),
            ("load", 1, 30, 30),
            ("free", 1, 10, 30),
        ],
        Some((10, 30, 0, 1.0)),
    );
    // Below the base at the end.
    check(
        &[
            ("(start)", 1, 10, 10),
            ("load", 1, 20, 20),
            ("free", 1, 5, 20),
        ],
        Some((10, 20, 0, 1.5)),
    );
    // Nothing gained.
    check(
        &[("(start)", 1, 10, 10), ("free", 1, 5, 10)],
        Some((10, 10, 0, -1.0)),
    );
    // The figures of a known report: 371 at most, 108 left of it, from 0.
    check(
        &[
            ("(start)", 1, 0, 0),
            ("run", 1, 371, 371),
            ("delete", 1, 108, 371),
        ],
        Some((0, 371, 108, 263.0 / 371.0)),
    );
}

#[test]
fn a_peak_that_may_be_higher_makes_the_share_a_least_one() {
    let mut stages = stages(&[
        ("(start)", 1, 10, 10),
        ("load", 1, 30, 50),
        ("free", 1, 20, 30),
    ]);
    assert!(!Freed::of(&stages).unwrap().is_at_least());
    stages[2].peak_at_most = Some(Bytes::mib(35));
    assert!(!Freed::of(&stages).unwrap().is_at_least());
    stages[1].peak_at_most = Some(Bytes::mib(60));
    assert!(Freed::of(&stages).unwrap().is_at_least());
}

#[test]
fn what_is_left_is_told_by_owner() {
    let rows = [
        ("(start)", 1, 10, 12),
        ("load", 1, 50, 50),
        ("free", 1, 20, 30),
    ];
    let heap = |resident, held| ("heap", resident, held, 0);
    let all = recorded(
        stages(&rows),
        vec![
            breakdown(20, &[heap(2, 0), ("code", 3, 0, 3)]),
            breakdown(1000, &[heap(4, 1), ("code", 4, 0, 4), ("gone", 2, 0, 0)]),
            breakdown(2000, &[heap(44, 1), ("code", 6, 0, 6)]),
            breakdown(2300, &[heap(13, 8), ("code", 7, 0, 7)]),
        ],
    );
    let found = remainder(&all).unwrap();
    assert_eq!(found.from.at, Duration::from_secs(1));
    assert_eq!(found.to.at, Duration::from_millis(2300));
    let changes: Vec<(&str, i64)> = found
        .components
        .iter()
        .map(|component| (component.name, component.change() >> 20))
        .collect();
    assert_eq!(changes, [("heap", 9), ("code", 3), ("gone", -2)]);
    let [heap, code, _] = found.components[..] else {
        panic!("three components changed")
    };
    // It held 1 MiB before as well: 7 of the 9 are freed but held.
    assert_eq!(
        (heap.held, heap.droppable),
        (Some(Bytes::mib(7)), Bytes::ZERO)
    );
    assert_eq!((code.held, code.droppable), (None, Bytes::mib(3)));

    // The last breakdown is from before the last stage: it does not tell what is left.
    let mut early = all.clone();
    early.breakdowns.truncate(2);
    assert_eq!(remainder(&early), None);
    // But for one that saw what there is at the end.
    early.stages[1].end = Duration::from_millis(2400);
    early.stages[2].start = Duration::from_millis(2400);
    early
        .breakdowns
        .push(breakdown(2350, &[("heap", 20, 0, 0)]));
    let found = remainder(&early).unwrap();
    assert_eq!(found.to.at, Duration::from_millis(2350));
    assert_eq!(remainder(&recorded(stages(&rows), Vec::new())), None);
}

#[test]
fn a_stage_tells_what_changed_when_both_its_ends_were_read() {
    let rows = [
        ("(start)", 1, 10, 12),
        ("load", 1, 50, 50),
        ("free", 1, 20, 30),
    ];
    let check = |breakdowns: Vec<TimedBreakdown>, expected: [bool; 3]| {
        let recorded = recorded(stages(&rows), breakdowns);
        let found = [0, 1, 2].map(|place| stage_difference(&recorded, place).is_some());
        assert_eq!(found, expected);
    };
    let read = |at, resident| breakdown(at, &[("heap", resident, 0, 0)]);
    check(vec![read(1000, 10), read(2000, 50)], [false, true, false]);
    // One interval late is still at the border; later is not.
    check(vec![read(1100, 10), read(2000, 50)], [false, true, false]);
    check(vec![read(1101, 10), read(2000, 50)], [false, false, false]);
    // Read when the subject had gone on: not what the border was.
    check(vec![read(1000, 10), read(2050, 30)], [false, false, false]);
    // The last stage has its own end.
    check(
        vec![read(1000, 10), read(2000, 50), read(2950, 20)],
        [false, true, true],
    );
    check(vec![read(1000, 10)], [false, false, false]);
}

#[test]
fn labels_that_repeat_are_summed_up() {
    let stages = stages(&[
        ("(start)", 1, 10, 10),
        ("cycle", 1, 14, 15),
        ("rest", 1, 13, 14),
        ("cycle", 1, 23, 40),
        ("rest", 1, 21, 23),
        ("cycle", 1, 22, 22),
        ("last", 1, 20, 22),
    ]);
    let found: Vec<_> = repeated(&stages)
        .iter()
        .map(|group| {
            let mib = |bytes: i64| bytes as f64 / f64::from(1 << 20);
            (
                group.label,
                group.count,
                mib(group.change_median),
                mib(group.change_total),
                group.peak_max.0 >> 20,
            )
        })
        .collect();
    assert_eq!(
        found,
        [("cycle", 3, 4.0, 15.0, 40), ("rest", 2, -1.5, -3.0, 23)]
    );
}

#[test]
fn rows_go_to_labels_that_stand_for_one_stage_first() {
    let stages = stages(&[
        ("(start)", 1, 1, 1),
        ("cycle", 1, 1, 1),
        ("cycle", 1, 1, 1),
        ("cycle", 1, 1, 1),
        ("cycle", 1, 1, 1),
        ("last", 1, 1, 1),
    ]);
    assert_eq!(chosen(&stages, Some(3)), [0, 1, 5]);
    assert_eq!(chosen(&stages, Some(1)), [0]);
    assert_eq!(chosen(&stages, Some(0)), [0_usize; 0]);
    // "1 more stage" would take the same room.
    assert_eq!(chosen(&stages, Some(5)).len(), 6);
    assert_eq!(chosen(&stages, None).len(), 6);
}

#[test]
fn the_median_lies_in_the_middle() {
    let check = |figures: &[i64], expected| assert_eq!(median(&mut figures.to_vec()), expected);
    check(&[], 0);
    check(&[7], 7);
    check(&[9, -5, 1], 1);
    check(&[4, 1], 2);
}
