//! Edits of tags themselves: making, renaming, merging, deleting, categories, other names.

use anyhow::Result;
use plimsoll::dictionary::TermId;

use super::columns::Words;
use super::images::stored_category;
use super::{Edit, Edited, OldName, check_name};
use crate::board::Board;
use crate::catalog::{Change, Kind, RATING};
use crate::query::Category;
use crate::store::ALIASES;
use crate::{missing, refuse};

impl Board {
    /// Makes a tag that no image has.
    ///
    /// # Errors
    /// A name that is taken, or none; what the database says.
    pub fn create_tag(&mut self, name: &str, category: Category) -> Result<Edited> {
        let name = check_name(name)?;
        self.edit(|edit| {
            edit.check_is_free(&name)?;
            edit.insert_tag(&name, category)?;
            Ok(())
        })
    }

    /// Gives a tag another name. Its id, images and rules stay.
    ///
    /// # Errors
    /// No such tag, a rating, a new name that is taken (merge the two instead), or none; what the database says.
    pub fn rename_tag(&mut self, old: &str, new: &str, old_name: OldName) -> Result<Edited> {
        let new = check_name(new)?;
        self.edit(|edit| {
            let term = edit.expect(old)?;
            let old = edit.catalog.tags.name(term);
            if old == new {
                return Ok(());
            }
            if old.starts_with(RATING) || new.starts_with(RATING) {
                refuse!("ratings keep their names: merge {old:?} into {new:?} instead");
            }
            let own_alias = edit.catalog.tags.alias(&new) == Some(term);
            match own_alias {
                true => edit.forget_alias(&new)?,
                false => edit.check_is_free(&new)?,
            }
            edit.rename(term, &old, &new)?;
            match old_name {
                OldName::BecomesAlias => edit.set_alias(&old, edit.catalog.tags.id(term)),
                OldName::IsForgotten => Ok(()),
            }
        })
    }

    /// Every image of one of `tags` gets `into`, once, and `tags` are deleted. Their rules become rules of
    /// `into`.
    ///
    /// # Errors
    /// A tag that is not there; what the database says.
    pub fn merge_tags(&mut self, tags: &[String], into: &str, old_name: OldName) -> Result<Edited> {
        self.edit(|edit| {
            let target = edit.expect(into)?;
            for tag in tags {
                let term = edit.expect(tag)?;
                let is_merged = edit.is_deleted(term);
                if term == target || is_merged {
                    continue;
                }
                edit.merge(term, target)?;
                if old_name == OldName::BecomesAlias {
                    let name = edit.catalog.tags.name(term);
                    edit.set_alias(&name, edit.catalog.tags.id(target))?;
                }
            }
            Ok(())
        })
    }

    /// Deletes tags, their rules and aliases, and takes them off all images. Unknown ones are skipped.
    ///
    /// # Errors
    /// What the database says.
    pub fn delete_tags(&mut self, tags: &[String]) -> Result<Edited> {
        self.edit(|edit| {
            for tag in tags {
                // By its own name alone: nobody deletes a tag by an alias of it.
                if let Some(term) = edit.catalog.tags.term(tag)
                    && !edit.is_deleted(term)
                {
                    edit.delete_with_images(term)?;
                }
            }
            Ok(())
        })
    }

    /// Puts tags into another category, and their names into its column.
    ///
    /// # Errors
    /// A tag that is not there, or is a rating; a database without categories; what the database says.
    pub fn categorize_tags(&mut self, tags: &[String], category: Category) -> Result<Edited> {
        self.edit(|edit| {
            if !edit.schema.has("tags", "category") {
                refuse!(
                    "this database has no categories of tags: it lacks the column tags.category"
                );
            }
            for tag in tags {
                let term = edit.expect(tag)?;
                edit.categorize(term, category)?;
            }
            Ok(())
        })
    }

    /// Gives a tag another name by which it is found; one that leads elsewhere leads here from now on.
    ///
    /// # Errors
    /// No such tag, a name that is a tag, or none; what the database says.
    pub fn create_alias(&mut self, alias: &str, tag: &str) -> Result<Edited> {
        let alias = check_name(alias)?;
        self.edit(|edit| {
            let term = edit.expect(tag)?;
            if edit.catalog.tags.term(&alias).is_some() {
                refuse!("{alias:?} is a tag itself: merge it into {tag:?} instead");
            }
            edit.set_alias(&alias, edit.catalog.tags.id(term))
        })
    }

    /// Takes away another name of a tag.
    ///
    /// # Errors
    /// A name that is none; what the database says.
    pub fn delete_alias(&mut self, alias: &str) -> Result<Edited> {
        self.edit(|edit| {
            if edit.catalog.tags.alias(alias).is_none() {
                missing!("{alias:?} is no other name of a tag");
            }
            edit.forget_alias(alias)
        })
    }
}

