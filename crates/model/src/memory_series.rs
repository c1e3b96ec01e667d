//! Memory against work done: what a judgement on leaks is made from.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Bytes, Kind, RssParts};

/// Points in order of work. 60 bytes each, and 60 and a name for each owner of a full reading.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MemorySeries {
    pub points: Vec<MemoryPoint>,
    /// Full readings: fewer than points where they would have cost the subject too much.
    pub owners: Vec<OwnersPoint>,
}

/// Quick figures when so much work was done.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemoryPoint {
    /// Cycles, requests or seconds.
    pub work: f64,
    /// Since the start of the run.
    pub at: Duration,
    pub parts: RssParts,
}

/// Who held the memory when so much work was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OwnersPoint {
    pub work: f64,
    pub owners: Vec<OwnerLevel>,
}

/// What one owner held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerLevel {
    pub name: String,
    pub kind: Kind,
    pub resident: Bytes,
    /// In use by the program, where the owner's own structures tell.
    pub live: Option<Bytes>,
    /// Freed by the program and held for reuse.
    pub held_free: Option<Bytes>,
}
