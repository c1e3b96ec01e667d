//! SQLite: a table without row ids, a write-ahead log, each transaction durable at once.

use std::path::Path;

use anyhow::Result;
use plimsoll::batches::rusqlite::{Connection, OptionalExtension, Row};

use super::{BATCH, CACHE_BYTES, Rows, Table, Value};

pub(super) struct Sqlite(Connection);

impl Sqlite {
    pub(super) fn open(folder: &Path) -> Result<Sqlite> {
        let connection = Connection::open(folder.join("files.db"))?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        // Negative: in KiB.
        connection.pragma_update(None, "cache_size", -(CACHE_BYTES as i64 >> 10))?;
        connection.execute_batch(
            "CREATE TABLE files (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
        )?;
        Ok(Sqlite(connection))
    }
}

fn value_of(row: &Row<'_>, column: usize) -> Result<Value> {
    Ok(row.get_ref(column)?.as_blob()?.try_into()?)
}

impl Table for Sqlite {
    fn put(&mut self, rows: &Rows) -> Result<()> {
        let transaction = self.0.transaction()?;
        {
            let mut put = transaction.prepare_cached(
                "INSERT INTO files VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2",
            )?;
            for (key, value) in rows.iter() {
                put.execute((key, &value[..]))?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn remove(&mut self, rows: &Rows) -> Result<()> {
        let transaction = self.0.transaction()?;
        {
            let mut remove = transaction.prepare_cached("DELETE FROM files WHERE key = ?1")?;
            for (key, _) in rows.iter() {
                remove.execute([key])?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn get(&mut self, rows: &Rows, found: &mut Vec<Option<Value>>) -> Result<()> {
        let transaction = self.0.transaction()?;
        let mut get = transaction.prepare_cached("SELECT value FROM files WHERE key = ?1")?;
        for (key, _) in rows.iter() {
            let value = get.query_row([key], |row| Ok(value_of(row, 0)));
            found.push(value.optional()?.transpose()?);
        }
        Ok(())
    }

    fn read(&mut self, after: Option<&[u8]>, rows: &mut Rows) -> Result<()> {
        // No key is empty.
        let mut read = self
            .0
            .prepare_cached("SELECT key, value FROM files WHERE key > ?1 ORDER BY key LIMIT ?2")?;
        let mut found = read.query((after.unwrap_or_default(), BATCH as i64))?;
        while let Some(row) = found.next()? {
            rows.push(row.get_ref(0)?.as_blob()?, value_of(row, 1)?);
        }
        Ok(())
    }
}
