//! `similarity.db` as the original has it: one row an image, `f32` little-endian, of length 1. It is the
//! truth; the original and this board may both write it.
//!
//! Memory: SQLite's page cache, at most [`CACHE_BYTES`], and one vector at a time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use super::codec::DIMENSIONS_MAX;
use crate::query::moment;
use crate::store::Access;
use crate::store::sqlite::Explain;

/// Most pages are read once; inner ones of the two trees are some hundred KiB at 200,000 vectors.
const CACHE_BYTES: u64 = 1 << 20;

/// As the original makes it.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS embeddings (
    image_id INTEGER PRIMARY KEY,
    embedding BLOB NOT NULL,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX IF NOT EXISTS idx_embeddings_created_at ON embeddings(created_at);
";

/// What tells one vector of an image from the next: of the time that it came in; [`UNSETTLED`] where
/// another may still come in within that time.
pub(super) type Stamp = u32;
pub(super) const UNSETTLED: Stamp = 0;

/// An open `similarity.db`.
#[derive(Debug)]
pub(super) struct Embeddings {
    connection: Connection,
    path: PathBuf,
    /// The column, or what stands for it where there is none.
    created_at: &'static str,
}

impl Embeddings {
    /// Opens what is there; `None` where there is none.
    pub(super) fn open(
        path: &Path,
        access: Access,
        patience: Duration,
    ) -> Result<Option<Embeddings>> {
        if !path.exists() {
            return Ok(None);
        }
        let opening = || format!("open {}", path.display());
        let flags = match access {
            Access::ReadOnly => OpenFlags::SQLITE_OPEN_READ_ONLY,
            Access::InPlace => OpenFlags::SQLITE_OPEN_READ_WRITE,
        };
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).explain(opening)?;
        connection.busy_timeout(patience).explain(opening)?;
        let cache = i64::try_from(CACHE_BYTES >> 10).unwrap_or(i64::MAX);
        connection
            .pragma_update(None, "cache_size", -cache)
            .explain(opening)?;
        connection
            .pragma_update(None, "mmap_size", 0)
            .explain(opening)?;
        let columns = columns(&connection).explain(opening)?;
        let has = |name: &str| columns.iter().any(|column| column == name);
        if !has("image_id") || !has("embedding") {
            bail!(
                "open {}: it has no table embeddings(image_id, embedding); take the original's \
                 similarity.db, or put this file away for a new one to be made",
                path.display()
            );
        }
        Ok(Some(Embeddings {
            created_at: match has("created_at") {
                true => "created_at",
                false => "NULL",
            },
            connection,
            path: path.to_owned(),
        }))
    }

    /// Opens it to be changed, and makes it where there is none.
    pub(super) fn open_or_make(path: &Path, patience: Duration) -> Result<Embeddings> {
        if !path.exists() {
            let making = || format!("make {}", path.display());
            let connection = Connection::open(path).explain(making)?;
            connection.busy_timeout(patience).explain(making)?;
            connection
                .pragma_update(None, "journal_mode", "WAL")
                .explain(making)?;
            connection.execute_batch(SCHEMA).explain(making)?;
        }
        Embeddings::open(path, Access::InPlace, patience)?
            .with_context(|| format!("open {}: it is gone again", path.display()))
    }

    /// Changes whenever another connection has changed the database.
    pub(super) fn version(&self) -> Result<i64> {
        let version = self
            .connection
            .query_row("PRAGMA data_version", [], |row| row.get(0));
        version.explain(|| self.doing("ask for changes"))
    }

    /// Does `act` while what it reads stays as it is.
    pub(super) fn reading<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let reading = || self.doing("read");
        let transaction = self.connection.unchecked_transaction().explain(reading)?;
        let done = act()?;
        transaction.finish().explain(reading)?;
        Ok(done)
    }

    pub(super) fn count(&self) -> Result<u64> {
        let count: i64 = self
            .connection
            .query_row("SELECT count(*) FROM embeddings", [], |row| row.get(0))
            .explain(|| self.doing("count the vectors"))?;
        Ok(count.unsigned_abs())
    }

    /// How many numbers most vectors have; of equally many the longer. O(rows).
    pub(super) fn dimensions(&self) -> Result<Option<usize>> {
        let mut lengths: BTreeMap<usize, u64> = BTreeMap::new();
        self.each_row("SELECT length(embedding) FROM embeddings", |row| {
            if let ValueRef::Integer(bytes) = row.get_ref(0)?
                && let Some(numbers) = numbers_in(usize::try_from(bytes).unwrap_or(0))
            {
                *lengths.entry(numbers).or_default() += 1;
            }
            Ok(())
        })?;
        let most = lengths
            .into_iter()
            .max_by_key(|(numbers, rows)| (*rows, *numbers));
        Ok(most.map(|(numbers, _)| numbers))
    }

    /// The images with when their vectors came in, in no order. Reads an index where there is the original's.
    pub(super) fn each_stamp(&self, mut visit: impl FnMut(u32, Stamp)) -> Result<()> {
        let now = moment::now();
        let sql = format!("SELECT image_id, {} FROM embeddings", self.created_at);
        self.each_row(&sql, |row| {
            if let Some(image) = image_of(row)? {
                visit(image, stamp_of(row.get_ref(1)?, now));
            }
            Ok(())
        })
    }

    /// All of it, by rising image: what stands there need not be a vector.
    pub(super) fn each(
        &self,
        mut visit: impl FnMut(u32, Stamp, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let now = moment::now();
        let created_at = self.created_at;
        let sql =
            format!("SELECT image_id, {created_at}, embedding FROM embeddings ORDER BY image_id");
        self.each_row(&sql, |row| match image_of(row)? {
            Some(image) => visit(image, stamp_of(row.get_ref(1)?, now), bytes_of(row, 2)?),
            None => Ok(()),
        })
    }

    fn each_row(&self, sql: &str, mut act: impl FnMut(&Row<'_>) -> Result<()>) -> Result<()> {
        let reading = || self.doing("read");
        let mut statement = self.connection.prepare(sql).explain(reading)?;
        let mut rows = statement.query([]).explain(reading)?;
        while let Some(row) = rows.next().explain(reading)? {
            act(row).with_context(reading)?;
        }
        Ok(())
    }

    /// What `read` makes of the row of an image, if there is one. O(log n), about 5 µs.
    pub(super) fn read<T>(
        &self,
        image: u32,
        read: impl FnOnce(Stamp, &[u8]) -> T,
    ) -> Result<Option<T>> {
        let reading = || self.doing(&format!("read the vector of image {image}"));
        let created_at = self.created_at;
        let sql =
            format!("SELECT image_id, {created_at}, embedding FROM embeddings WHERE image_id = ?1");
        let mut statement = self.connection.prepare_cached(&sql).explain(reading)?;
        let mut rows = statement.query([image]).explain(reading)?;
        match rows.next().explain(reading)? {
            Some(row) => {
                let stamp = stamp_of(row.get_ref(1).explain(reading)?, moment::now());
                Ok(Some(read(stamp, bytes_of(row, 2)?)))
            }
            None => Ok(None),
        }
    }

    /// Puts the vector of an image in, or in place of the one before, as the original does.
    pub(super) fn put(&self, image: u32, vector: &[f32]) -> Result<()> {
        let putting = || self.doing(&format!("put in the vector of image {image}"));
        let bytes: Vec<u8> = vector
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        if self.created_at == "NULL" {
            let sql = "INSERT INTO embeddings (image_id, embedding) VALUES (?1, ?2) \
                       ON CONFLICT (image_id) DO UPDATE SET embedding = excluded.embedding";
            let mut statement = self.connection.prepare_cached(sql).explain(putting)?;
            statement.execute(params![image, bytes]).explain(putting)?;
            return Ok(());
        }
        let sql = "INSERT INTO embeddings (image_id, embedding, created_at) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (image_id) DO UPDATE SET embedding = excluded.embedding, \
                   created_at = excluded.created_at";
        let mut statement = self.connection.prepare_cached(sql).explain(putting)?;
        statement
            .execute(params![image, bytes, moment::now_text()])
            .explain(putting)?;
        Ok(())
    }

    /// Whether the image had a vector.
    pub(super) fn remove(&self, image: u32) -> Result<bool> {
        let removing = || self.doing(&format!("take out the vector of image {image}"));
        let sql = "DELETE FROM embeddings WHERE image_id = ?1";
        let mut statement = self.connection.prepare_cached(sql).explain(removing)?;
        Ok(statement.execute([image]).explain(removing)? > 0)
    }

    fn doing(&self, what: &str) -> String {
        format!("{what} ({})", self.path.display())
    }
}

fn columns(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    // Fails here where the file is no database.
    connection
        .query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))
        .optional()?;
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info('embeddings')")?;
    let names = statement.query_map([], |row| row.get(0))?;
    names.collect()
}

