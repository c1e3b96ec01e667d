//! The page of a scale report: the law in a sentence, runs and law as a chart on linear and
//! logarithmic axes, and every table.

use std::io::{self, Write};

use plimsoll_model::{AxisLaw, Law, ScaleReport};

use super::chart::{Chart, Scaling};
use super::data::PageData;
use super::page::{Cell, Head, Page};
use crate::figures::law_curve::{bytes_at, bytes_per_item, growth_exponent, kept};
use crate::figures::scale::{Scale, Spread, along, size_cell};
use crate::markup::escaped;
use crate::words::amount::bytes;
use crate::words::claim::target;
use crate::words::interval::{estimated, range};
use crate::words::law::{distance, exponent_words, facts, law_names};
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
            verdict: &scale.verdicts().join(" "),
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
    page.raw(&format!(
        "<section><h2>{} by {}</h2>\n<div class=\"plot\">\n",
        escaped(&law.measure.to_string()),
        escaped(&along(law))
    ))?;
    let mut checked = " checked";
    for (class, _) in drawn.iter().filter(|(_, svg)| svg.is_some()) {
        page.raw(&format!(
            "<label><input type=\"radio\" name=\"axes-{place}\" class=\"{class}\"{checked}> \
             {class} axes</label>\n"
        ))?;
        checked = "";
    }
    for (_, svg) in drawn {
        page.raw(&svg.unwrap_or_default())?;
    }
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
    let mut chart = Chart::of(&sizes, &amounts, scaling)?;
    chart.axes(&along(law));
    let mut band: Vec<(f64, f64, f64)> = predictions
        .iter()
        .map(|prediction| (prediction.n, prediction.bytes.low, prediction.bytes.high))
        .collect();
    band.sort_by(|a, b| a.0.total_cmp(&b.0));
    if let Some(found) = found {
        chart.band(&along_law(&chart, found, &band));
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
        chart.point("predicted", prediction.n, prediction.bytes.value, &words);
    }
    for (n, amount) in points {
        let words = format!("{} = {}: {}", law.axis, number(n), bytes(amount));
        chart.point("run", n, amount, &words);
    }
    Some(chart.finish(class, &crate::words::law::verdict(law, scale.report.budget)))
}

/// The band between predictions, which are few, bent like the best law: size, low, high.
fn along_law(chart: &Chart, law: &Law, predictions: &[(f64, f64, f64)]) -> Vec<(f64, f64, f64)> {
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
            let sizes = chart.sizes_between(from, to, CURVE_POINTS).into_iter();
            band.extend(sizes.map(|n| (n, off(n, low, low_next), off(n, high, high_next))));
        }
    }
    band
}

/// Each kept law over what was run, and dashed beyond.
fn curves(chart: &mut Chart, law: &Law) {
    let (low, high) = (law.tested.n_min, law.tested.n_max);
    let end = chart.highest_size();
    for (place, fit) in kept(law).into_iter().enumerate() {
        let class = if place == 0 { "law" } else { "law second" };
        let over = |chart: &Chart, from: f64, to: f64| -> Vec<(f64, f64)> {
            let sizes = chart.sizes_between(from, to, CURVE_POINTS);
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
    let title = match scale.report.axes.as_slice() {
        [axis] => axis.name.as_str(),
        _ => "size",
    };
    let titles = [
        title,
        "trials",
        "failed",
        "peak RSS, median",
        "least to most",
        "own",
        "PSS",
        "peak RSS per item",
    ];
    page.table_start("Sizes", &titles)?;
    let median = |spread: Option<Spread>| Cell::bytes(spread.map(|spread| spread.median));
    for figures in &scale.cells {
        let ends = figures.peak.map(|peak| range(peak.least, peak.greatest));
        page.table_row(
            &size(figures.cell),
            &[
                Cell::count(figures.cell.trials.len()),
                Cell::count(figures.cell.failed),
                median(figures.peak),
                Cell::text(ends.unwrap_or_else(|| "-".to_owned())),
                median(figures.own),
                median(figures.pss),
                Cell::bytes(figures.peak_per_item),
            ],
        )?;
    }
    page.table_end()?;
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
    let Some(law) = axis_law
        .law
        .as_ref()
        .filter(|law| !law.predictions.is_empty())
    else {
        return Ok(());
    };
    let title = format!("{} of one run, predicted", axis_law.measure);
    page.table_start(
        &title,
        &[&axis_law.axis, "predicted", "how far from what was run"],
    )?;
    for predicted in &law.predictions {
        page.table_row(
            &Cell::valued(predicted.n, number(predicted.n)),
            &[
                Cell::valued(predicted.bytes.value, estimated(&predicted.bytes)),
                Cell::text(distance(predicted, law, &axis_law.axis)),
            ],
        )?;
    }
    page.table_end()?;
    page.raw("</section>\n")
}

fn fits(page: &mut Page<'_>, axis_law: &AxisLaw) -> io::Result<()> {
    let Some(law) = &axis_law.law else {
        return Ok(());
    };
    let title = format!(
        "Laws of {} with {} that were compared",
        axis_law.measure,
        along(axis_law)
    );
    let titles = [
        "law",
        "kept",
        "intercept",
        "per item at the largest",
        "weight",
        "AICc above the best",
        "residual",
        "misses the largest by",
    ];
    page.table_start(&title, &titles)?;
    for fit in &law.fits {
        let name = match fit.exponent {
            Some(exponent) => format!("n^{exponent:.2}"),
            None => fit.class.name().to_owned(),
        };
        let kept = law.classes.contains(&fit.class);
        let missed = fit.held_out_error.map(|error| share(error.abs()));
        page.table_row(
            &Cell::text(name),
            &[
                Cell::text(if kept { "kept" } else { "" }.to_owned()),
                Cell::bytes(Some(fit.intercept)),
                Cell::bytes(Some(bytes_per_item(fit, law.tested.n_max))),
                Cell::valued(fit.weight, weight(fit.weight)),
                Cell::valued(fit.delta, format!("{:.1}", fit.delta)),
                Cell::valued(fit.residual, share(fit.residual)),
                Cell::text(missed.unwrap_or_else(|| "-".to_owned())),
            ],
        )?;
    }
    page.table_end()?;
    page.paragraph("note", &facts(law, &axis_law.axis).join("; "))?;
    page.raw("</section>\n")
}

fn other_laws(page: &mut Page<'_>, scale: &Scale<'_>) -> io::Result<()> {
    if scale.others.is_empty() {
        return Ok(());
    }
    let titles = [
        "measure",
        "along",
        "law",
        "per item at the largest",
        "exponent",
        "notes",
    ];
    page.table_start("Everything else that was measured", &titles)?;
    for axis_law in &scale.others {
        let mut row = vec![Cell::text(along(axis_law))];
        row.extend(law_cells(axis_law.law.as_ref()));
        row.push(Cell::text(scale.law_notes(axis_law).join("; ")));
        page.table_row(&Cell::text(axis_law.measure.to_string()), &row)?;
    }
    page.table_end()?;
    page.raw("</section>\n")
}

/// Law, what one item costs, exponent.
fn law_cells(law: Option<&Law>) -> [Cell; 3] {
    let Some(law) = law else {
        return [
            Cell::text("none".to_owned()),
            Cell::bytes(None),
            Cell::bytes(None),
        ];
    };
    let exponent = growth_exponent(law).map_or_else(
        || Cell::bytes(None),
        |exponent| Cell::valued(exponent.value, exponent_words(&exponent)),
    );
    [
        Cell::text(law_names(law)),
        Cell::valued(law.marginal.value, estimated(&law.marginal)),
        exponent,
    ]
}
