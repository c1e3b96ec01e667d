//! A breakdown as JSON: subject, totals, components with their parts.

use plimsoll_model::{Breakdown, CacheState, Component, Package, Scope, Sharing, Totals, Used};
use serde::Serialize;

use super::parts::{CgroupJson, CostJson, GapJson, ProcessJson, ReclaimJson, SystemJson};
use super::published::PublishedJson;
use crate::names;

#[derive(Serialize)]
pub(crate) struct BreakdownJson<'a> {
    subject: SubjectJson<'a>,
    taken_at_unix_seconds: f64,
    verdict: &'a str,
    totals: TotalsJson,
    components: Vec<ComponentJson<'a>>,
    unattributed_bytes: u64,
    published: Vec<PublishedJson<'a>>,
    cgroup: Option<CgroupJson<'a>>,
    system: SystemJson,
    gaps: Vec<GapJson<'a>>,
    cost: CostJson,
}

#[derive(Serialize)]
struct SubjectJson<'a> {
    scope: &'static str,
    pid: u32,
    application: String,
    processes: Vec<ProcessJson<'a>>,
}

#[derive(Serialize)]
struct TotalsJson {
    resident_bytes: u64,
    resident_exactness: &'static str,
    distinct_bytes: u64,
    proportional_bytes: u64,
    proportional_exactness: &'static str,
    private_bytes: u64,
    dirty_bytes: u64,
    swap_bytes: u64,
    hugetlb_bytes: u64,
    status_rss_bytes: u64,
    rss_peak_bytes: u64,
    virtual_bytes: u64,
    page_tables_bytes: u64,
    reclaim: ReclaimJson,
}

#[derive(Serialize)]
struct ComponentJson<'a> {
    name: &'a str,
    kind: &'static str,
    resident_bytes: u64,
    distinct_bytes: u64,
    proportional_bytes: u64,
    private_bytes: u64,
    dirty_bytes: u64,
    swap_bytes: u64,
    hugetlb_bytes: u64,
    reclaim: ReclaimJson,
    exactness: &'static str,
    evidence: &'a str,
    detail: &'a str,
    sharing: SharingJson,
    used: Option<UsedJson<'a>>,
    file_bytes: Option<u64>,
    cache: Option<CacheJson>,
    package: Option<PackageJson<'a>>,
    parts: Vec<ComponentJson<'a>>,
}

#[derive(Serialize)]
struct SharingJson {
    mappings: u32,
    processes: Option<u32>,
    processes_complete: Option<bool>,
    shared_bytes: u64,
}

#[derive(Serialize)]
struct UsedJson<'a> {
    live_bytes: u64,
    held_free_bytes: u64,
    method: &'a str,
}

#[derive(Serialize)]
struct CacheJson {
    cached_bytes: u64,
    dirty_bytes: Option<u64>,
    writeback_bytes: Option<u64>,
    evicted_bytes: Option<u64>,
    recently_evicted_bytes: Option<u64>,
}

#[derive(Serialize)]
struct PackageJson<'a> {
    manager: &'static str,
    name: &'a str,
    version: &'a str,
}

impl<'a> BreakdownJson<'a> {
    pub(crate) fn of(breakdown: &'a Breakdown) -> BreakdownJson<'a> {
        BreakdownJson {
            subject: SubjectJson {
                scope: match breakdown.scope {
                    Scope::Process => "process",
                    Scope::Tree => "tree",
                },
                pid: breakdown.process.id.pid,
                application: breakdown.process.application(),
                processes: breakdown.processes.iter().map(ProcessJson::of).collect(),
            },
            taken_at_unix_seconds: breakdown.taken_at.as_secs_f64(),
            verdict: &breakdown.verdict,
            totals: TotalsJson::of(&breakdown.totals),
            components: breakdown.components.iter().map(ComponentJson::of).collect(),
            unattributed_bytes: breakdown.unattributed().0,
            published: PublishedJson::all(&breakdown.published),
            cgroup: breakdown.cgroup.as_ref().map(CgroupJson::of),
            system: SystemJson::of(&breakdown.system),
            gaps: GapJson::all(&breakdown.gaps),
            cost: CostJson::of(&breakdown.cost),
        }
    }
}

impl TotalsJson {
    fn of(totals: &Totals) -> TotalsJson {
        let usage = &totals.usage;
        TotalsJson {
            resident_bytes: usage.resident.0,
            resident_exactness: names::exactness(totals.resident_exactness),
            distinct_bytes: usage.distinct.0,
            proportional_bytes: usage.proportional.0,
            proportional_exactness: names::exactness(totals.proportional_exactness),
            private_bytes: usage.private.0,
            dirty_bytes: usage.dirty.0,
            swap_bytes: usage.swap.0,
            hugetlb_bytes: usage.hugetlb.0,
            status_rss_bytes: totals.status_rss.0,
            rss_peak_bytes: totals.rss_peak.0,
            virtual_bytes: totals.virtual_size.0,
            page_tables_bytes: totals.page_tables.0,
            reclaim: ReclaimJson::of(&totals.reclaim),
        }
    }
}

impl<'a> ComponentJson<'a> {
    fn of(component: &'a Component) -> ComponentJson<'a> {
        let usage = &component.usage;
        ComponentJson {
            name: &component.name,
            kind: component.kind.name(),
            resident_bytes: usage.resident.0,
            distinct_bytes: usage.distinct.0,
            proportional_bytes: usage.proportional.0,
            private_bytes: usage.private.0,
            dirty_bytes: usage.dirty.0,
            swap_bytes: usage.swap.0,
            hugetlb_bytes: usage.hugetlb.0,
            reclaim: ReclaimJson::of(&component.reclaim),
            exactness: names::exactness(component.proportional_exactness),
            evidence: &component.evidence,
            detail: &component.detail,
            sharing: SharingJson::of(&component.sharing),
            used: component.used.as_ref().map(UsedJson::of),
            file_bytes: component.file_size.map(|bytes| bytes.0),
            cache: component.cache.as_ref().map(CacheJson::of),
            package: component.package.as_ref().map(PackageJson::of),
            parts: component.parts.iter().map(ComponentJson::of).collect(),
        }
    }
}

impl SharingJson {
    fn of(sharing: &Sharing) -> SharingJson {
        SharingJson {
            mappings: sharing.mappings,
            processes: sharing.processes.map(|processes| processes.count),
            processes_complete: sharing.processes.map(|processes| processes.complete),
            shared_bytes: sharing.shared.0,
        }
    }
}

impl<'a> UsedJson<'a> {
    fn of(used: &'a Used) -> UsedJson<'a> {
        UsedJson {
            live_bytes: used.live.0,
            held_free_bytes: used.held_free.0,
            method: &used.method,
        }
    }
}

impl CacheJson {
    fn of(cache: &CacheState) -> CacheJson {
        CacheJson {
            cached_bytes: cache.cached.0,
            dirty_bytes: cache.dirty.map(|bytes| bytes.0),
            writeback_bytes: cache.writeback.map(|bytes| bytes.0),
            evicted_bytes: cache.evicted.map(|bytes| bytes.0),
            recently_evicted_bytes: cache.recently_evicted.map(|bytes| bytes.0),
        }
    }
}

impl<'a> PackageJson<'a> {
    fn of(package: &'a Package) -> PackageJson<'a> {
        PackageJson {
            manager: package.manager.name(),
            name: &package.name,
            version: &package.version,
        }
    }
}
