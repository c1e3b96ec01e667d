//! A law of growth as JSON, with all that was compared to name it.

use plimsoll_model::{
    AxisLaw, Bytes, Fit, Law, LawClass, LawDoubt, LawUndetermined, Prediction, TargetDoubt,
    TargetResult,
};
use serde::Serialize;

use super::estimate::{BytesEstimateJson, EstimateJson, MeasureJson};
use super::scale::SizeJson;
use crate::figures::law_curve::bytes_per_item;
use crate::words::claim::target;
use crate::words::law::{doubt, verdict};

#[derive(Serialize)]
pub(super) struct AxisLawJson<'a> {
    axis: &'a str,
    held: Vec<SizeJson<'a>>,
    measure: MeasureJson<'a>,
    verdict: String,
    law: Option<LawJson>,
    undetermined: Option<&'static str>,
}

#[derive(Serialize)]
struct LawJson {
    classes: Vec<&'static str>,
    runner_up: Option<RunnerUpJson>,
    separable_at: Option<f64>,
    intercept: BytesEstimateJson,
    marginal: BytesEstimateJson,
    exponent: Option<EstimateJson>,
    noise: f64,
    tested: TestedJson,
    fits: Vec<FitJson>,
    predictions: Vec<PredictionJson>,
    budget_at: Option<EstimateJson>,
    doubts: Vec<DoubtJson>,
}

#[derive(Serialize)]
struct RunnerUpJson {
    class: &'static str,
    weight: f64,
}

#[derive(Serialize)]
struct TestedJson {
    n_min: f64,
    n_max: f64,
    sizes: usize,
    runs: usize,
}

#[derive(Serialize)]
struct FitJson {
    class: &'static str,
    intercept_bytes: f64,
    coefficient_bytes: f64,
    marginal_bytes: f64,
    exponent: Option<f64>,
    load: Option<f64>,
    aicc: f64,
    delta: f64,
    weight: f64,
    bic: f64,
    residual: f64,
    held_out_error: Option<f64>,
}

#[derive(Serialize)]
struct PredictionJson {
    n: f64,
    predicted: BytesEstimateJson,
    extrapolation: f64,
}

#[derive(Serialize)]
struct DoubtJson {
    kind: &'static str,
    text: String,
}

#[derive(Serialize)]
pub(super) struct TargetJson<'a> {
    sizes: Vec<SizeJson<'a>>,
    verdict: &'static str,
    limit_bytes: u64,
    runs: usize,
    runs_over: usize,
    worst_bytes: f64,
    mean: Option<BytesEstimateJson>,
    upper_bytes: Option<f64>,
    share_over_max: f64,
    more_runs: Option<usize>,
    reason: Option<&'static str>,
    text: String,
}

impl<'a> AxisLawJson<'a> {
    pub(super) fn of(law: &'a AxisLaw, budget: Option<Bytes>) -> AxisLawJson<'a> {
        AxisLawJson {
            axis: &law.axis,
            held: SizeJson::all(&law.held),
            measure: MeasureJson::of(&law.measure),
            verdict: verdict(law, budget),
            law: law.law.as_ref().map(|found| LawJson::of(found, &law.axis)),
            undetermined: law.undetermined.as_ref().map(|reason| match reason {
                LawUndetermined::NoPoints => "no_points",
                LawUndetermined::TooFewSizes { .. } => "too_few_sizes",
                LawUndetermined::InvalidSize { .. } => "invalid_size",
                LawUndetermined::InvalidBytes { .. } => "invalid_bytes",
                LawUndetermined::NoneFits => "none_fits",
            }),
        }
    }
}

impl LawJson {
    fn of(law: &Law, axis: &str) -> LawJson {
        LawJson {
            classes: law.classes.iter().map(|class| class_name(*class)).collect(),
            runner_up: law.runner_up.map(|runner_up| RunnerUpJson {
                class: class_name(runner_up.class),
                weight: runner_up.weight,
            }),
            separable_at: law.separable_at,
            intercept: BytesEstimateJson::of(law.intercept),
            marginal: BytesEstimateJson::of(law.marginal),
            exponent: law.exponent.map(EstimateJson::of),
            noise: law.noise,
            tested: TestedJson {
                n_min: law.tested.n_min,
                n_max: law.tested.n_max,
                sizes: law.tested.sizes,
                runs: law.tested.runs,
            },
            fits: law.fits.iter().map(|fit| FitJson::of(fit, law)).collect(),
            predictions: law.predictions.iter().map(PredictionJson::of).collect(),
            budget_at: law.budget_at.map(EstimateJson::of),
            doubts: law
                .doubts
                .iter()
                .map(|found| DoubtJson::of(found, axis))
                .collect(),
        }
    }
}

const fn class_name(class: LawClass) -> &'static str {
    match class {
        LawClass::Constant => "constant",
        LawClass::Logarithmic => "logarithmic",
        LawClass::Linear => "linear",
        LawClass::Linearithmic => "linearithmic",
        LawClass::Quadratic => "quadratic",
        LawClass::Power => "power",
        LawClass::Staircase => "staircase",
    }
}

impl FitJson {
    fn of(fit: &Fit, law: &Law) -> FitJson {
        FitJson {
            class: class_name(fit.class),
            intercept_bytes: fit.intercept,
            coefficient_bytes: fit.coefficient,
            marginal_bytes: bytes_per_item(fit, law.tested.n_max),
            exponent: fit.exponent,
            load: fit.load,
            aicc: fit.aicc,
            delta: fit.delta,
            weight: fit.weight,
            bic: fit.bic,
            residual: fit.residual,
            held_out_error: fit.held_out_error,
        }
    }
}

impl PredictionJson {
    fn of(prediction: &Prediction) -> PredictionJson {
        PredictionJson {
            n: prediction.n,
            predicted: BytesEstimateJson::of(prediction.bytes),
            extrapolation: prediction.extrapolation,
        }
    }
}

impl DoubtJson {
    fn of(found: &LawDoubt, axis: &str) -> DoubtJson {
        DoubtJson {
            kind: match found {
                LawDoubt::FewSizes { .. } => "few_sizes",
                LawDoubt::NarrowRange { .. } => "narrow_range",
                LawDoubt::NoRepeats => "no_repeats",
                LawDoubt::ResidualPattern { .. } => "residual_pattern",
                LawDoubt::HeldOutMissed { .. } => "held_out_missed",
                LawDoubt::BicPrefers { .. } => "bic_prefers",
                LawDoubt::StepsHidden => "steps_hidden",
                LawDoubt::Falls { .. } => "falls",
                LawDoubt::PoorFit { .. } => "poor_fit",
                LawDoubt::Extrapolated { .. } => "extrapolated",
            },
            text: doubt(found, axis),
        }
    }
}

impl<'a> TargetJson<'a> {
    pub(super) fn of(result: &'a TargetResult, confidence: f64) -> TargetJson<'a> {
        let check = &result.check;
        TargetJson {
            sizes: SizeJson::all(&result.sizes),
            verdict: check.verdict.name(),
            limit_bytes: check.limit.0,
            runs: check.runs,
            runs_over: check.runs_over,
            worst_bytes: check.worst,
            mean: check.mean.map(BytesEstimateJson::of),
            upper_bytes: check.upper,
            share_over_max: check.share_over_max,
            more_runs: check.more_runs,
            reason: check.reason.map(|reason| match reason {
                TargetDoubt::TooFewRuns => "too_few_runs",
                TargetDoubt::InvalidPeak => "invalid_peak",
                TargetDoubt::LimitWithinSpread => "limit_within_spread",
            }),
            text: target(result, confidence),
        }
    }
}
