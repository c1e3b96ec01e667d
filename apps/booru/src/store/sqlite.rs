//! SQLite: ChibiBooru's file as it is. One connection; what it holds is SQLite's page cache, at most
//! [`StoreOptions::cache_bytes`]. The file is not mapped.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result};
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Error, ErrorCode, OpenFlags};

use super::database::{Act, Database, Doing, Purpose, Shape};
use super::table::Class;
use super::{Access, Row, SCHEMA, Schema, StoreOptions, Value};

/// Prepared statements that are kept, a few KiB each.
const STATEMENTS_MAX: usize = 16;

#[derive(Debug)]
pub(super) struct Sqlite {
    connection: Connection,
}

impl Sqlite {
    /// Opens what is there.
    pub(super) fn open(path: &Path, options: StoreOptions) -> Result<Sqlite> {
        let opening = || format!("open {}", path.display());
        fs::metadata(path).with_context(opening)?;
        let flags = match options.access {
            Access::ReadOnly => OpenFlags::SQLITE_OPEN_READ_ONLY,
            Access::InPlace => OpenFlags::SQLITE_OPEN_READ_WRITE,
        };
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).explain(opening)?;
        configure(&connection, options).explain(opening)?;
        Ok(Sqlite { connection })
    }

    /// Makes a new file with the original's schema, its folder included.
    pub(super) fn create(path: &Path) -> Result<()> {
        let making = || format!("make {}", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(making)?;
        }
        // It gets its name when it is whole: a kill leaves no half of one.
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(format!(".new-{}", std::process::id()));
        let unfinished = Path::new(&unfinished);
        let made = fill(unfinished)
            .explain(making)
            // Whoever comes second gets the error, also of two at once.
            .and_then(|()| fs::hard_link(unfinished, path).with_context(making));
        let _ = fs::remove_file(unfinished);
        made
    }

    /// Statements that tell nothing.
    pub(super) fn batch(&self, sql: &str) -> Result<()> {
        let done = self.connection.execute_batch(sql);
        done.explain(|| format!("do {sql:?}"))
    }
}

/// Makes a file with the original's tables.
fn fill(path: &Path) -> rusqlite::Result<()> {
    let mut connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    transaction.commit()?;
    connection.close().map_err(|(_, error)| error)
}

fn configure(connection: &Connection, options: StoreOptions) -> rusqlite::Result<()> {
    connection.busy_timeout(options.patience)?;
    // Negative: in KiB.
    let cache = i64::try_from(options.cache_bytes >> 10)
        .unwrap_or(i64::MAX)
        .max(1);
    connection.pragma_update(None, "cache_size", -cache)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(())
}

