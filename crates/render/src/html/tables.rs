//! Tables of the HTML page, complete without scripts. Cells carry their bytes in `data-v`, by
//! which the script sorts.

use std::io;

use plimsoll_model::{
    Breakdown, Bytes, Component, ProcessRecord, ProcessRow, ProcessTable, Recorded,
};

use super::data::{class_of, notes, nothing_unattributed};
use super::page::{Page, class_name};
use super::table::{Cell, Column};
use crate::figures::moments::Moments;
use crate::figures::run::Run;
use crate::markup::escaped;
use crate::words::amount::{change, marked};
use crate::words::number::{count, percent};
use crate::words::time::span;

/// Every component with all its parts, never collapsed.
pub(super) fn components(page: &mut Page<'_>, breakdown: &Breakdown) -> io::Result<()> {
    page.raw(
        "<div class=\"scroll\"><table id=\"components\"><caption>All owners with their \
         parts</caption>\n<thead><tr><th data-key=\"n\">component<th class=\"n\" data-key=\"0\">\
         RSS<th class=\"n\">share<th class=\"n\" data-key=\"2\">PSS<th class=\"n\" data-key=\"3\">\
         private<th class=\"n\" data-key=\"4\">dirty<th class=\"n\" data-key=\"5\">swap\
         <th data-key=\"c\">take back</tr></thead>\n<tbody>\n",
    )?;
    let whole = breakdown.totals.usage.resident;
    for component in &breakdown.components {
        component_rows(page, component, whole, 0)?;
    }
    if let Some(nothing) = nothing_unattributed(breakdown) {
        component_rows(page, &nothing, whole, 0)?;
    }
    page.raw(&format!(
        "</tbody>\n<tfoot><tr><th scope=\"row\">sum</th><td class=\"n\">{}</td>\
         <td class=\"n\">100%</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
         <td class=\"n\">{}</td><td class=\"n\">{}</td><td></td></tr>\
         </tfoot></table></div>\n",
        whole,
        breakdown.totals.usage.proportional,
        breakdown.totals.usage.private,
        breakdown.totals.usage.dirty,
        breakdown.totals.usage.swap,
    ))
}

fn component_rows(
    page: &mut Page<'_>,
    component: &Component,
    whole: Bytes,
    depth: usize,
) -> io::Result<()> {
    let usage = &component.usage;
    let class = class_of(component);
    page.raw(&format!(
        "<tr><th scope=\"row\" style=\"--depth:{depth}\">{}<small>{}</small></th><td class=\"n\">{}</td>\
         <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
         <td class=\"n\">{}</td><td class=\"n\">{}</td><td><i class=\"{}\"></i>{}</td></tr>\n",
        escaped(&component.name),
        escaped(&notes(component)),
        usage.resident,
        escaped(&percent(usage.resident, whole)),
        escaped(&marked(
            usage.proportional,
            component.proportional_exactness
        )),
        usage.private,
        usage.dirty,
        usage.swap,
        class_name(class),
        class.words(),
    ))?;
    for part in &component.parts {
        component_rows(page, part, whole, depth + 1)?;
    }
    Ok(())
}

/// Before, at the peak and at the end.
pub(super) fn moments(page: &mut Page<'_>, run: &Run<'_>) -> io::Result<()> {
    let Some(moments) = Moments::of(run) else {
        return Ok(());
    };
    page.raw("<section><h2>Before, at the peak, after</h2>\n<div class=\"scroll\">")?;
    page.raw("<table class=\"sortable\">\n<thead><tr><th>component")?;
    for (title, timed) in moments.titled() {
        page.raw(&format!(
            "<th class=\"n\">{title}<br><small>{}</small>",
            escaped(&span(timed.at))
        ))?;
    }
    if let Some(title) = moments.change_title() {
        page.raw(&format!("<th class=\"n\">change<br><small>{title}</small>"))?;
    }
    page.raw("</tr></thead>\n<tbody>\n")?;
    for name in moments.names() {
        let figures = moments.figures(|component| component.name == name);
        moment_row(page, name, &figures, moments.change_title().is_some())?;
    }
    page.raw("</tbody>\n<tfoot>\n")?;
    let sums = moments.figures(|_| true);
    moment_row(page, "sum", &sums, moments.change_title().is_some())?;
    page.raw("</tfoot></table></div></section>\n")
}

fn moment_row(
    page: &mut Page<'_>,
    name: &str,
    figures: &[Bytes],
    with_change: bool,
) -> io::Result<()> {
    page.raw(&format!("<tr><th scope=\"row\">{}</th>", escaped(name)))?;
    for bytes in figures {
        page.raw(&format!(
            "<td class=\"n\" data-v=\"{}\">{bytes}</td>",
            bytes.0
        ))?;
    }
    if with_change {
        let (from, to) = (figures[0], figures[figures.len() - 1]);
        page.raw(&format!(
            "<td class=\"n\" data-v=\"{}\">{}</td>",
            i128::from(to.0) - i128::from(from.0),
            change(from, to)
        ))?;
    }
    page.raw("</tr>\n")
}

