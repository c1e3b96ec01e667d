//! A scale report as text: the law in a sentence, peaks by size, what was compared to name the law,
//! and what follows from it.

use std::io::{self, Write};

use plimsoll_model::{Axis, ScaleReport};

use super::chart::scatter;
use super::law::{fits, other_laws, predictions};
use super::page::{Page, Tone};
use super::table::{Align, Row, Table};
use crate::figures::scale::{CellFigures, Scale, size_cell};
use crate::options::TextOptions;
use crate::printable::{columns, fit, printable};
use crate::words::amount::bytes;
use crate::words::claim::target;
use crate::words::interval::range;
use crate::words::number::number;

/// Axes that have columns of their own.
const AXES_MAX: usize = 4;

/// Columns of a title that is the name of an axis.
const AXIS_TITLE: usize = 12;

pub(crate) fn scale(
    report: &ScaleReport,
    options: &TextOptions,
    w: &mut dyn Write,
) -> io::Result<()> {
    let scale = Scale::of(report);
    let mut page = Page::new(w, options);
    let command = report.command.join(" ");
    let command = printable(&command);
    page.line(Tone::Plain, &fit(&command, page.width))?;
    page.pieces(Tone::Plain, 0, ",", &scale.method())?;
    page.blank()?;
    for verdict in scale.verdicts() {
        page.paragraph(Tone::Bold, "", &verdict)?;
    }
    page.listed(
        "claims",
        report
            .targets
            .iter()
            .map(|claim| target(claim, report.confidence)),
    )?;
    cells(&mut page, &scale)?;
    if let [law] = scale.main.as_slice() {
        scatter(&mut page, law, &scale.points(law))?;
    }
    for law in &scale.main {
        fits(&mut page, law)?;
        predictions(&mut page, law)?;
    }
    other_laws(&mut page, &scale, options)?;
    page.listed("doubts", scale.doubts())?;
    page.gaps(&report.gaps)
}

/// A column of the table of sizes.
struct Column<'a> {
    title: String,
    align: Align,
    cell: Box<dyn Fn(&CellFigures<'_>) -> String + 'a>,
}

/// What was measured at each size, and what failed.
fn cells(page: &mut Page<'_>, scale: &Scale<'_>) -> io::Result<()> {
    if scale.cells.is_empty() {
        return Ok(());
    }
    page.blank()?;
    let shown = columns_that_fit(scale, page.width);
    let titles = shown
        .iter()
        .map(|column| (column.title.clone(), column.align));
    let mut table = Table::new(titles.collect());
    for figures in &scale.cells {
        let cells = shown.iter().map(|column| (column.cell)(figures));
        table.push(Row::new(cells.collect()));
    }
    table.write(page)?;
    if let Some(failures) = scale.failures() {
        page.paragraph(Tone::Plain, "", &failures)?;
    }
    Ok(())
}

/// All columns that there are figures for; where they are too wide together, the last ones go.
fn columns_that_fit<'a>(scale: &'a Scale<'_>, width: usize) -> Vec<Column<'a>> {
    let mut shown = all_columns(scale);
    let needed = |shown: &[Column<'_>]| -> usize {
        let widths = shown.iter().map(|column| {
            let cells = scale
                .cells
                .iter()
                .map(|figures| columns(&(column.cell)(figures)));
            let widest = cells.max().unwrap_or(0).max(columns(&column.title));
            // A column of names shrinks to a dozen.
            if column.align == Align::Name {
                widest.min(AXIS_TITLE)
            } else {
                widest
            }
        });
        widths.sum::<usize>() + 2 * shown.len().saturating_sub(1)
    };
    while shown.len() > AXES_MAX && needed(&shown) > width {
        shown.pop();
    }
    shown
}

/// The most telling first.
fn all_columns<'a>(scale: &'a Scale<'_>) -> Vec<Column<'a>> {
    let column = |title: &str, cell: Box<dyn Fn(&CellFigures<'_>) -> String + 'a>| Column {
        title: title.to_owned(),
        align: Align::Right,
        cell,
    };
    let median = |spread: Option<crate::figures::scale::Spread>| {
        spread.map_or_else(|| "-".to_owned(), |spread| bytes(spread.median))
    };
    let mut all = size_columns(scale);
    all.push(column(
        "trials",
        Box::new(|figures| figures.cell.trials.len().to_string()),
    ));
    if scale.report.cells.iter().any(|cell| cell.failed > 0) {
        all.push(column(
            "failed",
            Box::new(|figures| figures.cell.failed.to_string()),
        ));
    }
    all.push(column(
        "peak RSS",
        Box::new(move |figures| median(figures.peak)),
    ));
    all.push(column(
        "least to most",
        Box::new(|figures| {
            figures
                .peak
                .map_or_else(|| "-".to_owned(), |peak| range(peak.least, peak.greatest))
        }),
    ));
    all.push(column("own", Box::new(move |figures| median(figures.own))));
    if scale.cells.iter().any(|figures| figures.pss.is_some()) {
        all.push(column("PSS", Box::new(move |figures| median(figures.pss))));
    }
    if scale
        .cells
        .iter()
        .any(|figures| figures.peak_per_item.is_some())
    {
        all.push(column(
            "RSS/item",
            Box::new(|figures| figures.peak_per_item.map_or_else(|| "-".to_owned(), bytes)),
        ));
    }
    all
}

/// A column for each axis; of many, all sizes in one, which shrinks.
fn size_columns<'a>(scale: &Scale<'a>) -> Vec<Column<'a>> {
    let axes = &scale.report.axes;
    if axes.len() > AXES_MAX {
        return vec![Column {
            title: "size".to_owned(),
            align: Align::Name,
            cell: Box::new(|figures| printable(&size_cell(figures.cell)).into_owned()),
        }];
    }
    let column = |axis: &'a Axis| Column {
        title: fit(&printable(&axis.name), AXIS_TITLE).into_owned(),
        align: Align::Right,
        cell: Box::new(|figures: &CellFigures<'_>| {
            let mut sizes = figures.cell.sizes.iter();
            let size = sizes.find(|size| size.axis == axis.name);
            size.map_or_else(|| "-".to_owned(), |size| number(size.value))
        }),
    };
    axes.iter().map(column).collect()
}
