//! Hashes that are missing, made from the files. (The original loses those that it makes at ingest.)
//!
//! **Cost.** One picture at a time, within [`Limits::BOARD`]; [`BATCH`] hashes until they are written.

use std::path::Path;

use anyhow::{Result, bail};
use plimsoll_booru_picture::colorhash::colorhash;
use plimsoll_booru_picture::phash::{HashSize, phash};
use plimsoll_booru_picture::{Limits, read};
use serde::Serialize;

use super::Folders;
use crate::board::Board;
use crate::store::Store;

/// Images whose hashes are written in one transaction.
const BATCH: i64 = 50;
/// Failures that are told one by one; all are counted.
const FAILURES_TOLD_MAX: usize = 100;
/// Endings of what has frames and is no picture by itself.
const NO_PICTURES: [&str; 3] = ["mp4", "webm", "zip"];

/// What came of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Filled {
    pub hashed: u64,
    /// Videos and archives of frames.
    pub no_pictures: u64,
    pub failed: u64,
    /// Why, of the first ones.
    pub failures: Vec<String>,
}

/// The hashes of one image; of colours where the database has room for them.
#[derive(Debug)]
pub(crate) struct ImageHashes {
    pub(crate) image: u32,
    pub(crate) phash: String,
    pub(crate) colorhash: String,
}

impl Board {
    /// Makes the hashes of images that have none: of the size that most of the board have, of `size` where there are
    /// none. `progress` hears how many images have been looked at.
    ///
    /// Files that can't be read are counted, and tried again the next time.
    ///
    /// # Errors
    /// A database without a column for them, or read-only; what it says.
    pub fn fill_hashes(
        &mut self,
        folders: &Folders,
        size: HashSize,
        mut progress: impl FnMut(u64),
    ) -> Result<Filled> {
        self.store.check_writable()?;
        if !self.store.schema.has("images", "phash") {
            bail!(
                "make perceptual hashes: {} has no column images.phash; open it once with a newer ChibiBooru, \
                 which adds it",
                self.store.name()
            );
        }
        let size = size_of_hashes(&self.store)?.unwrap_or(size);
        let mut filled = Filled::default();
        let (mut last, mut looked_at) = (0, 0);
        loop {
            let batch = without_hashes(&self.store, last)?;
            let Some((end, _)) = batch.last() else {
                return Ok(filled);
            };
            last = *end;
            looked_at += batch.len() as u64;
            let hashed: Vec<_> = batch
                .iter()
                .filter_map(|(image, path)| filled.hash(*image, path, folders, size))
                .collect();
            self.write_hashes(&hashed)?;
            filled.hashed += hashed.len() as u64;
            progress(looked_at);
        }
    }
}

impl Filled {
    fn hash(
        &mut self,
        image: u32,
        path: &str,
        folders: &Folders,
        size: HashSize,
    ) -> Option<ImageHashes> {
        let ending = Path::new(path).extension().unwrap_or_default();
        if NO_PICTURES
            .iter()
            .any(|name| ending.eq_ignore_ascii_case(name))
        {
            self.no_pictures += 1;
            return None;
        }
        let picture = folders
            .image(path)
            .and_then(|file| read(&file, &Limits::BOARD));
        match picture {
            Ok(picture) => Some(ImageHashes {
                image,
                phash: phash(&picture, size).to_string(),
                colorhash: colorhash(&picture).to_string(),
            }),
            Err(error) => {
                self.failed += 1;
                if self.failures.len() < FAILURES_TOLD_MAX {
                    self.failures.push(format!("image {image}: {error:#}"));
                }
                None
            }
        }
    }
}

/// The one that most hashes of the board have: others could not be compared with them.
fn size_of_hashes(store: &Store) -> Result<Option<HashSize>> {
    let sql = "SELECT length(phash) FROM images WHERE length(phash) IN (16, 64) \
               GROUP BY length(phash) ORDER BY count(*) DESC LIMIT 1";
    let length = store.query_row("look at perceptual hashes", sql, &[], |row| row.integer(0))?;
    Ok(length.flatten().map(|length| match length {
        16 => HashSize::Bits64,
        _ => HashSize::Bits256,
    }))
}

fn without_hashes(store: &Store, last: u32) -> Result<Vec<(u32, String)>> {
    let sql =
        "SELECT id, filepath FROM images WHERE id > ?1 AND phash IS NULL ORDER BY id LIMIT ?2";
    let mut images = Vec::new();
    let values = [last.into(), BATCH.into()];
    store.each_row("look for images without a hash", sql, &values, |row| {
        if let (Some(id), Some(path)) = (row.id(0)?, row.text(1)?) {
            images.push((id, path));
        }
        Ok(())
    })?;
    Ok(images)
}
