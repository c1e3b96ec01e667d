//! Images that go: their rows in every table. Their files are the caller's.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use super::{Edit, Edited};
use crate::board::Board;
use crate::catalog::Change;

/// Tables with the columns in which images stand; older databases lack some, and none cascades there.
const ROWS: &[(&str, &[&str])] = &[
    ("image_tags", &["image_id"]),
    ("image_sources", &["image_id"]),
    ("raw_metadata", &["image_id"]),
    ("pool_images", &["image_id"]),
    ("favourites", &["image_id"]),
    ("booru_post_ids", &["image_id"]),
    ("local_tagger_predictions", &["image_id"]),
    ("image_relations", &["image_id_a", "image_id_b"]),
    ("duplicate_pairs", &["image_id_a", "image_id_b"]),
    ("duplicate_pair_suggestions", &["image_id_a", "image_id_b"]),
    (
        "similar_images_cache",
        &["source_image_id", "similar_image_id"],
    ),
    ("images", &["id"]),
];

impl Board {
    /// Deletes images, by id, from the database. Tags stay, also those that no image has then, and so do edits
    /// by hand, which the original keeps by MD5 sum. Files are left where they are.
    ///
    /// # Errors
    /// An image that is not there; what the database says.
    pub fn delete_images(&mut self, images: &[u32]) -> Result<Edited> {
        self.edit(|edit| edit.delete_images(images, &[]))
    }

    /// The same, and writes down in the same transaction which files are to follow, and whether to the trash,
    /// with the tags that they had. Images that are `kept` in their place have to be there.
    pub(crate) fn delete_images_with_files(
        &mut self,
        images: &[u32],
        kept: &[u32],
        is_trashed: bool,
    ) -> Result<Edited> {
        self.edit(|edit| {
            edit.note_files(images, is_trashed)?;
            edit.delete_images(images, kept)
        })
    }
}

/// Ours; it is empty but while files are deleted.
pub(crate) const DELETIONS: &str = "CREATE TABLE IF NOT EXISTS booru_deletions (path TEXT PRIMARY KEY, \
                                    is_trashed INTEGER NOT NULL, tags TEXT NOT NULL)";

impl Edit<'_> {
    fn note_files(&mut self, images: &[u32], is_trashed: bool) -> Result<()> {
        let what = "write down which files are to be deleted";
        if !self.schema.has_table("booru_deletions") {
            self.store.execute(what, DELETIONS, &[])?;
            self.has_made_table.set(true);
        }
        for image in self.images(images)? {
            let tags = self.tags_of(image)?.into_iter().map(|term| {
                let tags = &self.catalog.tags;
                match tags.kind(term).category() {
                    Some(category) => format!("{}:{}\n", category.name(), tags.name(term)),
                    None => format!("{}\n", tags.name(term)),
                }
            });
            let tags: String = tags.collect();
            let sql = "INSERT INTO booru_deletions (path, is_trashed, tags) \
                       SELECT filepath, ?2, ?3 FROM images WHERE id = ?1 ON CONFLICT DO NOTHING";
            let id = self.catalog.images.id(image).into();
            self.store
                .execute(what, sql, &[id, is_trashed.into(), (&tags).into()])?;
        }
        Ok(())
    }

    pub(super) fn delete_images(&mut self, images: &[u32], kept: &[u32]) -> Result<()> {
        self.images(kept)
            .context("look for the image that is kept")?;
        let images = self.images(images)?;
        let all = images.iter().copied().collect();
        self.upkeep.forget(self.catalog, &all)?;
        let mut parents = BTreeSet::new();
        for image in images {
            self.delete_image(image, &mut parents)?;
        }
        self.unmark_parents(&parents)
    }
}

impl Edit<'_> {
    /// `parents` gets the id that its site calls its parent by.
    fn delete_image(&mut self, image: u32, parents: &mut BTreeSet<i64>) -> Result<()> {
        let id = self.catalog.images.id(image);
        let parent = self.schema.column("images", "parent_id");
        let sql = format!("SELECT {parent} FROM images WHERE id = ?1");
        let parent =
            self.store
                .query_row("read the parent of an image", &sql, &[id.into()], |row| {
                    row.integer(0)
                })?;
        parents.extend(parent.flatten());
        for term in self.tags_of(image)? {
            let tag = self.catalog.tags.id(term);
            self.removed.entry(tag).or_default().insert(image);
            self.edited.removed += 1;
        }
        for (table, columns) in ROWS {
            for column in *columns {
                if self.schema.has(table, column) {
                    let sql = format!("DELETE FROM {table} WHERE {column} = ?1");
                    self.store.execute("delete an image", &sql, &[id.into()])?;
                }
            }
        }
        self.deleted.insert(image);
        self.edited.images += 1;
        Ok(())
    }

    /// Images that no other has for its parent any more.
    fn unmark_parents(&mut self, parents: &BTreeSet<i64>) -> Result<()> {
        if !self.schema.has("images", "post_id") {
            return Ok(());
        }
        for parent in parents {
            let sql = "SELECT id FROM images WHERE post_id = ?1 \
                       AND NOT EXISTS (SELECT 1 FROM images AS child WHERE child.parent_id = ?1)";
            for id in self.ids(sql, &[(*parent).into()])? {
                if let Some(image) = self.number_of(id) {
                    self.changes.push(Change::Child { image, is: false });
                }
            }
        }
        Ok(())
    }
}
