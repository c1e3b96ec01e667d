//! Debian packages, from the file lists that dpkg keeps in `/var/lib/dpkg/info`, and in images
//! without dpkg (Google's distroless) from `/var/lib/dpkg/status.d`.
//!
//! All lists are searched for all open paths at once, because nothing says which list to open:
//! 686 lists of 9 MB take 8 ms of processor time. Memory: one buffer of 64 KiB.

mod search;
mod status;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use plimsoll_model::{Gap, GapReason, PackageManager};

use crate::folder::{FOLDER_NAMES_LIMIT, Folder};
use crate::lines::for_each_line;
use crate::lookup::{Lookup, package};
use crate::root::{Extent, gap_of, is_absent};
use crate::spelling::Aliases;
use search::{ListFormat, Lister, Wanted};
use status::{ListedName, Versions};

const INFO: &str = "/var/lib/dpkg/info";
const STATUS: &str = "/var/lib/dpkg/status";
const STATUS_FOLDER: &str = "/var/lib/dpkg/status.d";
const DIVERSIONS: &str = "/var/lib/dpkg/diversions";

const WHAT: &str = "Debian package of mapped files";

/// One file list: four times the longest met (google-cloud-cli's, 4.0 MB).
const LIST_BYTES_LIMIT: usize = 16 << 20;

/// Lists go through a buffer that fits the processor's second-level cache; a path in them is at
/// most 4 KiB (PATH_MAX).
const LIST_BUFFER_BYTES: usize = 64 << 10;

/// Three short lines a diversion; a desktop has some ten.
const DIVERSIONS_BYTES_LIMIT: usize = 1 << 20;

pub(crate) fn claim(lookup: &mut Lookup<'_>, aliases: &Aliases) {
    let mut search = Search::new(lookup, aliases);
    search.read_lists(lookup, Path::new(INFO), ".list", ListFormat::List);
    claim_found(lookup, &search, &[PathBuf::from(STATUS)]);
    if lookup.is_done() {
        return;
    }
    search.found.clear();
    let folder = Path::new(STATUS_FOLDER);
    search.read_lists(lookup, folder, ".md5sums", ListFormat::Md5sums);
    let of_package = |name: &ListedName| folder.join(&name.name);
    let files: Vec<PathBuf> = search.found.values().map(of_package).collect();
    claim_found(lookup, &search, &files);
}

/// The open paths and which package lists each.
#[derive(Debug)]
struct Search {
    paths: Vec<PathBuf>,
    wanted: Wanted,
    found: BTreeMap<usize, ListedName>,
}

impl Search {
    fn new(lookup: &mut Lookup<'_>, aliases: &Aliases) -> Search {
        let diversions = read_diversions(lookup);
        let paths: Vec<PathBuf> = lookup.open().map(Path::to_path_buf).collect();
        let mut wanted = Wanted::new();
        for (index, path) in paths.iter().enumerate() {
            for name in aliases.names(lookup.root, path) {
                add_name(&mut wanted, index, name.as_os_str().as_bytes(), &diversions);
            }
        }
        Search {
            paths,
            wanted,
            found: BTreeMap::new(),
        }
    }

    /// Searches every list in `folder` until each path is found.
    fn read_lists(
        &mut self,
        lookup: &mut Lookup<'_>,
        path: &Path,
        suffix: &str,
        format: ListFormat,
    ) {
        let Some((folder, names)) = lists(lookup, path, suffix) else {
            return;
        };
        let mut buffer = vec![0; LIST_BUFFER_BYTES];
        for file in names {
            if self.found.len() == self.paths.len() {
                return;
            }
            let Some(package) = file.to_str().and_then(|name| name.strip_suffix(suffix)) else {
                continue;
            };
            let listed = ListedName::parse(package);
            let found = &mut self.found;
            let extent = folder.read_lines(&file, LIST_BYTES_LIMIT, &mut buffer, |lines| {
                self.wanted.search(lines, format, &listed.name, |index| {
                    // Two lists name one file only for two architectures of the same version.
                    found.entry(index).or_insert_with(|| listed.clone());
                });
            });
            match extent {
                Ok(Extent::Whole) => {}
                Ok(Extent::Cut) => {
                    let shown = path.join(&file);
                    let detail = format!("{}: over {LIST_BYTES_LIMIT} bytes", shown.display());
                    lookup.gap(Gap::new(WHAT, GapReason::Bounded, detail));
                }
                Err(error) => lookup.gap(gap_of(WHAT, &path.join(&file), &error)),
            }
        }
    }
}

