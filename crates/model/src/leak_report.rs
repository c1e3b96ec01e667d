//! What `plimsoll leak` found: a verdict on the program's own memory, and the same judgement on
//! everything else that was measured.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Bytes, Gap, Growth, MemoryPoint};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeakReport {
    /// The command line, or the name and pid of a running process.
    pub subject: String,
    pub drive: Drive,
    /// One unit of work: "cycle", "request", "second".
    pub unit: String,
    /// Since the Unix epoch.
    pub started_at: Duration,
    pub length: Duration,
    /// Of all intervals, 0 to 1.
    pub confidence: f64,
    /// The memory line whose crossing is foretold.
    pub budget: Option<Bytes>,
    pub series: Vec<MemoryPoint>,
    /// The verdict: memory that no file backs, in RAM or swap.
    pub own: MeasuredGrowth,
    /// RSS, mapped files, and what allocators say is live and is held free, by the names that
    /// [`MeasuredGrowth`] has for them; a measure that could not be read is missing.
    pub measures: Vec<MeasuredGrowth>,
    /// Each owner by name, the fastest growing first.
    pub owners: Vec<MeasuredGrowth>,
    pub gaps: Vec<Gap>,
}

/// A judgement on one measure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasuredGrowth {
    /// Of an owner, or one of the constants below.
    pub name: String,
    /// Points it was judged from.
    pub points: usize,
    pub growth: Growth,
}

impl MeasuredGrowth {
    /// Memory that no file backs, in RAM or swap.
    pub const OWN: &'static str = "own memory";
    pub const RSS: &'static str = "RSS";
    /// Resident pages of files.
    pub const FILES: &'static str = "mapped files";
    /// In use by the program, as its allocators' own structures tell.
    pub const LIVE: &'static str = "allocator: live";
    /// Freed by the program and held for reuse.
    pub const HELD: &'static str = "allocator: freed but held";
}

/// What a unit of work was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drive {
    /// A mark that the command made.
    Marks,
    /// A line that it wrote.
    Log,
    /// An action that was done to a running process.
    Actions,
    /// A second that passed.
    Time,
}
