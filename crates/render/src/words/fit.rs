//! What a search for the smallest cap found, in words.

use std::time::Duration;

use plimsoll_model::{Bytes, CapFit, CapMechanism, FitEnd, FitFailure, FitPoint};

use crate::words::number::count;
use crate::words::time::span;

/// The answer in one sentence.
pub(crate) fn verdict(fit: &CapFit) -> String {
    let by = fit.mechanism.name();
    match fit.end {
        FitEnd::Found => format!("{} ({by})", found(fit)),
        FitEnd::TooLarge => format!(
            "needs more than {}, the largest cap tried ({by})",
            fit.failed.unwrap_or_default()
        ),
        FitEnd::FlakyUncapped => {
            let failed = fit.baseline.iter().filter(|run| run.failure.is_some());
            format!(
                "inconclusive: without a cap too, {} of {} runs failed",
                failed.count(),
                fit.baseline.len()
            )
        }
        FitEnd::Flaky => format!(
            "inconclusive: it fails now and then under one and the same cap; {} ({by})",
            bracket(fit)
        ),
        FitEnd::Interrupted => format!("{}; interrupted ({by})", bracket(fit)),
    }
}

fn found(fit: &CapFit) -> String {
    let minimum = fit.minimum.unwrap_or_default();
    let needs = if fit.failed.is_some() {
        format!("needs {minimum}")
    } else {
        format!("needs at most {minimum}, the smallest cap tried")
    };
    match fit.comfortable {
        Some(comfortable) if comfortable == minimum => {
            format!("{needs}, comfortable from there on")
        }
        Some(comfortable) => format!("{needs}, comfortable from {comfortable}"),
        None => format!("{needs}, slower than without a cap under every cap that was timed"),
    }
}

fn bracket(fit: &CapFit) -> String {
    match (fit.failed, fit.minimum) {
        (Some(failed), Some(minimum)) => format!("needs between {failed} and {minimum}"),
        (Some(failed), None) => format!("needs more than {failed}"),
        (None, Some(minimum)) => format!("needs at most {minimum}"),
        (None, None) => "no run under a cap has ended".to_owned(),
    }
}

/// What must be known to read the answer rightly.
pub(crate) fn notes(fit: &CapFit) -> Vec<String> {
    let mut notes = vec![meaning(fit.mechanism).to_owned()];
    if fit.mechanism == CapMechanism::DataLimit {
        let refused = fit.refused.iter();
        notes.extend(refused.map(|reason| format!("Not by {reason}.")));
    }
    let mixed = fit
        .points
        .iter()
        .filter(|point| point.failed > 0 && point.succeeded > 0);
    notes.extend(mixed.map(|point| {
        format!(
            "Under {} it failed in {} of {} runs.",
            point.cap,
            point.failed,
            point.failed + point.succeeded
        )
    }));
    let below = |point: &&FitPoint| {
        point.failed == 0 && fit.failed.is_some_and(|failed| point.cap < failed)
    };
    if let (Some(point), Some(failed)) = (fit.points.iter().find(below), fit.failed) {
        notes.push(format!(
            "Uneven: it succeeded under {} and failed under {failed}; only caps above every \
             failure count.",
            point.cap
        ));
    }
    notes.extend(noise(fit));
    let overdue = fit
        .runs
        .iter()
        .filter(|run| run.failure == Some(FitFailure::TimedOut));
    match overdue.count() as u64 {
        0 => {}
        number => notes.push(format!(
            "{} longer than {} and counted as failed.",
            count(number, "run took", "runs took"),
            span(fit.timeout)
        )),
    }
    notes
}

/// How far times can be trusted.
fn noise(fit: &CapFit) -> Option<String> {
    let usual = fit.uncapped?.length.as_secs_f64();
    if usual <= 0.0 {
        return None;
    }
    let times = |length: Duration| length.as_secs_f64() / usual;
    let lengths = fit.baseline.iter().map(|run| run.length);
    let slowest = times(lengths.max()?);
    let timed = fit.points.iter().filter(|point| point.timed);
    let fastest = timed
        .filter_map(|point| Some(times(point.timing?.length)))
        .fold(f64::INFINITY, f64::min);
    // A cap makes nothing faster.
    if fastest < 1.0 / CapFit::COMFORTABLE {
        Some(format!(
            "Under a cap it took as little as {fastest:.2} times the time without one: the machine \
             was busier then, and times are not comparable. Processor time is less disturbed."
        ))
    } else if slowest > CapFit::COMFORTABLE {
        Some(format!(
            "Runs without a cap took up to {slowest:.2} times their median: a slowdown below that \
             is not told."
        ))
    } else {
        None
    }
}

/// What a cap of this mechanism counts.
const fn meaning(mechanism: CapMechanism) -> &'static str {
    match mechanism {
        CapMechanism::CgroupV2 | CapMechanism::CgroupV1 => {
            "The cap holds for RAM of all processes of the command together, page cache and kernel \
             memory included. Pages of files that were in the page cache before stay charged to who \
             read them first, and are not in it."
        }
        CapMechanism::DataLimit => {
            "RLIMIT_DATA is not about RAM: it holds for each process alone, and counts private \
             writable memory that is mapped, whether it is resident or not."
        }
    }
}

/// What came of a run, as one word or two.
pub(crate) fn outcome(failure: Option<FitFailure>) -> String {
    match failure {
        None => "ok".to_owned(),
        Some(FitFailure::KilledForCap) => "killed for the cap".to_owned(),
        Some(FitFailure::LostProcess) => "lost a process".to_owned(),
        Some(FitFailure::TimedOut) => "timed out".to_owned(),
        Some(FitFailure::Exited(code)) => format!("exit code {code}"),
        Some(FitFailure::Signalled(signal)) => format!("signal {signal}"),
    }
}

/// The time of a point beside that without a cap: "1.05x".
pub(crate) fn ratio(fit: &CapFit, point: &FitPoint) -> Option<String> {
    let usual = fit.uncapped?.length.as_secs_f64();
    let length = point.timing?.length.as_secs_f64();
    (usual > 0.0).then(|| format!("{:.2}x", length / usual))
}

/// The runs without a cap: time, spread, and what was charged.
pub(crate) fn baseline(fit: &CapFit) -> String {
    let Some(timing) = fit.uncapped else {
        return "no run without a cap has ended".to_owned();
    };
    let lengths = || fit.baseline.iter().map(|run| run.length);
    let spread = match (lengths().min(), lengths().max()) {
        (Some(shortest), Some(longest)) if fit.baseline.len() > 1 => {
            format!(" ({} to {})", span(shortest), span(longest))
        }
        _ => String::new(),
    };
    let charged = match fit.baseline.iter().filter_map(|run| run.charge_peak).max() {
        Some(peak) => format!(", charged at most {peak}"),
        None => String::new(),
    };
    format!(
        "without a cap: {}{spread} in {}{charged}, RSS at most {}",
        span(timing.length),
        count(fit.baseline.len() as u64, "run", "runs"),
        rss_peak(fit)
    )
}

pub(crate) fn rss_peak(fit: &CapFit) -> Bytes {
    let peaks = fit.baseline.iter().map(|run| run.rss_peak);
    peaks.max().unwrap_or_default()
}
