//! A run over time: samples, breakdowns and events, as a recording holds them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Breakdown, Bytes, CapRecord, Gap, PressureSample, ProcessId, Stage};

/// A whole recording in memory. Samples are thinned by the reader of a recording to a stated
/// number of points, peaks kept; breakdowns are all there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    pub meta: RecordingMeta,
    pub processes: Vec<ProcessRecord>,
    /// In time order, all processes mixed.
    pub samples: Vec<Sample>,
    /// In time order.
    pub breakdowns: Vec<TimedBreakdown>,
    /// In time order; empty when the run was not cut into stages.
    pub stages: Vec<Stage>,
    /// In time order; empty where the kernel has no PSI.
    pub pressure: Vec<PressureSample>,
    /// The cap that it ran under.
    pub cap: Option<CapRecord>,
    pub events: Vec<Event>,
    pub gaps: Vec<Gap>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordingMeta {
    /// Command line for `run`, empty for `record`.
    pub command: Vec<String>,
    /// Of pid 0 when the subject's start was not recorded; [`RecordingMeta::start`] tells.
    pub root: ProcessId,
    /// Since the Unix epoch; zero when the start was not recorded.
    pub started_at: Duration,
    /// From the start to the last thing recorded.
    pub length: Duration,
    /// Time between quick samples.
    pub interval: Duration,
    /// `None` while it runs, when it was cut off, or when the subject outlived the recording.
    pub exit_code: Option<i32>,
    /// Signal that ended the subject.
    pub exit_signal: Option<i32>,
    /// Whether the recorder finished its work (`false`: it crashed or was killed).
    pub complete: bool,
    pub tool_version: String,
    /// Processor time that the recorder itself used.
    pub recorder_cpu: Duration,
    /// Samples taken, before thinning.
    pub samples_taken: u64,
}

impl RecordingMeta {
    /// The root process and the time of its start since the Unix epoch; `None` when the recording
    /// was cut off before they were written.
    #[must_use]
    pub fn start(&self) -> Option<(ProcessId, Duration)> {
        (self.root.pid != 0 && !self.started_at.is_zero()).then_some((self.root, self.started_at))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRecord {
    pub id: ProcessId,
    pub parent: u32,
    pub name: String,
    pub command: Vec<String>,
    /// Since the start of the recording.
    pub first_seen: Duration,
    /// `None` while it lives.
    pub ended: Option<Duration>,
    pub rss_peak: Bytes,
}

/// Quick reading of one process at one instant (statm or status).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Since the start of the recording.
    pub at: Duration,
    pub process: ProcessId,
    pub rss: Bytes,
    pub anon: Bytes,
    pub file: Bytes,
    pub shmem: Bytes,
    pub swap: Bytes,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimedBreakdown {
    /// Since the start of the recording.
    pub at: Duration,
    pub breakdown: Breakdown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Since the start of the recording.
    pub at: Duration,
    pub kind: EventKind,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    Started,
    ProcessStarted,
    ProcessEnded,
    Interrupted,
    Ended,
}
