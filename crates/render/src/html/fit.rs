//! What `fit` found as a page: the verdict, time against cap as a drawing, and a table.

use std::io::{self, Write};
use std::time::Duration;

use plimsoll_model::{Bytes, CapFit, FitPoint};

use super::chart::{Axis, Chart, Scaling};
use super::data::PageData;
use super::page::{Head, Page};
use super::table::{Cell, Column};
use crate::words::fit::{baseline, notes, outcome, ratio, rss_peak, verdict};
use crate::words::number::count;
use crate::words::time::span;
use crate::words::work::WorkUnit;

/// Above the longest time.
const AIR: f64 = 1.1;

pub(crate) fn fit(fit: &CapFit, w: &mut dyn Write) -> io::Result<()> {
    let program = fit.command.first().map_or("", String::as_str);
    let mut page = Page::start(
        w,
        &Head {
            title: program.rsplit('/').next().unwrap_or_default(),
            facts: &[
                format!("caps by {}", fit.mechanism.name()),
                count((fit.baseline.len() + fit.runs.len()) as u64, "run", "runs"),
            ],
            command: &fit.command,
            verdict: &[verdict(fit)],
        },
    )?;
    figures(&mut page, fit)?;
    if !fit.points.is_empty() {
        if let Some(chart) = drawing(fit) {
            page.section("Time against cap")?;
            page.charts(&chart)?;
            page.raw("</section>\n")?;
        }
        page.section("Cap by cap")?;
        table(&mut page, fit)?;
        page.raw("</section>\n")?;
    }
    for note in notes(fit) {
        page.paragraph("note", &note)?;
    }
    page.paragraph("note", &baseline(fit))?;
    page.finish(&PageData::empty())
}

fn figures(page: &mut Page<'_>, fit: &CapFit) -> io::Result<()> {
    let known = |bytes: Option<Bytes>| bytes.map_or_else(|| "-".to_owned(), |b| b.to_string());
    page.figures(&[
        (
            "Smallest cap",
            known(fit.minimum),
            "all runs succeeded, none failed above it",
        ),
        ("Failed under", known(fit.failed), "the largest such cap"),
        (
            "Comfortable from",
            known(fit.comfortable),
            "median time within 1.10 times that of runs that no cap slowed",
        ),
        (
            "Charged without a cap",
            known(fit.baseline.iter().filter_map(|run| run.charge_peak).max()),
            "page cache and kernel memory included",
        ),
        (
            "Peak RSS without a cap",
            rss_peak(fit).to_string(),
            "resident pages of its processes",
        ),
    ])
}

/// Median time by cap, a dot each; a cross on the axis where the command failed.
fn drawing(fit: &CapFit) -> Option<String> {
    let caps: Vec<f64> = fit.points.iter().map(cap_of).collect();
    let timings = fit.points.iter().filter_map(|point| point.timing);
    let lengths = timings
        .chain(fit.uncapped)
        .map(|timing| timing.length.as_secs_f64());
    let longest = lengths.fold(0.0, f64::max);
    let mut chart = Chart::new(
        Axis::caps(&caps, Scaling::Logarithmic)?,
        Axis::work(WorkUnit("second"), (0.0, longest * AIR))?,
    );
    if let Some(usual) = fit.uncapped {
        let words = format!("without a cap {}", span(usual.length));
        chart.level(usual.length.as_secs_f64(), &words);
    }
    if let Some(failed) = fit.failed {
        chart.upright_before(failed.0 as f64, &format!("failed under {failed}"));
    }
    if let Some(minimum) = fit.minimum {
        chart.upright(minimum.0 as f64, &format!("needs {minimum}"));
    }
    let timed = |point: &&FitPoint| point.failed == 0 && point.timing.is_some();
    let place = |point: &FitPoint| Some((cap_of(point), point.timing?.length.as_secs_f64()));
    let line: Vec<(f64, f64)> = fit.points.iter().filter(timed).filter_map(place).collect();
    chart.line("law", &line);
    for point in &fit.points {
        match (point.failed, place(point), point.timing) {
            (0, Some(place), Some(timing)) => {
                let words = format!("{}: {}", point.cap, span(timing.length));
                chart.dot("run", place, &words);
            }
            _ => {
                let words = format!("{}: {}", point.cap, outcome(point.failure));
                chart.cross("lost", cap_of(point), &words);
            }
        }
    }
    let words = "Median time against cap; the table below has the same figures";
    Some(chart.finish("", words))
}

fn cap_of(point: &FitPoint) -> f64 {
    point.cap.0 as f64
}

fn table(page: &mut Page<'_>, fit: &CapFit) -> io::Result<()> {
    let columns = [
        Column::Figures("cap"),
        Column::Words("outcome"),
        Column::Figures("succeeded"),
        Column::Figures("failed"),
        Column::Figures("time"),
        Column::Figures("to without a cap"),
        Column::Figures("processor"),
        Column::Figures("major faults"),
    ];
    let row = |point: &FitPoint| {
        let timing = point.timing;
        let time = |time: Option<Duration>| {
            time.map_or_else(Cell::unknown, |time| {
                Cell::valued(time.as_secs_f64(), span(time))
            })
        };
        vec![
            Cell::exactly(point.cap),
            Cell::text(outcome(point.failure)),
            Cell::count(point.succeeded as usize),
            Cell::count(point.failed as usize),
            time(timing.map(|timing| timing.length)),
            ratio(fit, point).map_or_else(Cell::unknown, Cell::text),
            time(timing.map(|timing| timing.cpu)),
            timing.map_or_else(Cell::unknown, |timing| {
                Cell::valued(timing.major_faults as f64, timing.major_faults.to_string())
            }),
        ]
    };
    page.table(&columns, fit.points.iter().rev().map(row))
}
