//! Python files that no record below their own site folder lists, asked for after the system's
//! package managers: egg-info with module names only, `pip install --target` folders, the
//! interpreter's own files, a wheel's data beside the site folder (`bin/ruff`,
//! `lib/libmkl_rt.so`), and editable installs.
//!
//! Each rule needs a proof of its own and leaves the file unclaimed without one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use plimsoll_model::{Package, PackageManager};

use super::{
    Distribution, Format, RecordBudget, claim_in_site, distributions, open_by_site, read_package,
    relative, site_of,
};
use crate::lookup::{Lookup, visible};
use crate::root::{gap_of, is_absent};

/// `top_level.txt` and `direct_url.json` are a few lines each.
const SMALL_FILE_BYTES_LIMIT: usize = 64 << 10;

pub(crate) fn claim(lookup: &mut Lookup<'_>, budget: &mut RecordBudget) {
    claim_by_top_level(lookup);
    let prefixes = Prefixes::around(lookup);
    claim_interpreters(lookup, &prefixes);
    claim_in_target_folders(lookup, budget);
    claim_data_files(lookup, budget, &prefixes);
    claim_editable(lookup, &prefixes);
}

/// A file belongs to the only distribution that names its top-level module, if that one keeps no
/// list of files. Several that name it share a namespace, and nobody can say whose it is.
fn claim_by_top_level(lookup: &mut Lookup<'_>) {
    let mut buffer = Vec::new();
    for (site, paths) in open_by_site(lookup) {
        let mut namers: HashMap<String, Vec<Distribution>> = HashMap::new();
        for distribution in distributions(lookup, &site) {
            let file = distribution.folder.join("top_level.txt");
            if !read_small(lookup, &file, &mut buffer) {
                continue;
            }
            for module in String::from_utf8_lossy(&buffer).lines().map(str::trim) {
                let of_module = namers.entry(module.to_string()).or_default();
                of_module.push(distribution.clone());
            }
        }
        for path in paths {
            let Some(below) = relative(&path, &site) else {
                continue;
            };
            if let Some([only]) = namers.get(&module_of(&below)).map(Vec::as_slice)
                && !lookup.root.is_file(&only.list())
            {
                let owner = read_package(lookup, only, &mut buffer);
                lookup.claim(&path, &owner);
            }
        }
    }
}

/// `numpy` of `numpy/x.so`, `_yaml` of `_yaml.cpython-311-x86_64-linux-gnu.so`.
fn module_of(below: &[u8]) -> String {
    let first = below.split(|&byte| byte == b'/').next().unwrap_or_default();
    let first = String::from_utf8_lossy(first).into_owned();
    if first.len() < below.len() {
        return first;
    }
    first.split('.').next().unwrap_or_default().to_string()
}

/// Files in folders that are site folders by content and not by name: `pip install --target`
/// (vendored code, function images) and the archives that uv links to.
fn claim_in_target_folders(lookup: &mut Lookup<'_>, budget: &mut RecordBudget) {
    let mut folders: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for path in lookup.open().filter(|path| site_of(path).is_none()) {
        for folder in path.ancestors().skip(1) {
            let paths = folders.entry(folder.to_path_buf()).or_default();
            paths.push(path.to_path_buf());
        }
    }
    // The deepest folder first: its records are nearest to the file.
    for (folder, paths) in folders.into_iter().rev() {
        if !has_distributions(lookup, &folder) {
            continue;
        }
        let key = |path: &PathBuf| relative(path, &folder);
        let wanted = paths
            .iter()
            .filter_map(|path| Some((key(path)?, path.as_path())));
        claim_in_site(lookup, budget, &folder, wanted.collect());
    }
}

/// Whether a folder that is not known as a site folder is one. A folder that can't be listed is
/// most likely none, so it is no gap.
fn has_distributions(lookup: &Lookup<'_>, folder: &Path) -> bool {
    let (names, _) = lookup.root.names(folder).unwrap_or_default();
    let is_distribution = |name| Path::new(name).extension() == Some(OsStr::new("dist-info"));
    names.iter().any(is_distribution)
}

/// Installation prefixes around the open files: folders with `lib/pythonX.Y`.
#[derive(Debug)]
struct Prefixes {
    /// Names of the `pythonX.Y` folders in `lib` of each folder that was looked at.
    libraries: BTreeMap<PathBuf, Vec<String>>,
}

impl Prefixes {
    fn around(lookup: &Lookup<'_>) -> Prefixes {
        let folders: BTreeSet<&Path> = lookup
            .open()
            .flat_map(|path| path.ancestors().skip(1))
            // `/lib` is `/usr/lib` nearly everywhere, so `/` is no prefix of its own.
            .filter(|folder| folder.parent().is_some())
            .collect();
        let names = |folder: &Path| {
            let (names, _) = lookup.root.names(&folder.join("lib")).unwrap_or_default();
            let versions = names.iter().filter_map(|name| name.to_str());
            let versions = versions.filter(|name| python_version(name).is_some());
            versions.map(str::to_string).collect::<Vec<_>>()
        };
        let libraries = folders
            .into_iter()
            .map(|folder| (folder.to_path_buf(), names(folder)))
            .filter(|(_, names)| !names.is_empty())
            .collect();
        Prefixes { libraries }
    }

