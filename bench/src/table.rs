//! A table of text with a title: printed with aligned columns, and kept for the JSON report.

use serde_json::{Value, json};

use crate::race::{Clock, Measured};
use crate::spread::Spread;

/// Rows of cells under a heading. The first column is aligned left, the others right.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
    /// Single figures behind the cells.
    raw: Vec<Value>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, columns: &[&str]) -> Table {
        Table {
            title: title.into(),
            columns: columns.iter().map(|&column| column.to_owned()).collect(),
            rows: Vec::new(),
            notes: Vec::new(),
            raw: Vec::new(),
        }
    }

    /// Costs of contestants, each with its ratio to `ours`.
    pub(crate) fn of_costs(
        title: impl Into<String>,
        measured: &[Measured],
        ours: &Measured,
    ) -> Table {
        let mut table = Table::new(
            title,
            &["reader", "cpu ms", "wall ms", "cpu ratio", "wall ratio"],
        );
        for one in measured {
            table.add_costs(one, ours);
        }
        table
    }

    fn add_costs(&mut self, one: &Measured, ours: &Measured) {
        let name = if one.part {
            format!("  of it {}", one.name)
        } else {
            one.name.clone()
        };
        if let Err(reason) = &one.figures {
            self.row(vec![name, reason.clone()]);
            return;
        }
        let cell = |spread: Option<Spread>| spread.map_or("-".to_owned(), |spread| spread.text());
        let ratio = |clock| {
            if one.part {
                return "".to_owned();
            }
            cell(one.times(ours, clock))
        };
        self.rows.push(vec![
            name,
            cell(Spread::of(one.clock(Clock::Cpu))),
            cell(Spread::of(one.clock(Clock::Wall))),
            ratio(Clock::Cpu),
            ratio(Clock::Wall),
        ]);
        self.raw.push(json!({
            "name": one.name,
            "part": one.part,
            "cpu_milliseconds": one.clock(Clock::Cpu),
            "wall_milliseconds": one.clock(Clock::Wall),
        }));
    }

    /// Fewer cells than columns: the last one may run on to the end of the line.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub(crate) fn raw(&mut self, figures: Value) {
        self.raw.push(figures);
    }

    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    pub(crate) fn text(&self) -> String {
        let mut widths: Vec<usize> = self.columns.iter().map(|text| length(text)).collect();
        for row in &self.rows {
            let full = row.len() == self.columns.len();
            for (index, cell) in row.iter().enumerate() {
                if full || index + 1 < row.len() {
                    widths[index] = widths[index].max(length(cell));
                }
            }
        }
        let mut text = format!("\n## {}\n\n", self.title);
        for row in std::iter::once(&self.columns).chain(&self.rows) {
            let mut line = String::new();
            for (index, cell) in row.iter().enumerate() {
                let space = " ".repeat(widths[index].saturating_sub(length(cell)));
                let last_of_few = index + 1 == row.len() && row.len() < self.columns.len();
                if index == 0 {
                    line += &format!("{cell}{space}");
                } else if last_of_few {
                    line += &format!("  {cell}");
                } else {
                    line += &format!("  {space}{cell}");
                }
            }
            text += line.trim_end();
            text.push('\n');
        }
        for note in &self.notes {
            text += &format!("{note}\n");
        }
        text
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "title": self.title,
            "columns": self.columns,
            "rows": self.rows,
            "notes": self.notes,
            "figures": self.raw,
        })
    }
}

fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_a_short_row_runs_on() {
        let mut table = Table::new("Reading", &["reader", "ms", "ratio"]);
        table.row(vec!["ours".into(), "1.00".into(), "1".into()]);
        table.row(vec![
            "psutil".into(),
            "skipped: psutil is not installed".into(),
        ]);
        table.note("A note.");
        assert_eq!(
            table.text(),
            "\n## Reading\n\nreader    ms  ratio\nours    1.00      1\n\
             psutil  skipped: psutil is not installed\nA note.\n"
        );
    }
}
