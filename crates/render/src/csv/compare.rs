//! A comparison as CSV: one row for each arm and measure, owners included, with what it is against
//! the arm before and against the first. Bytes of means are decimals.

use std::io::{self, Write};

use plimsoll_model::{CompareReport, Difference, Estimate, MeasuredReceipt, Step};

use super::fields::{decimal, optional, text, write_row};
use crate::names;

pub(crate) fn compare(report: &CompareReport, w: &mut dyn Write) -> io::Result<()> {
    let mut titles = ["measure", "name", "step", "arm", "trials", "failed"]
        .map(str::to_owned)
        .to_vec();
    titles.extend(["mean_bytes", "low_bytes", "high_bytes", "percent_of_first"].map(str::to_owned));
    for against in ["previous", "first"] {
        for key in [
            "difference_bytes",
            "low_bytes",
            "high_bytes",
            "noise_bytes",
            "claim",
        ] {
            titles.push(format!("to_{against}_{key}"));
        }
    }
    write_row(w, &titles)?;
    for measured in report.receipts.iter().chain(&report.owners) {
        for (place, step) in measured.receipt.steps.iter().enumerate() {
            write_row(w, &step_row(report, measured, place, step))?;
        }
    }
    Ok(())
}

fn step_row(
    report: &CompareReport,
    measured: &MeasuredReceipt,
    place: usize,
    step: &Step,
) -> Vec<String> {
    let arm = report.arms.get(place);
    let name = names::measure_name(&measured.measure);
    let mut fields = vec![
        names::measure_kind(&measured.measure).to_owned(),
        name.map_or_else(String::new, text),
        place.to_string(),
        text(&step.name),
        optional(arm.map(|arm| arm.trials.len())),
        optional(arm.map(|arm| arm.failed)),
    ];
    fields.extend(estimate(step.value));
    fields.push(optional(
        step.percent.map(|percent| format!("{percent:.3}")),
    ));
    fields.extend(difference(step.to_previous.as_ref()));
    fields.extend(difference(step.to_first.as_ref()));
    fields
}

fn estimate(estimate: Option<Estimate>) -> [String; 3] {
    let figures = [
        estimate.map(|estimate| estimate.value),
        estimate.map(|estimate| estimate.low),
        estimate.map(|estimate| estimate.high),
    ];
    figures.map(decimal)
}

fn difference(difference: Option<&Difference>) -> Vec<String> {
    let mut fields = estimate(difference.and_then(|difference| difference.difference)).to_vec();
    fields.push(decimal(difference.and_then(|difference| difference.noise)));
    fields.push(optional(
        difference.map(|difference| names::claim(difference.claim)),
    ));
    fields
}
