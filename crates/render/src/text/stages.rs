//! The stages of a run as text: one row each, those that repeat summed up, and what became of the
//! memory.

use std::io;

use plimsoll_model::{Recorded, Stage};

use super::page::{Page, Tone, WIDE};
use super::table::{Align, Row, Table};
use crate::figures::lifecycle::{chosen, own_change, repeated, stage_difference};
use crate::options::TextOptions;
use crate::printable::printable;
use crate::words::amount::signed;
use crate::words::number::count;
use crate::words::stage::{
    change_total, composition_words, lifecycle_words, peak_max, peak_note, peak_words,
};
use crate::words::time::span;

/// Nothing when the run was not cut into stages.
pub(super) fn stages(
    page: &mut Page<'_>,
    recorded: &Recorded,
    options: &TextOptions,
) -> io::Result<()> {
    if recorded.stages.is_empty() {
        return Ok(());
    }
    let wide = page.width >= WIDE;
    let shown = chosen(&recorded.stages, options.top);
    let mut table = Table::new(titles(wide));
    for place in &shown {
        table.push(stage_row(recorded, *place, wide));
    }
    if shown.len() < recorded.stages.len() {
        table.push(rest_row(&recorded.stages, &shown, wide));
    }
    page.blank()?;
    table.write(page)?;
    repeated_stages(page, recorded, options)?;
    for sentence in lifecycle_words(recorded) {
        page.blank()?;
        page.paragraph(Tone::Plain, "", &sentence)?;
    }
    Ok(())
}

fn titles(wide: bool) -> Vec<(&'static str, Align)> {
    let mut titles = vec![("stages", Align::Name)];
    if wide {
        titles.extend([("from", Align::Right), ("length", Align::Right)]);
    }
    titles.extend([
        ("RSS at start", Align::Right),
        ("at end", Align::Right),
        ("peak in it", Align::Right),
        ("change", Align::Right),
        ("own change", Align::Right),
    ]);
    titles
}

fn stage_row(recorded: &Recorded, place: usize, wide: bool) -> Row {
    let stage = &recorded.stages[place];
    let (from, length) = (
        span(stage.start),
        span(stage.end.saturating_sub(stage.start)),
    );
    let mut cells = vec![printable(&stage.label).into_owned()];
    let mut notes = Vec::new();
    if wide {
        cells.extend([from, length]);
    } else {
        notes.push(format!("from {from}, {length} long"));
    }
    cells.extend([
        stage.at_start.rss.to_string(),
        stage.at_end.rss.to_string(),
        peak_words(stage),
        signed(stage.change()),
        signed(own_change(stage)),
    ]);
    notes.extend(peak_note(stage));
    notes.extend(stage_difference(recorded, place).map(|change| composition_words(&change)));
    let mut row = Row::new(cells);
    row.notes = notes;
    row
}

/// What the rows above leave out.
fn rest_row(stages: &[Stage], shown: &[usize], wide: bool) -> Row {
    let rest: Vec<&Stage> = stages
        .iter()
        .enumerate()
        .filter(|(place, _)| shown.binary_search(place).is_err())
        .map(|(_, stage)| stage)
        .collect();
    let mut cells = vec![count(rest.len() as u64, "more stage", "more stages")];
    cells.resize(if wide { 5 } else { 3 }, String::new());
    let own = rest
        .iter()
        .fold(0_i64, |sum, stage| sum.saturating_add(own_change(stage)));
    cells.extend([
        peak_max(&rest).to_string(),
        signed(change_total(&rest)),
        signed(own),
    ]);
    let mut row = Row::new(cells);
    row.tone = Tone::Dim;
    row
}

/// Labels that stand for several stages: cycles.
fn repeated_stages(
    page: &mut Page<'_>,
    recorded: &Recorded,
    options: &TextOptions,
) -> io::Result<()> {
    let groups = repeated(&recorded.stages);
    if groups.is_empty() {
        return Ok(());
    }
    let shown = options.shown_of(groups.len());
    let mut table = Table::new(vec![
        ("stages that repeat", Align::Name),
        ("times", Align::Right),
        ("median change", Align::Right),
        ("total change", Align::Right),
        ("highest peak", Align::Right),
    ]);
    for group in &groups[..shown] {
        table.push(Row::new(vec![
            printable(group.label).into_owned(),
            group.count.to_string(),
            signed(group.change_median),
            signed(group.change_total),
            group.peak_max.to_string(),
        ]));
    }
    page.blank()?;
    table.write(page)?;
    page.more(groups.len() - shown, "more label", "more labels")
}
