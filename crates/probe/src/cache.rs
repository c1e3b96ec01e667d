//! The files behind a process's mappings: their size, their state in the page cache, and how many
//! processes map them.
//!
//! Main functions: [`read_mapped_files`] and [`count_sharers`]. A file is opened only when device
//! and inode prove that it is the mapped one; what can't be opened or told is a gap. `package` is
//! left to others. Memory cost: about 200 bytes a file.

mod open;
mod residency;
mod sharers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use plimsoll_model::{AddressRange, Backing, Bytes, FileId, Gap, GapReason, MappedFile, Mapping};

pub use sharers::count_sharers;

/// Whether to look through the maps of all processes for those that map the same files. It costs
/// one pass over /proc/*/maps; for several processes, skip it and call [`count_sharers`] once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharers {
    Count,
    Skip,
}

/// What is known of each file in `mappings`, which are those of `pid`. Files are regular files,
/// memfd, System V segments and shared anonymous memory, but no devices.
#[must_use]
pub fn read_mapped_files(
    pid: u32,
    mappings: &[Mapping],
    sharers: Sharers,
) -> (BTreeMap<FileId, MappedFile>, Vec<Gap>) {
    let mut gaps = Missing::default();
    let opener = open::Opener::new(pid);
    let mut files: BTreeMap<FileId, MappedFile> = wanted_files(mappings)
        .into_iter()
        .map(|wanted| (wanted.id, read_file(&opener, &wanted, &mut gaps)))
        .collect();
    let mut gaps = gaps.into_gaps();
    if sharers == Sharers::Count {
        let (counts, gap) = count_sharers(files.keys().copied(), &[(pid, mappings)]);
        gaps.extend(gap);
        for (id, count) in counts {
            if let Some(file) = files.get_mut(&id) {
                file.processes = Some(count);
            }
        }
    }
    (files, gaps)
}

/// One mapped file and where to find it.
struct Wanted<'a> {
    id: FileId,
    path: PathBuf,
    /// Not by that path: it never had one, or it has it no more.
    unlinked: bool,
    in_memory: bool,
    /// Any one of its mappings, and all that have the same file under the same name.
    mapping: &'a Mapping,
}

fn wanted_files(mappings: &[Mapping]) -> Vec<Wanted<'_>> {
    let mut files: BTreeMap<FileId, Wanted<'_>> = BTreeMap::new();
    for mapping in mappings {
        let Some(id) = mapping.file else { continue };
        let (path, unlinked, in_memory) = match &mapping.backing {
            Backing::File { path, deleted } => (path.clone(), *deleted, false),
            Backing::Memfd(name) => (PathBuf::from(format!("memfd:{name}")), true, true),
            Backing::SysV { key, .. } => (PathBuf::from(format!("SYSV{key:08x}")), true, true),
            Backing::SharedAnonymous => (PathBuf::from("/dev/zero"), true, true),
            Backing::Anonymous
            | Backing::AnonymousNamed(_)
            | Backing::Heap
            | Backing::Stack
            | Backing::Kernel(_)
            | Backing::Device(_)
            | Backing::Hugetlb(_)
            | Backing::Other(_) => continue,
        };
        files.entry(id).or_insert(Wanted {
            id,
            path,
            unlinked,
            in_memory,
            mapping,
        });
    }
    files.into_values().collect()
}

fn read_file(opener: &open::Opener, wanted: &Wanted<'_>, missing: &mut Missing) -> MappedFile {
    let mut file = MappedFile {
        id: wanted.id,
        path: wanted.path.clone(),
        size: None,
        cache: None,
        processes: None,
        package: None,
        in_memory_filesystem: wanted.in_memory,
    };
    let opened = match opener.open(wanted) {
        Ok(opened) => opened,
        Err(reason) => {
            missing.unopened(reason, &wanted.path);
            return file;
        }
    };
    file.size = opened.metadata().ok().map(|metadata| Bytes(metadata.len()));
    let system = residency::file_system(&opened);
    file.in_memory_filesystem |= system.in_memory();
    match residency::cache_state(&opened, &system) {
        Ok(state) => file.cache = Some(state),
        Err(reason) => missing.untold(reason, &wanted.path),
    }
    file
}

/// Why a file has no figures, counted: one gap for each reason, not one for each file.
#[derive(Debug, Default)]
struct Missing {
    unopened: BTreeMap<open::NotOpened, (u32, PathBuf)>,
    untold: BTreeMap<residency::NotTold, (u32, PathBuf)>,
}

impl Missing {
    fn unopened(&mut self, reason: open::NotOpened, path: &Path) {
        let entry = self.unopened.entry(reason);
        entry.or_insert_with(|| (0, path.to_owned())).0 += 1;
    }

    fn untold(&mut self, reason: residency::NotTold, path: &Path) {
        let entry = self.untold.entry(reason);
        entry.or_insert_with(|| (0, path.to_owned())).0 += 1;
    }

    fn into_gaps(self) -> Vec<Gap> {
        let gap = |reason, why: &str, (count, path): (u32, PathBuf)| {
            let of_which = if count == 1 {
                "file"
            } else {
                "files, one of them"
            };
            let detail = format!("{count} {of_which} {}: {why}", path.display());
            Gap::new("page cache state of mapped files", reason, detail)
        };
        let unopened = self.unopened.into_iter().map(|(reason, files)| {
            let (gap_reason, why) = reason.words();
            gap(gap_reason, why, files)
        });
        let untold = self.untold.into_iter().map(|(reason, files)| {
            let (gap_reason, why) = reason.words();
            gap(gap_reason, why, files)
        });
        unopened.chain(untold).collect()
    }
}

/// The `START-END` that names a mapping in /proc/PID/map_files.
fn map_files_name(range: AddressRange) -> String {
    range.to_string()
}

fn reason_of(error: &std::io::Error) -> GapReason {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => GapReason::Denied,
        std::io::ErrorKind::NotFound => GapReason::Vanished,
        _ => GapReason::Unsupported,
    }
}

#[cfg(test)]
mod tests;
