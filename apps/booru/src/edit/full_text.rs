//! The full-text table, which holds all tags once more, and is found by path only. The original's
//! trigger reads all of it for each image that changes; here rows are found by the words of the path, or
//! all in one read, and the trigger is left out for the time of the edit.

use anyhow::Result;
use plimsoll::postings::Postings;

use crate::catalog::Catalog;
use crate::store::{Store, TAG_COLUMNS};

/// Up to so many images are looked up by the words of their paths, for more the table is read once.
const LOOKED_UP_MAX: u64 = 64;

const KEEPING: &str = "keep the full-text table";

/// Who keeps the table as the images are.
pub(super) enum Upkeep<'a> {
    /// There is none (PostgreSQL has none), or other triggers are there, all of which run as usual.
    Others,
    Ours(&'a Store),
}

impl Upkeep<'_> {
    pub(super) fn begin(store: &Store) -> Result<Upkeep<'_>> {
        let known = |name: &String| name.starts_with("images_fts_");
        let is_ours =
            store.schema.has("images_fts", "filepath") && store.schema.triggers().iter().all(known);
        match is_ours && store.set_triggers(false)? {
            true => Ok(Upkeep::Ours(store)),
            false => Ok(Upkeep::Others),
        }
    }

    /// Writes the rows of images that have changed anew.
    pub(super) fn follow(&self, catalog: &Catalog, touched: &Postings) -> Result<()> {
        self.forget(catalog, touched)?;
        self.write(touched.iter().map(|image| catalog.images.id(image)))
    }

    /// Takes out the rows of images that are there still.
    pub(super) fn forget(&self, catalog: &Catalog, images: &Postings) -> Result<()> {
        let Upkeep::Ours(store) = self else {
            return Ok(());
        };
        let rows = match images.len() {
            0 => return Ok(()),
            1..=LOOKED_UP_MAX => rows_by_path(store, catalog, images)?,
            _ => rows_by_reading(store, catalog, images)?,
        };
        let delete = "DELETE FROM images_fts WHERE rowid = ?1";
        for row in rows {
            store.execute(KEEPING, delete, &[row.into()])?;
        }
        Ok(())
    }

    /// Writes the rows of images, by id, that have none.
    pub(super) fn write(&self, ids: impl IntoIterator<Item = u32>) -> Result<()> {
        let Upkeep::Ours(store) = self else {
            return Ok(());
        };
        let insert = insert_statement(store);
        for id in ids {
            store.execute(KEEPING, &insert, &[id.into()])?;
        }
        Ok(())
    }
}

impl Drop for Upkeep<'_> {
    fn drop(&mut self) {
        if let Upkeep::Ours(store) = self {
            // It only sets a flag of the connection.
            let _ = store.set_triggers(true);
        }
    }
}

/// What the original's trigger inserts.
fn insert_statement(store: &Store) -> String {
    let text = |(_, column)| match store.schema.has("images", column) {
        true => format!("COALESCE({column}, '')"),
        false => "''".to_owned(),
    };
    let all = ("tags_all", TAG_COLUMNS.map(text).join(" || ' ' || "));
    let each = TAG_COLUMNS.map(|column| (column.1, text(column)));
    // Older tables have fewer columns.
    let is_there = |column: &&(&str, String)| store.schema.has("images_fts", column.0);
    let columns = std::iter::once(&all).chain(&each).filter(is_there);
    let (names, texts): (Vec<&str>, Vec<&str>) =
        columns.map(|(name, text)| (*name, text.as_str())).unzip();
    let names = [&["filepath"], names.as_slice()].concat().join(", ");
    let texts = [&["filepath"], texts.as_slice()].concat().join(", ");
    format!("INSERT INTO images_fts ({names}) SELECT {texts} FROM images WHERE id = ?1")
}

/// Rows whose path has the words of the image's path in this order, and is it.
fn rows_by_path(store: &Store, catalog: &Catalog, touched: &Postings) -> Result<Vec<i64>> {
    let what = "look for rows of the full-text table";
    let by_words = "SELECT rowid FROM images_fts WHERE images_fts MATCH ?1 AND filepath = ?2";
    let by_reading = "SELECT rowid FROM images_fts WHERE filepath = ?1";
    let mut found = Vec::new();
    for image in touched {
        let sql = "SELECT filepath FROM images WHERE id = ?1";
        let id = [catalog.images.id(image).into()];
        let path = store.query_row(what, sql, &id, |row| row.text(0))?;
        let path = path.flatten().unwrap_or_default();
        let words = format!("filepath : \"{}\"", path.replace('"', "\"\""));
        let before = found.len();
        let values = [(&words).into(), (&path).into()];
        store.each_row(what, by_words, &values, |row| {
            found.extend(row.integer(0)?);
            Ok(())
        })?;
        // There is none, or its path has no word.
        if found.len() == before {
            store.each_row(what, by_reading, &[(&path).into()], |row| {
                found.extend(row.integer(0)?);
                Ok(())
            })?;
        }
    }
    Ok(found)
}

fn rows_by_reading(store: &Store, catalog: &Catalog, touched: &Postings) -> Result<Vec<i64>> {
    let sql = "SELECT text.rowid, images.id FROM images_fts AS text \
               JOIN images ON images.filepath = text.filepath";
    let mut found = Vec::new();
    store.each_row("read the full-text table", sql, &[], |row| {
        let image = row.id(1)?.and_then(|id| catalog.images.of_id(id));
        if image.is_some_and(|image| touched.contains(image)) {
            found.extend(row.integer(0)?);
        }
        Ok(())
    })?;
    Ok(found)
}
