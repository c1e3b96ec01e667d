//! The one part of an ingest that is done by one process at a time: files get their place, the database its rows,
//! and what is not needed any more goes, in this order, each durable before the next.
//!
//! A kill leaves at most a file below the folder of images that has no row, which the next scan takes up, and a
//! file that was to be moved in its old place, which is a duplicate then.

mod stored;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::Outcome;
use super::digest::{Stamp, digest};
use super::examine::{BytesFrom, Found, Ready, copied};
use super::incoming::Incoming;
use super::name::{places, thumbnail_path};
use super::settings::Settings;
use crate::board::Board;
use crate::edit::{Added, NewImage};
use crate::ml::Intake;

/// Held while files get their place, by whoever does so: other importers, and who deletes.
const LOCK: &str = ".booru.lock";

/// The folders of a board, locked until it is dropped.
#[derive(Debug)]
pub(super) struct Places<'a> {
    settings: &'a Settings,
    incoming: &'a Incoming,
    /// Without links in its path.
    images: &'a Path,
    /// Files and folders that are to be durable before a row says that they are there: all at once, since a
    /// file system writes one journal for them then.
    unsynced: RefCell<Unsynced>,
    /// The lock goes with it.
    _lock: File,
}

#[derive(Debug, Default)]
struct Unsynced {
    files: Vec<(PathBuf, File)>,
    folders: BTreeSet<PathBuf>,
}

/// Waits until no other process is at it.
///
/// # Errors
/// A folder that can't be written.
pub(super) fn lock(images: &Path) -> Result<File> {
    let path = images.join(LOCK);
    let locking = || format!("lock {}", path.display());
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .with_context(locking)?;
    file.lock().with_context(locking)?;
    Ok(file)
}

