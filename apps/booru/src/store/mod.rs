//! The database: ChibiBooru's `booru.db` as it is, or a new one of the same schema.
//!
//! Nothing is renumbered, rebuilt or imported, and no setting that the file keeps is changed. One
//! connection; what it holds is SQLite's page cache, at most [`StoreOptions::cache_bytes`]. The file is
//! not mapped.

mod schema;
mod sql;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rusqlite::{Connection, Error, ErrorCode, OpenFlags, TransactionBehavior};

pub(crate) use schema::{SCHEMA, Schema, TAG_COLUMNS, statement_of};
pub use sql::{Row, Value};

/// Whether the database may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    ReadOnly,
    InPlace,
}

/// How a database is opened.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    pub access: Access,
    /// Of the page cache of the connection.
    pub cache_bytes: u64,
    /// How long another program may hold the database before that is an error.
    pub patience: Duration,
}

/// An open database.
#[derive(Debug)]
pub struct Store {
    pub(crate) connection: Connection,
    path: PathBuf,
    access: Access,
    pub(crate) schema: Schema,
}

/// The database of a board: the file itself, or where the original keeps it in its folder.
///
/// # Errors
/// Where there is none.
pub fn find(board: &Path) -> Result<PathBuf> {
    let is_there = board.try_exists();
    if !is_there.with_context(|| format!("find the board {}", board.display()))? {
        bail!(
            "find the board {}: there is no folder or database of this name; give the one that has `booru.db`, \
             or make a new board with `booru create {}`",
            board.display(),
            board.display()
        );
    }
    if !board.is_dir() {
        return Ok(board.to_owned());
    }
    let places = ["data/booru.db", "booru.db"].map(|place| board.join(place));
    match places.iter().find(|place| place.is_file()) {
        Some(found) => Ok(found.clone()),
        None => bail!(
            "find the database of {}: there is neither {} nor {}; make one with `booru create`",
            board.display(),
            places[0].display(),
            places[1].display()
        ),
    }
}

impl Store {
    /// Opens what is there.
    ///
    /// # Errors
    /// No file, no database, a damaged one, one without the tables of a board, or one that another
    /// program holds.
    pub fn open(path: &Path, options: StoreOptions) -> Result<Store> {
        let opening = || format!("open {}", path.display());
        fs::metadata(path).with_context(opening)?;
        let flags = match options.access {
            Access::ReadOnly => OpenFlags::SQLITE_OPEN_READ_ONLY,
            Access::InPlace => OpenFlags::SQLITE_OPEN_READ_WRITE,
        };
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).explain(opening)?;
        configure(&connection, options).explain(opening)?;
        let schema = Schema::read(&connection, path)?;
        schema.check(path)?;
        Ok(Store {
            connection,
            path: path.to_owned(),
            access: options.access,
            schema,
        })
    }

    /// Makes a new database with the original's schema, its folder included.
    ///
    /// # Errors
    /// A file that is there already, a folder that can't be written.
    pub fn create(path: &Path) -> Result<()> {
        let making = || format!("make {}", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(making)?;
        }
        // Whoever comes second gets the error, also of two at once.
        fs::File::create_new(path).with_context(making)?;
        let mut connection = Connection::open(path).explain(making)?;
        connection
            .pragma_update(None, "journal_mode", "WAL")
            .explain(making)?;
        let transaction = connection.transaction().explain(making)?;
        transaction.execute_batch(SCHEMA).explain(making)?;
        transaction.commit().explain(making)
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// # Errors
    /// Where it was opened to be read only.
    pub fn check_writable(&self) -> Result<()> {
        match self.access {
            Access::InPlace => Ok(()),
            Access::ReadOnly => bail!(
                "change {}: it was opened read-only; leave out --read-only",
                self.path.display()
            ),
        }
    }

    /// Changes whenever another connection has changed the database.
    ///
    /// # Errors
    /// What SQLite says.
    pub(crate) fn data_version(&self) -> Result<i64> {
        let version = self
            .connection
            .query_row("PRAGMA data_version", [], |row| row.get(0));
        version.explain(|| format!("ask for changes of {}", self.path.display()))
    }

    /// Reads the schema again, which another program may have changed.
    pub(crate) fn refresh_schema(&mut self) -> Result<()> {
        self.schema = Schema::read(&self.connection, &self.path)?;
        self.schema.check(&self.path)
    }

    pub(crate) fn begin(&self) -> Result<rusqlite::Transaction<'_>> {
        let begun =
            rusqlite::Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate);
        begun.explain(|| format!("begin to change {}", self.path.display()))
    }
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

/// Prepared statements that are kept, a few KiB each.
const STATEMENTS_MAX: usize = 16;

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

/// Whether it came of a program that holds the database.
#[must_use]
pub fn is_busy(error: &anyhow::Error) -> bool {
    let code = error
        .downcast_ref::<Error>()
        .and_then(Error::sqlite_error_code);
    matches!(
        code,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}
