//! Stages of a run: named stretches between two marks, with the peak inside each.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Bytes, Sample};

/// Quick figures of one instant, added up over processes (pages shared by several count in each).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RssParts {
    pub rss: Bytes,
    pub anon: Bytes,
    pub file: Bytes,
    pub shmem: Bytes,
    pub swap: Bytes,
}

impl RssParts {
    /// What no file backs: the program's own memory, in RAM or in swap. Clean file pages, which the
    /// kernel drops when it needs room, are not in it.
    #[must_use]
    pub fn own(&self) -> Bytes {
        self.anon + self.shmem + self.swap
    }

    pub fn add(&mut self, sample: &Sample) {
        self.rss += sample.rss;
        self.anon += sample.anon;
        self.file += sample.file;
        self.shmem += sample.shmem;
        self.swap += sample.swap;
    }
}

/// From one mark to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    pub label: String,
    pub source: StageSource,
    /// Since the start of the recording.
    pub start: Duration,
    pub end: Duration,
    pub at_start: RssParts,
    pub at_end: RssParts,
    /// Highest RSS inside the stage. Of one process it is the kernel's own mark, which is reset at
    /// the start of each stage and misses nothing; of several, the highest sum that was sampled.
    pub peak: Bytes,
    /// What the peak was at most: the sum of the kernel's marks of all processes. `None` when
    /// `peak` is exact.
    pub peak_at_most: Option<Bytes>,
}

impl Stage {
    /// The label of what runs before the first mark.
    pub const BEGINNING: &'static str = "(start)";

    /// RSS at the end less RSS at the start, in bytes; negative when memory was given back.
    #[must_use]
    pub fn change(&self) -> i64 {
        self.at_end.rss.0.cast_signed() - self.at_start.rss.0.cast_signed()
    }
}

/// What cut the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageSource {
    /// The start of the run.
    Start,
    /// The subject said so: `plimsoll mark`, or its own line on the socket.
    Mark,
    /// A line of its output.
    Log,
}

impl StageSource {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            StageSource::Start => "start",
            StageSource::Mark => "mark",
            StageSource::Log => "log",
        }
    }
}

/// Time that tasks waited for memory (PSI), since the start of the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PressureSample {
    /// Since the start of the recording.
    pub at: Duration,
    /// At least one task waited.
    pub some: Duration,
    /// All tasks that were not idle waited at once.
    pub full: Duration,
}
