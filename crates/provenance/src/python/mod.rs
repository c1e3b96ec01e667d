//! Python distributions: wheels and older installs in `site-packages` and `dist-packages`.
//!
//! [`claim_listed`] takes only files that a distribution's own record lists, so a wheel's bundled
//! `numpy.libs/` belongs to it and a file somebody copied in does not. Weaker evidence comes
//! later, in [`unlisted`], when no system package has claimed the file. Memory: one RECORD.

mod metadata;
mod record;
pub(crate) mod unlisted;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use plimsoll_model::{Gap, GapReason, Package, PackageManager};

use crate::lookup::{Lookup, package};
use crate::root::{Extent, gap_of, is_absent};

/// RECORD bytes read for one batch: 16 times what 96 distributions of a data-science environment
/// have together (4.0 MB measured).
const RECORDS_BYTES_LIMIT: usize = 64 << 20;

/// One RECORD: 8 times the largest of those 96, which lists 8,000 files.
const RECORD_BYTES_LIMIT: usize = 8 << 20;

/// The start of METADATA that is searched for name and version, which stand in its first lines.
const METADATA_BYTES_LIMIT: usize = 64 << 10;

/// Bytes of RECORDs that may still be read in this batch.
#[derive(Debug)]
pub(crate) struct RecordBudget {
    left: usize,
}

impl RecordBudget {
    pub(crate) fn new() -> RecordBudget {
        RecordBudget {
            left: RECORDS_BYTES_LIMIT,
        }
    }
}

/// Claims every open file that a distribution lists.
pub(crate) fn claim_listed(lookup: &mut Lookup<'_>, budget: &mut RecordBudget) {
    for (site, paths) in open_by_site(lookup) {
        claim_in_eggs(lookup, &site, &paths);
        let below = paths
            .iter()
            .filter_map(|path| Some((relative(path, &site)?, path.as_path())));
        claim_in_site(lookup, budget, &site, below.collect());
    }
}

/// Claims the files of `wanted`, keyed by their path as the site's records spell it.
fn claim_in_site(
    lookup: &mut Lookup<'_>,
    budget: &mut RecordBudget,
    site: &Path,
    mut wanted: HashMap<Vec<u8>, &Path>,
) {
    let mut buffer = Vec::new();
    for distribution in distributions_hinted_first(lookup, site, &wanted) {
        if wanted.is_empty() {
            return;
        }
        if budget.left == 0 {
            let detail = format!("{RECORDS_BYTES_LIMIT} bytes of RECORDs were read");
            lookup.gap(Gap::new(WHAT, GapReason::Bounded, detail));
            return;
        }
        if !read_list(lookup, budget, &distribution, &mut buffer) {
            continue;
        }
        let found = take_listed(&distribution, &buffer, site, &mut wanted);
        if found.is_empty() {
            continue;
        }
        let owner = read_package(lookup, &distribution, &mut buffer);
        for path in found {
            lookup.claim(path, &owner);
        }
    }
}

/// A `*.dist-info` or `*.egg-info` in a site folder.
#[derive(Clone, Debug)]
pub(crate) struct Distribution {
    folder: PathBuf,
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// `RECORD`, paths relative to the site folder.
    DistInfo,
    /// `installed-files.txt`, paths relative to the egg-info folder.
    EggInfo,
}

impl Distribution {
    fn list(&self) -> PathBuf {
        self.folder.join(match self.format {
            Format::DistInfo => "RECORD",
            Format::EggInfo => "installed-files.txt",
        })
    }

    fn folder_name(&self) -> Cow<'_, str> {
        self.folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
    }
}

/// All distributions of a site, in order of their names; a gap when they can't be listed.
fn distributions(lookup: &mut Lookup<'_>, site: &Path) -> Vec<Distribution> {
    let names = match lookup.root.names(site) {
        Ok((names, Extent::Whole)) => names,
        Ok((names, Extent::Cut)) => {
            let detail = format!("{}: more than {} entries", site.display(), names.len());
            lookup.gap(Gap::new(WHAT, GapReason::Bounded, detail));
            names
        }
        // The mapping's file is gone, and its site folder with it.
        Err(error) if is_absent(&error) => Vec::new(),
        Err(error) => {
            lookup.gap(gap_of(WHAT, site, &error));
            Vec::new()
        }
    };
    let format_of = |name: &OsStr| match Path::new(name).extension()?.as_bytes() {
        b"dist-info" => Some(Format::DistInfo),
        b"egg-info" => Some(Format::EggInfo),
        _ => None,
    };
    let of = |name| {
        let format = format_of(name)?;
        let folder = site.join(name);
        Some(Distribution { folder, format })
    };
    names.iter().filter_map(|name| of(name)).collect()
}

