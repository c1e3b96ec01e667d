//! Vectors of images, written where the original keeps them: `similarity.db` beside the database, the table
//! `embeddings`, each of f32 numbers, little endian, of the length 1.
//!
//! **Cost.** A connection with a page cache of 256 KiB, while vectors are written.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use rusqlite::{Connection, params};

use super::queue::now;
use crate::store::sqlite::Explain as _;

/// KiB, negative as SQLite wants it.
const CACHE_KIB: i64 = -256;
/// For another program that writes.
const PATIENCE: Duration = Duration::from_secs(30);

/// The file beside a board's database.
#[must_use]
pub fn file_of(database: &Path) -> PathBuf {
    database.with_file_name("similarity.db")
}

/// Writes vectors.
#[derive(Debug)]
pub(crate) struct Embeddings {
    connection: Connection,
    path: PathBuf,
}

impl Embeddings {
    /// Opens the file, made where it is not there.
    pub(crate) fn open(path: &Path) -> Result<Embeddings> {
        let opening = || format!("open {}", path.display());
        let is_new = !path.exists();
        let connection = Connection::open(path).explain(opening)?;
        connection.busy_timeout(PATIENCE).explain(opening)?;
        connection
            .pragma_update(None, "cache_size", CACHE_KIB)
            .explain(opening)?;
        if is_new {
            connection
                .pragma_update(None, "journal_mode", "WAL")
                .explain(opening)?;
        }
        connection
            .execute_batch(
                "CREATE TABLE IF NOT EXISTS embeddings (image_id INTEGER PRIMARY KEY, \
                 embedding BLOB NOT NULL, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
                 CREATE INDEX IF NOT EXISTS idx_embeddings_created_at ON embeddings(created_at);",
            )
            .explain(opening)?;
        Ok(Embeddings {
            connection,
            path: path.to_owned(),
        })
    }

    pub(crate) fn write(&self, image: u32, numbers: &[f32]) -> Result<()> {
        let bytes: Vec<u8> = numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        let sql = "INSERT INTO embeddings (image_id, embedding, created_at) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (image_id) DO UPDATE SET embedding = excluded.embedding, \
                   created_at = excluded.created_at";
        let written = self.connection.execute(sql, params![image, bytes, now()]);
        written.explain(|| format!("write a vector into {}", self.path.display()))?;
        Ok(())
    }
}

/// Of `images`, ascending ids, those without a vector of `dimension` numbers. O(images); one read of the
/// keys and lengths.
///
/// # Errors
/// What SQLite says.
pub fn lacking(path: &Path, images: &[u32], dimension: usize) -> Result<Vec<u32>> {
    if !path.exists() {
        return Ok(images.to_vec());
    }
    let reading = || format!("read {}", path.display());
    let file = Embeddings::open(path)?;
    let sql = "SELECT image_id FROM embeddings WHERE length(embedding) = ?1 ORDER BY image_id";
    let mut statement = file.connection.prepare(sql).explain(reading)?;
    let mut rows = statement.query([dimension as i64 * 4]).explain(reading)?;
    let mut lacking = Vec::new();
    let mut images = images.iter().copied().peekable();
    while let Some(row) = rows.next().explain(reading)? {
        let known: i64 = row.get(0)?;
        while let Some(image) = images.next_if(|image| i64::from(*image) < known) {
            lacking.push(image);
        }
        images.next_if(|image| i64::from(*image) == known);
    }
    lacking.extend(images);
    Ok(lacking)
}
