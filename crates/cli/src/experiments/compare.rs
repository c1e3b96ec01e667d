//! `plimsoll compare`: every arm in a fresh process in every round, then the receipt.

use std::process::ExitCode;

use anyhow::bail;
use plimsoll_analysis::{plan, report};
use plimsoll_model::{ArmRecord, Gap, GapReason, Trial};
use plimsoll_runner::Launch;

use super::arms::{ArmArguments, parse_arms};
use super::campaign::{Campaign, Ran};
use super::recorded_trial::read_trial;
use super::sizes::size_text;
use super::template::Template;
use crate::arguments::Compare;
use crate::output::{self, Stream};

pub(crate) fn compare(arguments: &Compare) -> anyhow::Result<ExitCode> {
    let arms = parse_arms(&arguments.arms)?;
    let recorded = arms.iter().filter(|arm| !arm.recordings.is_empty()).count();
    if recorded > 0 && recorded < arms.len() {
        bail!("compare: some arms are recordings and some are commands; they can't be interleaved");
    }
    let measured = if recorded > 0 {
        read_arms(&arms)?
    } else {
        run_arms(arguments, &arms)?
    };
    let options = report::compare::CompareOptions {
        confidence: arguments.trials.confidence,
        axis: arguments.vary.as_ref().map(|vary| vary.0.clone()),
    };
    let report = report::compare::judge(measured, &options);
    let text = output::text_options(&arguments.output, Stream::Stdout);
    let format = arguments.output.format;
    output::to_stdout(|w| plimsoll_render::render_compare(&report, format, &text, w))?;
    Ok(ExitCode::SUCCESS)
}

/// Rounds in which all arms succeeded count; what an arm did in another round has no counterpart.
fn run_arms(
    arguments: &Compare,
    arms: &[ArmArguments],
) -> anyhow::Result<report::compare::Measured> {
    let sizes: Vec<Option<f64>> = match &arguments.vary {
        Some(vary) => vary.0.values.iter().copied().map(Some).collect(),
        None => vec![None],
    };
    if let Some(vary) = &arguments.vary {
        for arm in arms {
            Template::new(&arm.command).require(&vary.0.name)?;
        }
    }
    let rounds = usize::from(arguments.repeat);
    let axis = arguments.vary.as_ref().map(|vary| vary.0.name.as_str());
    let mut campaign = Campaign::start(&arguments.trials, rounds * arms.len() * sizes.len())?;
    let mut records: Vec<ArmRecord> = arms.iter().map(record_of).collect();
    let order = plan::interleaved(arms.len(), rounds);
    let mut complete = 0;
    'rounds: for round in order.chunks(arms.len()) {
        let mut trials: Vec<Vec<Trial>> = vec![Vec::new(); arms.len()];
        for index in round {
            for size in &sizes {
                let launch = launch_of(&arms[*index], axis.zip(*size));
                match campaign.trial(launch, &arms[*index].name)? {
                    Ran::Succeeded(trial) => trials[*index].push(*trial),
                    Ran::Failed => records[*index].failed += 1,
                    Ran::Interrupted => break 'rounds,
                }
            }
        }
        if trials.iter().all(|trials| trials.len() == sizes.len()) {
            complete += 1;
            for (record, trials) in records.iter_mut().zip(trials) {
                record.trials.extend(trials);
            }
        }
    }
    if complete == 0 {
        match campaign.first_failure() {
            Some(failure) => bail!("compare: no round succeeded; the first failure, {failure}"),
            None => bail!("compare: interrupted before the first round ended"),
        }
    }
    let mut gaps = campaign.finish();
    if records.iter().any(|record| record.failed > 0) {
        let detail = "a round counts only when every arm succeeded in it";
        gaps.push(Gap::new("rounds", GapReason::Bounded, detail));
    }
    Ok(report::compare::Measured {
        arms: records,
        rounds: Some(complete),
        gaps,
    })
}

fn read_arms(arms: &[ArmArguments]) -> anyhow::Result<report::compare::Measured> {
    let mut records = Vec::new();
    for arm in arms {
        let mut record = record_of(arm);
        for path in &arm.recordings {
            record.trials.push(read_trial(path)?);
        }
        records.push(record);
    }
    Ok(report::compare::Measured {
        arms: records,
        rounds: None,
        gaps: Vec::new(),
    })
}

fn record_of(arm: &ArmArguments) -> ArmRecord {
    let text = |word: &std::ffi::OsString| word.to_string_lossy().into_owned();
    ArmRecord {
        name: arm.name.clone(),
        command: arm.command.iter().map(text).collect(),
        environment: arm
            .environment
            .iter()
            .map(|(key, value)| format!("{}={}", text(key), text(value)))
            .collect(),
        recordings: arm
            .recordings
            .iter()
            .map(|path| path.display().to_string())
            .collect(),
        trials: Vec::new(),
        failed: 0,
    }
}

fn launch_of(arm: &ArmArguments, size: Option<(&str, f64)>) -> Launch {
    let template = Template::new(&arm.command);
    let command = match size {
        Some((axis, size)) => template.fill(&[(axis, &size_text(size))]),
        None => template.fill(&[]),
    };
    Launch {
        environment: arm.environment.clone(),
        ..Launch::new(command)
    }
}
