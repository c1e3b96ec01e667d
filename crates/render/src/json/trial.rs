//! A trial as JSON: one execution of a command and what it took.

use plimsoll_model::{CapRecord, OwnerSize, Seen, Stage, Trial};
use serde::Serialize;

use super::parts::RssPartsJson;

#[derive(Serialize)]
pub(super) struct TrialJson<'a> {
    exit_code: Option<i32>,
    exit_signal: Option<i32>,
    length_seconds: f64,
    cpu_seconds: f64,
    major_faults: u64,
    rss_peak_bytes: u64,
    own_peak_bytes: u64,
    pss_peak: Option<SeenJson>,
    at_end: RssPartsJson,
    pss_end: Option<SeenJson>,
    at_peak: Vec<OwnerSizeJson<'a>>,
    peak_reading_share: Option<f64>,
    stages: Vec<TrialStageJson<'a>>,
    cap: Option<TrialCapJson<'a>>,
}

#[derive(Serialize)]
struct SeenJson {
    seen_bytes: u64,
    share: f64,
}

#[derive(Serialize)]
struct OwnerSizeJson<'a> {
    name: &'a str,
    resident_bytes: u64,
    proportional_bytes: u64,
}

#[derive(Serialize)]
struct TrialStageJson<'a> {
    label: &'a str,
    source: &'static str,
    start_seconds: f64,
    end_seconds: f64,
    at_start: RssPartsJson,
    at_end: RssPartsJson,
    peak_bytes: u64,
    peak_at_most_bytes: Option<u64>,
}

#[derive(Serialize)]
struct TrialCapJson<'a> {
    mechanism: &'static str,
    limit_bytes: u64,
    charge_peak_bytes: Option<u64>,
    limit_hits: Option<u64>,
    oom_kills: Option<u64>,
    refused: &'a [String],
}

impl<'a> TrialJson<'a> {
    pub(super) fn all(trials: &'a [Trial]) -> Vec<TrialJson<'a>> {
        trials.iter().map(TrialJson::of).collect()
    }

    fn of(trial: &'a Trial) -> TrialJson<'a> {
        TrialJson {
            exit_code: trial.exit_code,
            exit_signal: trial.exit_signal,
            length_seconds: trial.length.as_secs_f64(),
            cpu_seconds: trial.cpu.as_secs_f64(),
            major_faults: trial.major_faults,
            rss_peak_bytes: trial.rss_peak.0,
            own_peak_bytes: trial.own_peak.0,
            pss_peak: trial.pss_peak.map(SeenJson::of),
            at_end: RssPartsJson::of(&trial.at_end),
            pss_end: trial.pss_end.map(SeenJson::of),
            at_peak: trial.at_peak.iter().map(OwnerSizeJson::of).collect(),
            peak_reading_share: trial.peak_reading_share,
            stages: trial.stages.iter().map(TrialStageJson::of).collect(),
            cap: trial.cap.as_ref().map(TrialCapJson::of),
        }
    }
}

impl SeenJson {
    fn of(seen: Seen) -> SeenJson {
        SeenJson {
            seen_bytes: seen.bytes.0,
            share: seen.share,
        }
    }
}

impl<'a> OwnerSizeJson<'a> {
    fn of(owner: &'a OwnerSize) -> OwnerSizeJson<'a> {
        OwnerSizeJson {
            name: &owner.name,
            resident_bytes: owner.resident.0,
            proportional_bytes: owner.proportional.0,
        }
    }
}

impl<'a> TrialStageJson<'a> {
    fn of(stage: &'a Stage) -> TrialStageJson<'a> {
        TrialStageJson {
            label: &stage.label,
            source: stage.source.name(),
            start_seconds: stage.start.as_secs_f64(),
            end_seconds: stage.end.as_secs_f64(),
            at_start: RssPartsJson::of(&stage.at_start),
            at_end: RssPartsJson::of(&stage.at_end),
            peak_bytes: stage.peak.0,
            peak_at_most_bytes: stage.peak_at_most.map(|bytes| bytes.0),
        }
    }
}

impl<'a> TrialCapJson<'a> {
    fn of(cap: &'a CapRecord) -> TrialCapJson<'a> {
        use plimsoll_model::CapMechanism;
        TrialCapJson {
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
