//! Edits of tags and of who has them: each one transaction, with the text columns of `images`, the
//! full-text table and `tag_deltas` following, and the catalog after it.
//!
//! A crash before the commit leaves the database as it was, one behind it leaves it whole, and what is
//! in memory is read anew at the next start. Another program may write between two edits: the catalog is
//! then read anew before the next one.
//!
//! Memory: the images that change, as sets (a byte or two each); texts of one image at a time.

mod add_image;
mod columns;
mod decisions;
mod delete_images;
mod deltas;
mod duplicates;
mod favourites;
mod full_text;
mod images;
mod inferred;
mod name;
mod pools;
mod ratings;
mod reapply;
mod relations;
mod rules;
mod tags;
mod upscaled;

use std::cell::Cell;
use std::collections::BTreeMap;

use anyhow::{Result, bail};
use plimsoll::dictionary::TermId;
use plimsoll::postings::Postings;

use crate::board::Board;
use crate::catalog::{Catalog, Change, Kind, RATING};
use crate::query::Category;
use crate::similarity;
use crate::store::{Schema, Store, Transaction, Value, statement_of};

pub(crate) use add_image::hex;
pub use add_image::{Added, Implied, NewImage};
pub use decisions::Approved;
pub(crate) use delete_images::DELETIONS;
pub use duplicates::{Action, Reviewed, Scanned};
pub use images::CategorizedTags;
pub(crate) use inferred::TaggedJob;
pub use name::{TAG_BYTES_MAX, check_category, check_name};
pub use pools::{POOL_DESCRIPTION_BYTES_MAX, POOL_NAME_BYTES_MAX};
pub use ratings::Rating;

/// Whether a name that a tag had goes on leading to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldName {
    BecomesAlias,
    IsForgotten,
}

/// What an edit has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Edited {
    /// That have come, gone, or are said something else of than tags.
    pub images: u64,
    pub tags: u64,
    /// Pairs of image and tag.
    pub added: u64,
    pub removed: u64,
}

/// Looks at the schema before an edit; another program makes a table once.
const SCHEMA_TRIES_MAX: usize = 8;

/// One edit while it is done.
pub(crate) struct Edit<'a> {
    pub(crate) store: &'a Store,
    upkeep: &'a full_text::Upkeep<'a>,
    catalog: &'a Catalog,
    schema: &'a Schema,
    changes: Vec<Change>,
    added: BTreeMap<u32, Postings>,
    removed: BTreeMap<u32, Postings>,
    /// Images, by number, whose text columns have changed.
    touched: Postings,
    /// Ids of images that are new: their numbers are those behind all others.
    new: Vec<u32>,
    /// Images, by number, that are deleted.
    deleted: Postings,
    /// Tags that are new, by name.
    made: BTreeMap<String, (u32, Kind)>,
    edited: Edited,
    has_made_table: Cell<bool>,
}

