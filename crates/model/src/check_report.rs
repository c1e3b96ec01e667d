//! What `plimsoll check` found: a verdict for each rule of a file.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Verdict;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckReport {
    /// The file that the rules come from.
    pub file: String,
    /// Whether faults were injected to see the rules fail.
    pub self_test: bool,
    pub results: Vec<CheckResult>,
}

impl CheckReport {
    /// Fails if one fails, else inconclusive if one is, else holds.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let has = |verdict| self.results.iter().any(|result| result.verdict == verdict);
        if has(Verdict::Fails) {
            Verdict::Fails
        } else if has(Verdict::Inconclusive) {
            Verdict::Inconclusive
        } else {
            Verdict::Holds
        }
    }
}

/// One rule of one check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The name of the check.
    pub check: String,
    /// What was asked: "peak < 200 MiB".
    pub rule: String,
    pub verdict: Verdict,
    /// What was found, with its numbers, in one sentence.
    pub found: String,
    /// Time that its runs took.
    pub length: Duration,
}
