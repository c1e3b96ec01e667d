//! What a reading cost, ourselves and the target.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The price of one reading. The target pays through its mm lock: while a system call of ours
/// walks its pages, its mmap, munmap and brk calls wait.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReadingCost {
    pub method: Method,
    /// From first to last system call, pauses included.
    pub wall: Duration,
    /// Processor time of the reader.
    pub cpu: Duration,
    /// The longest single system call that holds the target's mm lock: an upper bound on the
    /// stall that this reading added to any one operation of the target.
    pub longest_hold: Duration,
    /// All such calls together.
    pub total_hold: Duration,
    /// How many such calls.
    pub holds: u64,
    /// Text and tables read from /proc.
    pub bytes_read: u64,
    /// Bytes copied out of the target's memory (headers of allocators and runtimes).
    pub target_bytes_read: u64,
}

/// How the counters were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// maps + smaps, page flags only where a mapping has several owners.
    Smaps,
    /// maps + PAGEMAP_SCAN and pagemap in small steps with pauses.
    Walk,
    /// status, statm and smaps_rollup.
    Quick,
}

impl ReadingCost {
    /// Adds the price of another reading: of another process of the same tree.
    pub fn add(&mut self, other: &ReadingCost) {
        self.wall += other.wall;
        self.cpu += other.cpu;
        self.longest_hold = self.longest_hold.max(other.longest_hold);
        self.total_hold += other.total_hold;
        self.holds += other.holds;
        self.bytes_read += other.bytes_read;
        self.target_bytes_read += other.target_bytes_read;
    }
}
