//! How much the two pictures of a pair differ to the eye, as a suggestion to who reviews it: the same, or
//! variations of each other.
//!
//! It is computed once, from thumbnails where they are, and kept in `duplicate_pair_suggestions`.
//!
//! **Cost.** [`PREVIEWS_MAX`] previews of 0.4 MB, and one picture while its preview is made.

use std::fs;

use anyhow::Result;
use plimsoll_booru_picture::difference::{Difference, Preview};
use plimsoll_booru_picture::{Limits, read};
use serde::Serialize;

use super::Folders;
use crate::board::Board;
use crate::store::Store;

/// At most this: likely the same picture. The original's bounds.
const DUPLICATE_MAX: f64 = 0.012;
/// At least this: likely a variation.
const VARIATION_MIN: f64 = 0.04;
/// Below both of these the pictures are near enough that what is known of their files counts less.
const VISUAL_MIN: f64 = 0.02;
const BLOB_MIN: f64 = 0.0025;
/// How much it counts at least.
const ADJUSTMENT_MIN: f64 = 0.15;

/// Pairs that are looked at between two transactions.
const BATCH: i64 = 50;
/// Of the images of pairs that came before: an image is often in several.
const PREVIEWS_MAX: usize = 8;

/// What a pair is likely to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    LikelyDuplicate,
    Uncertain,
    LikelyVariation,
}

/// A row of `duplicate_pair_suggestions`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Suggestion {
    /// `visual_signal` with `metadata_adjustment`, at most 1.
    pub signal: f64,
    pub visual_signal: f64,
    pub metadata_adjustment: f64,
    pub mean_abs_diff: f64,
    pub changed_ratio: f64,
    pub largest_blob_ratio: f64,
    pub blob_count: u32,
    pub peak_blob_contrast: f64,
    pub mask_mismatch: f64,
    /// The lesser of both divided by the greater one.
    pub pixel_ratio: f64,
    pub filesize_ratio: f64,
    /// By how many tags they differ, of the more.
    pub tag_gap_ratio: f64,
}

impl Suggestion {
    #[must_use]
    pub fn label(&self) -> Label {
        if self.signal <= DUPLICATE_MAX {
            Label::LikelyDuplicate
        } else if self.signal >= VARIATION_MIN {
            Label::LikelyVariation
        } else {
            Label::Uncertain
        }
    }

    fn new(difference: &Difference, a: &File, b: &File) -> Suggestion {
        let ratio = |a: u64, b: u64| a.min(b).max(1) as f64 / a.max(b).max(1) as f64;
        let pixel_ratio = ratio(a.pixels, b.pixels);
        let filesize_ratio = ratio(a.bytes, b.bytes);
        let tag_gap_ratio = a.tags.abs_diff(b.tags) as f64 / a.tags.max(b.tags).max(1) as f64;
        let adjustment =
            (1.0 - pixel_ratio) * 0.020 + (1.0 - filesize_ratio) * 0.012 + tag_gap_ratio * 0.006;
        let visual_signal = difference.signal();
        let metadata_adjustment = adjustment * weight(visual_signal, difference.largest_blob_ratio);
        Suggestion {
            signal: (visual_signal + metadata_adjustment).min(1.0),
            visual_signal,
            metadata_adjustment,
            mean_abs_diff: difference.mean_abs_diff,
            changed_ratio: difference.changed_ratio,
            largest_blob_ratio: difference.largest_blob_ratio,
            blob_count: difference.blob_count,
            peak_blob_contrast: difference.peak_blob_contrast,
            mask_mismatch: difference.mask_mismatch,
            pixel_ratio,
            filesize_ratio,
            tag_gap_ratio,
        }
    }
}

/// Sizes and tags are not to outweigh pictures that look the same.
fn weight(visual_signal: f64, largest_blob_ratio: f64) -> f64 {
    if visual_signal >= VISUAL_MIN || largest_blob_ratio >= BLOB_MIN {
        return 1.0;
    }
    let nearest = (visual_signal / VISUAL_MIN).max(largest_blob_ratio / BLOB_MIN);
    nearest.clamp(ADJUSTMENT_MIN, 1.0)
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Suggested {
    pub compared: u64,
    /// One of the pictures could not be read, or none has a pixel that is seen.
    pub left_out: u64,
}

/// Two images that are to be compared, and what is suggested.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PairSuggestion {
    pub(crate) a: u32,
    pub(crate) b: u32,
    pub(crate) suggestion: Suggestion,
}