    /// The nearest prefix above `path`.
    fn of<'s>(&'s self, path: &Path) -> Option<(&'s Path, &'s [String])> {
        path.ancestors().skip(1).find_map(|folder| {
            let (prefix, names) = self.libraries.get_key_value(folder)?;
            Some((prefix.as_path(), names.as_slice()))
        })
    }
}

/// `3.11` of `python3.11`, `3.13t` of `python3.13t`.
fn python_version(name: &str) -> Option<&str> {
    let version = name.strip_prefix("python")?;
    let (major, minor) = version.split_once('.')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // Free-threaded builds end in `t` (PEP 703).
    let minor = minor.strip_suffix('t').unwrap_or(minor);
    (is_number(major) && is_number(minor)).then_some(version)
}

/// Files of an interpreter that no package manager installed. Proof: the prefix has this
/// version's `os.py`, by which CPython itself finds its prefix (Modules/getpath.py).
fn claim_interpreters(lookup: &mut Lookup<'_>, prefixes: &Prefixes) {
    let open: Vec<PathBuf> = lookup.open().map(Path::to_path_buf).collect();
    for path in open.iter().filter(|path| site_of(path).is_none()) {
        let Some((prefix, libraries)) = prefixes.of(path) else {
            continue;
        };
        let has_landmark = |name: &&String| {
            let landmark = prefix.join("lib").join(name).join("os.py");
            lookup.root.is_file(&landmark)
        };
        let versions: Vec<&str> = libraries
            .iter()
            .filter(has_landmark)
            .filter_map(|name| python_version(name))
            .collect();
        if let Ok(below) = path.strip_prefix(prefix)
            && let Some(version) = interpreter_version(below, &versions)
        {
            let name = format!("CPython {version} ({})", prefix.display());
            let interpreter = Package {
                manager: PackageManager::Folder,
                name: visible(&name),
                version: String::new(),
            };
            lookup.claim(path, &interpreter);
        }
    }
}

/// Which of a prefix's interpreters the file at `below` belongs to.
fn interpreter_version<'v>(below: &Path, versions: &[&'v str]) -> Option<&'v str> {
    let parts: Vec<&str> = below.iter().map(OsStr::to_str).collect::<Option<_>>()?;
    let of = |wanted: &str| versions.iter().copied().find(|version| *version == wanted);
    // Names without a minor version can be told only where there is one interpreter.
    let only = match versions {
        [only] => Some(*only),
        _ => None,
    };
    match parts.as_slice() {
        ["lib", library, _, ..] => of(library.strip_prefix("python")?),
        ["lib", name] => {
            let (library, _) = name.strip_prefix("libpython")?.split_once(".so")?;
            // Builds before 3.8 have flags in the name, `libpython3.7m.so` (PEP 3149).
            let unflagged = library.trim_end_matches(|c: char| c.is_ascii_lowercase());
            let any = library.len() == 1;
            of(library)
                .or_else(|| of(unflagged))
                .or(only.filter(|_| any))
        }
        ["bin", "python" | "python2" | "python3"] => only,
        ["bin", name] => {
            let name = name.strip_prefix("python")?;
            of(name).or_else(|| of(name.strip_suffix('m')?))
        }
        _ => None,
    }
}

/// Files that a wheel put beside its site folder, which its RECORD lists as `../../../bin/ruff`.
fn claim_data_files(lookup: &mut Lookup<'_>, budget: &mut RecordBudget, prefixes: &Prefixes) {
    let mut by_site: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for path in lookup.open().filter(|path| site_of(path).is_none()) {
        let Some((prefix, libraries)) = prefixes.of(path) else {
            continue;
        };
        for library in libraries {
            for site in ["site-packages", "dist-packages"] {
                let site = prefix.join("lib").join(library).join(site);
                let paths = by_site.entry(site).or_default();
                paths.push(path.to_path_buf());
            }
        }
    }
    for (site, paths) in by_site {
        let absolute = |path: &PathBuf| path.as_os_str().as_bytes().to_vec();
        let wanted = paths.iter().map(|path| (absolute(path), path.as_path()));
        claim_in_site(lookup, budget, &site, wanted.collect());
    }
}

