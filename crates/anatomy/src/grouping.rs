//! Holdings joined into components: one per owner, opening to its parts.

use std::collections::BTreeMap;
use std::rc::Rc;

use plimsoll_model::{
    Bytes, Component, Counters, Exactness, FileId, Kind, MappedFile, ProcessCount, Reclaim, Scope,
    Sharing, Snapshot, Usage, Used,
};

use crate::holding::{Holding, apportion};
use crate::reclaim::{CanSwap, can_swap, reclaim_of};

/// One process's holdings with the snapshot they come from.
pub(crate) struct Member<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) holdings: &'a [Holding<'a>],
}

/// Components, largest first, unattributed last.
pub(crate) fn components(members: &[Member<'_>], scope: Scope) -> Vec<Component> {
    let mut components: Vec<Component> = gather(members, scope)
        .into_iter()
        .map(|((kind, name), parts)| component(kind, name, parts))
        .filter(|component| !is_empty(component))
        .collect();
    components.sort_by(|a, b| {
        let last = |component: &Component| component.kind == Kind::Unattributed;
        (last(a), b.usage.resident, &a.name).cmp(&(last(b), a.usage.resident, &b.name))
    });
    components
}

type Groups<'a> = BTreeMap<(Kind, &'a str), BTreeMap<&'a str, Gathered<'a>>>;

fn gather<'a>(members: &[Member<'a>], scope: Scope) -> Groups<'a> {
    let mut groups = Groups::new();
    for member in members {
        let can_swap = can_swap(member.snapshot);
        // Neighbours mostly have the same owner: a run of them is one look-up.
        for run in member
            .holdings
            .chunk_by(|a, b| Rc::ptr_eq(&a.owner, &b.owner))
        {
            let owner = &run[0].owner;
            let gathered = groups
                .entry((owner.kind, &owner.component))
                .or_default()
                .entry(&owner.part)
                .or_default();
            for holding in run {
                gathered.add(member.snapshot, holding, scope, can_swap);
            }
        }
    }
    groups
}

fn is_empty(component: &Component) -> bool {
    let usage = component.usage;
    usage.resident.is_zero() && usage.swap.is_zero() && usage.hugetlb.is_zero()
}

fn component(kind: Kind, name: &str, parts: BTreeMap<&str, Gathered<'_>>) -> Component {
    let mut parts: Vec<Component> = parts
        .into_iter()
        .map(|(part, gathered)| gathered.into_component(part, kind))
        .collect();
    parts.sort_by(|a, b| (b.usage.resident, &a.name).cmp(&(a.usage.resident, &b.name)));
    if parts.len() == 1
        && let Some(mut only) = parts.pop()
    {
        // A single part under another name (a library in its package) stays visible inside.
        if only.name.is_empty() || only.name == name {
            only.name = name.to_owned();
            return only;
        }
        parts.push(only);
    }
    let mut whole = Component::new(name, kind);
    for part in &parts {
        whole.usage += part.usage;
        whole.reclaim += part.reclaim;
        whole.sharing.mappings += part.sharing.mappings;
        whole.sharing.shared += part.sharing.shared;
        whole.proportional_exactness = whole
            .proportional_exactness
            .max(part.proportional_exactness);
    }
    if kind == Kind::Shared {
        whole.sharing.processes = common_processes(&parts);
    }
    whole.used = sum_used(&parts);
    whole.package = parts.first().and_then(|part| part.package.clone());
    whole.evidence = evidence_of(&parts);
    parts.retain(|part| !is_empty(part));
    whole.parts = parts;
    whole
}

/// The largest part's evidence speaks for the whole; each part keeps its own.
fn evidence_of(parts: &[Component]) -> String {
    parts
        .first()
        .map(|part| part.evidence.clone())
        .unwrap_or_default()
}

/// How many processes share the parts, when it is the same number for each: shared memory is
/// mostly one segment, and its one line is all that is seen of it.
fn common_processes(parts: &[Component]) -> Option<ProcessCount> {
    let mut resident = parts
        .iter()
        .filter(|part| !part.usage.resident.is_zero())
        .map(|part| part.sharing.processes);
    let first = resident.next()??;
    resident.all(|count| count == Some(first)).then_some(first)
}

/// Occupancy of the whole, only when every part with resident bytes tells its own: a sum over
/// some of them would pass for all.
fn sum_used(parts: &[Component]) -> Option<Used> {
    let resident = parts.iter().filter(|part| !part.usage.resident.is_zero());
    let known: Vec<&Used> = resident
        .map(|part| part.used.as_ref())
        .collect::<Option<Vec<&Used>>>()?;
    let first = known.first()?;
    Some(Used {
        live: known.iter().map(|used| used.live).sum(),
        held_free: known.iter().map(|used| used.held_free).sum(),
        method: first.method.clone(),
    })
}

/// Everything that one part sums up.
#[derive(Default)]
struct Gathered<'a> {
    usage: Usage,
    reclaim: Reclaim,
    shared: Bytes,
    mappings: u32,
    virtual_size: Bytes,
    in_use: Option<Bytes>,
    exactness: Exactness,
    evidence: &'a str,
    file: Option<&'a MappedFile>,
    /// Files of one name: what is known of one of them is not true of all.
    several_files: bool,
    used: Option<Used>,
    /// Some resident bytes have no occupancy: then the part has none either.
    occupancy_gap: bool,
}