impl<'a> Places<'a> {
    pub(super) fn lock(
        settings: &'a Settings,
        incoming: &'a Incoming,
        images: &'a Path,
    ) -> Result<Places<'a>> {
        Ok(Places {
            settings,
            incoming,
            images,
            unsynced: RefCell::default(),
            _lock: lock(images)?,
        })
    }

    /// Takes in files, and queues what models are to do with them, in one transaction; what came of each.
    ///
    /// # Errors
    /// The database, and folders that can't be written: then no row is made.
    pub(super) fn take_in(
        &self,
        board: &mut Board,
        batch: Vec<(Found, Box<Ready>)>,
        intake: Intake,
    ) -> Result<Vec<(Found, u64, Outcome)>> {
        let mut outcomes = Vec::with_capacity(batch.len());
        let mut placed: Vec<(Found, Box<Ready>)> = Vec::with_capacity(batch.len());
        let mut images: Vec<NewImage> = Vec::with_capacity(batch.len());
        // Of another one of this batch.
        let mut duplicates = Vec::new();
        for (found, mut ready) in batch {
            if images.iter().any(|image| image.md5 == ready.digest.md5) {
                duplicates.push((found, ready));
                continue;
            }
            // Another importer may have been first.
            if board.image_of_md5(&ready.digest.md5)?.is_some() {
                let outcome = self.duplicate(board, &found, &ready.stamp, &ready.digest)?;
                outcomes.push((found, ready.stamp.bytes, outcome));
                continue;
            }
            match self.put(board, &found, &mut ready, &images)? {
                None => outcomes.push((found, 0, Outcome::Changed)),
                Some(path) => {
                    self.write_thumbnail(&path, ready.thumbnail.as_deref())?;
                    let mut image = std::mem::take(&mut ready.image);
                    image.raw_metadata = ready.sidecars.raw_metadata(&image.md5, &path);
                    image.path = path;
                    images.push(image);
                    placed.push((found, ready));
                }
            }
        }
        self.sync()?;
        let added = board.add_images_for(&images, self.settings.implied, intake)?;
        for (((found, ready), image), added) in placed.into_iter().zip(images).zip(added) {
            let outcome = match added {
                Added::New(id) => {
                    self.remove_moved(&found, &ready.stamp, &image.path, &ready.sidecars)?;
                    let queued = intake.kinds(image.has_source());
                    Outcome::TakenIn {
                        id,
                        path: image.path,
                        note: ready.note,
                        queued,
                    }
                }
                // Whoever was first keeps no lock; the file stays for the next scan to judge.
                Added::Known(id) => Outcome::Duplicate {
                    of: id,
                    is_removed: false,
                },
            };
            outcomes.push((found, ready.stamp.bytes, outcome));
        }
        for (found, ready) in duplicates {
            let outcome = self.duplicate(board, &found, &ready.stamp, &ready.digest)?;
            outcomes.push((found, ready.stamp.bytes, outcome));
        }
        Ok(outcomes)
    }

    /// Puts a file where its name leads; `None` where it has changed meanwhile.
    fn put(
        &self,
        board: &Board,
        found: &Found,
        ready: &mut Ready,
        others: &[NewImage],
    ) -> Result<Option<String>> {
        if let BytesFrom::Place(place) = &ready.bytes_from {
            if !self.has_stem(place, &found.path, others)? {
                let is_still = Stamp::of(&found.path).is_ok_and(|now| now == ready.stamp);
                self.note_folder(found.path.parent().unwrap_or(self.images));
                return Ok(is_still.then(|| place.clone()));
            }
            ready.bytes_from = BytesFrom::Link;
        }
        let (name, md5) = (ready.name.clone(), ready.digest.md5);
        for place in places(&name, &md5) {
            let target = self.images.join(&place);
            if target == found.path {
                continue;
            }
            if let Ok(there) = Stamp::of(&target) {
                // What a killed process has put there.
                let is_free = !has_row(board, &place)?;
                let is_it = || digest(&target).is_ok_and(|there| there == ready.digest);
                if is_free && there.bytes == ready.digest.bytes && is_it() {
                    self.note_folder(target.parent().unwrap_or(self.images));
                    return Ok(Some(place));
                }
                continue;
            }
            if has_row(board, &place)? || self.has_stem(&place, &found.path, others)? {
                continue;
            }
            return match self.write(found, ready, &target)? {
                true => Ok(Some(place)),
                false => Ok(None),
            };
        }
        bail!(
            "find a place for {}: all that its name leads to are taken",
            found.path.display()
        );
    }

    /// Whether another file than `found` is there by the same name with another ending: both would have one
    /// small picture.
    fn has_stem(&self, place: &str, found: &Path, others: &[NewImage]) -> Result<bool> {
        let own = thumbnail_path(place);
        if others
            .iter()
            .any(|other| thumbnail_path(&other.path) == own)
        {
            return Ok(true);
        }
        let path = self.images.join(place);
        let folder = path.parent().unwrap_or(self.images);
        let reading = || format!("read {}", folder.display());
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            entries => entries.with_context(reading)?,
        };
        let bucket = place.split('/').next().unwrap_or_default();
        for entry in entries {
            let name = entry.with_context(reading)?.file_name();
            if folder.join(&name) == found {
                continue;
            }
            let other = format!("{bucket}/{}", name.to_string_lossy());
            if thumbnail_path(&other) == own {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Gives the bytes their place; `false` where they have changed meanwhile.
    fn write(&self, found: &Found, ready: &mut Ready, target: &Path) -> Result<bool> {
        let folder = target.parent().unwrap_or(self.images);
        if !folder.is_dir() {
            fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
            self.note_folder(self.images);
        }
        let is_still = || Stamp::of(&found.path).is_ok_and(|now| now == ready.stamp);
        if matches!(ready.bytes_from, BytesFrom::Link) {
            if !is_still() {
                return Ok(false);
            }
            match fs::hard_link(&found.path, target) {
                Ok(()) => {
                    self.note_folder(folder);
                    return Ok(true);
                }
                // A file system without links, a file of somebody else's, or another mount.
                Err(_) => match copied(&found.path, &ready.digest, self.incoming, is_still)? {
                    Some(copy) => ready.bytes_from = BytesFrom::Copy(copy),
                    None => return Ok(false),
                },
            }
        }
        if let BytesFrom::Copy(copy) = &ready.bytes_from {
            fs::rename(&copy.path, target)
                .with_context(|| format!("put {} in place", target.display()))?;
            self.note_folder(folder);
        }
        Ok(true)
    }

    fn note_folder(&self, folder: &Path) {
        let mut unsynced = self.unsynced.borrow_mut();
        if !unsynced.folders.contains(folder) {
            unsynced.folders.insert(folder.to_owned());
        }
    }

    /// Makes durable what was put in place.
    fn sync(&self) -> Result<()> {
        let unsynced = self.unsynced.take();
        for (path, file) in unsynced.files {
            let synced = file.sync_data();
            synced.with_context(|| format!("make {} durable", path.display()))?;
        }
        unsynced
            .folders
            .iter()
            .try_for_each(|folder| sync_folder(folder))
    }

    fn write_thumbnail(&self, place: &str, bytes: Option<&[u8]>) -> Result<()> {
        let Some(bytes) = bytes else {
            return Ok(());
        };
        let path = self.settings.thumbnails.join(thumbnail_path(place));
        let folder = path.parent().unwrap_or(&self.settings.thumbnails);
        let write = || -> Result<File> {
            if !folder.is_dir() {
                fs::create_dir_all(folder)?;
                self.note_folder(&self.settings.thumbnails);
            }
            // Nobody asks for it before the row is there: half a one, after a kill, is written over.
            let mut file = File::create(&path)?;
            file.write_all(bytes)?;
            Ok(file)
        };
        let file =
            write().with_context(|| format!("write the small picture {}", path.display()))?;
        self.note_folder(folder);
        self.unsynced.borrow_mut().files.push((path, file));
        Ok(())
    }
}

pub(super) fn has_row(board: &Board, place: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM images WHERE filepath = ?1";
    let found = board
        .store()
        .query_row("look for an image", sql, &[place.into()], |_| Ok(()))?;
    Ok(found.is_some())
}

pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.with_context(|| format!("make {} durable", folder.display()))
}
