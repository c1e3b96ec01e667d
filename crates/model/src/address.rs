//! A half-open range of virtual addresses, the unit that owners are assigned to.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Bytes;

/// `[start, end)` in one process's address space. `start <= end` always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AddressRange {
    pub start: u64,
    pub end: u64,
}

impl AddressRange {
    /// The range from `start` to `end`; empty at `start` when they are out of order.
    #[must_use]
    pub const fn new(start: u64, end: u64) -> AddressRange {
        AddressRange {
            start,
            end: if end < start { start } else { end },
        }
    }

    #[must_use]
    pub const fn sized(start: u64, size: u64) -> AddressRange {
        AddressRange {
            start,
            end: start.saturating_add(size),
        }
    }

    #[must_use]
    pub const fn size(self) -> Bytes {
        Bytes(self.end - self.start)
    }

    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.start >= self.end
    }

    #[must_use]
    pub const fn contains(self, address: u64) -> bool {
        self.start <= address && address < self.end
    }

    #[must_use]
    pub const fn covers(self, other: AddressRange) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    #[must_use]
    pub const fn overlaps(self, other: AddressRange) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// The common part; empty when there is none.
    #[must_use]
    pub fn intersection(self, other: AddressRange) -> AddressRange {
        AddressRange::new(self.start.max(other.start), self.end.min(other.end))
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.start, self.end)
    }
}
