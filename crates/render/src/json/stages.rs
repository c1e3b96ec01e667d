//! Stages, what they took and gave back, memory pressure and the cap as JSON.

use plimsoll_model::{CapMechanism, CapRecord, PressureSample, Recorded, StageSource};
use serde::Serialize;

use super::parts::RssPartsJson;
use crate::figures::lifecycle::{
    ComponentChange, Difference, Freed, own_change, remainder, stage_difference,
};
use crate::figures::run::comparable_rss;

#[derive(Serialize)]
pub(super) struct StageJson<'a> {
    label: &'a str,
    source: &'static str,
    start_seconds: f64,
    end_seconds: f64,
    at_start: RssPartsJson,
    at_end: RssPartsJson,
    peak_rss_bytes: u64,
    peak_rss_at_most_bytes: Option<u64>,
    change_bytes: i64,
    own_change_bytes: i64,
    composition_change: Option<DifferenceJson<'a>>,
}

#[derive(Serialize)]
struct DifferenceJson<'a> {
    from_seconds: f64,
    to_seconds: f64,
    from_rss_bytes: u64,
    to_rss_bytes: u64,
    components: Vec<ComponentChangeJson<'a>>,
}

#[derive(Serialize)]
struct ComponentChangeJson<'a> {
    name: &'a str,
    from_bytes: u64,
    to_bytes: u64,
    change_bytes: i64,
    held_free_bytes: Option<u64>,
    droppable_bytes: u64,
}

#[derive(Serialize)]
pub(super) struct LifecycleJson<'a> {
    base_rss_bytes: u64,
    max_rss_bytes: u64,
    max_stage: &'a str,
    last_rss_bytes: u64,
    freed_ratio: Option<f64>,
    freed_is_at_least: bool,
    remainder: Option<DifferenceJson<'a>>,
}

#[derive(Serialize)]
pub(super) struct PressureJson {
    at_seconds: f64,
    some_seconds: f64,
    full_seconds: f64,
}

#[derive(Serialize)]
pub(super) struct CapJson<'a> {
    mechanism: &'static str,
    limit_bytes: u64,
    charge_peak_bytes: Option<u64>,
    limit_hits: Option<u64>,
    oom_kills: Option<u64>,
    refused: &'a [String],
}

impl<'a> StageJson<'a> {
    pub(super) fn all(recorded: &'a Recorded) -> Vec<StageJson<'a>> {
        recorded
            .stages
            .iter()
            .enumerate()
            .map(|(place, stage)| StageJson {
                label: &stage.label,
                source: match stage.source {
                    StageSource::Start => "start",
                    StageSource::Mark => "mark",
                    StageSource::Log => "log",
                },
                start_seconds: stage.start.as_secs_f64(),
                end_seconds: stage.end.as_secs_f64(),
                at_start: RssPartsJson::of(&stage.at_start),
                at_end: RssPartsJson::of(&stage.at_end),
                peak_rss_bytes: stage.peak.0,
                peak_rss_at_most_bytes: stage.peak_at_most.map(|bytes| bytes.0),
                change_bytes: stage.change(),
                own_change_bytes: own_change(stage),
                composition_change: stage_difference(recorded, place)
                    .map(|difference| DifferenceJson::of(&difference)),
            })
            .collect()
    }
}

impl<'a> DifferenceJson<'a> {
    fn of(difference: &Difference<'a>) -> DifferenceJson<'a> {
        DifferenceJson {
            from_seconds: difference.from.at.as_secs_f64(),
            to_seconds: difference.to.at.as_secs_f64(),
            from_rss_bytes: comparable_rss(&difference.from.breakdown).0,
            to_rss_bytes: comparable_rss(&difference.to.breakdown).0,
            components: difference
                .components
                .iter()
                .map(ComponentChangeJson::of)
                .collect(),
        }
    }
}

impl<'a> ComponentChangeJson<'a> {
    fn of(component: &ComponentChange<'a>) -> ComponentChangeJson<'a> {
        ComponentChangeJson {
            name: component.name,
            from_bytes: component.from.0,
            to_bytes: component.to.0,
            change_bytes: component.change(),
            held_free_bytes: component.held.map(|bytes| bytes.0),
            droppable_bytes: component.droppable.0,
        }
    }
}

impl<'a> LifecycleJson<'a> {
    pub(super) fn of(recorded: &'a Recorded) -> Option<LifecycleJson<'a>> {
        let freed = Freed::of(&recorded.stages)?;
        Some(LifecycleJson {
            base_rss_bytes: freed.base.0,
            max_rss_bytes: freed.max.0,
            max_stage: &freed.highest.label,
            last_rss_bytes: freed.last.0,
            freed_ratio: freed.ratio(),
            freed_is_at_least: freed.is_at_least(),
            remainder: remainder(recorded).map(|difference| DifferenceJson::of(&difference)),
        })
    }
}

impl PressureJson {
    pub(super) fn of(sample: &PressureSample) -> PressureJson {
        PressureJson {
            at_seconds: sample.at.as_secs_f64(),
            some_seconds: sample.some.as_secs_f64(),
            full_seconds: sample.full.as_secs_f64(),
        }
    }
}

impl<'a> CapJson<'a> {
    pub(super) fn of(cap: &'a CapRecord) -> CapJson<'a> {
        CapJson {
            mechanism: match cap.mechanism {
                CapMechanism::CgroupV2 => "cgroup_v2",
                CapMechanism::CgroupV1 => "cgroup_v1",
                CapMechanism::DataLimit => "data_limit",
            },
            limit_bytes: cap.limit.0,
            charge_peak_bytes: cap.charge_peak.map(|bytes| bytes.0),
            limit_hits: cap.limit_hits,
            oom_kills: cap.oom_kills,
            refused: &cap.refused,
        }
    }
}
