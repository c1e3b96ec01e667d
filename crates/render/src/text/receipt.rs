//! A comparison as text: the receipt of each measure as a waterfall from the first arm on, RSS and
//! PSS side by side, and the owners behind it.

use std::io::{self, Write};

use plimsoll_model::{CompareReport, Measure, MeasuredReceipt};

use super::page::{Page, Tone};
use super::table::{Align, Row, Table};
use crate::figures::receipt::{
    Changes, arm_words, method, notes, of_whole_runs, receipt as receipt_of, repeats, value_of,
    verdict,
};
use crate::options::TextOptions;
use crate::printable::{columns, fit_name, printable};
use crate::words::amount::bytes;
use crate::words::claim::{Told, change_short};
use crate::words::interval::ends;
use crate::words::number::count;

/// Names of arms in front of figures.
const ARM_NAME: usize = 24;

/// Cells of bars: what is there, and what of the first arm is gone.
const FULL: char = '█';
const GONE: char = '░';

pub(crate) fn receipt(
    report: &CompareReport,
    options: &TextOptions,
    w: &mut dyn Write,
) -> io::Result<()> {
    let mut page = Page::new(w, options);
    page.answer(&verdict(report), &notes(report))?;
    arms(&mut page, report)?;
    page.paragraph(Tone::Dim, "", &method(report))?;
    let mut receipts = of_whole_runs(report);
    if let Some(main) = receipts.next() {
        waterfall(&mut page, report, main)?;
    }
    side_by_side(&mut page, report)?;
    for measured in receipts {
        other(&mut page, report, measured)?;
    }
    let stages = Changes::of_stages(report);
    changes(&mut page, report, &stages, STAGES, options)?;
    let owners = Changes::of_owners(report);
    changes(&mut page, report, &owners, OWNERS, options)?;
    page.gaps(&report.gaps)
}

/// What was run, and how often it was measured.
fn arms(page: &mut Page<'_>, report: &CompareReport) -> io::Result<()> {
    let mut table = Table::new(vec![
        ("arm", Align::Left),
        ("trials", Align::Right),
        ("failed", Align::Right),
        ("what was run", Align::Name),
    ]);
    for arm in &report.arms {
        table.push(Row::new(vec![
            name(&arm.name),
            arm.trials.len().to_string(),
            arm.failed.to_string(),
            printable(&arm_words(arm)).into_owned(),
        ]));
    }
    table.write(page)
}

/// An arm's name, short enough to stand before figures.
fn name(raw: &str) -> String {
    fit_name(&printable(raw), ARM_NAME).into_owned()
}

/// Value, change and bar of every step, and the total below.
fn waterfall(
    page: &mut Page<'_>,
    report: &CompareReport,
    measured: &MeasuredReceipt,
) -> io::Result<()> {
    let steps = &measured.receipt.steps;
    let value = |place: usize| value_of(report, &measured.measure, place, &steps[place]);
    let values: Vec<Option<f64>> = (0..steps.len()).map(value).collect();
    let highest = values.iter().flatten().copied().fold(0.0, f64::max);
    page.blank()?;
    page.paragraph(Tone::Bold, "", &title(measured))?;
    for (step, value) in steps.iter().zip(&values) {
        let told = step
            .to_previous
            .as_ref()
            .map(|change| Told::of(change, repeats(report)));
        let beside = match (&told, &step.value) {
            (Some(Told::Change(change)), _) => change.clone(),
            (None, Some(first)) => format!("[{}]", ends(first)),
            _ => String::new(),
        };
        figure_line(page, &step.name, *value, &beside)?;
        if let Some(Told::Nothing(why)) = &told {
            page.paragraph(Tone::Plain, "  ", why)?;
        }
        if let Some(value) = value {
            let width = page.width - 2;
            let first = values.first().copied().flatten();
            let bar = bar(*value, first.unwrap_or(*value), highest, width);
            page.line(Tone::Plain, &format!("  {bar}"))?;
        }
    }
    let total = steps.last().and_then(|last| last.to_first.as_ref());
    if let Some(total) = total.filter(|_| steps.len() > 2) {
        match Told::of(total, repeats(report)) {
            Told::Change(change) => figure_line(page, "in all", None, &change)?,
            Told::Nothing(why) => page.paragraph(Tone::Plain, "in all: ", &why)?,
        }
    }
    Ok(())
}

fn title(measured: &MeasuredReceipt) -> String {
    match &measured.measure {
        Measure::Marginal(axis) => format!("RSS that one item more of {axis} costs"),
        measure => measure.to_string(),
    }
}

/// "fewer workers            3.49 GiB  ▼ 525 MiB (-12.8%) [519 to 531]".
fn figure_line(
    page: &mut Page<'_>,
    raw_name: &str,
    value: Option<f64>,
    beside: &str,
) -> io::Result<()> {
    let name = name(raw_name);
    let padding = " ".repeat(ARM_NAME - columns(&name));
    let value = match value {
        Some(value) => bytes(value),
        None if raw_name == "in all" => String::new(),
        None => "-".to_owned(),
    };
    page.line(
        Tone::Plain,
        &format!("{name}{padding}  {value:>9}  {beside}"),
    )
}

