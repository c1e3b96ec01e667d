//! What a process says of its own memory: a beacon of the `plimsoll` library, read from outside.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Bytes, ProcessId};

/// One process's own account. Nothing of it is in the sums of a breakdown: it is a second opinion,
/// and a program may be wrong about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    pub process: ProcessId,
    /// Time between its writing and the reading.
    pub age: Duration,
    /// Over all tags; `None` where no ledger counts.
    pub total: Option<Counted>,
    pub tags: Vec<PublishedTag>,
    /// Open ones, in the order in which they began.
    pub stages: Vec<PublishedStage>,
    pub budgets: Vec<PublishedBudget>,
    /// Records that did not fit into the beacon.
    pub left_out: u64,
    /// Resident and swapped bytes of all heaps of this process, as they were read from outside.
    pub heap: Bytes,
}

impl Published {
    /// What the heaps hold beyond live bytes: free blocks, rounding, and what other code (C libraries)
    /// allocated. An estimate: the two figures are `age` apart, and live blocks that were never
    /// touched make it too low. `None` without a ledger, or where the heaps hold less than is live.
    #[must_use]
    pub fn beyond_live(&self) -> Option<Bytes> {
        let live = self.total?.live;
        (self.heap >= live).then(|| self.heap.saturating_sub(live))
    }
}

/// Requested bytes and blocks, as the program counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    pub live: Bytes,
    pub live_blocks: u64,
    pub peak: Bytes,
    /// All that was ever requested.
    pub requested: Bytes,
    pub requested_blocks: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedTag {
    pub name: String,
    pub counted: Counted,
}

/// A stage that is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedStage {
    /// Names from the outermost stage to this one, joined by `/`.
    pub path: String,
    /// How long it has been open when it was written.
    pub open_for: Duration,
    /// Live bytes at its beginning; `None` without a ledger.
    pub begin_live: Option<Bytes>,
    /// Highest live bytes inside it so far.
    pub peak_live: Option<Bytes>,
}

/// A pool of bytes with its consumers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedBudget {
    pub name: String,
    pub limit: Bytes,
    /// Part of the limit kept back because RSS exceeds the account.
    pub withheld: Bytes,
    pub held: Bytes,
    pub held_peak: Bytes,
    pub left: Bytes,
    /// RSS less the account when the two were last compared.
    pub drift: i64,
    /// Requests that wait, and what they want together.
    pub waiting: u64,
    pub waiting_for: Bytes,
    pub consumers: Vec<PublishedConsumer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedConsumer {
    pub name: String,
    pub held: Bytes,
    pub held_peak: Bytes,
    pub refused: u64,
}
