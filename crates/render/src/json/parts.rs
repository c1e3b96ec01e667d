//! Structures that several JSON documents share: process, reclaim, gap, cost, cgroup, system.

use plimsoll_model::{
    Cgroup, CgroupLevel, CgroupVersion, Gap, GapReason, Method, ProcessInfo, ProcessState,
    ReadingCost, Reclaim, ReclaimClass, RssParts, SystemMemory,
};
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct ProcessJson<'a> {
    pid: u32,
    start_time_ticks: u64,
    parent_pid: u32,
    name: &'a str,
    application: String,
    command: &'a [String],
    executable: Option<String>,
    uid: u32,
    state: &'static str,
    cgroup: Option<&'a str>,
}

impl<'a> ProcessJson<'a> {
    pub(super) fn of(process: &'a ProcessInfo) -> ProcessJson<'a> {
        ProcessJson {
            pid: process.id.pid,
            start_time_ticks: process.id.start_time,
            parent_pid: process.parent,
            name: &process.name,
            application: process.application(),
            command: &process.command,
            executable: process
                .executable
                .as_ref()
                .map(|path| path.to_string_lossy().into_owned()),
            uid: process.uid,
            state: state_name(process.state),
            cgroup: process.cgroup.as_deref(),
        }
    }
}

const fn state_name(state: ProcessState) -> &'static str {
    match state {
        ProcessState::Running => "running",
        ProcessState::Sleeping => "sleeping",
        ProcessState::DiskSleep => "disk_sleep",
        ProcessState::Stopped => "stopped",
        ProcessState::Zombie => "zombie",
        ProcessState::Dead => "dead",
        ProcessState::Idle => "idle",
        ProcessState::KernelThread => "kernel_thread",
        ProcessState::Other => "other",
    }
}

#[derive(Serialize)]
pub(super) struct ReclaimJson {
    class: &'static str,
    must_stay_bytes: u64,
    swap_only_bytes: u64,
    droppable_bytes: u64,
    after_writeback_bytes: u64,
}

impl ReclaimJson {
    pub(super) fn of(reclaim: &Reclaim) -> ReclaimJson {
        ReclaimJson {
            class: match reclaim.class() {
                ReclaimClass::MustStay => "must_stay",
                ReclaimClass::SwapOnly => "swap_only",
                ReclaimClass::AfterWriteback => "after_writeback",
                ReclaimClass::Droppable => "droppable",
            },
            must_stay_bytes: reclaim.must_stay.0,
            swap_only_bytes: reclaim.swap_only.0,
            droppable_bytes: reclaim.droppable.0,
            after_writeback_bytes: reclaim.after_writeback.0,
        }
    }
}

#[derive(Serialize)]
pub(super) struct GapJson<'a> {
    what: &'a str,
    reason: &'static str,
    detail: &'a str,
}