/// As long as the value, then what is missing to the first arm.
fn bar(value: f64, first: f64, highest: f64, width: usize) -> String {
    let cells = |bytes: f64| {
        if highest > 0.0 {
            ((bytes / highest).clamp(0.0, 1.0) * width as f64).round() as usize
        } else {
            0
        }
    };
    let full = cells(value);
    let gone = cells(first).saturating_sub(full);
    let mut bar = String::new();
    bar.extend(std::iter::repeat_n(FULL, full));
    bar.extend(std::iter::repeat_n(GONE, gone));
    bar
}

/// Peak RSS beside peak PSS: a saving of the one need not be one of the other.
fn side_by_side(page: &mut Page<'_>, report: &CompareReport) -> io::Result<()> {
    let (Some(rss), Some(pss)) = (
        receipt_of(report, &Measure::RssPeak),
        receipt_of(report, &Measure::PssPeak),
    ) else {
        return Ok(());
    };
    page.blank()?;
    let mut table = Table::new(vec![
        ("RSS beside PSS", Align::Name),
        ("peak RSS", Align::Right),
        ("change", Align::Right),
        ("peak PSS", Align::Right),
        ("change", Align::Right),
    ]);
    let steps = rss.receipt.steps.iter().zip(&pss.receipt.steps);
    for (place, (by_rss, by_pss)) in steps.enumerate() {
        let mut cells = vec![printable(&by_rss.name).into_owned()];
        for (measured, step) in [(rss, by_rss), (pss, by_pss)] {
            let value = value_of(report, &measured.measure, place, step);
            cells.push(value.map_or_else(|| "-".to_owned(), bytes));
            let change = step.to_previous.as_ref();
            cells.push(change.map_or_else(String::new, change_short));
        }
        table.push(Row::new(cells));
    }
    table.write(page)
}

/// A measure after the first: its steps without bars.
fn other(
    page: &mut Page<'_>,
    report: &CompareReport,
    measured: &MeasuredReceipt,
) -> io::Result<()> {
    page.blank()?;
    page.paragraph(Tone::Bold, "", &title(measured))?;
    for (place, step) in measured.receipt.steps.iter().enumerate() {
        let value = value_of(report, &measured.measure, place, step);
        let told = step
            .to_previous
            .as_ref()
            .map(|change| Told::of(change, repeats(report)));
        match told {
            Some(Told::Nothing(why)) => {
                figure_line(page, &step.name, value, "")?;
                page.paragraph(Tone::Plain, "  ", &why)?;
            }
            Some(Told::Change(change)) => figure_line(page, &step.name, value, &change)?,
            None => figure_line(page, &step.name, value, "")?,
        }
    }
    Ok(())
}

/// How a table of changes calls what changed.
#[derive(Clone, Copy)]
struct Names {
    heading: &'static str,
    one: &'static str,
    many: &'static str,
}

const STAGES: Names = Names {
    heading: "stage (peak)",
    one: "stage",
    many: "stages",
};

const OWNERS: Names = Names {
    heading: "owner at peak",
    one: "owner at the peak",
    many: "owners at the peak",
};

/// Stages or owners whose change is beyond the noise, first arm against last.
fn changes(
    page: &mut Page<'_>,
    report: &CompareReport,
    changes: &Changes<'_>,
    names: Names,
    options: &TextOptions,
) -> io::Result<()> {
    if changes.are_none() {
        return Ok(());
    }
    let shown = options.shown_of(changes.changed.len());
    page.blank()?;
    if !changes.changed.is_empty() {
        let mut table = Table::new(vec![
            (names.heading, Align::Name),
            ("first", Align::Right),
            ("last", Align::Right),
            ("change", Align::Left),
        ]);
        for measured in &changes.changed[..shown] {
            table.push(change_row(report, measured));
        }
        table.write(page)?;
    }
    let mut rest = Vec::new();
    if shown < changes.changed.len() {
        let more = (changes.changed.len() - shown) as u64;
        rest.push(count(more, "smaller change", "smaller changes"));
    }
    if changes.unchanged > 0 {
        let rest_of = count(changes.unchanged as u64, names.one, names.many);
        rest.push(format!("{rest_of} without a change beyond the noise"));
    }
    listed_line(page, &rest)
}

fn listed_line(page: &mut Page<'_>, pieces: &[String]) -> io::Result<()> {
    if pieces.is_empty() {
        return Ok(());
    }
    page.pieces(Tone::Dim, 0, ";", pieces)
}

fn change_row(report: &CompareReport, measured: &MeasuredReceipt) -> Row {
    let steps = &measured.receipt.steps;
    let value = |place: usize| {
        let value = steps
            .get(place)
            .and_then(|step| value_of(report, &measured.measure, place, step));
        value.map_or_else(|| "-".to_owned(), bytes)
    };
    let total = steps.last().and_then(|last| last.to_first.as_ref());
    let name = match &measured.measure {
        Measure::Stage(label) => label.clone(),
        measure => measure.to_string(),
    };
    Row::new(vec![
        printable(&name).into_owned(),
        value(0),
        value(steps.len().saturating_sub(1)),
        total.map_or_else(String::new, |total| {
            Told::of(total, repeats(report)).words()
        }),
    ])
}
