//! Made-up recordings for the tests of this crate: a folder that goes away, and a small run.
#![allow(
    dead_code,
    reason = "each test program is compiled with this module and uses a part of it"
)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use plimsoll_model::{
    Breakdown, Bytes, CacheState, CapMechanism, CapRecord, Component, Event, EventKind, Exactness,
    Gap, GapReason, Kind, Method, Package, PackageManager, PressureSample, ProcessCount, ProcessId,
    ProcessInfo, ProcessRecord, ProcessState, ReadingCost, Reclaim, RecordingMeta, RssParts,
    Sample, Scope, Sharing, Stage, StageSource, SystemMemory, Totals, Usage, Used,
};
use plimsoll_recording::RecordingWriter;

/// A new folder, deleted at the end of the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "plimsoll-recording-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("run.plimsoll")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn id(pid: u32) -> ProcessId {
    ProcessId {
        pid,
        start_time: 1000 + u64::from(pid),
    }
}

pub(crate) fn meta() -> RecordingMeta {
    RecordingMeta {
        command: vec!["make".to_owned(), "-j 2".to_owned()],
        root: id(41),
        started_at: Duration::from_micros(1_700_000_000_123_456),
        length: Duration::from_micros(2_500_001),
        interval: Duration::from_millis(100),
        exit_code: Some(3),
        exit_signal: None,
        complete: true,
        tool_version: "0.1.0".to_owned(),
        recorder_cpu: Duration::from_micros(12_345),
        samples_taken: 2,
    }
}

pub(crate) fn process(pid: u32) -> ProcessRecord {
    ProcessRecord {
        id: id(pid),
        parent: 1,
        name: format!("worker {pid}"),
        command: vec!["worker".to_owned(), "a\nb".to_owned()],
        first_seen: Duration::from_micros(7),
        ended: None,
        rss_peak: Bytes::ZERO,
    }
}

pub(crate) fn sample(at: u64, pid: u32, rss: u64) -> Sample {
    Sample {
        at: Duration::from_micros(at),
        process: id(pid),
        rss: Bytes(rss),
        anon: Bytes(rss / 2),
        file: Bytes(rss - rss / 2),
        shmem: Bytes::ZERO,
        swap: Bytes(4096),
    }
}

/// A breakdown with every kind of optional field both there and absent.
pub(crate) fn breakdown(resident: u64) -> Breakdown {
    let mut heap = Component::new("glibc heap", Kind::Heap);
    heap.usage.resident = Bytes(resident);
    heap.usage.swap = Bytes(8192);
    heap.reclaim = Reclaim {
        must_stay: Bytes(resident),
        ..Reclaim::default()
    };
    heap.evidence = "malloc chunk headers".to_owned();
    heap.used = Some(Used {
        live: Bytes(resident / 3),
        held_free: Bytes(resident / 4),
        method: "chunk walk".to_owned(),
    });
    let mut file = Component::new("cache.db", Kind::File);
    file.sharing = Sharing {
        mappings: 12,
        processes: Some(ProcessCount {
            count: 3,
            complete: false,
        }),
        shared: Bytes(4096),
    };
    file.proportional_exactness = Exactness::AtMost;
    file.detail = "93 % cached".to_owned();
    file.file_size = Some(Bytes::mib(200));
    file.cache = Some(CacheState {
        cached: Bytes::mib(186),
        dirty: Some(Bytes::ZERO),
        writeback: None,
        evicted: Some(Bytes(4096)),
        recently_evicted: None,
    });
    file.package = Some(Package {
        manager: PackageManager::Debian,
        name: "cache-data".to_owned(),
        version: String::new(),
    });
    let mut part = Component::new("index page", Kind::File);
    part.parts = vec![Component::new("root", Kind::File)];
    file.parts = vec![part, Component::new("", Kind::Named)];
    let process = ProcessInfo {
        id: id(41),
        parent: 1,
        name: "worker".to_owned(),
        command: vec!["worker".to_owned()],
        executable: Some(PathBuf::from("/usr/bin/worker")),
        uid: 1000,
        state: ProcessState::Running,
        cgroup: None,
    };
    Breakdown {
        taken_at: Duration::from_nanos(1_700_000_001_123_456_789),
        scope: Scope::Tree,
        processes: vec![process.clone()],
        process,
        verdict: "it is the heap".to_owned(),
        totals: Totals {
            usage: Usage {
                resident: Bytes(resident),
                ..Usage::default()
            },
            reclaim: Reclaim::default(),
            proportional_exactness: Exactness::Estimated,
            resident_exactness: Exactness::Exact,
            status_rss: Bytes(resident),
            rss_peak: Bytes(resident + 1),
            virtual_size: Bytes::gib(1),
            page_tables: Bytes(4096),
        },
        components: vec![
            heap,
            file,
            Component::new("unattributed", Kind::Unattributed),
        ],
        published: Vec::new(),
        cgroup: None,
        system: SystemMemory::default(),
        gaps: vec![gap()],
        cost: ReadingCost {
            method: Method::Walk,
            wall: Duration::from_nanos(1234),
            cpu: Duration::from_nanos(567),
            longest_hold: Duration::from_nanos(89),
            total_hold: Duration::from_nanos(123),
            holds: 4,
            bytes_read: 56,
            target_bytes_read: 78,
        },
    }
}

