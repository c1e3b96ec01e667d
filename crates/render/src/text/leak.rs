//! The leak report as text: the verdict, every measure and owner judged alike, the course, and
//! what a comparison by hand would have said.

use std::io::{self, Write};

use plimsoll_model::{LeakReport, MeasuredGrowth};

use super::page::{Page, Tone};
use super::table::{Align, Row, Table};
use super::work_chart::WorkChart;
use crate::estimate_words::{WorkUnit, amount, estimate};
use crate::leak_series::LeakSeries;
use crate::leak_words::{by_hand, class_words, confidence, facts, method, notes, verdict};
use crate::options::TextOptions;
use crate::printable::{fit, printable};
use crate::quantity::count;

pub(crate) fn leak(
    report: &LeakReport,
    options: &TextOptions,
    w: &mut dyn Write,
) -> io::Result<()> {
    let mut page = Page::new(w, options);
    page.paragraph(Tone::Bold, "", &verdict(report))?;
    for note in notes(report) {
        page.paragraph(Tone::Plain, "", &note)?;
    }
    page.blank()?;
    let subject = printable(&report.subject);
    page.line(Tone::Plain, &fit(&subject, page.width))?;
    page.pieces(Tone::Plain, 0, ",", &facts(report))?;
    growths(&mut page, report, options)?;
    course(&mut page, report)?;
    if let Some(averages) = &report.own.growth.end_averages {
        page.blank()?;
        page.paragraph(Tone::Plain, "", &by_hand(averages))?;
    }
    page.gaps(&report.gaps)?;
    page.blank()?;
    page.pieces(Tone::Dim, 0, ",", &method(report))
}

/// The measures, then the owners, in one table so that their columns stand under each other.
fn growths(page: &mut Page<'_>, report: &LeakReport, options: &TextOptions) -> io::Result<()> {
    let unit = WorkUnit(&report.unit);
    let mut table = Table::new(vec![
        ("measure", Align::Name),
        ("class", Align::Left),
        ("growth", Align::Left),
        ("seen from", Align::Right),
        ("points", Align::Right),
    ]);
    let own = std::iter::once(&report.own);
    for measure in own.chain(&report.measures) {
        table.push(growth_row(measure));
    }
    let shown = match options.top {
        Some(top) if report.owners.len() > top + 1 => top,
        _ => report.owners.len(),
    };
    if shown > 0 {
        let mut title = vec![String::new(); 5];
        title[0] = "owner".to_owned();
        let mut title = Row::new(title);
        title.tone = Tone::Bold;
        table.push(title);
    }
    for owner in &report.owners[..shown] {
        table.push(growth_row(owner));
    }
    page.blank()?;
    let caption = format!(
        "growth {}, with its {} interval; what grows by less than \"seen from\" is not seen",
        unit.per(),
        confidence(report.confidence)
    );
    page.paragraph(Tone::Dim, "", &caption)?;
    table.write(page)?;
    let rest = (report.owners.len() - shown) as u64;
    if rest > 0 {
        let words = count(rest, "owner that grows less", "owners that grow less");
        page.line(Tone::Dim, &format!("and {words}"))?;
    }
    Ok(())
}

fn growth_row(measured: &MeasuredGrowth) -> Row {
    let growth = &measured.growth;
    let known = |words: Option<String>| words.unwrap_or_else(|| "-".to_owned());
    Row::new(vec![
        printable(&measured.name).into_owned(),
        class_words(growth.class).to_owned(),
        known(growth.slope.as_ref().map(estimate)),
        known(growth.detection_limit.map(amount)),
        measured.points.to_string(),
    ])
}

fn course(page: &mut Page<'_>, report: &LeakReport) -> io::Result<()> {
    let series = LeakSeries::of(report);
    let own = |point: &plimsoll_model::MemoryPoint| (point.work, point.parts.own().0 as f64);
    WorkChart {
        title: "own memory, from its lowest to its highest",
        unit: series.unit,
        points: series.points.iter().map(own).collect(),
        warm_up_end: series.warm_up_end(),
        floors: report
            .own
            .growth
            .floors
            .iter()
            .map(|floor| floor.work)
            .collect(),
    }
    .write(page)
}
