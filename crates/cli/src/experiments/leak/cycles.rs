//! A command that marks its cycles, or writes a line for each unit of work.

use std::ffi::OsString;
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::bail;
use plimsoll_model::{
    Breakdown, Drive, Event, Gap, GapReason, MemoryPoint, MemorySeries, OwnersPoint, ProcessId,
    ProcessRecord, Sample, Stage, StageSource,
};
use plimsoll_runner::{
    BreakdownReason, INTERVAL_MAX, Launch, Observer, Options, Progress, Streams, run,
};

use super::Driven;
use super::readings::{owner_levels, progress_words};
use crate::examiner::breakdown_reader;
use crate::experiments::template::Template;
use crate::line_pattern::LinePattern;
use crate::status_line::StatusLine;

/// Points of one series: 60 bytes each. A program that marks a million cycles is judged on the
/// first of them, and told so.
const POINTS_MAX: usize = 1_000_000;

/// What is to be run.
pub(crate) struct Asked<'a> {
    pub(crate) command: Vec<OsString>,
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// Lines that are units of work; without it, marks are.
    pub(crate) pattern: Option<&'a LinePattern>,
    /// Whether labels may hold the work done so far.
    pub(crate) counts_from_log: bool,
    pub(crate) interval: Duration,
    pub(crate) quiet: bool,
}

/// Runs the command once, to do `units` units of work.
pub(crate) fn run_once(asked: &Asked<'_>, units: u32) -> anyhow::Result<Driven> {
    let count = units.to_string();
    let command = Template::new(&asked.command).fill(&[("i", &count)]);
    let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
    let subject = words.join(" ");
    let mut environment = asked.environment.clone();
    environment.push(("PLIMSOLL_ITERATIONS".into(), count.into()));
    let launch = Launch {
        environment,
        streams: Streams::Silent(asked.pattern.map(LinePattern::matcher)),
        ..Launch::new(command)
    };
    let options = Options::new(asked.interval, INTERVAL_MAX)?;
    let mut observer = Cycles {
        series: MemorySeries::default(),
        unit: match asked.pattern {
            Some(_) => StageSource::Log,
            None => StageSource::Mark,
        },
        counts_from_log: asked.counts_from_log,
        surplus: 0,
        line: StatusLine::new(asked.quiet),
        units,
    };
    let outcome = run(&options, &launch, breakdown_reader(), &mut observer)?;
    observer.line.clear();
    let mut gaps = Vec::new();
    let interrupted = outcome.interrupted.is_some();
    if outcome.end.exit_status() != 0 && !interrupted {
        let detail = format!(
            "it ended with exit code {}: {}",
            outcome.end.exit_status(),
            if outcome.errors.is_empty() {
                "and wrote nothing to standard error"
            } else {
                &outcome.errors
            }
        );
        if observer.series.points.is_empty() {
            bail!("leak: {subject}: {detail}");
        }
        gaps.push(Gap::new("the command", GapReason::Changed, detail));
    }
    if observer.series.points.is_empty() && !interrupted {
        bail!("{}", nothing_marked(asked, &subject));
    }
    if asked.pattern.is_some() && !interrupted {
        // The command does not wait for its lines to be read: at the last one it may have been
        // giving everything back already.
        observer.series.points.pop();
    }
    if observer.surplus > 0 {
        let detail = format!("{} marks after the first {POINTS_MAX}", observer.surplus);
        gaps.push(Gap::new("marks", GapReason::Bounded, detail));
    }
    Ok(Driven {
        subject,
        drive: if asked.pattern.is_some() {
            Drive::Log
        } else {
            Drive::Marks
        },
        series: observer.series,
        control: None,
        started_at: outcome.started_at,
        length: outcome.length,
        interrupted,
        gaps,
    })
}

fn nothing_marked(asked: &Asked<'_>, subject: &str) -> String {
    let how = if asked.pattern.is_some() {
        "no line of its output matched the expression"
    } else {
        "it made no mark; call `plimsoll mark cycle` once for each unit of work, or say which \
         lines of its output are one"
    };
    format!("leak: {subject}: no unit of work was seen: {how}")
}

