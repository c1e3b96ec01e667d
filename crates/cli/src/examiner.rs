//! From a pid to a breakdown: probe reads, provenance names packages, anatomy attributes.

use std::collections::HashMap;
use std::path::PathBuf;

use plimsoll_anatomy::{breakdown, tree_breakdown, wanted_symbols};
use plimsoll_model::{Backing, Breakdown, Gap, GapReason, Package, Snapshot, Target};
use plimsoll_probe::{
    LiveTarget, MethodChoice, ProbeError, ReadOptions, descendants, read_snapshot,
};
use plimsoll_provenance::Provenance;

use crate::arguments::Method;

/// Reads breakdowns, again and again for `run` and `watch`: packages are looked up once per file.
/// Holds one package name per mapped file it has seen.
#[derive(Debug)]
pub(crate) struct Examiner {
    options: ReadOptions,
    packages: HashMap<(u32, PathBuf), Package>,
}

impl Examiner {
    pub(crate) fn new(method: Method) -> Examiner {
        let method = match method {
            Method::Auto => MethodChoice::Auto,
            Method::Smaps => MethodChoice::Smaps,
            Method::Walk => MethodChoice::Walk,
        };
        let options = ReadOptions {
            method,
            wanted_symbols: wanted_symbols(),
            files: true,
        };
        Examiner {
            options,
            packages: HashMap::new(),
        }
    }

    pub(crate) fn process(&mut self, pid: u32) -> Result<Breakdown, ProbeError> {
        let (snapshot, target) = self.read(pid)?;
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

    fn name_packages(&mut self, snapshot: &mut Snapshot) {
        let pid = snapshot.process.id.pid;
        let deleted: Vec<_> = snapshot
            .mappings
            .iter()
            .filter(|mapping| matches!(mapping.backing, Backing::File { deleted: true, .. }))
            .filter_map(|mapping| mapping.file)
            .collect();
        let unknown: Vec<PathBuf> = snapshot
            .files
            .values()
            .filter(|file| !deleted.contains(&file.id))
            .map(|file| file.path.clone())
            .filter(|path| !self.packages.contains_key(&(pid, path.clone())))
            .collect();
        if !unknown.is_empty() {
            let provenance = Provenance::new(PathBuf::from(format!("/proc/{pid}/root")));
            let (found, gaps) = provenance.packages(&unknown);
            snapshot.gaps.extend(gaps);
            self.packages.extend(
                found
                    .into_iter()
                    .map(|(path, package)| ((pid, path), package)),
            );
        }
        for file in snapshot.files.values_mut() {
            file.package = self.packages.get(&(pid, file.path.clone())).cloned();
        }
    }
}

fn unread(pid: u32, error: &ProbeError) -> Gap {
    let reason = match error {
        ProbeError::Denied { .. } => GapReason::Denied,
        _ => GapReason::Vanished,
    };
    Gap::new(format!("process {pid}"), reason, error.to_string())
}

fn total_cost(members: &[(Snapshot, LiveTarget)]) -> plimsoll_model::ReadingCost {
    let mut total = members[0].1.cost();
    for (_, target) in &members[1..] {
        total.add(&target.cost());
    }
    total
}
