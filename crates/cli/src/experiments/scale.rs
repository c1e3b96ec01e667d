//! `plimsoll scale`: a fresh process for each size and repeat, then the law that the peaks follow.

use std::process::ExitCode;

use anyhow::bail;
use plimsoll_analysis::law::{LawOptions, check_target};
use plimsoll_analysis::{plan, report};
use plimsoll_model::{Axis, Cell, Measure, ScaleReport, Size, TargetResult, Verdict};
use plimsoll_runner::Launch;

use super::campaign::{Campaign, Ran};
use super::sizes::{Place, size_text};
use super::template::Template;
use super::{FAILED, INCONCLUSIVE};
use crate::arguments::Scale;
use crate::output::{self, Stream};

/// More trials than anybody waits for: a typing error in a grid of several axes.
const CELLS_MAX: usize = 10_000;

pub(crate) fn scale(arguments: &Scale) -> anyhow::Result<ExitCode> {
    let template = Template::new(&arguments.command);
    let axes: Vec<Axis> = arguments.vary.iter().map(|vary| vary.0.clone()).collect();
    let mut cells = grid(&axes)?;
    for axis in &axes {
        template.require(&axis.name)?;
    }
    for target in &arguments.target {
        add_cell(&mut cells, &place_on(&axes, &target.place)?);
    }
    for place in &arguments.predict {
        place_on(&axes, place)?;
    }
    let order = plan::randomised(cells.len(), arguments.repeat.into(), arguments.trials.seed);
    let mut campaign = Campaign::start(&arguments.trials, order.len())?;
    for index in order {
        let cell = &mut cells[index];
        let name = words_of(&cell.sizes);
        let command = fill(&template, &cell.sizes);
        match campaign.trial(Launch::new(command.clone()), &name)? {
            Ran::Succeeded(mut trial) => {
                for owner in &mut trial.at_peak {
                    owner.name = template.unfilled(&command, &owner.name);
                }
                cell.trials.push(*trial);
            }
            Ran::Failed => cell.failed += 1,
            Ran::Interrupted => break,
        }
    }
    if cells.iter().all(|cell| cell.trials.is_empty()) {
        match campaign.first_failure() {
            Some(failure) => bail!("scale: every trial failed; the first, {failure}"),
            None => bail!("scale: interrupted before the first trial ended"),
        }
    }
    let report = judge(arguments, axes, cells, campaign);
    let options = output::text_options(&arguments.output, Stream::Stdout);
    let format = arguments.output.format;
    output::to_stdout(|w| plimsoll_render::render_scale(&report, format, &options, w))?;
    Ok(exit_code(&report))
}

fn judge(arguments: &Scale, axes: Vec<Axis>, cells: Vec<Cell>, campaign: Campaign) -> ScaleReport {
    let confidence = arguments.trials.confidence;
    let predicted = arguments.predict.iter().flat_map(|place| &place.0);
    let options = LawOptions {
        confidence,
        seed: arguments.trials.seed,
        budget: arguments.budget,
        predict_at: predicted.map(|size| size.value).collect(),
        ..LawOptions::default()
    };
    let targets = arguments.target.iter().map(|target| {
        let at_target = |cell: &&Cell| same_place(&cell.sizes, &target.place.0);
        let cell = cells.iter().find(at_target);
        let trials = cell.map_or(&[][..], |cell| &cell.trials);
        let peaks: Vec<f64> = trials
            .iter()
            .filter_map(|trial| Measure::RssPeak.of(trial))
            .collect();
        TargetResult {
            sizes: target.place.0.clone(),
            check: check_target(&peaks, target.limit, confidence),
        }
    });
    ScaleReport {
        command: Template::new(&arguments.command).text(),
        repeat: arguments.repeat.into(),
        seed: arguments.trials.seed,
        confidence,
        budget: arguments.budget,
        laws: report::scale::laws(&axes, &cells, &options),
        targets: targets.collect(),
        gaps: campaign.finish(),
        axes,
        cells,
    }
}

/// A claim that fails is a failure; a claim or a law that stays open is not a success.
fn exit_code(report: &ScaleReport) -> ExitCode {
    let verdicts: Vec<Verdict> = report
        .targets
        .iter()
        .map(|target| target.check.verdict)
        .collect();
    let no_law = report
        .laws
        .iter()
        .filter(|law| law.measure == Measure::RssPeak)
        .all(|law| law.law.is_none());
    if verdicts.contains(&Verdict::Fails) {
        ExitCode::from(FAILED)
    } else if verdicts.contains(&Verdict::Inconclusive) || (verdicts.is_empty() && no_law) {
        ExitCode::from(INCONCLUSIVE)
    } else {
        ExitCode::SUCCESS
    }
}

