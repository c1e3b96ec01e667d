//! Many trials, one after the other: progress with time left, failures counted, an interrupt keeps
//! what was measured.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::Context;
use plimsoll_model::{Gap, GapReason, Trial};
use plimsoll_runner::{Interrupts, Launch, LineMatcher, Options, Streams, run_trial};

use crate::arguments::{Method, Trials};
use crate::examiner::{Examiner, Sharers};

/// Characters of a failed command's last words that a report shows.
const WORDS_MAX: usize = 300;

/// Runs trials under the same conditions.
pub(crate) struct Campaign {
    options: Options,
    matcher: Option<LineMatcher>,
    interrupts: Interrupts,
    progress: Progress,
    examiner: Examiner,
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
            progress: Progress::start(total, arguments.quiet),
            examiner: Examiner::new(Method::Auto, Sharers::Uncounted),
            failures: Vec::new(),
        })
    }

    /// Runs `launch` once; `of` names what it is a trial of.
    pub(crate) fn trial(&mut self, launch: Launch, of: &str) -> anyhow::Result<Ran> {
        if self.interrupts.signal().is_some() {
            return Ok(Ran::Interrupted);
        }
        self.progress.show(of);
        let launch = Launch {
            streams: Streams::Silent(self.matcher.clone()),
            ..launch
        };
        let examiner = &mut self.examiner;
        let read = |processes: &[plimsoll_model::ProcessId]| {
            let pids: Vec<u32> = processes.iter().map(|process| process.pid).collect();
            examiner.processes(&pids)
        };
        let (trial, interrupted) = run_trial(&self.options, &launch, read)?;
        if interrupted.is_some() || self.interrupts.signal().is_some() {
            return Ok(Ran::Interrupted);
        }
        self.progress.done();
        if trial.succeeded() {
            Ok(Ran::Succeeded(Box::new(trial)))
        } else {
            self.note_failure(of, &trial);
            Ok(Ran::Failed)
        }
    }

    /// Ends the work: what failed and what was not run, as gaps of the report.
    pub(crate) fn finish(mut self) -> Vec<Gap> {
        self.progress.clear();
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
        if self.interrupts.signal().is_some() || self.progress.done < self.progress.total {
            let detail = format!(
                "interrupted after {} of {}",
                self.progress.done, self.progress.total
            );
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

/// One line on the terminal: how far, and how long yet.
struct Progress {
    began: Instant,
    total: usize,
    done: usize,
    shown: bool,
    wanted: bool,
}

impl Progress {
    fn start(total: usize, quiet: bool) -> Progress {
        Progress {
            began: Instant::now(),
            total,
            done: 0,
            shown: false,
            wanted: !quiet && io::stderr().is_terminal(),
        }
    }

    fn show(&mut self, of: &str) {
        if !self.wanted {
            return;
        }
        self.shown = true;
        let left = match time_left(self.began.elapsed(), self.done, self.total) {
            Some(left) => format!(", about {} left", plimsoll_render::span(left)),
            None => String::new(),
        };
        // The terminal may be gone; the work must not care.
        let _ = write!(
            io::stderr(),
            "\r\x1b[K{}/{} {}{left}",
            self.done + 1,
            self.total,
            plimsoll_render::printable(of)
        );
    }

    fn done(&mut self) {
        self.done += 1;
    }

    fn clear(&mut self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// If the rest takes as long as what is done.
fn time_left(passed: Duration, done: usize, total: usize) -> Option<Duration> {
    if done == 0 {
        return None;
    }
    let rest = total.saturating_sub(done) as f64 / done as f64;
    Some(passed.mul_f64(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_takes_as_long_as_what_is_done() {
        let check = |passed, done, total, expected| {
            let left = time_left(Duration::from_secs(passed), done, total);
            assert_eq!(left, expected, "{done} of {total}");
        };
        check(10, 0, 5, None);
        check(10, 1, 5, Some(Duration::from_secs(40)));
        check(10, 5, 5, Some(Duration::ZERO));
        check(10, 6, 5, Some(Duration::ZERO));
    }
}
