//! The database: ChibiBooru's `booru.db` as it is, or a new one of the same schema.
//!
//! Nothing is renumbered, rebuilt or imported, and no setting that the file keeps is changed. A [`Store`] is
//! one connection to it, whichever `database` it is.

mod copy;
mod database;
pub(crate) mod postgres;
mod schema;
mod sql;
pub(crate) mod sqlite;
mod sqlite_target;
mod table;
mod vectors;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

pub use copy::{CopiedTable, copy};
use database::{Database, Purpose, Shape};
pub use postgres::hide_passwords;
pub(crate) use postgres::is_address;
use postgres::{Address, Postgres, Said};
pub(crate) use schema::{ALIASES, SCHEMA, Schema, TAG_COLUMNS, statement_of};
pub use sql::{Row, Value};
use sqlite::Sqlite;
pub use vectors::{Nearest, VECTOR_DIMENSIONS_MAX, Vectors};

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
    place: Place,
    access: Access,
    pub(crate) schema: Schema,
}

/// Where a database is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    File(PathBuf),
    Server {
        address: Box<Address>,
        /// As messages have it.
        shown: PathBuf,
    },
}

/// The database of a board: an address as it is, the file itself, or where the original keeps it in its folder.
///
/// # Errors
/// Where there is none.
pub fn find(board: &Path) -> Result<PathBuf> {
    if is_address(board) {
        return Ok(board.to_owned());
    }
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

/// The folder of a board, which has its images and other files of its own: itself, or where its database
/// lies, the original's `data` left out. A board that is told by an address has none: what `BOORU_FOLDER`
/// names, or the working folder.
#[must_use]
pub fn folder_of(board: &Path) -> PathBuf {
    if is_address(board) {
        return std::env::var_os("BOORU_FOLDER").map_or_else(|| PathBuf::from("."), PathBuf::from);
    }
    if board.is_dir() {
        return board.to_owned();
    }
    let folder = board.parent().unwrap_or(Path::new(""));
    match folder.file_name().is_some_and(|name| name == "data") {
        true => folder.parent().unwrap_or(Path::new("")).to_owned(),
        false => folder.to_owned(),
    }
}

/// Where the database of a new board is to be made: an address as it is, or a file in the folder.
#[must_use]
pub fn place_of_new(board: &Path) -> PathBuf {
    match is_address(board) {
        true => board.to_owned(),
        false => board.join("data").join("booru.db"),
    }
}

/// What messages call a database: its file, or its address without a password.
///
/// # Errors
/// An address that is none.
pub fn shown(path: &Path) -> Result<String> {
    Ok(match Place::of(path)? {
        Place::File(path) => path.display().to_string(),
        Place::Server { address, .. } => address.to_string(),
    })
}

impl Store {
    /// Opens what is there: a file, or what an address `postgres://…` leads to.
    ///
    /// # Errors
    /// No file, no server, no database, a damaged one, one without the tables of a board, or one that
    /// another program holds.
    pub fn open(path: &Path, options: StoreOptions) -> Result<Store> {
        Store::open_place(Place::of(path)?, options)
    }

    /// Another connection to the same database.
    ///
    /// # Errors
    /// As [`Store::open`] says.
    pub(crate) fn open_again(&self, options: StoreOptions) -> Result<Store> {
        Store::open_place(self.place.clone(), options)
    }

    pub(crate) fn open_place(place: Place, options: StoreOptions) -> Result<Store> {
        let database: Box<dyn Database> = match &place {
            Place::File(path) => Box::new(Sqlite::open(path, options)?),
            Place::Server { address, .. } => Box::new(Postgres::open(address, options)?),
        };
        let mut store = Store {
            database,
            place,
            access: options.access,
            schema: Schema::default(),
        };
        store.refresh_schema()?;
        Ok(store)
    }

    /// Makes a new database with the original's schema: a file, its folder included, or the tables in an
    /// empty database of a server.
    ///
    /// # Errors
    /// A file that is there already, a folder that can't be written; a database that is not empty.
    pub fn create(path: &Path) -> Result<()> {
        match Place::of(path)? {
            Place::File(path) => Sqlite::create(&path),
            Place::Server { address, .. } => Postgres::create(&address),
        }
    }

    /// What messages call the database: its file, or its address without a password. Only where
    /// [`Store::file`] is, it is a path to anything.
    #[must_use]
    pub fn path(&self) -> &Path {
        match &self.place {
            Place::File(path) | Place::Server { shown: path, .. } => path,
        }
    }

    /// The file of the database; `None` where it is at a server.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match &self.place {
            Place::File(path) => Some(path),
            Place::Server { .. } => None,
        }
    }

    /// Where it is, for another connection.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// What messages call the database.
    #[must_use]
    pub fn name(&self) -> String {
        self.path().display().to_string()
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

    /// Whether the database has the tables and columns that are known.
    pub(crate) fn has_schema_of_now(&self) -> Result<bool> {
        let reading = || format!("read which tables {} has", self.name());
        Ok(self.database.read_schema(&reading)? == self.schema)
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

    /// All tables that a copy of the board is to have.
    fn shapes(&self) -> Result<Vec<Shape>> {
        let reading = || format!("read how the tables of {} are made", self.name());
        self.database.shapes(&reading)
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

impl Place {
    fn of(path: &Path) -> Result<Place> {
        if !is_address(path) {
            return Ok(Place::File(path.to_owned()));
        }
        let address = Address::parse(&path.to_string_lossy())?;
        Ok(Place::Server {
            shown: PathBuf::from(address.to_string()),
            address: Box::new(address),
        })
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
    let said = error.downcast_ref::<Said>();
    said.map_or_else(|| sqlite::is_busy(error), Said::is_busy)
}
