//! What `fit` found as a page: the verdict, time against cap as a drawing, and a table.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use plimsoll_model::{Bytes, CapFit, FitPoint, FitTiming};

use super::data::PageData;
use super::page::{Head, Page};
use crate::fit_words;
use crate::markup::escaped;
use crate::quantity::{count, span};

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
            verdict: &fit_words::verdict(fit),
        },
    )?;
    figures(&mut page, fit)?;
    if !fit.points.is_empty() {
        page.raw("<section><h2>Time against cap</h2>\n")?;
        page.raw(&drawing(fit))?;
        page.raw("</section>\n<section><h2>Cap by cap</h2>\n")?;
        table(&mut page, fit)?;
        page.raw("</section>\n")?;
    }
    for note in fit_words::notes(fit) {
        page.paragraph("note", &note)?;
    }
    page.paragraph("note", &fit_words::baseline(fit))?;
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
            fit_words::rss_peak(fit).to_string(),
            "resident pages of its processes",
        ),
    ])
}

/// Of the drawing, in its own units.
const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 44.0;

/// Where caps and times lie: caps by ratio, times from 0.
struct Scale {
    low: f64,
    high: f64,
    longest: f64,
}

impl Scale {
    fn of(fit: &CapFit) -> Scale {
        let caps = || fit.points.iter().map(|point| (point.cap.0 as f64).log2());
        let timings = fit.points.iter().filter_map(|point| point.timing);
        let lengths = timings
            .chain(fit.uncapped)
            .map(|timing| timing.length.as_secs_f64());
        let low = caps().fold(f64::INFINITY, f64::min);
        let high = caps().fold(f64::NEG_INFINITY, f64::max);
        // A single cap lies in the middle.
        let room = if high > low { 0.0 } else { 1.0 };
        Scale {
            low: low - room,
            high: high + room,
            longest: lengths.fold(0.0, f64::max).max(1e-9) * 1.1,
        }
    }

    fn x(&self, cap: Bytes) -> f64 {
        let share = ((cap.0 as f64).log2() - self.low) / (self.high - self.low);
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, length: Duration) -> f64 {
        let share = length.as_secs_f64() / self.longest;
        HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
    }
}

fn drawing(fit: &CapFit) -> String {
    let scale = Scale::of(fit);
    let floor = HEIGHT - BOTTOM;
    let mut svg = format!(
        "<svg class=\"curve\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"Median time against cap; the table below has the same figures\">\n\
         <line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{floor}\" y2=\"{floor}\"/>\n",
        WIDTH - RIGHT
    );
    // Writing to a string can't fail.
    if let Some(FitTiming { length, .. }) = fit.uncapped {
        let y = scale.y(length);
        let _ = writeln!(
            svg,
            "<line class=\"usual\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"usual-name\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">without a cap \
             {}</text>",
            WIDTH - RIGHT,
            WIDTH - RIGHT,
            y - 6.0,
            escaped(&span(length))
        );
    }
    let timed = fit
        .points
        .iter()
        .filter(|point| point.failed == 0)
        .filter_map(|point| Some((scale.x(point.cap), scale.y(point.timing?.length))));
    let line: Vec<String> = timed.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(
        svg,
        "<polyline class=\"outline\" points=\"{}\"/>",
        line.join(" ")
    );
    fit.points
        .iter()
        .for_each(|point| draw_point(&mut svg, &scale, point));
    draw_names(&mut svg, fit, &scale);
    svg.push_str("</svg>\n");
    svg
}

/// A dot at its time, or a cross on the floor.
fn draw_point(svg: &mut String, scale: &Scale, point: &FitPoint) {
    let x = scale.x(point.cap);
    let _ = match (point.failed, point.timing) {
        (0, Some(timing)) => writeln!(
            svg,
            "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{:.1}\" r=\"3.5\"><title>{}: {}</title>\
             </circle>",
            scale.y(timing.length),
            point.cap,
            escaped(&span(timing.length))
        ),
        _ => {
            let y = HEIGHT - BOTTOM - 8.0;
            writeln!(
                svg,
                "<path class=\"lost\" d=\"M{:.1} {:.1}l8 8m0 -8l-8 8\"><title>{}: {}</title></path>",
                x - 4.0,
                y - 4.0,
                point.cap,
                escaped(&fit_words::outcome(point.failure))
            )
        }
    };
}

/// The longest time and the caps that the verdict names; those at the edge stay inside.
fn draw_names(svg: &mut String, fit: &CapFit, scale: &Scale) {
    let longest = fit.points.iter().filter_map(|point| point.timing);
    if let Some(longest) = longest.map(|timing| timing.length).max() {
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            scale.y(longest) + 4.0,
            escaped(&span(longest))
        );
    }
    let named = [
        (fit.failed, "lost-name", 16.0, "failed under"),
        (fit.minimum, "", 30.0, "needs"),
    ];
    for (cap, class, below, word) in named {
        let Some(cap) = cap else { continue };
        let x = scale.x(cap);
        let anchor = if x > WIDTH * 0.8 {
            "end"
        } else if x < WIDTH * 0.2 {
            "start"
        } else {
            "middle"
        };
        let _ = writeln!(
            svg,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{word} \
             {cap}</text>",
            HEIGHT - BOTTOM + below
        );
    }
}

fn table(page: &mut Page<'_>, fit: &CapFit) -> io::Result<()> {
    page.raw(
        "<div class=\"scroll\"><table>\n<thead><tr><th>cap<th>outcome<th class=\"n\">succeeded\
         <th class=\"n\">failed<th class=\"n\">time<th class=\"n\">to without a cap\
         <th class=\"n\">processor<th class=\"n\">major faults</tr></thead>\n<tbody>\n",
    )?;
    for point in fit.points.iter().rev() {
        let known = |of: &dyn Fn(FitTiming) -> String| match point.timing {
            Some(timing) => escaped(&of(timing)),
            None => "-".to_owned(),
        };
        let row = format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td></tr>\n",
            point.cap,
            escaped(&fit_words::outcome(point.failure)),
            point.succeeded,
            point.failed,
            known(&|timing| span(timing.length)),
            fit_words::ratio(fit, point).unwrap_or_else(|| "-".to_owned()),
            known(&|timing| span(timing.cpu)),
            known(&|timing| timing.major_faults.to_string()),
        );
        page.raw(&row)?;
    }
    page.raw("</tbody></table></div>\n")
}
