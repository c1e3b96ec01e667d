//! The page of a scale report: the law in a sentence, runs and law as a chart on linear and
//! logarithmic axes, and every table.

use std::io::{self, Write};

use plimsoll_model::{AxisLaw, Fit, Law, Prediction, ScaleReport};

use super::chart::{Axis, Chart, Scaling};
use super::data::PageData;
use super::page::{Head, Page};
use super::table::{Cell, Column};
use crate::figures::law_curve::{bytes_at, bytes_per_item, growth_exponent, kept, predicting};
use crate::figures::scale::{CellFigures, Scale, Spread, along, size_cell};
use crate::words::amount::bytes;
use crate::words::claim::target;
use crate::words::interval::{estimated, range};
use crate::words::law::{distance, exponent_words, facts, fit_name, law_names};
use crate::words::number::{number, share, weight};

/// Points of a drawn law.
const CURVE_POINTS: usize = 80;

/// A budget is drawn into the chart up to this factor above everything else in it.
const BUDGET_SPAN: f64 = 2.0;

pub(crate) fn scale(report: &ScaleReport, w: &mut dyn Write) -> io::Result<()> {
    let scale = Scale::of(report);
    let mut page = Page::start(
        w,
        &Head {
            title: "How memory grows",
            facts: &scale.method(),
            command: &report.command,
            verdict: &scale.verdicts(),
        },
    )?;
    for (place, law) in scale.main.iter().enumerate() {
        chart(&mut page, &scale, law, place)?;
    }
    let claims = report
        .targets
        .iter()
        .map(|claim| target(claim, report.confidence));
    page.list("Claims", claims)?;
    page.list("Doubts", scale.doubts())?;
    cells(&mut page, &scale)?;
    for law in &scale.main {
        predictions(&mut page, law)?;
        fits(&mut page, law)?;
    }
    other_laws(&mut page, &scale)?;
    page.gaps(&report.gaps)?;
    page.finish(&PageData::empty())
}

/// Both drawings, of which the style shows the one that is picked.
fn chart(page: &mut Page<'_>, scale: &Scale<'_>, law: &AxisLaw, place: usize) -> io::Result<()> {
    let drawn = [
        (Scaling::Linear, "linear"),
        (Scaling::Logarithmic, "logarithmic"),
    ]
    .map(|(scaling, class)| (class, drawing(scale, law, scaling, class)));
    if drawn.iter().all(|(_, svg)| svg.is_none()) {
        return Ok(());
    }
    page.section(&format!("{} by {}", law.measure, along(law)))?;
    page.raw("<div class=\"plot\">\n")?;
    let mut checked = " checked";
    for (class, _) in drawn.iter().filter(|(_, svg)| svg.is_some()) {
        page.raw(&format!(
            "<label><input type=\"radio\" name=\"axes-{place}\" class=\"{class}\"{checked}> \
             {class} axes</label>\n"
        ))?;
        checked = "";
    }
    let charts = drawn.map(|(_, svg)| svg.unwrap_or_default());
    page.charts(&charts.concat())?;
    page.raw("</div>\n")?;
    page.paragraph(
        "note",
        "Dots are runs, lines the laws that were kept, dashed beyond what was run. Rings with \
         whiskers are predictions of one run with their interval.",
    )?;
    page.raw("</section>\n")
}

