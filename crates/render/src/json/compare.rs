//! A comparison as JSON: arms with their trials, a receipt for each measure and owner.

use plimsoll_model::{ArmRecord, CompareReport, MeasuredReceipt, Step};
use serde::Serialize;

use super::estimate::{BytesEstimateJson, DifferenceJson, MeasureJson};
use super::parts::GapJson;
use super::trial::TrialJson;
use crate::figures::receipt::{notes, repeats, verdict};
use crate::words::claim::Repeats;

#[derive(Serialize)]
pub(super) struct CompareJson<'a> {
    verdict: String,
    notes: Vec<String>,
    arms: Vec<ArmJson<'a>>,
    rounds: Option<usize>,
    confidence: f64,
    receipts: Vec<ReceiptJson<'a>>,
    owners: Vec<ReceiptJson<'a>>,
    gaps: Vec<GapJson<'a>>,
}

#[derive(Serialize)]
struct ArmJson<'a> {
    name: &'a str,
    command: &'a [String],
    environment: &'a [String],
    recordings: &'a [String],
    trials: Vec<TrialJson<'a>>,
    failed: usize,
}

#[derive(Serialize)]
struct ReceiptJson<'a> {
    measure: MeasureJson<'a>,
    steps: Vec<StepJson<'a>>,
}

#[derive(Serialize)]
struct StepJson<'a> {
    arm: &'a str,
    mean: Option<BytesEstimateJson>,
    percent_of_first: Option<f64>,
    to_previous: Option<DifferenceJson>,
    to_first: Option<DifferenceJson>,
}

impl<'a> CompareJson<'a> {
    pub(super) fn of(report: &'a CompareReport) -> CompareJson<'a> {
        let receipts = |measured: &'a [MeasuredReceipt]| -> Vec<ReceiptJson<'a>> {
            measured
                .iter()
                .map(|measured| ReceiptJson::of(measured, repeats(report)))
                .collect()
        };
        CompareJson {
            verdict: verdict(report),
            notes: notes(report),
            arms: report.arms.iter().map(ArmJson::of).collect(),
            rounds: report.rounds,
            confidence: report.confidence,
            receipts: receipts(&report.receipts),
            owners: receipts(&report.owners),
            gaps: GapJson::all(&report.gaps),
        }
    }
}

impl<'a> ArmJson<'a> {
    fn of(arm: &'a ArmRecord) -> ArmJson<'a> {
        ArmJson {
            name: &arm.name,
            command: &arm.command,
            environment: &arm.environment,
            recordings: &arm.recordings,
            trials: TrialJson::all(&arm.trials),
            failed: arm.failed,
        }
    }
}

impl<'a> ReceiptJson<'a> {
    fn of(measured: &'a MeasuredReceipt, repeats: Repeats) -> ReceiptJson<'a> {
        ReceiptJson {
            measure: MeasureJson::of(&measured.measure),
            steps: measured
                .receipt
                .steps
                .iter()
                .map(|step| StepJson::of(step, repeats))
                .collect(),
        }
    }
}

impl<'a> StepJson<'a> {
    fn of(step: &'a Step, repeats: Repeats) -> StepJson<'a> {
        let difference = |found| DifferenceJson::of(found, repeats);
        StepJson {
            arm: &step.name,
            mean: step.value.map(BytesEstimateJson::of),
            percent_of_first: step.percent,
            to_previous: step.to_previous.as_ref().map(difference),
            to_first: step.to_first.as_ref().map(difference),
        }
    }
}
