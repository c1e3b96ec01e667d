//! A running process to which an action is done again and again.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use plimsoll_model::{Drive, Gap, GapReason, MemoryPoint, MemorySeries, OwnersPoint, ProcessInfo};
use plimsoll_probe::QuickSampler;
use plimsoll_runner::Interrupts;

use super::readings::{open, owner_levels, progress_words, read_tree};
use super::{Driven, wall_time};
use crate::arguments::{Leak, Method};
use crate::examiner::{Examiner, Sharers};
use crate::status_line::StatusLine;
use crate::subject;

/// A full reading of cost c is followed by 20 × c without one: at most a twentieth of the time.
const READING_PAUSE_PER_COST: u32 = 20;
/// Control cycles: a fifth of the work, and enough for a slope.
const CONTROL_UNITS: u32 = 120;

/// The process, the action, and the series so far.
pub(super) struct Actions<'a> {
    arguments: &'a Leak,
    each: &'a str,
    process: ProcessInfo,
    sampler: QuickSampler,
    examiner: Examiner,
    interrupts: Interrupts,
    series: MemorySeries,
    control: Option<Vec<MemoryPoint>>,
    began: Instant,
    started_at: Duration,
    read_again_at: Duration,
    gaps: Vec<Gap>,
    ended: bool,
}

impl<'a> Actions<'a> {
    pub(super) fn begin(
        arguments: &'a Leak,
        subject: &str,
        each: &'a str,
    ) -> anyhow::Result<Actions<'a>> {
        let pid = subject::find(subject)?;
        let mut actions = Actions {
            arguments,
            each,
            process: plimsoll_probe::process_info(pid)?,
            sampler: open(pid)?,
            examiner: Examiner::new(Method::Auto, Sharers::Uncounted),
            interrupts: Interrupts::catch().context("catch signals")?,
            series: MemorySeries::default(),
            control: None,
            began: Instant::now(),
            started_at: wall_time()?,
            read_again_at: Duration::ZERO,
            gaps: Vec::new(),
            ended: false,
        };
        if let Some(control) = &arguments.control {
            actions.run_control(control)?;
        }
        Ok(actions)
    }

    /// Goes on until `units` actions were done in all.
    pub(super) fn up_to(&mut self, units: u32) -> anyhow::Result<Driven> {
        let mut line = StatusLine::new(self.arguments.trials.quiet);
        while self.series.points.len() < units as usize && !self.is_over() {
            let number = self.series.points.len() + 1;
            if let Err(failure) = act(self.each, number) {
                if self.series.points.is_empty() {
                    bail!("leak: {failure}");
                }
                self.gaps
                    .push(Gap::new("the action", GapReason::Changed, failure));
                self.ended = true;
                break;
            }
            std::thread::sleep(self.arguments.settle);
            let Some(point) = self.read_point(number as f64)? else {
                break;
            };
            line.show(progress_words(
                point.at,
                number,
                units as usize,
                point.parts.rss,
            ));
            self.series.points.push(point);
            self.read_owners(number as f64);
        }
        line.clear();
        Ok(Driven {
            subject: format!("{} ({})", self.process.application(), self.process.id.pid),
            drive: Drive::Actions,
            series: self.series.clone(),
            control: self.control.clone(),
            started_at: self.started_at,
            length: self.began.elapsed(),
            interrupted: self.interrupts.signal().is_some(),
            gaps: self.gaps.clone(),
        })
    }

    fn run_control(&mut self, control: &str) -> anyhow::Result<()> {
        let mut points = Vec::new();
        for number in 1..=CONTROL_UNITS {
            if self.interrupts.signal().is_some() {
                break;
            }
            if let Err(failure) = act(control, number as usize) {
                bail!("leak: control: {failure}");
            }
            std::thread::sleep(self.arguments.settle);
            match self.read_point(f64::from(number))? {
                Some(point) => points.push(point),
                None => break,
            }
        }
        self.control = Some(points);
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.ended || self.interrupts.signal().is_some()
    }

    /// `None` when the process has ended: then the series ends too.
    fn read_point(&mut self, work: f64) -> anyhow::Result<Option<MemoryPoint>> {
        let at = self.began.elapsed();
        match read_tree(&mut self.sampler)? {
            Some(parts) => Ok(Some(MemoryPoint { work, at, parts })),
            None => {
                self.ended = true;
                let detail = format!("it ended in cycle {work}");
                self.gaps
                    .push(Gap::new("the process", GapReason::Vanished, detail));
                Ok(None)
            }
        }
    }

    fn read_owners(&mut self, work: f64) {
        let now = self.began.elapsed();
        if now < self.read_again_at {
            return;
        }
        // What can't be read in full is told by the quick figures alone.
        if let Ok(breakdown) = self.examiner.tree(self.process.id.pid) {
            self.series.owners.push(OwnersPoint {
                work,
                owners: owner_levels(&breakdown),
            });
        }
        let after = self.began.elapsed();
        let cost = after.saturating_sub(now);
        self.read_again_at = after + cost.saturating_mul(READING_PAUSE_PER_COST);
    }
}

/// Does it once, by the shell, as unit `number`.
fn act(command: &str, number: usize) -> Result<(), String> {
    let filled = command.replace("{i}", &number.to_string());
    let output = Command::new("/bin/sh")
        .arg("-c")
        .arg(&filled)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| format!("run {filled:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let words = words.trim();
    Err(format!(
        "action {number} failed: {filled:?}: {}{}{words}",
        output.status,
        if words.is_empty() { "" } else { ": " }
    ))
}
