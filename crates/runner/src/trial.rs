//! One execution of a command, from its start to its end, as a [`Trial`].
//!
//! Memory: the sizes of the owners at two full readings, and one [`Stage`] a mark, at most
//! [`STAGES_MAX`].

use std::ops::ControlFlow;
use std::time::Duration;

use plimsoll_model::{
    Breakdown, Bytes, Event, Gap, GapReason, OwnerSize, ProcessId, ProcessRecord, RssParts, Sample,
    Seen, Stage, Trial,
};

use crate::{BreakdownReason, Launch, Observer, Options, Outcome, Progress, RunnerError, run};

/// 100 bytes each. A trial that is cut finer is not read stage by stage by anybody.
const STAGES_MAX: usize = 100_000;

/// Runs a command to its end.
///
/// `read_breakdown` as for [`run`]; [`no_breakdowns`] for a trial in which only quick figures count
/// and nothing may run beside the subject. Returns the signal that interrupted us, if any: then the
/// trial does not count.
pub fn run_trial(
    options: &Options,
    launch: &Launch,
    read_breakdown: impl FnMut(&[ProcessId]) -> Result<Breakdown, Gap> + Send,
) -> Result<(Trial, Option<i32>), RunnerError> {
    let mut observer = TrialObserver::default();
    let outcome = run(options, launch, read_breakdown, &mut observer)?;
    let interrupted = outcome.interrupted;
    Ok((observer.finish(outcome), interrupted))
}

/// Reads nothing, at no cost.
pub fn no_breakdowns(_processes: &[ProcessId]) -> Result<Breakdown, Gap> {
    Err(Gap::new("breakdown", GapReason::Bounded, "not asked for"))
}

#[derive(Debug, Default)]
struct TrialObserver {
    /// Sums over the processes of the tick that is under way, and of the last one.
    tick: RssParts,
    last: RssParts,
    before_last: RssParts,
    rss_max: Bytes,
    own_max: Bytes,
    process_peak: Bytes,
    peak: Option<Reading>,
    latest: Option<Reading>,
    pss_max: Option<(Bytes, Bytes)>,
    stages: Vec<Stage>,
}

/// A full reading: RSS as samples count it, PSS, and who held it.
#[derive(Clone, Debug)]
struct Reading {
    rss: Bytes,
    proportional: Bytes,
    owners: Vec<OwnerSize>,
}

impl Reading {
    fn of(breakdown: &Breakdown) -> Reading {
        let totals = &breakdown.totals;
        let owners = breakdown.components.iter().map(|component| OwnerSize {
            name: component.name.clone(),
            resident: component.usage.resident,
            proportional: component.usage.proportional,
        });
        Reading {
            rss: if totals.status_rss.is_zero() {
                totals.usage.resident
            } else {
                totals.status_rss
            },
            proportional: totals.usage.proportional,
            owners: owners.collect(),
        }
    }
}

impl TrialObserver {
    fn finish(self, outcome: Outcome) -> Trial {
        // Of a single process the kernel's own mark misses nothing; of several the marks may lie
        // at different times, and each alone is a lower bound.
        let rss_peak = self.rss_max.max(self.process_peak);
        let own_peak = self.own_max.max(self.stages_own_max());
        let at_end = self.at_end();
        Trial {
            exit_code: outcome.end.exit_code(),
            exit_signal: outcome.end.exit_signal(),
            length: outcome.length,
            cpu: outcome.cpu,
            major_faults: outcome.major_faults,
            rss_peak,
            own_peak,
            pss_peak: self.pss_max.map(|(pss, rss)| Seen {
                bytes: pss,
                share: rss.ratio_of(rss_peak),
            }),
            pss_end: self.latest.map(|reading| Seen {
                bytes: reading.proportional,
                share: reading.rss.ratio_of(at_end.rss),
            }),
            at_end,
            peak_reading_share: self
                .peak
                .as_ref()
                .map(|reading| reading.rss.ratio_of(rss_peak)),
            at_peak: self.peak.map_or_else(Vec::new, |reading| reading.owners),
            stages: self.stages,
            cap: outcome.cap,
            errors: outcome.errors,
        }
    }

    /// The last tick of all may find nobody left.
    fn read(&mut self, parts: RssParts) {
        if !parts.rss.is_zero() {
            self.before_last = std::mem::replace(&mut self.last, parts);
        }
    }

    /// What was held at the end. The very last reading may have seen a program that was giving
    /// everything back on its way out, so it is the higher one of the last two.
    fn at_end(&self) -> RssParts {
        if self.before_last.rss > self.last.rss {
            self.before_last
        } else {
            self.last
        }
    }

    /// At marks too memory was read.
    fn stages_own_max(&self) -> Bytes {
        let ends = self.stages.iter().map(|stage| stage.at_end.own());
        ends.max().unwrap_or_default()
    }
}

impl Observer for TrialObserver {
    fn started(&mut self, _root: ProcessId, _started_at: Duration) {}

    fn process_started(&mut self, _process: &ProcessRecord) {}

    fn process_ended(&mut self, process: &ProcessRecord) {
        self.process_peak = self.process_peak.max(process.rss_peak);
    }

    fn sample(&mut self, sample: &Sample) {
        self.tick.add(sample);
    }

    fn breakdown(&mut self, _at: Duration, _reason: BreakdownReason, breakdown: Breakdown) {
        let reading = Reading::of(&breakdown);
        if self
            .pss_max
            .is_none_or(|(pss, _)| reading.proportional > pss)
        {
            self.pss_max = Some((reading.proportional, reading.rss));
        }
        if self.peak.as_ref().is_none_or(|peak| reading.rss > peak.rss) {
            self.peak = Some(reading.clone());
        }
        self.latest = Some(reading);
    }

    fn event(&mut self, _event: &Event) {}

    fn gap(&mut self, _at: Duration, _gap: &Gap) {}

    fn stage(&mut self, stage: &Stage) {
        // Marks are read to the instant, ticks come when they come.
        self.rss_max = self.rss_max.max(stage.at_end.rss);
        // The last stage ends with the figures of the last tick.
        if stage.at_end != self.last {
            self.read(stage.at_end);
        }
        if self.stages.len() < STAGES_MAX {
            self.stages.push(stage.clone());
        }
    }

    fn ticked(&mut self, _progress: &Progress) -> ControlFlow<()> {
        let tick = std::mem::take(&mut self.tick);
        self.rss_max = self.rss_max.max(tick.rss);
        self.own_max = self.own_max.max(tick.own());
        self.read(tick);
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(observer: &mut TrialObserver, mib: u64) {
        observer.tick.rss = Bytes::mib(mib);
        let progress = Progress {
            at: Duration::ZERO,
            rss: Bytes::ZERO,
            rss_max: Bytes::ZERO,
            processes: 1,
            samples: 1,
            breakdowns: 0,
        };
        let _ = observer.ticked(&progress);
    }

    #[test]
    fn the_end_is_what_was_held_before_it_was_given_back() {
        let check = |ticks: &[u64], expected: u64| {
            let mut observer = TrialObserver::default();
            ticks.iter().for_each(|mib| tick(&mut observer, *mib));
            assert_eq!(observer.at_end().rss, Bytes::mib(expected), "{ticks:?}");
        };
        check(&[], 0);
        check(&[7], 7);
        check(&[50, 20, 20, 20], 20);
        check(&[50, 20, 20, 3], 20);
        check(&[50, 20, 20, 3, 0], 20);
        check(&[50, 20, 30], 30);
    }
}