impl Database for Sqlite {
    fn execute(&self, doing: Doing<'_>, sql: &str, values: &[Value<'_>]) -> Result<u64> {
        let mut statement = self.connection.prepare_cached(sql).explain(doing)?;
        let values = rusqlite::params_from_iter(values);
        let changed = statement.execute(values).explain(doing)?;
        Ok(changed as u64)
    }

    fn each_row(
        &self,
        doing: Doing<'_>,
        sql: &str,
        values: &[Value<'_>],
        act: Act<'_>,
    ) -> Result<()> {
        let mut statement = self.connection.prepare_cached(sql).explain(doing)?;
        let values = rusqlite::params_from_iter(values);
        let mut rows = statement.query(values).explain(doing)?;
        while let Some(row) = rows.next().explain(doing)? {
            if let ControlFlow::Break(()) = act(&Row::of_sqlite(row)).with_context(doing)? {
                break;
            }
        }
        Ok(())
    }

    fn begin(&self, doing: Doing<'_>, purpose: Purpose) -> Result<()> {
        let sql = match purpose {
            Purpose::Reading => "BEGIN DEFERRED",
            Purpose::Writing => "BEGIN IMMEDIATE",
        };
        self.connection.execute_batch(sql).explain(doing)
    }

    fn commit(&self, doing: Doing<'_>) -> Result<()> {
        let done = self.connection.execute_batch("COMMIT").explain(doing);
        if done.is_err() {
            self.rollback();
        }
        done
    }

    fn rollback(&self) {
        // Some errors have undone it already. What else fails leaves a journal, which undoes it.
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }

    fn shapes(&self, doing: Doing<'_>) -> Result<Vec<Shape>> {
        read_shapes(&self.connection).explain(doing)
    }

    fn read_schema(&self, doing: Doing<'_>) -> Result<Schema> {
        read_schema(&self.connection).explain(doing)
    }

    fn data_version(&self, doing: Doing<'_>) -> Result<i64> {
        let version = self
            .connection
            .query_row("PRAGMA data_version", [], |row| row.get(0));
        version.explain(doing)
    }

    fn give_back(&self, doing: Doing<'_>) -> Result<()> {
        self.connection.release_memory().explain(doing)
    }

    fn set_triggers(&self, doing: Doing<'_>, are_run: bool) -> Result<bool> {
        let setting = DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER;
        self.connection
            .set_db_config(setting, are_run)
            .explain(doing)?;
        Ok(true)
    }

    fn find_damage(&self, doing: Doing<'_>, lines_max: usize) -> Result<Option<Vec<String>>> {
        let mut problems = Vec::new();
        let sql = format!("PRAGMA integrity_check({lines_max})");
        self.each_row(doing, &sql, &[], &mut |row| {
            problems.extend(row.text(0)?.filter(|line| line != "ok"));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(Some(problems))
    }
}

fn read_schema(connection: &Connection) -> rusqlite::Result<Schema> {
    let mut schema = Schema::default();
    let mut columns = connection.prepare(
        "SELECT lower(item.name), lower(info.name) FROM sqlite_master AS item \
         JOIN pragma_table_info(item.name) AS info WHERE item.type = 'table'",
    )?;
    let mut rows = columns.query([])?;
    while let Some(row) = rows.next()? {
        schema.add_column(row.get(0)?, row.get(1)?);
    }
    let mut triggers =
        connection.prepare("SELECT lower(name) FROM sqlite_master WHERE type = 'trigger'")?;
    let mut rows = triggers.query([])?;
    while let Some(row) = rows.next()? {
        schema.add_trigger(row.get(0)?);
    }
    let mut pairs = connection.prepare(
        "SELECT sql FROM sqlite_master WHERE type = 'table' AND lower(name) = 'image_tags'",
    )?;
    let mut rows = pairs.query([])?;
    if let Some(row) = rows.next()? {
        schema.read_statement_of_pairs(&row.get::<_, String>(0)?);
    }
    Ok(schema)
}

/// Tables but those of SQLite itself and of full text, which follow others.
fn read_shapes(connection: &Connection) -> rusqlite::Result<Vec<Shape>> {
    let sql = "SELECT lower(name), sql FROM sqlite_master AS item WHERE type = 'table' \
               AND name NOT LIKE 'sqlite!_%' ESCAPE '!' AND sql NOT LIKE 'CREATE VIRTUAL %' AND NOT EXISTS \
               (SELECT 1 FROM sqlite_master AS whole WHERE whole.sql LIKE 'CREATE VIRTUAL %' \
               AND item.name IN (whole.name || '_data', whole.name || '_idx', whole.name || '_content', \
               whole.name || '_docsize', whole.name || '_config')) ORDER BY rowid";
    let mut tables = connection.prepare(sql)?;
    let mut rows = tables.query([])?;
    let mut shapes = Vec::new();
    while let Some(row) = rows.next()? {
        shapes.push(Shape {
            name: row.get(0)?,
            written: row.get(1)?,
            columns: Vec::new(),
            indexes: Vec::new(),
            counter: None,
        });
    }
    let mut columns = connection.prepare("SELECT lower(name), type FROM pragma_table_info(?1)")?;
    for shape in &mut shapes {
        let mut rows = columns.query([&shape.name])?;
        while let Some(row) = rows.next()? {
            let kind: String = row.get(1)?;
            shape.columns.push((row.get(0)?, Class::of(&kind)));
        }
    }
    let sql = "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND lower(tbl_name) = ?1";
    let mut indexes = connection.prepare(sql)?;
    for shape in &mut shapes {
        let rows = indexes.query_map([&shape.name], |row| row.get(0))?;
        shape.indexes = rows.collect::<rusqlite::Result<_>>()?;
    }
    if connection.table_exists(None, "sqlite_sequence")? {
        let mut counters = connection.prepare("SELECT lower(name), seq FROM sqlite_sequence")?;
        let mut rows = counters.query([])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            if let Some(shape) = shapes.iter_mut().find(|shape| shape.name == name) {
                shape.counter = row.get(1)?;
            }
        }
    }
    Ok(shapes)
}

/// What stands in a column; text that is no UTF-8 as bytes.
pub(super) fn value_of<'a>(
    row: &'a rusqlite::Row<'_>,
    column: usize,
) -> rusqlite::Result<Value<'a>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(bytes) => {
            std::str::from_utf8(bytes).map_or(Value::Bytes(bytes), Value::Text)
        }
        ValueRef::Blob(bytes) => Value::Bytes(bytes),
    })
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(number),
            Value::Real(number) => ValueRef::Real(number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// What SQLite has from malloc in this process: page caches, statements, schemas.
pub(crate) fn memory_used() -> u64 {
    // SAFETY: it takes nothing and reads one counter under SQLite's lock.
    unsafe { rusqlite::ffi::sqlite3_memory_used() as u64 }
}

/// What SQLite said, with what the reader can do.
pub(crate) trait Explain<T> {
    fn explain(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Explain<T> for rusqlite::Result<T> {
    fn explain(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| {
            let hint = match error.sqlite_error_code() {
                Some(ErrorCode::NotADatabase) => "it is no SQLite database",
                Some(ErrorCode::DatabaseCorrupt) => {
                    "it is damaged; take a copy of it that is whole, or have `sqlite3 FILE .recover` read \
                     what can be read"
                }
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                    "another program holds it; try again when that is done"
                }
                Some(ErrorCode::CannotOpen) => {
                    "this user can't open it, or the files -wal and -shm beside it"
                }
                Some(ErrorCode::ReadOnly) => "this user may not write it, or its folder",
                Some(ErrorCode::DiskFull) => "the disk is full; nothing was changed",
                _ => return anyhow::Error::new(error).context(what()),
            };
            let what = what();
            anyhow::Error::new(error).context(format!("{what}: {hint}"))
        })
    }
}

/// Whether it came of a program that holds the file.
pub(super) fn is_busy(error: &anyhow::Error) -> bool {
    let code = error
        .downcast_ref::<Error>()
        .and_then(Error::sqlite_error_code);
    matches!(
        code,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

#[cfg(test)]
mod tests {
    use super::super::statement_of;
    use super::*;

    #[test]
    fn each_table_has_its_statement() {
        for table in ["images", "tag_deltas", "tag_implications", "config_store"] {
            let connection = Connection::open_in_memory().unwrap();
            connection
                .execute(statement_of(table).unwrap(), [])
                .unwrap();
            assert!(read_schema(&connection).unwrap().has_table(table));
        }
        assert_eq!(statement_of("images_fts"), None);
    }
}
