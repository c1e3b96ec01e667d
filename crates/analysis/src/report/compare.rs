//! A receipt for every measure that the arms of a comparison have in common.

use plimsoll_model::{
    ArmRecord, Axis, Bytes, CompareReport, Gap, GapReason, Measure, MeasuredReceipt, Step, Trial,
};

use super::scale::largest_owners;
use crate::comparison::{Arm, ComparisonOptions, Pairing, receipt};

/// What was run or read.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// With the same number of trials each if they were run in rounds: of each round one, or one
    /// for each size of the axis, ascending.
    pub arms: Vec<ArmRecord>,
    pub rounds: Option<usize>,
    pub gaps: Vec<Gap>,
}

/// What is asked of it.
#[derive(Clone, Debug, PartialEq)]
pub struct CompareOptions {
    pub confidence: f64,
    /// The sizes at which each arm ran in each round.
    pub axis: Option<Axis>,
}

/// Judges what was measured. O(trials × measures).
#[must_use]
pub fn judge(measured: Measured, options: &CompareOptions) -> CompareReport {
    let Measured {
        arms,
        rounds,
        mut gaps,
    } = measured;
    let comparison = ComparisonOptions {
        confidence: options.confidence,
        pairing: if rounds.is_some() {
            Pairing::Rounds
        } else {
            Pairing::Independent
        },
        ..ComparisonOptions::default()
    };
    let table = Table {
        arms: &arms,
        sizes: options.axis.as_ref().map_or(1, |axis| axis.values.len()),
        interleaved: rounds.is_some(),
    };
    let mut receipts = Vec::new();
    for measure in [
        Measure::RssPeak,
        Measure::PssPeak,
        Measure::OwnPeak,
        Measure::RssEnd,
        Measure::PssEnd,
    ] {
        match table.values(|trial| measure.of(trial)) {
            Ok(values) => receipts.push(MeasuredReceipt {
                receipt: receipt(&values, &comparison),
                measure,
            }),
            Err(detail) => {
                gaps.push(Gap::new(measure.to_string(), GapReason::Bounded, detail));
            }
        }
    }
    if let Some(axis) = &options.axis {
        // The peaks at both ends are rounded to pages, so that a slope is to this.
        let span = axis.values.iter().copied().fold(0.0, f64::max)
            - axis.values.iter().copied().fold(f64::INFINITY, f64::min);
        let of_slope = (comparison.resolution.0 as f64 / span).ceil().max(1.0);
        let comparison = ComparisonOptions {
            resolution: Bytes(of_slope as u64),
            ..comparison
        };
        receipts.push(MeasuredReceipt {
            measure: Measure::Marginal(axis.name.clone()),
            receipt: receipt(&table.slopes(axis), &comparison),
        });
    }
    for label in stage_labels(&arms) {
        let measure = Measure::Stage(label);
        if let Ok(values) = table.values(|trial| measure.of(trial)) {
            receipts.push(MeasuredReceipt {
                receipt: receipt(&values, &comparison),
                measure,
            });
        }
    }
    let owners = owner_receipts(&table, &comparison);
    CompareReport {
        rounds,
        confidence: options.confidence,
        receipts,
        owners,
        gaps,
        arms,
    }
}

/// Trials by arm and round.
struct Table<'a> {
    arms: &'a [ArmRecord],
    /// Trials of each arm in each round; the last is at the largest size.
    sizes: usize,
    interleaved: bool,
}

impl Table<'_> {
    /// One value a round for each arm, at the largest size. A round in which one arm has no value
    /// is left out of all, or the rounds would not match. Fewer than two rounds are told.
    fn values(&self, of: impl Fn(&Trial) -> Option<f64>) -> Result<Vec<Arm>, String> {
        let columns: Vec<Vec<Option<f64>>> = self
            .arms
            .iter()
            .map(|arm| {
                let rounds = arm.trials.chunks_exact(self.sizes);
                rounds.map(|round| round.last().and_then(&of)).collect()
            })
            .collect();
        let complete = |round: usize| {
            !self.interleaved
                || columns
                    .iter()
                    .all(|column| column.get(round).is_some_and(Option::is_some))
        };
        let arms = self.arms.iter().zip(&columns).map(|(arm, column)| {
            let kept = column.iter().enumerate();
            Arm {
                name: arm.name.clone(),
                values: kept
                    .filter(|(round, _)| complete(*round))
                    .filter_map(|(_, value)| *value)
                    .collect(),
            }
        });
        let arms: Vec<Arm> = arms.collect();
        match arms.iter().find(|arm| arm.values.len() < 2) {
            Some(arm) if self.rounds() >= 2 => Err(format!(
                "it was read near enough to the peak in {} of {} rounds only, see arm {}; \
                 `plimsoll mark` at the peak has it read there",
                arm.values.len(),
                self.rounds(),
                arm.name
            )),
            _ => Ok(arms),
        }
    }

    fn rounds(&self) -> usize {
        let rounds = self.arms.iter().map(|arm| arm.trials.len() / self.sizes);
        rounds.min().unwrap_or(0)
    }

    /// What one item more costs in each round: the slope of peak RSS by least squares.
    fn slopes(&self, axis: &Axis) -> Vec<Arm> {
        let slope = |round: &[Trial]| {
            let count = axis.values.len() as f64;
            let x_mean = axis.values.iter().sum::<f64>() / count;
            let peaks = || round.iter().map(|trial| trial.rss_peak.0 as f64);
            let y_mean = peaks().sum::<f64>() / count;
            let (mut products, mut squares) = (0.0, 0.0);
            for (x, y) in axis.values.iter().zip(peaks()) {
                products += (x - x_mean) * (y - y_mean);
                squares += (x - x_mean) * (x - x_mean);
            }
            products / squares
        };
        let arms = self.arms.iter().map(|arm| Arm {
            name: arm.name.clone(),
            values: arm.trials.chunks_exact(self.sizes).map(slope).collect(),
        });
        arms.collect()
    }
}

