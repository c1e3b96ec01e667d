//! The original's table `similar_images_cache`: the best of an image, as they were when it was asked for.
//!
//! Only where the settings say so: an answer takes milliseconds without it, and a table can be older than
//! what it is of. What is kept of an image is dropped when its tags or its embedding change, and so is
//! where it stands among those of others. That the weights of tags have changed by edits of other images is
//! not followed.

use anyhow::Result;

use super::By;
use super::blend::Similar;
use crate::store::{Store, Value};

const TABLE: &str = "similar_images_cache";

/// Images whose answers are dropped one by one; beyond, all are.
const DROPPED_MAX: usize = 500;

/// What is kept of an image, best first; empty where nothing is.
pub(super) fn read(store: &Store, image: u32, by: By, limit: usize) -> Result<Vec<Similar>> {
    let mut found = Vec::new();
    if !store.schema.has_table(TABLE) {
        return Ok(found);
    }
    store.each_row(
        "read similar images that are kept",
        "SELECT similar_image_id, similarity_score FROM similar_images_cache \
         WHERE source_image_id = ?1 AND similarity_type = ?2 ORDER BY rank LIMIT ?3",
        &[image.into(), by.stored_name().into(), (limit as i64).into()],
        |row| {
            if let (Some(id), Some(score)) = (row.id(0)?, row.real(1)?) {
                found.push(Similar {
                    id,
                    score,
                    ..Similar::default()
                });
            }
            Ok(())
        },
    )?;
    Ok(found)
}

/// Keeps the best of an image in place of those before. `at` as `YYYY-MM-DD HH:MM:SS`, UTC.
pub(super) fn write(store: &Store, image: u32, by: By, found: &[Similar], at: &str) -> Result<()> {
    if !store.schema.has_table(TABLE) {
        return Ok(());
    }
    let what = "keep similar images";
    let by = by.stored_name();
    store.write(|| {
        store.execute(
            what,
            "DELETE FROM similar_images_cache WHERE source_image_id = ?1 AND similarity_type = ?2",
            &[image.into(), by.into()],
        )?;
        for (rank, similar) in (1_i64..).zip(found) {
            store.execute(
                what,
                "INSERT INTO similar_images_cache (source_image_id, similar_image_id, similarity_score, \
                 similarity_type, rank, computed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                &[
                    image.into(),
                    similar.id.into(),
                    similar.score.into(),
                    by.into(),
                    rank.into(),
                    at.into(),
                ],
            )?;
        }
        Ok(())
    })
}

/// Drops what is kept of some images, and where they stand among those of others. A transaction, if it is
/// to be one, is the caller's.
pub(crate) fn forget(store: &Store, images: impl Iterator<Item = u32>) -> Result<()> {
    let what = "drop similar images that were kept";
    let images: Vec<u32> = images.take(DROPPED_MAX + 1).collect();
    if images.is_empty() || !store.schema.has_table(TABLE) {
        return Ok(());
    }
    let any = "SELECT 1 FROM similar_images_cache LIMIT 1";
    if store.query_row(what, any, &[], |_| Ok(()))?.is_none() {
        return Ok(());
    }
    if images.len() > DROPPED_MAX {
        store.execute(what, "DELETE FROM similar_images_cache", &[])?;
        return Ok(());
    }
    for image in images {
        let image: Value<'_> = image.into();
        for column in ["source_image_id", "similar_image_id"] {
            let sql = format!("DELETE FROM similar_images_cache WHERE {column} = ?1");
            store.execute(what, &sql, &[image])?;
        }
    }
    Ok(())
}
