//! From a pid to a breakdown: probe reads, provenance names packages, anatomy attributes.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use plimsoll_anatomy::{breakdown, tree_breakdown, wanted_symbols};
use plimsoll_model::{
    Backing, Breakdown, FileId, Gap, GapReason, Mapping, Package, ProcessId, ReadingCost, Snapshot,
    Target,
};
use plimsoll_probe::{
    FileDetail, LiveTarget, MethodChoice, ProbeError, ReadOptions, count_sharers, descendants,
    read_snapshot,
};
use plimsoll_provenance::Provenance;

use crate::arguments::Method;

/// Packages remembered before all are forgotten: some 10 MiB. An ordinary process maps a hundred
/// files.
const PACKAGES_MAX: usize = 64 * 1024;

/// Reads breakdowns, again and again for `run` and `watch`: the package of a file is looked up
/// once.
#[derive(Debug)]
pub(crate) struct Examiner {
    options: ReadOptions,
    sharers: Sharers,
    packages: HashMap<FileId, Package>,
}

/// Reads breakdowns for the runner, in a thread of its own.
pub(crate) type BreakdownReader = Box<dyn FnMut(&[ProcessId]) -> Result<Breakdown, Gap> + Send>;

/// Full readings of the processes that the runner follows, the root first.
pub(crate) fn breakdown_reader() -> BreakdownReader {
    let mut examiner = Examiner::new(Method::Auto, Sharers::Uncounted);
    Box::new(move |processes| {
        let pids: Vec<u32> = processes.iter().map(|process| process.pid).collect();
        examiner.processes(&pids)
    })
}

/// Whether to count the processes that map each file, which reads the maps of all processes:
/// right for one look, too much for a look every second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharers {
    Counted,
    Uncounted,
}

impl Examiner {
    pub(crate) fn new(method: Method, sharers: Sharers) -> Examiner {
        let method = match method {
            Method::Auto => MethodChoice::Auto,
            Method::Smaps => MethodChoice::Smaps,
            Method::Walk => MethodChoice::Walk,
        };
        let options = ReadOptions {
            method,
            wanted_symbols: wanted_symbols(),
            files: FileDetail::Cache,
        };
        Examiner {
            options,
            sharers,
            packages: HashMap::new(),
        }
    }

    pub(crate) fn process(&mut self, pid: u32) -> Result<Breakdown, ProbeError> {
        let (mut snapshot, target) = self.read(pid)?;
        self.count_sharers(&mut [&mut snapshot]);
        let mut found = breakdown(&snapshot, &target);
        found.cost = target.cost();
        Ok(found)
    }

    /// The process and its descendants. Those that end or can't be read meanwhile become gaps.
    pub(crate) fn tree(&mut self, pid: u32) -> Result<Breakdown, ProbeError> {
        self.read_tree(pid, &descendants(pid))
    }

    /// The processes of a run, the root first: as one process when it is alone, else as a tree.
    pub(crate) fn processes(&mut self, pids: &[u32]) -> Result<Breakdown, Gap> {
        let Some((root, others)) = pids.split_first() else {
            return Err(Gap::new(
                "breakdown",
                GapReason::Vanished,
                "no process is left",
            ));
        };
        let found = if others.is_empty() {
            self.process(*root)
        } else {
            self.read_tree(*root, others)
        };
        found.map_err(|error| unread(*root, &error))
    }

    fn read_tree(&mut self, root: u32, others: &[u32]) -> Result<Breakdown, ProbeError> {
        let mut members = vec![self.read(root)?];
        let mut gaps = Vec::new();
        for pid in others {
            match self.read(*pid) {
                Ok(member) => members.push(member),
                Err(error) => gaps.push(unread(*pid, &error)),
            }
        }
        let mut snapshots: Vec<&mut Snapshot> =
            members.iter_mut().map(|(snapshot, _)| snapshot).collect();
        self.count_sharers(&mut snapshots);
        let read: Vec<(&Snapshot, &dyn Target)> = members
            .iter()
            .map(|(snapshot, target)| (snapshot, target as &dyn Target))
            .collect();
        let mut found =
            tree_breakdown(&read).expect("the root was read, so there is at least one member");
        found.gaps.extend(gaps);
        found.cost = total_cost(&members);
        Ok(found)
    }

