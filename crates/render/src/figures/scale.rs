//! A scale report as all formats show it: sentences, a line for each cell, laws by measure.

use std::cmp::Ordering;

use plimsoll_model::{Axis, AxisLaw, Cell, Law, LawDoubt, Measure, ScaleReport};

use crate::figures::law_curve::{growth_exponent, steepest};
use crate::words::law::{doubt, exponent_words, size_words, undetermined, verdict};
use crate::words::number::{confidence, count, number};

/// A scale report with what is computed from it once.
pub(crate) struct Scale<'a> {
    pub(crate) report: &'a ScaleReport,
    /// Of peak RSS, in the order of the axes.
    pub(crate) main: Vec<&'a AxisLaw>,
    /// Of all else.
    pub(crate) others: Vec<&'a AxisLaw>,
    /// Of both, the one with the largest exponent.
    pub(crate) steepest: Option<&'a AxisLaw>,
    /// By size.
    pub(crate) cells: Vec<CellFigures<'a>>,
}

/// What the trials of one cell come to; a figure that no trial has is `None`.
pub(crate) struct CellFigures<'a> {
    pub(crate) cell: &'a Cell,
    pub(crate) peak: Option<Spread>,
    pub(crate) own: Option<Spread>,
    pub(crate) pss: Option<Spread>,
    /// Median peak over the size, on one axis: falls towards the marginal cost as the size grows.
    pub(crate) peak_per_item: Option<f64>,
}

#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) greatest: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        let (least, greatest) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Some(Spread {
            least,
            median,
            greatest,
        })
    }
}

