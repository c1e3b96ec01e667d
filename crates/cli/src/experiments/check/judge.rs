//! From trials to the verdict on a rule, with one sentence of numbers.

use std::ffi::OsString;

use plimsoll_analysis::comparison::{DriftOptions, drift};
use plimsoll_analysis::law::{LawOptions, check_target, fit, grows_at_most};
use plimsoll_analysis::leak::LeakOptions;
use plimsoll_model::{
    Bytes, DriftDoubt, GrowthClass, Measure, SizedPeak, TargetCheck, Trial, Verdict,
};
use plimsoll_render::estimated_per;

use super::baseline::Entry;
use super::file::{CheckRules, LeakRule, RegressionRule, ScaleRule};
use crate::arguments::Trials;
use crate::experiments::leak::{self, cycles};

/// A rule and what was found of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) rule: String,
    pub(crate) verdict: Verdict,
    pub(crate) found: String,
}

/// The limits on single runs.
pub(crate) fn limits(check: &CheckRules, trials: &[Trial], confidence: f64) -> Vec<Finding> {
    let stages = check
        .stages
        .iter()
        .map(|(label, limit)| (Measure::Stage(label.clone()), Some(limit.0)));
    [
        (Measure::RssPeak, check.peak),
        (Measure::OwnPeak, check.own_peak),
        (Measure::PssPeak, check.pss_peak),
        (Measure::RssEnd, check.end),
    ]
    .into_iter()
    .chain(stages)
    .filter_map(|(measure, limit)| Some((measure, limit?)))
    .map(|(measure, limit)| limit_of(&measure, limit, trials, confidence))
    .collect()
}

fn limit_of(measure: &Measure, limit: Bytes, trials: &[Trial], confidence: f64) -> Finding {
    let rule = format!("{measure} < {limit}");
    let values: Vec<f64> = trials
        .iter()
        .filter_map(|trial| measure.of(trial))
        .collect();
    if values.len() < trials.len() {
        let found = match measure {
            Measure::Stage(label) => format!(
                "the stage {label:?} was in {} of {} runs",
                values.len(),
                trials.len()
            ),
            _ => format!(
                "it was read near enough to the peak in {} of {} runs; \
                 `plimsoll mark` at the peak has it read there",
                values.len(),
                trials.len()
            ),
        };
        return Finding {
            rule,
            verdict: Verdict::Inconclusive,
            found,
        };
    }
    let check = check_target(&values, limit, confidence);
    Finding {
        rule,
        verdict: check.verdict,
        found: target_words(&check),
    }
}

fn target_words(check: &TargetCheck) -> String {
    let mut words = format!("at most {} in {} runs", bytes(check.worst), check.runs);
    if let Some(upper) = check.upper {
        words.push_str(&format!(", the next stays below {}", bytes(upper)));
    }
    if let Some(more) = check.more_runs {
        words.push_str(&format!("; {more} runs more would settle it"));
    }
    words
}

/// The rules on growth with the size.
pub(crate) fn scale(
    rule: &ScaleRule,
    points: &[(u64, Vec<Trial>)],
    confidence: f64,
    seed: u64,
) -> Vec<Finding> {
    let peaks: Vec<SizedPeak> = points
        .iter()
        .flat_map(|(n, trials)| {
            trials.iter().map(|trial| SizedPeak {
                n: *n as f64,
                bytes: trial.rss_peak.0 as f64,
            })
        })
        .collect();
    let options = LawOptions {
        confidence,
        seed,
        ..LawOptions::default()
    };
    let law = fit(&peaks, &options);
    let mut findings = Vec::new();
    if let Some(most) = rule.at_most {
        let (verdict, found) = match &law {
            Err(why) => (Verdict::Inconclusive, why.to_string()),
            Ok(law) => {
                let names: Vec<&str> = law.classes.iter().map(|class| class.name()).collect();
                let found = format!("it grows like {}", names.join(" or "));
                (grows_at_most(law, most.0), found)
            }
        };
        findings.push(Finding {
            rule: format!("peak RSS grows at most {}", most.0),
            verdict,
            found,
        });
    }
    if let Some(limit) = rule.per_item {
        let (verdict, found) = match &law {
            Err(why) => (Verdict::Inconclusive, why.to_string()),
            Ok(law) => {
                let limit = limit.0 as f64;
                let verdict = if law.marginal.high < limit {
                    Verdict::Holds
                } else if law.marginal.low > limit {
                    Verdict::Fails
                } else {
                    Verdict::Inconclusive
                };
                (verdict, estimated_per(&law.marginal, "for each item"))
            }
        };
        findings.push(Finding {
            rule: format!("each item costs < {limit}"),
            verdict,
            found,
        });
    }
    findings
}