/// Libraries built inside a project that is installed in editable mode (PEP 660): their
/// distribution, in a site folder of this batch, names the project's folder.
fn claim_editable(lookup: &mut Lookup<'_>, prefixes: &Prefixes) {
    let candidates: Vec<PathBuf> = lookup
        .open()
        .filter(|path| site_of(path).is_none() && is_library(path))
        .map(Path::to_path_buf)
        .collect();
    if candidates.is_empty() {
        return;
    }
    let projects = editable_projects(lookup);
    for path in candidates {
        let around = path.ancestors().skip(1);
        let Some((folder, owner)) = around
            .into_iter()
            .find_map(|folder| projects.get_key_value(folder))
        else {
            continue;
        };
        // A virtual environment inside the project is not the project.
        let in_environment = prefixes
            .of(&path)
            .is_some_and(|(prefix, _)| prefix.starts_with(folder));
        if !in_environment {
            lookup.claim(&path, owner);
        }
    }
}

/// Only libraries: a database in the project's folder was not installed by it.
fn is_library(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("so"))
}

fn editable_projects(lookup: &mut Lookup<'_>) -> BTreeMap<PathBuf, Package> {
    let mut buffer = Vec::new();
    let sites: BTreeSet<PathBuf> = lookup
        .paths()
        .filter_map(site_of)
        .map(Path::to_path_buf)
        .collect();
    let mut projects = BTreeMap::new();
    for site in sites {
        for distribution in distributions(lookup, &site) {
            let file = distribution.folder.join("direct_url.json");
            if distribution.format != Format::DistInfo || !read_small(lookup, &file, &mut buffer) {
                continue;
            }
            if let Some(folder) = parse_editable(&buffer) {
                let owner = read_package(lookup, &distribution, &mut buffer);
                projects.insert(folder, owner);
            }
        }
    }
    projects
}

/// The project's folder in a `direct_url.json` (PEP 610), if it is an editable install.
fn parse_editable(json: &[u8]) -> Option<PathBuf> {
    let value: serde_json::Value = serde_json::from_slice(json).ok()?;
    if !value.get("dir_info")?.get("editable")?.as_bool()? {
        return None;
    }
    let url = value.get("url")?.as_str()?.strip_prefix("file://")?;
    let path = percent_decoded(url.trim_end_matches('/'))?;
    let path = PathBuf::from(OsStr::from_bytes(&path).to_os_string());
    let mut parts = path.components();
    let is_normal = parts.next() == Some(Component::RootDir)
        && parts.clone().count() > 0
        && parts.all(|part| matches!(part, Component::Normal(_)));
    is_normal.then_some(path)
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut result = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            result.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        result.push(u8::try_from(value).ok()?);
    }
    Some(result)
}

/// Reads a small record; `false` when there is none, with a gap when it can't be read.
fn read_small(lookup: &mut Lookup<'_>, path: &Path, buffer: &mut Vec<u8>) -> bool {
    match lookup.root.read(path, SMALL_FILE_BYTES_LIMIT, buffer) {
        Ok(_) => true,
        Err(error) if is_absent(&error) => false,
        Err(error) => {
            lookup.gap(gap_of(super::WHAT, path, &error));
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn interpreter_files() {
        let check = |below: &str, versions: &[&str], expected: Option<&str>| {
            let found = interpreter_version(Path::new(below), versions);
            assert_eq!(found, expected, "{below}");
        };
        check("bin/python3.11", &["3.11"], Some("3.11"));
        check("bin/python3", &["3.11"], Some("3.11"));
        check("bin/python3", &["3.10", "3.11"], None);
        check("bin/ruff", &["3.11"], None);
        check("lib/libpython3.11.so.1.0", &["3.1", "3.11"], Some("3.11"));
        check("lib/libpython3.12.so.1.0", &["3.11"], None);
        check("lib/libpython3.7m.so.1.0", &["3.7"], Some("3.7"));
        check("lib/libpython3.13t.so.1.0", &["3.13t"], Some("3.13t"));
        check("lib/libpython3.so", &["3.11"], Some("3.11"));
        check("lib/libpython3.so", &["3.10", "3.11"], None);
        check("bin/python3.7m", &["3.7"], Some("3.7"));
        check("lib/libpq.so.5", &["3.11"], None);
        check(
            "lib/python3.11/lib-dynload/_ssl.so",
            &["3.11"],
            Some("3.11"),
        );
        check("lib/python3.11/lib-dynload/_ssl.so", &[], None);
        check("share/x", &["3.11"], None);
    }

    #[test]
    fn editable_folders() {
        let check = |json: &str, expected: Option<&str>| {
            let expected = expected.map(PathBuf::from);
            assert_eq!(parse_editable(json.as_bytes()), expected, "{json}");
        };
        let editable = |url: &str| format!(r#"{{"url":"{url}","dir_info":{{"editable":true}}}}"#);
        check(&editable("file:///src/my%20app"), Some("/src/my app"));
        check(&editable("file:///src/app/"), Some("/src/app"));
        check(&editable("file:///"), None);
        check(&editable("file:///src/../etc"), None);
        check(&editable("file:///bad%2"), None);
        check(&editable("https://example.org/x"), None);
        check(r#"{"url":"file:///src/app","dir_info":{}}"#, None);
        check("not json", None);
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let text: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(percent_decoded(&text), Some(bytes));
        }
    }
}
