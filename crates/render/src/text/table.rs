//! A table of text in columns: figures right-aligned at their natural width, one column of names
//! that takes what is left, and notes below a row.

use std::borrow::Cow;
use std::io;

use super::page::{Page, Tone};
use crate::printable::{columns, fit, fit_name};

/// Between two columns.
const GAP: usize = 2;

/// The names column is never squeezed below this; [`crate::TextOptions::WIDTH_MIN`] is chosen so
/// that it need not be.
const NAME_MIN: usize = 8;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
    /// Left-aligned names: this column takes what the others leave.
    Name,
}

pub(super) struct Table {
    columns: Vec<(Cow<'static, str>, Align)>,
    rows: Vec<Row>,
}

pub(super) struct Row {
    /// As many as the table has columns; escaped already.
    pub(super) cells: Vec<String>,
    /// Leading spaces of the names column.
    pub(super) indent: usize,
    pub(super) tone: Tone,
    /// Lines below the row: pieces that are joined by semicolons.
    pub(super) notes: Vec<String>,
}

impl Row {
    pub(super) fn new(cells: Vec<String>) -> Row {
        Row {
            cells,
            indent: 0,
            tone: Tone::Plain,
            notes: Vec::new(),
        }
    }
}

impl Table {
    /// Titles are ours, or escaped and short.
    pub(super) fn new<T: Into<Cow<'static, str>>>(columns: Vec<(T, Align)>) -> Table {
        let columns = columns.into_iter();
        Table {
            columns: columns
                .map(|(title, align)| (title.into(), align))
                .collect(),
            rows: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, row: Row) {
        debug_assert_eq!(row.cells.len(), self.columns.len());
        self.rows.push(row);
    }

    pub(super) fn write(&self, page: &mut Page<'_>) -> io::Result<()> {
        let widths = self.widths(page.width);
        let titles: Vec<String> = self
            .columns
            .iter()
            .map(|(title, _)| title.clone().into_owned())
            .collect();
        page.line(Tone::Bold, &self.layout(&titles, 0, &widths))?;
        for row in &self.rows {
            page.line(row.tone, &self.layout(&row.cells, row.indent, &widths))?;
            if !row.notes.is_empty() {
                page.pieces(Tone::Dim, row.indent + 2, ";", &row.notes)?;
            }
        }
        Ok(())
    }

    fn widths(&self, page_width: usize) -> Vec<usize> {
        let mut widths: Vec<usize> = self
            .columns
            .iter()
            .map(|(title, _)| columns(title))
            .collect();
        for row in &self.rows {
            for ((width, cell), (_, align)) in widths.iter_mut().zip(&row.cells).zip(&self.columns)
            {
                let indent = if *align == Align::Name { row.indent } else { 0 };
                *width = (*width).max(columns(cell) + indent);
            }
        }
        let gaps = GAP * (widths.len().saturating_sub(1));
        if let Some(name) = self.columns.iter().position(|(_, a)| *a == Align::Name) {
            let others: usize = widths.iter().sum::<usize>() - widths[name] + gaps;
            let room = page_width.saturating_sub(others).max(NAME_MIN);
            widths[name] = widths[name].min(room);
        }
        widths
    }

    fn layout(&self, cells: &[String], indent: usize, widths: &[usize]) -> String {
        let mut line = String::new();
        for (number, ((cell, (_, align)), width)) in
            cells.iter().zip(&self.columns).zip(widths).enumerate()
        {
            if number > 0 {
                line.push_str(&" ".repeat(GAP));
            }
            let indent = if *align == Align::Name {
                indent.min(width.saturating_sub(NAME_MIN))
            } else {
                0
            };
            let text = match align {
                Align::Name => fit_name(cell, width - indent),
                _ => fit(cell, width - indent),
            };
            let padding = " ".repeat(width - indent - columns(&text));
            line.push_str(&" ".repeat(indent));
            match align {
                Align::Right => line.extend([padding.as_str(), &text]),
                Align::Left | Align::Name => line.extend([&text, padding.as_str()]),
            }
        }
        line
    }
}
