//! `fit` as text: the verdict, then cap by cap the runs, their time and a bar of it.

use std::io::{self, Write};
use std::time::Duration;

use plimsoll_model::{CapFit, FitTiming};

use super::page::{Page, Tone};
use super::table::{Align, Row, Table};
use crate::options::TextOptions;
use crate::words::fit::{baseline, notes, outcome, ratio, verdict};
use crate::words::time::span;

/// What the columns of figures take at most, with the gaps.
const FIGURES: usize = 60;

pub(crate) fn fit(fit: &CapFit, options: &TextOptions, w: &mut dyn Write) -> io::Result<()> {
    let mut page = Page::new(w, options);
    page.paragraph(Tone::Bold, "", &verdict(fit))?;
    page.blank()?;
    page.paragraph(Tone::Plain, "", &fit.command.join(" "))?;
    page.paragraph(Tone::Plain, "", &baseline(fit))?;
    if !fit.points.is_empty() {
        page.blank()?;
        points(fit, page.width).write(&mut page)?;
    }
    page.blank()?;
    for note in notes(fit) {
        page.paragraph(Tone::Dim, "", &note)?;
    }
    Ok(())
}

/// The way down: no cap, then the largest first.
fn points(fit: &CapFit, width: usize) -> Table {
    let timings = fit.points.iter().filter_map(|point| point.timing);
    let longest = timings
        .chain(fit.uncapped)
        .map(|timing| timing.length)
        .max()
        .unwrap_or_default();
    let bar = |timing: Option<FitTiming>| match timing {
        Some(timing) => bar(timing.length, longest, width - FIGURES),
        None => String::new(),
    };
    let mut table = Table::new(vec![
        ("cap", Align::Right),
        ("runs", Align::Right),
        ("time", Align::Right),
        ("", Align::Right),
        ("cpu", Align::Right),
        ("faults", Align::Right),
        ("time against cap", Align::Left),
    ]);
    let figures = |timing: Option<FitTiming>| match timing {
        Some(timing) => (
            span(timing.length),
            span(timing.cpu),
            timing.major_faults.to_string(),
        ),
        None => ("-".to_owned(), "-".to_owned(), "-".to_owned()),
    };
    let (time, cpu, faults) = figures(fit.uncapped);
    table.push(Row::new(vec![
        "none".to_owned(),
        fit.baseline.len().to_string(),
        time,
        String::new(),
        cpu,
        faults,
        bar(fit.uncapped),
    ]));
    for point in fit.points.iter().rev() {
        let (time, cpu, faults) = figures(point.timing);
        let runs = point.succeeded + point.failed;
        let last = match point.failure {
            Some(failure) if point.succeeded == 0 => outcome(Some(failure)),
            _ => bar(point.timing),
        };
        let mut row = Row::new(vec![
            point.cap.to_string(),
            if point.failed > 0 && point.succeeded > 0 {
                format!("{} of {runs}", point.succeeded)
            } else {
                runs.to_string()
            },
            time,
            ratio(fit, point).unwrap_or_default(),
            cpu,
            faults,
            last,
        ]);
        if fit.minimum == Some(point.cap) {
            row.tone = Tone::Bold;
        }
        table.push(row);
    }
    table
}

fn bar(length: Duration, longest: Duration, width: usize) -> String {
    if longest.is_zero() {
        return String::new();
    }
    let cells = length.as_secs_f64() / longest.as_secs_f64() * width as f64;
    "\u{2588}".repeat((cells.round() as usize).clamp(1, width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_fit_their_width() {
        let check = |length, longest, expected| {
            let bar = bar(
                Duration::from_millis(length),
                Duration::from_millis(longest),
                8,
            );
            assert_eq!(bar.chars().count(), expected);
        };
        check(0, 0, 0);
        check(0, 10, 1);
        check(5, 10, 4);
        check(10, 10, 8);
    }
}
