//! The leak report as text: the verdict, every measure and owner judged alike, the course, and
//! what a comparison by hand would have said.

use std::io::{self, Write};

use plimsoll_model::{LeakReport, MeasuredGrowth};

use super::chart::Course;
use super::page::{Page, Tone, WIDE};
use super::table::{Align, Row, Table};
use crate::figures::leak_series::LeakSeries;
use crate::options::TextOptions;
use crate::printable::{fit, printable};
use crate::words::amount::bytes;
use crate::words::interval::estimated;
use crate::words::leak::{
    by_hand, class_words, constant, facts, is_allocators, method, notes, too_few_readings, verdict,
};
use crate::words::number::confidence;
use crate::words::work::WorkUnit;

pub(crate) fn leak(
    report: &LeakReport,
    options: &TextOptions,
    w: &mut dyn Write,
) -> io::Result<()> {
    let mut page = Page::new(w, options);
    page.answer(&verdict(report), &notes(report))?;
    let subject = printable(&report.subject);
    page.line(Tone::Plain, &fit(&subject, page.width))?;
    page.pieces(Tone::Plain, 0, ",", &facts(report))?;
    growths(&mut page, report, options)?;
    course(&mut page, report)?;
    if let Some(words) = by_hand(report) {
        page.blank()?;
        page.paragraph(Tone::Plain, "", &words)?;
    }
    page.gaps(&report.gaps)?;
    page.blank()?;
    page.pieces(Tone::Dim, 0, ",", &method(report))
}

/// The measures, then the owners, in one table so that their columns stand under each other.
fn growths(page: &mut Page<'_>, report: &LeakReport, options: &TextOptions) -> io::Result<()> {
    let unit = WorkUnit(&report.unit);
    let wide = page.width >= WIDE;
    let unjudged = too_few_readings(report);
    let mut table = Table::new(titles("measure", wide));
    let measures = report.measures.iter();
    let measures = measures.filter(|measure| unjudged.is_none() || !is_allocators(measure));
    for measure in std::iter::once(&report.own).chain(measures) {
        table.push(growth_row(measure, wide));
    }
    let shown = match unjudged {
        Some(_) => 0,
        None => options.shown_of(report.owners.len()),
    };
    if shown > 0 {
        let mut title = vec!["owner".to_owned()];
        title.resize(titles("", wide).len(), String::new());
        let mut title = Row::new(title);
        title.tone = Tone::Bold;
        table.push(title);
    }
    for owner in &report.owners[..shown] {
        table.push(growth_row(owner, wide));
    }
    page.blank()?;
    let caption = format!(
        "growth {}, with its {} interval; what grows by less than \"seen from\" is not seen",
        unit.per(),
        confidence(report.confidence)
    );
    page.paragraph(Tone::Dim, "", &caption)?;
    table.write(page)?;
    if let Some(words) = unjudged {
        return page.paragraph(Tone::Dim, "", &words);
    }
    page.more(
        report.owners.len() - shown,
        "more owner, which grows less",
        "more owners, which grow less",
    )
}

fn titles(first: &'static str, wide: bool) -> Vec<(&'static str, Align)> {
    let mut titles = vec![
        (first, Align::Name),
        ("class", Align::Left),
        ("growth", Align::Left),
        ("seen from", Align::Right),
    ];
    if wide {
        titles.push(("points", Align::Right));
    }
    titles
}

fn growth_row(measured: &MeasuredGrowth, wide: bool) -> Row {
    let growth = &measured.growth;
    let known = |words: Option<String>| words.unwrap_or_else(|| "-".to_owned());
    let mut cells = vec![
        printable(&measured.name).into_owned(),
        class_words(growth.class).to_owned(),
        known(growth.slope.as_ref().map(estimated)),
        known(growth.detection_limit.map(bytes)),
    ];
    if wide {
        cells.push(measured.points.to_string());
    }
    Row::new(cells)
}

fn course(page: &mut Page<'_>, report: &LeakReport) -> io::Result<()> {
    let series = LeakSeries::of(report);
    if let Some(words) = constant(&series) {
        page.blank()?;
        return page.line(Tone::Plain, &format!("own memory: {words}"));
    }
    let own = |point: &plimsoll_model::MemoryPoint| (point.work, point.parts.own().0 as f64);
    Course {
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
