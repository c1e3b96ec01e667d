//! Whether the kernel can take bytes back, and how.

use plimsoll_model::{Bytes, Counters, CountersSource, Kind, Reclaim, Snapshot};

use crate::holding::Holding;

/// Splits a holding's resident bytes into reclaim classes; they sum to its RSS. `counters` are the
/// holding's.
///
/// Anonymous pages and pages of memory file systems go to swap or nowhere. Of file pages the
/// dirty ones need write-back first. In walk mode the kernel does not say which file pages are
/// dirty: the file's own dirty count (cachestat) bounds them.
pub(crate) fn reclaim_of(
    snapshot: &Snapshot,
    holding: &Holding<'_>,
    counters: &Counters,
    can_swap: CanSwap,
) -> Reclaim {
    let mut reclaim = Reclaim::default();
    if holding.is_locked() || matches!(holding.owner.kind, Kind::Kernel | Kind::Device) {
        reclaim.must_stay = counters.rss;
        return reclaim;
    }
    let lazy_free = counters.lazy_free.min(counters.anonymous);
    let swap_backed = if holding.swap_backed {
        counters.rss
    } else {
        counters.anonymous
    } - lazy_free;
    let file = counters.rss - swap_backed - lazy_free;
    let dirty = match snapshot.counters_source {
        CountersSource::Smaps => counters.dirty().saturating_sub(swap_backed),
        CountersSource::Walk { .. } => dirty_of_file(snapshot, holding),
    };
    reclaim.after_writeback = dirty.min(file);
    reclaim.droppable = file - reclaim.after_writeback + lazy_free;
    if can_swap == CanSwap::Yes {
        reclaim.swap_only = swap_backed;
    } else {
        reclaim.must_stay = swap_backed;
    }
    reclaim
}

fn dirty_of_file(snapshot: &Snapshot, holding: &Holding<'_>) -> Bytes {
    holding
        .file()
        .and_then(|id| snapshot.files.get(&id)?.cache?.dirty)
        .unwrap_or_default()
}

/// Whether anonymous pages have somewhere to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CanSwap {
    Yes,
    No,
}

/// The machine has swap and no cgroup up the tree forbids it.
pub(crate) fn can_swap(snapshot: &Snapshot) -> CanSwap {
    let forbidden = snapshot
        .cgroup
        .iter()
        .flat_map(|cgroup| &cgroup.levels)
        .any(|level| level.swap_max == Some(Bytes::ZERO));
    if snapshot.system.swap_total.is_zero() || forbidden {
        CanSwap::No
    } else {
        CanSwap::Yes
    }
}
