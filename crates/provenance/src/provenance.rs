//! The order in which the records of package managers are asked.
//!
//! [`Provenance`] holds a root and no cache. The most specific record wins: a wheel inside a
//! Debian image is the wheel's, not Debian's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use plimsoll_model::{Gap, Package, PackageManager};

use crate::lookup::{Lookup, visible};
use crate::python::RecordBudget;
use crate::root::Root;
use crate::spelling::Aliases;
use crate::{apk, dpkg, npm, python, rpm};

/// Tells which package installed the files below one root.
#[derive(Clone, Debug)]
pub struct Provenance {
    root: PathBuf,
}

impl Provenance {
    /// `root` is `/`, or `/proc/PID/root` for a process that may have another one.
    #[must_use]
    pub fn new(root: PathBuf) -> Provenance {
        Provenance { root }
    }

    /// The package of each path, paths as /proc/PID/maps names them (absolute in the root).
    ///
    /// Every path gets an answer; what no record claims is [`PackageManager::Folder`]. A path is
    /// looked up as it is recorded now: for a mapping whose file was deleted, the version may be
    /// that of the file's successor, so callers leave deleted files out.
    #[must_use]
    pub fn packages(&self, paths: &[PathBuf]) -> (BTreeMap<PathBuf, Package>, Vec<Gap>) {
        if paths.is_empty() {
            return (BTreeMap::new(), Vec::new());
        }
        let (owners, gaps) = match Root::open(&self.root) {
            Ok(root) => recorded_owners(&root, paths),
            Err(gap) => (BTreeMap::new(), vec![gap]),
        };
        (with_folders(paths, owners), gaps)
    }
}

/// What the records say, the most specific asked first.
fn recorded_owners(root: &Root, paths: &[PathBuf]) -> (BTreeMap<PathBuf, Package>, Vec<Gap>) {
    let mut lookup = Lookup::new(root, paths);
    let mut budget = RecordBudget::new();
    python::claim_listed(&mut lookup, &mut budget);
    npm::claim(&mut lookup);
    if !lookup.is_done() {
        let aliases = Aliases::read(root);
        dpkg::claim(&mut lookup, &aliases);
        rpm::claim(&mut lookup, &aliases);
        apk::claim(&mut lookup, &aliases);
        python::unlisted::claim(&mut lookup, &mut budget);
    }
    lookup.into_owners()
}

fn with_folders(
    paths: &[PathBuf],
    mut owners: BTreeMap<PathBuf, Package>,
) -> BTreeMap<PathBuf, Package> {
    for path in paths {
        if !owners.contains_key(path) {
            owners.insert(path.clone(), folder_of(path));
        }
    }
    owners
}

fn folder_of(path: &Path) -> Package {
    let folder = path.parent().unwrap_or(path);
    Package {
        manager: PackageManager::Folder,
        name: visible(&folder.to_string_lossy()),
        version: String::new(),
    }
}
