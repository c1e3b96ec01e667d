//! A comparison as all formats show it: the verdict, how it was measured, and what must be said
//! beside the figures: a fall of RSS that is none of PSS, failures, exit codes that differ.

use std::collections::BTreeSet;

use plimsoll_model::{ArmRecord, Claim, CompareReport, Difference, Measure, MeasuredReceipt, Step};

use crate::words::amount::bytes;
use crate::words::claim::{Repeats, Told, magnitude};
use crate::words::number::{confidence, count};

/// A fall of PSS under this share of that of RSS: most of what went away was counted again.
const PSS_SHARE_MIN: f64 = 0.5;

/// Under this share, all of it.
const PSS_SHARE_NONE: f64 = 0.1;

pub(crate) fn repeats(report: &CompareReport) -> Repeats {
    report.rounds.map_or(Repeats::Recordings, Repeats::Rounds)
}

pub(crate) fn receipt<'a>(
    report: &'a CompareReport,
    measure: &Measure,
) -> Option<&'a MeasuredReceipt> {
    report
        .receipts
        .iter()
        .find(|found| found.measure == *measure)
}

/// The first measure over all steps.
pub(crate) fn verdict(report: &CompareReport) -> String {
    let Some(main) = report.receipts.first() else {
        return "nothing was compared.".to_owned();
    };
    let (Some(first), Some(last)) = (main.receipt.steps.first(), main.receipt.steps.last()) else {
        return "nothing was compared.".to_owned();
    };
    let measure = &main.measure;
    let Some(total) = &last.to_first else {
        return format!(
            "{measure}: {} alone, nothing to compare it with.",
            first.name
        );
    };
    let between = format!("from {} to {}", first.name, last.name);
    match Told::of(total, repeats(report)) {
        Told::Change(change) => {
            let verb = if total.claim == Claim::Saved {
                "falls"
            } else {
                "grows"
            };
            format!("{measure} {verb} {between}: {change}.")
        }
        Told::Nothing(why) => format!("{measure} {between}: {why}."),
    }
}

/// How the arms were measured.
pub(crate) fn method(report: &CompareReport) -> String {
    let confidence = confidence(report.confidence);
    let arms = count(report.arms.len() as u64, "arm", "arms");
    match report.rounds {
        Some(rounds) => format!(
            "{} of {arms}, interleaved: in each round every arm runs once, the order turned round \
             from one to the next, each run in a fresh process; [intervals] of {confidence}",
            count(rounds as u64, "round", "rounds")
        ),
        None => format!(
            "{arms} of recordings, made at other times and not interleaved: what else changed \
             between them counts as a difference; [intervals] of {confidence}"
        ),
    }
}

/// What must be said beside the figures.
pub(crate) fn notes(report: &CompareReport) -> Vec<String> {
    let mut notes = counted_again(report);
    notes.extend(failures(report));
    notes.extend(exit_codes(report));
    notes
}

/// RSS savings, step by step and in all, that are no savings of PSS.
fn counted_again(report: &CompareReport) -> Vec<String> {
    let (Some(rss), Some(pss)) = (
        receipt(report, &Measure::RssPeak),
        receipt(report, &Measure::PssPeak),
    ) else {
        return Vec::new();
    };
    let mut notes = Vec::new();
    let pairs = || rss.receipt.steps.iter().zip(&pss.receipt.steps);
    for (rss, pss) in pairs() {
        if let (Some(by_rss), Some(by_pss)) = (&rss.to_previous, &pss.to_previous) {
            let words = fell_apart(by_rss, by_pss);
            notes.extend(words.map(|words| format!("{}: {words}", rss.name)));
        }
    }
    // Of two arms the step is the whole.
    if let Some((rss, pss)) = pairs().next_back().filter(|_| pairs().count() > 2)
        && let (Some(by_rss), Some(by_pss)) = (&rss.to_first, &pss.to_first)
    {
        notes.extend(fell_apart(by_rss, by_pss).map(|words| format!("in all: {words}")));
    }
    notes
}

/// "RSS fell by 261 MiB but PSS by 2.8 MiB: …"; `None` where both fell alike, or RSS did not fall.
fn fell_apart(rss: &Difference, pss: &Difference) -> Option<String> {
    if rss.claim != Claim::Saved {
        return None;
    }
    let fall = magnitude(rss)?.value;
    let start = format!("RSS fell by {} but", bytes(fall));
    let Some(other) = magnitude(pss) else {
        return Some(format!(
            "RSS fell by {}, PSS was not seen: whether memory was saved is not known",
            bytes(fall)
        ));
    };
    let again = "what went away was the same pages counted again, not memory";
    match pss.claim {
        Claim::Grew => Some(format!(
            "{start} PSS grew by {}: {again}",
            bytes(other.value)
        )),
        Claim::Saved if other.value < fall * PSS_SHARE_NONE => {
            Some(format!("{start} PSS by {}: {again}", bytes(other.value)))
        }
        Claim::Saved if other.value < fall * PSS_SHARE_MIN => Some(format!(
            "{start} PSS by {}: most of what went away was the same pages counted again",
            bytes(other.value)
        )),
        Claim::Saved => None,
        Claim::Indistinguishable => Some(match pss.noise {
            Some(noise) if noise < fall * PSS_SHARE_MIN => format!(
                "{start} PSS by nothing beyond the noise of {}: {again}",
                bytes(noise)
            ),
            _ => format!("{start} no fall of PSS can be told: whether memory was saved is open"),
        }),
    }
}

