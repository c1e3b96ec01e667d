//! Edits by hand as the database keeps them, by MD5 sum of the image, so that they outlive a rebuild of
//! the tags from what the sources said. Of two that cancel each other none is there.

use anyhow::{Result, bail};
use serde::Serialize;

use crate::board::Board;
use crate::edit::Delta;
use crate::missing;
use crate::store::{Row, Store};

/// Edits of one image that are told at most.
pub const HAND_EDITS_MAX: usize = 1000;

/// One edit by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HandEdit {
    pub tag: String,
    pub category: Option<String>,
    /// `add` or `remove`.
    pub operation: String,
    /// UTC, as it stands there.
    pub timestamp: Option<String>,
}

impl HandEdit {
    pub(crate) fn delta(&self) -> Result<Delta> {
        match self.operation.as_str() {
            "add" => Ok(Delta::Add),
            "remove" => Ok(Delta::Remove),
            other => bail!("an edit by hand is `add` or `remove`, not {other:?}"),
        }
    }
}

impl Board {
    /// Edits by hand of an image, by id, that stand, the oldest first: at most [`HAND_EDITS_MAX`], the
    /// last ones.
    ///
    /// # Errors
    /// An image that is not there; what the database says.
    pub fn hand_edits(&self, image: u32) -> Result<Vec<HandEdit>> {
        if self.catalog().images.of_id(image).is_none() {
            missing!("there is no image {image}");
        }
        let mut edits = newest_first(&self.store, image, HAND_EDITS_MAX)?;
        edits.reverse();
        Ok(edits)
    }
}

pub(crate) fn last_of(store: &Store, image: u32) -> Result<Option<HandEdit>> {
    Ok(newest_first(store, image, 1)?.pop())
}

fn newest_first(store: &Store, image: u32, limit: usize) -> Result<Vec<HandEdit>> {
    let mut edits = Vec::new();
    if !store.schema.has_table("tag_deltas") {
        return Ok(edits);
    }
    let sql = format!(
        "SELECT tag_name, {}, operation, {} FROM tag_deltas \
         WHERE image_md5 = (SELECT md5 FROM images WHERE id = ?1) ORDER BY id DESC LIMIT ?2",
        store.schema.column("tag_deltas", "tag_category"),
        store.schema.column("tag_deltas", "timestamp"),
    );
    let read = |row: &Row<'_>| -> Result<()> {
        edits.push(HandEdit {
            tag: row.text(0)?.unwrap_or_default(),
            category: row.text(1)?,
            operation: row.text(2)?.unwrap_or_default(),
            timestamp: row.text(3)?,
        });
        Ok(())
    };
    let values = [image.into(), (limit as i64).into()];
    store.each_row("read edits by hand", &sql, &values, read)?;
    Ok(edits)
}
