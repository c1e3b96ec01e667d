//! The stages of a run on the page: a table with a row each, those that repeat summed up, and what
//! became of the memory. The chart over time has their borders from [`super::data`].

use std::io;
use std::time::Duration;

use plimsoll_model::{Recorded, Stage};

use super::page::Page;
use super::table::{Cell, Column};
use crate::figures::lifecycle::{Repeated, own_change, repeated, stage_difference};
use crate::words::amount::signed;
use crate::words::number::count;
use crate::words::stage::{composition_words, lifecycle_words, peak_note, peak_words};
use crate::words::time::span;

/// Rows of the table: a page of some hundred KiB. The recording has all.
const ROWS_MAX: usize = 1000;

pub(super) fn stages(page: &mut Page<'_>, recorded: &Recorded) -> io::Result<()> {
    if recorded.stages.is_empty() {
        return Ok(());
    }
    page.raw("<section id=\"stages\"><h2>Stages</h2>\n")?;
    for sentence in lifecycle_words(recorded) {
        page.paragraph("lifecycle", &sentence)?;
    }
    let columns = [
        Column::Prose("stage"),
        Column::Figures("from"),
        Column::Figures("length"),
        Column::Figures("RSS at start"),
        Column::Figures("at end"),
        Column::Figures("peak in it"),
        Column::Figures("change"),
        Column::Figures("own change"),
    ];
    let places = 0..recorded.stages.len().min(ROWS_MAX);
    page.table(&columns, places.map(|place| stage_row(recorded, place)))?;
    if let Some(rest) = recorded
        .stages
        .len()
        .checked_sub(ROWS_MAX)
        .filter(|rest| *rest > 0)
    {
        let rest = count(rest as u64, "more stage is", "more stages are");
        page.paragraph("note", &format!("{rest} in the recording."))?;
    }
    repeated_stages(page, recorded)?;
    page.paragraph(
        "note",
        "The peak is the highest RSS inside the stage: of one process the kernel's own mark, reset at \
         each start. Own is what no file backs, in RAM or in swap.",
    )?;
    page.raw("</section>\n")
}

fn stage_row(recorded: &Recorded, place: usize) -> Vec<Cell> {
    let stage: &Stage = &recorded.stages[place];
    let mut notes: Vec<String> = peak_note(stage).into_iter().collect();
    notes.extend(stage_difference(recorded, place).map(|change| composition_words(&change)));
    vec![
        Cell::text(&stage.label).noted(notes.join("; ")),
        time(stage.start),
        time(stage.end.saturating_sub(stage.start)),
        Cell::exactly(stage.at_start.rss),
        Cell::exactly(stage.at_end.rss),
        Cell::valued(stage.peak.0 as f64, peak_words(stage)),
        change(stage.change()),
        change(own_change(stage)),
    ]
}

fn repeated_stages(page: &mut Page<'_>, recorded: &Recorded) -> io::Result<()> {
    let groups = repeated(&recorded.stages);
    if groups.is_empty() {
        return Ok(());
    }
    let columns = [
        Column::Prose("stages that repeat"),
        Column::Figures("times"),
        Column::Figures("median change"),
        Column::Figures("total change"),
        Column::Figures("highest peak"),
    ];
    let row = |group: &Repeated<'_>| {
        vec![
            Cell::text(group.label),
            Cell::count(group.count),
            change(group.change_median),
            change(group.change_total),
            Cell::exactly(group.peak_max),
        ]
    };
    page.table(&columns, groups.iter().take(ROWS_MAX).map(row))
}

fn time(time: Duration) -> Cell {
    Cell::valued(time.as_secs_f64(), span(time))
}

fn change(bytes: i64) -> Cell {
    Cell::valued(bytes as f64, signed(bytes))
}
