//! What a run was under, as JSON: the machine's memory pressure, and a cap.

use plimsoll_model::{CapRecord, PressureSample};
use serde::Serialize;

use crate::names;

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
            mechanism: names::cap_mechanism(cap.mechanism),
            limit_bytes: cap.limit.0,
            charge_peak_bytes: cap.charge_peak.map(|bytes| bytes.0),
            limit_hits: cap.limit_hits,
            oom_kills: cap.oom_kills,
            refused: &cap.refused,
        }
    }
}
