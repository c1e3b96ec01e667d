//! Which files of a process are programs and libraries, and their images.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use plimsoll_model::{Backing, Gap, GapReason, Image, Mapping};

use crate::proc_file::ProcDir;

/// More images than this are left out: each takes a few system calls.
const IMAGES_MAX: usize = 4096;

/// Images of the files that have an executable mapping, by the path in `mappings`.
pub(crate) fn read_images(
    process: &ProcDir,
    mappings: &[Mapping],
    wanted: &[&str],
    gaps: &mut Vec<Gap>,
) -> BTreeMap<PathBuf, Image> {
    let mut images = BTreeMap::new();
    let mut missing: Vec<String> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for mapping in mappings
        .iter()
        .filter(|mapping| mapping.permissions.execute)
    {
        let Backing::File { path, .. } = &mapping.backing else {
            continue;
        };
        if !seen.insert(path) {
            continue;
        }
        if seen.len() > IMAGES_MAX {
            let detail = format!("only the first {IMAGES_MAX} program files were looked at");
            gaps.push(Gap::new("program images", GapReason::Bounded, detail));
            break;
        }
        match open_mapped(process, mapping, path) {
            // A file with code that is no ELF image (a JIT's dump, a Wine DLL) is no gap.
            Some(file) => images
                .extend(crate::elf::read_image(&file, wanted).map(|image| (path.clone(), image))),
            None => missing.push(path.display().to_string()),
        }
    }
    if let Some(first) = missing.first() {
        let others = match missing.len() - 1 {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        gaps.push(Gap::new(
            "program images",
            GapReason::Vanished,
            format!("{first}{others}: deleted or replaced since it was mapped, or not readable"),
        ));
    }
    images
}

/// The very file that is mapped: by its path when that still leads to the same inode, else
/// through /proc/PID/map_files (which needs CAP_CHECKPOINT_RESTORE) or /proc/PID/exe.
fn open_mapped(process: &ProcDir, mapping: &Mapping, path: &std::path::Path) -> Option<File> {
    // The device is not compared: on btrfs and overlayfs stat(2) gives another one than maps.
    let same = |file: &File| {
        let inode = file.metadata().ok().map(|metadata| metadata.ino());
        inode == mapping.file.map(|id| id.inode)
    };
    let by_path = || File::open(process.through_root(path)).ok();
    let by_range = || process.file(&format!("map_files/{}", mapping.range)).ok();
    let by_program = || process.file("exe").ok();
    by_path()
        .filter(same)
        .or_else(|| by_range().filter(same))
        .or_else(|| by_program().filter(same))
}
