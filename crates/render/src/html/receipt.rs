//! The page of a comparison: the receipt as bars with their intervals, RSS and PSS side by side,
//! and every table.

use std::fmt::Write as _;
use std::io::{self, Write};

use plimsoll_model::{ArmRecord, CompareReport, Difference, Measure, MeasuredReceipt, Step};

use super::data::PageData;
use super::page::{Head, Page};
use super::table::{Cell, Column};
use crate::figures::receipt::{
    Changes, arm_words, method, notes, of_whole_runs, receipt as receipt_of, repeats, value_of,
    verdict,
};
use crate::markup::escaped;
use crate::words::amount::bytes;
use crate::words::claim::Told;
use crate::words::interval::estimated;
use crate::words::number::count;

pub(crate) fn receipt(report: &CompareReport, w: &mut dyn Write) -> io::Result<()> {
    let mut page = Page::start(
        w,
        &Head {
            title: "What the changes saved",
            facts: &[],
            command: &[],
            verdict: &[verdict(report)],
        },
    )?;
    for note in notes(report) {
        page.paragraph("note", &note)?;
    }
    page.raw("<section>\n<div class=\"pair\">\n")?;
    let main = report.receipts.first();
    let pss = receipt_of(report, &Measure::PssPeak);
    let beside = pss.filter(|pss| main.is_some_and(|main| main.measure != pss.measure));
    // On one scale: bars of the two measures can be compared with each other.
    let shown: Vec<&MeasuredReceipt> = main.into_iter().chain(beside).collect();
    let highest = shown
        .iter()
        .flat_map(|measured| values(report, measured))
        .flatten()
        .fold(0.0, f64::max);
    for measured in &shown {
        bars(&mut page, report, measured, highest)?;
    }
    page.raw("</div>\n")?;
    page.paragraph("note", &method(report))?;
    page.raw("</section>\n")?;
    arms(&mut page, report)?;
    steps(&mut page, report)?;
    stages(&mut page, report)?;
    owners(&mut page, report)?;
    page.gaps(&report.gaps)?;
    page.finish(&PageData::empty())
}

fn values(report: &CompareReport, measured: &MeasuredReceipt) -> Vec<Option<f64>> {
    let steps = measured.receipt.steps.iter().enumerate();
    steps
        .map(|(place, step)| value_of(report, &measured.measure, place, step))
        .collect()
}

/// One bar an arm, the interval on its end, and what of the first arm is gone.
fn bars(
    page: &mut Page<'_>,
    report: &CompareReport,
    measured: &MeasuredReceipt,
    highest: f64,
) -> io::Result<()> {
    let title = escaped(&measured.measure.to_string());
    page.raw(&format!("<div class=\"arms\"><h2>{title}</h2>\n"))?;
    let values = values(report, measured);
    let first = values.first().copied().flatten();
    for (step, value) in measured.receipt.steps.iter().zip(values) {
        let figure = value.map_or_else(|| "not seen".to_owned(), bytes);
        page.raw(&format!(
            "<p><b>{}: {}</b> <span>{}</span></p>\n",
            escaped(&step.name),
            escaped(&figure),
            escaped(&told(report, step))
        ))?;
        page.raw(&bar(step, value, first, highest))?;
    }
    page.raw("</div>\n")
}

/// What changed against the step before; empty for the first.
fn told(report: &CompareReport, step: &Step) -> String {
    let change = step.to_previous.as_ref();
    change.map_or_else(String::new, |change| {
        match Told::of(change, repeats(report)) {
            Told::Change(change) => change,
            Told::Nothing(_) => "nothing beyond the noise".to_owned(),
        }
    })
}