impl Board {
    /// Does an edit in one transaction, and has the catalog follow it. Where others have changed the database
    /// since the catalog was read, that is read anew within the same transaction: nobody comes between.
    pub(crate) fn edit(&mut self, act: impl Fn(&mut Edit<'_>) -> Result<()>) -> Result<Edited> {
        self.store.check_writable()?;
        let done = match self.try_edit(&act)? {
            Some(done) => done,
            None => self.edit_anew(&act)?,
        };
        Ok(self.follow(done))
    }

    /// What an edit has put into the database is there, whatever becomes of the catalog: one that can't follow
    /// is told from the database's by having no version, and read anew at the next look.
    fn follow(&mut self, done: Done) -> Edited {
        let applied = self.change_catalog(|catalog| catalog.apply(done.changes));
        let known = match done.has_made_table {
            true => self.store.refresh_schema(),
            false => Ok(()),
        };
        if applied.and(known).is_err() {
            self.distrust();
        }
        if self.data_version.is_none() || self.catalog().images().is_worn() {
            // It stays as it is where that fails; who asks next is told why.
            let _ = self.reload();
        }
        done.edited
    }

    /// `None` where others have changed the database since the catalog was read.
    fn try_edit(&self, act: impl Fn(&mut Edit<'_>) -> Result<()>) -> Result<Option<Done>> {
        let transaction = self.store.begin()?;
        if Some(self.store.data_version()?) != self.data_version {
            return Ok(None);
        }
        self.edit_within(transaction, act).map(Some)
    }

    fn edit_anew(&mut self, act: impl Fn(&mut Edit<'_>) -> Result<()>) -> Result<Done> {
        for _ in 0..SCHEMA_TRIES_MAX {
            self.store.refresh_schema()?;
            let transaction = self.store.begin()?;
            if !self.store.has_schema_of_now()? {
                continue;
            }
            let catalog = Catalog::load(&self.store, self.held)?;
            let version = self.store.data_version()?;
            self.change_catalog(|old| *old = catalog);
            self.data_version = Some(version);
            return self.edit_within(transaction, act);
        }
        bail!(
            "edit {}: another program goes on making tables; try again",
            self.store.name()
        );
    }

    fn edit_within(
        &self,
        transaction: Transaction<'_>,
        act: impl Fn(&mut Edit<'_>) -> Result<()>,
    ) -> Result<Done> {
        let catalog = self.catalog();
        let upkeep = full_text::Upkeep::begin(&self.store)?;
        let mut edit = Edit {
            store: &self.store,
            upkeep: &upkeep,
            catalog: &catalog,
            schema: &self.store.schema,
            changes: Vec::new(),
            added: BTreeMap::new(),
            removed: BTreeMap::new(),
            touched: Postings::new(),
            new: Vec::new(),
            deleted: Postings::new(),
            made: BTreeMap::new(),
            edited: Edited::default(),
            has_made_table: Cell::new(false),
        };
        act(&mut edit)?;
        upkeep.follow(&catalog, &edit.touched)?;
        upkeep.write(edit.new.iter().copied())?;
        let touched = edit.touched.iter().map(|image| edit.id_of(image));
        similarity::cache::forget(&self.store, touched)?;
        let done = edit.finish();
        transaction.commit("put an edit into the database")?;
        Ok(done)
    }
}

/// An edit that is done, for the catalog to follow.
struct Done {
    changes: Vec<Change>,
    edited: Edited,
    has_made_table: bool,
}

impl Edit<'_> {
    fn finish(self) -> Done {
        let mut changes = self.changes;
        // Tags that are deleted take their images with them.
        let is_gone = |tag: &u32, changes: &[Change]| {
            changes
                .iter()
                .any(|change| matches!(change, Change::Deleted { tag: gone } if gone == tag))
        };
        let removed = self
            .removed
            .into_iter()
            .filter(|(tag, _)| !is_gone(tag, &changes));
        let removed: Vec<_> = removed
            .map(|(tag, images)| Change::Removed { tag, images })
            .collect();
        let added = self
            .added
            .into_iter()
            .filter(|(tag, _)| !is_gone(tag, &changes));
        let added: Vec<_> = added
            .map(|(tag, images)| Change::Added { tag, images })
            .collect();
        changes.extend(removed);
        changes.extend(added);
        if !self.deleted.is_empty() {
            changes.push(Change::ImagesDeleted {
                images: self.deleted,
            });
        }
        Done {
            changes,
            edited: self.edited,
            has_made_table: self.has_made_table.get(),
        }
    }

    /// A statement that changes rows; how many.
    fn execute(&self, what: &str, sql: &str, values: &[Value<'_>]) -> Result<u64> {
        self.store.execute(what, sql, values)
    }

    /// The tag of a name, or of the name that this is an alias of.
    fn find(&self, name: &str) -> Option<TermId> {
        self.catalog.tags.find_name(name)
    }

    fn expect(&self, name: &str) -> Result<TermId> {
        self.catalog.tags.expect(name)
    }

    /// Says that the schema is another after this edit.
    pub(crate) fn has_made_table(&self) {
        self.has_made_table.set(true);
    }

    /// Makes a table of the original where an older database lacks it.
    fn ensure_table(&self, table: &str) -> Result<()> {
        if self.schema.has_table(table) {
            return Ok(());
        }
        let sql = statement_of(table).expect("only tables of the schema are asked for");
        let sql = sql.replacen("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1);
        self.execute(&format!("make table {table}"), &sql, &[])?;
        self.has_made_table.set(true);
        Ok(())
    }

    /// Makes a tag that is not there; its id and what it is.
    fn insert_tag(&mut self, name: &str, category: Category) -> Result<(u32, Kind)> {
        let what = format!("make tag {name:?}");
        let stored = self
            .schema
            .has("tags", "category")
            .then(|| category_name(name, category));
        let (sql, values): (_, &[Value<'_>]) = match stored {
            Some(category) => (
                "INSERT INTO tags (name, category) VALUES (?1, ?2) RETURNING id",
                &[name.into(), category.into()],
            ),
            None => (
                "INSERT INTO tags (name) VALUES (?1) RETURNING id",
                &[name.into()],
            ),
        };
        let tag = self.store.query_row(&what, sql, values, |row| row.id(0))?;
        let Some(tag) = tag.flatten() else {
            bail!("{what}: no ids are left below {}", u32::MAX);
        };
        let kind = Kind::of(stored, name);
        self.changes.push(Change::Created {
            tag,
            name: name.to_owned(),
            kind,
        });
        self.made.insert(name.to_owned(), (tag, kind));
        self.edited.tags += 1;
        Ok((tag, kind))
    }

    /// The id of an image by number, which may be new.
    fn id_of(&self, image: u32) -> u32 {
        match (image as usize).checked_sub(self.catalog.images.numbers()) {
            Some(place) => self.new[place],
            None => self.catalog.images.id(image),
        }
    }

    /// Gives an image, by number, a tag; whether it is new to it.
    fn link(&mut self, image: u32, tag: u32, source: &str) -> Result<bool> {
        let id = self.id_of(image);
        let what = "put a tag on an image";
        let new = match self.schema.has("image_tags", "source") {
            true => self.execute(
                what,
                "INSERT INTO image_tags (image_id, tag_id, source) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                &[id.into(), tag.into(), source.into()],
            )?,
            false => self.execute(
                what,
                "INSERT INTO image_tags (image_id, tag_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                &[id.into(), tag.into()],
            )?,
        };
        if new == 0 {
            return Ok(false);
        }
        if let Some(removed) = self.removed.get_mut(&tag) {
            removed.remove(image);
        }
        self.added.entry(tag).or_default().insert(image);
        self.edited.added += 1;
        Ok(true)
    }

    /// Takes a tag off an image; whether it had it.
    fn unlink(&mut self, image: u32, tag: u32) -> Result<bool> {
        let id = self.catalog.images.id(image);
        let sql = "DELETE FROM image_tags WHERE image_id = ?1 AND tag_id = ?2";
        if self.execute("take a tag off an image", sql, &[id.into(), tag.into()])? == 0 {
            return Ok(false);
        }
        if let Some(added) = self.added.get_mut(&tag) {
            added.remove(image);
        }
        self.removed.entry(tag).or_default().insert(image);
        self.edited.removed += 1;
        Ok(true)
    }

    /// Writes down an edit by hand, so that it outlives a rebuild of the tags by the original: adding
    /// and removing cancel each other.
    fn record_delta(
        &self,
        image: u32,
        name: &str,
        category: Option<&str>,
        delta: Delta,
    ) -> Result<()> {
        self.ensure_table("tag_deltas")?;
        let what = "write down an edit by hand";
        let md5 = "(SELECT md5 FROM images WHERE id = ?1)";
        let id = self.catalog.images.id(image);
        let (operation, opposite) = match delta {
            Delta::Add => ("add", "remove"),
            Delta::Remove => ("remove", "add"),
        };
        let sql = format!(
            "DELETE FROM tag_deltas WHERE image_md5 = {md5} AND tag_name = ?2 AND operation = ?3"
        );
        if self.execute(what, &sql, &[id.into(), name.into(), opposite.into()])? > 0 {
            return Ok(());
        }
        let sql = format!(
            "INSERT INTO tag_deltas (image_md5, tag_name, tag_category, operation) \
             VALUES ({md5}, ?2, ?3, ?4) ON CONFLICT DO NOTHING"
        );
        let values = [id.into(), name.into(), category.into(), operation.into()];
        self.execute(what, &sql, &values)?;
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delta {
    Add,
    Remove,
}

/// Ratings are tags of a category of their own, whatever is asked for.
fn category_name(name: &str, category: Category) -> &'static str {
    match name.starts_with(RATING) {
        true => "rating",
        false => category.name(),
    }
}
