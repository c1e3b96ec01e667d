//! What a recording says as a whole: the line of total RSS, its peak, and the breakdowns that
//! stand for before, at the peak and at the end.
//!
//! Pure arithmetic over [`Recorded`]; text, JSON and HTML all tell the run from here. Memory: one
//! pair per tick of the recording.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use plimsoll_model::{
    Breakdown, Bytes, Component, Gap, ProcessId, Recorded, RecordingMeta, Sample, Scope,
    TimedBreakdown,
};

use crate::words::number::{count, percent};
use crate::words::time::{date, span};

/// Two breakdowns within this share of the peak are equally good witnesses of it: then the one
/// nearer in time is taken.
const WITNESS_TOLERANCE: f64 = 0.02;

/// A breakdown that saw less of the peak than this does not tell what the peak was made of.
const WITNESS_RATIO_MIN: f64 = 0.9;

/// Samples that saw less of the kernel's mark than this missed the peak.
const MISSED_RATIO: f64 = 0.95;

/// Components that a run's verdict names.
const VERDICT_NAMES: usize = 3;

pub(crate) struct Run<'a> {
    pub(crate) recorded: &'a Recorded,
    /// RSS of all processes together after each tick. Shared pages count once per process.
    pub(crate) totals: Vec<Instant>,
    /// Highest of all samples and breakdowns; `None` when nothing was recorded.
    pub(crate) peak: Option<Instant>,
    /// The breakdown that tells best what the peak was made of.
    pub(crate) witness: Option<Witness<'a>>,
}

/// Total RSS at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instant {
    pub(crate) at: Duration,
    pub(crate) rss: Bytes,
}

pub(crate) struct Witness<'a> {
    /// Its place in `recorded.breakdowns`.
    pub(crate) index: usize,
    pub(crate) timed: &'a TimedBreakdown,
    /// From the peak, in time.
    pub(crate) distance: Duration,
    /// RSS it saw, counted as the samples count it.
    pub(crate) rss: Bytes,
}

impl<'a> Run<'a> {
    pub(crate) fn of(recorded: &'a Recorded) -> Run<'a> {
        let totals = totals(recorded);
        let from_breakdowns = recorded.breakdowns.iter().map(|timed| Instant {
            at: timed.at,
            rss: comparable_rss(&timed.breakdown),
        });
        // The first of equal ones: that is when the level was reached.
        let peak = totals
            .iter()
            .copied()
            .chain(from_breakdowns)
            .reduce(|best, next| if next.rss > best.rss { next } else { best });
        let witness = peak.and_then(|peak| witness(recorded, peak));
        Run {
            recorded,
            totals,
            peak,
            witness,
        }
    }

    /// The first breakdown, when another one is the peak's.
    pub(crate) fn before(&self) -> Option<&'a TimedBreakdown> {
        let witness = self.witness.as_ref()?;
        (witness.index > 0).then(|| &self.recorded.breakdowns[0])
    }

