//! Images that go: their rows in every table. Their files are the caller's.

use std::collections::BTreeSet;

use anyhow::Result;

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
        self.edit(|edit| {
            let images = edit.images(images)?;
            edit.upkeep
                .forget(edit.catalog, &images.iter().copied().collect())?;
            let mut parents = BTreeSet::new();
            for image in images {
                edit.delete_image(image, &mut parents)?;
            }
            edit.unmark_parents(&parents)
        })
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
