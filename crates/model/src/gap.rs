//! A missing reading: what, and why. Never a zero in its place.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something that was not read, or not with the best means.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Gap {
    /// What is missing, as the reader of a report would call it: "PSS of shared pages".
    pub what: String,
    pub reason: GapReason,
    /// The system's words or the numbers, and what the reader can do.
    pub detail: String,
}

impl Gap {
    #[must_use]
    pub fn new(what: impl Into<String>, reason: GapReason, detail: impl Into<String>) -> Gap {
        Gap {
            what: what.into(),
            reason,
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.reason.name())?;
        if self.detail.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.detail)
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// No permission.
    Denied,
    /// It went away while it was read.
    Vanished,
    /// This kernel or program version does not have it.
    Unsupported,
    /// It was there but made no sense.
    Malformed,
    /// It changed while it was read, so parts do not fit each other.
    Changed,
    /// A stated bound was reached.
    Bounded,
    /// It was looked for and there is none.
    Absent,
}

impl GapReason {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            GapReason::Denied => "permission denied",
            GapReason::Vanished => "vanished",
            GapReason::Unsupported => "not supported here",
            GapReason::Malformed => "malformed",
            GapReason::Changed => "changed while read",
            GapReason::Bounded => "left out to bound the cost",
            GapReason::Absent => "none found",
        }
    }
}
