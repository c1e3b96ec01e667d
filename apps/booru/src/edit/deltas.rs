//! Undoing edits by hand, one at a time: the last one that still stands.

use std::cell::RefCell;

use anyhow::Result;

use super::{Delta, Edit};
use crate::board::Board;
use crate::deltas::{HandEdit, last_of};
use crate::query::Category;
use crate::refuse;

impl Board {
    /// Takes back the last edit by hand of an image, by id, that no later one has cancelled: takes off
    /// the tag that it put on, or puts back, now by hand, what it took off. Says what was taken back.
    ///
    /// # Errors
    /// An image that is not there or has no such edit; one that no longer fits because the tag is gone or
    /// others have changed the image since; what the database says.
    pub fn undo_hand_edit(&mut self, image: u32) -> Result<HandEdit> {
        let undone = RefCell::new(None);
        self.edit(|edit| {
            let images = edit.images(&[image])?;
            let Some(last) = last_of(edit.store, image)? else {
                refuse!("image {image} has no edit by hand that could be taken back");
            };
            edit.undo(images[0], &last)?;
            undone.replace(Some(last));
            Ok(())
        })?;
        Ok(undone
            .into_inner()
            .expect("an edit that is done has set it"))
    }
}

impl Edit<'_> {
    fn undo(&mut self, image: u32, last: &HandEdit) -> Result<()> {
        let id = self.catalog.images.id(image);
        let name = &last.tag;
        // By its own name alone: an alias is another tag's.
        let Some(term) = self.catalog.tags.term(name) else {
            refuse!("take back an edit of image {id}: tag {name:?} is gone since");
        };
        let is_undone = match last.delta()? {
            Delta::Add => self.remove(image, term)?,
            Delta::Remove => {
                let (tag, name, kind) = self.find_or_make(name, Category::General)?;
                self.add(image, tag, &name, kind)?
            }
        };
        if !is_undone {
            refuse!(
                "take back an edit of image {id}: it does not fit, somebody else has changed {name:?} there since"
            );
        }
        Ok(())
    }
}
