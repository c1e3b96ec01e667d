//! The processes of a subject: found, sampled by quick readings, and seen to end.
//!
//! Memory and descriptors: one open file, a directory and 8 KiB a process, for at most
//! [`PROCESSES_MAX`]. A process that starts and ends between two looks is not seen.

use std::time::Duration;

use plimsoll_model::{
    Bytes, Gap, GapReason, ProcessId, ProcessRecord, RssParts, Sample, StatusFigures,
};
use plimsoll_probe::{ProbeError, QuickSampler, descendants, process_info};

use crate::clock::thread_cpu;

/// Two descriptors each stay below the usual limit of 1024. We must not raise that: the subject
/// would inherit it.
pub(crate) const PROCESSES_MAX: usize = 400;
/// Looking for new processes reads a file for each thread of each process: after a look that took
/// t, the next is no sooner than 1000 × t, which bounds it to 0.1 % of one core.
const LOOK_PAUSE_PER_COST: u32 = 1000;
/// At these ages a process is asked again who it is: it may have executed another program, most
/// likely at once, which on a busy machine takes its time.
const NAME_CHECKS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(10),
];

/// All processes that live, the root first.
#[derive(Debug)]
pub(crate) struct Tree {
    /// Whose descendants belong to the subject: the root itself, or for a command ourselves.
    anchor: u32,
    live: Vec<Live>,
    look_again_at: Duration,
    full: bool,
    /// Peaks of those that ended since the last cut.
    ended_peaks: Vec<Bytes>,
}

/// A process that lives.
#[derive(Debug)]
struct Live {
    record: ProcessRecord,
    sampler: QuickSampler,
    name_checks: usize,
    had_children: bool,
    gone: bool,
    /// Highest RSS since the last cut.
    peak_since_cut: Bytes,
    /// A `plimsoll mark` of the subject's, which waits for us: it belongs to the measurement.
    is_mark: bool,
    /// Whether the kernel's mark was refused to be reset: then it tells nothing of a stage.
    mark_is_old: bool,
}

/// The figures at the instant between two stages.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    pub(crate) parts: RssParts,
    /// Highest RSS of each process since the last cut.
    pub(crate) peaks: Vec<Bytes>,
    /// Processes that were not known yet, and those whose mark the kernel would not reset.
    pub(crate) look: Look,
}

/// A process that ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) record: ProcessRecord,
    /// Whether none of its children was ever seen.
    pub(crate) childless: bool,
}

/// What a look at the tree brought.
#[derive(Debug, Default)]
pub(crate) struct Look {
    pub(crate) samples: Vec<Sample>,
    /// New ones, and known ones under a new name (`true`).
    pub(crate) found: Vec<(ProcessRecord, bool)>,
    pub(crate) gaps: Vec<Gap>,
    /// Those whose memory is gone, told once: they have ended, or are about to.
    pub(crate) gone: Vec<ProcessId>,
}

impl Tree {
    pub(crate) fn new(anchor: u32) -> Tree {
        Tree {
            anchor,
            live: Vec::new(),
            look_again_at: Duration::ZERO,
            full: false,
            ended_peaks: Vec::new(),
        }
    }

    /// Adds a process. An error means that it has no memory to be sampled: ended, not ours.
    pub(crate) fn add(&mut self, pid: u32, now: Duration) -> Result<ProcessRecord, ProbeError> {
        let sampler = QuickSampler::open(pid)?;
        let info = process_info(pid)?;
        let record = ProcessRecord {
            id: sampler.id(),
            parent: info.parent,
            name: info.name,
            command: info.command,
            first_seen: now,
            ended: None,
            rss_peak: Bytes::ZERO,
        };
        if let Some(parent) = self
            .live
            .iter_mut()
            .find(|live| live.id().pid == info.parent)
        {
            parent.had_children = true;
        }
        self.live.push(Live {
            record: record.clone(),
            sampler,
            name_checks: 0,
            had_children: false,
            gone: false,
            peak_since_cut: Bytes::ZERO,
            is_mark: is_mark_command(&record.command),
            mark_is_old: false,
        });
        Ok(record)
    }

