//! A recording read back as a trial, so that runs made at different times can be compared.

use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use plimsoll_model::{Bytes, OwnerSize, Recorded, RssParts, Seen, TimedBreakdown, Trial};

use crate::report::SAMPLES_MAX;

pub(crate) fn read_trial(path: &Path) -> anyhow::Result<Trial> {
    let recorded = plimsoll_recording::read_recorded(path, SAMPLES_MAX)?;
    if recorded.samples.is_empty() {
        bail!(
            "{}: no sample was recorded; nothing can be compared",
            path.display()
        );
    }
    if !recorded.meta.complete {
        bail!(
            "{}: the recording was cut off: its peak and its end are not known",
            path.display()
        );
    }
    Ok(trial_of(&recorded))
}

fn trial_of(recorded: &Recorded) -> Trial {
    let ticks = ticks(recorded);
    let sampled = ticks.iter().map(|tick| tick.rss).max().unwrap_or_default();
    let processes = recorded.processes.iter();
    let kernel = processes.map(|process| process.rss_peak).max();
    let rss_peak = sampled.max(kernel.unwrap_or_default());
    let at_end = ticks.last().copied().unwrap_or_default();
    let highest = recorded.breakdowns.iter().max_by_key(|timed| rss_of(timed));
    let pss_max = recorded
        .breakdowns
        .iter()
        .max_by_key(|timed| timed.breakdown.totals.usage.proportional);
    let seen = |timed: &TimedBreakdown, whole: Bytes| Seen {
        bytes: timed.breakdown.totals.usage.proportional,
        share: rss_of(timed).ratio_of(whole),
    };
    Trial {
        exit_code: recorded.meta.exit_code,
        exit_signal: recorded.meta.exit_signal,
        length: recorded.meta.length,
        // A recording does not keep these.
        cpu: Duration::ZERO,
        major_faults: 0,
        rss_peak,
        own_peak: ticks.iter().map(RssParts::own).max().unwrap_or_default(),
        pss_peak: pss_max.map(|timed| seen(timed, rss_peak)),
        pss_end: recorded
            .breakdowns
            .last()
            .map(|timed| seen(timed, at_end.rss)),
        peak_reading_share: highest.map(|timed| rss_of(timed).ratio_of(rss_peak)),
        at_peak: highest.map_or_else(Vec::new, owners_of),
        at_end,
        stages: recorded.stages.clone(),
        cap: recorded.cap.clone(),
        errors: String::new(),
    }
}

/// As samples count it: shared pages once in each process.
fn rss_of(timed: &TimedBreakdown) -> Bytes {
    let totals = &timed.breakdown.totals;
    if totals.status_rss.is_zero() {
        totals.usage.resident
    } else {
        totals.status_rss
    }
}

fn owners_of(timed: &TimedBreakdown) -> Vec<OwnerSize> {
    let components = timed.breakdown.components.iter();
    components
        .map(|component| OwnerSize {
            name: component.name.clone(),
            resident: component.usage.resident,
            proportional: component.usage.proportional,
        })
        .collect()
}

/// Sums over the processes of each tick: all that were read together have the same time.
fn ticks(recorded: &Recorded) -> Vec<RssParts> {
    let mut ticks: Vec<(Duration, RssParts)> = Vec::new();
    for sample in &recorded.samples {
        match ticks.last_mut() {
            Some((at, parts)) if *at == sample.at => parts.add(sample),
            _ => {
                let mut parts = RssParts::default();
                parts.add(sample);
                ticks.push((sample.at, parts));
            }
        }
    }
    ticks.into_iter().map(|(_, parts)| parts).collect()
}
