//! Edits of who has which tags: many images at once, or all tags of one image.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use plimsoll::dictionary::TermId;

use super::columns::Words;
use super::{Delta, Edit, Edited, check_name};
use crate::board::Board;
use crate::catalog::Kind;
use crate::missing;
use crate::query::Category;

/// All tags that an image is to have, by category; ratings have one of their own in the database, and
/// may stand in any here.
pub type CategorizedTags = BTreeMap<Category, Vec<String>>;

/// What stands in `image_tags.source` for edits by hand.
pub(super) const BY_HAND: &str = "user";

impl Board {
    /// Puts tags on images, by id. New ones are made, general ones; an alias puts on its tag.
    ///
    /// # Errors
    /// An image that is not there, a name that is none; what the database says.
    pub fn add_tags(&mut self, images: &[u32], tags: &[String]) -> Result<Edited> {
        let names = tags
            .iter()
            .map(|tag| check_name(tag))
            .collect::<Result<BTreeSet<_>>>()?;
        self.edit(|edit| {
            let images = edit.images(images)?;
            for name in &names {
                let (tag, name, kind) = edit.find_or_make(name, Category::General)?;
                for image in &images {
                    edit.add(*image, tag, &name, kind)?;
                }
            }
            Ok(())
        })
    }

    /// Takes tags off images, by id. Unknown tags are on none.
    ///
    /// # Errors
    /// An image that is not there; what the database says.
    pub fn remove_tags(&mut self, images: &[u32], tags: &[String]) -> Result<Edited> {
        self.edit(|edit| {
            let images = edit.images(images)?;
            for tag in tags {
                let Some(term) = edit.find(tag) else {
                    continue;
                };
                for image in &images {
                    edit.remove(*image, term)?;
                }
            }
            Ok(())
        })
    }

    /// Gives an image, by id, these tags and no others. New ones are made in the category told, others keep
    /// theirs; its rating stays unless another is told.
    ///
    /// # Errors
    /// An image that is not there, a name that is none; what the database says.
    pub fn edit_image(&mut self, image: u32, tags: &CategorizedTags) -> Result<Edited> {
        let mut wanted: BTreeMap<String, Category> = BTreeMap::new();
        for (category, names) in tags {
            for name in names {
                wanted.entry(check_name(name)?).or_insert(*category);
            }
        }
        self.edit(|edit| {
            let images = edit.images(&[image])?;
            let image = images[0];
            let (mut kept, mut is_rated) = (Vec::new(), false);
            for (name, category) in &wanted {
                let (tag, name, kind) = edit.find_or_make(name, *category)?;
                edit.add(image, tag, &name, kind)?;
                kept.push(tag);
                is_rated |= kind == Kind::Rating;
            }
            for term in edit.tags_of(image)? {
                let tags = &edit.catalog.tags;
                let is_kept =
                    kept.contains(&tags.id(term)) || (!is_rated && tags.kind(term) == Kind::Rating);
                if !is_kept {
                    edit.remove(image, term)?;
                }
            }
            Ok(())
        })
    }
}

impl Edit<'_> {
    /// Images by number, each once.
    pub(super) fn images(&self, ids: &[u32]) -> Result<Vec<u32>> {
        let mut images = Vec::with_capacity(ids.len());
        for id in ids {
            match self.catalog.images.of_id(*id) {
                Some(image) => images.push(image),
                None => missing!("there is no image {id}"),
            }
        }
        images.sort_unstable();
        images.dedup();
        Ok(images)
    }

    /// The tag's id, its own name and kind.
    pub(super) fn find_or_make(
        &mut self,
        name: &str,
        category: Category,
    ) -> Result<(u32, String, Kind)> {
        if let Some((tag, kind)) = self.made.get(name) {
            return Ok((*tag, name.to_owned(), *kind));
        }
        if let Some(term) = self.find(name) {
            let tags = &self.catalog.tags;
            return Ok((tags.id(term), tags.name(term), tags.kind(term)));
        }
        let (tag, kind) = self.insert_tag(name, category)?;
        Ok((tag, name.to_owned(), kind))
    }

    /// By hand; whether the image lacked it. A rating takes the place of the one that was there.
    pub(super) fn add(&mut self, image: u32, tag: u32, name: &str, kind: Kind) -> Result<bool> {
        if kind == Kind::Rating {
            for other in self.tags_of(image)? {
                let tags = &self.catalog.tags;
                if tags.kind(other) == Kind::Rating && tags.id(other) != tag {
                    self.remove(image, other)?;
                }
            }
        }
        let is_new = self.link(image, tag, BY_HAND)?;
        if is_new {
            self.edit_words(image, &[Words::Add(name, kind.category())])?;
            self.record_delta(image, name, stored_category(kind), Delta::Add)?;
        }
        Ok(is_new)
    }

    /// By hand; whether the image had it.
    pub(super) fn remove(&mut self, image: u32, term: TermId) -> Result<bool> {
        let tags = &self.catalog.tags;
        let (tag, name, kind) = (tags.id(term), tags.name(term), tags.kind(term));
        let was_there = self.unlink(image, tag)?;
        if was_there {
            self.edit_words(image, &[Words::Remove(&name)])?;
            self.record_delta(image, &name, stored_category(kind), Delta::Remove)?;
        }
        Ok(was_there)
    }

    /// Tags that an image has now; those made in this edit left out.
    pub(super) fn tags_of(&self, image: u32) -> Result<Vec<TermId>> {
        let sql = "SELECT tag_id FROM image_tags WHERE image_id = ?1";
        let id = self.catalog.images.id(image);
        let mut terms = Vec::new();
        let what = "read the tags of an image";
        self.store.each_row(what, sql, &[id.into()], |row| {
            let tag = row.id(0)?;
            terms.extend(tag.and_then(|tag| self.catalog.tags.term_of_id(tag)));
            Ok(())
        })?;
        Ok(terms)
    }
}

pub(super) fn stored_category(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Rating => Some("rating"),
        kind => kind.category().map(Category::name),
    }
}
