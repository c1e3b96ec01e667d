//! Pools as they are shown: which there are, what is in one, and in which an image is.

use anyhow::{Context, Result};
use serde::Serialize;

use crate::board::Board;
use crate::missing;
use crate::store::{Row, Schema};

/// Pools or images of one answer at most.
pub const POOL_PAGE_MAX: usize = 500;

/// One pool, without its images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PoolInfo {
    pub id: i64,
    pub name: String,
    pub description: String,
    pub images: u64,
    /// The image that comes first.
    pub cover: Option<u32>,
}

/// A page of something, and of how much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PoolPage<T> {
    pub items: Vec<T>,
    pub total: u64,
}

/// How images of a pool follow each other; those without a place come last.
pub(crate) fn order(schema: &Schema) -> &'static str {
    match schema.has("pool_images", "sort_order") {
        true => "sort_order IS NULL, sort_order, image_id",
        false => "image_id",
    }
}

impl Board {
    fn has_pools(&self) -> bool {
        let schema = &self.store.schema;
        schema.has_table("pools") && schema.has_table("pool_images")
    }

    /// Pools by name, from `offset`, at most `limit` (up to [`POOL_PAGE_MAX`]).
    ///
    /// # Errors
    /// What the database says.
    pub fn pools(&self, offset: usize, limit: usize) -> Result<PoolPage<PoolInfo>> {
        let total = self.catalog().facets.pools.len() as u64;
        let mut items = Vec::new();
        if self.has_pools() {
            let sql = format!("{} ORDER BY p.name, p.id LIMIT ?1 OFFSET ?2", self.select());
            let values = [
                (limit.min(POOL_PAGE_MAX) as i64).into(),
                i64::try_from(offset).unwrap_or(i64::MAX).into(),
            ];
            self.store
                .each_row("read the pools", &sql, &values, |row| {
                    items.push(read_pool(row)?);
                    Ok(())
                })?;
        }
        Ok(PoolPage { items, total })
    }

    /// # Errors
    /// No such pool; what the database says.
    pub fn pool(&self, pool: i64) -> Result<PoolInfo> {
        let mut found = None;
        if self.has_pools() {
            let sql = format!("{} WHERE p.id = ?1", self.select());
            let values = [pool.into()];
            found = self
                .store
                .query_row("read a pool", &sql, &values, read_pool)?;
        }
        found.with_context(|| format!("there is no pool {pool}"))
    }

    /// The pool of a name, or else of an id.
    ///
    /// # Errors
    /// No such pool; what the database says.
    pub fn find_pool(&self, text: &str) -> Result<i64> {
        let mut found = None;
        if self.has_pools() {
            let sql = "SELECT id FROM pools WHERE name = ?1";
            let read = |row: &Row<'_>| row.integer(0);
            found = self
                .store
                .query_row("look for a pool", sql, &[text.into()], read)?
                .flatten();
        }
        if let Some(found) = found {
            return Ok(found);
        }
        match text.parse() {
            Ok(id) => Ok(self.pool(id)?.id),
            Err(_) => missing!("there is no pool {text:?}"),
        }
    }

    /// Ids of the images of a pool in its order, from `offset`, at most `limit` (up to [`POOL_PAGE_MAX`]).
    ///
    /// # Errors
    /// No such pool; what the database says.
    pub fn images_of_pool(&self, pool: i64, offset: usize, limit: usize) -> Result<PoolPage<u32>> {
        let total = self.pool(pool)?.images;
        let mut items = Vec::new();
        let sql = format!(
            "SELECT image_id FROM pool_images WHERE pool_id = ?1 AND +image_id IN (SELECT id FROM images) \
             ORDER BY {} LIMIT ?2 OFFSET ?3",
            order(&self.store.schema)
        );
        let values = [
            pool.into(),
            (limit.min(POOL_PAGE_MAX) as i64).into(),
            i64::try_from(offset).unwrap_or(i64::MAX).into(),
        ];
        self.store
            .each_row("read the images of a pool", &sql, &values, |row| {
                items.extend(row.id(0)?);
                Ok(())
            })?;
        Ok(PoolPage { items, total })
    }

    /// The pools that an image, by id, is in, by name.
    ///
    /// # Errors
    /// An image that is not there; what the database says.
    pub fn pools_of(&self, image: u32) -> Result<Vec<PoolInfo>> {
        if self.catalog().images.of_id(image).is_none() {
            missing!("there is no image {image}");
        }
        let mut pools = Vec::new();
        if self.has_pools() {
            let sql = format!(
                "{} WHERE p.id IN (SELECT pool_id FROM pool_images WHERE image_id = ?1) \
                 ORDER BY p.name, p.id LIMIT {POOL_PAGE_MAX}",
                self.select()
            );
            let values = [image.into()];
            self.store
                .each_row("read the pools of an image", &sql, &values, |row| {
                    pools.push(read_pool(row)?);
                    Ok(())
                })?;
        }
        Ok(pools)
    }

    fn select(&self) -> String {
        let schema = &self.store.schema;
        // Rows of images that are not there are left out.
        let own = "FROM pool_images WHERE pool_id = p.id AND +image_id IN (SELECT id FROM images)";
        let description = match schema.has("pools", "description") {
            true => "p.description",
            false => "NULL",
        };
        format!(
            "SELECT p.id, p.name, {description}, (SELECT COUNT(*) {own}), \
             (SELECT image_id {own} ORDER BY {} LIMIT 1) FROM pools AS p",
            order(schema)
        )
    }
}

fn read_pool(row: &Row<'_>) -> Result<PoolInfo> {
    Ok(PoolInfo {
        id: row.integer(0)?.unwrap_or_default(),
        name: row.text(1)?.unwrap_or_default(),
        description: row.text(2)?.unwrap_or_default(),
        images: row
            .integer(3)?
            .and_then(|count| count.try_into().ok())
            .unwrap_or(0),
        cover: row.id(4)?,
    })
}
