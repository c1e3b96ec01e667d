//! A running process that does its own work, over time: a second is a unit of work.

use std::time::{Duration, Instant};

use anyhow::Context;
use plimsoll_model::{Drive, Gap, GapReason, MemoryPoint, MemorySeries, OwnersPoint};
use plimsoll_runner::Interrupts;

use super::readings::{open, owner_levels, progress_words, read_tree};
use super::{Driven, wall_time};
use crate::arguments::{Leak, Method};
use crate::examiner::{Examiner, Sharers};
use crate::status_line::StatusLine;
use crate::subject;

/// Points over the whole time: more tell a slope no better, and the judge needs 120 at least.
const POINTS: u32 = 1200;
/// Sooner than this a process has hardly done anything.
const STEP_MIN: Duration = Duration::from_millis(100);
/// Full readings over the whole time, if they are cheap.
const FULL_READINGS: u32 = 150;
/// A full reading of cost c is followed by 50 × c without one: at most a fiftieth of the time.
const READING_PAUSE_PER_COST: u32 = 50;

pub(super) fn follow(arguments: &Leak, subject: &str) -> anyhow::Result<Driven> {
    let pid = subject::find(subject)?;
    let process = plimsoll_probe::process_info(pid)?;
    let mut sampler = open(pid)?;
    let mut examiner = Examiner::new(Method::Auto, Sharers::Uncounted);
    let interrupts = Interrupts::catch().context("catch signals")?;
    let step = (arguments.duration / POINTS).max(STEP_MIN);
    let full_step = (arguments.duration / FULL_READINGS).max(step);
    let started_at = wall_time()?;
    let began = Instant::now();
    let mut series = MemorySeries::default();
    let mut gaps = Vec::new();
    let mut line = StatusLine::new(arguments.trials.quiet);
    let (mut next, mut full_next) = (Duration::ZERO, Duration::ZERO);
    while began.elapsed() < arguments.duration && interrupts.signal().is_none() {
        // A signal cuts the sleep short.
        std::thread::sleep(next.saturating_sub(began.elapsed()).min(STEP_MIN));
        let now = began.elapsed();
        if now < next {
            continue;
        }
        next = now + step;
        let Some(parts) = read_tree(&mut sampler)? else {
            let detail = format!("it ended after {}", plimsoll_render::span(now));
            gaps.push(Gap::new("the process", GapReason::Vanished, detail));
            break;
        };
        let work = now.as_secs_f64();
        series.points.push(MemoryPoint {
            work,
            at: now,
            parts,
        });
        let total = (arguments.duration.as_secs_f64() / step.as_secs_f64()) as usize;
        line.show(progress_words(now, series.points.len(), total, parts.rss));
        if now >= full_next {
            if let Ok(breakdown) = examiner.tree(pid) {
                series.owners.push(OwnersPoint {
                    work,
                    owners: owner_levels(&breakdown),
                });
            }
            let cost = began.elapsed().saturating_sub(now);
            full_next = now + full_step.max(cost.saturating_mul(READING_PAUSE_PER_COST));
        }
    }
    line.clear();
    Ok(Driven {
        subject: format!("{} ({pid})", process.application()),
        drive: Drive::Time,
        series,
        control: None,
        started_at,
        length: began.elapsed(),
        interrupted: interrupts.signal().is_some(),
        gaps,
    })
}
