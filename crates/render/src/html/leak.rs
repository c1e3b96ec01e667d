//! The leak report as a page: the verdict, the course with what the verdict makes of it, all
//! measures and owners.

use std::io::{self, Write};

use plimsoll_model::{LeakReport, MeasuredGrowth, MemoryPoint};

use super::data::PageData;
use super::page::{Head, Page};
use super::plot::Plot;
use crate::figures::leak_series::{LeakSeries, SlopeLine};
use crate::markup::escaped;
use crate::words::amount::bytes;
use crate::words::interval::estimated;
use crate::words::leak::{
    by_hand, class_words, constant, doubt, facts, is_allocators, method, notes, too_few_readings,
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
            verdict: &verdict(report),
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
    page.raw("<section class=\"plot\"><h2>Own memory</h2>\n")?;
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
    } else if let Some(mut plot) = plot(series, &[&own], false) {
        if let (Some(end), Some((from, _))) = (series.warm_up_end(), series.ends()) {
            plot.shade("warm-up", from, end);
            keys.push((WARM_UP_KEY, "warm-up, left out"));
        }
        let line = series.slope_line();
        if let Some(line) = &line {
            fan(&mut plot, line);
        }
        plot.line("own", &own);
        if let Some(line) = &line {
            let at = |work: f64| (work, line.at(work, line.slope.value));
            plot.line("slope", &[at(line.from), at(line.to)]);
            keys.push((SLOPE_KEY, "slope"));
            keys.push((BAND_KEY, "its interval"));
        }
        if !floors.is_empty() {
            plot.dots("floor", &floors);
            keys.push((FLOOR_KEY, "floors"));
        }
        page.raw("<div class=\"scroll\">")?;
        page.raw(&plot.finish(&format!("Own memory over work. {}", verdict(report))))?;
        page.raw("</div>\n")?;
        legend(page, &keys)?;
    }
    if let Some(words) = by_hand(report) {
        page.paragraph("note", &words)?;
    }
    page.raw("</section>\n")
}

/// What the interval of the slope allows, on both sides of where the lines cross.
fn fan(plot: &mut Plot<'_>, line: &SlopeLine) {
    let at = |work: f64, slope: f64| (work, line.at(work, slope));
    let (from, to, slope) = (line.from, line.to, line.slope);
    plot.area(
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
    let Some(mut plot) = plot(series, &[&own, &rss, &file], true) else {
        return Ok(());
    };
    plot.line("rss", &rss);
    plot.line("file", &file);
    plot.line("own", &own);
    page.raw(
        "<section class=\"plot\"><h2>Beside RSS and mapped files</h2>\n<div class=\"scroll\">",
    )?;
    page.raw(&plot.finish("Own memory, RSS and mapped files over work, from zero"))?;
    page.raw("</div>\n")?;
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

fn plot<'a>(series: &LeakSeries<'a>, lines: &[&[(f64, f64)]], from_zero: bool) -> Option<Plot<'a>> {
    let bytes = || {
        lines
            .iter()
            .flat_map(|line| line.iter().map(|point| point.1))
    };
    let lowest = if from_zero {
        0.0
    } else {
        bytes().fold(f64::INFINITY, f64::min)
    };
    Plot::new(
        series.unit,
        series.ends()?,
        (lowest, bytes().fold(0.0, f64::max)),
    )
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
    page.raw(&format!(
        "<div class=\"scroll\"><table class=\"sortable\">\n<thead><tr><th>{title}<th>class\
         <th class=\"n\">growth<th class=\"n\">seen from<th class=\"n\">points</tr></thead>\n<tbody>\n"
    ))?;
    let unit = WorkUnit(&report.unit);
    for measured in all {
        growth_row(page, measured, unit)?;
    }
    page.raw("</tbody></table></div>\n")
}

fn growth_row(
    page: &mut Page<'_>,
    measured: &MeasuredGrowth,
    unit: WorkUnit<'_>,
) -> io::Result<()> {
    let growth = &measured.growth;
    let doubts: Vec<String> = growth
        .reasons
        .iter()
        .map(|reason| doubt(reason, growth, unit))
        .collect();
    let note = match doubts.is_empty() {
        true => String::new(),
        false => format!("<small>{}</small>", escaped(&doubts.join("; "))),
    };
    // Unknown figures sort below every known one.
    let cell = |figure: Option<f64>, words: Option<String>| {
        format!(
            "<td class=\"n\" data-v=\"{}\">{}</td>",
            figure.map_or_else(|| "-1e308".to_owned(), |figure| figure.to_string()),
            escaped(&words.unwrap_or_else(|| "-".to_owned()))
        )
    };
    page.raw(&format!(
        "<tr><th scope=\"row\">{}{note}</th><td>{}</td>{}{}<td class=\"n\" data-v=\"{points}\">\
         {points}</td></tr>\n",
        escaped(&measured.name),
        class_words(growth.class),
        cell(
            growth.slope.map(|slope| slope.value),
            growth.slope.as_ref().map(estimated)
        ),
        cell(growth.detection_limit, growth.detection_limit.map(bytes)),
        points = measured.points,
    ))
}