const WHAT: &str = "Python distribution of mapped files";

/// First those whose name is that of a wanted file's top folder: nearly always the right ones.
fn distributions_hinted_first(
    lookup: &mut Lookup<'_>,
    site: &Path,
    wanted: &HashMap<Vec<u8>, &Path>,
) -> Vec<Distribution> {
    let hints: BTreeSet<String> = wanted.keys().map(|path| top_level(path)).collect();
    let mut distributions = distributions(lookup, site);
    distributions.sort_by_key(|distribution| {
        let parsed = metadata::parse_folder_name(&distribution.folder_name());
        !parsed.is_some_and(|(name, _)| hints.contains(&metadata::normalised(&name)))
    });
    distributions
}

/// The top folder or module of a path below a site, as distribution names are compared:
/// `numpy.libs/x.so` and `numpy/y.so` give `numpy`, `_cffi_backend.abi3.so` gives `-cffi-backend`.
fn top_level(path: &[u8]) -> String {
    let first = path.split(|&byte| byte == b'/').next().unwrap_or_default();
    let first = String::from_utf8_lossy(first);
    let stem = match first.strip_suffix(".libs") {
        Some(stem) => stem,
        None if first.len() == path.len() => first.split('.').next().unwrap_or_default(),
        None => &first,
    };
    metadata::normalised(stem)
}

/// Reads the distribution's list of files; `false` when it has none or it may not be read.
fn read_list(
    lookup: &mut Lookup<'_>,
    budget: &mut RecordBudget,
    distribution: &Distribution,
    buffer: &mut Vec<u8>,
) -> bool {
    let list = distribution.list();
    let limit = RECORD_BYTES_LIMIT.min(budget.left);
    match lookup.root.read(&list, limit, buffer) {
        Ok(extent) => {
            budget.left -= buffer.len();
            if extent == Extent::Cut {
                let detail = format!("{}: read up to {limit} bytes", list.display());
                lookup.gap(Gap::new(WHAT, GapReason::Bounded, detail));
            }
            true
        }
        Err(error) if is_absent(&error) => false,
        Err(error) => {
            lookup.gap(gap_of(WHAT, &list, &error));
            false
        }
    }
}

/// Takes out of `wanted` the files that the list names.
fn take_listed<'p>(
    distribution: &Distribution,
    list: &[u8],
    site: &Path,
    wanted: &mut HashMap<Vec<u8>, &'p Path>,
) -> Vec<&'p Path> {
    let mut found = Vec::new();
    let mut take = |path: &[u8], base: &Path| {
        // Names that leave the folder, or are absolute, are the few: scripts, data, old eggs.
        let hit = if path.starts_with(b"..") || path.starts_with(b"/") {
            resolved(path, base).and_then(|path| wanted.remove(spelling(&path, site).as_ref()))
        } else {
            wanted.remove(path)
        };
        found.extend(hit);
    };
    match distribution.format {
        Format::DistInfo => record::paths(list).for_each(|path| take(&path, site)),
        Format::EggInfo => list
            .split(|&byte| byte == b'\n')
            .for_each(|path| take(path, &distribution.folder)),
    }
    found
}

/// How a site's wanted files are keyed: relative below the site, absolute elsewhere.
fn spelling<'p>(path: &'p Path, site: &Path) -> Cow<'p, [u8]> {
    let path = path.strip_prefix(site).unwrap_or(path);
    Cow::Borrowed(path.as_os_str().as_bytes())
}

/// `path` from `base`, `..` taken out by name only; `None` when it climbs above `/`.
fn resolved(path: &[u8], base: &Path) -> Option<PathBuf> {
    let mut result = base.to_path_buf();
    for part in Path::new(OsStr::from_bytes(path)).components() {
        match part {
            std::path::Component::ParentDir => {
                if !result.pop() {
                    return None;
                }
            }
            std::path::Component::CurDir => {}
            part => result.push(part),
        }
    }
    Some(result)
}

/// Name and version from METADATA (PKG-INFO), else from the folder's name with a gap.
fn read_package(
    lookup: &mut Lookup<'_>,
    distribution: &Distribution,
    buffer: &mut Vec<u8>,
) -> Package {
    let file = match distribution.format {
        Format::DistInfo => "METADATA",
        Format::EggInfo => "PKG-INFO",
    };
    let path = distribution.folder.join(file);
    read_metadata(lookup, &path, &distribution.folder_name(), buffer)
}

