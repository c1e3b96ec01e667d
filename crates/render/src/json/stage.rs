//! Stages of runs and trials, and what they took and gave back, as JSON.

use plimsoll_model::{Recorded, Stage};
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
    composition_change: Option<OwnerChangesJson<'a>>,
}

#[derive(Serialize)]
struct OwnerChangesJson<'a> {
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
    remainder: Option<OwnerChangesJson<'a>>,
}

impl<'a> StageJson<'a> {
    pub(super) fn all(recorded: &'a Recorded) -> Vec<StageJson<'a>> {
        let stages = recorded.stages.iter().enumerate();
        stages
            .map(|(place, stage)| StageJson {
                composition_change: stage_difference(recorded, place)
                    .map(|difference| OwnerChangesJson::of(&difference)),
                ..StageJson::of_trial(stage)
            })
            .collect()
    }

    /// Of a trial no breakdowns are kept.
    pub(super) fn of_trial(stage: &'a Stage) -> StageJson<'a> {
        StageJson {
            label: &stage.label,
            source: stage.source.name(),
            start_seconds: stage.start.as_secs_f64(),
            end_seconds: stage.end.as_secs_f64(),
            at_start: RssPartsJson::of(&stage.at_start),
            at_end: RssPartsJson::of(&stage.at_end),
            peak_rss_bytes: stage.peak.0,
            peak_rss_at_most_bytes: stage.peak_at_most.map(|bytes| bytes.0),
            change_bytes: stage.change(),
            own_change_bytes: own_change(stage),
            composition_change: None,
        }
    }
}

impl<'a> OwnerChangesJson<'a> {
    fn of(difference: &Difference<'a>) -> OwnerChangesJson<'a> {
        OwnerChangesJson {
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
            remainder: remainder(recorded).map(|difference| OwnerChangesJson::of(&difference)),
        })
    }
}
