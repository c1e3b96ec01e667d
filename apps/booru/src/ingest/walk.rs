//! Files below folders, one after the other. Memory: an open folder for each level.

use std::fs::{self, ReadDir};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::content::has_known_ending;
use super::sidecar::beside;

/// Levels of folders; links are not followed, so this only bounds open folders.
const DEPTH_MAX: usize = 64;

/// Calls `act` with each file below `root` whose name is that of a picture, video or archive. Hidden ones, links
/// and `others` are passed by. What goes away meanwhile is no error.
///
/// # Errors
/// A folder that can't be read, and `act`.
pub(super) fn walk(
    root: &Path,
    others: &[PathBuf],
    act: &mut dyn FnMut(PathBuf) -> Result<()>,
) -> Result<()> {
    let mut open: Vec<ReadDir> = open_folder(root)?.into_iter().collect();
    while let Some(folder) = open.last_mut() {
        let Some(entry) = folder.next() else {
            open.pop();
            continue;
        };
        let entry = entry.with_context(|| format!("read a folder below {}", root.display()))?;
        let path = entry.path();
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if is_hidden {
            continue;
        }
        if kind.is_dir() && open.len() < DEPTH_MAX && !others.contains(&path) {
            open.extend(open_folder(&path)?);
        } else if kind.is_file() && is_wanted(&path) {
            act(path)?;
        }
    }
    Ok(())
}

/// Whether a name is that of a picture, video or archive, and not of what stands beside one.
pub(super) fn is_wanted(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    // A name that is no text may still be a picture's.
    let lossy = path.file_name().map(|name| name.to_string_lossy());
    let name = name
        .map(str::to_owned)
        .or(lossy.map(|name| name.into_owned()));
    name.is_some_and(|name| has_known_ending(&name)) && beside(path).is_none()
}

fn open_folder(path: &Path) -> Result<Option<ReadDir>> {
    match fs::read_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        folder => folder
            .map(Some)
            .with_context(|| format!("read the folder {}", path.display())),
    }
}