/// As wide as its place on the page: all lengths are shares.
fn bar(step: &Step, value: Option<f64>, first: Option<f64>, highest: f64) -> String {
    let percent = |amount: f64| {
        if highest > 0.0 {
            (amount / highest).clamp(0.0, 1.0) * 100.0
        } else {
            0.0
        }
    };
    let mut marks = String::new();
    let mut part = |class: &str, from: f64, to: f64| {
        let _ = write!(
            // Writing to a String can't fail.
            marks,
            "<i class=\"{class}\" style=\"left:{from:.2}%;width:{:.2}%\"></i>",
            (to - from).max(0.0)
        );
    };
    if let Some(value) = value {
        part("gone", 0.0, percent(first.unwrap_or(value)));
        part("there", 0.0, percent(value));
    }
    if let Some(interval) = step.value {
        part("ends", percent(interval.low), percent(interval.high));
    }
    format!("<div class=\"arm\" aria-hidden=\"true\">{marks}</div>\n")
}

fn arms(page: &mut Page<'_>, report: &CompareReport) -> io::Result<()> {
    let columns = [
        Column::Prose("arm"),
        Column::Figures("trials"),
        Column::Figures("failed"),
        Column::Prose("what was run"),
    ];
    let row = |arm: &ArmRecord| {
        vec![
            Cell::text(&arm.name),
            Cell::count(arm.trials.len()),
            Cell::count(arm.failed),
            Cell::text(arm_words(arm)),
        ]
    };
    page.section("Arms")?;
    page.table(&columns, report.arms.iter().map(row))?;
    page.raw("</section>\n")
}

/// Every measure of whole runs of every arm.
fn steps(page: &mut Page<'_>, report: &CompareReport) -> io::Result<()> {
    page.section("Every measure")?;
    let measures: Vec<&MeasuredReceipt> = of_whole_runs(report).collect();
    step_table(page, report, "measure", &measures)?;
    page.raw("</section>\n")
}

fn stages(page: &mut Page<'_>, report: &CompareReport) -> io::Result<()> {
    let stages = Changes::of_stages(report);
    let rest = count(stages.unchanged as u64, "stage", "stages");
    changes(
        page,
        report,
        &stages,
        ["Which stages changed", "stage", &rest],
    )
}

fn owners(page: &mut Page<'_>, report: &CompareReport) -> io::Result<()> {
    let owners = Changes::of_owners(report);
    let rest = count(owners.unchanged as u64, "owner", "owners");
    let words = ["Which owners changed", "owner at the peak", &rest];
    changes(page, report, &owners, words)
}

/// What is beyond the noise, all steps of each, and how many are not.
fn changes(
    page: &mut Page<'_>,
    report: &CompareReport,
    changes: &Changes<'_>,
    [title, what, rest]: [&str; 3],
) -> io::Result<()> {
    if changes.are_none() {
        return Ok(());
    }
    page.section(title)?;
    if !changes.changed.is_empty() {
        step_table(page, report, what, &changes.changed)?;
    }
    if changes.unchanged > 0 {
        let note = format!("{rest} without a change beyond the noise");
        page.paragraph("note", &note)?;
    }
    page.raw("</section>\n")
}

fn step_table(
    page: &mut Page<'_>,
    report: &CompareReport,
    title: &str,
    all: &[&MeasuredReceipt],
) -> io::Result<()> {
    let columns = [
        Column::Words(title),
        Column::Words("arm"),
        Column::Figures("mean"),
        Column::Prose("against the arm before"),
        Column::Prose("against the first"),
    ];
    let rows = all.iter().flat_map(|measured| {
        let steps = measured.receipt.steps.iter().enumerate();
        steps.map(|(place, step)| step_row(report, measured, place, step))
    });
    page.table(&columns, rows)
}

fn step_row(
    report: &CompareReport,
    measured: &MeasuredReceipt,
    place: usize,
    step: &Step,
) -> Vec<Cell> {
    let mean = match step.value {
        Some(mean) => Cell::valued(mean.value, estimated(&mean)),
        None => Cell::bytes(value_of(report, &measured.measure, place, step)),
    };
    let change = |change: &Option<Difference>| {
        let told = change
            .as_ref()
            .map(|change| Told::of(change, repeats(report)));
        Cell::text(told.map_or_else(String::new, Told::words))
    };
    vec![
        Cell::text(measured.measure.to_string()),
        Cell::text(&step.name),
        mean,
        change(&step.to_previous),
        change(&step.to_first),
    ]
}
