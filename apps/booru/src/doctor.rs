//! Whether a database is what the program takes it for: tag ids, names, rows that lead nowhere, text
//! columns. Works on one that can't be loaded, too.

use std::collections::BTreeSet;

use anyhow::Result;
use plimsoll::dictionary::TermId;
use serde::Serialize;

use crate::catalog::{Catalog, Skipped, TagsHeld};
use crate::store::Store;

/// What was found. Counts of faults are 0 where all is well.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    pub tags: u64,
    /// Tags whose id is a number from 1 to 2,147,483,647.
    pub valid_ids: u64,
    /// Tags that another one has the name of.
    pub duplicate_names: u64,
    /// Tags that differ from another one in upper and lower case alone; no fault.
    pub names_alike: u64,
    /// Why the catalog could not be loaded.
    pub load_error: Option<String>,
    /// Of the catalog, once it is loaded.
    pub tag_structures_bytes: Option<u64>,
    /// Rows of `image_tags` of an image or a tag that is not there.
    pub pairs_without_end: Option<u64>,
    /// Rows of sources, pools and favourites of an image that is not there.
    pub other_rows_without_end: Option<u64>,
    pub images: u64,
    /// Rows of the full-text table, which has one for each image.
    pub full_text_rows: Option<u64>,
    pub deep: Option<Deep>,
}

/// What reading all of the file tells besides.
#[derive(Clone, Debug, Serialize)]
pub struct Deep {
    /// What the database finds wrong with its files, at most [`PROBLEMS_MAX`] lines; `None` where it can't
    /// be asked.
    pub problems: Option<Vec<String>>,
    /// Images with a tag that none of their text columns has. The original leaves implied tags out, and
    /// its own search does not find them then.
    pub images_lacking_words: Option<u64>,
    /// Images with a word in a text column that is none of their tags.
    pub images_with_other_words: Option<u64>,
}

/// Lines of the database's own check.
pub const PROBLEMS_MAX: usize = 20;

impl Diagnosis {
    /// Whether anything has to be put right.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        let has_all_rows = self.full_text_rows.is_none_or(|rows| rows == self.images);
        let is_deep_well = self
            .deep
            .as_ref()
            .is_none_or(|deep| deep.problems.as_ref().is_none_or(Vec::is_empty));
        self.valid_ids == self.tags
            && self.duplicate_names == 0
            && self.load_error.is_none()
            && self.pairs_without_end.is_none_or(|rows| rows == 0)
            && self.other_rows_without_end.is_none_or(|rows| rows == 0)
            && has_all_rows
            && is_deep_well
    }
}

/// Whether all of the file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    Tables,
    File,
}

/// Looks at a database. Nothing is changed.
///
/// # Errors
/// What the database says of tables that can't be read at all.
pub fn diagnose(store: &Store, depth: Depth) -> Result<Diagnosis> {
    let catalog = Catalog::load(store, TagsHeld::Ids);
    let skipped = catalog.as_ref().ok().map(Catalog::skipped);
    let skipped_of = |of: fn(&Skipped) -> u64| skipped.as_ref().map(of);
    let bytes = catalog.as_ref().ok().map(|catalog| {
        let parts = catalog
            .components()
            .into_iter()
            .filter(|part| part.is_of_tags);
        parts.map(|part| part.bytes as u64).sum()
    });
    let has_full_text = store.schema.has_table("images_fts");
    let rows = has_full_text.then(|| count(store, "SELECT count(*) FROM images_fts"));
    Ok(Diagnosis {
        tags: count(store, "SELECT count(*) FROM tags")?,
        valid_ids: count(
            store,
            "SELECT count(*) FROM tags WHERE id = CAST(id AS BIGINT) AND id BETWEEN 1 AND 2147483647",
        )?,
        duplicate_names: count(store, "SELECT count(*) - count(DISTINCT name) FROM tags")?,
        names_alike: count(
            store,
            "SELECT count(DISTINCT name) - count(DISTINCT lower(name)) FROM tags",
        )?,
        load_error: catalog.as_ref().err().map(|error| format!("{error:#}")),
        tag_structures_bytes: bytes,
        pairs_without_end: skipped_of(|skipped| skipped.pairs),
        other_rows_without_end: skipped_of(|skipped| skipped.others),
        images: count(store, "SELECT count(*) FROM images")?,
        full_text_rows: rows.transpose()?,
        deep: match depth {
            Depth::Tables => None,
            Depth::File => Some(look_deep(store, catalog.as_ref().ok())?),
        },
    })
}

fn count(store: &Store, sql: &str) -> Result<u64> {
    let counted = store.query_row("count", sql, &[], |row| row.integer(0))?;
    let counted = counted.flatten().map(u64::try_from);
    Ok(counted.transpose()?.unwrap_or(0))
}

fn look_deep(store: &Store, catalog: Option<&Catalog>) -> Result<Deep> {
    let problems = store.find_damage(PROBLEMS_MAX)?;
    let words = match catalog {
        Some(catalog) => compare_words(store, catalog)?,
        None => None,
    };
    Ok(Deep {
        problems,
        images_lacking_words: words.map(|(lacking, _)| lacking),
        images_with_other_words: words.map(|(_, other)| other),
    })
}

/// Images that lack words in their text columns, and those with other words. Holds the words of one image.
fn compare_words(store: &Store, catalog: &Catalog) -> Result<Option<(u64, u64)>> {
    let columns = store.schema.tag_columns();
    if columns.is_empty() {
        return Ok(None);
    }
    let what = "compare text columns with tags";
    let names = columns
        .iter()
        .map(|(_, name)| format!("COALESCE({name}, '')"));
    let names: Vec<String> = names.collect();
    let sql = format!(
        "SELECT {} FROM images WHERE id = ?1",
        names.join(" || ' ' || ")
    );
    let of_image = "SELECT tag_id FROM image_tags WHERE image_id = ?1";
    let (mut lacking, mut other) = (0, 0);
    for image in 0..catalog.images.numbers() as u32 {
        let id = catalog.images.id(image);
        let text = store.query_row(what, &sql, &[id.into()], |row| row.text(0))?;
        let text = text.flatten().unwrap_or_default();
        let mut words: BTreeSet<&str> = text.split_whitespace().collect();
        let mut is_lacking = false;
        store.each_row(what, of_image, &[id.into()], |row| {
            let tag = row.id(0)?;
            let term: Option<TermId> = tag.and_then(|tag| catalog.tags.term_of_id(tag));
            if let Some(term) = term.filter(|term| catalog.tags.kind(*term).category().is_some()) {
                is_lacking |= !words.remove(catalog.tags.name(term).as_str());
            }
            Ok(())
        })?;
        lacking += u64::from(is_lacking);
        other += u64::from(!words.is_empty());
    }
    Ok(Some((lacking, other)))
}
