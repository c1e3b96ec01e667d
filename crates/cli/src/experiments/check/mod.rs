//! `plimsoll check`: the verdicts of the other verbs as a gate, rule by rule.

mod baseline;
mod fault;
mod file;
mod judge;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use plimsoll_model::{CheckReport, CheckResult, Trial, Verdict};
use plimsoll_render::{CheckFormat, render_check};
use plimsoll_runner::Launch;

use super::campaign::{Campaign, Ran};
use super::{FAILED, INCONCLUSIVE};
use crate::arguments::Check;
use crate::output::{self, Stream};
use baseline::Baseline;
use fault::Fault;
use file::{CheckRules, Rules, needs_one_size};
use judge::Finding;

pub(crate) fn check(arguments: &Check) -> anyhow::Result<ExitCode> {
    let rules = file::read(&arguments.file)?;
    let folder = arguments.file.parent().unwrap_or_else(|| "".as_ref());
    let mut gate = Gate {
        arguments,
        baseline: Baseline::read(&folder.join(&rules.baseline))?,
        rules: &rules,
        results: Vec::new(),
        interrupted: false,
    };
    let wanted = |check: &&CheckRules| {
        let only = arguments.only.as_ref();
        only.is_none_or(|text| check.name.contains(text.as_str()))
    };
    let chosen: Vec<&CheckRules> = rules.checks.iter().filter(wanted).collect();
    if chosen.is_empty() {
        bail!("check: no check has {:?} in its name", arguments.only);
    }
    for check in chosen {
        if !gate.interrupted {
            gate.run(check)
                .with_context(|| format!("check {:?}", check.name))?;
        }
    }
    if arguments.update_baseline && !gate.interrupted {
        gate.baseline.write()?;
    }
    let report = CheckReport {
        file: arguments.file.display().to_string(),
        self_test: arguments.self_test,
        results: gate.results,
    };
    let text = output::text_options(&arguments.output, Stream::Stdout);
    if let Some(path) = &arguments.junit {
        let format = CheckFormat::Junit;
        output::to_file(path, |w| render_check(&report, format, &text, w))?;
    }
    let format = CheckFormat::Shared(arguments.output.format);
    output::to_stdout(|w| render_check(&report, format, &text, w))?;
    Ok(match report.verdict() {
        _ if gate.interrupted => ExitCode::from(INCONCLUSIVE),
        Verdict::Holds => ExitCode::SUCCESS,
        Verdict::Fails => ExitCode::from(FAILED),
        Verdict::Inconclusive => ExitCode::from(INCONCLUSIVE),
    })
}

/// The checks so far.
struct Gate<'a> {
    arguments: &'a Check,
    rules: &'a Rules,
    baseline: Baseline,
    results: Vec<CheckResult>,
    interrupted: bool,
}

