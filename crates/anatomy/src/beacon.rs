//! What a process publishes of itself: finds the pages of beacons among the mappings and reads them.
//!
//! The writer is a program that may be broken or hostile. Everything is bounded by the size of a slot,
//! every length is checked, and nothing that is read is used as an address or as a size of anything.
//! Format: docs/reference/beacon.md.

mod records;
mod slot;

use std::time::Duration;

use plimsoll_model::{Backing, Bytes, Gap, GapReason, Kind, Mapping, Published};

use crate::ground::Ground;
use crate::holding::Holding;
use slot::{PAGE_BYTES, SLOT_BYTES, Slot, SlotError};

pub use records::Records;

const MEMFD_NAME: &str = "plimsoll-beacon";
/// Pages of that name that are looked at: a process has one, and two while it replaces it.
const PAGES_MAX: usize = 4;
/// Readings of a page before it counts as torn. A writer takes microseconds and leaves one slot of
/// two alone, so the second try is nearly always whole.
const TRIES: usize = 5;
const WHAT: &str = "figures that the program publishes";

/// The newest whole text that this process itself has published.
pub(crate) fn published(ground: &Ground<'_>, holdings: &[Holding<'_>]) -> Option<Published> {
    let pages = ground.snapshot.mappings.iter().filter(|it| is_beacon(it));
    let mut newest: Option<Slot> = None;
    for page in pages.take(PAGES_MAX) {
        match read(ground, page) {
            Ok(slot) if slot.start_time != ground.snapshot.process.id.start_time => {
                ground.gap(SlotError::OtherProcess.gap());
            }
            Ok(slot) => {
                if newest
                    .as_ref()
                    .is_none_or(|known| known.written_at < slot.written_at)
                {
                    newest = Some(slot);
                }
            }
            Err(error) => ground.gap(error.gap()),
        }
    }
    let slot = newest?;
    let written_at = Duration::from_nanos(slot.written_at);
    let Some(records) = Records::parse(&slot.text, written_at) else {
        ground.gap(malformed("its records have lengths that do not fit"));
        return None;
    };
    let process = &ground.snapshot.process.id;
    let now = ground.snapshot.taken_at;
    Some(Published {
        process: *process,
        age: now.saturating_sub(written_at),
        total: records.total,
        tags: records.tags,
        stages: records.stages,
        budgets: records.budgets,
        left_out: records.left_out,
        heap: heap(holdings),
    })
}

fn malformed(detail: &str) -> Gap {
    Gap::new(WHAT, GapReason::Malformed, detail)
}

fn is_beacon(mapping: &Mapping) -> bool {
    matches!(&mapping.backing, Backing::Memfd(name) if name == MEMFD_NAME)
}

/// The newer of the two slots, if any of them is whole.
fn read(ground: &Ground<'_>, page: &Mapping) -> Result<Slot, SlotError> {
    let whole = page.offset == 0 && page.range.size() == Bytes(PAGE_BYTES);
    if !whole || !page.permissions.read {
        return Err(SlotError::Foreign);
    }
    let start = page.range.start;
    let mut error = SlotError::Absent;
    for _ in 0..TRIES {
        let slots = [start, start + SLOT_BYTES].map(|at| Slot::read(ground.target, at));
        let mut newest: Option<Slot> = None;
        for slot in slots {
            match slot {
                Ok(slot) => {
                    if newest
                        .as_ref()
                        .is_none_or(|known| known.sequence < slot.sequence)
                    {
                        newest = Some(slot);
                    }
                }
                // A slot that was never written says less than one that makes no sense.
                Err(found) => error = error.max(found),
            }
        }
        if let Some(slot) = newest {
            return Ok(slot);
        }
    }
    Err(error)
}

fn heap(holdings: &[Holding<'_>]) -> Bytes {
    let heaps = holdings.iter().filter(|held| held.owner.kind == Kind::Heap);
    heaps
        .map(|held| {
            let counters = held.counters();
            counters.rss + counters.swap
        })
        .sum()
}

#[cfg(test)]
mod tests;
