//! The database: ChibiBooru's `booru.db` as it is, or a new one of the same schema.
//!
//! Nothing is renumbered, rebuilt or imported, and no setting that the file keeps is changed. A [`Store`] is
//! one connection to it, whichever [`database`] it is.

mod database;
mod schema;
mod sql;
pub(crate) mod sqlite;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use database::{Database, Purpose};
pub(crate) use schema::{SCHEMA, Schema, TAG_COLUMNS, statement_of};
pub(crate) use sql::now;
pub use sql::{Row, Value};
use sqlite::Sqlite;

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
    database: Box<dyn Database>,
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
        let mut store = Store {
            database: Box::new(Sqlite::open(path, options)?),
            path: path.to_owned(),
            access: options.access,
            schema: Schema::default(),
        };
        store.refresh_schema()?;
        Ok(store)
    }

    /// Makes a new database with the original's schema, its folder included.
    ///
    /// # Errors
    /// A file that is there already, a folder that can't be written.
    pub fn create(path: &Path) -> Result<()> {
        Sqlite::create(path)
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What messages call it.
    #[must_use]
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// # Errors
    /// Where it was opened to be read only.
    pub fn check_writable(&self) -> Result<()> {
        match self.access {
            Access::InPlace => Ok(()),
            Access::ReadOnly => bail!(
                "change {}: it was opened read-only; leave out --read-only",
                self.name()
            ),
        }
    }

    /// Changes whenever another connection has changed the database.
    ///
    /// # Errors
    /// What the database says.
    pub(crate) fn data_version(&self) -> Result<i64> {
        let asking = || format!("ask for changes of {}", self.name());
        self.database.data_version(&asking)
    }

    /// Reads the schema again, which another program may have changed.
    pub(crate) fn refresh_schema(&mut self) -> Result<()> {
        let reading = || format!("read which tables {} has", self.name());
        let schema = self.database.read_schema(&reading)?;
        schema.check(&self.name())?;
        self.schema = schema;
        Ok(())
    }

    /// Begins to change the database; nobody else does until this ends.
    pub(crate) fn begin(&self) -> Result<Transaction<'_>> {
        let beginning = || format!("begin to change {}", self.name());
        self.database.begin(&beginning, Purpose::Writing)?;
        Ok(Transaction { store: Some(self) })
    }

    /// Does `act`, to which all answers are of one moment.
    pub(crate) fn read_at_once<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let reading = || format!("read {}", self.name());
        self.database.begin(&reading, Purpose::Reading)?;
        let transaction = Transaction { store: Some(self) };
        let done = act()?;
        transaction.commit("read")?;
        Ok(done)
    }

    /// Lets go of what is kept for speed alone.
    pub(crate) fn give_back(&self) -> Result<()> {
        let giving = || format!("give back the page cache of {}", self.name());
        self.database.give_back(&giving)
    }

    /// Has triggers run or not, for this connection; `false` where that can't be had.
    pub(crate) fn set_triggers(&self, are_run: bool) -> Result<bool> {
        let setting = || self.doing("turn triggers on or off");
        self.database.set_triggers(&setting, are_run)
    }

    /// What the database finds wrong with its own files, at most so many lines; reads all of them.
    /// `None` where it can't be asked.
    pub(crate) fn find_damage(&self, lines_max: usize) -> Result<Option<Vec<String>>> {
        let checking = || format!("check {}", self.name());
        self.database.find_damage(&checking, lines_max)
    }
}

/// A transaction that is undone unless it is put in place.
#[must_use]
#[derive(Debug)]
pub(crate) struct Transaction<'a> {
    /// `None` once it has ended.
    store: Option<&'a Store>,
}

impl Transaction<'_> {
    /// `what` is what an error says was being done.
    pub(crate) fn commit(mut self, what: &str) -> Result<()> {
        match self.store.take() {
            Some(store) => store.database.commit(&|| store.doing(what)),
            None => Ok(()),
        }
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if let Some(store) = self.store {
            store.database.rollback();
        }
    }
}

/// Whether it came of a program that holds the database.
#[must_use]
pub fn is_busy(error: &anyhow::Error) -> bool {
    sqlite::is_busy(error)
}