    /// Those that have memory.
    pub(crate) fn anchor(&self) -> u32 {
        self.anchor
    }

    pub(crate) fn ids(&self) -> Vec<ProcessId> {
        let live = self.live.iter().filter(|live| live.counts());
        live.map(Live::id).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    /// Samples all processes, those that are new with them.
    pub(crate) fn look(&mut self, now: Duration) -> Look {
        let mut look = Look::default();
        // Known ones first: what is found by a longer search must not delay them.
        self.sample_from(0, now, &mut look);
        self.check_names(now, &mut look);
        if now >= self.look_again_at {
            let before = self.live.len();
            let cost = thread_cpu();
            self.find_new(now, &mut look);
            let cost = thread_cpu().saturating_sub(cost);
            self.look_again_at = now.saturating_add(cost.saturating_mul(LOOK_PAUSE_PER_COST));
            self.sample_from(before, now, &mut look);
        }
        look
    }

    /// Those that have ended, or are about to, and were not told so by a look.
    pub(crate) fn find_gone(&mut self) -> Vec<ProcessId> {
        let mut gone = Vec::new();
        for live in self.live.iter_mut().filter(|live| !live.gone) {
            match live.sampler.read() {
                Ok(Some(figures)) => {
                    live.note_peak(&figures);
                }
                Ok(None) => {
                    live.gone = true;
                    gone.push(live.id());
                }
                // Not readable any more is not gone: a program of another user was executed.
                Err(_) => {}
            }
        }
        gone
    }

    /// Takes a process that ended out of the tree.
    pub(crate) fn remove(&mut self, id: ProcessId, now: Duration) -> Option<Ended> {
        let index = self.live.iter().position(|live| live.id() == id)?;
        let live = self.live.remove(index);
        if !live.is_mark {
            self.ended_peaks.push(live.peak_since_cut);
        }
        Some(Ended {
            record: ProcessRecord {
                ended: Some(now),
                ..live.record
            },
            childless: !live.had_children,
        })
    }

    /// Reads all processes once more, new ones too, and begins their peaks anew.
    pub(crate) fn cut(&mut self, now: Duration) -> Cut {
        let mut cut = Cut {
            peaks: std::mem::take(&mut self.ended_peaks),
            ..Cut::default()
        };
        // The subject waits for it, and a cycle may be shorter than the time between two looks.
        self.find_new(now, &mut cut.look);
        for live in self.live.iter_mut().filter(|live| live.counts()) {
            // One that is gone or refused is told by the next look.
            if let Ok(Some(figures)) = live.sampler.read() {
                live.note_peak(&figures);
                cut.parts.add(&sample_of(live.id(), now, &figures));
            }
            cut.peaks.push(live.peak_since_cut);
            live.peak_since_cut = Bytes::ZERO;
            let refused = live.sampler.reset_peak().err();
            if let Some(error) = refused.filter(|_| !live.mark_is_old) {
                live.mark_is_old = true;
                cut.look.gaps.push(Gap::new(
                    format!("peaks inside stages of {}", live.record.name),
                    GapReason::Denied,
                    format!("{error}; they are the highest of the samples only"),
                ));
            }
        }
        cut
    }

    /// The kernel's last word on a process that has just been removed was above all that was seen:
    /// it rose since the last look.
    pub(crate) fn note_ended_peak(&mut self, peak: Bytes) {
        if let Some(last) = self.ended_peaks.last_mut() {
            *last = (*last).max(peak);
        }
    }

    /// Highest RSS known of any one that lives.
    pub(crate) fn peak(&self) -> Bytes {
        let peaks = self.live.iter().map(|live| live.record.rss_peak);
        peaks.max().unwrap_or_default()
    }

    /// The live process of this pid, if it is in the tree.
    pub(crate) fn id_of(&self, pid: u32) -> Option<ProcessId> {
        let found = self.live.iter().find(|live| live.id().pid == pid);
        found.map(Live::id)
    }

    fn sample_from(&mut self, first: usize, now: Duration, look: &mut Look) {
        for live in self.live[first..].iter_mut().filter(|live| live.counts()) {
            match live.sampler.read() {
                Ok(Some(figures)) => {
                    live.note_peak(&figures);
                    look.samples.push(sample_of(live.id(), now, &figures));
                }
                Ok(None) => {
                    live.gone = true;
                    look.gone.push(live.id());
                }
                Err(error) => {
                    live.gone = true;
                    look.gone.push(live.id());
                    look.gaps.push(Gap::new(
                        format!("samples of {} ({})", live.record.name, live.id()),
                        GapReason::Denied,
                        error.to_string(),
                    ));
                }
            }
        }
    }

    fn check_names(&mut self, now: Duration, look: &mut Look) {
        for live in self.live.iter_mut().filter(|live| !live.gone) {
            let age = now.saturating_sub(live.record.first_seen);
            let due = NAME_CHECKS.get(live.name_checks);
            if age.is_zero() || due.is_none_or(|due| age < *due) {
                continue;
            }
            live.name_checks += 1;
            // It may just have ended: then its sampler will say so.
            let Ok(info) = process_info(live.id().pid) else {
                continue;
            };
            let record = &mut live.record;
            let renamed = info.name != record.name || info.command != record.command;
            if info.id == record.id && renamed && !info.command.is_empty() {
                record.name = info.name;
                record.command = info.command;
                live.is_mark = is_mark_command(&record.command);
                look.found.push((record.clone(), true));
            }
        }
    }

    fn find_new(&mut self, now: Duration, look: &mut Look) {
        for pid in descendants(self.anchor) {
            if self.id_of(pid).is_some() {
                continue;
            }
            if self.live.len() >= PROCESSES_MAX {
                self.tell_full(look);
                return;
            }
            match self.add(pid, now) {
                Ok(record) => look.found.push((record, false)),
                // Ended before it was looked at, or never had memory.
                Err(
                    ProbeError::NoSuchProcess { .. }
                    | ProbeError::Vanished { .. }
                    | ProbeError::Zombie { .. }
                    | ProbeError::KernelThread { .. },
                ) => {}
                Err(error) => {
                    // One is enough: the reason (no descriptors left) is the same for all.
                    if !self.full {
                        look.gaps.push(Gap::new(
                            format!("samples of process {pid}"),
                            GapReason::Denied,
                            error.to_string(),
                        ));
                    }
                    self.full = true;
                    return;
                }
            }
        }
    }

    /// Once: a tree that is too large mostly stays so.
    fn tell_full(&mut self, look: &mut Look) {
        if !std::mem::replace(&mut self.full, true) {
            look.gaps.push(Gap::new(
                "processes of the tree",
                GapReason::Bounded,
                format!("it has more than {PROCESSES_MAX}; the others are not sampled"),
            ));
        }
    }
}

impl Live {
    fn id(&self) -> ProcessId {
        self.record.id
    }

    /// Whether its memory is the subject's.
    fn counts(&self) -> bool {
        !self.gone && !self.is_mark
    }

    fn note_peak(&mut self, figures: &StatusFigures) {
        let peak = figures.rss_peak.max(figures.rss);
        self.record.rss_peak = self.record.rss_peak.max(peak);
        let in_stage = if self.mark_is_old { figures.rss } else { peak };
        self.peak_since_cut = self.peak_since_cut.max(in_stage);
    }
}

/// Whether this is the command line of `plimsoll mark`.
fn is_mark_command(command: &[String]) -> bool {
    let [program, verb, ..] = command else {
        return false;
    };
    let program = program.rsplit('/').next();
    program == Some("plimsoll") && verb == "mark"
}

fn sample_of(process: ProcessId, at: Duration, figures: &StatusFigures) -> Sample {
    Sample {
        at,
        process,
        rss: figures.rss,
        anon: figures.anon,
        file: figures.file,
        shmem: figures.shmem,
        swap: figures.swap,
    }
}
