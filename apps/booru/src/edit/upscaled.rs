//! That there is an upscaled file of an image, and its size.

use anyhow::Result;

use super::{Edit, Edited};
use crate::board::Board;
use crate::catalog::Change;
use crate::refuse;

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

impl Edit<'_> {
    fn set_upscaled(&mut self, image: u32, size: Option<(u32, u32)>) -> Result<()> {
        let has = |column| self.schema.has("images", column);
        if !has("upscaled_width") || !has("upscaled_height") {
            refuse!(
                "this database has no sizes of upscaled images: it lacks the columns images.upscaled_width \
                 and upscaled_height"
            );
        }
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
