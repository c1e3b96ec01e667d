//! Made-up breakdowns that look like real ones, for the tests of this view.

use std::time::Duration;

use plimsoll_model::{
    Breakdown, Bytes, CacheState, Cgroup, CgroupLevel, CgroupVersion, Component, Counted,
    Exactness, Gap, GapReason, Kind, Method, Package, PackageManager, ProcessCount, ProcessId,
    ProcessInfo, ProcessState, Published, PublishedBudget, PublishedConsumer, PublishedStage,
    PublishedTag, ReadingCost, Reclaim, Scope, StatusFigures, SystemMemory, Totals, Usage, Used,
};

use super::reading::{Reading, What};

pub(super) const PID: u32 = 4121;

/// Private anonymous memory.
pub(super) fn heap(name: &str, bytes: Bytes) -> Component {
    let mut component = Component::new(name, Kind::Heap);
    component.usage = Usage {
        resident: bytes,
        distinct: bytes,
        proportional: bytes,
        private: bytes,
        dirty: bytes,
        ..Usage::default()
    };
    component.reclaim.must_stay = bytes;
    component.evidence = "smaps name".to_owned();
    component
}

/// Clean pages of a file, shared by half.
pub(super) fn file(name: &str, bytes: Bytes) -> Component {
    let mut component = Component::new(name, Kind::File);
    component.usage = Usage {
        resident: bytes,
        distinct: bytes,
        proportional: bytes.scaled(3, 4),
        private: bytes.scaled(1, 2),
        ..Usage::default()
    };
    component.reclaim.droppable = bytes;
    component.sharing.mappings = 1;
    component.sharing.processes = Some(ProcessCount {
        count: 2,
        complete: true,
    });
    component.evidence = "smaps name".to_owned();
    component
}

/// A component whose figures are the sums of its parts.
pub(super) fn group(name: &str, kind: Kind, parts: Vec<Component>) -> Component {
    let mut component = Component::new(name, kind);
    for part in &parts {
        component.usage += part.usage;
        component.reclaim += part.reclaim;
    }
    component.evidence = "smaps name".to_owned();
    component.parts = parts;
    component
}

pub(super) fn breakdown(components: Vec<Component>) -> Breakdown {
    let mut usage = Usage::default();
    let mut reclaim = Reclaim::default();
    for component in &components {
        usage += component.usage;
        reclaim += component.reclaim;
    }
    let process = ProcessInfo {
        id: ProcessId {
            pid: PID,
            start_time: 812_345,
        },
        parent: 1,
        name: "python3".to_owned(),
        command: [
            "python3",
            "/srv/booru/monitor_runner.py",
            "--db",
            "cache.db",
        ]
        .map(str::to_owned)
        .to_vec(),
        executable: Some("/usr/bin/python3.11".into()),
        uid: 1000,
        state: ProcessState::Sleeping,
        cgroup: Some("/system.slice/booru.service".to_owned()),
    };
    Breakdown {
        taken_at: Duration::from_secs(1_763_658_000),
        scope: Scope::Process,
        processes: vec![process.clone()],
        process,
        verdict: format!(
            "{} resident: {} is the program's own and must stay, {} is the cached part of \
             cache.db, which the kernel can drop at any time.",
            usage.resident, reclaim.must_stay, reclaim.droppable
        ),
        totals: Totals {
            usage,
            reclaim,
            proportional_exactness: Exactness::Exact,
            resident_exactness: Exactness::Exact,
            status_rss: usage.resident,
            rss_peak: usage.resident + Bytes::mib(64),
            virtual_size: Bytes::gib(9),
            page_tables: Bytes::mib(5),
        },
        components,
        published: Vec::new(),
        cgroup: None,
        system: SystemMemory::default(),
        gaps: Vec::new(),
        cost: ReadingCost {
            method: Method::Smaps,
            wall: Duration::from_millis(34),
            cpu: Duration::from_millis(21),
            longest_hold: Duration::from_micros(900),
            total_hold: Duration::from_millis(12),
            holds: 40,
            bytes_read: 120_000,
            target_bytes_read: 4096,
        },
    }
}

fn database(resident: Bytes) -> Component {
    let mut component = file("/srv/booru/cache.db", resident);
    component.usage.distinct = resident.scaled(1, 12);
    component.usage.private = Bytes::ZERO;
    component.sharing.mappings = 12;
    component.sharing.processes = Some(ProcessCount {
        count: 1,
        complete: true,
    });
    component.file_size = Some(Bytes::mib(546));
    component.cache = Some(CacheState {
        cached: Bytes::mib(202),
        dirty: Some(Bytes::ZERO),
        writeback: Some(Bytes::ZERO),
        evicted: None,
        recently_evicted: None,
    });
    component
}

fn numpy() -> Component {
    let root = "/usr/lib/python3/site-packages/numpy";
    let files = [
        (".libs/libopenblas64_p-r0-0cf96a72.3.23.dev.so", 23_000),
        ("/core/_multiarray_umath.cpython-311.so", 6_000),
        ("/random/mtrand.cpython-311.so", 580),
    ];
    let parts = files.map(|(path, kib)| {
        let mut part = file(&format!("{root}{path}"), Bytes::kib(kib));
        part.kind = Kind::Code;
        part
    });
    let mut component = group("numpy", Kind::Code, parts.to_vec());
    component.package = Some(Package {
        manager: PackageManager::Python,
        name: "numpy".to_owned(),
        version: "1.26.4".to_owned(),
    });
    component
}