impl Gate<'_> {
    fn run(&mut self, check: &CheckRules) -> anyhow::Result<()> {
        if self.arguments.self_test {
            return self.self_test(check);
        }
        if needs_one_size(check) {
            let began = Instant::now();
            let trials = self.trials(check, check.n, self.repeat(check), None)?;
            if self.interrupted {
                return Ok(());
            }
            let confidence = self.arguments.trials.confidence;
            for finding in judge::limits(check, &trials, confidence) {
                self.tell(check, finding, began.elapsed());
            }
            if let Some(rule) = &check.regression {
                let history = self.baseline.history(&check.name);
                let finding = judge::regression(rule, history, &trials, confidence);
                self.tell(check, finding, began.elapsed());
            }
            if self.arguments.update_baseline && check.regression.is_some() {
                self.baseline.add(&check.name, judge::entry(&trials));
            }
        }
        if check.scale.is_some() {
            self.run_scale(check, None)?;
        }
        if check.leak.is_some() && !self.interrupted {
            self.run_leak(check, None)?;
        }
        Ok(())
    }

    /// Each rule against a fault that must make it fail; it holds if the rule does fail.
    fn self_test(&mut self, check: &CheckRules) -> anyhow::Result<()> {
        for (single, fault) in fault::single_rules(check, &self.baseline) {
            if self.interrupted {
                return Ok(());
            }
            let fault = match fault {
                Ok(fault) => fault,
                Err((rule, found)) => {
                    let verdict = Verdict::Inconclusive;
                    let finding = Finding {
                        rule,
                        verdict,
                        found,
                    };
                    self.tell(check, finding, Duration::ZERO);
                    continue;
                }
            };
            let before = self.results.len();
            if needs_one_size(&single) {
                let began = Instant::now();
                let trials = self.trials(&single, single.n, self.repeat(&single), Some(&fault))?;
                if self.interrupted {
                    return Ok(());
                }
                let confidence = self.arguments.trials.confidence;
                for finding in judge::limits(&single, &trials, confidence) {
                    self.tell(check, finding, began.elapsed());
                }
                if let Some(rule) = &single.regression {
                    let history = self.baseline.history(&check.name);
                    let finding = judge::regression(rule, history, &trials, confidence);
                    self.tell(check, finding, began.elapsed());
                }
            }
            if single.scale.is_some() {
                self.run_scale(&single, Some(&fault))?;
            }
            if single.leak.is_some() && !self.interrupted {
                self.run_leak(&single, Some(&fault))?;
            }
            for result in &mut self.results[before..] {
                turn_round(result, &fault);
            }
        }
        Ok(())
    }

    fn run_scale(&mut self, check: &CheckRules, fault: Option<&Fault>) -> anyhow::Result<()> {
        let Some(rule) = &check.scale else {
            return Ok(());
        };
        let began = Instant::now();
        let mut points = Vec::new();
        for n in &rule.n {
            let trials = self.trials(check, Some(*n), self.repeat(check), fault)?;
            if self.interrupted {
                return Ok(());
            }
            points.push((*n, trials));
        }
        let confidence = self.arguments.trials.confidence;
        for finding in judge::scale(rule, &points, confidence, self.arguments.trials.seed) {
            self.tell(check, finding, began.elapsed());
        }
        Ok(())
    }

    fn run_leak(&mut self, check: &CheckRules, fault: Option<&Fault>) -> anyhow::Result<()> {
        let Some(rule) = &check.leak else {
            return Ok(());
        };
        let began = Instant::now();
        let words = words_of(check, Some(u64::from(rule.iterations)).or(check.n), fault)?;
        let finding = judge::leak(rule, &words, &environment_of(check), &self.arguments.trials)?;
        match finding {
            Some(finding) => self.tell(check, finding, began.elapsed()),
            None => self.interrupted = true,
        }
        Ok(())
    }

    /// All of them must succeed: a program that fails is not measured by those runs that did not.
    fn trials(
        &mut self,
        check: &CheckRules,
        n: Option<u64>,
        repeat: usize,
        fault: Option<&Fault>,
    ) -> anyhow::Result<Vec<Trial>> {
        let mut campaign = Campaign::start(&self.arguments.trials, repeat)?;
        let mut trials = Vec::new();
        for _ in 0..repeat {
            let launch = Launch {
                environment: environment_of(check),
                ..Launch::new(words_of(check, n, fault)?)
            };
            match campaign.trial(launch, &check.name)? {
                Ran::Succeeded(trial) => trials.push(*trial),
                Ran::Failed => break,
                Ran::Interrupted => {
                    self.interrupted = true;
                    break;
                }
            }
        }
        if let Some(failure) = campaign.first_failure() {
            bail!("the command failed: {failure}");
        }
        campaign.finish();
        Ok(trials)
    }

    fn repeat(&self, check: &CheckRules) -> usize {
        usize::from(check.repeat.unwrap_or(self.rules.repeat))
    }

    fn tell(&mut self, check: &CheckRules, finding: Finding, length: Duration) {
        self.results.push(CheckResult {
            check: check.name.clone(),
            rule: finding.rule,
            verdict: finding.verdict,
            found: finding.found,
            length,
        });
    }
}

/// What a rule says under a fault, as what the self-test says of the rule.
fn turn_round(result: &mut CheckResult, fault: &Fault) {
    let (verdict, words) = match result.verdict {
        Verdict::Fails => (Verdict::Holds, "it bites"),
        Verdict::Holds => (Verdict::Fails, "IT DOES NOT BITE"),
        Verdict::Inconclusive => (Verdict::Inconclusive, "it may not bite"),
    };
    result.verdict = verdict;
    result.found = format!("{words} on {fault}: {}", result.found);
}

fn environment_of(check: &CheckRules) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    let variables = check.environment.iter();
    variables
        .map(|(key, value)| (key.into(), value.into()))
        .collect()
}

/// The command at a size, with `{i}` and `{n}` filled in, inside the fault if there is one.
fn words_of(
    check: &CheckRules,
    n: Option<u64>,
    fault: Option<&Fault>,
) -> anyhow::Result<Vec<std::ffi::OsString>> {
    let size = n.map(|n| n.to_string()).unwrap_or_default();
    let fill = |word: &String| word.replace("{n}", &size).replace("{i}", &size);
    let words = check.command.iter().map(|word| fill(word).into()).collect();
    match fault {
        Some(fault) => fault.around(words, n),
        None => Ok(words),
    }
}
