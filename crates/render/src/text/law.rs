//! Blocks about laws as text: the fits that were compared, predictions, laws of other measures.

use std::io;

use plimsoll_model::{AxisLaw, Law};

use super::page::{Page, Tone};
use super::table::{Align, Row, Table};
use crate::figures::law_curve::{bytes_per_item, growth_exponent, predicting};
use crate::figures::scale::{Scale, along};
use crate::options::TextOptions;
use crate::printable::printable;
use crate::words::amount::bytes;
use crate::words::interval::estimated;
use crate::words::law::{facts, fit_name, law_names, prediction};
use crate::words::number::{share, weight};

/// Every law that was fitted, the best first; those that were kept are marked.
pub(super) fn fits(page: &mut Page<'_>, axis_law: &AxisLaw) -> io::Result<()> {
    let Some(law) = &axis_law.law else {
        return Ok(());
    };
    page.blank()?;
    let title = format!(
        "laws of {} with {} that were compared, the best first (* kept; per item: at the largest \
         size; held out: how far the largest is missed without it)",
        axis_law.measure,
        along(axis_law)
    );
    page.paragraph(Tone::Bold, "", &title)?;
    let mut table = Table::new(vec![
        ("", Align::Left),
        ("law", Align::Left),
        ("intercept", Align::Right),
        ("per item", Align::Right),
        ("weight", Align::Right),
        ("residual", Align::Right),
        ("held out", Align::Right),
    ]);
    for fit in &law.fits {
        let kept = law.classes.contains(&fit.class);
        let mut row = Row::new(vec![
            if kept { "*" } else { "" }.to_owned(),
            fit_name(fit),
            bytes(fit.intercept),
            bytes(bytes_per_item(fit, law.tested.n_max)),
            weight(fit.weight),
            share(fit.residual),
            fit.held_out_error
                .map_or_else(|| "-".to_owned(), |error| share(error.abs())),
        ]);
        row.tone = if kept { Tone::Plain } else { Tone::Dim };
        table.push(row);
    }
    table.write(page)?;
    page.pieces(Tone::Plain, 0, ";", &facts(law, &axis_law.axis))
}

/// What other sizes would take, each with the range that was run beside it.
pub(super) fn predictions(page: &mut Page<'_>, axis_law: &AxisLaw) -> io::Result<()> {
    let Some(law) = predicting(axis_law) else {
        return Ok(());
    };
    page.blank()?;
    let title = format!("{} of one run, predicted", axis_law.measure);
    page.paragraph(Tone::Bold, "", &title)?;
    for predicted in &law.predictions {
        let words = prediction(predicted, law, &axis_law.axis);
        page.paragraph(Tone::Plain, "  ", &words)?;
    }
    Ok(())
}

/// The laws of everything else, a table for each axis and what was held; the steepest marked.
pub(super) fn other_laws(
    page: &mut Page<'_>,
    scale: &Scale<'_>,
    options: &TextOptions,
) -> io::Result<()> {
    let alike = |a: &&AxisLaw, b: &&AxisLaw| a.axis == b.axis && a.held == b.held;
    for laws in scale.others.chunk_by(alike) {
        page.blank()?;
        let title = format!("everything else with {}", along(laws[0]));
        page.paragraph(Tone::Bold, "", &title)?;
        laws_table(page, scale, laws, options)?;
    }
    Ok(())
}

fn laws_table(
    page: &mut Page<'_>,
    scale: &Scale<'_>,
    laws: &[&AxisLaw],
    options: &TextOptions,
) -> io::Result<()> {
    let mut table = Table::new(vec![
        ("measure", Align::Name),
        ("law", Align::Left),
        ("per item at the largest", Align::Right),
        ("exponent", Align::Right),
    ]);
    let shown = options.shown_of(laws.len());
    let mut left_out = 0;
    for (place, law) in laws.iter().enumerate() {
        // The steepest is shown wherever it stands.
        if place < shown || scale.is_steepest(law) {
            table.push(law_row(scale, law));
        } else {
            left_out += 1;
        }
    }
    table.write(page)?;
    page.more(left_out, "more measure", "more measures")
}

fn law_row(scale: &Scale<'_>, axis_law: &AxisLaw) -> Row {
    let name = printable(&axis_law.measure.to_string()).into_owned();
    let mut row = match &axis_law.law {
        Some(law) => Row::new(vec![
            name,
            law_names(law),
            estimated(&law.marginal),
            exponent(law),
        ]),
        None => Row::new(vec![
            name,
            "none".to_owned(),
            "-".to_owned(),
            "-".to_owned(),
        ]),
    };
    row.notes = scale.law_notes(axis_law);
    row
}

fn exponent(law: &Law) -> String {
    growth_exponent(law).map_or_else(
        || "-".to_owned(),
        |exponent| format!("{:.2}", exponent.value),
    )
}