/// The folder at `path` and the names in it that end in `suffix`.
fn lists<'a>(
    lookup: &mut Lookup<'a>,
    path: &Path,
    suffix: &str,
) -> Option<(Folder<'a>, Vec<OsString>)> {
    let listed = Folder::open(lookup.root, path).and_then(|folder| {
        let is_list = |name: &OsStr| name.as_bytes().ends_with(suffix.as_bytes());
        let (names, extent) = folder.names(is_list)?;
        Ok((folder, names, extent))
    });
    match listed {
        Ok((folder, names, extent)) => {
            if extent == Extent::Cut {
                let detail = format!("{}: over {FOLDER_NAMES_LIMIT} entries", path.display());
                lookup.gap(Gap::new(WHAT, GapReason::Bounded, detail));
            }
            Some((folder, names))
        }
        Err(error) => {
            if !is_absent(&error) {
                lookup.gap(gap_of(WHAT, path, &error));
            }
            None
        }
    }
}

/// Claims what was found, with versions from the first of `files` that has them.
fn claim_found(lookup: &mut Lookup<'_>, search: &Search, files: &[PathBuf]) {
    if search.found.is_empty() {
        return;
    }
    let mut versions = Versions::wanted(search.found.values().cloned());
    for path in files {
        let read = lookup
            .root
            .open_file(path)
            .and_then(|file| for_each_line(file, |line| versions.take(line)));
        // Files end where the next begins: the line between two paragraphs.
        let _ = versions.take(b"");
        if let Err(error) = read {
            lookup.gap(gap_of("versions of Debian packages", path, &error));
        }
    }
    let versions = versions.into_versions();
    for (&index, listed) in &search.found {
        let version = versions.get(listed).map_or("", String::as_str);
        let owner = package(PackageManager::Debian, &listed.name, version);
        lookup.claim(&search.paths[index], &owner);
    }
}

/// One diversion: other packages' file `from` is installed as `to` instead.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Diversion {
    from: Vec<u8>,
    to: Vec<u8>,
    /// `:` for the administrator's own, which diverts every package.
    diverter: String,
}

fn add_name(wanted: &mut Wanted, index: usize, name: &[u8], diversions: &[Diversion]) {
    // Names in `Wanted` have no leading `/`; paths here are absolute.
    let diverted = diversions.iter().find(|diversion| diversion.from == name);
    let lister = match diverted {
        Some(diversion) => Lister::Only(diversion.diverter.clone()),
        None => Lister::Any,
    };
    wanted.add(&name[1..], index, lister);
    for diversion in diversions.iter().filter(|diversion| diversion.to == name) {
        let lister = Lister::AllBut(diversion.diverter.clone());
        wanted.add(&diversion.from[1..], index, lister);
    }
}

fn read_diversions(lookup: &mut Lookup<'_>) -> Vec<Diversion> {
    let path = Path::new(DIVERSIONS);
    let mut buffer = Vec::new();
    match lookup.root.read(path, DIVERSIONS_BYTES_LIMIT, &mut buffer) {
        Ok(_) => parse_diversions(&buffer),
        Err(error) if is_absent(&error) => Vec::new(),
        Err(error) => {
            lookup.gap(gap_of("diversions of Debian packages", path, &error));
            Vec::new()
        }
    }
}

/// Three lines each: from, to, package. Anything that is not two absolute paths is left out.
fn parse_diversions(text: &[u8]) -> Vec<Diversion> {
    let lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
    let parse = |lines: &[&[u8]]| {
        let &[from, to, diverter] = lines else {
            return None;
        };
        (from.starts_with(b"/") && to.starts_with(b"/")).then(|| Diversion {
            from: from.to_vec(),
            to: to.to_vec(),
            diverter: String::from_utf8_lossy(diverter).into_owned(),
        })
    };
    lines.chunks_exact(3).filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn diversions_are_triples() {
        let check = |text: &str, expected: &[(&str, &str, &str)]| {
            let found = parse_diversions(text.as_bytes());
            let expected: Vec<Diversion> = expected
                .iter()
                .map(|(from, to, diverter)| Diversion {
                    from: from.as_bytes().to_vec(),
                    to: to.as_bytes().to_vec(),
                    diverter: (*diverter).to_string(),
                })
                .collect();
            assert_eq!(found, expected, "{text:?}");
        };
        check(
            "/bin/sh\n/bin/sh.distrib\ndash\n",
            &[("/bin/sh", "/bin/sh.distrib", "dash")],
        );
        check("/a\n/b\n:\n/c\n", &[("/a", "/b", ":")]);
        check("a\n/b\nx\n", &[]);
        check("", &[]);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut wanted = Wanted::new();
            add_name(&mut wanted, 0, b"/a", &parse_diversions(&bytes));
        }
    }
}
