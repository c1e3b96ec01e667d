//! `plimsoll fit`: runs a command again and again under caps until the smallest is known under which
//! it succeeds.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use plimsoll_analysis::{FitPlan, FitSearch, FitStep};
use plimsoll_model::{Bytes, CapMechanism, FitEnd, FitFailure, FitRun, Trial};
use plimsoll_render::{printable, render_fit};
use plimsoll_runner::{
    INTERVAL_DEFAULT, INTERVAL_MAX, Interrupts, Launch, Leftovers, Options, Streams, no_breakdowns,
    run_trial,
};

use super::INCONCLUSIVE;
use crate::arguments::Fit;
use crate::output::{self, Stream};
use crate::status_line::StatusLine;

/// A run under a cap that is so many times slower is thrashing, not working.
const TIMEOUT_FACTOR: u32 = 10;
/// Below it a machine that is busy with something else would decide.
const TIMEOUT_MIN: Duration = Duration::from_secs(2);
/// The search begins this much above the peak without a cap: no two runs are charged the same.
const GUESS: (u64, u64) = (21, 20);
/// RSS says little about what RLIMIT_DATA counts: begin at twice of it.
const GUESS_BY_RSS: (u64, u64) = (2, 1);
const RESOLUTION_MIN: Bytes = Bytes::mib(1);
/// 2 %: more exact than runs of one program differ.
const RESOLUTION_SHARE: (u64, u64) = (1, 50);

pub(crate) fn fit(arguments: &Fit) -> anyhow::Result<ExitCode> {
    let to = match arguments.to {
        Some(to) => to,
        None => match plimsoll_probe::read_system_memory().0.total {
            Bytes::ZERO => {
                bail!("the machine's RAM could not be read: give the largest cap by --to")
            }
            total => total,
        },
    };
    if to < arguments.from {
        bail!("--to {to} is below --from {}", arguments.from);
    }
    let interrupts = Interrupts::catch().context("can't catch signals")?;
    let mut runner = Runner::new(arguments, &interrupts)?;
    let Some(baseline) = runner.baseline(arguments)? else {
        eprintln!("plimsoll: interrupted before a run without a cap had ended");
        return Ok(ExitCode::from(INCONCLUSIVE));
    };
    let timeout = arguments
        .timeout
        .unwrap_or_else(|| (baseline.length() * TIMEOUT_FACTOR).max(TIMEOUT_MIN));
    runner.launch.timeout = Some(timeout);
    let plan = plan(arguments, &baseline, to);
    let usual = baseline.length();
    let mut search = FitSearch::new(plan, baseline.runs);
    let end = loop {
        let cap = match search.next() {
            FitStep::Done(end) => break end,
            FitStep::Try(cap) => cap,
        };
        runner.progress(&search, cap, usual);
        match runner.run(Some(cap))? {
            Some((run, _)) => search.push(run),
            None => break FitEnd::Interrupted,
        }
    };
    runner.status.clear();
    let command = arguments
        .command
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let found = search.conclude(end, command, baseline.mechanism, baseline.refused, timeout);
    let text = output::text_options(&arguments.output, Stream::Stdout);
    output::to_stdout(|w| render_fit(&found, arguments.output.format, &text, w))?;
    Ok(match end {
        FitEnd::Found => ExitCode::SUCCESS,
        _ => ExitCode::from(INCONCLUSIVE),
    })
}

fn plan(arguments: &Fit, baseline: &Baseline, to: Bytes) -> FitPlan {
    let peaks = baseline.runs.iter().filter_map(|run| run.charge_peak);
    let guess = match peaks.max() {
        Some(peak) => peak.scaled(GUESS.0, GUESS.1),
        None => {
            let peaks = baseline.runs.iter().map(|run| run.rss_peak);
            let peak = peaks.max().unwrap_or_default();
            peak.scaled(GUESS_BY_RSS.0, GUESS_BY_RSS.1)
        }
    };
    let fine = guess.scaled(RESOLUTION_SHARE.0, RESOLUTION_SHARE.1);
    FitPlan {
        from: arguments.from,
        guess,
        to,
        repeat: arguments.repeat,
        resolution: arguments.resolution.unwrap_or(fine.max(RESOLUTION_MIN)),
    }
}