    /// The last breakdown, when another one is the peak's.
    pub(crate) fn end(&self) -> Option<&'a TimedBreakdown> {
        let witness = self.witness.as_ref()?;
        let last = self.recorded.breakdowns.len() - 1;
        (witness.index < last).then(|| &self.recorded.breakdowns[last])
    }

    /// The highest high-water mark that the kernel kept for one process.
    pub(crate) fn kernel_peak(&self) -> Option<Bytes> {
        let processes = &self.recorded.processes;
        let peak = processes.iter().map(|process| process.rss_peak).max()?;
        (!peak.is_zero()).then_some(peak)
    }

    /// The answer in one or two sentences.
    pub(crate) fn verdict(&self) -> String {
        let Some(peak) = self.peak else {
            let why = if self.recorded.meta.complete {
                "it ended before the first look at it"
            } else {
                "no sample and no breakdown"
            };
            return format!("Nothing was recorded: {why}.");
        };
        let mut words = self.peak_words(peak);
        if self.recorded.meta.samples_taken == 1 && self.kernel_peak_note().is_none() {
            words.push_str(" Only one sample was taken: the true peak may be higher.");
        }
        words
    }

    fn peak_words(&self, peak: Instant) -> String {
        let opening = self.opening(peak);
        let Some(witness) = &self.witness else {
            return format!(
                "{opening}; no breakdown was taken, so what it was made of is not known."
            );
        };
        let made_of = composition_words(&witness.timed.breakdown.components);
        let place = witness_words(peak, witness);
        let mut words = if self.tells_the_peak() {
            format!("{opening}: {made_of}. This was read {place}.")
        } else {
            format!(
                "{opening}. What it was made of was not read: the breakdown that comes nearest was \
                 read {place}: {made_of}."
            )
        };
        // Of a tree, components are distinct pages and RSS is not: the two differ by what is
        // shared, and the reader who adds up would miss it.
        let distinct = witness.timed.breakdown.totals.usage.resident;
        let again = witness.rss.saturating_sub(distinct);
        if witness.timed.breakdown.scope == Scope::Tree && !again.is_zero() {
            words.push_str(&format!(
                " Its RSS counts {again} of shared pages again that the components count once."
            ));
        }
        words
    }

    /// "Peak 70.0 MiB RSS at 1.2 s", or what the kernel saw between two samples.
    fn opening(&self, peak: Instant) -> String {
        let (rss, at) = (peak.rss, span(peak.at));
        match self.missed_peak(peak) {
            Some(kernel) => format!(
                "Peak {kernel} RSS by the kernel's own mark, between two samples; the highest that \
                 was seen is {rss} at {at}"
            ),
            None => format!("Peak {rss} RSS at {at}"),
        }
    }

    /// The kernel's high-water mark of a single process, when it is well above all that was seen.
    fn missed_peak(&self, peak: Instant) -> Option<Bytes> {
        let kernel = self.kernel_peak()?;
        let missed = peak.rss.ratio_of(kernel) < MISSED_RATIO;
        (self.recorded.processes.len() == 1 && missed).then_some(kernel)
    }

    /// Whether the breakdown nearest to the peak saw enough of it to stand for it.
    pub(crate) fn tells_the_peak(&self) -> bool {
        match (&self.witness, self.peak) {
            (Some(witness), Some(peak)) => witness.rss.ratio_of(peak.rss) >= WITNESS_RATIO_MIN,
            _ => false,
        }
    }
}

/// "2.27 GiB cache.db, 184 MiB glibc heap, 46.0 MiB in others".
pub(crate) fn composition_words(components: &[Component]) -> String {
    let mut words: Vec<String> = components
        .iter()
        .filter(|component| !component.usage.resident.is_zero())
        .take(VERDICT_NAMES)
        .map(|component| format!("{} {}", component.usage.resident, component.name))
        .collect();
    let others: Bytes = components
        .iter()
        .filter(|component| !component.usage.resident.is_zero())
        .skip(VERDICT_NAMES)
        .map(|component| component.usage.resident)
        .sum();
    if !others.is_zero() {
        words.push(format!("{others} in others"));
    }
    words.join(", ")
}

/// "1.96 s before the peak, at 99% of it (7.00 MiB less)".
fn witness_words(peak: Instant, witness: &Witness<'_>) -> String {
    let missing = peak.rss.saturating_sub(witness.rss);
    let place = if witness.distance.is_zero() {
        "at the time of the peak".to_owned()
    } else {
        let side = if witness.timed.at < peak.at {
            "before"
        } else {
            "after"
        };
        format!("{} {side} the peak", span(witness.distance))
    };
    if missing.is_zero() {
        place
    } else {
        let share = percent(witness.rss, peak.rss);
        format!("{place}, at {share} of it ({missing} less)")
    }
}

