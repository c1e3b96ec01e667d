//! From snapshots to breakdowns.

use plimsoll_model::{
    Breakdown, Bytes, Component, Exactness, Gap, GapReason, Published, ReadingCost, Reclaim, Scope,
    Snapshot, Target, Totals, Usage,
};

use crate::beacon;
use crate::distinct;
use crate::ground::Ground;
use crate::grouping::{self, Member};
use crate::holding::{Holding, holdings};
use crate::owners;
use crate::territory::Territory;
use crate::verdict::verdict;

/// Components of one process; they sum to its RSS exactly.
///
/// Time is linear in mappings and in the resident pages of those with several owners.
#[must_use]
pub fn breakdown(snapshot: &Snapshot, target: &dyn Target) -> Breakdown {
    let ground = Ground::new(snapshot, target);
    let mut held = attribute(&ground);
    distinct::count_in_process(&ground, &mut held);
    note_drift(&ground, &held);
    let published = beacon::published(&ground, &held);
    let members = [Member {
        snapshot,
        holdings: &held,
    }];
    let components = grouping::components(&members, Scope::Process);
    assemble(
        &[snapshot],
        Scope::Process,
        Exactness::Exact,
        components,
        published.into_iter().collect(),
        ground.into_gaps(),
    )
}

/// Components of a process tree, the root first; they sum to the tree's distinct resident
/// pages, each shared page counted once. `None` without any process.
#[must_use]
pub fn tree_breakdown(members: &[(&Snapshot, &dyn Target)]) -> Option<Breakdown> {
    let grounds: Vec<Ground<'_>> = members
        .iter()
        .map(|(snapshot, target)| Ground::new(snapshot, *target))
        .collect();
    let mut attributed: Vec<(&Ground<'_>, Vec<Holding<'_>>)> = grounds
        .iter()
        .map(|ground| (ground, attribute(ground)))
        .collect();
    let exactness = distinct::count_in_tree(&mut attributed);
    let grouped: Vec<Member<'_>> = attributed
        .iter()
        .map(|(ground, holdings)| Member {
            snapshot: ground.snapshot,
            holdings,
        })
        .collect();
    let components = grouping::components(&grouped, Scope::Tree);
    drop(grouped);
    let published = attributed
        .iter()
        .filter_map(|(ground, held)| beacon::published(ground, held))
        .collect();
    drop(attributed);
    let snapshots: Vec<&Snapshot> = members.iter().map(|(snapshot, _)| *snapshot).collect();
    snapshots.first()?;
    let gaps = grounds.into_iter().flat_map(Ground::into_gaps).collect();
    Some(assemble(
        &snapshots,
        Scope::Tree,
        exactness,
        components,
        published,
        gaps,
    ))
}

fn attribute<'a>(ground: &Ground<'a>) -> Vec<Holding<'a>> {
    let mut territory = Territory::default();
    owners::claim_all(ground, &mut territory);
    holdings(ground, &territory)
}

/// Says when the parts do not add up to what /proc/PID/status said a moment before.
fn note_drift(ground: &Ground<'_>, held: &[Holding<'_>]) {
    let sum: Bytes = held.iter().map(|holding| holding.counters().rss).sum();
    let status = ground.snapshot.status.rss;
    if sum != status {
        ground.gap(Gap::new(
            "agreement with VmRSS",
            GapReason::Changed,
            format!(
                "the components sum to {sum}, /proc/PID/status said {status}; on older kernels that count \
                 may also lag by some pages for each thread or core, with nothing changed (proc(5))"
            ),
        ));
    }
}

fn assemble(
    snapshots: &[&Snapshot],
    scope: Scope,
    resident_exactness: Exactness,
    components: Vec<Component>,
    published: Vec<Published>,
    found_gaps: Vec<Gap>,
) -> Breakdown {
    let root = snapshots[0];
    let totals = totals(snapshots, resident_exactness, &components);
    let mut gaps: Vec<Gap> = Vec::new();
    for gap in snapshots
        .iter()
        .flat_map(|snapshot| &snapshot.gaps)
        .chain(&found_gaps)
    {
        if !gaps.contains(gap) {
            gaps.push(gap.clone());
        }
    }
    Breakdown {
        taken_at: root.taken_at,
        scope,
        process: root.process.clone(),
        processes: snapshots
            .iter()
            .map(|snapshot| snapshot.process.clone())
            .collect(),
        verdict: verdict(scope, snapshots.len(), &totals, &components),
        totals,
        components,
        published,
        cgroup: root.cgroup.clone(),
        system: root.system,
        gaps,
        cost: total_cost(snapshots),
    }
}