/// A service whose heap grows by 2 MiB a second and whose database warms up.
pub(super) fn service_at(second: u64) -> Breakdown {
    let heap_bytes = Bytes::mib(40 + 2 * second);
    let mut glibc = group(
        "glibc heap",
        Kind::Heap,
        vec![
            heap("main arena", heap_bytes.scaled(6, 10)),
            heap("thread arenas", heap_bytes - heap_bytes.scaled(6, 10)),
        ],
    );
    glibc.used = Some(Used {
        live: heap_bytes.scaled(64, 100),
        held_free: heap_bytes - heap_bytes.scaled(64, 100),
        method: "chunk walk".to_owned(),
    });
    glibc.evidence = "malloc chunk headers".to_owned();
    let mut objects = heap("CPython objects", Bytes::mib(41));
    objects.kind = Kind::Runtime;
    let mut stacks = heap("thread stacks", Bytes::kib(1820));
    stacks.kind = Kind::Stack;
    stacks.detail = "14 threads, 118 MiB reserved".to_owned();
    let mut unattributed = heap("unattributed", Bytes::kib(312));
    unattributed.kind = Kind::Unattributed;
    unattributed.evidence = String::new();
    let mut components = vec![
        database(Bytes::mib((12 * second).min(480) + 20)),
        glibc,
        objects,
        numpy(),
        stacks,
    ];
    let small = [
        ("libcrypto.so.3", 3100),
        ("libc.so.6", 1716),
        ("libstdc++.so.6.0.30", 1260),
        ("libsqlite3.so.0.8.6", 1240),
        ("libssl.so.3", 480),
        ("locale-archive", 220),
    ];
    for (name, kib) in small {
        let mut component = file(name, Bytes::kib(kib));
        component.kind = Kind::Code;
        components.push(component);
    }
    if second < 30 {
        components.push(file("/srv/booru/import.csv", Bytes::mib(25)));
    }
    components.push(unattributed);
    let mut made = breakdown(components);
    made.cgroup = Some(cgroup());
    made.gaps = vec![Gap::new(
        "recently evicted pages of libssl.so.3",
        GapReason::Denied,
        "cachestat: Operation not permitted",
    )];
    made
}

fn cgroup() -> Cgroup {
    let level = |path: &str, max: u64| CgroupLevel {
        path: path.to_owned(),
        current: Some(Bytes::mib(371)),
        peak: Some(Bytes::mib(451)),
        max: Some(Bytes::mib(max)),
        high: None,
        swap_max: Some(Bytes::ZERO),
        anon: Some(Bytes::mib(150)),
        file: Some(Bytes::mib(214)),
        inactive_file: Some(Bytes::mib(190)),
        oom_kills: Some(0),
    };
    Cgroup {
        version: CgroupVersion::V2,
        levels: vec![
            level("/system.slice/booru.service", 512),
            level("/system.slice", 16_384),
        ],
    }
}

pub(super) fn full(at: u64, breakdown: Breakdown) -> Reading {
    Reading {
        at: Duration::from_secs(at),
        what: What::Breakdown {
            breakdown: Box::new(breakdown),
            next_in: Duration::from_millis(1700),
        },
    }
}

pub(super) fn quick(at: Duration, rss: Bytes) -> Reading {
    let figures = StatusFigures {
        rss,
        rss_peak: rss + Bytes::mib(64),
        ..StatusFigures::default()
    };
    Reading {
        at,
        what: What::Quick(figures),
    }
}

/// What a program with one tag, stage, budget and consumer says of itself.
pub(super) fn published() -> Published {
    let counted = Counted {
        live: Bytes::mib(24),
        live_blocks: 24,
        peak: Bytes::mib(32),
        requested: Bytes::mib(96),
        requested_blocks: 96,
    };
    Published {
        process: ProcessId {
            pid: PID,
            start_time: 812_345,
        },
        age: Duration::from_millis(40),
        total: Some(counted),
        tags: vec![PublishedTag {
            name: "thumb\u{1b}nails".to_owned(),
            counted,
        }],
        stages: vec![PublishedStage {
            path: "import/batch".to_owned(),
            open_for: Duration::from_millis(1_200),
            begin_live: None,
            peak_live: None,
        }],
        budgets: vec![PublishedBudget {
            name: "main".to_owned(),
            limit: Bytes::mib(64),
            withheld: Bytes::ZERO,
            held: Bytes::mib(16),
            held_peak: Bytes::mib(16),
            left: Bytes::mib(48),
            drift: 0,
            waiting: 0,
            waiting_for: Bytes::ZERO,
            consumers: vec![PublishedConsumer {
                name: "covers".to_owned(),
                held: Bytes::mib(16),
                held_peak: Bytes::mib(16),
                refused: 0,
            }],
        }],
        left_out: 0,
        heap: Bytes::mib(30),
    }
}
