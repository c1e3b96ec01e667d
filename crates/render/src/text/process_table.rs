//! `ps` as text: one line per process or group, by the memory it really owns, sums at the bottom.

use std::io::{self, Write};

use plimsoll_model::{Bytes, ProcessRow, ProcessTable, Reclaim};

use super::page::{Page, Tone};
use super::table::{Align, Row, Table};
use crate::options::TextOptions;
use crate::printable::printable;
use crate::words::number::count;

pub(crate) fn process_table(
    table: &ProcessTable,
    options: &TextOptions,
    w: &mut dyn Write,
) -> io::Result<()> {
    let mut page = Page::new(w, options);
    let layout = Layout::of(table);
    let shown = options.shown_of(table.rows.len());
    let mut text = Table::new(layout.titles());
    for row in &table.rows[..shown] {
        text.push(layout.row(row));
    }
    let rest = &table.rows[shown..];
    if !rest.is_empty() {
        let name = format!("{} smaller", rest.len());
        text.push(layout.sum(rest, name, Tone::Dim));
    }
    text.push(layout.sum(&table.rows, "sum".to_owned(), Tone::Bold));
    text.write(&mut page)?;
    page.blank()?;
    unreadable(&mut page, table)?;
    page.paragraph(
        Tone::Dim,
        "",
        "PSS adds up: shared pages are divided among their users. RSS does not: they count once \
         in each process. Shares of must stay and droppable are parts of PSS.",
    )?;
    page.system(&table.system)?;
    if table.without_memory > 0 {
        let words = count(
            table.without_memory.into(),
            "kernel thread or zombie owns no memory and is left out",
            "kernel threads and zombies own no memory and are left out",
        );
        page.paragraph(Tone::Dim, "", &words)?;
    }
    page.gaps(&table.gaps)?;
    page.cost(&table.cost)
}

/// Says of how many rows the sums know nothing.
fn unreadable(page: &mut Page<'_>, table: &ProcessTable) -> io::Result<()> {
    let unknown: Vec<&ProcessRow> = table
        .rows
        .iter()
        .filter(|row| row.proportional.is_none())
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let resident: Bytes = unknown.iter().map(|row| row.resident).sum();
    page.paragraph(
        Tone::Plain,
        "",
        &format!(
            "{} of {} rows could not be read (\"-\"): their PSS is not in the sums; their RSS is \
             {resident}",
            unknown.len(),
            table.rows.len()
        ),
    )
}

struct Layout {
    swap: bool,
    grouped: bool,
}

impl Layout {
    fn of(table: &ProcessTable) -> Layout {
        Layout {
            swap: table
                .rows
                .iter()
                .any(|row| row.swap.is_some_and(|swap| !swap.is_zero())),
            grouped: table.rows.iter().any(|row| row.processes > 1),
        }
    }

    fn titles(&self) -> Vec<(&'static str, Align)> {
        let mut titles = vec![
            ("PSS", Align::Right),
            ("USS", Align::Right),
            ("RSS", Align::Right),
        ];
        if self.swap {
            titles.push(("swap", Align::Right));
        }
        titles.extend([("must stay", Align::Right), ("droppable", Align::Right)]);
        titles.push(if self.grouped {
            ("procs", Align::Right)
        } else {
            ("PID", Align::Right)
        });
        titles.push(("name", Align::Name));
        titles
    }

    fn row(&self, row: &ProcessRow) -> Row {
        let reclaim = row.proportional.map(|_| row.reclaim);
        let mut cells = vec![
            known(row.proportional),
            known(row.private),
            row.resident.to_string(),
        ];
        if self.swap {
            cells.push(known(row.swap));
        }
        cells.extend([
            known(reclaim.map(|reclaim| reclaim.must_stay)),
            known(reclaim.map(|reclaim| reclaim.droppable)),
        ]);
        let mut name = printable(&row.label).into_owned();
        if self.grouped {
            cells.push(row.processes.to_string());
            // The pid that leads to the group's largest process.
            name.push_str(&format!(" (pid {})", row.process.id.pid));
        } else {
            cells.push(row.process.id.pid.to_string());
        }
        cells.push(name);
        Row::new(cells)
    }

    /// Sums over the rows that can be read; "-" when none can.
    fn sum(&self, rows: &[ProcessRow], name: String, tone: Tone) -> Row {
        let mut reclaim = Reclaim::default();
        for row in rows.iter().filter(|row| row.proportional.is_some()) {
            reclaim += row.reclaim;
        }
        let proportional = sum(rows.iter().map(|row| row.proportional));
        let mut cells = vec![
            known(proportional),
            known(sum(rows.iter().map(|row| row.private))),
            rows.iter()
                .map(|row| row.resident)
                .sum::<Bytes>()
                .to_string(),
        ];
        if self.swap {
            cells.push(known(sum(rows.iter().map(|row| row.swap))));
        }
        cells.extend([
            known(proportional.map(|_| reclaim.must_stay)),
            known(proportional.map(|_| reclaim.droppable)),
        ]);
        let processes: u32 = rows.iter().map(|row| row.processes).sum();
        cells.push(if self.grouped {
            processes.to_string()
        } else {
            String::new()
        });
        cells.push(name);
        let mut row = Row::new(cells);
        row.tone = tone;
        row
    }
}

fn known(bytes: Option<Bytes>) -> String {
    bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string())
}

fn sum(figures: impl Iterator<Item = Option<Bytes>>) -> Option<Bytes> {
    figures
        .flatten()
        .fold(None, |sum, bytes| Some(sum.unwrap_or(Bytes::ZERO) + bytes))
}
