//! The stages of a run on the page: a table with a row each, those that repeat summed up, and what
//! became of the memory. The chart over time has their borders from [`super::data`].

use std::io;

use plimsoll_model::{Recorded, Stage};

use super::page::Page;
use crate::figures::lifecycle::{own_change, repeated, stage_difference};
use crate::markup::escaped;
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
    page.raw(
        "<div class=\"scroll\"><table class=\"sortable\">\n<thead><tr><th>stage\
         <th class=\"n\">from<th class=\"n\">length<th class=\"n\">RSS at start\
         <th class=\"n\">at end<th class=\"n\">peak in it<th class=\"n\">change\
         <th class=\"n\">own change</tr></thead>\n<tbody>\n",
    )?;
    for place in 0..recorded.stages.len().min(ROWS_MAX) {
        stage_row(page, recorded, place)?;
    }
    page.raw("</tbody></table></div>\n")?;
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

fn stage_row(page: &mut Page<'_>, recorded: &Recorded, place: usize) -> io::Result<()> {
    let stage: &Stage = &recorded.stages[place];
    let length = stage.end.saturating_sub(stage.start);
    let mut notes: Vec<String> = peak_note(stage).into_iter().collect();
    notes.extend(stage_difference(recorded, place).map(|change| composition_words(&change)));
    page.raw(&format!(
        "<tr><th scope=\"row\">{}<small>{}</small></th>",
        escaped(&stage.label),
        escaped(&notes.join("; "))
    ))?;
    let (change, own) = (stage.change(), own_change(stage));
    let cells = [
        (seconds(stage.start), span(stage.start)),
        (seconds(length), span(length)),
        (
            stage.at_start.rss.0.to_string(),
            stage.at_start.rss.to_string(),
        ),
        (stage.at_end.rss.0.to_string(), stage.at_end.rss.to_string()),
        (stage.peak.0.to_string(), peak_words(stage)),
        (change.to_string(), signed(change)),
        (own.to_string(), signed(own)),
    ];
    figures(page, &cells)?;
    page.raw("</tr>\n")
}

fn repeated_stages(page: &mut Page<'_>, recorded: &Recorded) -> io::Result<()> {
    let groups = repeated(&recorded.stages);
    if groups.is_empty() {
        return Ok(());
    }
    page.raw(
        "<div class=\"scroll\"><table class=\"sortable\"><caption>Stages that repeat</caption>\n\
         <thead><tr><th>stage<th class=\"n\">times<th class=\"n\">median change\
         <th class=\"n\">total change<th class=\"n\">highest peak</tr></thead>\n<tbody>\n",
    )?;
    for group in groups.iter().take(ROWS_MAX) {
        page.raw(&format!(
            "<tr><th scope=\"row\">{}</th>",
            escaped(group.label)
        ))?;
        let cells = [
            (group.count.to_string(), group.count.to_string()),
            (group.change_median.to_string(), signed(group.change_median)),
            (group.change_total.to_string(), signed(group.change_total)),
            (group.peak_max.0.to_string(), group.peak_max.to_string()),
        ];
        figures(page, &cells)?;
        page.raw("</tr>\n")?;
    }
    page.raw("</tbody></table></div>\n")
}

/// Cells of what the script sorts by, and what is shown.
fn figures(page: &mut Page<'_>, cells: &[(String, String)]) -> io::Result<()> {
    for (value, shown) in cells {
        page.raw(&format!(
            "<td class=\"n\" data-v=\"{value}\">{}</td>",
            escaped(shown)
        ))?;
    }
    Ok(())
}

fn seconds(time: std::time::Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}