fn drawing(scale: &Scale<'_>, law: &AxisLaw, scaling: Scaling, class: &str) -> Option<String> {
    let points = scale.points(law);
    let first = points.first()?.0;
    if points.iter().all(|point| point.0 == first) {
        return None;
    }
    let found = law.law.as_ref();
    let predictions = found.map_or(&[][..], |found| &found.predictions);
    let mut sizes: Vec<f64> = points.iter().map(|point| point.0).collect();
    let mut amounts: Vec<f64> = points.iter().map(|point| point.1).collect();
    sizes.extend(predictions.iter().map(|prediction| prediction.n));
    amounts.extend(predictions.iter().map(|prediction| prediction.bytes.high));
    let highest = amounts.iter().copied().fold(0.0, f64::max);
    let budget = scale.report.budget.map(|budget| (budget, budget.0 as f64));
    amounts.extend(
        budget
            .map(|budget| budget.1)
            .filter(|b| *b < highest * BUDGET_SPAN),
    );
    let title = along(law);
    let x = Axis::sizes(&title, &sizes, scaling)?;
    let mut chart = Chart::new(x, Axis::bytes(&amounts, scaling)?);
    let mut band: Vec<(f64, f64, f64)> = predictions
        .iter()
        .map(|prediction| (prediction.n, prediction.bytes.low, prediction.bytes.high))
        .collect();
    band.sort_by(|a, b| a.0.total_cmp(&b.0));
    if let Some(found) = found {
        let band = along_law(&chart, found, &band);
        let edge = band.iter().map(|point| (point.0, point.2));
        let back = band.iter().rev().map(|point| (point.0, point.1));
        chart.area("band", &edge.chain(back).collect::<Vec<_>>());
        curves(&mut chart, found);
    }
    if let Some((budget, amount)) = budget {
        chart.level(amount, &format!("budget {budget}"));
    }
    for (n, low, high) in band {
        chart.whisker(n, low, high);
    }
    for prediction in predictions {
        let words = format!(
            "predicted at {}: {}",
            number(prediction.n),
            estimated(&prediction.bytes)
        );
        chart.dot("predicted", (prediction.n, prediction.bytes.value), &words);
    }
    for (n, amount) in points {
        let words = format!("{} = {}: {}", law.axis, number(n), bytes(amount));
        chart.dot("run", (n, amount), &words);
    }
    Some(chart.finish(class, &crate::words::law::verdict(law, scale.report.budget)))
}

/// The band between predictions, which are few, bent like the best law: size, low, high.
fn along_law(
    chart: &Chart<'_>,
    law: &Law,
    predictions: &[(f64, f64, f64)],
) -> Vec<(f64, f64, f64)> {
    let Some(fit) = kept(law).first().copied() else {
        return Vec::new();
    };
    let mut band = Vec::new();
    for pair in predictions.windows(2) {
        let [(from, low, high), (to, low_next, high_next)] = [pair[0], pair[1]];
        let off = |n: f64, start: f64, end: f64| {
            let share = (n - from) / (to - from);
            let (start, end) = (start - bytes_at(fit, from), end - bytes_at(fit, to));
            bytes_at(fit, n) + start + share * (end - start)
        };
        if to > from {
            let sizes = chart.along(from, to, CURVE_POINTS).into_iter();
            band.extend(sizes.map(|n| (n, off(n, low, low_next), off(n, high, high_next))));
        }
    }
    band
}

/// Each kept law over what was run, and dashed beyond.
fn curves(chart: &mut Chart<'_>, law: &Law) {
    let (low, high) = (law.tested.n_min, law.tested.n_max);
    let end = chart.highest_x();
    for (place, fit) in kept(law).into_iter().enumerate() {
        let class = if place == 0 { "law" } else { "law second" };
        let over = |chart: &Chart<'_>, from: f64, to: f64| -> Vec<(f64, f64)> {
            let sizes = chart.along(from, to, CURVE_POINTS);
            sizes.into_iter().map(|n| (n, bytes_at(fit, n))).collect()
        };
        let run = over(chart, low, high);
        chart.line(class, &run);
        if end > high {
            let beyond = over(chart, high, end);
            chart.line(&format!("{class} beyond"), &beyond);
        }
    }
}

fn cells(page: &mut Page<'_>, scale: &Scale<'_>) -> io::Result<()> {
    let size_column = match scale.report.axes.as_slice() {
        [axis] => Column::Figures(&axis.name),
        _ => Column::Prose("size"),
    };
    let columns = [
        size_column,
        Column::Figures("trials"),
        Column::Figures("failed"),
        Column::Figures("peak RSS, median"),
        Column::Figures("least to most"),
        Column::Figures("own"),
        Column::Figures("PSS"),
        Column::Figures("peak RSS per item"),
    ];
    let median = |spread: Option<Spread>| Cell::bytes(spread.map(|spread| spread.median));
    let row = |figures: &CellFigures<'_>| {
        vec![
            size(figures.cell),
            Cell::count(figures.cell.trials.len()),
            Cell::count(figures.cell.failed),
            median(figures.peak),
            figures.peak.map_or_else(Cell::unknown, |peak| {
                Cell::valued(peak.least, range(peak.least, peak.greatest))
            }),
            median(figures.own),
            median(figures.pss),
            Cell::bytes(figures.peak_per_item),
        ]
    };
    page.section("Sizes")?;
    page.table(&columns, scale.cells.iter().map(row))?;
    if let Some(failures) = scale.failures() {
        page.paragraph("note", &failures)?;
    }
    page.raw("</section>\n")
}

