//! The one part of an ingest that is done by one process at a time: files get their place, the database its rows,
//! and what is not needed any more goes, in this order, each durable before the next.
//!
//! A kill leaves at most a file below the folder of images that has no row, which the next scan takes up, and a
//! file that was to be moved in its old place, which is a duplicate then.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::digest::{Digest, Stamp, digest};
use super::examine::{BytesFrom, Found, Ready, copied};
use super::incoming::Incoming;
use super::name::{places, thumbnail_path};
use super::settings::Settings;
use super::sidecar::Sidecars;
use super::{Mode, Outcome};
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

    /// A file whose MD5 sum an image has. One that was to be moved goes where the stored file is there, whole and
    /// equal, and its sidecars say nothing else; a stored file that is lost comes back by it.
    pub(super) fn duplicate(
        &self,
        board: &Board,
        found: &Found,
        stamp: &Stamp,
        sums: &Digest,
    ) -> Result<Outcome> {
        let Some(id) = board.image_of_md5(&sums.md5)? else {
            return Ok(Outcome::Changed);
        };
        let place = board.path_of(id)?;
        let stored = self.images.join(&place);
        if let Err(error) = stored.symlink_metadata()
            && error.kind() == ErrorKind::NotFound
        {
            return self.restore(found, sums, &stored, id);
        }
        let kept = Outcome::Duplicate {
            of: id,
            is_removed: false,
        };
        if found.mode == Mode::Copy || is_same_entry(&stored, &found.path) {
            return Ok(kept);
        }
        let equal = digest(&stored).is_ok_and(|stored| stored == *sums);
        if !equal {
            return Ok(Outcome::SetAside {
                reason: format!(
                    "it has the MD5 sum of image {id}, but the file of that, {}, has other bytes now",
                    stored.display()
                ),
            });
        }
        let sidecars = Sidecars::read(&found.path).ok();
        let said = match sidecars {
            Some(sidecars) => is_said(board, id, &sidecars, &sums.md5, &place)?.then_some(sidecars),
            None => None,
        };
        let Some(sidecars) = said else {
            return Ok(Outcome::SetAside {
                reason: format!(
                    "it is image {id} again, but the files beside it say what is not known of that"
                ),
            });
        };
        self.remove_moved(found, stamp, &place, &sidecars)?;
        Ok(Outcome::Duplicate {
            of: id,
            is_removed: !found.path.exists(),
        })
    }

    /// The file of an image is lost, and this one has its MD5 sum.
    fn restore(&self, found: &Found, sums: &Digest, stored: &Path, id: u32) -> Result<Outcome> {
        let is_still = || true;
        let Some(copy) = copied(&found.path, sums, self.incoming, is_still)? else {
            return Ok(Outcome::Changed);
        };
        let folder = stored.parent().unwrap_or(self.images);
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        fs::rename(&copy.path, stored)
            .with_context(|| format!("put {} in place", stored.display()))?;
        sync_folder(folder)?;
        Ok(Outcome::Restored { id })
    }

    /// A file that is stored goes from where it was, with what stood beside it.
    fn remove_moved(
        &self,
        found: &Found,
        stamp: &Stamp,
        place: &str,
        sidecars: &Sidecars,
    ) -> Result<()> {
        let stored = self.images.join(place);
        let is_still = Stamp::of(&found.path).is_ok_and(|now| now == *stamp);
        if found.mode == Mode::Copy || !is_still {
            return Ok(());
        }
        let is_stored_itself = is_same_entry(&stored, &found.path);
        // One name that two mounts show is no second one either.
        let is_stored = Stamp::of(&stored).is_ok_and(|stored| {
            stored.bytes == stamp.bytes && (!stored.is_same_file(stamp) || stored.names > 1)
        });
        // What the sidecars say now may not be kept: the next look at the file tells.
        if !(is_stored || is_stored_itself) || !sidecars.have_not_changed() {
            return Ok(());
        }
        // What stands beside goes first: the file alone is a duplicate, and they alone would stay for ever.
        for path in sidecars.paths() {
            remove(path)?;
        }
        match is_stored_itself {
            true => Ok(()),
            false => remove(&found.path),
        }
    }
}

/// Whether two paths lead to one entry of one folder, by links or mounts as they may: who removes one removes
/// the other. So it is said too where a folder can't be looked at.
fn is_same_entry(a: &Path, b: &Path) -> bool {
    let folder_of = |path: &Path| {
        let found = fs::metadata(path.parent().unwrap_or(Path::new("/"))).ok()?;
        Some((found.dev(), found.ino()))
    };
    let (Some(first), Some(second)) = (folder_of(a), folder_of(b)) else {
        return true;
    };
    first == second && a.file_name() == b.file_name()
}

