//! Batches of a table of SQLite. Memory: the caches of the connection (SQLite's page cache is 2 MiB by
//! default), and the columns asked for of one row beside the batch.

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row, ToSql, Transaction};

use super::{Batch, BatchLimits, OrderedStore};
use crate::error::{Error, ErrorKind};
use crate::weight::Weigh;

/// A key of SQLite, in SQLite's own order: integers, then text by its bytes, then blobs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SqliteKey {
    /// A whole number.
    Integer(i64),
    /// Text, in the order of its bytes.
    Text(String),
    /// Bytes, in their order.
    Blob(Vec<u8>),
}

impl Weigh for SqliteKey {
    fn weight_bytes(&self) -> usize {
        size_of::<SqliteKey>()
            + match self {
                SqliteKey::Integer(_) => 0,
                SqliteKey::Text(text) => text.capacity(),
                SqliteKey::Blob(bytes) => bytes.capacity(),
            }
    }
}

impl ToSql for SqliteKey {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        match self {
            SqliteKey::Integer(number) => number.to_sql(),
            SqliteKey::Text(text) => text.to_sql(),
            SqliteKey::Blob(bytes) => bytes.to_sql(),
        }
    }
}

impl Weigh for Vec<Value> {
    fn weight_bytes(&self) -> usize {
        let heap = |value: &Value| match value {
            Value::Null | Value::Integer(_) | Value::Real(_) => 0,
            Value::Text(text) => text.capacity(),
            Value::Blob(bytes) => bytes.capacity(),
        };
        let heap: usize = self.iter().map(heap).sum();
        size_of::<Vec<Value>>() + self.capacity() * size_of::<Value>() + heap
    }
}

/// A table of SQLite by one of its unique columns, to [walk](super::walk). Needs the feature `sqlite`.
///
/// A batch is one `SELECT`, its transaction over before the batch is handed out. To write what a batch
/// needs and the resume key in one transaction, call [`SqliteStore::transaction`] in the walk.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    first: String,
    next: String,
}

impl SqliteStore {
    /// Walks `table` by `key`, a column that is the primary key or unique by itself, in its default
    /// collation, and reads `columns` as the values. Rows whose key is NULL are not seen.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when `key` isn't known to be unique; [`ErrorKind::Failed`] for what
    /// SQLite says, such as a column that isn't there.
    pub fn new(
        connection: Connection,
        table: &str,
        key: &str,
        columns: &[&str],
    ) -> Result<SqliteStore, Error> {
        let failed = |error| {
            let message = format!("prepare a walk of table {table:?} by {key:?}");
            Error::with_source(ErrorKind::Failed, message, error)
        };
        if !is_unique(&connection, table, key).map_err(failed)? {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "walk table {table:?} by {key:?}: rows that share a key would be skipped where a \
                     batch ends; take the primary key, or make a unique index of that column alone"
                ),
            ));
        }
        let list: String = columns
            .iter()
            .map(|column| format!(", {}", quoted(column)))
            .collect();
        let (table, key) = (quoted(table), quoted(key));
        let select = format!("SELECT {key}{list} FROM {table} WHERE {key}");
        let first = format!("{select} IS NOT NULL ORDER BY {key}");
        let next = format!("{select} > ?1 ORDER BY {key}");
        // Columns that are not there are found here, not in the middle.
        connection.prepare(&first).map_err(failed)?;
        Ok(SqliteStore {
            connection,
            first,
            next,
        })
    }

    /// The connection, for whatever else is to be read or written between batches.
    #[must_use]
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Begins a transaction that writes, and waits for other writers at once and not at its first
    /// write. It is rolled back unless it is committed.
    ///
    /// # Errors
    /// What SQLite says, `SQLITE_BUSY` above all.
    pub fn transaction(&mut self) -> rusqlite::Result<Transaction<'_>> {
        self.connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
    }

    /// The connection back.
    #[must_use]
    pub fn into_connection(self) -> Connection {
        self.connection
    }
}

impl OrderedStore for SqliteStore {
    type Key = SqliteKey;
    type Value = Vec<Value>;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    /// The statement is reset on return, which ends its read transaction.
    fn read_batch(
        &mut self,
        after: Option<&SqliteKey>,
        limits: BatchLimits,
    ) -> Result<Batch<SqliteKey, Vec<Value>>, Self::Error> {
        let mut batch = Batch::new(limits);
        let mut statement = match after {
            None => self.connection.prepare_cached(&self.first)?,
            Some(_) => self.connection.prepare_cached(&self.next)?,
        };
        let mut rows = match after {
            None => statement.query([])?,
            Some(key) => statement.query([key])?,
        };
        while let Some(row) = rows.next()? {
            let has_room = batch.has_room(weight_of_row(row)?)?;
            if !has_room || !batch.push(read_key(row)?, read_values(row)?)? {
                break;
            }
        }
        Ok(batch)
    }
}

/// What a row will weigh, before any of it is copied.
fn weight_of_row(row: &Row<'_>) -> rusqlite::Result<usize> {
    let columns = row.as_ref().column_count();
    let values = size_of::<Value>() * (columns - 1);
    let mut bytes = size_of::<(SqliteKey, Vec<Value>)>() + values;
    for column in 0..columns {
        bytes += match row.get_ref(column)? {
            ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 0,
            ValueRef::Text(text) => text.len(),
            ValueRef::Blob(blob) => blob.len(),
        };
    }
    Ok(bytes)
}

fn read_key(row: &Row<'_>) -> Result<SqliteKey, Box<dyn std::error::Error + Send + Sync>> {
    match row.get_ref(0)? {
        ValueRef::Integer(number) => Ok(SqliteKey::Integer(number)),
        ValueRef::Text(text) => Ok(SqliteKey::Text(std::str::from_utf8(text)?.to_owned())),
        ValueRef::Blob(blob) => Ok(SqliteKey::Blob(blob.to_vec())),
        ValueRef::Real(number) => Err(Box::new(unsupported(&format!("the number {number}")))),
        ValueRef::Null => Err(Box::new(unsupported("NULL"))),
    }
}

fn unsupported(key: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("read a key: {key} can't be one; keys are integers, text or blobs"),
    )
}

fn read_values(row: &Row<'_>) -> rusqlite::Result<Vec<Value>> {
    let columns = row.as_ref().column_count();
    let mut values = Vec::with_capacity(columns - 1);
    for column in 1..columns {
        values.push(row.get(column)?);
    }
    Ok(values)
}

/// Whether the column is the whole primary key, or alone in a unique index of all rows. O(indexes).
fn is_unique(connection: &Connection, table: &str, key: &str) -> rusqlite::Result<bool> {
    const PRIMARY: &str = "SELECT count(*) = 1 AND max(name = ?2 COLLATE NOCASE) = 1 \
        FROM pragma_table_info(?1) WHERE pk > 0";
    const INDEXED: &str = "SELECT EXISTS (SELECT 1 FROM pragma_index_list(?1) AS list \
        WHERE list.\"unique\" = 1 AND list.partial = 0 \
        AND (SELECT count(*) = 1 AND max(info.name = ?2 COLLATE NOCASE) = 1 \
             FROM pragma_index_info(list.name) AS info))";
    let ask = |sql| {
        connection.query_row(sql, [table, key], |row| {
            Ok(row.get::<_, Option<bool>>(0)?.unwrap_or(false))
        })
    };
    Ok(ask(PRIMARY)? || ask(INDEXED)?)
}

/// An identifier of SQL. In backticks: a name in double quotes that is no column becomes a string
/// (<https://sqlite.org/quirks.html>, section 8).
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