fn totals(
    snapshots: &[&Snapshot],
    resident_exactness: Exactness,
    components: &[Component],
) -> Totals {
    let mut usage = Usage::default();
    let mut reclaim = Reclaim::default();
    let mut proportional_exactness = Exactness::Exact;
    for component in components {
        usage += component.usage;
        reclaim += component.reclaim;
        // Shares of one mapping that are estimated each still sum to its exact total.
        if component.proportional_exactness == Exactness::AtMost {
            proportional_exactness = Exactness::AtMost;
        }
    }
    Totals {
        usage,
        reclaim,
        proportional_exactness,
        resident_exactness,
        status_rss: snapshots.iter().map(|snapshot| snapshot.status.rss).sum(),
        rss_peak: snapshots.iter().map(|snapshot| rss_peak(snapshot)).sum(),
        virtual_size: snapshots
            .iter()
            .map(|snapshot| snapshot.status.virtual_size)
            .sum(),
        page_tables: snapshots
            .iter()
            .map(|snapshot| snapshot.status.page_tables)
            .sum(),
    }
}

/// The kernel's high-water mark comes from counters that lag (get_mm_counter in include/linux/mm.h): what is resident now
/// was reached.
fn rss_peak(snapshot: &Snapshot) -> Bytes {
    let mapped: Bytes = snapshot
        .mappings
        .iter()
        .map(|mapping| mapping.counters.rss)
        .sum();
    snapshot
        .status
        .rss_peak
        .max(snapshot.status.rss)
        .max(mapped)
}

fn total_cost(snapshots: &[&Snapshot]) -> ReadingCost {
    let mut total = snapshots[0].cost;
    for snapshot in &snapshots[1..] {
        total.add(&snapshot.cost);
    }
    total
}

#[cfg(test)]
mod tests {
    use plimsoll_model::{AddressRange, FileId, Kind, MappedFile, Page};

    use super::*;
    use crate::fake::{self, FakeTarget, PAGE};

    const BASE: u64 = 0x7f00_0000_0000;

    fn assert_sums(breakdown: &Breakdown, rss: Bytes) {
        let sum: Bytes = breakdown.components.iter().map(|c| c.usage.resident).sum();
        assert_eq!(sum, rss);
        assert_eq!(breakdown.totals.usage.resident, rss);
        assert_eq!(breakdown.totals.reclaim.total(), rss);
        for component in &breakdown.components {
            assert_eq!(
                component.reclaim.total(),
                component.usage.resident,
                "{}",
                component.name
            );
            if !component.parts.is_empty() {
                let parts: Bytes = component.parts.iter().map(|part| part.usage.resident).sum();
                assert_eq!(parts, component.usage.resident, "{}", component.name);
            }
        }
    }

    /// Seed 000: one database mapped twelve times is 2,409 MiB in a sum over mappings and
    /// 201 MiB of pages.
    #[test]
    fn a_file_mapped_twelve_times_is_counted_once() {
        let pages = 50;
        let size = pages * PAGE;
        let mut target = FakeTarget::default();
        let mut mappings = Vec::new();
        let mut shared = Vec::new();
        for connection in 0..12 {
            let range = AddressRange::sized(BASE + connection * 0x100_0000, size);
            target.touch(range);
            mappings.push(fake::file(range, 0, 7, range.size()));
            shared.extend((0..pages).map(|page| Page {
                address: range.start + page * PAGE,
                frame: None,
            }));
        }
        target.share(shared);
        let breakdown = breakdown(&fake::snapshot(mappings), &target);
        assert_sums(&breakdown, Bytes(12 * size));
        let database = &breakdown.components[0];
        assert_eq!(
            (database.name.as_str(), database.kind),
            ("/data/7.db", Kind::File)
        );
        assert_eq!(database.usage.distinct, Bytes(size));
        assert_eq!(database.sharing.mappings, 12);
        assert_eq!(database.reclaim.droppable, Bytes(12 * size));
        assert!(
            breakdown.verdict.contains("once per mapping"),
            "{}",
            breakdown.verdict
        );
    }

