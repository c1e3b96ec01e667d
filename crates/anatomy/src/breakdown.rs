//! From snapshots to breakdowns.

use plimsoll_model::{
    Breakdown, Bytes, Component, Exactness, Gap, GapReason, ReadingCost, Reclaim, Scope, Snapshot,
    Target, Totals, Usage,
};

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
    let mut attributed: Vec<(&Ground<'_>, Vec<Holding>)> = grounds
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
    drop(attributed);
    let snapshots: Vec<&Snapshot> = members.iter().map(|(snapshot, _)| *snapshot).collect();
    snapshots.first()?;
    let gaps = grounds.into_iter().flat_map(Ground::into_gaps).collect();
    Some(assemble(
        &snapshots,
        Scope::Tree,
        exactness,
        components,
        gaps,
    ))
}

fn attribute(ground: &Ground<'_>) -> Vec<Holding> {
    let mut territory = Territory::default();
    owners::claim_all(ground, &mut territory);
    holdings(ground, &territory)
}

/// Says when the parts do not add up to what /proc/PID/status said a moment before.
fn note_drift(ground: &Ground<'_>, held: &[Holding]) {
    let sum: Bytes = held.iter().map(|holding| holding.counters.rss).sum();
    let status = ground.snapshot.status.rss;
    if sum != status {
        ground.gap(Gap::new(
            "agreement with VmRSS",
            GapReason::Changed,
            format!("the components sum to {sum}, /proc/PID/status said {status}"),
        ));
    }
}

fn assemble(
    snapshots: &[&Snapshot],
    scope: Scope,
    resident_exactness: Exactness,
    components: Vec<Component>,
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
        rss_peak: snapshots
            .iter()
            .map(|snapshot| snapshot.status.rss_peak)
            .sum(),
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

fn total_cost(snapshots: &[&Snapshot]) -> ReadingCost {
    let mut total = snapshots[0].cost;
    for snapshot in &snapshots[1..] {
        let cost = snapshot.cost;
        total.wall += cost.wall;
        total.cpu += cost.cpu;
        total.longest_hold = total.longest_hold.max(cost.longest_hold);
        total.total_hold += cost.total_hold;
        total.holds += cost.holds;
        total.bytes_read += cost.bytes_read;
        total.target_bytes_read += cost.target_bytes_read;
    }
    total
}