impl<'a> Gathered<'a> {
    fn add(
        &mut self,
        snapshot: &'a Snapshot,
        holding: &'a Holding<'a>,
        scope: Scope,
        can_swap: CanSwap,
    ) {
        let counters = holding.counters();
        let mut usage = holding.usage(&counters);
        let mut reclaim = reclaim_of(snapshot, holding, &counters, can_swap);
        if scope == Scope::Tree {
            count_once(&mut usage, &counters);
            reclaim = scaled_to(reclaim, usage.resident);
            // What is live on pages that another member has too would count twice.
            self.occupancy_gap |= usage.distinct < counters.rss;
        }
        self.usage += usage;
        self.reclaim += reclaim;
        self.shared += counters.shared();
        self.mappings += holding.mapping_count();
        self.virtual_size += holding.virtual_size();
        self.exactness = self.exactness.max(holding.exactness);
        if self.evidence.is_empty() {
            self.evidence = holding.owner.evidence;
        }
        let file = mapped_file(snapshot, holding.file());
        self.several_files |= match (self.file, file) {
            (Some(known), Some(file)) => known.id != file.id,
            _ => false,
        };
        self.file = self.file.or(file);
        if holding.owner.kind == Kind::Stack {
            self.in_use = self.in_use.or_else(|| stack_in_use(snapshot, holding));
        }
        self.occupancy_gap |= !holding.occupancy_known && !usage.resident.is_zero();
        if let Some(used) = &holding.used {
            let sum = self.used.get_or_insert_with(|| Used {
                live: Bytes::ZERO,
                held_free: Bytes::ZERO,
                method: used.method.clone(),
            });
            sum.live += used.live;
            sum.held_free += used.held_free;
        }
    }

    fn into_component(self, name: &str, kind: Kind) -> Component {
        let detail = self.detail(kind);
        let is_file = matches!(kind, Kind::File | Kind::Shared | Kind::Code);
        let file = self.file.filter(|_| is_file && !self.several_files);
        let is_installed = matches!(kind, Kind::File | Kind::Code);
        Component {
            usage: self.usage,
            reclaim: self.reclaim,
            sharing: Sharing {
                mappings: self.mappings,
                processes: file.and_then(|file| file.processes),
                shared: self.shared,
            },
            proportional_exactness: self.exactness,
            evidence: self.evidence.to_owned(),
            detail,
            used: self.used.filter(|_| !self.occupancy_gap),
            cache: file.and_then(|file| file.cache),
            file_size: file.and_then(|file| file.size),
            package: self
                .file
                .filter(|_| is_installed)
                .and_then(|file| file.package.clone()),
            ..Component::new(name, kind)
        }
    }

    fn detail(&self, kind: Kind) -> String {
        match kind {
            Kind::Stack => match self.in_use {
                Some(in_use) => format!("{in_use} in use now, of {} reserved", self.virtual_size),
                None => format!("of {} reserved", self.virtual_size),
            },
            Kind::File | Kind::Shared if self.usage.distinct < self.usage.resident => format!(
                "the same pages mapped {} times: {} distinct",
                self.mappings, self.usage.distinct
            ),
            _ => String::new(),
        }
    }
}

fn mapped_file(snapshot: &Snapshot, id: Option<FileId>) -> Option<&MappedFile> {
    snapshot.files.get(&id?)
}

/// From the thread's stack pointer to the top of its stack.
fn stack_in_use(snapshot: &Snapshot, holding: &Holding<'_>) -> Option<Bytes> {
    snapshot
        .threads
        .iter()
        .filter_map(|thread| thread.stack_pointer)
        .find(|pointer| holding.range.contains(*pointer))
        .map(|pointer| Bytes(holding.range.end - pointer))
}

/// Over a tree a page that several members have counts once, in every figure.
fn count_once(usage: &mut Usage, counters: &Counters) {
    usage.resident = usage.distinct;
    usage.dirty = usage.dirty.scaled(usage.distinct.0, counters.rss.0);
    usage.private = usage.private.min(usage.resident);
    usage.swap = counters.swap_pss;
}

/// The classes in proportion, summing to `resident`: of a page that several members share, each
/// has the same state.
fn scaled_to(reclaim: Reclaim, resident: Bytes) -> Reclaim {
    let weights = [
        reclaim.must_stay.0,
        reclaim.swap_only.0,
        reclaim.droppable.0,
        reclaim.after_writeback.0,
    ];
    let parts = apportion(resident, &weights);
    Reclaim {
        must_stay: parts[0],
        swap_only: parts[1],
        droppable: parts[2],
        after_writeback: parts[3],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_has_the_count_that_all_its_parts_have() {
        let told = |count, complete| Some(ProcessCount { count, complete });
        let check = |counts: &[(u64, Option<ProcessCount>)], expected| {
            let parts: Vec<Component> = counts
                .iter()
                .map(|(resident, processes)| {
                    let mut part = Component::new("segment", Kind::Shared);
                    part.usage.resident = Bytes(*resident);
                    part.sharing.processes = *processes;
                    part
                })
                .collect();
            assert_eq!(common_processes(&parts), expected, "{counts:?}");
        };
        check(&[], None);
        check(&[(4096, told(3, false))], told(3, false));
        check(
            &[(4096, told(3, true)), (8192, told(3, true))],
            told(3, true),
        );
        check(&[(4096, told(3, true)), (8192, told(2, true))], None);
        check(&[(4096, told(3, true)), (8192, None)], None);
        check(&[(4096, told(3, true)), (0, None)], told(3, true));
    }
}
