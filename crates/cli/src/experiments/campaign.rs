//! Many trials, one after the other: progress with time left, failures counted, an interrupt keeps
//! what was measured.

use std::time::Instant;

use anyhow::Context;
use plimsoll_model::{Gap, GapReason, Trial};
use plimsoll_render::printable;
use plimsoll_runner::{Interrupts, Launch, LineMatcher, Options, Streams, run_trial};

use crate::arguments::Trials;
use crate::examiner::{BreakdownReader, breakdown_reader};
use crate::status_line::{StatusLine, time_left};

/// Characters of a failed command's last words that a report shows.
const WORDS_MAX: usize = 300;

/// Runs trials under the same conditions.
pub(crate) struct Campaign {
    options: Options,
    matcher: Option<LineMatcher>,
    interrupts: Interrupts,
    status: StatusLine,
    began: Instant,
    total: usize,
    done: usize,
    read_breakdown: BreakdownReader,
    failures: Vec<Failure>,
}

/// What became of a trial.
pub(crate) enum Ran {
    Succeeded(Box<Trial>),
    /// It ended by itself, but not with 0, or a signal ended it.
    Failed,
    /// We were told to stop: it does not count.
    Interrupted,
}

/// Trials under one name that failed.
struct Failure {
    of: String,
    count: usize,
    /// How the first one ended, with its last words.
    how: String,
}

impl Campaign {
    /// `total`: the trials that are planned.
    pub(crate) fn start(arguments: &Trials, total: usize) -> anyhow::Result<Campaign> {
        Ok(Campaign {
            options: Options::new(arguments.interval, plimsoll_runner::INTERVAL_MAX)?,
            matcher: arguments
                .stage_from_log
                .as_ref()
                .map(|pattern| pattern.matcher()),
            interrupts: Interrupts::catch().context("catch signals")?,
            status: StatusLine::new(arguments.quiet),
            began: Instant::now(),
            total,
            done: 0,
            read_breakdown: breakdown_reader(),
            failures: Vec::new(),
        })
    }

    /// Runs `launch` once; `of` names what it is a trial of.
    pub(crate) fn trial(&mut self, launch: Launch, of: &str) -> anyhow::Result<Ran> {
        if self.interrupts.signal().is_some() {
            return Ok(Ran::Interrupted);
        }
        self.status.say(format_args!(
            "{}/{} {}{}",
            self.done + 1,
            self.total,
            printable(of),
            time_left(self.began.elapsed(), self.done, self.total)
        ));
        let launch = Launch {
            streams: Streams::Silent(self.matcher.clone()),
            ..launch
        };
        let (trial, interrupted) = run_trial(&self.options, &launch, &mut self.read_breakdown)?;
        if interrupted.is_some() || self.interrupts.signal().is_some() {
            return Ok(Ran::Interrupted);
        }
        self.done += 1;
        if trial.succeeded() {
            Ok(Ran::Succeeded(Box::new(trial)))
        } else {
            self.note_failure(of, &trial);
            Ok(Ran::Failed)
        }
    }

    /// Ends the work: what failed and what was not run, as gaps of the report.
    pub(crate) fn finish(mut self) -> Vec<Gap> {
        self.status.clear();
        let mut gaps: Vec<Gap> = self
            .failures
            .iter()
            .map(|failure| {
                let detail = format!("{} failed: {}", failure.count, failure.how);
                Gap::new(
                    format!("trials of {}", failure.of),
                    GapReason::Vanished,
                    detail,
                )
            })
            .collect();
        if self.interrupts.signal().is_some() || self.done < self.total {
            let detail = format!("interrupted after {} of {}", self.done, self.total);
            gaps.push(Gap::new("trials", GapReason::Bounded, detail));
        }
        gaps
    }

    /// The first failure in words, for when nothing succeeded.
    pub(crate) fn first_failure(&self) -> Option<String> {
        let failure = self.failures.first()?;
        Some(format!("{}: {}", failure.of, failure.how))
    }

    fn note_failure(&mut self, of: &str, trial: &Trial) {
        match self.failures.iter_mut().find(|failure| failure.of == of) {
            Some(failure) => failure.count += 1,
            None => self.failures.push(Failure {
                of: of.to_owned(),
                count: 1,
                how: how_it_ended(trial),
            }),
        }
    }
}

/// "exit code 3: last words".
fn how_it_ended(trial: &Trial) -> String {
    let end = match (trial.exit_code, trial.exit_signal) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "its end was not seen".to_owned(),
    };
    let words: Vec<char> = trial.errors.chars().collect();
    let from = words.len().saturating_sub(WORDS_MAX);
    let words: String = words[from..].iter().collect();
    if words.trim().is_empty() {
        end
    } else {
        format!("{end}: {}", words.trim())
    }
}