/// Every combination of the sizes.
fn grid(axes: &[Axis]) -> anyhow::Result<Vec<Cell>> {
    let mut places: Vec<Vec<Size>> = vec![Vec::new()];
    for (index, axis) in axes.iter().enumerate() {
        if axes[..index].iter().any(|other| other.name == axis.name) {
            bail!(
                "vary {}: it is given twice; put its sizes in one list",
                axis.name
            );
        }
        if places.len().saturating_mul(axis.values.len()) > CELLS_MAX {
            bail!(
                "vary {}: more than {CELLS_MAX} combinations of sizes",
                axis.name
            );
        }
        let longer = places.iter().flat_map(|place| {
            axis.values.iter().map(|value| {
                let mut place = place.clone();
                place.push(Size {
                    axis: axis.name.clone(),
                    value: *value,
                });
                place
            })
        });
        places = longer.collect();
    }
    let cell = |sizes| Cell {
        sizes,
        trials: Vec::new(),
        failed: 0,
    };
    Ok(places.into_iter().map(cell).collect())
}

/// The sizes of a place in the order of the axes; an axis that is missing or unknown is an error.
fn place_on(axes: &[Axis], place: &Place) -> anyhow::Result<Vec<Size>> {
    let names: Vec<&str> = axes.iter().map(|axis| axis.name.as_str()).collect();
    if let Some(size) = place
        .0
        .iter()
        .find(|size| !names.contains(&size.axis.as_str()))
    {
        bail!(
            "{}: no such axis; --vary names {}",
            size.axis,
            names.join(", ")
        );
    }
    let find = |name: &&str| place.0.iter().find(|size| size.axis == **name).cloned();
    let sizes: Vec<Size> = names.iter().filter_map(find).collect();
    if sizes.len() < names.len() {
        bail!(
            "{}: give a value for each of {}",
            words_of(&place.0),
            names.join(", ")
        );
    }
    Ok(sizes)
}

fn add_cell(cells: &mut Vec<Cell>, sizes: &[Size]) {
    if !cells.iter().any(|cell| same_place(&cell.sizes, sizes)) {
        cells.push(Cell {
            sizes: sizes.to_vec(),
            trials: Vec::new(),
            failed: 0,
        });
    }
}

fn same_place(one: &[Size], other: &[Size]) -> bool {
    one.len() == other.len() && one.iter().all(|size| other.contains(size))
}

fn fill(template: &Template<'_>, sizes: &[Size]) -> Vec<std::ffi::OsString> {
    let texts: Vec<String> = sizes.iter().map(|size| size_text(size.value)).collect();
    let names = sizes.iter().map(|size| size.axis.as_str());
    let values: Vec<(&str, &str)> = names.zip(texts.iter().map(String::as_str)).collect();
    template.fill(&values)
}

/// "n=1000, p=10".
fn words_of(sizes: &[Size]) -> String {
    let words: Vec<String> = sizes
        .iter()
        .map(|size| format!("{}={}", size.axis, size_text(size.value)))
        .collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(name: &str, values: &[f64]) -> Axis {
        Axis {
            name: name.to_owned(),
            values: values.to_vec(),
        }
    }

    #[test]
    fn a_grid_has_every_combination() {
        let axes = [axis("n", &[1.0, 2.0]), axis("p", &[3.0, 4.0, 5.0])];
        let cells = grid(&axes).unwrap();
        let words: Vec<String> = cells.iter().map(|cell| words_of(&cell.sizes)).collect();
        assert_eq!(words[0], "n=1, p=3");
        assert_eq!(words[5], "n=2, p=5");
        assert_eq!(words.len(), 6);
        assert!(grid(&[axis("n", &[1.0]), axis("n", &[2.0])]).is_err());
        let many: Vec<f64> = (1..=101).map(f64::from).collect();
        assert!(grid(&[axis("n", &many), axis("p", &many)]).is_err());
    }

    #[test]
    fn a_place_names_every_axis() {
        let axes = [axis("n", &[1.0]), axis("p", &[3.0])];
        let check = |text: &str, expected: Result<&str, &str>| {
            let found = place_on(&axes, &text.parse().unwrap()).map(|sizes| words_of(&sizes));
            match expected {
                Ok(expected) => assert_eq!(found.unwrap(), expected),
                Err(expected) => {
                    let error = found.unwrap_err().to_string();
                    assert!(error.contains(expected), "{error}");
                }
            }
        };
        check("p=7,n=9", Ok("n=9, p=7"));
        check("n=9", Err("give a value for each of n, p"));
        check("n=9,q=1", Err("no such axis"));
    }
}