impl Board {
    /// Compares the pictures of all stored pairs that have not been compared. `progress` hears how many pairs have
    /// been looked at.
    ///
    /// # Errors
    /// A read-only database; what it says. Pictures that can't be read are counted.
    pub fn suggest_duplicates(
        &mut self,
        folders: &Folders,
        mut progress: impl FnMut(u64),
    ) -> Result<Suggested> {
        self.store.check_writable()?;
        self.ensure_duplicate_tables()?;
        let mut suggested = Suggested::default();
        let mut previews = Previews {
            folders,
            kept: Vec::new(),
        };
        let mut last = (0, 0);
        loop {
            let batch = not_compared(&self.store, last)?;
            let Some(end) = batch.last() else {
                return Ok(suggested);
            };
            last = *end;
            let mut found = Vec::new();
            for (a, b) in &batch {
                found.extend(previews.compare(&self.store, *a, *b)?);
            }
            self.write_suggestions(&found)?;
            suggested.compared += found.len() as u64;
            suggested.left_out += (batch.len() - found.len()) as u64;
            progress(suggested.compared + suggested.left_out);
        }
    }
}

fn not_compared(store: &Store, last: (u32, u32)) -> Result<Vec<(u32, u32)>> {
    let sql = "SELECT p.image_id_a, p.image_id_b FROM duplicate_pairs AS p \
               WHERE (p.image_id_a > ?1 OR (p.image_id_a = ?1 AND p.image_id_b > ?2)) AND NOT EXISTS \
               (SELECT 1 FROM duplicate_pair_suggestions AS s \
               WHERE s.image_id_a = p.image_id_a AND s.image_id_b = p.image_id_b) \
               ORDER BY p.image_id_a, p.image_id_b LIMIT ?3";
    let mut pairs = Vec::new();
    let values = [last.0.into(), last.1.into(), BATCH.into()];
    store.each_row("look for pairs to compare", sql, &values, |row| {
        pairs.extend(row.id(0)?.zip(row.id(1)?));
        Ok(())
    })?;
    Ok(pairs)
}

/// What is known of a file besides its pixels.
#[derive(Clone, Copy, Debug, Default)]
struct File {
    pixels: u64,
    bytes: u64,
    tags: u64,
}

struct Previews<'a> {
    folders: &'a Folders,
    /// The one that was used last at the end.
    kept: Vec<(u32, Option<(Preview, File)>)>,
}

impl Previews<'_> {
    fn compare(&mut self, store: &Store, a: u32, b: u32) -> Result<Option<PairSuggestion>> {
        self.load(store, a)?;
        self.load(store, b)?;
        let [.., (_, Some((first, file_a))), (_, Some((second, file_b)))] = &self.kept[..] else {
            return Ok(None);
        };
        let difference = first.compare(second);
        Ok(difference.map(|difference| PairSuggestion {
            a,
            b,
            suggestion: Suggestion::new(&difference, file_a, file_b),
        }))
    }

    /// Puts an image to the end of those that are kept.
    fn load(&mut self, store: &Store, image: u32) -> Result<()> {
        let place = self.kept.iter().position(|(kept, _)| *kept == image);
        let entry = match place {
            Some(place) => self.kept.remove(place),
            None => (image, self.read(store, image)?),
        };
        if self.kept.len() >= PREVIEWS_MAX {
            self.kept.remove(0);
        }
        self.kept.push(entry);
        Ok(())
    }

    /// `None` for what can't be read, which is the same the next time.
    fn read(&self, store: &Store, image: u32) -> Result<Option<(Preview, File)>> {
        let Some((path, mut file)) = known_of(store, image)? else {
            return Ok(None);
        };
        let Ok(whole) = self.folders.image(&path) else {
            return Ok(None);
        };
        file.bytes = fs::metadata(&whole).map_or(0, |found| found.len());
        let thumbnail = self.folders.thumbnail(&path);
        let picture = thumbnail
            .and_then(|thumbnail| read(&thumbnail, &Limits::BOARD))
            .or_else(|_| read(&whole, &Limits::BOARD));
        Ok(picture.ok().map(|picture| (Preview::new(&picture), file)))
    }
}

fn known_of(store: &Store, image: u32) -> Result<Option<(String, File)>> {
    let column = |name| store.schema.column("images", name);
    let (width, height) = (column("image_width"), column("image_height"));
    let sql = format!(
        "SELECT filepath, {width}, {height}, (SELECT count(*) FROM image_tags WHERE image_id = ?1) \
         FROM images WHERE id = ?1"
    );
    store.query_row("read of a pair's image", &sql, &[image.into()], |row| {
        let number = |column| -> Result<u64> {
            let number = row.integer(column)?.unwrap_or(0);
            Ok(u64::try_from(number).unwrap_or(0))
        };
        let file = File {
            pixels: number(1)?.saturating_mul(number(2)?),
            bytes: 0,
            tags: number(3)?,
        };
        Ok((row.text(0)?.unwrap_or_default(), file))
    })
}