    fn read(&mut self, pid: u32) -> Result<(Snapshot, LiveTarget), ProbeError> {
        let (mut snapshot, target) = read_snapshot(pid, &self.options)?;
        self.name_packages(&mut snapshot);
        Ok((snapshot, target))
    }

    /// One pass over the maps of all other processes for all snapshots together.
    fn count_sharers(&self, snapshots: &mut [&mut Snapshot]) {
        if self.sharers == Sharers::Uncounted {
            return;
        }
        let files: BTreeSet<FileId> = snapshots
            .iter()
            .flat_map(|snapshot| snapshot.files.keys().copied())
            .collect();
        let read: Vec<(u32, &[Mapping])> = snapshots
            .iter()
            .map(|snapshot| (snapshot.process.id.pid, snapshot.mappings.as_slice()))
            .collect();
        let (counts, gap) = count_sharers(files, &read);
        for snapshot in snapshots.iter_mut() {
            for file in snapshot.files.values_mut() {
                file.processes = counts.get(&file.id).copied();
            }
        }
        if let Some(first) = snapshots.first_mut() {
            first.gaps.extend(gap);
        }
    }

    fn name_packages(&mut self, snapshot: &mut Snapshot) {
        // A deleted file's path may be its successor's by now.
        let deleted: BTreeSet<FileId> = snapshot
            .mappings
            .iter()
            .filter(|mapping| matches!(mapping.backing, Backing::File { deleted: true, .. }))
            .filter_map(|mapping| mapping.file)
            .collect();
        let unknown: Vec<(FileId, PathBuf)> = snapshot
            .files
            .values()
            .filter(|file| !deleted.contains(&file.id) && !self.packages.contains_key(&file.id))
            .map(|file| (file.id, file.path.clone()))
            .collect();
        if !unknown.is_empty() {
            if self.packages.len() + unknown.len() > PACKAGES_MAX {
                self.packages.clear();
            }
            let root = PathBuf::from(format!("/proc/{}/root", snapshot.process.id.pid));
            let paths: Vec<PathBuf> = unknown.iter().map(|(_, path)| path.clone()).collect();
            let (mut found, gaps) = Provenance::new(root).packages(&paths);
            snapshot.gaps.extend(gaps);
            let known = unknown
                .into_iter()
                .filter_map(|(id, path)| Some((id, found.remove(&path)?)));
            self.packages.extend(known);
        }
        for file in snapshot.files.values_mut() {
            file.package = self.packages.get(&file.id).cloned();
        }
    }
}

fn unread(pid: u32, error: &ProbeError) -> Gap {
    let reason = match error {
        ProbeError::Denied { .. } => GapReason::Denied,
        _ => GapReason::Vanished,
    };
    let detail = match error {
        // The error's own advice is for whoever asks for one reading; a run reads again anyway.
        ProbeError::Vanished { .. } => "it ended while it was read".to_owned(),
        other => other.to_string(),
    };
    Gap::new(format!("process {pid}"), reason, detail)
}

/// The members are read one after another by this thread, and the root's clock runs from the
/// first to the last.
fn total_cost(members: &[(Snapshot, LiveTarget)]) -> ReadingCost {
    let root = members[0].1.cost();
    let mut total = root;
    for (_, target) in &members[1..] {
        total.add(&target.cost());
    }
    ReadingCost {
        wall: root.wall,
        cpu: root.cpu,
        ..total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `plimsoll run` does not advise to use `plimsoll run`.
    #[test]
    fn a_process_that_ended_is_no_occasion_for_advice() {
        let gap = unread(7, &ProbeError::Vanished { pid: 7 });
        assert_eq!(gap.reason, GapReason::Vanished);
        assert_eq!(gap.detail, "it ended while it was read");
    }
}
