//! What the table of images says of their larger forms.

use anyhow::{Result, bail};

use crate::board::Board;
use crate::ml::queue;

impl Board {
    /// Writes down the size of an image's larger form, and that the job is done, in one transaction.
    pub(crate) fn record_upscaled(&mut self, job: u32, image: u32, size: (u32, u32)) -> Result<()> {
        self.store.write(|| {
            let sql = "UPDATE images SET upscaled_width = ?2, upscaled_height = ?3 WHERE id = ?1";
            let values = [image.into(), size.0.into(), size.1.into()];
            self.store
                .execute("write down the size of a larger image", sql, &values)?;
            queue::finish(&self.store, job)
        })?;
        self.change_catalog(|catalog| {
            if let Some(number) = catalog.images.of_id(image) {
                catalog.facets.upscaled.insert(number);
            }
        });
        Ok(())
    }

    /// # Errors
    /// An older database, which has no place for it.
    pub(crate) fn check_upscalable(&self) -> Result<()> {
        let columns = ["upscaled_width", "upscaled_height"];
        if columns
            .iter()
            .all(|column| self.store.schema.has("images", column))
        {
            return Ok(());
        }
        bail!(
            "upscale images of {}: its table of images has no upscaled_width and upscaled_height, as a newer \
             ChibiBooru makes them",
            self.store.path().display()
        );
    }
}