impl Run<'_> {
    /// The kernel sees every peak, a sampler only some: says so when the two differ. Of several
    /// processes the marks may lie at different times, so they are not added up.
    pub(crate) fn kernel_peak_note(&self) -> Option<String> {
        let (peak, kernel) = (self.peak?, self.kernel_peak()?);
        if self.recorded.processes.len() != 1 || kernel <= peak.rss {
            return None;
        }
        Some(format!(
            "The kernel's own high-water mark is {kernel}: samples every {} saw {} of it.",
            span(self.recorded.meta.interval),
            percent(peak.rss, kernel)
        ))
    }

    /// Gaps of the recording, and of the breakdown that stands for the peak.
    pub(crate) fn gaps(&self) -> Vec<Gap> {
        let mut gaps = self.recorded.gaps.clone();
        for gap in self
            .witness
            .iter()
            .flat_map(|witness| &witness.timed.breakdown.gaps)
        {
            if !gaps.contains(gap) {
                gaps.push(gap.clone());
            }
        }
        gaps
    }

    /// What the recording cost, us and the target.
    pub(crate) fn cost_note(&self) -> String {
        let meta = &self.recorded.meta;
        let length = meta.length.as_secs_f64();
        // Below a second the fixed cost of a start stands for nothing that lasts.
        let share = if length >= 1.0 {
            let percent = meta.recorder_cpu.as_secs_f64() / length * 100.0;
            format!(", {percent:.2}% of one core")
        } else {
            String::new()
        };
        let breakdowns = &self.recorded.breakdowns;
        let hold = breakdowns
            .iter()
            .map(|timed| timed.breakdown.cost.longest_hold)
            .max();
        let hold = hold.map_or_else(String::new, |hold| {
            let hold = span(hold);
            format!("; held the target's memory lock at most {hold} at a time")
        });
        let interval = span(meta.interval);
        let samples = match meta.samples_taken {
            0 => "no sample".to_owned(),
            1 => "1 sample".to_owned(),
            taken => format!("{taken} samples every {interval}"),
        };
        let breakdowns = match breakdowns.len() {
            0 => "no breakdown".to_owned(),
            taken => count(taken as u64, "breakdown", "breakdowns"),
        };
        // A recording that was cut off does not know it.
        let cpu = match meta.recorder_cpu {
            Duration::ZERO => String::new(),
            cpu => format!("; recording took {} of processor time{share}", span(cpu)),
        };
        format!("{samples} and {breakdowns}{cpu}{hold}")
    }
}

/// Who was recorded, when, and how it ended.
pub(crate) fn facts(meta: &RecordingMeta) -> Vec<String> {
    let mut facts = match meta.start() {
        Some((root, started_at)) => vec![format!("pid {}", root.pid), date(started_at)],
        // Cut off before anything of the subject was written.
        None => vec!["the start was not recorded".to_owned()],
    };
    facts.push(format!("recorded for {}", span(meta.length)));
    facts.push(ending(meta));
    facts
}

/// How the subject ended, and whether the recording did.
fn ending(meta: &RecordingMeta) -> String {
    let ended = match (meta.exit_code, meta.exit_signal) {
        (_, Some(signal)) => Some(format!("ended by signal {signal}")),
        (Some(code), None) => Some(format!("exit code {code}")),
        (None, None) => None,
    };
    match (ended, meta.complete) {
        (Some(ended), true) => ended,
        (None, true) => "still running at the end of the recording".to_owned(),
        (Some(ended), false) => format!("{ended}, recording not closed"),
        (None, false) => {
            "cut off: the recorder is still running or did not finish, the last second may be \
             missing"
                .to_owned()
        }
    }
}

/// RSS of a breakdown as samples count it: added up over processes, shared pages once in each.
pub(crate) fn comparable_rss(breakdown: &Breakdown) -> Bytes {
    if breakdown.totals.status_rss.is_zero() {
        breakdown.totals.usage.resident
    } else {
        breakdown.totals.status_rss
    }
}

fn witness(recorded: &Recorded, peak: Instant) -> Option<Witness<'_>> {
    let candidates = || recorded.breakdowns.iter().enumerate();
    let highest = candidates()
        .map(|(_, timed)| comparable_rss(&timed.breakdown))
        .max()?;
    let enough = highest.0 as f64 - peak.rss.0 as f64 * WITNESS_TOLERANCE;
    let (index, timed) = candidates()
        .filter(|(_, timed)| comparable_rss(&timed.breakdown).0 as f64 >= enough)
        .min_by_key(|(_, timed)| timed.at.abs_diff(peak.at))?;
    Some(Witness {
        index,
        timed,
        distance: timed.at.abs_diff(peak.at),
        rss: comparable_rss(&timed.breakdown),
    })
}

/// Adds up the samples of one tick over processes. A process without a sample in a tick (thinned
/// out by the reader of the recording) keeps its last figure until it ends.
fn totals(recorded: &Recorded) -> Vec<Instant> {
    let ended: HashMap<ProcessId, Duration> = recorded
        .processes
        .iter()
        .filter_map(|process| Some((process.id, process.ended?)))
        .collect();
    let mut current: HashMap<ProcessId, Bytes> = HashMap::new();
    let mut totals = Vec::new();
    for tick in ticks(&recorded.samples, recorded.meta.interval / 2) {
        let at = tick[0].at;
        current.retain(|process, _| ended.get(process).is_none_or(|end| *end > at));
        for sample in tick {
            current.insert(sample.process, sample.rss);
        }
        totals.push(Instant {
            at,
            rss: current.values().copied().sum(),
        });
    }
    totals
}

