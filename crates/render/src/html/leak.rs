//! The leak report as a page: the verdict, the course with what the verdict makes of it, all
//! measures and owners.

use std::io::{self, Write};

use plimsoll_model::{LeakReport, MeasuredGrowth, MemoryPoint};

use super::chart::{Axis, Chart, Scaling};
use super::data::PageData;
use super::page::{Head, Page};
use super::table::{Cell, Column};
use crate::figures::leak_series::{LeakSeries, SlopeLine};
use crate::words::interval::estimated;
use crate::words::leak::{
    by_hand, class_words, constant, doubts, facts, is_allocators, method, notes, too_few_readings,
    verdict,
};
use crate::words::number::confidence;
use crate::words::work::WorkUnit;

/// Marks of the legend, 24 by 10.
const OWN_KEY: &str = r#"<line class="own" x1="0" x2="24" y1="5" y2="5"/>"#;
const RSS_KEY: &str = r#"<line class="rss" x1="0" x2="24" y1="5" y2="5"/>"#;
const FILE_KEY: &str = r#"<line class="file" x1="0" x2="24" y1="5" y2="5"/>"#;
const SLOPE_KEY: &str = r#"<line class="slope" x1="0" x2="24" y1="5" y2="5"/>"#;
const BAND_KEY: &str = r#"<rect class="band" width="24" height="10"/>"#;
const WARM_UP_KEY: &str = r#"<rect class="warm-up" width="24" height="10"/>"#;
const FLOOR_KEY: &str = r#"<circle class="floor" cx="12" cy="5" r="3.5"/>"#;

pub(crate) fn leak(report: &LeakReport, w: &mut dyn Write) -> io::Result<()> {
    let subject = [report.subject.clone()];
    let mut page = Page::start(
        w,
        &Head {
            title: "Leak report",
            facts: &facts(report),
            command: &subject,
            verdict: &[verdict(report)],
        },
    )?;
    for note in notes(report) {
        page.paragraph("note", &note)?;
    }
    let series = LeakSeries::of(report);
    own_course(&mut page, report, &series)?;
    all_courses(&mut page, &series)?;
    page.raw("<section><h2>What grows</h2>\n")?;
    let unjudged = too_few_readings(report);
    let measures = report.measures.iter();
    let measures = measures.filter(|measure| unjudged.is_none() || !is_allocators(measure));
    let measures = std::iter::once(&report.own).chain(measures);
    growths(&mut page, report, "measure", measures)?;
    if let Some(words) = unjudged {
        page.paragraph("note", &format!("{words}."))?;
    } else if !report.owners.is_empty() {
        growths(&mut page, report, "owner", report.owners.iter())?;
    }
    let reading = format!(
        "Growth {} with its {} interval. What grows by less than \"seen from\" is not seen.",
        series.unit.per(),
        confidence(report.confidence)
    );
    page.paragraph("note", &reading)?;
    page.raw("</section>\n")?;
    page.gaps(&report.gaps)?;
    page.paragraph("cost", &format!("{}.", method(report).join(", ")))?;
    page.finish(&PageData::empty())
}

/// The program's own memory between its lowest and highest point, with warm-up, floors and slope.
fn own_course(page: &mut Page<'_>, report: &LeakReport, series: &LeakSeries<'_>) -> io::Result<()> {
    let own = points(series, |point| point.parts.own().0);
    page.section("Own memory")?;
    let floors: Vec<(f64, f64)> = report
        .own
        .growth
        .floors
        .iter()
        .map(|floor| (floor.work, floor.bytes))
        .collect();
    let mut keys = vec![(OWN_KEY, "own memory")];
    if let Some(words) = constant(series) {
        page.paragraph("", &format!("It was {words}."))?;
    } else if let Some(mut chart) = chart(series, bytes_of(&own)) {
        if let (Some(end), Some((from, _))) = (series.warm_up_end(), series.ends()) {
            chart.shade("warm-up", from, end);
            keys.push((WARM_UP_KEY, "warm-up, left out"));
        }
        let line = series.slope_line();
        if let Some(line) = &line {
            fan(&mut chart, line);
        }
        chart.line("own", &own);
        if let Some(line) = &line {
            let at = |work: f64| (work, line.at(work, line.slope.value));
            chart.line("slope", &[at(line.from), at(line.to)]);
            keys.push((SLOPE_KEY, "slope"));
            keys.push((BAND_KEY, "its interval"));
        }
        if !floors.is_empty() {
            chart.dots("floor", &floors);
            keys.push((FLOOR_KEY, "floors"));
        }
        page.charts(&chart.finish("", &format!("Own memory over work. {}", verdict(report))))?;
        legend(page, &keys)?;
    }
    if let Some(words) = by_hand(report) {
        page.paragraph("note", &words)?;
    }
    page.raw("</section>\n")
}

