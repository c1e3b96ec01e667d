//! What searches for duplicates find, and what comes of their review.

use std::str::FromStr;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::Edit;
use crate::board::Board;
use crate::duplicates::{Hashes, ImageHashes, Pair, PairSuggestion, find_pairs};
use crate::query::moment::now_text;
use crate::relations::RelationKind;

/// What stands in `image_relations.source`.
const REVIEW: &str = "duplicate_review";

/// What a person says of two images that look alike; named as the original's review has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The first goes.
    DeleteA,
    DeleteB,
    NonDuplicate,
    /// The first is the second's parent.
    ParentChildAb,
    ParentChildBa,
    Sibling,
}

impl Action {
    const NAMES: [(&'static str, Action); 6] = [
        ("delete_a", Action::DeleteA),
        ("delete_b", Action::DeleteB),
        ("non_duplicate", Action::NonDuplicate),
        ("parent_child_ab", Action::ParentChildAb),
        ("parent_child_ba", Action::ParentChildBa),
        ("sibling", Action::Sibling),
    ];
}

impl FromStr for Action {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Action> {
        let found = Action::NAMES.iter().find(|(name, _)| *name == text);
        match found {
            Some((_, action)) => Ok(*action),
            None => {
                let names = Action::NAMES.map(|(name, _)| name).join(", ");
                bail!("{text:?} is nothing that can be said of two images: {names} are")
            }
        }
    }
}

/// What a search for duplicates has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Scanned {
    /// With a hash.
    pub images: u64,
    pub pairs: u64,
    /// Images with something else where their hash should be.
    pub unreadable: u64,
}

/// What came of a action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reviewed {
    /// The path of the image that is no longer in the database; its file is the caller's to remove.
    pub deleted_path: Option<String>,
}

impl Board {
    /// Finds all pairs of images whose hashes differ in at most so many bits, and stores them in place of those of
    /// the last search. Suggestions of pairs that stay are kept.
    ///
    /// # Errors
    /// More pairs than are stored; a read-only database; what it says. The old pairs stay then.
    pub fn scan_duplicates(&mut self, distance_max: u32) -> Result<Scanned> {
        self.store.check_writable()?;
        self.ensure_duplicate_tables()?;
        let hashes = Hashes::read(&self.store)?;
        let (images, unreadable) = (hashes.len() as u64, hashes.unreadable);
        let pairs = find_pairs(&hashes, distance_max)?;
        drop(hashes);
        self.write_pairs(&pairs, distance_max)?;
        Ok(Scanned {
            images,
            pairs: pairs.len() as u64,
            unreadable,
        })
    }

