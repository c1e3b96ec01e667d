//! What `fit` found as JSON: the answer, cap by cap, and every run.

use plimsoll_model::{CapFit, FitFailure, FitPoint, FitRun, FitTiming};
use serde::Serialize;

use crate::names;
use crate::words::fit::verdict;

#[derive(Serialize)]
pub(super) struct FitJson<'a> {
    command: &'a [String],
    verdict: String,
    end: &'static str,
    mechanism: &'static str,
    refused: &'a [String],
    minimum_bytes: Option<u64>,
    failed_bytes: Option<u64>,
    comfortable_bytes: Option<u64>,
    comfortable_ratio: f64,
    repeat: u32,
    timeout_seconds: f64,
    uncapped: Option<FitTimingJson>,
    points: Vec<FitPointJson>,
    baseline: Vec<FitRunJson>,
    runs: Vec<FitRunJson>,
}

#[derive(Serialize)]
struct FitTimingJson {
    length_seconds: f64,
    cpu_seconds: f64,
    major_faults: u64,
}

#[derive(Serialize)]
struct FitPointJson {
    cap_bytes: u64,
    succeeded: u32,
    failed: u32,
    failure: Option<FitFailureJson>,
    timing: Option<FitTimingJson>,
    timed: bool,
}

#[derive(Serialize)]
struct FitRunJson {
    cap_bytes: Option<u64>,
    failure: Option<FitFailureJson>,
    length_seconds: f64,
    cpu_seconds: f64,
    major_faults: u64,
    charge_peak_bytes: Option<u64>,
    rss_peak_bytes: u64,
    limit_hits: Option<u64>,
}

#[derive(Serialize)]
struct FitFailureJson {
    kind: &'static str,
    exit_code: Option<i32>,
    exit_signal: Option<i32>,
}

impl<'a> FitJson<'a> {
    pub(super) fn of(fit: &'a CapFit) -> FitJson<'a> {
        FitJson {
            command: &fit.command,
            verdict: verdict(fit),
            end: fit.end.name(),
            mechanism: names::cap_mechanism(fit.mechanism),
            refused: &fit.refused,
            minimum_bytes: fit.minimum.map(|bytes| bytes.0),
            failed_bytes: fit.failed.map(|bytes| bytes.0),
            comfortable_bytes: fit.comfortable.map(|bytes| bytes.0),
            comfortable_ratio: CapFit::COMFORTABLE,
            repeat: fit.repeat,
            timeout_seconds: fit.timeout.as_secs_f64(),
            uncapped: fit.uncapped.map(FitTimingJson::of),
            points: fit.points.iter().map(FitPointJson::of).collect(),
            baseline: fit.baseline.iter().map(FitRunJson::of).collect(),
            runs: fit.runs.iter().map(FitRunJson::of).collect(),
        }
    }
}

impl FitTimingJson {
    fn of(timing: FitTiming) -> FitTimingJson {
        FitTimingJson {
            length_seconds: timing.length.as_secs_f64(),
            cpu_seconds: timing.cpu.as_secs_f64(),
            major_faults: timing.major_faults,
        }
    }
}

impl FitPointJson {
    fn of(point: &FitPoint) -> FitPointJson {
        FitPointJson {
            cap_bytes: point.cap.0,
            succeeded: point.succeeded,
            failed: point.failed,
            failure: point.failure.map(FitFailureJson::of),
            timing: point.timing.map(FitTimingJson::of),
            timed: point.timed,
        }
    }
}

impl FitRunJson {
    fn of(run: &FitRun) -> FitRunJson {
        FitRunJson {
            cap_bytes: run.cap.map(|cap| cap.0),
            failure: run.failure.map(FitFailureJson::of),
            length_seconds: run.length.as_secs_f64(),
            cpu_seconds: run.cpu.as_secs_f64(),
            major_faults: run.major_faults,
            charge_peak_bytes: run.charge_peak.map(|peak| peak.0),
            rss_peak_bytes: run.rss_peak.0,
            limit_hits: run.limit_hits,
        }
    }
}

impl FitFailureJson {
    fn of(failure: FitFailure) -> FitFailureJson {
        let (kind, exit_code, exit_signal) = match failure {
            FitFailure::KilledForCap => ("killed_for_cap", None, None),
            FitFailure::LostProcess => ("lost_process", None, None),
            FitFailure::TimedOut => ("timed_out", None, None),
            FitFailure::Exited(code) => ("exited", Some(code), None),
            FitFailure::Signalled(signal) => ("signalled", None, Some(signal)),
        };
        FitFailureJson {
            kind,
            exit_code,
            exit_signal,
        }
    }
}
