//! The laws of every measure along every axis.

use std::collections::BTreeSet;

use plimsoll_model::{Axis, AxisLaw, Cell, Law, LawUndetermined, Measure, Size, SizedPeak, Trial};

use crate::law::{self, LawOptions};

/// Stages whose peaks are fitted: more rows than a reader compares.
const STAGES_MAX: usize = 20;
/// Owners whose sizes are fitted, the largest first.
const OWNERS_MAX: usize = 12;

/// Fits peak RSS along each axis, and where it can be fitted everything else that was measured.
///
/// An axis is judged once for each combination of the others; with the law of peak RSS comes the
/// reason when there is none. Costs a [`law::fit`] for each measure.
#[must_use]
pub fn laws(axes: &[Axis], cells: &[Cell], options: &LawOptions) -> Vec<AxisLaw> {
    let mut laws = Vec::new();
    let measures = measures(cells);
    for axis in axes {
        for held in combinations(&axis.name, cells) {
            let along: Vec<&Cell> = cells
                .iter()
                .filter(|cell| held_sizes(cell, &axis.name) == held)
                .collect();
            for measure in &measures {
                let found = law_of(&along, &axis.name, measure, options);
                if found.is_some() || *measure == Measure::RssPeak {
                    let undetermined = found.as_ref().and_then(|found| found.as_ref().err());
                    laws.push(AxisLaw {
                        axis: axis.name.clone(),
                        held: held.clone(),
                        measure: measure.clone(),
                        undetermined: undetermined.copied(),
                        law: found.and_then(Result::ok),
                    });
                }
            }
        }
    }
    laws
}

type Fitted = Result<Law, LawUndetermined>;

/// `None` for a lesser measure that has no law: only peak RSS tells why there is none.
fn law_of(cells: &[&Cell], axis: &str, measure: &Measure, options: &LawOptions) -> Option<Fitted> {
    let mut points = Vec::new();
    for cell in cells {
        let Some(size) = cell.sizes.iter().find(|size| size.axis == axis) else {
            continue;
        };
        for trial in &cell.trials {
            if let Some(bytes) = measure.of(trial) {
                let n = size.value;
                points.push(SizedPeak { n, bytes });
            }
        }
    }
    let fitted = law::fit(&points, options);
    (fitted.is_ok() || *measure == Measure::RssPeak).then_some(fitted)
}

/// Peak RSS first, then what else every cell could tell.
fn measures(cells: &[Cell]) -> Vec<Measure> {
    let mut measures = vec![
        Measure::RssPeak,
        Measure::OwnPeak,
        Measure::PssPeak,
        Measure::RssEnd,
    ];
    let stages = cells
        .iter()
        .flat_map(|cell| &cell.trials)
        .flat_map(|trial| &trial.stages);
    let mut labels: Vec<&str> = Vec::new();
    for stage in stages {
        if !labels.contains(&stage.label.as_str()) && labels.len() < STAGES_MAX {
            labels.push(&stage.label);
        }
    }
    measures.extend(
        labels
            .into_iter()
            .map(|label| Measure::Stage(label.to_owned())),
    );
    measures.extend(
        largest_owners(cells.iter().flat_map(|cell| &cell.trials))
            .into_iter()
            .map(Measure::Owner),
    );
    measures
}

/// The owners that were largest anywhere.
pub(crate) fn largest_owners<'a>(trials: impl IntoIterator<Item = &'a Trial>) -> Vec<String> {
    let mut sizes: Vec<(&str, u64)> = Vec::new();
    for trial in trials {
        for owner in &trial.at_peak {
            match sizes.iter_mut().find(|(name, _)| *name == owner.name) {
                Some((_, size)) => *size = (*size).max(owner.resident.0),
                None => sizes.push((&owner.name, owner.resident.0)),
            }
        }
    }
    sizes.sort_by(|(a, one), (b, other)| other.cmp(one).then(a.cmp(b)));
    sizes
        .into_iter()
        .take(OWNERS_MAX)
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// The sizes of a cell on the other axes.
fn held_sizes(cell: &Cell, axis: &str) -> Vec<Size> {
    let others = cell.sizes.iter().filter(|size| size.axis != axis);
    others.cloned().collect()
}

/// Each combination of values on the other axes, once.
fn combinations(axis: &str, cells: &[Cell]) -> Vec<Vec<Size>> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for cell in cells {
        let held = held_sizes(cell, axis);
        let key: Vec<(String, u64)> = held
            .iter()
            .map(|size| (size.axis.clone(), size.value.to_bits()))
            .collect();
        if seen.insert(key) {
            found.push(held);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use plimsoll_model::{LawClass, LawUndetermined};

    use super::*;
    use crate::report::made::trial;

    fn axis(name: &str, values: &[f64]) -> Axis {
        Axis {
            name: name.to_owned(),
            values: values.to_vec(),
        }
    }

    #[test]
    fn each_axis_is_fitted_with_the_others_held() {
        let ns = [1e3, 3e3, 1e4, 3e4, 1e5, 3e5];
        let ps = [1.0, 2.0];
        let mut cells = Vec::new();
        for n in ns {
            for p in ps {
                let rss = 10e6 + n * p * 1000.0;
                cells.push(Cell {
                    sizes: vec![
                        Size {
                            axis: "n".to_owned(),
                            value: n,
                        },
                        Size {
                            axis: "p".to_owned(),
                            value: p,
                        },
                    ],
                    trials: vec![trial(rss), trial(rss + 4096.0)],
                    failed: 0,
                });
            }
        }
        let axes = [axis("n", &ns), axis("p", &ps)];
        let laws = laws(&axes, &cells, &LawOptions::default());
        let peaks: Vec<&AxisLaw> = laws
            .iter()
            .filter(|law| law.measure == Measure::RssPeak)
            .collect();
        // n at each p, and p at each n.
        assert_eq!(peaks.len(), ps.len() + ns.len());
        for law in peaks.iter().filter(|law| law.axis == "n") {
            let p = law.held[0].value;
            let law = law.law.as_ref().unwrap();
            assert_eq!(law.classes, [LawClass::Linear]);
            assert!((law.marginal.value / (1000.0 * p) - 1.0).abs() < 0.01);
        }
        for law in peaks.iter().filter(|law| law.axis == "p") {
            assert!(matches!(
                law.undetermined,
                Some(LawUndetermined::TooFewSizes { distinct: 2, .. })
            ));
        }
        // Nothing is said of measures that were not taken.
        assert!(laws.iter().all(|law| law.measure != Measure::PssPeak));
    }
}