/// Whether all that files beside a picture say is kept with an image.
fn is_said(
    board: &Board,
    id: u32,
    sidecars: &Sidecars,
    md5: &[u8; 16],
    place: &str,
) -> Result<bool> {
    let Some(own) = sidecars.raw_metadata(md5, place) else {
        return Ok(true);
    };
    if !board.store().schema.has_table("raw_metadata") {
        return Ok(false);
    }
    let sql = "SELECT data FROM raw_metadata WHERE image_id = ?1";
    let kept = board
        .store()
        .query_row("read raw metadata", sql, &[id.into()], |row| row.text(0))?;
    Ok(kept.flatten().is_some_and(|kept| kept == own))
}

pub(super) fn has_row(board: &Board, place: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM images WHERE filepath = ?1";
    let found = board
        .store()
        .query_row("look for an image", sql, &[place.into()], |_| Ok(()))?;
    Ok(found.is_some())
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done.with_context(|| format!("remove {}, which is stored", path.display())),
    }
}

pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.with_context(|| format!("make {} durable", folder.display()))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;
    use crate::ingest::Ingest;
    use crate::store::{Access, Store, StoreOptions};

    /// A board with one image in a folder of its own; its settings, the board and the path of the image.
    fn board_of_one(name: &str) -> (PathBuf, Settings, Arc<Mutex<Board>>, String) {
        let root = std::env::temp_dir().join(format!("booru-{name}-{}", std::process::id()));
        fs::create_dir_all(root.join("new")).unwrap();
        let database = root.join("booru.db");
        Store::create(&database).unwrap();
        let settings = Settings {
            images: root.join("images"),
            thumbnails: root.join("thumbnails"),
            ingest: root.join("ingest"),
            trash: root.join("trash"),
            ..Settings::default()
        };
        let options = StoreOptions {
            access: Access::InPlace,
            cache_bytes: 1 << 20,
            patience: Duration::from_secs(5),
        };
        let board = Arc::new(Mutex::new(Board::open(&database, options).unwrap()));
        let ingest = Ingest::open(settings.clone(), board.clone(), Duration::from_secs(5));
        let picture = image::RgbImage::from_pixel(30, 20, image::Rgb([1, 2, 3]));
        let path = root.join("new/a.png");
        picture.save(&path).unwrap();
        let imported = ingest.unwrap().import(&[path], Mode::Copy, &mut |_| {});
        assert_eq!(imported.unwrap().taken_in, 1);
        let place = board.lock().unwrap().path_of(1).unwrap();
        (root, settings, board, place)
    }

    #[test]
    fn the_stored_file_by_another_way_to_it_is_no_duplicate() {
        let (root, settings, board, place) = board_of_one("way");
        let images = settings.images.canonicalize().unwrap();
        let incoming = Incoming::open(&images).unwrap();
        let places = Places::lock(&settings, &incoming, &images).unwrap();
        let stored = images.join(&place);
        // A second name somewhere else says nothing of this one.
        fs::hard_link(&stored, root.join("kept.png")).unwrap();
        std::os::unix::fs::symlink(&images, root.join("link")).unwrap();
        let found = Found {
            path: root.join("link").join(&place),
            root: root.clone(),
            mode: Mode::Move,
        };
        let stamp = Stamp::of(&found.path).unwrap();
        let sums = digest(&stored).unwrap();
        let board = board.lock().unwrap();
        let outcome = places.duplicate(&board, &found, &stamp, &sums).unwrap();
        assert!(matches!(
            outcome,
            Outcome::Duplicate {
                is_removed: false,
                ..
            }
        ));
        let sidecars = Sidecars::read(&found.path).unwrap();
        places
            .remove_moved(&found, &stamp, &place, &sidecars)
            .unwrap();
        assert!(stored.exists());
        // The other name is one.
        let found = Found {
            path: root.join("kept.png"),
            ..found
        };
        let outcome = places.duplicate(&board, &found, &stamp, &sums).unwrap();
        assert!(matches!(
            outcome,
            Outcome::Duplicate {
                is_removed: true,
                ..
            }
        ));
        assert!(stored.exists() && !found.path.exists());
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_changed_beside_a_file_keeps_both() {
        let (root, settings, _board, place) = board_of_one("beside");
        let images = settings.images.canonicalize().unwrap();
        let incoming = Incoming::open(&images).unwrap();
        let places = Places::lock(&settings, &incoming, &images).unwrap();
        let found = Found {
            path: root.join("new/a.png"),
            root: root.join("new"),
            mode: Mode::Move,
        };
        let stamp = Stamp::of(&found.path).unwrap();
        let beside = root.join("new/a.png.txt");
        let there = || (found.path.exists(), beside.exists());
        let none = Sidecars::read(&found.path).unwrap();
        fs::write(&beside, "one").unwrap();
        places.remove_moved(&found, &stamp, &place, &none).unwrap();
        assert_eq!(there(), (true, true));
        let one = Sidecars::read(&found.path).unwrap();
        fs::write(&beside, "one two").unwrap();
        places.remove_moved(&found, &stamp, &place, &one).unwrap();
        assert_eq!(there(), (true, true));
        let two = Sidecars::read(&found.path).unwrap();
        places.remove_moved(&found, &stamp, &place, &two).unwrap();
        assert_eq!(there(), (false, false));
        fs::remove_dir_all(root).unwrap();
    }
}
