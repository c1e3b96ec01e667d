//! Images go: the rows in one transaction that also writes down which files are to follow, then the files. After
//! a kill the next start finds what was written down and does the rest.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use plimsoll::stream::{AtomicFile, CopyOptions, move_file};

use super::name::thumbnail_path;
use super::place::{has_row, lock, sync_folder};
use super::settings::Settings;
use crate::board::Board;
use crate::edit::DELETIONS;
use crate::store::Store;

/// What becomes of the files of deleted images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// They go to the trash, each with its tags beside it, so that importing it from there brings it back.
    Trashed,
    Deleted,
}

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    pub images: u64,
    pub files: u64,
    /// Files of images that were not there.
    pub missing: u64,
}

/// Files of deleted images with one name that the trash takes.
const SAME_NAME_MAX: u32 = 1000;

/// Images that are deleted in one transaction.
const AT_ONCE: usize = 256;

/// Deletes images, by id, with their files and small pictures.
///
/// # Errors
/// An image that is not there; the database. What is deleted by then stays so. A folder that can't be written, told
/// when all else is done: files there follow later.
pub fn delete(
    board: &mut Board,
    settings: &Settings,
    ids: &[u32],
    files: Files,
) -> Result<Deleted> {
    delete_keeping(board, settings, ids, &[], files)
}

/// The same, as long as the images that are kept in their place are there.
///
/// # Errors
/// As [`delete`]; one of those is not there.
pub fn delete_keeping(
    board: &mut Board,
    settings: &Settings,
    ids: &[u32],
    kept: &[u32],
    files: Files,
) -> Result<Deleted> {
    let making = || format!("make the folder {}", settings.images.display());
    fs::create_dir_all(&settings.images).with_context(making)?;
    let _lock = lock(&settings.images)?;
    let mut deleted = Deleted::default();
    let mut finished = Ok(());
    for ids in ids.chunks(AT_ONCE) {
        let edited = board.delete_images_with_files(ids, kept, files == Files::Trashed)?;
        deleted.images += edited.images;
        finished = finished.and(finish(board, settings, &mut deleted));
    }
    finished.map(|()| deleted)
}

/// Makes the table of files that are to be deleted, before an ingest asks it.
///
/// # Errors
/// What the database says.
pub(super) fn prepare_deletions(board: &mut Board) -> Result<()> {
    let store = board.store();
    store.write(|| {
        store.execute("make the table of files to delete", DELETIONS, &[])?;
        Ok(())
    })
}

/// Whether a file is to be deleted, as a killed deletion leaves it.
///
/// # Errors
/// What the database says.
pub(super) fn is_to_go(store: &Store, place: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM booru_deletions WHERE path = ?1";
    let what = "look for a file that is to be deleted";
    let found = store.query_row(what, sql, &[place.into()], |_| Ok(()))?;
    Ok(found.is_some())
}

/// Does what a killed deletion has left to do.
///
/// # Errors
/// As [`delete`].
pub(super) fn finish_deletions(board: &mut Board, settings: &Settings) -> Result<()> {
    if !board.store().schema.has_table("booru_deletions") {
        return Ok(());
    }
    if next(board, None)?.is_none() {
        return Ok(());
    }
    let _lock = lock(&settings.images)?;
    finish(board, settings, &mut Deleted::default())
}

/// A file that is to follow its row.
struct Noted {
    path: String,
    is_trashed: bool,
    tags: String,
}

/// Files that can't go stay noted, and the first is told once the others are gone.
fn finish(board: &mut Board, settings: &Settings, deleted: &mut Deleted) -> Result<()> {
    let mut failed = Ok(());
    let mut done = None;
    while let Some(noted) = next(board, done.as_deref())? {
        done = Some(noted.path.clone());
        // An image that came since may have the place.
        if !has_row(board, &noted.path)? {
            match remove(settings, &noted) {
                Ok(true) => deleted.files += 1,
                Ok(false) => deleted.missing += 1,
                Err(error) => {
                    failed = failed.and(Err(error));
                    continue;
                }
            }
        }
        let sql = "DELETE FROM booru_deletions WHERE path = ?1";
        let path = noted.path.as_str().into();
        board
            .store()
            .execute("forget a file that is deleted", sql, &[path])?;
    }
    failed
}

/// The first file that is to be deleted, or the first behind a path.
fn next(board: &Board, behind: Option<&str>) -> Result<Option<Noted>> {
    let (condition, values) = match behind {
        Some(path) => ("WHERE path > ?1", vec![path.into()]),
        None => ("", Vec::new()),
    };
    let sql = format!(
        "SELECT path, is_trashed, tags FROM booru_deletions {condition} ORDER BY path LIMIT 1"
    );
    let what = "look for files that are to be deleted";
    board.store().query_row(what, &sql, &values, |row| {
        Ok(Noted {
            path: row.text(0)?.unwrap_or_default(),
            is_trashed: row.integer(1)? != Some(0),
            tags: row.text(2)?.unwrap_or_default(),
        })
    })
}

/// Whether the file was there.
fn remove(settings: &Settings, noted: &Noted) -> Result<bool> {
    // No image has such a path, so there is nothing to delete.
    if !is_below(&noted.path) {
        return Ok(false);
    }
    let file = settings.images.join(&noted.path);
    let small = settings.thumbnails.join(thumbnail_path(&noted.path));
    remove_if_there(&small)?;
    if !file.symlink_metadata().is_ok_and(|found| found.is_file()) {
        return Ok(false);
    }
    match noted.is_trashed {
        true => trash(settings, noted, &file)?,
        false => {
            remove_if_there(&file)?;
            sync_folder(file.parent().unwrap_or(&settings.images))?;
        }
    }
    Ok(true)
}

/// A path of the database that leads nowhere else.
fn is_below(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    !path.is_empty() && parts.all(|part| matches!(part, std::path::Component::Normal(_)))
}

fn trash(settings: &Settings, noted: &Noted, file: &Path) -> Result<()> {
    let target = free_name(&settings.trash.join(&noted.path))?;
    let making = || format!("make the folder of {}", target.display());
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).with_context(making)?;
    }
    if !noted.tags.is_empty() {
        let mut name = target.as_os_str().to_owned();
        name.push(".txt");
        let mut tags = AtomicFile::create(PathBuf::from(name))?;
        tags.write_all(noted.tags.as_bytes())
            .with_context(|| format!("write the tags of {}", target.display()))?;
        tags.commit()?;
    }
    move_file(file, &target, CopyOptions::default())?;
    Ok(())
}

/// The path, or with a number behind the name where that is taken.
fn free_name(path: &Path) -> Result<PathBuf> {
    let is_free = |path: &PathBuf| path.symlink_metadata().is_err();
    let numbered = |number: u32| {
        let mut name = path.file_stem().unwrap_or_default().to_owned();
        name.push(format!(".{number}"));
        if let Some(ending) = path.extension() {
            name.push(".");
            name.push(ending);
        }
        path.with_file_name(name)
    };
    let mut names = std::iter::once(path.to_owned()).chain((1..SAME_NAME_MAX).map(numbered));
    names.find(is_free).with_context(|| {
        format!(
            "move a file to the trash: {SAME_NAME_MAX} files there have the name {}; empty it",
            path.display()
        )
    })
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done.with_context(|| format!("delete {}", path.display())),
    }
}