fn stage_labels(arms: &[ArmRecord]) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    let stages = arms.iter().flat_map(|arm| &arm.trials);
    for stage in stages.flat_map(|trial| &trial.stages) {
        if !labels.contains(&stage.label) {
            labels.push(stage.label.clone());
        }
    }
    labels
}

/// Of each of the largest owners, the largest change between first and last arm first.
fn owner_receipts(table: &Table<'_>, options: &ComparisonOptions) -> Vec<MeasuredReceipt> {
    let trials = table.arms.iter().flat_map(|arm| &arm.trials);
    let mut receipts: Vec<MeasuredReceipt> = largest_owners(trials)
        .into_iter()
        .map(Measure::Owner)
        .filter_map(|measure| {
            let values = table.values(|trial| measure.of(trial)).ok()?;
            Some(MeasuredReceipt {
                receipt: receipt(&values, options),
                measure,
            })
        })
        .collect();
    receipts.sort_by(|one, other| change(other).total_cmp(&change(one)));
    receipts
}

fn change(receipt: &MeasuredReceipt) -> f64 {
    let last: Option<&Step> = receipt.receipt.steps.last();
    let difference = last.and_then(|step| step.to_first?.difference);
    difference.map_or(0.0, |difference| difference.value.abs())
}

#[cfg(test)]
mod tests {
    use plimsoll_model::{Claim, Seen};

    use super::*;
    use crate::report::made::trial;

    fn arm(name: &str, trials: Vec<Trial>) -> ArmRecord {
        ArmRecord {
            name: name.to_owned(),
            command: Vec::new(),
            environment: Vec::new(),
            recordings: Vec::new(),
            trials,
            failed: 0,
        }
    }

    fn with_pss(rss: f64, pss: f64, share: f64) -> Trial {
        Trial {
            pss_peak: Some(Seen {
                bytes: Bytes(pss as u64),
                share,
            }),
            ..trial(rss)
        }
    }

    fn claim(report: &CompareReport, measure: &Measure) -> Option<Claim> {
        let mut receipts = report.receipts.iter();
        let found = receipts.find(|receipt| receipt.measure == *measure)?;
        Some(found.receipt.steps.last()?.to_first?.claim)
    }

    #[test]
    fn a_saving_of_rss_is_not_one_of_pss() {
        let jitter = [0.0, 40_960.0, 8192.0, 24_576.0, 16_384.0];
        let base = jitter.map(|j| with_pss(400e6 + j, 153e6 + j, 1.0));
        let fewer = jitter.map(|j| with_pss(139e6 + j, 153e6 + j, 0.99));
        let measured = Measured {
            arms: vec![arm("four", base.to_vec()), arm("two", fewer.to_vec())],
            rounds: Some(5),
            gaps: Vec::new(),
        };
        let options = CompareOptions {
            confidence: 0.95,
            axis: None,
        };
        let report = judge(measured, &options);
        assert_eq!(claim(&report, &Measure::RssPeak), Some(Claim::Saved));
        assert_eq!(
            claim(&report, &Measure::PssPeak),
            Some(Claim::Indistinguishable)
        );
    }

    #[test]
    fn what_was_not_seen_is_a_gap_and_no_figure() {
        let base = vec![with_pss(4e8, 1e8, 1.0), with_pss(4e8, 1e8, 1.0)];
        let other = vec![with_pss(4e8, 1e8, 0.5), with_pss(4e8, 1e8, 1.0)];
        let measured = Measured {
            arms: vec![arm("a", base), arm("b", other)],
            rounds: Some(2),
            gaps: Vec::new(),
        };
        let options = CompareOptions {
            confidence: 0.95,
            axis: None,
        };
        let report = judge(measured, &options);
        assert_eq!(claim(&report, &Measure::PssPeak), None);
        let gap = report
            .gaps
            .iter()
            .find(|gap| gap.what == "peak PSS")
            .unwrap();
        assert!(gap.detail.contains("1 of 2 rounds"), "{}", gap.detail);
    }

    #[test]
    fn the_marginal_cost_is_a_slope_in_each_round() {
        let axis = Axis {
            name: "n".to_owned(),
            values: vec![1000.0, 2000.0, 4000.0],
        };
        let rounds = |per_item: f64| -> Vec<Trial> {
            (0..4)
                .flat_map(|round| {
                    let start = 50e6 + f64::from(round) * 4096.0;
                    axis.values
                        .clone()
                        .into_iter()
                        .map(move |n| trial(start + per_item * n))
                })
                .collect()
        };
        let measured = Measured {
            arms: vec![arm("old", rounds(1024.0)), arm("new", rounds(512.0))],
            rounds: Some(4),
            gaps: Vec::new(),
        };
        let options = CompareOptions {
            confidence: 0.95,
            axis: Some(axis),
        };
        let report = judge(measured, &options);
        let marginal = Measure::Marginal("n".to_owned());
        let receipt = report
            .receipts
            .iter()
            .find(|receipt| receipt.measure == marginal)
            .unwrap();
        let values: Vec<f64> = receipt
            .receipt
            .steps
            .iter()
            .map(|step| step.value.unwrap().value.round())
            .collect();
        assert_eq!(values, [1024.0, 512.0]);
        // A slope is told far more finely than a page.
        assert_eq!(claim(&report, &marginal), Some(Claim::Saved));
    }
}
