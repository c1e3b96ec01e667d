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

    /// Writes the rows of images that have changed anew, in place: two thirds of the work of deleting and
    /// inserting them, as the trigger does. Rows are numbered as before, then; nobody asks for the numbers.
    ///
    /// 16 bytes for each row that is written.
    pub(super) fn follow(
        &self,
        transaction: &Transaction<'_>,
        catalog: &Catalog,
        touched: &Postings,
    ) -> Result<()> {
        let Upkeep::Ours(store) = self else {
            return Ok(());
        };
        let rows = match touched.len() <= LOOKED_UP_MAX {
            true => rows_by_path(transaction, catalog, touched)?,
            false => rows_by_reading(transaction, catalog, touched)?,
        };
        if columns(store).0.is_empty() {
            // It has paths alone, and these do not change.
            return Ok(());
        }
        let failing = || "keep the full-text table".to_owned();
        let (updated, deleted) = one_for_each(rows);
        let mut delete = transaction
            .prepare("DELETE FROM images_fts WHERE rowid = ?1")
            .explain(failing)?;
        for row in deleted {
            delete.execute([row]).explain(failing)?;
        }
        let mut update = transaction
            .prepare(&update_statement(store))
            .explain(failing)?;
        for Row { row, image } in &updated {
            let id = catalog.images.id(*image);
            update.execute((row, id)).explain(failing)?;
        }
        if updated.len() as u64 == touched.len() {
            return Ok(());
        }
        let has_row: Postings = updated.iter().map(|row| row.image).collect();
        let mut insert = transaction
            .prepare(&insert_statement(store))
            .explain(failing)?;
        for image in touched.iter().filter(|image| !has_row.contains(*image)) {
            insert
                .execute([catalog.images.id(image)])
                .explain(failing)?;
        }
        Ok(())
    }
}

/// A row of the table, and whose path it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    row: i64,
    image: u32,
}

/// The last row of each image by rising number, since the table is flushed wherever that falls; and what
/// else there is of them.
fn one_for_each(mut rows: Vec<Row>) -> (Vec<Row>, Vec<i64>) {
    rows.sort_unstable_by_key(|row| (row.image, std::cmp::Reverse(row.row)));
    let mut others = Vec::new();
    rows.dedup_by(|next, kept| {
        let is_other = next.image == kept.image;
        if is_other {
            others.push(next.row);
        }
        is_other
    });
    rows.sort_unstable();
    others.sort_unstable();
    (rows, others)
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

/// Columns with tags that the table has, and what the original's trigger puts there.
fn columns(store: &Store) -> (Vec<&'static str>, Vec<String>) {
    let text = |(_, column)| match store.schema.has("images", column) {
        true => format!("COALESCE({column}, '')"),
        false => "''".to_owned(),
    };
    let all = ("tags_all", TAG_COLUMNS.map(text).join(" || ' ' || "));
    let each = TAG_COLUMNS.map(|column| (column.1, text(column)));
    // Older tables have fewer columns.
    let is_there = |column: &(&str, String)| store.schema.has("images_fts", column.0);
    let columns = std::iter::once(all).chain(each).filter(is_there);
    columns.unzip()
}

fn insert_statement(store: &Store) -> String {
    let (names, texts) = columns(store);
    let names = [&["filepath"], names.as_slice()].concat().join(", ");
    let texts = [&["filepath".to_owned()], texts.as_slice()]
        .concat()
        .join(", ");
    format!("INSERT INTO images_fts ({names}) SELECT {texts} FROM images WHERE id = ?1")
}

fn update_statement(store: &Store) -> String {
    let (names, texts) = columns(store);
    let (names, texts) = (names.join(", "), texts.join(", "));
    format!(
        "UPDATE images_fts SET ({names}) = (SELECT {texts} FROM images WHERE id = ?2) WHERE rowid = ?1"
    )
}

/// Rows whose path has the words of the image's path in this order, and is it.
fn rows_by_path(
    transaction: &Transaction<'_>,
    catalog: &Catalog,
    touched: &Postings,
) -> Result<Vec<Row>> {
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
            found.push(Row {
                row: row.get(0)?,
                image,
            });
        }
        // There is none, or its path has no word.
        if found.len() == before {
            let mut rows = by_reading.query([&path]).explain(failing)?;
            while let Some(row) = rows.next().explain(failing)? {
                found.push(Row {
                    row: row.get(0)?,
                    image,
                });
            }
        }
    }
    Ok(found)
}

fn rows_by_reading(
    transaction: &Transaction<'_>,
    catalog: &Catalog,
    touched: &Postings,
) -> Result<Vec<Row>> {
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
        if let Some(image) = image.filter(|image| touched.contains(*image)) {
            found.push(Row {
                row: row.get(0)?,
                image,
            });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_row_of_each_image_is_kept_in_order() {
        let row = |(row, image)| Row { row, image };
        let rows = [(9, 1), (2, 3), (4, 1), (5, 2), (7, 1)].map(row);
        let (kept, others) = one_for_each(rows.into());
        assert_eq!(kept, [(2, 3), (5, 2), (9, 1)].map(row));
        assert_eq!(others, [4, 7]);
    }
}
