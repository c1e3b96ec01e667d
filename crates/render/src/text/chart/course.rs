//! A chart of block characters, some lines tall: bytes against work, from the lowest to the
//! highest, with the warm-up and the floors marked under it.

use std::io;

use super::super::page::{Page, Tone};
use super::{BLOCKS, cell, held, under};
use crate::printable::{columns, printable};
use crate::words::amount::bytes;
use crate::words::work::WorkUnit;

/// Lines of the chart. A tooth with its floor is told from a slope in so many.
const LINES: usize = 6;

/// Column of figures beside the chart: the widest amount is "-1023 KiB".
const LABEL: usize = 10;

/// From the lowest to the highest point inside one column.
const RANGE: char = '\u{2591}';

pub(in crate::text) struct Course<'a> {
    pub(in crate::text) title: &'a str,
    pub(in crate::text) unit: WorkUnit<'a>,
    /// Work and bytes, in order of work.
    pub(in crate::text) points: Vec<(f64, f64)>,
    pub(in crate::text) warm_up_end: Option<f64>,
    /// Work at which the floors are.
    pub(in crate::text) floors: Vec<f64>,
}

/// The lowest and highest point of each column; `None` where there is none.
type Columns = Vec<Option<(f64, f64)>>;

impl Course<'_> {
    /// Nothing where there is no course to see.
    pub(in crate::text) fn write(&self, page: &mut Page<'_>) -> io::Result<()> {
        let (Some(first), Some(last)) = (self.points.first(), self.points.last()) else {
            return Ok(());
        };
        if self.points.len() < 2 || last.0 <= first.0 {
            return Ok(());
        }
        let width = page.width - LABEL - 2;
        let place = |work: f64| cell((work - first.0) / (last.0 - first.0), width);
        let columns = self.columns(width, place);
        let levels = || self.points.iter().map(|(_, level)| *level);
        let lowest = levels().fold(f64::INFINITY, f64::min);
        let highest = levels().fold(f64::NEG_INFINITY, f64::max);
        page.blank()?;
        // Of a narrow range both labels are alike.
        let apart = bytes(highest - lowest);
        page.line(Tone::Bold, &format!("{}, {apart} apart", self.title))?;
        for line in 0..LINES {
            let label = match line {
                0 => bytes(highest),
                _ if line + 1 == LINES => bytes(lowest),
                _ => String::new(),
            };
            let cells = row(&columns, lowest, highest, LINES - 1 - line);
            page.line(Tone::Plain, &format!("{label:>LABEL$}  {cells}"))?;
        }
        self.marks(page, width, place)?;
        page.line(Tone::Dim, &self.axis(width, first.0, last.0))
    }

    fn columns(&self, width: usize, place: impl Fn(f64) -> usize) -> Columns {
        let mut columns: Columns = vec![None; width];
        for (work, bytes) in &self.points {
            let column = &mut columns[place(*work)];
            let (low, high) = column.unwrap_or((*bytes, *bytes));
            *column = Some((low.min(*bytes), high.max(*bytes)));
        }
        held(&mut columns, |(_, high)| (high, high));
        columns
    }

    /// The warm-up and the floors under the chart, with the meaning of the signs.
    fn marks(
        &self,
        page: &mut Page<'_>,
        width: usize,
        place: impl Fn(f64) -> usize,
    ) -> io::Result<()> {
        let mut marks = vec![' '; width];
        let mut legend = Vec::new();
        if let Some(end) = self.warm_up_end {
            marks[..place(end)].fill('.');
            legend.push(". warm-up");
        }
        for floor in &self.floors {
            marks[place(*floor)] = '^';
        }
        if !self.floors.is_empty() {
            legend.push("^ floor");
        }
        if legend.is_empty() {
            return Ok(());
        }
        let marks: String = marks.into_iter().collect();
        page.line(Tone::Plain, &format!("{:LABEL$}  {marks}", ""))?;
        page.line(Tone::Dim, &format!("{:LABEL$}  {}", "", legend.join(", ")))
    }

    fn axis(&self, width: usize, from: f64, to: f64) -> String {
        let start = self.unit.figure(from);
        let end = printable(&self.unit.count(to)).into_owned();
        // A unit of a very long name: the figure alone.
        let fits = columns(&start) + columns(&end) < width;
        let end = if fits { end } else { self.unit.figure(to) };
        format!("{:LABEL$}  {}", "", under(&start, "", &end, width))
    }
}

/// Line `line` of the chart, counted from the lowest.
fn row(columns: &Columns, lowest: f64, highest: f64, line: usize) -> String {
    let eighths = |bytes: f64| {
        if highest <= lowest {
            return 1;
        }
        let share = (bytes - lowest) / (highest - lowest);
        // The lowest point is one eighth high: it was read, and nothing is not.
        1 + (share * (LINES * 8 - 1) as f64).round() as usize
    };
    let cell = |column: &Option<(f64, f64)>| {
        let Some((low, high)) = column else {
            return ' ';
        };
        let above = |bytes: f64| eighths(bytes).saturating_sub(line * 8).min(8);
        match (above(*low), above(*high)) {
            (0, 0) => ' ',
            (0, _) => RANGE,
            (full, _) => BLOCKS[full],
        }
    };
    columns.iter().map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_solid_to_its_lowest_and_shaded_to_its_highest_point() {
        let columns = vec![
            Some((0.0, 0.0)),
            None,
            Some((47.0, 47.0)),
            Some((7.0, 47.0)),
        ];
        let rows: Vec<String> = (0..LINES)
            .rev()
            .map(|line| row(&columns, 0.0, 47.0, line))
            .collect();
        assert_eq!(rows[0], "  \u{2588}\u{2591}");
        assert_eq!(rows[LINES - 1], "\u{2581} \u{2588}\u{2588}");
    }

    #[test]
    fn a_level_series_is_a_line() {
        let columns = vec![Some((5.0, 5.0)); 2];
        assert_eq!(row(&columns, 5.0, 5.0, 0), "\u{2581}\u{2581}");
        assert_eq!(row(&columns, 5.0, 5.0, 1), "  ");
    }
}