impl<'a> GapJson<'a> {
    pub(super) fn all(gaps: &'a [Gap]) -> Vec<GapJson<'a>> {
        gaps.iter()
            .map(|gap| GapJson {
                what: &gap.what,
                reason: match gap.reason {
                    GapReason::Denied => "denied",
                    GapReason::Vanished => "vanished",
                    GapReason::Unsupported => "unsupported",
                    GapReason::Malformed => "malformed",
                    GapReason::Changed => "changed",
                    GapReason::Bounded => "bounded",
                    GapReason::Absent => "absent",
                },
                detail: &gap.detail,
            })
            .collect()
    }
}

#[derive(Serialize)]
pub(super) struct CostJson {
    method: &'static str,
    wall_seconds: f64,
    cpu_seconds: f64,
    longest_hold_seconds: f64,
    total_hold_seconds: f64,
    holds: u64,
    read_bytes: u64,
    target_read_bytes: u64,
}

impl CostJson {
    pub(super) fn of(cost: &ReadingCost) -> CostJson {
        CostJson {
            method: match cost.method {
                Method::Smaps => "smaps",
                Method::Walk => "walk",
                Method::Quick => "quick",
            },
            wall_seconds: cost.wall.as_secs_f64(),
            cpu_seconds: cost.cpu.as_secs_f64(),
            longest_hold_seconds: cost.longest_hold.as_secs_f64(),
            total_hold_seconds: cost.total_hold.as_secs_f64(),
            holds: cost.holds,
            read_bytes: cost.bytes_read,
            target_read_bytes: cost.target_bytes_read,
        }
    }
}

#[derive(Serialize)]
pub(super) struct SystemJson {
    total_bytes: u64,
    available_bytes: u64,
    page_cache_bytes: u64,
    swap_total_bytes: u64,
    swap_free_bytes: u64,
}

impl SystemJson {
    pub(super) fn of(system: &SystemMemory) -> SystemJson {
        SystemJson {
            total_bytes: system.total.0,
            available_bytes: system.available.0,
            page_cache_bytes: system.page_cache.0,
            swap_total_bytes: system.swap_total.0,
            swap_free_bytes: system.swap_free.0,
        }
    }
}

#[derive(Serialize)]
pub(super) struct CgroupJson<'a> {
    version: u32,
    tightest_path: Option<&'a str>,
    levels: Vec<CgroupLevelJson<'a>>,
}

#[derive(Serialize)]
struct CgroupLevelJson<'a> {
    path: &'a str,
    current_bytes: Option<u64>,
    peak_bytes: Option<u64>,
    max_bytes: Option<u64>,
    high_bytes: Option<u64>,
    swap_max_bytes: Option<u64>,
    anon_bytes: Option<u64>,
    file_bytes: Option<u64>,
    inactive_file_bytes: Option<u64>,
    limit_bytes: Option<u64>,
    headroom_bytes: Option<u64>,
    oom_kills: Option<u64>,
}

impl<'a> CgroupJson<'a> {
    pub(super) fn of(cgroup: &'a Cgroup) -> CgroupJson<'a> {
        CgroupJson {
            version: match cgroup.version {
                CgroupVersion::V1 => 1,
                CgroupVersion::V2 => 2,
            },
            tightest_path: cgroup.tightest().map(|level| level.path.as_str()),
            levels: cgroup.levels.iter().map(CgroupLevelJson::of).collect(),
        }
    }
}

impl<'a> CgroupLevelJson<'a> {
    fn of(level: &'a CgroupLevel) -> CgroupLevelJson<'a> {
        CgroupLevelJson {
            path: &level.path,
            current_bytes: level.current.map(|bytes| bytes.0),
            peak_bytes: level.peak.map(|bytes| bytes.0),
            max_bytes: level.max.map(|bytes| bytes.0),
            high_bytes: level.high.map(|bytes| bytes.0),
            swap_max_bytes: level.swap_max.map(|bytes| bytes.0),
            anon_bytes: level.anon.map(|bytes| bytes.0),
            file_bytes: level.file.map(|bytes| bytes.0),
            inactive_file_bytes: level.inactive_file.map(|bytes| bytes.0),
            limit_bytes: level.limit().map(|bytes| bytes.0),
            headroom_bytes: level.headroom().map(|bytes| bytes.0),
            oom_kills: level.oom_kills,
        }
    }
}

#[derive(Serialize)]
pub(super) struct RssPartsJson {
    rss_bytes: u64,
    anon_bytes: u64,
    file_bytes: u64,
    shmem_bytes: u64,
    swap_bytes: u64,
    own_bytes: u64,
}

impl RssPartsJson {
    pub(super) fn of(parts: &RssParts) -> RssPartsJson {
        RssPartsJson {
            rss_bytes: parts.rss.0,
            anon_bytes: parts.anon.0,
            file_bytes: parts.file.0,
            shmem_bytes: parts.shmem.0,
            swap_bytes: parts.swap.0,
            own_bytes: parts.own().0,
        }
    }
}