/// Sorts by its number on one axis.
fn size(cell: &plimsoll_model::Cell) -> Cell {
    match cell.sizes.as_slice() {
        [size] => Cell::valued(size.value, size_cell(cell)),
        _ => Cell::text(size_cell(cell)),
    }
}

fn predictions(page: &mut Page<'_>, axis_law: &AxisLaw) -> io::Result<()> {
    let Some(law) = predicting(axis_law) else {
        return Ok(());
    };
    let columns = [
        Column::Figures(&axis_law.axis),
        Column::Figures("predicted"),
        Column::Prose("how far from what was run"),
    ];
    let row = |predicted: &Prediction| {
        vec![
            Cell::valued(predicted.n, number(predicted.n)),
            Cell::valued(predicted.bytes.value, estimated(&predicted.bytes)),
            Cell::text(distance(predicted, law, &axis_law.axis)),
        ]
    };
    page.section(&format!("{} of one run, predicted", axis_law.measure))?;
    page.table(&columns, law.predictions.iter().map(row))?;
    page.raw("</section>\n")
}

fn fits(page: &mut Page<'_>, axis_law: &AxisLaw) -> io::Result<()> {
    let Some(law) = &axis_law.law else {
        return Ok(());
    };
    let columns = [
        Column::Words("law"),
        Column::Words("kept"),
        Column::Figures("intercept"),
        Column::Figures("per item at the largest"),
        Column::Figures("weight"),
        Column::Figures("AICc above the best"),
        Column::Figures("residual"),
        Column::Figures("misses the largest by"),
    ];
    let row = |fit: &Fit| {
        let kept = law.classes.contains(&fit.class);
        let missed = fit.held_out_error.map(f64::abs);
        vec![
            Cell::text(fit_name(fit)),
            Cell::text(if kept { "kept" } else { "" }),
            Cell::bytes(Some(fit.intercept)),
            Cell::bytes(Some(bytes_per_item(fit, law.tested.n_max))),
            Cell::valued(fit.weight, weight(fit.weight)),
            Cell::valued(fit.delta, format!("{:.1}", fit.delta)),
            Cell::valued(fit.residual, share(fit.residual)),
            missed.map_or_else(Cell::unknown, |missed| Cell::valued(missed, share(missed))),
        ]
    };
    page.section(&format!(
        "Laws of {} with {} that were compared",
        axis_law.measure,
        along(axis_law)
    ))?;
    page.table(&columns, law.fits.iter().map(row))?;
    page.paragraph("note", &facts(law, &axis_law.axis).join("; "))?;
    page.raw("</section>\n")
}

fn other_laws(page: &mut Page<'_>, scale: &Scale<'_>) -> io::Result<()> {
    if scale.others.is_empty() {
        return Ok(());
    }
    let columns = [
        Column::Prose("measure"),
        Column::Words("with"),
        Column::Words("law"),
        Column::Figures("per item at the largest"),
        Column::Figures("exponent"),
        Column::Prose("notes"),
    ];
    page.section("Everything else that was measured")?;
    page.table(&columns, scale.others.iter().map(|law| law_row(scale, law)))?;
    page.raw("</section>\n")
}

fn law_row(scale: &Scale<'_>, axis_law: &AxisLaw) -> Vec<Cell> {
    let law = axis_law.law.as_ref();
    let exponent = law.and_then(growth_exponent);
    vec![
        Cell::text(axis_law.measure.to_string()),
        Cell::text(along(axis_law)),
        Cell::text(law.map_or_else(|| "none".to_owned(), law_names)),
        law.map_or_else(Cell::unknown, |law| {
            Cell::valued(law.marginal.value, estimated(&law.marginal))
        }),
        exponent.map_or_else(Cell::unknown, |exponent| {
            Cell::valued(exponent.value, exponent_words(&exponent))
        }),
        Cell::text(scale.law_notes(axis_law).join("; ")),
    ]
}
