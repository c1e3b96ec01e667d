//! Counts each physical page once: within a process where it maps the same file page several
//! times, and over a process tree for everything its members share.
//!
//! A page is known by its frame number where the kernel shows it (CAP_SYS_ADMIN), else file
//! pages by file and offset, and pages shared by fork by their address, which is right unless
//! two descendants have rewritten the same page and still share it with others: then the tree's
//! total is an estimate. Memory: about 40 bytes for each shared page of the tree.

use std::collections::{BTreeMap, HashSet};

use plimsoll_model::{AddressRange, Bytes, Exactness, FileId};

use crate::ground::Ground;
use crate::holding::Holding;

/// What tells one physical page from another.
#[derive(PartialEq, Eq, Hash)]
enum PageKey {
    Frame(u64),
    InFile(FileId, u64),
    ByAddress(u64),
}

/// Within one process: only files that are mapped more than once can repeat a page.
pub(crate) fn count_in_process(ground: &Ground<'_>, holdings: &mut [Holding<'_>]) {
    let mut seen = HashSet::new();
    for (index, repeated) in repeated_windows(holdings) {
        count_new(ground, &mut holdings[index], repeated, false, &mut seen);
    }
}

/// Over a tree: every page that has another sharer. Says how exact the result is.
pub(crate) fn count_in_tree(members: &mut [(&Ground<'_>, Vec<Holding<'_>>)]) -> Exactness {
    let mut seen = HashSet::new();
    let mut exactness = Exactness::Exact;
    for (ground, holdings) in members {
        for holding in holdings.iter_mut() {
            let counters = holding.counters();
            if !counters.rss.is_zero() && !counters.shared().is_zero() {
                let range = holding.range;
                exactness = exactness.max(count_new(ground, holding, range, true, &mut seen));
            }
        }
    }
    exactness
}

/// Takes from `holding.distinct` the pages of `range` that were seen before.
fn count_new(
    ground: &Ground<'_>,
    holding: &mut Holding<'_>,
    range: AddressRange,
    anonymous_too: bool,
    seen: &mut HashSet<PageKey>,
) -> Exactness {
    let pages = match ground.target.shared_pages(range) {
        Ok(pages) => pages,
        Err(gap) => {
            ground.gap(gap);
            return Exactness::AtMost;
        }
    };
    let residency = ground.residency(holding.range);
    let mut exactness = Exactness::Exact;
    let mut repeated = Bytes::ZERO;
    for page in pages {
        let run = residency
            .runs
            .partition_point(|run| run.range.end <= page.address);
        let Some(run) = residency
            .runs
            .get(run)
            .filter(|run| run.range.contains(page.address))
        else {
            continue;
        };
        let key = match (page.frame, holding.file().filter(|_| run.file)) {
            (Some(frame), _) => PageKey::Frame(frame),
            (None, Some(id)) => {
                PageKey::InFile(id, holding.offset() + (page.address - holding.range.start))
            }
            (None, None) if anonymous_too => {
                exactness = Exactness::Estimated;
                PageKey::ByAddress(page.address)
            }
            (None, None) => continue,
        };
        if !seen.insert(key) {
            repeated += Bytes(ground.page_size().0);
        }
    }
    holding.distinct = holding.distinct.saturating_sub(repeated);
    exactness
}

/// Holdings whose file pages another holding of the process maps too, with the address range
/// that covers all such pages.
fn repeated_windows(holdings: &[Holding<'_>]) -> Vec<(usize, AddressRange)> {
    let mut by_file: BTreeMap<FileId, Vec<usize>> = BTreeMap::new();
    for (index, holding) in holdings.iter().enumerate() {
        if let Some(id) = holding.file().filter(|_| !holding.counters().rss.is_zero()) {
            by_file.entry(id).or_default().push(index);
        }
    }
    let mut windows = Vec::new();
    for members in by_file.values().filter(|members| members.len() > 1) {
        for &index in members {
            let own = file_range(&holdings[index]);
            let common = members
                .iter()
                .filter(|other| **other != index)
                .map(|other| own.intersection(file_range(&holdings[*other])))
                .filter(|common| !common.is_empty())
                .reduce(|a, b| AddressRange::new(a.start.min(b.start), a.end.max(b.end)));
            if let Some(common) = common {
                let start = holdings[index].range.start + (common.start - own.start);
                windows.push((index, AddressRange::sized(start, common.size().0)));
            }
        }
    }
    windows
}

fn file_range(holding: &Holding<'_>) -> AddressRange {
    AddressRange::sized(holding.offset(), holding.range.size().0)
}