impl Edit<'_> {
    fn check_is_free(&self, name: &str) -> Result<()> {
        let tags = &self.catalog.tags;
        if tags.term(name).is_some() {
            refuse!("there is a tag {name:?} already: merge the two instead");
        }
        if let Some(of) = tags.alias(name) {
            refuse!(
                "{name:?} is another name of {:?}: take that away first",
                tags.name(of)
            );
        }
        Ok(())
    }

    fn is_deleted(&self, term: TermId) -> bool {
        let id = self.catalog.tags.id(term);
        let mut changes = self.changes.iter();
        changes.any(|change| matches!(change, Change::Deleted { tag } if *tag == id))
    }

    fn rename(&mut self, term: TermId, old: &str, new: &str) -> Result<()> {
        let tag = self.catalog.tags.id(term);
        self.execute(
            "rename a tag",
            "UPDATE tags SET name = ?1 WHERE id = ?2",
            &[new.into(), tag.into()],
        )?;
        self.rename_deltas(old, new)?;
        let category = self.catalog.tags.kind(term).category();
        for image in self.catalog.images_of(term).iter() {
            self.edit_words(image, &[Words::Replace(old, new, category)])?;
        }
        self.edited.tags += 1;
        self.changes.push(Change::Renamed {
            tag,
            name: new.to_owned(),
        });
        Ok(())
    }

    /// Edits by hand go on under the new name, once.
    fn rename_deltas(&self, old: &str, new: &str) -> Result<()> {
        if !self.schema.has_table("tag_deltas") {
            return Ok(());
        }
        let what = "rename a tag in the edits by hand";
        let sql = "UPDATE tag_deltas SET tag_name = ?1 WHERE tag_name = ?2 AND NOT EXISTS \
                   (SELECT 1 FROM tag_deltas AS known WHERE known.tag_name = ?1 \
                   AND known.image_md5 = tag_deltas.image_md5 AND known.operation = tag_deltas.operation)";
        self.execute(what, sql, &[new.into(), old.into()])?;
        let sql = "DELETE FROM tag_deltas WHERE tag_name = ?1";
        self.execute(what, sql, &[old.into()])?;
        Ok(())
    }

    /// Images that have a tag were not rid of it by hand: a rebuild by the original would take it off.
    fn forget_removals(&self, name: &str, tag: u32) -> Result<()> {
        if !self.schema.has_table("tag_deltas") {
            return Ok(());
        }
        let sql = "DELETE FROM tag_deltas WHERE tag_name = ?1 AND operation = 'remove' AND image_md5 IN \
                   (SELECT images.md5 FROM images JOIN image_tags ON image_tags.image_id = images.id \
                   WHERE image_tags.tag_id = ?2)";
        let what = "forget edits by hand that are undone";
        self.execute(what, sql, &[name.into(), tag.into()])?;
        Ok(())
    }

    /// A rebuild by the original puts a tag into the category of its edits by hand.
    fn recategorize_deltas(&self, name: &str, category: Option<&str>) -> Result<()> {
        if self.schema.has("tag_deltas", "tag_category") {
            let sql = "UPDATE tag_deltas SET tag_category = ?1 WHERE tag_name = ?2";
            let values = [category.into(), name.into()];
            self.execute("put edits by hand into a category", sql, &values)?;
        }
        Ok(())
    }

    fn merge(&mut self, term: TermId, target: TermId) -> Result<()> {
        let tags = &self.catalog.tags;
        let (tag, into) = (tags.id(term), tags.id(target));
        let (old, new) = (tags.name(term), tags.name(target));
        let category = tags.kind(target).category();
        for image in self.catalog.images_of(term).iter() {
            let source = self.source_of(image, tag)?;
            self.unlink(image, tag)?;
            self.link(image, into, source.as_deref().unwrap_or("original"))?;
            self.edit_words(image, &[Words::Remove(&old), Words::Add(&new, category)])?;
        }
        self.rename_deltas(&old, &new)?;
        self.forget_removals(&new, into)?;
        let kind = self.catalog.tags.kind(target);
        self.recategorize_deltas(&new, stored_category(kind))?;
        self.repoint_rules(tag, into)?;
        self.repoint_aliases(term, target)?;
        self.delete_row(term)
    }

    fn source_of(&self, image: u32, tag: u32) -> Result<Option<String>> {
        if !self.schema.has("image_tags", "source") {
            return Ok(None);
        }
        let what = "read who put a tag on an image";
        let sql = "SELECT source FROM image_tags WHERE image_id = ?1 AND tag_id = ?2";
        let values = [self.catalog.images.id(image).into(), tag.into()];
        let source = self
            .store
            .query_row(what, sql, &values, |row| row.text(0))?;
        Ok(source.flatten())
    }

    fn delete_with_images(&mut self, term: TermId) -> Result<()> {
        let tag = self.catalog.tags.id(term);
        let name = self.catalog.tags.name(term);
        for image in self.catalog.images_of(term).iter() {
            self.unlink(image, tag)?;
            self.edit_words(image, &[Words::Remove(&name)])?;
        }
        if self.schema.has_table("tag_deltas") {
            // Else a rebuild by the original would make it again.
            let sql = "DELETE FROM tag_deltas WHERE tag_name = ?1 AND operation = 'add'";
            self.execute("forget edits by hand", sql, &[(&name).into()])?;
        }
        self.delete_row(term)
    }

    /// The tag itself, and what leads to it.
    fn delete_row(&mut self, term: TermId) -> Result<()> {
        let tag = self.catalog.tags.id(term);
        let what = "delete a tag";
        // Also of images that are not there; older databases do not cascade.
        let of_tag = [tag.into()];
        self.execute(what, "DELETE FROM image_tags WHERE tag_id = ?1", &of_tag)?;
        if self.schema.has_table("tag_implications") {
            let sql =
                "DELETE FROM tag_implications WHERE source_tag_id = ?1 OR implied_tag_id = ?1";
            self.execute(what, sql, &of_tag)?;
        }
        if self.schema.has_table("booru_aliases") {
            let sql = "DELETE FROM booru_aliases WHERE tag_id = ?1";
            self.execute(what, sql, &of_tag)?;
        }
        self.execute(what, "DELETE FROM tags WHERE id = ?1", &of_tag)?;
        self.changes.push(Change::Deleted { tag });
        self.edited.tags += 1;
        Ok(())
    }

    fn categorize(&mut self, term: TermId, category: Category) -> Result<()> {
        let tags = &self.catalog.tags;
        let (tag, name) = (tags.id(term), tags.name(term));
        if tags.kind(term) == Kind::Rating {
            refuse!("{name:?} is a rating, which has no other category");
        }
        let sql = "UPDATE tags SET category = ?1 WHERE id = ?2";
        let values = [category.name().into(), tag.into()];
        self.execute("put a tag into a category", sql, &values)?;
        self.recategorize_deltas(&name, Some(category.name()))?;
        for image in self.catalog.images_of(term).iter() {
            self.edit_words(
                image,
                &[Words::Remove(&name), Words::Add(&name, Some(category))],
            )?;
        }
        self.edited.tags += 1;
        self.changes.push(Change::Recategorized {
            tag,
            kind: Kind::Of(category),
        });
        Ok(())
    }

    /// The one table that the original does not have; it takes no notice of it.
    fn set_alias(&mut self, name: &str, tag: u32) -> Result<()> {
        let what = "keep another name of a tag";
        if !self.schema.has_table("booru_aliases") {
            self.execute(what, ALIASES, &[])?;
            self.has_made_table.set(true);
        }
        // One name, however it is written.
        let sql = "DELETE FROM booru_aliases WHERE lower(name) = ?1 AND name <> ?2";
        self.execute(what, sql, &[(&name.to_lowercase()).into(), name.into()])?;
        let sql = "INSERT INTO booru_aliases (name, tag_id) VALUES (?1, ?2) \
                   ON CONFLICT (name) DO UPDATE SET tag_id = excluded.tag_id";
        self.execute(what, sql, &[name.into(), tag.into()])?;
        self.changes.push(Change::Alias {
            name: name.to_owned(),
            tag,
        });
        Ok(())
    }

    pub(super) fn forget_alias(&mut self, name: &str) -> Result<()> {
        self.execute(
            "forget another name",
            "DELETE FROM booru_aliases WHERE name = ?1 OR lower(name) = ?2",
            &[name.into(), (&name.to_lowercase()).into()],
        )?;
        self.changes.push(Change::AliasGone {
            name: name.to_owned(),
        });
        Ok(())
    }

    fn repoint_aliases(&mut self, term: TermId, target: TermId) -> Result<()> {
        let into = self.catalog.tags.id(target);
        if !self.schema.has_table("booru_aliases") {
            return Ok(());
        }
        let sql = "UPDATE booru_aliases SET tag_id = ?1 WHERE tag_id = ?2";
        let values = [into.into(), self.catalog.tags.id(term).into()];
        self.execute("keep the other names of a tag", sql, &values)?;
        for name in self.catalog.tags.aliases_of(term) {
            self.changes.push(Change::Alias { name, tag: into });
        }
        Ok(())
    }
}