    /// Different parts of one file share no page.
    #[test]
    fn windows_that_do_not_overlap_are_distinct() {
        let target = FakeTarget::default();
        let mapping = |index: u64| {
            let range = AddressRange::sized(BASE + index * 0x100_0000, 0x1_0000);
            fake::file(range, index * 0x1_0000, 7, range.size())
        };
        let breakdown = breakdown(&fake::snapshot(vec![mapping(0), mapping(1)]), &target);
        assert_eq!(breakdown.components[0].usage.distinct, Bytes(0x2_0000));
    }

    /// One mapping with a malloc block and somebody else's pages: the split follows residency.
    #[test]
    fn a_mapping_with_two_owners_is_cut_by_resident_pages() {
        let mut target = FakeTarget::default();
        let block = AddressRange::sized(BASE, 0x10_0000);
        target.words(block.start, &[0, block.size().0 | 2]);
        target.touch(AddressRange::sized(BASE, 3 * PAGE));
        // The block must end at a boundary: another one follows, then foreign memory.
        let second = AddressRange::sized(block.end, 0x10_0000);
        target.words(second.start, &[0, second.size().0 | 2]);
        let foreign = AddressRange::sized(second.end, 0x1_0000);
        target.touch(AddressRange::sized(foreign.start, 5 * PAGE));
        let whole = AddressRange::new(block.start, second.end);
        let mappings = vec![
            fake::anonymous(whole, Bytes(4 * PAGE)),
            fake::anonymous(AddressRange::new(second.end, foreign.end), Bytes(5 * PAGE)),
        ];
        let breakdown = breakdown(&fake::snapshot(mappings), &target);
        assert_sums(&breakdown, Bytes(9 * PAGE));
        let by_kind = |kind| {
            let of_kind = breakdown.components.iter().filter(|c| c.kind == kind);
            of_kind.map(|c| c.usage.resident).sum::<Bytes>()
        };
        assert_eq!(by_kind(Kind::Heap), Bytes(4 * PAGE));
        assert_eq!(by_kind(Kind::Unattributed), Bytes(5 * PAGE));
        assert_eq!(breakdown.unattributed(), Bytes(5 * PAGE));
        assert_eq!(
            breakdown.components.last().map(|c| c.kind),
            Some(Kind::Unattributed)
        );
    }

    #[test]
    fn pages_of_memory_file_systems_are_not_droppable() {
        let range = AddressRange::sized(BASE, 0x1_0000);
        let mut snapshot = fake::snapshot(vec![fake::file(range, 0, 9, range.size())]);
        let id = FileId {
            device_major: 8,
            device_minor: 1,
            inode: 9,
        };
        snapshot.files.insert(
            id,
            MappedFile {
                id,
                path: "/dev/shm/x".into(),
                size: None,
                cache: None,
                processes: None,
                package: None,
                in_memory_filesystem: true,
            },
        );
        let target = FakeTarget::default();
        let found = breakdown(&snapshot, &target);
        assert_eq!(found.components[0].kind, Kind::Shared);
        assert_eq!(found.totals.reclaim.must_stay, range.size());
        snapshot.system.swap_total = Bytes::gib(1);
        let found = breakdown(&snapshot, &target);
        assert_eq!(found.totals.reclaim.swap_only, range.size());
    }

    #[test]
    fn a_tree_counts_each_shared_page_once() {
        let shared_of = |frames: std::ops::Range<u64>| {
            let mut target = FakeTarget::default();
            target.touch(AddressRange::sized(BASE, 8 * PAGE));
            let pages = frames.zip(0..).map(|(frame, index)| Page {
                address: BASE + index * PAGE,
                frame: Some(frame),
            });
            target.share(pages.collect());
            target
        };
        let snapshot = || {
            let mut mapping = fake::anonymous(AddressRange::sized(BASE, 8 * PAGE), Bytes(8 * PAGE));
            mapping.counters.private_dirty = Bytes(4 * PAGE);
            mapping.counters.shared_dirty = Bytes(4 * PAGE);
            mapping.counters.pss = Bytes(6 * PAGE);
            fake::snapshot(vec![mapping])
        };
        let (parent, child) = (snapshot(), snapshot());
        // Four frames in both, four of each one's own.
        let (parent_pages, child_pages) = (shared_of(100..104), shared_of(100..104));
        let breakdown =
            tree_breakdown(&[(&parent, &parent_pages), (&child, &child_pages)]).unwrap();
        assert_sums(&breakdown, Bytes(12 * PAGE));
        assert_eq!(breakdown.totals.status_rss, Bytes(16 * PAGE));
        // These snapshots have no high-water mark, as a kernel whose count lags has one that is too low.
        assert_eq!(breakdown.totals.rss_peak, Bytes(16 * PAGE));
        assert_eq!(breakdown.totals.resident_exactness, Exactness::Exact);
        assert!(tree_breakdown(&[]).is_none());
    }

