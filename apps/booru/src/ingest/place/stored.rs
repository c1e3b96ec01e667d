//! Files whose bytes are stored already: what is left of them where they were goes, once it is certain that all they
//! say is kept. A stored file that is lost comes back by one.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::{Places, sync_folder};
use crate::board::Board;
use crate::ingest::digest::{Digest, Stamp, digest};
use crate::ingest::examine::{Found, copied};
use crate::ingest::sidecar::Sidecars;
use crate::ingest::{Mode, Outcome};

impl Places<'_> {
    /// A file whose MD5 sum an image has. One that was to be moved goes where the stored file is there, whole and
    /// equal, and its sidecars say nothing else; a stored file that is lost comes back by it.
    pub(in crate::ingest) fn duplicate(
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
    pub(super) fn remove_moved(
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

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done.with_context(|| format!("remove {}, which is stored", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;
    use crate::ingest::Ingest;
    use crate::ingest::incoming::Incoming;
    use crate::ingest::settings::Settings;
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
