//! The full-text table, which holds all tags once more, and is found by path only. The original's
//! trigger reads all of it for each image that changes; here rows are found by the words of the path, or
//! all in one read, and the trigger is left out for the time of the edit.

use anyhow::Result;
use plimsoll::postings::Postings;
use rusqlite::Transaction;
use rusqlite::config::DbConfig;

use crate::catalog::Catalog;
use crate::store::{Explain, Store, TAG_COLUMNS};

/// Up to so many images are looked up by the words of their paths, for more the table is read once.
const LOOKED_UP_MAX: u64 = 64;

/// Who keeps the table as the images are.
pub(super) enum Upkeep<'a> {
    /// There is none, or other triggers are there, all of which run as usual.
    Others,
    Ours(&'a Store),
}

impl Upkeep<'_> {
    pub(super) fn begin(store: &Store) -> Result<Upkeep<'_>> {
        let known = |name: &String| name.starts_with("images_fts_");
        let is_ours =
            store.schema.has("images_fts", "filepath") && store.schema.triggers().iter().all(known);
        if !is_ours {
            return Ok(Upkeep::Others);
        }
        set_triggers(store, false)?;
        Ok(Upkeep::Ours(store))
    }

    /// Writes the rows of images that have changed anew.
    pub(super) fn follow(
        &self,
        transaction: &Transaction<'_>,
        catalog: &Catalog,
        touched: &Postings,
    ) -> Result<()> {
        self.forget(transaction, catalog, touched)?;
        let ids = touched.iter().map(|image| catalog.images.id(image));
        self.write(transaction, ids)
    }

    /// Takes out the rows of images that are there still.
    pub(super) fn forget(
        &self,
        transaction: &Transaction<'_>,
        catalog: &Catalog,
        images: &Postings,
    ) -> Result<()> {
        if matches!(self, Upkeep::Others) || images.is_empty() {
            return Ok(());
        }
        let rows = match images.len() <= LOOKED_UP_MAX {
            true => rows_by_path(transaction, catalog, images)?,
            false => rows_by_reading(transaction, catalog, images)?,
        };
        let failing = || "keep the full-text table".to_owned();
        let sql = "DELETE FROM images_fts WHERE rowid = ?1";
        let mut delete = transaction.prepare_cached(sql).explain(failing)?;
        for row in rows {
            delete.execute([row]).explain(failing)?;
        }
        Ok(())
    }

    /// Writes the rows of images, by id, that have none.
    pub(super) fn write(
        &self,
        transaction: &Transaction<'_>,
        ids: impl IntoIterator<Item = u32>,
    ) -> Result<()> {
        let Upkeep::Ours(store) = self else {
            return Ok(());
        };
        let failing = || "keep the full-text table".to_owned();
        let sql = insert_statement(store);
        let mut insert = transaction.prepare_cached(&sql).explain(failing)?;
        for id in ids {
            insert.execute([id]).explain(failing)?;
        }
        Ok(())
    }
}

impl Drop for Upkeep<'_> {
    fn drop(&mut self) {
        if let Upkeep::Ours(store) = self {
            // It only sets a flag of the connection.
            let _ = set_triggers(store, true);
        }
    }
}

fn set_triggers(store: &Store, are_run: bool) -> Result<()> {
    let setting = DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER;
    let set = store.connection.set_db_config(setting, are_run);
    set.explain(|| "turn triggers on or off".to_owned())?;
    Ok(())
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
fn rows_by_path(
    transaction: &Transaction<'_>,
    catalog: &Catalog,
    touched: &Postings,
) -> Result<Vec<i64>> {
    let failing = || "look for rows of the full-text table".to_owned();
    let mut path = transaction
        .prepare("SELECT filepath FROM images WHERE id = ?1")
        .explain(failing)?;
    let by_words = "SELECT rowid FROM images_fts WHERE images_fts MATCH ?1 AND filepath = ?2";
    let mut by_words = transaction.prepare(by_words).explain(failing)?;
    let mut by_reading = transaction
        .prepare("SELECT rowid FROM images_fts WHERE filepath = ?1")
        .explain(failing)?;
    let mut found = Vec::new();
    for image in touched {
        let path: String = path
            .query_row([catalog.images.id(image)], |row| row.get(0))
            .explain(failing)?;
        let words = format!("filepath : \"{}\"", path.replace('"', "\"\""));
        let before = found.len();
        let mut rows = by_words.query((&words, &path)).explain(failing)?;
        while let Some(row) = rows.next().explain(failing)? {
            found.push(row.get(0)?);
        }
        // There is none, or its path has no word.
        if found.len() == before {
            let mut rows = by_reading.query([&path]).explain(failing)?;
            while let Some(row) = rows.next().explain(failing)? {
                found.push(row.get(0)?);
            }
        }
    }
    Ok(found)
}

fn rows_by_reading(
    transaction: &Transaction<'_>,
    catalog: &Catalog,
    touched: &Postings,
) -> Result<Vec<i64>> {
    let failing = || "read the full-text table".to_owned();
    let sql = "SELECT text.rowid, images.id FROM images_fts AS text \
               JOIN images ON images.filepath = text.filepath";
    let mut statement = transaction.prepare(sql).explain(failing)?;
    let mut rows = statement.query([]).explain(failing)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().explain(failing)? {
        let id: i64 = row.get(1)?;
        let image = u32::try_from(id)
            .ok()
            .and_then(|id| catalog.images.of_id(id));
        if image.is_some_and(|image| touched.contains(image)) {
            found.push(row.get(0)?);
        }
    }
    Ok(found)
}
