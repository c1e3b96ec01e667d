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
const DELETE: &str = "DELETE FROM images_fts WHERE rowid = ?1";

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

    /// Writes the rows of images that have changed anew, in place: less than half the work of deleting and
    /// inserting them, as the trigger does. Rows are numbered as before, then; nobody asks for the numbers.
    ///
    /// 16 bytes for each row that is written.
    pub(super) fn follow(&self, catalog: &Catalog, touched: &Postings) -> Result<()> {
        let Upkeep::Ours(store) = self else {
            return Ok(());
        };
        if columns(store).0.is_empty() {
            // It has paths alone, and these do not change.
            return Ok(());
        }
        let (updated, others) = one_for_each(rows_of(store, catalog, touched)?);
        for row in others {
            store.execute(KEEPING, DELETE, &[row.into()])?;
        }
        let update = update_statement(store);
        for TextRow { row, image } in &updated {
            let values = [(*row).into(), catalog.images.id(*image).into()];
            store.execute(KEEPING, &update, &values)?;
        }
        if updated.len() as u64 == touched.len() {
            return Ok(());
        }
        let has_row: Postings = updated.iter().map(|row| row.image).collect();
        let lacking = touched.iter().filter(|image| !has_row.contains(*image));
        self.write(lacking.map(|image| catalog.images.id(image)))
    }

    /// Takes out the rows of images that are there still.
    pub(super) fn forget(&self, catalog: &Catalog, images: &Postings) -> Result<()> {
        let Upkeep::Ours(store) = self else {
            return Ok(());
        };
        for TextRow { row, .. } in rows_of(store, catalog, images)? {
            store.execute(KEEPING, DELETE, &[row.into()])?;
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

/// A row of the table, and whose path it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct TextRow {
    row: i64,
    image: u32,
}

/// The last row of each image by rising number, since the table is flushed wherever that falls; and what
/// else there is of them.
fn one_for_each(mut rows: Vec<TextRow>) -> (Vec<TextRow>, Vec<i64>) {
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

fn rows_of(store: &Store, catalog: &Catalog, images: &Postings) -> Result<Vec<TextRow>> {
    match images.len() {
        0 => Ok(Vec::new()),
        1..=LOOKED_UP_MAX => rows_by_path(store, catalog, images),
        _ => rows_by_reading(store, catalog, images),
    }
}

/// Rows whose path has the words of the image's path in this order, and is it.
fn rows_by_path(store: &Store, catalog: &Catalog, touched: &Postings) -> Result<Vec<TextRow>> {
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
        let take = |found: &mut Vec<TextRow>, row: Option<i64>| {
            found.extend(row.map(|row| TextRow { row, image }));
        };
        store.each_row(what, by_words, &values, |row| {
            take(&mut found, row.integer(0)?);
            Ok(())
        })?;
        // There is none, or its path has no word.
        if found.len() == before {
            store.each_row(what, by_reading, &[(&path).into()], |row| {
                take(&mut found, row.integer(0)?);
                Ok(())
            })?;
        }
    }
    Ok(found)
}

fn rows_by_reading(store: &Store, catalog: &Catalog, touched: &Postings) -> Result<Vec<TextRow>> {
    let sql = "SELECT text.rowid, images.id FROM images_fts AS text \
               JOIN images ON images.filepath = text.filepath";
    let mut found = Vec::new();
    store.each_row("read the full-text table", sql, &[], |row| {
        let image = row.id(1)?.and_then(|id| catalog.images.of_id(id));
        let image = image.filter(|image| touched.contains(*image));
        if let (Some(image), Some(row)) = (image, row.integer(0)?) {
            found.push(TextRow { row, image });
        }
        Ok(())
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_row_of_each_image_is_kept_in_order() {
        let row = |(row, image)| TextRow { row, image };
        let rows = [(9, 1), (2, 3), (4, 1), (5, 2), (7, 1)].map(row);
        let (kept, others) = one_for_each(rows.into());
        assert_eq!(kept, [(2, 3), (5, 2), (9, 1)].map(row));
        assert_eq!(others, [4, 7]);
    }
}