/// The runs without a cap, and what enforces the caps to come.
struct Baseline {
    runs: Vec<FitRun>,
    mechanism: CapMechanism,
    refused: Vec<String>,
}

impl Baseline {
    fn length(&self) -> Duration {
        let mut lengths: Vec<Duration> = self.runs.iter().map(|run| run.length).collect();
        lengths.sort();
        lengths.get(lengths.len() / 2).copied().unwrap_or_default()
    }
}

/// Runs the command, one run at a time.
struct Runner<'a> {
    options: Options,
    launch: Launch,
    interrupts: &'a Interrupts,
    runs: u32,
    status: StatusLine,
}

impl<'a> Runner<'a> {
    fn new(arguments: &Fit, interrupts: &'a Interrupts) -> anyhow::Result<Runner<'a>> {
        Ok(Runner {
            options: Options::new(INTERVAL_DEFAULT, INTERVAL_MAX)?,
            launch: Launch {
                streams: Streams::Silent(None),
                mechanism: arguments.mechanism.wanted(),
                timeout: arguments.timeout,
                leftovers: Leftovers::Killed,
                ..Launch::new(arguments.command.clone())
            },
            interrupts,
            runs: 0,
            status: StatusLine::new(arguments.quiet),
        })
    }

    /// `None` when a signal came: the run, if there was one, does not count.
    fn run(&mut self, cap: Option<Bytes>) -> anyhow::Result<Option<(FitRun, Trial)>> {
        if self.interrupts.signal().is_some() {
            return Ok(None);
        }
        self.runs += 1;
        self.launch.limit = Some(cap.unwrap_or(Launch::UNLIMITED));
        let (trial, interrupted) = run_trial(&self.options, &self.launch, no_breakdowns)?;
        if interrupted.is_some() {
            return Ok(None);
        }
        let run = fit_run(cap, &trial, self.launch.timeout);
        Ok(Some((run, trial)))
    }

    /// The runs without a cap, charged to a group of their own where there are groups. The first
    /// must succeed; that a later one fails is told by the search.
    fn baseline(&mut self, arguments: &Fit) -> anyhow::Result<Option<Baseline>> {
        let mut baseline: Option<Baseline> = None;
        for number in 1..=arguments.repeat {
            self.status.say(format_args!(
                "run {number} of {} without a cap",
                arguments.repeat
            ));
            let Some((run, trial)) = self.run(None)? else {
                self.status.clear();
                return Ok(None);
            };
            let first = baseline.is_none();
            if first && let Some(failure) = run.failure {
                self.status.clear();
                bail!("{}", fails_uncapped(&arguments.command[0], failure, &trial));
            }
            let Some(cap) = trial.cap else {
                bail!("the runner did not say what enforces the caps");
            };
            // From now on by the same mechanism, whatever happens on the machine meanwhile.
            self.launch.mechanism = Some(cap.mechanism);
            let failed = run.failure.is_some();
            baseline
                .get_or_insert_with(|| Baseline {
                    runs: Vec::new(),
                    mechanism: cap.mechanism,
                    refused: cap.refused,
                })
                .runs
                .push(run);
            if failed {
                break;
            }
        }
        Ok(baseline)
    }

    fn progress(&mut self, search: &FitSearch, cap: Bytes, usual: Duration) {
        let so_far = match search.bracket() {
            (Some(failed), Some(succeeded)) => format!("needs between {failed} and {succeeded}"),
            (Some(failed), None) => format!("needs more than {failed}"),
            (None, Some(succeeded)) => format!("needs at most {succeeded}"),
            (None, None) => "need not known yet".to_owned(),
        };
        let left = usual * search.runs_left();
        self.status.say(format_args!(
            "run {} under {cap}; {so_far}; about {} s left",
            self.runs + 1,
            left.as_secs() + 1
        ));
    }
}

fn fit_run(cap: Option<Bytes>, trial: &Trial, timeout: Option<Duration>) -> FitRun {
    let record = trial.cap.as_ref();
    FitRun {
        cap,
        failure: failure(trial, timeout),
        length: trial.length,
        cpu: trial.cpu,
        major_faults: trial.major_faults,
        charge_peak: record.and_then(|record| record.charge_peak),
        rss_peak: trial.rss_peak,
        limit_hits: record.and_then(|record| record.limit_hits),
    }
}

fn failure(trial: &Trial, timeout: Option<Duration>) -> Option<FitFailure> {
    let record = trial.cap.as_ref();
    let kills = record.and_then(|record| record.oom_kills).unwrap_or(0);
    let overdue = timeout.is_some_and(|timeout| trial.length >= timeout);
    match (trial.exit_code, trial.exit_signal) {
        (Some(0), _) if kills > 0 => Some(FitFailure::LostProcess),
        (Some(0), _) => None,
        _ if kills > 0 => Some(FitFailure::KilledForCap),
        (_, Some(libc::SIGKILL)) if overdue => Some(FitFailure::TimedOut),
        (Some(code), _) => Some(FitFailure::Exited(code)),
        (None, signal) => Some(FitFailure::Signalled(signal.unwrap_or(0))),
    }
}

fn fails_uncapped(program: &std::ffi::OsStr, failure: FitFailure, trial: &Trial) -> String {
    let how = match failure {
        FitFailure::Exited(code) => format!("exit code {code}"),
        FitFailure::Signalled(signal) => format!("signal {signal}"),
        FitFailure::TimedOut => "it took longer than --timeout".to_owned(),
        FitFailure::KilledForCap | FitFailure::LostProcess => {
            "the kernel killed a process of it for a limit above our own group".to_owned()
        }
    };
    let program = program.to_string_lossy();
    let mut text = format!(
        "{} fails without any cap ({how}): there is nothing to search for",
        printable(&program)
    );
    for line in trial.errors.lines() {
        text.push_str("\n  ");
        text.push_str(&printable(line));
    }
    text
}

#[cfg(test)]
mod tests {
    use plimsoll_model::{CapRecord, RssParts};

