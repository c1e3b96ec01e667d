//! Favourites: which images somebody has marked.

use std::cell::Cell;

use anyhow::Result;

use super::Edit;
use crate::board::Board;
use crate::catalog::Change;
use crate::query::moment;

impl Board {
    /// Marks images, by id; how many were not marked before.
    ///
    /// # Errors
    /// An image that is not there; what the database says.
    pub fn add_favourites(&mut self, images: &[u32]) -> Result<u64> {
        let changed = Cell::new(0);
        self.edit(|edit| {
            changed.set(edit.mark(images)?);
            Ok(())
        })?;
        Ok(changed.get())
    }

    /// Takes the mark off images, by id; how many had it.
    ///
    /// # Errors
    /// An image that is not there; what the database says.
    pub fn remove_favourites(&mut self, images: &[u32]) -> Result<u64> {
        let changed = Cell::new(0);
        self.edit(|edit| {
            changed.set(edit.unmark(images)?);
            Ok(())
        })?;
        Ok(changed.get())
    }

    /// Marks an image, or takes its mark off; whether it has one now.
    ///
    /// # Errors
    /// An image that is not there; what the database says.
    pub fn toggle_favourite(&mut self, image: u32) -> Result<bool> {
        let is_now = Cell::new(false);
        self.edit(|edit| {
            is_now.set(edit.unmark(&[image])? == 0);
            if is_now.get() {
                edit.mark(&[image])?;
            }
            Ok(())
        })?;
        Ok(is_now.get())
    }

    /// Whether an image, by id, is marked; `None` for one that is not there.
    #[must_use]
    pub fn is_favourite(&self, image: u32) -> Option<bool> {
        let catalog = self.catalog();
        let image = catalog.images.of_id(image)?;
        Some(catalog.facets.favourites.contains(image))
    }

    /// How many images are marked.
    #[must_use]
    pub fn count_favourites(&self) -> u64 {
        self.catalog().facets.favourites.len()
    }
}

impl Edit<'_> {
    fn mark(&mut self, ids: &[u32]) -> Result<u64> {
        let images = self.images(ids)?;
        self.ensure_table("favourites")?;
        // A table just made has all columns.
        let is_new = !self.schema.has_table("favourites");
        let is_dated = is_new || self.schema.has("favourites", "created_at");
        let now = moment::now_text();
        let mut changed = 0;
        for image in &images {
            let id = self.catalog.images.id(*image);
            let what = "mark a favourite";
            changed += match is_dated {
                true => self.store.execute(
                    what,
                    "INSERT INTO favourites (image_id, created_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                    &[id.into(), (&now).into()],
                )?,
                false => self.store.execute(
                    what,
                    "INSERT INTO favourites (image_id) VALUES (?1) ON CONFLICT DO NOTHING",
                    &[id.into()],
                )?,
            };
        }
        self.changes.push(Change::Favourites {
            images,
            are_now: true,
        });
        Ok(changed)
    }

    fn unmark(&mut self, ids: &[u32]) -> Result<u64> {
        let images = self.images(ids)?;
        if !self.schema.has_table("favourites") {
            return Ok(0);
        }
        let mut changed = 0;
        for image in &images {
            let id = self.catalog.images.id(*image);
            let sql = "DELETE FROM favourites WHERE image_id = ?1";
            changed += self
                .store
                .execute("unmark a favourite", sql, &[id.into()])?;
        }
        self.changes.push(Change::Favourites {
            images,
            are_now: false,
        });
        Ok(changed)
    }
}
