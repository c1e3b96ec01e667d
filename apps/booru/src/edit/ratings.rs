//! Ratings: each image has one of four, as a tag of a category of their own.

use std::str::FromStr;

use anyhow::Result;

use super::images::BY_HAND;
use super::{Edit, Edited};
use crate::board::Board;
use crate::catalog::{Kind, RATING};
use crate::query::Category;
use crate::refuse;

/// For whom an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rating {
    General,
    Sensitive,
    Questionable,
    Explicit,
}

impl Rating {
    pub const ALL: [Rating; 4] = [
        Rating::General,
        Rating::Sensitive,
        Rating::Questionable,
        Rating::Explicit,
    ];

    /// Its name, without `rating:`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Rating::General => "general",
            Rating::Sensitive => "sensitive",
            Rating::Questionable => "questionable",
            Rating::Explicit => "explicit",
        }
    }
}

/// Takes the name, its first letter, and either behind `rating:` or `rating_`.
impl FromStr for Rating {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Rating> {
        let lower = text.to_lowercase();
        let name = lower
            .strip_prefix(RATING)
            .or_else(|| lower.strip_prefix("rating_"))
            .unwrap_or(&lower);
        let is_meant = |rating: &Rating| rating.name() == name || rating.name()[..1] == *name;
        match Rating::ALL.into_iter().find(is_meant) {
            Some(rating) => Ok(rating),
            None => {
                let known = Rating::ALL.map(Rating::name).join(", ");
                let shown: String = text.chars().take(40).collect();
                refuse!("{shown:?} is no rating: {known} are")
            }
        }
    }
}

impl Board {
    /// Gives images, by id, a rating by hand, in place of any that they have. O(images).
    ///
    /// # Errors
    /// An image that is not there; what the database says.
    pub fn rate_images(&mut self, images: &[u32], rating: Rating) -> Result<Edited> {
        self.edit(|edit| {
            let images = edit.images(images)?;
            edit.rate(&images, rating)
        })
    }
}

impl Edit<'_> {
    fn rate(&mut self, images: &[u32], rating: Rating) -> Result<()> {
        let name = format!("{RATING}{}", rating.name());
        let tags = &self.catalog.tags;
        let (tag, kind) = match tags.term(&name) {
            Some(term) => (tags.id(term), tags.kind(term)),
            None => {
                // Merged into another one, its name leads there: from now on it is a rating again.
                if tags.alias(&name).is_some() {
                    self.forget_alias(&name)?;
                }
                self.insert_tag(&name, Category::General)?
            }
        };
        let tags = &self.catalog.tags;
        let ratings = tags.terms().filter(|(_, kind)| *kind == Kind::Rating);
        let others: Vec<_> = ratings
            .map(|(term, _)| term)
            .filter(|term| tags.id(*term) != tag)
            .collect();
        for image in images {
            for other in &others {
                self.remove(*image, *other)?;
            }
            if !self.add(*image, tag, &name, kind)? {
                self.take_over(*image, tag)?;
            }
        }
        Ok(())
    }

    /// A pair that somebody else has put there counts as set by hand from now on. No delta: whoever put
    /// it there does so again after a rebuild.
    fn take_over(&self, image: u32, tag: u32) -> Result<()> {
        if !self.schema.has("image_tags", "source") {
            return Ok(());
        }
        let id = self.catalog.images.id(image);
        let sql = "UPDATE image_tags SET source = ?1 WHERE image_id = ?2 AND tag_id = ?3";
        let values = [BY_HAND.into(), id.into(), tag.into()];
        self.store.execute("rate an image", sql, &values)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratings_are_taken_as_people_write_them() {
        for text in ["explicit", "E", "rating:explicit", "rating_e", "Rating:E"] {
            assert_eq!(text.parse::<Rating>().unwrap(), Rating::Explicit, "{text}");
        }
        for text in ["", "x", "safe", "rating:", "explicitly", "ex", "généra"] {
            assert!(text.parse::<Rating>().is_err(), "{text:?}");
        }
    }
}