    use super::*;

    fn trial(exit_code: Option<i32>, exit_signal: Option<i32>, oom_kills: Option<u64>) -> Trial {
        Trial {
            exit_code,
            exit_signal,
            length: Duration::from_secs(5),
            cpu: Duration::ZERO,
            major_faults: 0,
            rss_peak: Bytes::ZERO,
            own_peak: Bytes::ZERO,
            pss_peak: None,
            at_end: RssParts::default(),
            pss_end: None,
            at_peak: Vec::new(),
            peak_reading_share: None,
            stages: Vec::new(),
            cap: Some(CapRecord {
                mechanism: CapMechanism::CgroupV1,
                limit: Bytes::mib(1),
                charge_peak: None,
                limit_hits: None,
                oom_kills,
                refused: Vec::new(),
            }),
            errors: String::new(),
        }
    }

    #[test]
    fn only_what_ends_well_and_whole_succeeds() {
        let check = |trial: Trial, timeout: u64, expected| {
            let found = failure(&trial, Some(Duration::from_secs(timeout)));
            assert_eq!(found, expected, "{trial:?}");
        };
        check(trial(Some(0), None, Some(0)), 9, None);
        check(trial(Some(0), None, None), 9, None);
        check(
            trial(Some(0), None, Some(1)),
            9,
            Some(FitFailure::LostProcess),
        );
        check(
            trial(Some(3), None, Some(0)),
            9,
            Some(FitFailure::Exited(3)),
        );
        check(
            trial(None, Some(libc::SIGKILL), Some(1)),
            9,
            Some(FitFailure::KilledForCap),
        );
        check(
            trial(None, Some(libc::SIGKILL), Some(0)),
            5,
            Some(FitFailure::TimedOut),
        );
        check(
            trial(None, Some(libc::SIGKILL), Some(0)),
            6,
            Some(FitFailure::Signalled(libc::SIGKILL)),
        );
    }
}
