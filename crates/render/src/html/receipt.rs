//! The page of a comparison: the receipt as bars with their intervals, RSS and PSS side by side,
//! and every table.

use std::fmt::Write as _;
use std::io::{self, Write};

use plimsoll_model::{CompareReport, Measure, MeasuredReceipt, Step};

use super::chart::{WIDTH, drawing};
use super::data::PageData;
use super::page::{Cell, Head, Page};
use crate::figures::receipt::{
    arm_words, changed_owners, method, notes, receipt as receipt_of, repeats, value_of, verdict,
};
use crate::markup::escaped;
use crate::words::amount::bytes;
use crate::words::claim::Told;
use crate::words::interval::estimated;
use crate::words::number::count;

/// Of one arm: a line of words and its bar.
const ARM_HEIGHT: f64 = 52.0;
const BAR_HEIGHT: f64 = 22.0;

pub(crate) fn receipt(report: &CompareReport, w: &mut dyn Write) -> io::Result<()> {
    let mut page = Page::start(
        w,
        &Head {
            title: "What the changes saved",
            facts: &[],
            command: &[],
            verdict: &verdict(report),
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
    let title = measured.measure.to_string();
    page.raw(&format!(
        "<div class=\"plot\"><h2>{}</h2>\n",
        escaped(&title)
    ))?;
    let values = values(report, measured);
    let first = values.first().copied().flatten();
    let mut marks = String::new();
    for (place, step) in measured.receipt.steps.iter().enumerate() {
        let top = place as f64 * ARM_HEIGHT;
        bar(
            &mut marks,
            top,
            step,
            values[place],
            first,
            highest,
            &told(report, step),
        );
    }
    let height = values.len().max(1) as f64 * ARM_HEIGHT;
    let words = format!("{title} of each arm; the table below says the same");
    page.raw(&drawing("bars", height, &words, &marks))?;
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

fn bar(
    marks: &mut String,
    top: f64,
    step: &Step,
    value: Option<f64>,
    first: Option<f64>,
    highest: f64,
    told: &str,
) {
    let wide = |amount: f64| {
        if highest > 0.0 {
            (amount / highest).clamp(0.0, 1.0) * WIDTH
        } else {
            0.0
        }
    };
    let figure = value.map_or_else(|| "not seen".to_owned(), bytes);
    let (words, bar_top) = (top + 16.0, top + 22.0);
    // Writing to a String can't fail.
    let _ = writeln!(
        marks,
        "<text class=\"mark\" x=\"0\" y=\"{words}\">{}: {}</text>\
         <text x=\"{WIDTH}\" y=\"{words}\" text-anchor=\"end\">{}</text>",
        escaped(&step.name),
        escaped(&figure),
        escaped(told)
    );
    if let Some(value) = value {
        let gone = wide(first.unwrap_or(value));
        let _ = writeln!(
            marks,
            "<rect class=\"gone\" x=\"0\" y=\"{bar_top}\" width=\"{gone:.1}\" \
             height=\"{BAR_HEIGHT}\"/><rect class=\"there\" x=\"0\" y=\"{bar_top}\" \
             width=\"{:.1}\" height=\"{BAR_HEIGHT}\"><title>{}</title></rect>",
            wide(value),
            escaped(&figure)
        );
    }
    if let Some(interval) = step.value {
        let middle = bar_top + BAR_HEIGHT / 2.0;
        let _ = writeln!(
            marks,
            "<line class=\"whisker\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle}\" y2=\"{middle}\"/>",
            wide(interval.low),
            wide(interval.high)
        );
    }
}

fn arms(page: &mut Page<'_>, report: &CompareReport) -> io::Result<()> {
    page.table_start("Arms", &["arm", "trials", "failed", "what was run"])?;
    for arm in &report.arms {
        page.table_row(
            &Cell::text(arm.name.clone()),
            &[
                Cell::count(arm.trials.len()),
                Cell::count(arm.failed),
                Cell::text(arm_words(arm)),
            ],
        )?;
    }
    page.table_end()?;
    page.raw("</section>\n")
}

/// Every measure of every arm.
fn steps(page: &mut Page<'_>, report: &CompareReport) -> io::Result<()> {
    let titles = [
        "measure",
        "arm",
        "mean",
        "against the arm before",
        "against the first",
    ];
    page.table_start("Every measure", &titles)?;
    for measured in &report.receipts {
        step_rows(page, report, measured)?;
    }
    page.table_end()?;
    page.raw("</section>\n")
}

fn step_rows(
    page: &mut Page<'_>,
    report: &CompareReport,
    measured: &MeasuredReceipt,
) -> io::Result<()> {
    for (place, step) in measured.receipt.steps.iter().enumerate() {
        let mean = match step.value {
            Some(mean) => Cell::valued(mean.value, estimated(&mean)),
            None => Cell::bytes(value_of(report, &measured.measure, place, step)),
        };
        let change = |change: &Option<plimsoll_model::Difference>| {
            let words = change
                .as_ref()
                .map(|change| Told::of(change, repeats(report)).words());
            Cell::text(words.unwrap_or_default())
        };
        page.table_row(
            &Cell::text(measured.measure.to_string()),
            &[
                Cell::text(step.name.clone()),
                mean,
                change(&step.to_previous),
                change(&step.to_first),
            ],
        )?;
    }
    Ok(())
}

/// Owners beyond the noise, all steps of each.
fn owners(page: &mut Page<'_>, report: &CompareReport) -> io::Result<()> {
    if report.owners.is_empty() {
        return Ok(());
    }
    let (changed, unchanged) = changed_owners(report);
    let titles = [
        "owner at the peak",
        "arm",
        "mean",
        "against the arm before",
        "against the first",
    ];
    page.table_start("Which owners changed", &titles)?;
    for owner in changed {
        step_rows(page, report, owner)?;
    }
    page.table_end()?;
    if unchanged > 0 {
        let owners = count(unchanged as u64, "owner", "owners");
        page.paragraph(
            "note",
            &format!("{owners} without a change beyond the noise"),
        )?;
    }
    page.raw("</section>\n")
}