impl<'a> CellFigures<'a> {
    fn of(cell: &'a Cell) -> CellFigures<'a> {
        let spread = |measure: Measure| {
            let values = cell.trials.iter().filter_map(|trial| measure.of(trial));
            Spread::of(values.collect())
        };
        let peak = spread(Measure::RssPeak);
        let only = match cell.sizes.as_slice() {
            [size] if size.value > 0.0 => Some(size.value),
            _ => None,
        };
        CellFigures {
            cell,
            peak,
            own: spread(Measure::OwnPeak),
            pss: spread(Measure::PssPeak),
            peak_per_item: peak.zip(only).map(|(peak, size)| peak.median / size),
        }
    }
}

impl<'a> Scale<'a> {
    pub(crate) fn of(report: &'a ScaleReport) -> Scale<'a> {
        let (main, others): (Vec<&AxisLaw>, Vec<&AxisLaw>) = report
            .laws
            .iter()
            .partition(|law| law.measure == Measure::RssPeak);
        let all: Vec<&AxisLaw> = report.laws.iter().collect();
        let mut cells: Vec<CellFigures<'_>> = report.cells.iter().map(CellFigures::of).collect();
        cells.sort_by(|a, b| by_size(report, a.cell, b.cell));
        Scale {
            report,
            main,
            others,
            steepest: steepest(&all),
            cells,
        }
    }

    /// One sentence for each law of peak RSS.
    pub(crate) fn verdicts(&self) -> Vec<String> {
        if self.main.is_empty() {
            return vec!["no law of peak RSS was sought.".to_owned()];
        }
        let laws = self.main.iter();
        laws.map(|law| verdict(law, self.report.budget)).collect()
    }

    /// How it was measured.
    pub(crate) fn method(&self) -> Vec<String> {
        let report = self.report;
        let (mut trials, mut failed) = (0, 0);
        for cell in &report.cells {
            trials += cell.trials.len() as u64;
            failed += cell.failed as u64;
        }
        let mut method = vec![
            count(report.cells.len() as u64, "size", "sizes"),
            format!(
                "{} asked for at each",
                count(report.repeat as u64, "trial", "trials")
            ),
            format!("{} measured", count(trials, "trial", "trials")),
        ];
        if failed > 0 {
            method.push(format!("{failed} failed"));
        }
        method.push("each in a fresh process".to_owned());
        method.push(format!("order by seed {}", report.seed));
        method.push(format!("intervals of {}", confidence(report.confidence)));
        method
    }

    /// Where trials failed; they are in no figure.
    pub(crate) fn failures(&self) -> Option<String> {
        let failed: Vec<String> = self
            .report
            .cells
            .iter()
            .filter(|cell| cell.failed > 0)
            .map(|cell| {
                let all = cell.trials.len() + cell.failed;
                format!("{} of {all} at {}", cell.failed, size_words(&cell.sizes))
            })
            .collect();
        (!failed.is_empty())
            .then(|| format!("trials that failed are in no figure: {}", failed.join("; ")))
    }

    /// Doubts about the laws of peak RSS.
    pub(crate) fn doubts(&self) -> Vec<String> {
        let several = self.main.len() > 1;
        let mut doubts = Vec::new();
        for law in &self.main {
            let lead = if several {
                format!("{}: ", along(law))
            } else {
                String::new()
            };
            let found = law.law.iter().flat_map(fit_doubts);
            doubts.extend(found.map(|found| format!("{lead}{}", doubt(found, &law.axis))));
        }
        doubts
    }

    /// What is said of a law in a row of a table: why there is none, that it is the steepest, doubts.
    pub(crate) fn law_notes(&self, axis_law: &AxisLaw) -> Vec<String> {
        let Some(law) = &axis_law.law else {
            return axis_law.undetermined.iter().map(undetermined).collect();
        };
        let steepest = growth_exponent(law).filter(|_| self.is_steepest(axis_law));
        let steepest = steepest.map(|exponent| {
            let words = exponent_words(&exponent);
            format!("the steepest of all: exponent {words}")
        });
        let doubts = fit_doubts(law).map(|doubt| doubt_words(doubt).to_owned());
        steepest.into_iter().chain(doubts).collect()
    }

    pub(crate) fn is_steepest(&self, law: &AxisLaw) -> bool {
        self.steepest.is_some_and(|most| std::ptr::eq(most, law))
    }

    /// What was measured along the axis of a law, the other axes held: size, bytes.
    pub(crate) fn points(&self, law: &AxisLaw) -> Vec<(f64, f64)> {
        let mut points = Vec::new();
        for cell in &self.report.cells {
            let held = |size: &plimsoll_model::Size| {
                size.axis == law.axis
                    || law.held.iter().all(|held| held.axis != size.axis)
                    || law.held.contains(size)
            };
            let along = cell.sizes.iter().find(|size| size.axis == law.axis);
            if let Some(along) = along.filter(|_| cell.sizes.iter().all(held)) {
                let bytes = cell.trials.iter().filter_map(|trial| law.measure.of(trial));
                points.extend(bytes.map(|bytes| (along.value, bytes)));
            }
        }
        points
    }
}

/// Axis by axis, in the order of the report.
fn by_size(report: &ScaleReport, a: &Cell, b: &Cell) -> Ordering {
    let size = |cell: &Cell, axis: &Axis| {
        let mut sizes = cell.sizes.iter();
        let along = sizes.find(|size| size.axis == axis.name);
        along.map_or(f64::NAN, |size| size.value)
    };
    let axes = report.axes.iter();
    axes.map(|axis| size(a, axis).total_cmp(&size(b, axis)))
        .fold(Ordering::Equal, Ordering::then)
}

/// Doubts about the fit itself. How far a prediction reaches stands beside the prediction.
fn fit_doubts(law: &Law) -> impl Iterator<Item = &LawDoubt> {
    let doubts = law.doubts.iter();
    doubts.filter(|doubt| !matches!(doubt, LawDoubt::Extrapolated { .. }))
}

/// "n", "n at landmarks = 10": the axis of a law and what was held.
pub(crate) fn along(law: &AxisLaw) -> String {
    if law.held.is_empty() {
        law.axis.clone()
    } else {
        format!("{} at {}", law.axis, size_words(&law.held))
    }
}

/// A doubt in few words for a row of a table, where the sentence has no room.
const fn doubt_words(doubt: &LawDoubt) -> &'static str {
    match doubt {
        LawDoubt::FewSizes { .. } => "few sizes",
        LawDoubt::NarrowRange { .. } => "narrow range",
        LawDoubt::NoRepeats => "no repeats",
        LawDoubt::ResidualPattern { .. } => "residuals in a pattern",
        LawDoubt::HeldOutMissed { .. } => "misses the largest size",
        LawDoubt::BicPrefers { .. } => "BIC prefers another",
        LawDoubt::StepsHidden => "steps may hide",
        LawDoubt::Falls { .. } => "falls",
        LawDoubt::PoorFit { .. } => "poor fit",
        LawDoubt::Extrapolated { .. } => "extrapolated",
    }
}

/// Sizes of a cell as cells of a table: the number alone on one axis.
pub(crate) fn size_cell(cell: &Cell) -> String {
    match cell.sizes.as_slice() {
        [size] => number(size.value),
        sizes => size_words(sizes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        let check = |values: &[f64], expected: Option<(f64, f64, f64)>| {
            let found = Spread::of(values.to_vec());
            let found = found.map(|spread| (spread.least, spread.median, spread.greatest));
            assert_eq!(found, expected);
        };
        check(&[], None);
        check(&[3.0], Some((3.0, 3.0, 3.0)));
        check(&[3.0, 1.0], Some((1.0, 2.0, 3.0)));
        check(&[3.0, 1.0, 7.0], Some((1.0, 3.0, 7.0)));
    }
}
