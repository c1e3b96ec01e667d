//! What attribution may ask of a live process beyond its snapshot: a few words of its memory
//! and which of its pages are resident. A trait, so that anatomy stays callable without a
//! process: tests answer from recorded bytes.

use crate::{AddressRange, Gap};

/// Questions to one process. Every method is read-only and bounded by what it is asked for.
///
/// Implementations read resident pages only: reading a page that is not resident would fault it
/// in and so change what is measured.
pub trait Target {
    /// Copies `buffer.len()` bytes from `address`. `false` (buffer unspecified) when any page of
    /// it is not resident or can't be read.
    fn read(&self, address: u64, buffer: &mut [u8]) -> bool;

    /// Copies `width` bytes from each address, in order, into `out` (`addresses.len() × width`
    /// long after the call); `readable[i]` says whether the i-th could be read. One short system call
    /// an address. Same residency rule as [`Target::read`]; addresses must be in
    /// ascending order.
    fn read_each(&self, addresses: &[u64], width: usize, out: &mut Vec<u8>) -> Vec<bool>;

    /// Resident and swapped pages of `range`, in address order, adjacent equal ones joined.
    fn residency(&self, range: AddressRange) -> Result<Residency, Gap>;

    /// The pages of `range` that others map too, for counting shared pages once over a tree.
    fn shared_pages(&self, range: AddressRange) -> Result<Vec<Page>, Gap>;

    /// Eight bytes at `address`, or `None`.
    fn read_word(&self, address: u64) -> Option<u64> {
        let mut word = [0; 8];
        self.read(address, &mut word)
            .then(|| u64::from_ne_bytes(word))
    }
}

/// Which pages of a range are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Residency {
    pub runs: Vec<PageRun>,
}

impl Residency {
    /// Resident bytes (counted in RSS) within `range`.
    #[must_use]
    pub fn resident_within(&self, range: AddressRange) -> crate::Bytes {
        self.sum_within(range, |run| run.resident)
    }

    /// Swapped-out bytes within `range`.
    #[must_use]
    pub fn swapped_within(&self, range: AddressRange) -> crate::Bytes {
        self.sum_within(range, |run| run.swapped)
    }

    fn sum_within(&self, range: AddressRange, wanted: impl Fn(&PageRun) -> bool) -> crate::Bytes {
        let first = self
            .runs
            .partition_point(|run| run.range.end <= range.start);
        self.runs[first..]
            .iter()
            .take_while(|run| run.range.start < range.end)
            .filter(|run| wanted(run))
            .map(|run| run.range.intersection(range).size())
            .sum()
    }
}

/// A run of pages in the same state. Zero pages and device pages, which RSS does not count, are
/// in no run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRun {
    pub range: AddressRange,
    pub resident: bool,
    pub swapped: bool,
    /// Backed by a file or shared memory; `false` for anonymous pages.
    pub file: bool,
}

/// One page that more than one mapping shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    pub address: u64,
    /// Physical frame number; `None` without CAP_SYS_ADMIN.
    pub frame: Option<u64>,
}
