//! The names under which a system package's records may list a file.
//!
//! maps names a file by its real path, `/usr/lib/x.so`; a package built before the merge of `/lib`
//! and `/usr/lib` lists `/lib/x.so`. [`Aliases`] knows which folders are links in this root, and
//! only those are swapped: where `/lib` is a folder of its own, the two are different files.

use std::path::{Path, PathBuf};

use crate::root::Root;

/// Folders that distributions have replaced by links: Debian's and Fedora's merge of `/usr`, and
/// Fedora 42's of `sbin`.
const MERGED_FOLDERS: [&str; 8] = [
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/usr/sbin",
    "/usr/lib64",
];

#[derive(Clone, Debug, Default)]
pub(crate) struct Aliases {
    /// (alias, real folder).
    pairs: Vec<(PathBuf, PathBuf)>,
}

impl Aliases {
    pub(crate) fn read(root: &Root) -> Aliases {
        let pair = |alias: &str| {
            let alias = PathBuf::from(alias);
            let real = root.real_path(&alias).ok()?;
            (real != alias).then_some((alias, real))
        };
        Aliases {
            pairs: MERGED_FOLDERS.into_iter().filter_map(pair).collect(),
        }
    }

    /// All names of the file: as given, behind its links, and through each alias.
    pub(crate) fn names(&self, root: &Root, path: &Path) -> Vec<PathBuf> {
        let mut names = vec![path.to_path_buf()];
        names.extend(root.real_path(path).ok().filter(|real| real != path));
        let mut at = 0;
        while let Some(name) = names.get(at).cloned() {
            at += 1;
            for (alias, real) in &self.pairs {
                for (from, to) in [(alias, real), (real, alias)] {
                    let other = name.strip_prefix(from).map(|below| to.join(below));
                    if let Ok(other) = other
                        && !names.contains(&other)
                    {
                        names.push(other);
                    }
                }
            }
        }
        names
    }
}