    fn write_pairs(&mut self, pairs: &[Pair], distance_max: u32) -> Result<()> {
        let what = "store pairs of duplicates";
        let now = now_text();
        let sql = "INSERT INTO duplicate_pairs (image_id_a, image_id_b, distance, threshold, computed_at) \
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        self.edit(|edit| {
            edit.store
                .execute(what, "DELETE FROM duplicate_pairs", &[])?;
            for pair in pairs.iter().filter(|pair| edit.has_both(pair.a, pair.b)) {
                let values = [
                    pair.a.into(),
                    pair.b.into(),
                    pair.distance.into(),
                    distance_max.into(),
                    now.as_str().into(),
                ];
                edit.store.execute(what, sql, &values)?;
            }
            let sql = "DELETE FROM duplicate_pair_suggestions WHERE NOT EXISTS \
                       (SELECT 1 FROM duplicate_pairs AS p \
                       WHERE p.image_id_a = duplicate_pair_suggestions.image_id_a \
                       AND p.image_id_b = duplicate_pair_suggestions.image_id_b)";
            edit.store.execute(what, sql, &[])?;
            Ok(())
        })?;
        Ok(())
    }

    /// Does what is said of two images, by id, in one transaction; the pair leaves the queue.
    ///
    /// # Errors
    /// An image that is not there; what [`Board::create_relation`] refuses; what the database says.
    pub fn review_duplicate(&mut self, a: u32, b: u32, action: Action) -> Result<Reviewed> {
        if a == b {
            bail!("image {a} can't be a duplicate of itself");
        }
        let (kind, first, second) = match action {
            Action::DeleteA => return self.delete_duplicate(a, b),
            Action::DeleteB => return self.delete_duplicate(b, a),
            Action::NonDuplicate => (RelationKind::NonDuplicate, a, b),
            Action::ParentChildAb => (RelationKind::ParentChild, a, b),
            Action::ParentChildBa => (RelationKind::ParentChild, b, a),
            Action::Sibling => (RelationKind::Sibling, a, b),
        };
        self.edit(|edit| {
            edit.relate(kind, first, second, REVIEW)?;
            edit.forget_pair(a, b)
        })?;
        Ok(Reviewed { deleted_path: None })
    }

    /// Without its file, which is for who calls this to remove.
    fn delete_duplicate(&mut self, gone: u32, kept: u32) -> Result<Reviewed> {
        let path = self.path_to_delete(gone, kept)?;
        self.edit(|edit| edit.delete_images(&[gone], &[kept]))?;
        Ok(Reviewed {
            deleted_path: Some(path),
        })
    }

    /// Of an image that is to go as a duplicate of another one, which has to be there: of two actions that each
    /// delete one image of a pair, the second is refused.
    pub(crate) fn path_to_delete(&self, gone: u32, kept: u32) -> Result<String> {
        if gone == kept {
            bail!("image {gone} can't be a duplicate of itself");
        }
        self.path_of(kept)
            .and_then(|_| self.path_of(gone))
            .with_context(|| format!("delete image {gone} as a duplicate of {kept}"))
    }

    pub(crate) fn ensure_duplicate_tables(&mut self) -> Result<()> {
        let tables = ["duplicate_pairs", "duplicate_pair_suggestions"];
        if tables
            .iter()
            .all(|table| self.store.schema.has_table(table))
        {
            return Ok(());
        }
        self.edit(|edit| tables.iter().try_for_each(|table| edit.ensure_table(table)))?;
        Ok(())
    }

    pub(crate) fn write_hashes(&mut self, hashes: &[ImageHashes]) -> Result<()> {
        if hashes.is_empty() {
            return Ok(());
        }
        self.edit(|edit| hashes.iter().try_for_each(|one| edit.write_hash(one)))?;
        Ok(())
    }

    pub(crate) fn write_suggestions(&mut self, found: &[PairSuggestion]) -> Result<()> {
        let now = now_text();
        let sql = "INSERT INTO duplicate_pair_suggestions (image_id_a, image_id_b, signal, visual_signal, \
                   metadata_adjustment, mean_abs_diff, changed_ratio, largest_blob_ratio, blob_count, \
                   peak_blob_contrast, mask_mismatch, pixel_ratio, filesize_ratio, tag_gap_ratio, computed_at) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) \
                   ON CONFLICT DO NOTHING";
        self.edit(|edit| {
            let mut there = found.iter().filter(|pair| edit.has_both(pair.a, pair.b));
            there.try_for_each(|pair| {
                let of = &pair.suggestion;
                let values = [
                    pair.a.into(),
                    pair.b.into(),
                    of.signal.into(),
                    of.visual_signal.into(),
                    of.metadata_adjustment.into(),
                    of.mean_abs_diff.into(),
                    of.changed_ratio.into(),
                    of.largest_blob_ratio.into(),
                    of.blob_count.into(),
                    of.peak_blob_contrast.into(),
                    of.mask_mismatch.into(),
                    of.pixel_ratio.into(),
                    of.filesize_ratio.into(),
                    of.tag_gap_ratio.into(),
                    now.as_str().into(),
                ];
                edit.store
                    .execute("store what a pair differs by", sql, &values)?;
                Ok(())
            })
        })?;
        Ok(())
    }
}

impl Edit<'_> {
    /// Since they were compared, another program may have deleted one.
    fn has_both(&self, a: u32, b: u32) -> bool {
        let images = &self.catalog.images;
        [a, b].iter().all(|id| images.of_id(*id).is_some())
    }

    fn forget_pair(&self, a: u32, b: u32) -> Result<()> {
        for table in ["duplicate_pairs", "duplicate_pair_suggestions"] {
            if self.schema.has_table(table) {
                let sql = format!("DELETE FROM {table} WHERE image_id_a = ?1 AND image_id_b = ?2");
                let values = [a.min(b).into(), a.max(b).into()];
                self.store
                    .execute("take a pair off the queue", &sql, &values)?;
            }
        }
        Ok(())
    }

    fn write_hash(&self, hashes: &ImageHashes) -> Result<()> {
        for (column, hash) in [("phash", &hashes.phash), ("colorhash", &hashes.colorhash)] {
            if self.schema.has("images", column) {
                let sql =
                    format!("UPDATE images SET {column} = ?1 WHERE id = ?2 AND {column} IS NULL");
                let values = [hash.into(), hashes.image.into()];
                self.store
                    .execute("store the hash of an image", &sql, &values)?;
            }
        }
        Ok(())
    }
}
