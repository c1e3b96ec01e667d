//! A plain table of the page, which the script makes sortable. The first column names the rows.

use std::io;

use plimsoll_model::Bytes;

use super::page::Page;
use crate::markup::{escaped, escaped_prose};
use crate::words::amount::bytes;

/// By what an unknown figure sorts: below every known one.
const UNKNOWN: f64 = -1e308;

/// The title of a column, by what stands in it.
#[derive(Clone, Copy)]
pub(super) enum Column<'a> {
    Figures(&'a str),
    /// Few words, never broken.
    Words(&'a str),
    /// Sentences, broken where the page is narrow.
    Prose(&'a str),
}

impl Column<'_> {
    fn title(self) -> String {
        let (Column::Figures(title) | Column::Words(title) | Column::Prose(title)) = self;
        escaped(title)
    }

    fn class(self) -> &'static str {
        match self {
            Column::Figures(_) => " class=\"n\"",
            Column::Words(_) => "",
            Column::Prose(_) => " class=\"text\"",
        }
    }
}

/// Its words, and by what it sorts where it is a figure.
pub(super) struct Cell {
    words: String,
    value: Option<f64>,
    note: String,
}

impl Cell {
    pub(super) fn text(words: impl Into<String>) -> Cell {
        Cell {
            words: words.into(),
            value: None,
            note: String::new(),
        }
    }

    pub(super) fn valued(value: f64, words: String) -> Cell {
        Cell {
            value: value.is_finite().then_some(value),
            ..Cell::text(words)
        }
    }

    pub(super) fn count(count: usize) -> Cell {
        Cell::valued(count as f64, count.to_string())
    }

    pub(super) fn unknown() -> Cell {
        Cell::text("-")
    }

    pub(super) fn exactly(bytes: Bytes) -> Cell {
        Cell::valued(bytes.0 as f64, bytes.to_string())
    }

    /// Estimated bytes, or "-" where they are not known.
    pub(super) fn bytes(amount: Option<f64>) -> Cell {
        amount.map_or_else(Cell::unknown, |amount| Cell::valued(amount, bytes(amount)))
    }

    /// With a line of small text below it.
    pub(super) fn noted(mut self, note: String) -> Cell {
        self.note = note;
        self
    }

    fn markup(&self, column: Column<'_>, tag: &str) -> String {
        let value = match (column, self.value) {
            (Column::Figures(_), value) => Some(value.unwrap_or(UNKNOWN)),
            (_, value) => value,
        };
        let value = value.map_or_else(String::new, |value| format!(" data-v=\"{value}\""));
        let note = match self.note.as_str() {
            "" => String::new(),
            note => format!("<small>{}</small>", escaped_prose(note)),
        };
        let scope = if tag == "th" { " scope=\"row\"" } else { "" };
        format!(
            "<{tag}{scope}{}{value}>{}{note}</{tag}>",
            column.class(),
            escaped_prose(&self.words)
        )
    }
}

impl Page<'_> {
    pub(super) fn table(
        &mut self,
        columns: &[Column<'_>],
        rows: impl IntoIterator<Item = Vec<Cell>>,
    ) -> io::Result<()> {
        self.raw("<div class=\"scroll\"><table class=\"sortable\">\n<thead><tr>")?;
        for column in columns {
            self.raw(&format!("<th{}>{}", column.class(), column.title()))?;
        }
        self.raw("</tr></thead>\n<tbody>\n")?;
        for row in rows {
            let mut line = String::from("<tr>");
            for (place, (cell, column)) in row.iter().zip(columns).enumerate() {
                let tag = if place == 0 { "th" } else { "td" };
                line.push_str(&cell.markup(*column, tag));
            }
            line.push_str("</tr>\n");
            self.raw(&line)?;
        }
        self.raw("</tbody></table></div>\n")
    }
}
