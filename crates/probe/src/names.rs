//! Corrects what a name in maps leaves open, by asking the system.
//!
//! A file may really be called `x (deleted)` or hold the four characters `\012`; a file below
//! /dev need not be a device; and pages on hugetlbfs are not counted in RSS.

use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use plimsoll_model::{AddressRange, Backing, FileId, Mapping};

use crate::proc_file::ProcDir;

/// HUGETLBFS_MAGIC in include/uapi/linux/magic.h.
const HUGETLBFS: u64 = 0x9584_58f6;

/// Corrects the backings. `hugetlb` is whether the process has hugetlb pages that no flag of a
/// mapping tells (a walk reads no flags).
pub(crate) fn correct_names(process: &ProcDir, mappings: &mut [Mapping], hugetlb: bool) {
    let mut corrected: BTreeMap<(FileId, PathBuf), Backing> = BTreeMap::new();
    let mut hugetlb_devices: BTreeMap<(u32, u32), bool> = BTreeMap::new();
    for mapping in mappings {
        let Some(id) = mapping.file else { continue };
        if hugetlb {
            let is_hugetlb = *hugetlb_devices
                .entry((id.device_major, id.device_minor))
                .or_insert_with(|| is_hugetlb(process, &mapping.backing, mapping.range));
            if is_hugetlb {
                mapping.backing = Backing::Hugetlb(display_path(&mapping.backing));
                continue;
            }
        }
        let (path, deleted) = match &mapping.backing {
            Backing::File { path, deleted } => (path, *deleted),
            Backing::Device(path) => (path, false),
            _ => continue,
        };
        let is_device = matches!(mapping.backing, Backing::Device(_));
        let newline = path.as_os_str().as_bytes().contains(&b'\n');
        if !(deleted || newline || is_device || mapping.flags.device_memory) {
            continue;
        }
        mapping.backing = corrected
            .entry((id, path.clone()))
            .or_insert_with(|| correct(process, id, &mapping.backing))
            .clone();
    }
}

fn correct(process: &ProcDir, id: FileId, backing: &Backing) -> Backing {
    let (path, deleted) = match backing {
        Backing::File { path, deleted } => (path.clone(), *deleted),
        Backing::Device(path) => (path.clone(), false),
        other => return other.clone(),
    };
    let found = candidates(&path, deleted)
        .into_iter()
        .find_map(|(path, deleted)| {
            let metadata = std::fs::metadata(process.through_root(&path)).ok()?;
            // The device is not compared: on btrfs and overlayfs stat(2) gives another one than maps.
            (metadata.ino() == id.inode).then_some((path, deleted, metadata.file_type()))
        });
    match found {
        Some((path, _, kind)) if kind.is_char_device() || kind.is_block_device() => {
            Backing::Device(path)
        }
        Some((path, deleted, _)) => Backing::File { path, deleted },
        None => backing.clone(),
    }
}

/// Names that the kernel would have printed the same way, the literal ones first.
fn candidates(path: &Path, deleted: bool) -> Vec<(PathBuf, bool)> {
    let literal = |path: &Path| {
        let bytes = path.as_os_str().as_bytes();
        let parts: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        PathBuf::from(OsString::from(std::ffi::OsStr::from_bytes(
            &parts.join(&b"\\012"[..]),
        )))
    };
    let with_suffix = |path: &Path| {
        let mut name = path.as_os_str().to_owned();
        name.push(" (deleted)");
        PathBuf::from(name)
    };
    let mut names = Vec::new();
    if deleted {
        names.push((with_suffix(path), false));
        names.push((with_suffix(&literal(path)), false));
    } else {
        names.push((path.to_owned(), false));
        names.push((literal(path), false));
    }
    names
}

fn display_path(backing: &Backing) -> PathBuf {
    match backing {
        Backing::File { path, .. } | Backing::Device(path) | Backing::Hugetlb(path) => path.clone(),
        Backing::Memfd(name) => format!("/memfd:{name}").into(),
        Backing::SysV { key, .. } => format!("/SYSV{key:08x}").into(),
        _ => "/anon_hugepage".into(),
    }
}

fn is_hugetlb(process: &ProcDir, backing: &Backing, range: AddressRange) -> bool {
    let by_range = PathBuf::from(format!("/proc/{}/map_files/{range}", process.pid));
    let by_path = match backing {
        Backing::Hugetlb(_) => return true,
        Backing::File {
            path,
            deleted: false,
        } => Some(process.through_root(path)),
        _ => None,
    };
    by_path
        .into_iter()
        .chain([by_range])
        .find_map(|path| filesystem_type(&path))
        .is_some_and(|kind| kind == HUGETLBFS)
}

fn filesystem_type(path: &Path) -> Option<u64> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    // SAFETY: all-zero is a valid value of the plain struct.
    let mut answer: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends with NUL, and the answer is a live struct that the call fills.
    let failed = unsafe { libc::statfs(path.as_ptr(), &raw mut answer) };
    u64::try_from(answer.f_type).ok().filter(|_| failed == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambiguous_names() {
        let check = |path: &str, deleted, expected: &[(&str, bool)]| {
            let expected: Vec<_> = expected
                .iter()
                .map(|(p, d)| (PathBuf::from(p), *d))
                .collect();
            assert_eq!(candidates(Path::new(path), deleted), expected);
        };
        let twice = |a, b| [(a, false), (b, false)];
        check("/a\nb", false, &twice("/a\nb", "/a\\012b"));
        let deleted = twice("/a\nb (deleted)", "/a\\012b (deleted)");
        check("/a\nb", true, &deleted);
    }
}