/// Samples in runs that belong together: no process twice, none later than `spread` after the
/// first.
fn ticks(samples: &[Sample], spread: Duration) -> Vec<&[Sample]> {
    let mut ticks = Vec::new();
    let mut start = 0;
    let mut seen = HashSet::new();
    for (index, sample) in samples.iter().enumerate() {
        let late = sample.at.saturating_sub(samples[start].at) > spread;
        if index > start && (late || seen.contains(&sample.process)) {
            ticks.push(&samples[start..index]);
            seen.clear();
            start = index;
        }
        seen.insert(sample.process);
    }
    if start < samples.len() {
        ticks.push(&samples[start..]);
    }
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_model::ProcessRecord;

    fn id(pid: u32) -> ProcessId {
        ProcessId { pid, start_time: 1 }
    }

    /// A recording of samples "(milliseconds, pid, bytes)" at 100 ms, where processes end at the
    /// given milliseconds.
    fn recording(samples: &[(u64, u32, u64)], ends: &[(u32, u64)]) -> Recorded {
        Recorded {
            meta: RecordingMeta {
                command: Vec::new(),
                root: id(1),
                started_at: Duration::ZERO,
                length: Duration::from_secs(1),
                interval: Duration::from_millis(100),
                exit_code: None,
                exit_signal: None,
                complete: true,
                tool_version: String::new(),
                recorder_cpu: Duration::ZERO,
                samples_taken: samples.len() as u64,
            },
            processes: ends
                .iter()
                .map(|(pid, end)| ProcessRecord {
                    id: id(*pid),
                    parent: 1,
                    name: String::new(),
                    command: Vec::new(),
                    first_seen: Duration::ZERO,
                    ended: Some(Duration::from_millis(*end)),
                    rss_peak: Bytes::ZERO,
                })
                .collect(),
            samples: samples
                .iter()
                .map(|(at, pid, rss)| Sample {
                    at: Duration::from_millis(*at),
                    process: id(*pid),
                    rss: Bytes(*rss),
                    anon: Bytes(*rss),
                    file: Bytes::ZERO,
                    shmem: Bytes::ZERO,
                    swap: Bytes::ZERO,
                })
                .collect(),
            breakdowns: Vec::new(),
            stages: Vec::new(),
            pressure: Vec::new(),
            cap: None,
            events: Vec::new(),
            gaps: Vec::new(),
        }
    }

    #[test]
    fn samples_of_a_tick_are_added_up() {
        let check = |samples: &[(u64, u32, u64)], ends: &[(u32, u64)], expected: &[(u64, u64)]| {
            let recorded = recording(samples, ends);
            let totals: Vec<(u64, u64)> = Run::of(&recorded)
                .totals
                .iter()
                .map(|total| (total.at.as_millis() as u64, total.rss.0))
                .collect();
            assert_eq!(totals, expected);
        };
        check(&[], &[], &[]);
        check(&[(0, 1, 5), (100, 1, 7)], &[], &[(0, 5), (100, 7)]);
        // Two processes a few milliseconds apart are one tick.
        check(
            &[(0, 1, 5), (3, 2, 10), (100, 1, 6), (104, 2, 11)],
            &[],
            &[(0, 15), (100, 17)],
        );
        // A process that ended is not carried on; one whose sample was thinned out is.
        check(
            &[(0, 1, 5), (3, 2, 10), (100, 1, 6), (200, 1, 7)],
            &[(2, 150)],
            &[(0, 15), (100, 16), (200, 7)],
        );
    }

    #[test]
    fn a_peak_without_a_breakdown_says_so() {
        let recorded = recording(&[(0, 1, 1024), (100, 1, 4096), (200, 1, 4096)], &[]);
        let run = Run::of(&recorded);
        let peak = run.peak.expect("there are samples");
        assert_eq!(
            (peak.at, peak.rss),
            (Duration::from_millis(100), Bytes(4096))
        );
        assert!(run.verdict().contains("4.00 KiB"), "{}", run.verdict());
        assert!(run.verdict().contains("not known"), "{}", run.verdict());
        assert!(run.before().is_none() && run.end().is_none());
    }
}
