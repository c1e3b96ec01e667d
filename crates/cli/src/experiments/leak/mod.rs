//! `plimsoll leak`: does memory grow with the work that is done?
//!
//! A series is taken in one of three ways (a command that marks its cycles, actions done to a
//! running process, a running process over time) and judged; while the verdict is open and no
//! number of units was asked for, the work is doubled.

mod actions;
mod attached;
pub(crate) mod cycles;
mod readings;

use std::process::ExitCode;

use anyhow::{Context, bail};
use plimsoll_analysis::leak::LeakOptions;
use plimsoll_analysis::report::leak::judge_all;
use plimsoll_model::{Drive, Gap, GapReason, GrowthClass, LeakReport, MemoryPoint, MemorySeries};

use super::{FAILED, INCONCLUSIVE};
use crate::arguments::Leak;
use crate::output::{self, Stream};

/// Units of work of the first try when no number is given: the fewest from which the judge calls
/// anything growing, and some for the warm-up.
const UNITS_FIRST: u32 = 200;
/// Doublings after that: 1600 units.
const DOUBLINGS_MAX: u32 = 3;

/// What one way of driving a subject brought.
pub(crate) struct Driven {
    pub(crate) subject: String,
    pub(crate) drive: Drive,
    pub(crate) series: MemorySeries,
    pub(crate) control: Option<Vec<MemoryPoint>>,
    /// Since the Unix epoch.
    pub(crate) started_at: std::time::Duration,
    pub(crate) length: std::time::Duration,
    pub(crate) interrupted: bool,
    pub(crate) gaps: Vec<Gap>,
}

pub(crate) fn leak(arguments: &Leak) -> anyhow::Result<ExitCode> {
    let options = LeakOptions {
        confidence: arguments.trials.confidence,
        budget: arguments.budget,
        ignore_below: arguments.ignore_below.map(|bytes| bytes.0 as f64),
        ..LeakOptions::default()
    };
    let unit = arguments.unit.as_deref();
    let report = match (&arguments.subject, &arguments.each) {
        (Some(subject), Some(each)) => {
            let mut actions = actions::Actions::begin(arguments, subject, each)?;
            settle(arguments, &options, |units| actions.up_to(units))?
        }
        (Some(subject), None) => judge(unit, &options, attached::follow(arguments, subject)?),
        (None, _) => {
            let log = arguments.work_from_log.as_ref();
            let asked = cycles::Asked {
                command: arguments.command.clone(),
                environment: Vec::new(),
                pattern: log.or(arguments.trials.stage_from_log.as_ref()),
                counts_from_log: log.is_some(),
                interval: arguments.trials.interval,
                quiet: arguments.trials.quiet,
            };
            settle(arguments, &options, |units| cycles::run_once(&asked, units))?
        }
    };
    let text = output::text_options(&arguments.output, Stream::Stdout);
    let format = arguments.output.format;
    output::to_stdout(|w| plimsoll_render::render_leak(&report, format, &text, w))?;
    Ok(exit_code(&report))
}

/// Drives until the verdict stands, or as often as was asked for.
fn settle(
    arguments: &Leak,
    options: &LeakOptions,
    mut drive: impl FnMut(u32) -> anyhow::Result<Driven>,
) -> anyhow::Result<LeakReport> {
    let unit = arguments.unit.as_deref();
    if let Some(units) = arguments.iterations {
        return Ok(judge(unit, options, drive(units)?));
    }
    let mut units = UNITS_FIRST;
    for doubling in 0.. {
        let driven = drive(units)?;
        let interrupted = driven.interrupted;
        let report = judge(unit, options, driven);
        let settled = report.own.growth.class != GrowthClass::Inconclusive;
        // A command that does not care how often it is asked to will not do more next time.
        let deaf = report.series.len() < units as usize / 2;
        if settled || interrupted || deaf || doubling == DOUBLINGS_MAX {
            return Ok(report);
        }
        units *= 2;
    }
    bail!("leak: the last doubling returns")
}

/// `unit`: what a unit of work is called, if not by the way it was driven.
pub(crate) fn judge(unit: Option<&str>, options: &LeakOptions, driven: Driven) -> LeakReport {
    let judged = judge_all(&driven.series, driven.control.as_deref(), options);
    let usual = match driven.drive {
        Drive::Marks => "cycle",
        Drive::Log => "unit",
        Drive::Actions => "action",
        Drive::Time => "second",
    };
    let mut gaps = driven.gaps;
    if driven.interrupted {
        let detail = format!("interrupted after {} points", driven.series.points.len());
        gaps.push(Gap::new("the rest of the work", GapReason::Bounded, detail));
    }
    LeakReport {
        subject: driven.subject,
        drive: driven.drive,
        unit: unit.unwrap_or(usual).to_owned(),
        started_at: driven.started_at,
        length: driven.length,
        confidence: options.confidence,
        budget: options.budget,
        series: driven.series.points,
        own: judged.own,
        measures: judged.measures,
        owners: judged.owners,
        gaps,
    }
}

fn exit_code(report: &LeakReport) -> ExitCode {
    match report.own.growth.class {
        GrowthClass::Growing => ExitCode::from(FAILED),
        GrowthClass::Inconclusive => ExitCode::from(INCONCLUSIVE),
        GrowthClass::Bounded | GrowthClass::Flat => ExitCode::SUCCESS,
    }
}

/// Since the Unix epoch; a clock before that is set wrong.
fn wall_time() -> anyhow::Result<std::time::Duration> {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .context("leak: the clock of this machine is before 1970")
}
