//! A small plot in characters: peaks against size, with the law through them.

use std::io;

use plimsoll_model::{AxisLaw, Fit};

use super::super::page::{Page, Tone};
use super::{cell, under};
use crate::figures::law_curve::{bytes_at, kept};
use crate::printable::{fit, printable};
use crate::words::amount::bytes;
use crate::words::number::number;

const ROWS: usize = 12;

/// Figures at the left: "1000 MiB".
const LABEL: usize = 9;

/// Both axes are logarithmic where both span more than this factor.
const LOGARITHMIC_FROM: f64 = 10.0;

/// Draws one `o` a run and dots along the law; nothing with fewer than two sizes.
pub(in crate::text) fn scatter(
    page: &mut Page<'_>,
    law: &AxisLaw,
    points: &[(f64, f64)],
) -> io::Result<()> {
    let fits = law.law.as_ref().map_or_else(Vec::new, kept);
    let width = page.width - LABEL - 3;
    let Some(chart) = Chart::of(points, width) else {
        return Ok(());
    };
    page.blank()?;
    let axis = printable(&law.axis);
    let axis = fit(&axis, 20);
    let title = format!(
        "{} by {axis}: o a run{}; {}",
        law.measure,
        if fits.is_empty() { "" } else { ", . the law" },
        chart.scales()
    );
    page.paragraph(Tone::Bold, "", &title)?;
    for (place, row) in chart.rows(points, fits.first().copied()).iter().enumerate() {
        let label = if place == 0 {
            bytes(chart.y.high)
        } else if place == ROWS - 1 {
            bytes(chart.y.low)
        } else if place == ROWS / 2 {
            bytes(chart.y.value(1.0 - (place as f64 + 0.5) / ROWS as f64))
        } else {
            String::new()
        };
        page.line(Tone::Plain, &format!("{label:>LABEL$} |{row}"))?;
    }
    page.line(
        Tone::Plain,
        &format!("{:LABEL$} +{}", "", "-".repeat(width)),
    )?;
    let (low, high) = (number(chart.x.low), number(chart.x.high));
    let words = under(&low, &axis, &high, width);
    page.line(Tone::Plain, &format!("{:LABEL$}  {words}", ""))
}

/// One axis of a plot.
struct Span {
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Span {
    /// `None` without a stretch, or where a figure is not finite.
    fn of(values: impl Iterator<Item = f64> + Clone, logarithmic: bool) -> Option<Span> {
        let (low, high) = ends(values);
        (low.is_finite() && high.is_finite() && low >= 0.0 && high > low).then_some(Span {
            low,
            high,
            logarithmic,
        })
    }

    /// 0 at `low`, 1 at `high`.
    fn place(&self, value: f64) -> f64 {
        if self.logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }

    fn value(&self, place: f64) -> f64 {
        if self.logarithmic {
            self.low * (self.high / self.low).powf(place)
        } else {
            self.low + place * (self.high - self.low)
        }
    }
}

fn ends(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(f64::NEG_INFINITY, f64::max);
    (low, high)
}

fn spans_decade(values: impl Iterator<Item = f64> + Clone) -> bool {
    let (low, high) = ends(values);
    low > 0.0 && high / low > LOGARITHMIC_FROM
}

struct Chart {
    x: Span,
    y: Span,
    width: usize,
}

impl Chart {
    /// Both axes are logarithmic or none: on both pairs a line is a law that one can name.
    fn of(points: &[(f64, f64)], width: usize) -> Option<Chart> {
        let sizes = points.iter().map(|point| point.0);
        let bytes = points.iter().map(|point| point.1);
        let logarithmic = spans_decade(sizes.clone()) && spans_decade(bytes.clone());
        let x = Span::of(sizes, logarithmic)?;
        let mut y = Span::of(bytes, logarithmic)?;
        if !logarithmic {
            y.low = 0.0;
        }
        Some(Chart { x, y, width })
    }

    fn scales(&self) -> &'static str {
        if self.x.logarithmic {
            "axes logarithmic"
        } else {
            "axes linear"
        }
    }

    fn rows(&self, points: &[(f64, f64)], law: Option<&Fit>) -> Vec<String> {
        let mut cells = vec![vec![' '; self.width]; ROWS];
        let mut put = |column: usize, bytes: f64, mark: char| {
            let up = self.y.place(bytes);
            if up.is_finite() && (0.0..=1.0).contains(&up) {
                cells[cell(1.0 - up, ROWS)][column] = mark;
            }
        };
        for column in 0..self.width {
            if let Some(fit) = law {
                let n = self.x.value((column as f64 + 0.5) / self.width as f64);
                put(column, bytes_at(fit, n), '.');
            }
        }
        for (n, bytes) in points {
            put(cell(self.x.place(*n), self.width), *bytes, 'o');
        }
        cells.into_iter().map(String::from_iter).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_logarithmic_where_both_span_a_decade() {
        let check = |points: &[(f64, f64)], expected: Option<(f64, bool)>| {
            let chart = Chart::of(points, 40);
            let found = chart.map(|chart| (chart.y.low, chart.x.logarithmic));
            assert_eq!(found, expected);
        };
        check(&[], None);
        check(&[(1.0, 5.0)], None);
        check(&[(1.0, 5.0), (100.0, 5.0)], None);
        check(&[(1.0, 5.0), (100.0, 6.0)], Some((0.0, false)));
        check(&[(1.0, 5.0), (100.0, 60.0)], Some((5.0, true)));
        check(&[(1.0, 5.0), (f64::NAN, 60.0)], None);
    }
}
