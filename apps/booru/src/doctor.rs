//! Whether a database is what the program takes it for: tag ids, names, rows that lead nowhere, text
//! columns. Works on one that can't be loaded, too.

use std::collections::BTreeSet;

use anyhow::Result;
use plimsoll::dictionary::TermId;
use rusqlite::OptionalExtension;
use serde::Serialize;

use crate::catalog::{Catalog, Skipped, TagsHeld};
use crate::store::{Explain, Store};

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
    /// What SQLite finds wrong, at most [`PROBLEMS_MAX`] lines.
    pub problems: Vec<String>,
    /// Images with a tag that none of their text columns has. The original leaves implied tags out, and
    /// its own search does not find them then.
    pub images_lacking_words: Option<u64>,
    /// Images with a word in a text column that is none of their tags.
    pub images_with_other_words: Option<u64>,
}

/// Lines of SQLite's own check.
pub const PROBLEMS_MAX: usize = 20;

impl Diagnosis {
    /// Whether anything has to be put right.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        let has_all_rows = self.full_text_rows.is_none_or(|rows| rows == self.images);
        let is_deep_well = self
            .deep
            .as_ref()
            .is_none_or(|deep| deep.problems.is_empty());
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
/// What SQLite says of tables that can't be read at all.
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
            "SELECT count(*) FROM tags WHERE typeof(id) = 'integer' AND id BETWEEN 1 AND 2147483647",
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
    let counted = store
        .connection
        .query_row(sql, [], |row| row.get::<_, i64>(0));
    let counted = counted.explain(|| format!("count in {}", store.path().display()))?;
    Ok(u64::try_from(counted).unwrap_or(0))
}

fn look_deep(store: &Store, catalog: Option<&Catalog>) -> Result<Deep> {
    let failing = || format!("check {}", store.path().display());
    let sql = format!("PRAGMA integrity_check({PROBLEMS_MAX})");
    let mut statement = store.connection.prepare(&sql).explain(failing)?;
    let mut rows = statement.query([]).explain(failing)?;
    let mut problems = Vec::new();
    while let Some(row) = rows.next().explain(failing)? {
        let line: String = row.get(0)?;
        if line != "ok" {
            problems.push(line);
        }
    }
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
    let failing = || "compare text columns with tags".to_owned();
    let names = columns
        .iter()
        .map(|(_, name)| format!("COALESCE({name}, '')"));
    let names: Vec<String> = names.collect();
    let sql = format!(
        "SELECT {} FROM images WHERE id = ?1",
        names.join(" || ' ' || ")
    );
    let mut texts = store.connection.prepare(&sql).explain(failing)?;
    let sql = "SELECT tag_id FROM image_tags WHERE image_id = ?1";
    let mut tags = store.connection.prepare(sql).explain(failing)?;
    let (mut lacking, mut other) = (0, 0);
    for image in 0..catalog.images.numbers() as u32 {
        let id = catalog.images.id(image);
        let text: Option<String> = texts
            .query_row([id], |row| row.get(0))
            .optional()
            .explain(failing)?;
        let text = text.unwrap_or_default();
        let mut words: BTreeSet<&str> = text.split_whitespace().collect();
        let mut rows = tags.query([id]).explain(failing)?;
        let mut is_lacking = false;
        while let Some(row) = rows.next().explain(failing)? {
            let tag = u32::try_from(row.get::<_, i64>(0)?).ok();
            let term: Option<TermId> = tag.and_then(|tag| catalog.tags.term_of_id(tag));
            let Some(term) = term.filter(|term| catalog.tags.kind(*term).category().is_some())
            else {
                continue;
            };
            is_lacking |= !words.remove(catalog.tags.name(term).as_str());
        }
        lacking += u64::from(is_lacking);
        other += u64::from(!words.is_empty());
    }
    Ok(Some((lacking, other)))
}
