//! That there is an upscaled file of an image, and its size.

use anyhow::Result;

use super::{Edit, Edited};
use crate::board::Board;
use crate::catalog::Change;
use crate::ml::queue;
use crate::refuse;
use crate::store::Schema;

impl Board {
    /// Says how wide and high the upscaled file of an image is, or with `None` that there is none.
    ///
    /// # Errors
    /// An image that is not there; a database that has no place for it; what the database says.
    pub fn set_upscaled(&mut self, image: u32, size: Option<(u32, u32)>) -> Result<Edited> {
        self.edit(|edit| {
            let images = edit.images(&[image])?;
            edit.set_upscaled(images[0], size)
        })
    }
}

impl Board {
    /// Writes down the size of the larger form that a model made, and that its job is done, in one
    /// transaction. An image that is gone meanwhile took its job along.
    ///
    /// # Errors
    /// What the database says.
    pub(crate) fn record_upscaled(
        &mut self,
        job: u32,
        image: u32,
        size: (u32, u32),
    ) -> Result<Edited> {
        self.edit(|edit| {
            let is_due = queue::finish(edit.store, job)?;
            if let Some(image) = edit.catalog.images.of_id(image).filter(|_| is_due) {
                edit.set_upscaled(image, Some(size))?;
            }
            Ok(())
        })
    }

    /// # Errors
    /// A database that has no place for the sizes of larger images.
    pub(crate) fn check_upscalable(&self) -> Result<()> {
        check_columns(&self.store.schema)
    }
}

fn check_columns(schema: &Schema) -> Result<()> {
    let has = |column| schema.has("images", column);
    if !has("upscaled_width") || !has("upscaled_height") {
        refuse!(
            "this database has no sizes of upscaled images: it lacks the columns images.upscaled_width \
             and upscaled_height"
        );
    }
    Ok(())
}

impl Edit<'_> {
    fn set_upscaled(&mut self, image: u32, size: Option<(u32, u32)>) -> Result<()> {
        check_columns(self.schema)?;
        let (width, height) = size.unzip();
        let id = self.id_of(image);
        self.store.execute(
            "keep the size of an upscaled image",
            "UPDATE images SET upscaled_width = ?1, upscaled_height = ?2 WHERE id = ?3",
            &[width.into(), height.into(), id.into()],
        )?;
        self.edited.images += 1;
        self.changes.push(Change::Upscaled {
            image,
            is: size.is_some(),
        });
        Ok(())
    }
}
