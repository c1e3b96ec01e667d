//! Pools: images put together by hand, in an order.

use std::cell::Cell;

use anyhow::{Result, bail};

use super::Edit;
use crate::board::Board;
use crate::catalog::{Change, PoolChange};
use crate::store::{Row, Value};
use crate::{missing, refuse};

/// The longest name of a pool.
pub const POOL_NAME_BYTES_MAX: usize = 255;
/// The longest description of a pool.
pub const POOL_DESCRIPTION_BYTES_MAX: usize = 64 << 10;

impl Board {
    /// Makes a pool without images; its id.
    ///
    /// # Errors
    /// A name that is taken, or none; what the database says.
    pub fn create_pool(&mut self, name: &str, description: &str) -> Result<i64> {
        let name = check_pool_name(name)?;
        check_description(description)?;
        let made = Cell::new(0);
        self.edit(|edit| {
            made.set(edit.create_pool(name, description)?);
            Ok(())
        })?;
        Ok(made.get())
    }

    /// # Errors
    /// No such pool, a name that is taken, or none; what the database says.
    pub fn rename_pool(&mut self, pool: i64, name: &str) -> Result<()> {
        self.update_pool(pool, Some(name), None)
    }

    /// # Errors
    /// No such pool, a description that is too long; what the database says.
    pub fn describe_pool(&mut self, pool: i64, description: &str) -> Result<()> {
        self.update_pool(pool, None, Some(description))
    }

    /// Gives a pool another name, another description, or both: all of it or nothing.
    ///
    /// # Errors
    /// Those of [`Board::rename_pool`] and [`Board::describe_pool`].
    pub fn update_pool(
        &mut self,
        pool: i64,
        name: Option<&str>,
        description: Option<&str>,
    ) -> Result<()> {
        let name = name.map(check_pool_name).transpose()?;
        description.map(check_description).transpose()?;
        self.edit(|edit| {
            edit.expect_pool(pool)?;
            if let Some(name) = name {
                edit.rename_pool(pool, name)?;
            }
            match description {
                Some(description) => edit.describe_pool(pool, description),
                None => Ok(()),
            }
        })?;
        Ok(())
    }

    /// Deletes a pool; its images stay.
    ///
    /// # Errors
    /// No such pool; what the database says.
    pub fn delete_pool(&mut self, pool: i64) -> Result<()> {
        self.edit(|edit| {
            edit.expect_pool(pool)?;
            // Older databases do not cascade.
            for sql in [
                "DELETE FROM pool_images WHERE pool_id = ?1",
                "DELETE FROM pools WHERE id = ?1",
            ] {
                edit.store.execute("delete a pool", sql, &[pool.into()])?;
            }
            edit.change_pool(pool, PoolChange::Deleted);
            Ok(())
        })?;
        Ok(())
    }

    /// Puts images, by id, at the end of a pool, in the order given; how many were not in it.
    ///
    /// # Errors
    /// No such pool or image; what the database says.
    pub fn add_to_pool(&mut self, pool: i64, images: &[u32]) -> Result<u64> {
        let changed = Cell::new(0);
        self.edit(|edit| {
            edit.expect_pool(pool)?;
            changed.set(edit.add_to_pool(pool, images)?);
            Ok(())
        })?;
        Ok(changed.get())
    }

    /// Takes images, by id, out of a pool; how many were in it.
    ///
    /// # Errors
    /// No such pool or image; what the database says.
    pub fn remove_from_pool(&mut self, pool: i64, images: &[u32]) -> Result<u64> {
        let changed = Cell::new(0);
        self.edit(|edit| {
            edit.expect_pool(pool)?;
            let numbers = edit.images(images)?;
            let mut count = 0;
            for image in &numbers {
                let id = edit.catalog.images.id(*image);
                let sql = "DELETE FROM pool_images WHERE pool_id = ?1 AND image_id = ?2";
                let values = [pool.into(), id.into()];
                count += edit
                    .store
                    .execute("take an image out of a pool", sql, &values)?;
            }
            edit.change_pool(pool, PoolChange::Removed(numbers));
            changed.set(count);
            Ok(())
        })?;
        Ok(changed.get())
    }