/// What the interval of the slope allows, on both sides of where the lines cross.
fn fan(chart: &mut Chart<'_>, line: &SlopeLine) {
    let at = |work: f64, slope: f64| (work, line.at(work, slope));
    let (from, to, slope) = (line.from, line.to, line.slope);
    chart.area(
        "band",
        &[
            at(from, slope.low),
            line.middle,
            at(to, slope.low),
            at(to, slope.high),
            line.middle,
            at(from, slope.high),
        ],
    );
}

/// Own memory beside RSS and mapped files, from zero.
fn all_courses(page: &mut Page<'_>, series: &LeakSeries<'_>) -> io::Result<()> {
    let own = points(series, |point| point.parts.own().0);
    let rss = points(series, |point| point.parts.rss.0);
    let file = points(series, |point| point.parts.file.0);
    let amounts = [&own, &rss, &file].map(|line| line.iter().map(|point| point.1));
    let amounts: Vec<f64> = amounts.into_iter().flatten().collect();
    let Some(mut chart) = chart(series, Axis::bytes(&amounts, Scaling::Linear)) else {
        return Ok(());
    };
    chart.line("rss", &rss);
    chart.line("file", &file);
    chart.line("own", &own);
    page.section("Beside RSS and mapped files")?;
    page.charts(&chart.finish("", "Own memory, RSS and mapped files over work, from zero"))?;
    legend(
        page,
        &[
            (OWN_KEY, "own memory"),
            (RSS_KEY, "RSS"),
            (FILE_KEY, "mapped files"),
        ],
    )?;
    page.raw("</section>\n")
}

fn points(series: &LeakSeries<'_>, bytes: impl Fn(&MemoryPoint) -> u64) -> Vec<(f64, f64)> {
    series
        .points
        .iter()
        .map(|point| (point.work, bytes(point) as f64))
        .collect()
}

fn chart<'a>(series: &LeakSeries<'a>, bytes: Option<Axis<'a>>) -> Option<Chart<'a>> {
    let work = Axis::work(series.unit, series.ends()?)?;
    Some(Chart::new(work, bytes?))
}

/// Of the lines alone, not from 0.
fn bytes_of(line: &[(f64, f64)]) -> Option<Axis<'static>> {
    let bytes = || line.iter().map(|point| point.1);
    let lowest = bytes().fold(f64::INFINITY, f64::min);
    Axis::bytes_between(lowest, bytes().fold(0.0, f64::max))
}

fn legend(page: &mut Page<'_>, keys: &[(&str, &str)]) -> io::Result<()> {
    page.raw("<ul class=\"legend\">")?;
    for (mark, words) in keys {
        page.raw(&format!(
            "<li><svg class=\"key\" viewBox=\"0 0 24 10\" aria-hidden=\"true\">{mark}</svg>{words}\
             </li>"
        ))?;
    }
    page.raw("</ul>\n")
}

fn growths<'a>(
    page: &mut Page<'_>,
    report: &LeakReport,
    title: &str,
    all: impl Iterator<Item = &'a MeasuredGrowth>,
) -> io::Result<()> {
    let unit = WorkUnit(&report.unit);
    let columns = [
        Column::Prose(title),
        Column::Words("class"),
        Column::Figures("growth"),
        Column::Figures("seen from"),
        Column::Figures("points"),
    ];
    page.table(&columns, all.map(|measured| growth_row(measured, unit)))
}

fn growth_row(measured: &MeasuredGrowth, unit: WorkUnit<'_>) -> Vec<Cell> {
    let growth = &measured.growth;
    let slope = growth.slope.as_ref();
    vec![
        Cell::text(&measured.name).noted(doubts(growth, unit)),
        Cell::text(class_words(growth.class)),
        slope.map_or_else(Cell::unknown, |slope| {
            Cell::valued(slope.value, estimated(slope))
        }),
        Cell::bytes(growth.detection_limit),
        Cell::count(measured.points),
    ]
}