fn failures(report: &CompareReport) -> Option<String> {
    let failed: Vec<String> = report
        .arms
        .iter()
        .filter(|arm| arm.failed > 0)
        .map(|arm| {
            let all = arm.trials.len() + arm.failed;
            format!("{} of {all} of {}", arm.failed, arm.name)
        })
        .collect();
    (!failed.is_empty())
        .then(|| format!("trials that failed are in no figure: {}", failed.join("; ")))
}

/// Arms that end differently may not have done the same work.
fn exit_codes(report: &CompareReport) -> Option<String> {
    let codes = |arm: &ArmRecord| -> BTreeSet<String> {
        let ends = arm.trials.iter();
        ends.map(|trial| match (trial.exit_code, trial.exit_signal) {
            (Some(code), _) => code.to_string(),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "not seen".to_owned(),
        })
        .collect()
    };
    let all: Vec<(&ArmRecord, BTreeSet<String>)> = report
        .arms
        .iter()
        .map(|arm| (arm, codes(arm)))
        .filter(|(_, codes)| !codes.is_empty())
        .collect();
    let alike = all.windows(2).all(|pair| pair[0].1 == pair[1].1);
    (!alike).then(|| {
        let words: Vec<String> = all
            .iter()
            .map(|(arm, codes)| {
                let codes: Vec<&str> = codes.iter().map(String::as_str).collect();
                format!("{} {}", arm.name, codes.join(" and "))
            })
            .collect();
        format!(
            "exit codes differ between arms ({}): they may not have done the same work",
            words.join("; ")
        )
    })
}

/// Receipts of one kind, by whether the last arm differs from the first beyond the noise.
pub(crate) struct Changes<'a> {
    /// Those that do, the largest change first.
    pub(crate) changed: Vec<&'a MeasuredReceipt>,
    /// How many do not.
    pub(crate) unchanged: usize,
}

impl<'a> Changes<'a> {
    pub(crate) fn of_owners(report: &'a CompareReport) -> Changes<'a> {
        Changes::of(report.owners.iter())
    }

    /// A run may have hundreds of stages: only those that changed are worth a place.
    pub(crate) fn of_stages(report: &'a CompareReport) -> Changes<'a> {
        Changes::of(report.receipts.iter().filter(|found| is_stage(found)))
    }

    fn of(all: impl Iterator<Item = &'a MeasuredReceipt>) -> Changes<'a> {
        let mut changed = Vec::new();
        let mut unchanged = 0;
        for measured in all {
            match change_in_all(measured) {
                Some(change) => changed.push((change.abs(), measured)),
                None => unchanged += 1,
            }
        }
        changed.sort_by(|a, b| b.0.total_cmp(&a.0));
        Changes {
            changed: changed.into_iter().map(|(_, measured)| measured).collect(),
            unchanged,
        }
    }

    pub(crate) fn are_none(&self) -> bool {
        self.changed.is_empty() && self.unchanged == 0
    }
}

/// Bytes from the first arm to the last; `None` where that is not beyond the noise.
fn change_in_all(measured: &MeasuredReceipt) -> Option<f64> {
    let total = measured.receipt.steps.last()?.to_first.as_ref()?;
    (total.claim != Claim::Indistinguishable).then_some(total.difference?.value)
}

/// What is told of the whole run, not of a stage of it.
pub(crate) fn of_whole_runs(report: &CompareReport) -> impl Iterator<Item = &MeasuredReceipt> {
    report.receipts.iter().filter(|found| !is_stage(found))
}

fn is_stage(measured: &MeasuredReceipt) -> bool {
    matches!(measured.measure, Measure::Stage(_))
}

/// What was run of an arm: its environment and command, or its recordings.
pub(crate) fn arm_words(arm: &ArmRecord) -> String {
    if arm.recordings.is_empty() {
        let words = arm.environment.iter().chain(&arm.command);
        words.cloned().collect::<Vec<String>>().join(" ")
    } else {
        arm.recordings.join(" ")
    }
}

/// The mean of a step; below two repeats, which give no interval, what the trials show.
pub(crate) fn value_of(
    report: &CompareReport,
    measure: &Measure,
    place: usize,
    step: &Step,
) -> Option<f64> {
    if let Some(value) = step.value {
        return Some(value.value);
    }
    let arm = report.arms.get(place)?;
    let seen: Vec<f64> = arm
        .trials
        .iter()
        .filter_map(|trial| measure.of(trial))
        .collect();
    (!seen.is_empty()).then(|| seen.iter().sum::<f64>() / seen.len() as f64)
}