pub(crate) fn gap() -> Gap {
    Gap::new("PSS of shared pages", GapReason::Denied, "as nobody")
}

pub(crate) fn event(at: u64) -> Event {
    Event {
        at: Duration::from_micros(at),
        kind: EventKind::ProcessStarted,
        text: "worker 42".to_owned(),
    }
}

/// From `start` to `end` in microseconds.
pub(crate) fn stage(label: &str, start: u64, end: u64, peak_at_most: Option<Bytes>) -> Stage {
    let parts = |factor: u64| RssParts {
        rss: Bytes(factor * 7000),
        anon: Bytes(factor * 4000),
        file: Bytes(factor * 2000),
        shmem: Bytes(factor * 1000),
        swap: Bytes(factor * 500),
    };
    Stage {
        label: label.to_owned(),
        source: if start == 0 {
            StageSource::Start
        } else {
            StageSource::Log
        },
        start: Duration::from_micros(start),
        end: Duration::from_micros(end),
        at_start: parts(1),
        at_end: parts(2),
        peak: Bytes(15_000),
        peak_at_most,
    }
}

pub(crate) fn pressure(at: u64) -> PressureSample {
    PressureSample {
        at: Duration::from_micros(at),
        some: Duration::from_micros(at / 10),
        full: Duration::from_micros(at / 100),
    }
}

pub(crate) fn cap() -> CapRecord {
    CapRecord {
        mechanism: CapMechanism::CgroupV1,
        limit: Bytes::mib(64),
        charge_peak: Some(Bytes::mib(63)),
        limit_hits: Some(12),
        oom_kills: None,
        refused: vec!["cgroup v2 is not mounted".to_owned()],
    }
}

/// A small finished recording with a row in every table.
pub(crate) fn write_small(path: &Path) {
    let mut writer = RecordingWriter::create(path, &meta()).unwrap();
    writer.process_started(&process(41)).unwrap();
    writer.process_started(&process(42)).unwrap();
    writer.sample(&sample(0, 41, 10_000)).unwrap();
    writer.sample(&sample(100_000, 42, 20_000)).unwrap();
    writer
        .breakdown(Duration::from_micros(50), &breakdown(9000))
        .unwrap();
    writer
        .breakdown(Duration::from_micros(60), &breakdown(9001))
        .unwrap();
    writer.event(&event(70)).unwrap();
    writer.gap(Duration::from_micros(80), &gap()).unwrap();
    writer
        .process_ended(id(42), Duration::from_micros(90), Bytes(30_000))
        .unwrap();
    writer.stage(&stage(Stage::BEGINNING, 0, 95, None)).unwrap();
    writer
        .stage(&stage("scan\n\"a\"", 95, 2_400_000, Some(Bytes(21_000))))
        .unwrap();
    writer.pressure(&pressure(1_000_000)).unwrap();
    writer.pressure(&pressure(2_000_000)).unwrap();
    writer.cap(&cap()).unwrap();
    writer.finish(&meta()).unwrap();
}
