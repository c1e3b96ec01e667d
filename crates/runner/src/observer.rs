//! Who is told what happens, and what is told at the end.

use std::ops::ControlFlow;
use std::time::Duration;

use plimsoll_model::{
    Breakdown, Bytes, CapRecord, Event, Gap, PressureSample, ProcessId, ProcessRecord, Sample,
    Stage,
};

use crate::BreakdownReason;

/// Takes what is sampled, in time order, in the thread that samples: a slow observer costs ticks,
/// which are then counted as missed.
pub trait Observer {
    /// The subject is about to start under a cap, which has no figures yet. `place` says in words
    /// where the cap is, or what it counts.
    fn capped(&mut self, _cap: &CapRecord, _place: &str) {}
    /// The subject is there; `started_at` is since the Unix epoch.
    fn started(&mut self, root: ProcessId, started_at: Duration);
    /// A process was found. Told again for the same process when it took another name: exec.
    fn process_started(&mut self, process: &ProcessRecord);
    /// With `ended` and `rss_peak` filled in.
    fn process_ended(&mut self, process: &ProcessRecord);
    fn sample(&mut self, sample: &Sample);
    fn breakdown(&mut self, at: Duration, reason: BreakdownReason, breakdown: Breakdown);
    fn event(&mut self, event: &Event);
    fn gap(&mut self, at: Duration, gap: &Gap);
    /// A stage ended. Only runs that are cut by marks have any.
    fn stage(&mut self, _stage: &Stage) {}
    /// Memory pressure, once a second where the kernel has it.
    fn pressure(&mut self, _sample: &PressureSample) {}
    /// After each tick. `Break` ends the sampling; a command that was started goes on alone.
    fn ticked(&mut self, progress: &Progress) -> ControlFlow<()>;
}

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub at: Duration,
    /// Sum of the RSS of all processes.
    pub rss: Bytes,
    /// Highest such sum of any tick.
    pub rss_max: Bytes,
    pub processes: usize,
    pub samples: u64,
    pub breakdowns: u64,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub root: ProcessId,
    /// Since the Unix epoch.
    pub started_at: Duration,
    pub length: Duration,
    pub end: End,
    /// The signal that told us to stop or that was passed on, the last one of them.
    pub interrupted: Option<i32>,
    pub samples: u64,
    pub breakdowns: u64,
    /// Ticks that were skipped because we came too late.
    pub ticks_missed: u64,
    /// Processor time of this process since the start.
    pub recorder_cpu: Duration,
    /// Processor time of the root and those it waited for; zero when we are not its parent.
    pub cpu: Duration,
    /// Their page faults that had to read from disk.
    pub major_faults: u64,
    /// The end of the root's standard error, where it passed through us.
    pub errors: String,
    /// The cap that it ran under, with the kernel's figures.
    pub cap: Option<CapRecord>,
}

/// What became of the root process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Exited(i32),
    Killed(i32),
    /// It ended, but only its parent knows how.
    Gone,
    /// The sampling was stopped before it.
    StillRunning,
}

impl End {
    #[must_use]
    pub fn exit_code(self) -> Option<i32> {
        match self {
            End::Exited(code) => Some(code),
            _ => None,
        }
    }

    #[must_use]
    pub fn exit_signal(self) -> Option<i32> {
        match self {
            End::Killed(signal) => Some(signal),
            _ => None,
        }
    }

    /// What a shell would say: the exit code, or 128 and the signal; 0 when it is not known.
    #[must_use]
    pub fn exit_status(self) -> u8 {
        let status = match self {
            End::Exited(code) => code & 0xff,
            End::Killed(signal) => (128 + signal) & 0xff,
            End::Gone | End::StillRunning => 0,
        };
        u8::try_from(status).unwrap_or(u8::MAX)
    }
}
