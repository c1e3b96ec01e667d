//! A trial as JSON: one execution of a command and what it took.

use plimsoll_model::{OwnerSize, Seen, Trial};
use serde::Serialize;

use super::conditions::CapJson;
use super::parts::RssPartsJson;
use super::stage::StageJson;

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
    stages: Vec<StageJson<'a>>,
    cap: Option<CapJson<'a>>,
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
            stages: trial.stages.iter().map(StageJson::of_trial).collect(),
            cap: trial.cap.as_ref().map(CapJson::of),
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