/// `None` when it was interrupted.
pub(crate) fn leak(
    rule: &LeakRule,
    words: &[OsString],
    environment: &[(OsString, OsString)],
    trials: &Trials,
) -> anyhow::Result<Option<Finding>> {
    let pattern = match &rule.work_from_log {
        Some(text) => Some(
            text.parse::<crate::line_pattern::LinePattern>()
                .map_err(|error| anyhow::anyhow!("leak: work_from_log: {error}"))?,
        ),
        None => None,
    };
    let asked = cycles::Asked {
        command: words.to_vec(),
        environment: environment.to_vec(),
        pattern: pattern.as_ref(),
        counts_from_log: pattern.is_some(),
        interval: trials.interval,
        quiet: trials.quiet,
    };
    let driven = cycles::run_once(&asked, rule.iterations)?;
    if driven.interrupted {
        return Ok(None);
    }
    let options = LeakOptions {
        confidence: trials.confidence,
        ignore_below: rule.ignore_below.map(|bytes| bytes.0 as f64),
        ..LeakOptions::default()
    };
    let report = leak::judge(Some("unit"), &options, driven);
    let ignored = rule
        .ignore_below
        .map_or_else(String::new, |bytes| format!(", up to {bytes} each ignored"));
    Ok(Some(Finding {
        rule: format!("no leak in {} units of work{ignored}", rule.iterations),
        verdict: match report.own.growth.class {
            GrowthClass::Growing => Verdict::Fails,
            GrowthClass::Flat | GrowthClass::Bounded => Verdict::Holds,
            GrowthClass::Inconclusive => Verdict::Inconclusive,
        },
        found: plimsoll_render::leak_verdict(&report),
    }))
}

/// Against what earlier commits measured.
pub(crate) fn regression(
    rule: &RegressionRule,
    history: &[Entry],
    trials: &[Trial],
    confidence: f64,
) -> Finding {
    let now = entry(trials);
    let mut medians: Vec<f64> = history
        .iter()
        .map(|entry| entry.rss_peak_median_bytes)
        .collect();
    medians.push(now.rss_peak_median_bytes);
    // Of one median: that of the noisier side, since a run of few repeats may be lucky.
    let noise = history
        .iter()
        .chain([&now])
        .map(|entry| entry.rss_peak_deviation / (entry.runs.max(1) as f64).sqrt())
        .fold(0.0, f64::max);
    let options = DriftOptions {
        tolerance: rule.tolerance,
        confidence,
        noise: Some(noise),
        ..DriftOptions::default()
    };
    let drift = drift(&medians, &options);
    let percent = |ratio: f64| format!("{:+.1}%", (ratio - 1.0) * 100.0);
    let found = match (drift.cumulative, drift.last_step) {
        (Some(all), Some(last)) => format!(
            "median {}: {} since the first baseline ({} to {}), {} since the last",
            bytes(now.rss_peak_median_bytes),
            percent(all.value),
            percent(all.low),
            percent(all.high),
            percent(last.value)
        ),
        _ if drift.reason == Some(DriftDoubt::TooShort) => {
            "there is no baseline yet; make one with --update-baseline".to_owned()
        }
        _ => "the baseline holds no usable figure".to_owned(),
    };
    Finding {
        rule: format!(
            "peak RSS within {:.1}% of the baseline",
            rule.tolerance * 100.0
        ),
        verdict: drift.verdict,
        found,
    }
}

/// What a baseline keeps of these runs.
pub(crate) fn entry(trials: &[Trial]) -> Entry {
    let mut peaks: Vec<f64> = trials.iter().map(|trial| trial.rss_peak.0 as f64).collect();
    peaks.sort_by(f64::total_cmp);
    let runs = peaks.len();
    let median = match runs {
        0 => 0.0,
        _ => f64::midpoint(peaks[(runs - 1) / 2], peaks[runs / 2]),
    };
    let mean = peaks.iter().sum::<f64>() / runs.max(1) as f64;
    let squares: f64 = peaks.iter().map(|peak| (peak - mean) * (peak - mean)).sum();
    let variance = squares / runs.saturating_sub(1).max(1) as f64;
    Entry {
        rss_peak_median_bytes: median,
        rss_peak_deviation: variance.sqrt() / mean.max(1.0),
        runs,
    }
}

fn bytes(value: f64) -> Bytes {
    Bytes(value.max(0.0) as u64)
}