/// Takes a point at each mark.
struct Cycles {
    series: MemorySeries,
    /// What is a unit of work: a mark, or a line. The other is a stage at most.
    unit: StageSource,
    /// Whether labels may hold the work done so far.
    counts_from_log: bool,
    surplus: u64,
    line: StatusLine,
    units: u32,
}

impl Observer for Cycles {
    fn started(&mut self, _root: ProcessId, _started_at: Duration) {}

    fn process_started(&mut self, _process: &ProcessRecord) {}

    fn process_ended(&mut self, _process: &ProcessRecord) {}

    fn sample(&mut self, _sample: &Sample) {}

    /// A full reading in the middle of a cycle is at another phase of it and no point of the series.
    fn breakdown(&mut self, _at: Duration, reason: BreakdownReason, breakdown: Breakdown) {
        if reason == BreakdownReason::Mark {
            let work = self
                .series
                .points
                .last()
                .map_or(0.0, |point| point.work + 1.0);
            self.series.owners.push(OwnersPoint {
                work,
                owners: owner_levels(&breakdown),
            });
        }
    }

    fn event(&mut self, _event: &Event) {}

    fn gap(&mut self, _at: Duration, _gap: &Gap) {}

    /// A stage that ended began with a mark: the figures of that instant are the point.
    fn stage(&mut self, stage: &Stage) {
        if stage.source != self.unit {
            return;
        }
        if self.series.points.len() >= POINTS_MAX {
            self.surplus += 1;
            return;
        }
        let last = self.series.points.last_mut();
        let counted = last.as_ref().map_or(0.0, |last| last.work) + 1.0;
        let told: Option<f64> = stage.label.parse().ok().filter(|_| self.counts_from_log);
        let work = told.unwrap_or(counted);
        match last {
            // Lines that were read together: so much work was done by the last of them.
            Some(last) if stage.source == StageSource::Log && last.at == stage.start => {
                last.work = work;
            }
            _ => self.series.points.push(MemoryPoint {
                work,
                at: stage.start,
                parts: stage.at_start,
            }),
        }
    }

    fn ticked(&mut self, progress: &Progress) -> ControlFlow<()> {
        let done = self.series.points.len();
        self.line.show(progress_words(
            progress.at,
            done,
            self.units as usize,
            progress.rss,
        ));
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_model::{Bytes, RssParts};

    use super::*;

    fn points(
        unit: StageSource,
        stages: &[(StageSource, &str, u64)],
        counts_from_log: bool,
    ) -> Vec<(f64, u64)> {
        let mut cycles = Cycles {
            series: MemorySeries::default(),
            unit,
            counts_from_log,
            surplus: 0,
            line: StatusLine::new(true),
            units: 10,
        };
        for (source, label, at) in stages {
            let parts = RssParts {
                rss: Bytes(*at),
                ..RssParts::default()
            };
            cycles.stage(&Stage {
                label: (*label).to_owned(),
                source: *source,
                start: Duration::from_millis(*at),
                end: Duration::from_millis(*at),
                at_start: parts,
                at_end: parts,
                peak: Bytes(*at),
                peak_at_most: None,
            });
        }
        let points = cycles.series.points.iter();
        points
            .map(|point| (point.work, point.parts.rss.0))
            .collect()
    }

    #[test]
    fn lines_that_were_read_together_are_one_point() {
        use StageSource::{Log, Mark, Start};
        let lines = [
            (Start, "(start)", 0),
            (Log, "10", 5),
            (Log, "20", 5),
            (Log, "x", 5),
            (Mark, "load", 7),
            (Log, "40", 9),
        ];
        assert_eq!(points(Log, &lines, true), [(21.0, 5), (40.0, 9)]);
        assert_eq!(points(Log, &lines, false), [(3.0, 5), (4.0, 9)]);
        // Who makes a mark waits for it: each is an instant of its own.
        let marks = [(Start, "(start)", 0), (Mark, "7", 5), (Mark, "7", 5)];
        assert_eq!(points(Mark, &marks, false), [(1.0, 5), (2.0, 5)]);
    }
}
