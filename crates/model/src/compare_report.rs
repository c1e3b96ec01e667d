//! What `plimsoll compare` found: a receipt for each measure, and the owners behind it.

use serde::{Deserialize, Serialize};

use crate::{Gap, Measure, Receipt, Trial};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompareReport {
    /// In the order of the steps; the first is the baseline.
    pub arms: Vec<ArmRecord>,
    /// Rounds in which every arm ran once, the order turned round from one to the next. `None`
    /// when arms are recordings, which were made at other times.
    pub rounds: Option<usize>,
    pub confidence: f64,
    /// Peak RSS first.
    pub receipts: Vec<MeasuredReceipt>,
    /// Of each owner at the peak, the largest change first.
    pub owners: Vec<MeasuredReceipt>,
    pub gaps: Vec<Gap>,
}

/// One state of the program: what was run, and its trials in the order of the rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmRecord {
    pub name: String,
    pub command: Vec<String>,
    /// `KEY=VALUE`, added to the environment.
    pub environment: Vec<String>,
    /// Files it was read from, instead of runs.
    pub recordings: Vec<String>,
    pub trials: Vec<Trial>,
    /// Trials that failed, which are not among those.
    pub failed: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasuredReceipt {
    pub measure: Measure,
    pub receipt: Receipt,
}
