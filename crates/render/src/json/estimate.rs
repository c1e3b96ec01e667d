//! Structures that reports of experiments share: estimates, measures, differences.

use plimsoll_model::{Difference, Estimate, IntervalMethod, Measure, Unsettled};
use serde::Serialize;

use crate::names;
use crate::words::claim::{Repeats, Told};

/// A figure that has no unit, or the unit of an axis.
#[derive(Serialize)]
pub(super) struct EstimateJson {
    value: f64,
    low: f64,
    high: f64,
}

impl EstimateJson {
    pub(super) fn of(estimate: Estimate) -> EstimateJson {
        EstimateJson {
            value: estimate.value,
            low: estimate.low,
            high: estimate.high,
        }
    }
}

/// Bytes that were estimated: decimals, since a cost of an item may be less than a byte.
#[derive(Serialize)]
pub(super) struct BytesEstimateJson {
    value_bytes: f64,
    low_bytes: f64,
    high_bytes: f64,
}

impl BytesEstimateJson {
    pub(super) fn of(estimate: Estimate) -> BytesEstimateJson {
        BytesEstimateJson {
            value_bytes: estimate.value,
            low_bytes: estimate.low,
            high_bytes: estimate.high,
        }
    }
}

#[derive(Serialize)]
pub(super) struct MeasureJson<'a> {
    kind: &'static str,
    name: Option<&'a str>,
    title: String,
}

impl<'a> MeasureJson<'a> {
    pub(super) fn of(measure: &'a Measure) -> MeasureJson<'a> {
        MeasureJson {
            kind: names::measure_kind(measure),
            name: names::measure_name(measure),
            title: measure.to_string(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct DifferenceJson {
    claim: &'static str,
    difference: Option<BytesEstimateJson>,
    ratio: Option<EstimateJson>,
    noise_bytes: Option<f64>,
    detectable_bytes: Option<f64>,
    repeats_needed: Option<usize>,
    method: &'static str,
    unsettled: Option<&'static str>,
    text: String,
}

impl DifferenceJson {
    pub(super) fn of(difference: &Difference, repeats: Repeats) -> DifferenceJson {
        DifferenceJson {
            claim: names::claim(difference.claim),
            difference: difference.difference.map(BytesEstimateJson::of),
            ratio: difference.ratio.map(EstimateJson::of),
            noise_bytes: difference.noise,
            detectable_bytes: difference.detectable,
            repeats_needed: difference.needed,
            method: match difference.method {
                IntervalMethod::Welch => "welch",
                IntervalMethod::Paired => "paired",
            },
            unsettled: difference.reason.map(|reason| match reason {
                Unsettled::TooFewRepeats { .. } => "too_few_repeats",
                Unsettled::InvalidValue => "invalid_value",
                Unsettled::WithinNoise => "within_noise",
            }),
            text: Told::of(difference, repeats).words(),
        }
    }
}