pub(super) fn processes(page: &mut Page<'_>, table: &ProcessTable) -> io::Result<()> {
    page.raw(
        "<div class=\"scroll\"><table class=\"sortable\"><caption>Processes by PSS</caption>\n\
         <thead><tr><th>name<th class=\"n\">PSS<th class=\"n\">USS<th class=\"n\">RSS\
         <th class=\"n\">swap<th class=\"n\">must stay<th class=\"n\">droppable\
         <th class=\"n\">processes<th class=\"n\">PID</tr></thead>\n<tbody>\n",
    )?;
    for row in &table.rows {
        let (processes, pid) = (row.processes, row.process.id.pid);
        page.raw(&format!(
            "<tr><th scope=\"row\">{}</th>",
            escaped(&row.label)
        ))?;
        figure_cells(page, &row_figures(row))?;
        page.raw(&format!(
            "<td class=\"n\" data-v=\"{processes}\">{processes}</td>\
             <td class=\"n\" data-v=\"{pid}\">{pid}</td></tr>\n"
        ))?;
    }
    let processes: u32 = table.rows.iter().map(|row| row.processes).sum();
    page.raw("</tbody>\n<tfoot><tr><th scope=\"row\">sum</th>")?;
    let mut sums = [None; 6];
    for row in &table.rows {
        for (sum, figure) in sums.iter_mut().zip(row_figures(row)) {
            if let Some(figure) = figure {
                *sum = Some(sum.unwrap_or(Bytes::ZERO) + figure);
            }
        }
    }
    figure_cells(page, &sums)?;
    page.raw(&format!(
        "<td class=\"n\">{processes}</td><td></td></tr></tfoot></table></div>\n"
    ))?;
    let unknown = table.rows.iter().filter(|row| row.proportional.is_none());
    let unknown = unknown.count() as u64;
    if unknown > 0 {
        let rows = count(unknown, "row", "rows");
        page.paragraph(
            "note",
            &format!("{rows} could not be read (\"-\") and not summed, but for RSS."),
        )?;
    }
    page.paragraph(
        "note",
        "PSS adds up: shared pages are divided among their users. RSS counts them once in each \
         process. Must stay and droppable are parts of PSS.",
    )
}

/// PSS, USS, RSS, swap, must stay, droppable.
fn row_figures(row: &ProcessRow) -> [Option<Bytes>; 6] {
    let reclaim = row.proportional.map(|_| row.reclaim);
    [
        row.proportional,
        row.private,
        Some(row.resident),
        row.swap,
        reclaim.map(|reclaim| reclaim.must_stay),
        reclaim.map(|reclaim| reclaim.droppable),
    ]
}

fn figure_cells(page: &mut Page<'_>, figures: &[Option<Bytes>]) -> io::Result<()> {
    for figure in figures {
        page.raw(&match figure {
            Some(bytes) => format!("<td class=\"n\" data-v=\"{}\">{bytes}</td>", bytes.0),
            // Below every figure when sorted.
            None => "<td class=\"n\" data-v=\"-1\">-</td>".to_owned(),
        })?;
    }
    Ok(())
}

pub(super) fn process_records(page: &mut Page<'_>, recorded: &Recorded) -> io::Result<()> {
    if recorded.processes.is_empty() {
        return Ok(());
    }
    let columns = [
        Column::Prose("process"),
        Column::Figures("PID"),
        Column::Figures("peak RSS"),
        Column::Figures("from"),
        Column::Figures("to"),
    ];
    let row = |process: &ProcessRecord| {
        let end = process.ended.unwrap_or(recorded.meta.length);
        let command = if process.command.is_empty() {
            process.name.clone()
        } else {
            process.command.join(" ")
        };
        vec![
            Cell::text(command),
            Cell::valued(process.id.pid.into(), process.id.pid.to_string()),
            Cell::exactly(process.rss_peak),
            Cell::valued(process.first_seen.as_secs_f64(), span(process.first_seen)),
            Cell::valued(
                end.as_secs_f64(),
                process.ended.map_or_else(|| "-".to_owned(), span),
            ),
        ]
    };
    page.section("Processes")?;
    page.table(&columns, recorded.processes.iter().map(row))?;
    page.raw("</section>\n")
}

pub(super) fn events(page: &mut Page<'_>, recorded: &Recorded) -> io::Result<()> {
    if recorded.events.is_empty() {
        return Ok(());
    }
    page.raw("<details><summary>Events</summary>\n<ul>\n")?;
    for event in &recorded.events {
        page.raw(&format!(
            "<li>{}: {}</li>\n",
            escaped(&span(event.at)),
            escaped(&event.text)
        ))?;
    }
    page.raw("</ul></details>\n")
}