/// How many numbers a vector of so many bytes has, if it can be one.
fn numbers_in(bytes: usize) -> Option<usize> {
    let numbers = bytes / 4;
    (bytes.is_multiple_of(4) && (1..=DIMENSIONS_MAX).contains(&numbers)).then_some(numbers)
}

/// The numbers of a vector of so many, all of them finite; `None` where it is none.
pub(super) fn vector_of(bytes: &[u8], dimensions: usize) -> Option<Vec<f32>> {
    if bytes.len() != dimensions * 4 {
        return None;
    }
    let (numbers, _) = bytes.as_chunks::<4>();
    let vector: Vec<f32> = numbers
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect();
    vector
        .iter()
        .all(|number| number.is_finite())
        .then_some(vector)
}

fn image_of(row: &Row<'_>) -> Result<Option<u32>> {
    Ok(match row.get_ref(0)? {
        ValueRef::Integer(image) => u32::try_from(image).ok(),
        _ => None,
    })
}

/// What is no blob has no bytes, and so is no vector.
fn bytes_of<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a [u8]> {
    Ok(match row.get_ref(column)? {
        ValueRef::Blob(bytes) => bytes,
        _ => &[],
    })
}

/// The column has whole seconds: within the one in which a vector was read, another may come in its place
/// that looks no different.
fn stamp_of(created_at: ValueRef<'_>, now: i64) -> Stamp {
    let text = match created_at {
        ValueRef::Text(text) => text,
        ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Blob(_) | ValueRef::Null => &[],
    };
    let second = std::str::from_utf8(text).ok().and_then(moment::second_of);
    if second.is_some_and(|second| second >= now - 1) {
        return UNSETTLED;
    }
    let sum = blake3::hash(text);
    let bytes = sum.as_bytes();
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).max(1)
}