    /// Puts images of a pool, by id, first, in the order given; those not given follow as they were.
    /// O(images of the pool).
    ///
    /// # Errors
    /// No such pool, an image that is not in it or given twice; what the database says.
    pub fn reorder_pool(&mut self, pool: i64, images: &[u32]) -> Result<()> {
        self.edit(|edit| {
            edit.expect_pool(pool)?;
            if !edit.schema.has("pool_images", "sort_order") {
                refuse!("this database keeps no order of pools: it lacks the column pool_images.sort_order");
            }
            let mut rest = edit.order_of_pool(pool)?;
            for image in images {
                match rest.iter().position(|other| other == image) {
                    Some(place) => rest.remove(place),
                    None => refuse!("put image {image} in order: it is not in pool {pool}, or given twice"),
                };
            }
            let order: Vec<u32> = images.iter().chain(&rest).copied().collect();
            edit.write_order(pool, &order)
        })?;
        Ok(())
    }
}

impl Edit<'_> {
    fn change_pool(&mut self, pool: i64, change: PoolChange) {
        self.changes.push(Change::Pool { pool, change });
    }

    fn expect_pool(&self, pool: i64) -> Result<()> {
        let sql = "SELECT 1 FROM pools WHERE id = ?1";
        let is_there = self.schema.has_table("pools")
            && self.schema.has_table("pool_images")
            && self
                .store
                .query_row("look for a pool", sql, &[pool.into()], |_| Ok(()))?
                .is_some();
        match is_there {
            true => Ok(()),
            false => missing!("there is no pool {pool}"),
        }
    }

    fn check_pool_is_free(&self, name: &str, own: Option<i64>) -> Result<()> {
        let sql = "SELECT id FROM pools WHERE name = ?1";
        let read = |row: &Row<'_>| row.integer(0);
        let other = self
            .store
            .query_row("look for a pool", sql, &[name.into()], read)?;
        match other.flatten().filter(|other| Some(*other) != own) {
            Some(other) => refuse!("there is a pool {name:?} already: it is pool {other}"),
            None => Ok(()),
        }
    }

    fn rename_pool(&mut self, pool: i64, name: &str) -> Result<()> {
        self.check_pool_is_free(name, Some(pool))?;
        let sql = "UPDATE pools SET name = ?1 WHERE id = ?2";
        let values = [name.into(), pool.into()];
        self.store.execute("rename a pool", sql, &values)?;
        self.change_pool(pool, PoolChange::Renamed(name.to_owned()));
        Ok(())
    }

    fn describe_pool(&self, pool: i64, description: &str) -> Result<()> {
        if !self.schema.has("pools", "description") {
            refuse!(
                "this database has no descriptions of pools: it lacks the column pools.description"
            );
        }
        let sql = "UPDATE pools SET description = ?1 WHERE id = ?2";
        let values = [description.into(), pool.into()];
        self.store.execute("describe a pool", sql, &values)?;
        Ok(())
    }

    fn create_pool(&mut self, name: &str, description: &str) -> Result<i64> {
        let is_new = !self.schema.has_table("pools");
        self.ensure_table("pools")?;
        self.ensure_table("pool_images")?;
        self.check_pool_is_free(name, None)?;
        let is_described = is_new || self.schema.has("pools", "description");
        let read = |row: &Row<'_>| row.integer(0);
        let what = "make a pool";
        let made = match is_described {
            true => self.store.query_row(
                what,
                "INSERT INTO pools (name, description) VALUES (?1, ?2) RETURNING id",
                &[name.into(), description.into()],
                read,
            )?,
            false => self.store.query_row(
                what,
                "INSERT INTO pools (name) VALUES (?1) RETURNING id",
                &[name.into()],
                read,
            )?,
        };
        let Some(pool) = made.flatten() else {
            bail!("make pool {name:?}: the database told no id of it");
        };
        self.change_pool(pool, PoolChange::Created(name.to_owned()));
        Ok(pool)
    }

    fn add_to_pool(&mut self, pool: i64, ids: &[u32]) -> Result<u64> {
        let numbers = self.images(ids)?;
        let is_ordered = self.schema.has("pool_images", "sort_order");
        let mut next = 0;
        if is_ordered {
            let before = self.order_of_pool(pool)?;
            next = match self.last_place(pool)? {
                Some(last) => last.saturating_add(1),
                // Not all have a place: the order that is shown becomes the one that is kept.
                None => {
                    self.write_order(pool, &before)?;
                    before.len() as i64
                }
            };
        }
        let mut added = 0;
        for id in ids {
            let sql = match is_ordered {
                true => {
                    "INSERT INTO pool_images (pool_id, image_id, sort_order) VALUES (?1, ?2, ?3) \
                     ON CONFLICT DO NOTHING"
                }
                false => {
                    "INSERT INTO pool_images (pool_id, image_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING"
                }
            };
            let values = [pool.into(), (*id).into(), next.into()];
            let values = &values[..2 + usize::from(is_ordered)];
            let new = self
                .store
                .execute("put an image into a pool", sql, values)?;
            added += new;
            next += new as i64;
        }
        self.change_pool(pool, PoolChange::Added(numbers));
        Ok(added)
    }

    /// The greatest place in a pool; `None` where an image has none, and where there is no image.
    fn last_place(&self, pool: i64) -> Result<Option<i64>> {
        let sql = "SELECT MAX(sort_order), COUNT(*) - COUNT(sort_order) FROM pool_images WHERE pool_id = ?1";
        let read = |row: &Row<'_>| Ok((row.integer(0)?, row.integer(1)?));
        let found = self
            .store
            .query_row("read the order of a pool", sql, &[pool.into()], read)?;
        Ok(match found {
            Some((last, Some(0))) => last,
            _ => None,
        })
    }

    fn order_of_pool(&self, pool: i64) -> Result<Vec<u32>> {
        let mut images = Vec::new();
        let sql = format!(
            "SELECT image_id FROM pool_images WHERE pool_id = ?1 ORDER BY {}",
            crate::pools::order(self.schema)
        );
        let read = |row: &Row<'_>| {
            images.extend(row.id(0)?);
            Ok(())
        };
        self.store
            .each_row("read the order of a pool", &sql, &[pool.into()], read)?;
        Ok(images)
    }

    fn write_order(&self, pool: i64, images: &[u32]) -> Result<()> {
        let sql = "UPDATE pool_images SET sort_order = ?1 WHERE pool_id = ?2 AND image_id = ?3";
        for (place, image) in images.iter().enumerate() {
            let values: [Value<'_>; 3] = [(place as i64).into(), pool.into(), (*image).into()];
            self.store.execute("put a pool in order", sql, &values)?;
        }
        Ok(())
    }
}

fn check_pool_name(name: &str) -> Result<&str> {
    let name = name.trim();
    if name.is_empty() {
        refuse!("a pool needs a name");
    }
    if name.len() > POOL_NAME_BYTES_MAX {
        refuse!(
            "name a pool: the name has {} bytes, and {POOL_NAME_BYTES_MAX} are the most",
            name.len()
        );
    }
    if name.chars().any(char::is_control) {
        refuse!("{name:?} is no name of a pool: it has control characters in it");
    }
    Ok(name)
}

fn check_description(description: &str) -> Result<()> {
    if description.len() > POOL_DESCRIPTION_BYTES_MAX {
        refuse!(
            "describe a pool: the text has {} bytes, and {POOL_DESCRIPTION_BYTES_MAX} are the most",
            description.len()
        );
    }
    Ok(())
}