fn read_metadata(
    lookup: &mut Lookup<'_>,
    path: &Path,
    folder_name: &str,
    buffer: &mut Vec<u8>,
) -> Package {
    let error = match lookup.root.read(path, METADATA_BYTES_LIMIT, buffer) {
        Ok(_) => match metadata::parse_name_version(buffer) {
            Some((name, version)) => return package(PackageManager::Python, &name, &version),
            None => std::io::Error::other("no name in its header"),
        },
        Err(error) => error,
    };
    lookup.gap(gap_of(
        "name and version of a Python distribution",
        path,
        &error,
    ));
    let (name, version) = metadata::parse_folder_name(folder_name)
        .unwrap_or_else(|| (folder_name.to_string(), String::new()));
    package(PackageManager::Python, &name, &version)
}

/// A zipped or unpacked `foo-1.0-py3.11.egg` holds one distribution and nothing else.
fn claim_in_eggs(lookup: &mut Lookup<'_>, site: &Path, paths: &[PathBuf]) {
    let mut buffer = Vec::new();
    for path in paths {
        let Some(top) = path.strip_prefix(site).ok().and_then(|p| p.iter().next()) else {
            continue;
        };
        if Path::new(top).extension() != Some(OsStr::new("egg")) {
            continue;
        }
        let info = site.join(top).join("EGG-INFO/PKG-INFO");
        if lookup.root.is_file(&info) {
            let owner = read_metadata(lookup, &info, &top.to_string_lossy(), &mut buffer);
            lookup.claim(path, &owner);
        }
    }
}

/// The open files below each site folder.
fn open_by_site(lookup: &Lookup<'_>) -> BTreeMap<PathBuf, Vec<PathBuf>> {
    let mut sites: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for path in lookup.open() {
        if let Some(site) = site_of(path) {
            let paths = sites.entry(site.to_path_buf()).or_default();
            paths.push(path.to_path_buf());
        }
    }
    sites
}

/// The nearest folder above `path` that distributions are installed into.
fn site_of(path: &Path) -> Option<&Path> {
    path.ancestors().skip(1).find(|folder| is_site(folder))
}

fn is_site(folder: &Path) -> bool {
    folder
        .file_name()
        .is_some_and(|name| name == "site-packages" || name == "dist-packages")
}

fn relative(path: &Path, site: &Path) -> Option<Vec<u8>> {
    let below = path.strip_prefix(site).ok()?;
    Some(below.as_os_str().as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::Root;

    fn lookup_with_budget(left: usize) -> (BTreeMap<PathBuf, Package>, Vec<Gap>) {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/python");
        let root = Root::open(&fixture).unwrap();
        let site = Path::new("/opt/app/lib/python3.11/site-packages");
        let paths = ["yaml/_yaml.cpython-311-x86_64-linux-gnu.so", "none/x.so"];
        let mut lookup = Lookup::new(&root, &paths.map(|path| site.join(path)));
        claim_listed(&mut lookup, &mut RecordBudget { left });
        lookup.into_owners()
    }

    #[test]
    fn a_spent_budget_is_one_gap() {
        let (owners, gaps) = lookup_with_budget(RECORDS_BYTES_LIMIT);
        assert_eq!((owners.len(), gaps), (1, vec![]));
        let (owners, gaps) = lookup_with_budget(0);
        assert_eq!((owners.len(), gaps.len()), (0, 1), "{gaps:?}");
        assert_eq!(gaps[0].reason, GapReason::Bounded);
    }

    #[test]
    fn top_levels() {
        let check = |path: &str, expected: &str| assert_eq!(top_level(path.as_bytes()), expected);
        check("numpy.libs/libx.so", "numpy");
        check("numpy/_core/x.so", "numpy");
        check("_cffi_backend.cpython-311.so", "-cffi-backend");
        check("scikit_learn.libs/x.so", "scikit-learn");
    }

    #[test]
    fn paths_are_resolved_by_name() {
        let check = |path: &str, expected: Option<&str>| {
            let found = resolved(path.as_bytes(), Path::new("/a/b"));
            assert_eq!(found, expected.map(PathBuf::from), "{path}");
        };
        check("../../bin/x", Some("/bin/x"));
        check("../c/./x", Some("/a/c/x"));
        check("/abs", Some("/abs"));
        check("../../../x", None);
    }
}
