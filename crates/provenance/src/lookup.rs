//! One batch under way: which paths still have no owner, which have one, and what was missed.
//!
//! Readers of package records take a [`Lookup`], ask it what is still open, and claim. A claim is
//! final, so the order of the readers is the order of precedence. Memory: the paths, twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use plimsoll_model::{Gap, Package, PackageManager};

use crate::root::Root;

/// Longest name or version that is passed on, in characters. npm allows 214 for a name; a longer
/// one would only fill a screen.
const NAME_CHARS_LIMIT: usize = 256;

#[derive(Debug)]
pub(crate) struct Lookup<'a> {
    pub(crate) root: &'a Root,
    owners: BTreeMap<PathBuf, Package>,
    open: BTreeSet<PathBuf>,
    /// Each with how many like it were met.
    gaps: Vec<(Gap, usize)>,
}

impl<'a> Lookup<'a> {
    /// Paths that are not absolute and normal (`..`) stay out: nothing is looked up for them.
    pub(crate) fn new(root: &'a Root, paths: &[PathBuf]) -> Lookup<'a> {
        let open = paths.iter().filter(|path| is_normal(path)).cloned();
        Lookup {
            root,
            owners: BTreeMap::new(),
            open: open.collect(),
            gaps: Vec::new(),
        }
    }

    /// Paths without an owner yet.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Path> {
        self.open.iter().map(PathBuf::as_path)
    }

    /// All paths of the batch, owned or not.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.owners.keys().map(PathBuf::as_path).chain(self.open())
    }

    pub(crate) fn is_done(&self) -> bool {
        self.open.is_empty()
    }

    /// Gives `path` its owner, unless it has one.
    pub(crate) fn claim(&mut self, path: &Path, package: &Package) {
        if let Some(path) = self.open.take(path) {
            self.owners.insert(path, package.clone());
        }
    }

    /// Keeps one gap of a kind and counts the rest: 800 unreadable lists are one thing to know.
    pub(crate) fn gap(&mut self, gap: Gap) {
        let is_like =
            |(known, _): &&mut (Gap, usize)| (&known.what, known.reason) == (&gap.what, gap.reason);
        match self.gaps.iter_mut().find(is_like) {
            Some((_, count)) => *count += 1,
            None => self.gaps.push((gap, 1)),
        }
    }

    pub(crate) fn into_owners(self) -> (BTreeMap<PathBuf, Package>, Vec<Gap>) {
        let with_count = |(mut gap, count): (Gap, usize)| {
            if count > 1 {
                gap.detail = format!("{}; and {} more", gap.detail, count - 1);
            }
            gap
        };
        let gaps = self.gaps.into_iter().map(with_count).collect();
        (self.owners, gaps)
    }
}

/// A package whose name and version come from a file that anybody may have written: control
/// characters, which could steer a terminal, become U+FFFD, and the length is bounded.
pub(crate) fn package(manager: PackageManager, name: &str, version: &str) -> Package {
    Package {
        manager,
        name: printable(name),
        version: printable(version),
    }
}

fn printable(text: &str) -> String {
    let bounded: String = text.trim().chars().take(NAME_CHARS_LIMIT).collect();
    visible(&bounded)
}

pub(crate) fn visible(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// Absolute, and made of plain names only.
fn is_normal(path: &Path) -> bool {
    let mut components = path.components();
    components.next() == Some(Component::RootDir)
        && components.all(|component| matches!(component, Component::Normal(_)))
}