    #[test]
    fn a_look_alike_header_leaves_the_mapping_whole() {
        let mut target = FakeTarget::default();
        target.words(BASE, &[0, 0x10_0000 | 2]);
        target.touch(AddressRange::sized(BASE, 10 * PAGE));
        let range = AddressRange::sized(BASE, 0x20_0000);
        let snapshot = fake::snapshot(vec![fake::anonymous(range, Bytes(10 * PAGE))]);
        let found = breakdown(&snapshot, &target);
        assert_sums(&found, Bytes(10 * PAGE));
        assert_eq!(found.unattributed(), Bytes(10 * PAGE));
    }

    /// A heap grew by a page after its counters were read: what is live in it is not more than it.
    #[test]
    fn live_bytes_are_of_the_pages_that_are_counted() {
        let heap = 0x7f20_0000_0000;
        let mut target = FakeTarget::default();
        target.words(heap, &[heap + 0x30, 0, 0x2_1000, 0x2_1000]);
        target.words(heap + 0x8d8, &[0x1_0001, 0]);
        target.words(heap + 0x1_08d8, &[(0x2_1000 - 0x1_08d0) | 1, 0]);
        target.words(heap + 0x90, &[heap + 0x1_08d0]);
        target.touch(AddressRange::sized(heap, 0x2_1000));
        let range = AddressRange::sized(heap, 0x2_1000);
        let counted = Bytes(0x2_1000 - PAGE);
        let found = breakdown(
            &fake::snapshot(vec![fake::anonymous(range, counted)]),
            &target,
        );
        assert_sums(&found, range.size());
        let used = found.components[0].used.as_ref().unwrap();
        assert!(used.live + used.held_free <= range.size());
        assert!(used.live > Bytes::ZERO && used.held_free > Bytes::ZERO);
    }

    /// A program frees 25 blocks of 8 MiB between the two readings: they are gone, not nobody's.
    #[test]
    fn memory_given_back_meanwhile_is_not_unattributed() {
        let mut target = FakeTarget::default();
        let range = AddressRange::sized(BASE, 0x80_0000);
        target.touch(AddressRange::sized(BASE, 2 * PAGE));
        let snapshot = fake::snapshot(vec![fake::anonymous(range, range.size())]);
        let found = breakdown(&snapshot, &target);
        assert_sums(&found, Bytes(2 * PAGE));
        assert!(
            found
                .gaps
                .iter()
                .any(|gap| gap.reason == GapReason::Changed),
            "{:?}",
            found.gaps
        );
    }

    /// The kernel counted eight pages; by the time the pages were looked at there were ten.
    #[test]
    fn growth_between_the_readings_is_told() {
        let heap = 0x7f20_0000_0000;
        let mut target = FakeTarget::default();
        target.words(heap, &[heap + 0x30, 0, 0x2_1000, 0x2_1000]);
        target.touch(AddressRange::sized(heap, 3 * PAGE));
        target.touch(AddressRange::sized(heap + 0x2_1000, 7 * PAGE));
        let range = AddressRange::sized(heap, 0x10_0000);
        let snapshot = fake::snapshot(vec![fake::anonymous(range, Bytes(8 * PAGE))]);
        let found = breakdown(&snapshot, &target);
        assert_sums(&found, Bytes(10 * PAGE));
        assert_eq!(found.unattributed(), Bytes(7 * PAGE));
        assert!(
            found
                .gaps
                .iter()
                .any(|gap| gap.reason == GapReason::Changed),
            "{:?}",
            found.gaps
        );
    }
}
