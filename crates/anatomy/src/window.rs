//! A buffered view of a target's resident memory, for walks over many small headers.
//!
//! Holds one block of at most [`BLOCK`] bytes. Words on pages that are not resident read as
//! `None`: they are never faulted in.

use plimsoll_model::AddressRange;

use crate::ground::Ground;

/// Big enough that a system call is cheap beside the copy, small enough to stay in cache.
const BLOCK: u64 = 256 * 1024;

pub(crate) struct Window<'a> {
    ground: &'a Ground<'a>,
    resident: Vec<AddressRange>,
    block: Vec<u8>,
    held: AddressRange,
}

impl<'a> Window<'a> {
    /// A view of the resident pages of `range`.
    pub(crate) fn new(ground: &'a Ground<'a>, range: AddressRange) -> Window<'a> {
        let resident = ground.resident(range);
        Window {
            ground,
            resident,
            block: Vec::new(),
            held: AddressRange::new(0, 0),
        }
    }

    /// Eight bytes at `address` (8-aligned), or `None` when the page is not resident.
    pub(crate) fn word(&mut self, address: u64) -> Option<u64> {
        if !self.held.covers(AddressRange::sized(address, 8)) {
            self.fetch(address)?;
        }
        let at = usize::try_from(address - self.held.start).ok()?;
        let bytes = self.block.get(at..at + 8)?;
        Some(u64::from_ne_bytes(bytes.try_into().ok()?))
    }

    /// Drops the block at hand: the next word is read anew.
    pub(crate) fn forget(&mut self) {
        self.held = AddressRange::new(0, 0);
    }

    fn fetch(&mut self, address: u64) -> Option<()> {
        let first = self.resident.partition_point(|run| run.end <= address);
        let run = self
            .resident
            .get(first)
            .filter(|run| run.contains(address))?;
        let start = self.ground.page_size().round_down(address).max(run.start);
        let range = AddressRange::new(start, run.end.min(start + BLOCK));
        self.block.resize(usize::try_from(range.size().0).ok()?, 0);
        self.forget();
        if !self.ground.target.read(range.start, &mut self.block) {
            return None;
        }
        self.held = range;
        range.covers(AddressRange::sized(address, 8)).then_some(())
    }
}
