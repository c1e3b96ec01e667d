//! PostgreSQL: a board that several servers share. One connection; beside it, the rows of an answer that are on
//! their way ([`rows`]) and prepared statements are held, both within bounds.
//!
//! **Changes.** A transaction that changes the board holds the one row of `booru_revision` from its beginning, so that
//! they come one after another, of all servers; it counts the row up at its end. That is what tells others, and
//! triggers do the same for programs that know nothing of it (`shared.sql`).
//!
//! **Lost connections.** Nothing is done again by itself: the call fails and says so, and the next one connects
//! anew, after which the board counts as changed, as nobody knows what was last.
//!
//! It blocks the thread, and so must not be called from within tasks of an asynchronous runtime.

mod address;
mod arguments;
mod dialect;
mod password;
mod rows;
mod said;
mod session;
mod tables;
mod target;
mod values;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::runtime::Runtime;
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::Severity;

pub(crate) use address::{Address, is_address};
pub use arguments::hide_passwords;
pub(super) use said::Said;
pub(super) use target::PostgresTarget;
pub(super) use values::value_of;

use super::database::{Act, Database, Doing, Purpose, Shape};
use super::{Access, Schema, StoreOptions, Value, table};
use rows::Answers;
use session::{IDLE_PATIENCE, Session};

pub(super) struct Postgres {
    address: Address,
    options: StoreOptions,
    /// Of this connection alone; it runs while something is asked. `None` only while this is dropped.
    runtime: Option<Runtime>,
    /// `None` where there is no connection, or it was lost.
    session: RefCell<Option<Session>>,
    answers: Answers,
    transaction: Cell<Option<Purpose>>,
    /// Whether the transaction has changed anything, and whether a statement of it has failed.
    has_changed: Cell<bool>,
    has_failed: Cell<bool>,
    /// The revision that a transaction which changes the board began with.
    revision: Cell<i64>,
    /// How many changes of the revision are of this connection.
    own: Cell<i64>,
    /// How many times it was connected.
    sessions: Cell<i64>,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_tuple("Postgres").field(&self.address).finish()
    }
}

impl Postgres {
    pub(super) fn open(address: &Address, options: StoreOptions) -> Result<Postgres> {
        let postgres = Postgres::connect_to(address, options)?;
        let opening = || format!("open {address}");
        let sql = "SELECT to_regclass('booru_revision') IS NOT NULL AND \
                   pg_encoding_to_char(encoding) = 'UTF8' FROM pg_database WHERE datname = current_database()";
        if !postgres.is_true(&opening, sql)? {
            bail!(
                "open {address}: it is no database of a shared board, or not in UTF-8; make one with `booru \
                 create`, or fill one with `booru copy`"
            );
        }
        Ok(postgres)
    }

    fn connect_to(address: &Address, options: StoreOptions) -> Result<Postgres> {
        let opening = || format!("open {address}");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .with_context(opening)?;
        let postgres = Postgres {
            address: address.clone(),
            options,
            runtime: Some(runtime),
            session: RefCell::new(None),
            answers: Answers::default(),
            transaction: Cell::new(None),
            has_changed: Cell::new(false),
            has_failed: Cell::new(false),
            revision: Cell::new(0),
            own: Cell::new(0),
            sessions: Cell::new(0),
        };
        postgres.connect(&opening)?;
        Ok(postgres)
    }

    /// Makes the tables of a board in an empty database: all, or none where it fails.
    pub(super) fn create(address: &Address) -> Result<()> {
        let making = || format!("make {address}");
        let postgres = Postgres::connect_empty(address)?;
        let mut statements = vec!["BEGIN".to_owned()];
        for table in table::tables()? {
            statements.extend(table.whole());
        }
        statements.extend(dialect::indexes());
        statements.push(dialect::shared().to_owned());
        statements.push("COMMIT".to_owned());
        postgres.batch(&making, &statements.join(";\n"))
    }

    /// A connection to a database that has no table of a board yet, to make them in.
    fn connect_empty(address: &Address) -> Result<Postgres> {
        let making = || format!("make {address}");
        let options = StoreOptions {
            access: Access::InPlace,
            cache_bytes: 0,
            patience: IDLE_PATIENCE,
        };
        let postgres = Postgres::connect_to(address, options)?;
        let sql = "SELECT pg_encoding_to_char(encoding) = 'UTF8' FROM pg_database \
                   WHERE datname = current_database()";
        if !postgres.is_true(&making, sql)? {
            bail!(
                "make {address}: the database is not in UTF-8; make it by createdb --encoding UTF8"
            );
        }
        let schema = postgres.read_schema(&making)?;
        if let Some(table) = schema.tables().next() {
            bail!(
                "make {address}: it is not empty, it has a table {table:?}; give an empty database"
            );
        }
        Ok(postgres)
    }

    fn runtime(&self) -> &Runtime {
        self.runtime
            .as_ref()
            .expect("there is one until this is dropped")
    }

    /// Connects where there is no connection.
    fn connect(&self, doing: Doing<'_>) -> Result<()> {
        let mut slot = self.session.borrow_mut();
        if slot.is_some() {
            return Ok(());
        }
        if self.transaction.get().is_some() {
            bail!(
                "{}: the connection was lost in the middle of a change, of which nothing is kept; try again",
                doing()
            );
        }
        let opened = self
            .runtime()
            .block_on(Session::open(&self.address, self.options));
        let session = opened.map_err(|error| Said::from(error).explain(doing, &self.address))?;
        *slot = Some(session);
        self.sessions.set(self.sessions.get() + 1);
        Ok(())
    }

    /// Asks the server, once all rows that are on their way have come.
    fn ask<T>(
        &self,
        doing: Doing<'_>,
        act: impl AsyncFnOnce(&mut Session) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T> {
        self.connect(doing)?;
        self.answers.settle(self.runtime(), doing)?;
        let mut slot = self.session.borrow_mut();
        let session = slot.as_mut().with_context(doing)?;
        let done = self.runtime().block_on(act(session));
        drop(slot);
        done.map_err(|error| self.fail(error, doing))
    }

    /// What an error means for the connection and the transaction.
    fn fail(&self, error: tokio_postgres::Error, doing: Doing<'_>) -> anyhow::Error {
        self.has_failed.set(true);
        let severity = error.as_db_error().and_then(|said| said.parsed_severity());
        let is_fatal = matches!(severity, Some(Severity::Fatal | Severity::Panic));
        let mut slot = self.session.borrow_mut();
        let is_closed = slot.as_ref().is_none_or(|one| one.client.is_closed());
        if !(is_fatal || is_closed || error.is_closed()) {
            return Said::from(error).explain(doing, &self.address);
        }
        *slot = None;
        let lost = match self.transaction.get() {
            Some(Purpose::Writing) => "the connection is lost, and nothing of the change is kept",
            _ => "the connection is lost",
        };
        let doing = || format!("{}: {lost}; the next try connects anew", doing());
        Said::from(error).explain(&doing, &self.address)
    }

    fn batch(&self, doing: Doing<'_>, sql: &str) -> Result<()> {
        self.ask(doing, async |session| {
            session.client.batch_execute(sql).await
        })
    }

    fn is_true(&self, doing: Doing<'_>, sql: &str) -> Result<bool> {
        let row = self.ask(doing, async |session| {
            session.client.query_opt(sql, &[]).await
        })?;
        Ok(row.is_some_and(|row| row.get::<_, Option<bool>>(0) == Some(true)))
    }

    /// Does what changes the board in a transaction of its own where there is none, so that it is counted.
    fn within<T>(&self, doing: Doing<'_>, sql: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.transaction.get().is_some() || dialect::is_reading(sql) {
            return act();
        }
        self.begin(doing, Purpose::Writing)?;
        match act() {
            Ok(done) => self.commit(doing).map(|()| done),
            Err(error) => {
                self.rollback();
                Err(error)
            }
        }
    }
}

impl Database for Postgres {
    fn execute(&self, doing: Doing<'_>, sql: &str, values: &[Value<'_>]) -> Result<u64> {
        self.within(doing, sql, || {
            let statements = dialect::statements_of(sql)?;
            if statements.len() > 1 {
                self.has_changed.set(true);
                self.batch(doing, &statements.join(";\n"))?;
                return Ok(0);
            }
            let changed = self.ask(doing, async |session| {
                let statement = session.prepare(sql, values).await?;
                session.client.execute_raw(&statement, values).await
            })?;
            if changed > 0 || !is_of_rows(sql) {
                self.has_changed.set(true);
            }
            Ok(changed)
        })
    }

    fn each_row(
        &self,
        doing: Doing<'_>,
        sql: &str,
        values: &[Value<'_>],
        act: Act<'_>,
    ) -> Result<()> {
        self.within(doing, sql, || {
            let stream = self.ask(doing, async |session| {
                let statement = session.prepare(sql, values).await?;
                session.client.query_raw(&statement, values).await
            })?;
            let is_change = !dialect::is_reading(sql);
            if is_change {
                self.has_changed.set(true);
            }
            let fail = |error| self.fail(error, doing);
            let answers = &self.answers;
            answers.each_row(self.runtime(), stream, is_change, doing, &fail, act)
        })
    }

    fn begin(&self, doing: Doing<'_>, purpose: Purpose) -> Result<()> {
        if self.transaction.get().is_some() {
            bail!("{}: a transaction has begun already", doing());
        }
        let sql = match purpose {
            // Whoever only reads holds up nobody, and may have other things to do between two tables.
            Purpose::Reading => {
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
                 SET LOCAL idle_in_transaction_session_timeout = 0"
            }
            Purpose::Writing => {
                "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
                 SELECT revision FROM booru_revision FOR UPDATE"
            }
        };
        let begun = self.ask(doing, async |session| {
            session.client.simple_query(sql).await
        });
        let begun = begun.inspect_err(|_| self.rollback())?;
        self.transaction.set(Some(purpose));
        self.has_changed.set(false);
        self.has_failed.set(false);
        if purpose == Purpose::Writing {
            let row = begun.iter().find_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
                _ => None,
            });
            let Some(revision) = row else {
                self.rollback();
                bail!(
                    "{}: the table booru_revision has no row, by which changes are told apart",
                    doing()
                );
            };
            self.revision.set(revision);
        }
        Ok(())
    }

    fn commit(&self, doing: Doing<'_>) -> Result<()> {
        if self.has_failed.get() {
            self.rollback();
            bail!(
                "{}: a statement of it has failed before, and nothing of it is kept",
                doing()
            );
        }
        let is_change = self.transaction.get() == Some(Purpose::Writing) && self.has_changed.get();
        let sql = match is_change {
            true => "UPDATE booru_revision SET revision = revision + 1; COMMIT",
            false => "COMMIT",
        };
        // From here on an error of the connection leaves open what has come of it.
        if is_change {
            self.transaction.set(Some(Purpose::Reading));
        }
        let done = self.batch(doing, sql);
        match done {
            Ok(()) => {
                self.transaction.set(None);
                self.own.set(self.own.get() + i64::from(is_change));
                Ok(())
            }
            Err(error) => {
                let is_lost = self.session.borrow().is_none();
                self.rollback();
                match is_lost && is_change {
                    true => Err(error.context(
                        "whether the change was put in place is not known: look before it is made again",
                    )),
                    false => Err(error),
                }
            }
        }
    }

    fn rollback(&self) {
        let has_session = self.session.borrow().is_some();
        if has_session {
            let undone = self.batch(&|| "undo a change".to_owned(), "ROLLBACK");
            if undone.is_err() {
                // The server undoes what ends with its connection.
                *self.session.borrow_mut() = None;
            }
        }
        self.transaction.set(None);
        self.has_failed.set(false);
    }

    fn shapes(&self, doing: Doing<'_>) -> Result<Vec<Shape>> {
        tables::shapes(self, doing)
    }

    fn read_schema(&self, doing: Doing<'_>) -> Result<Schema> {
        tables::read_schema(self, doing)
    }

    fn data_version(&self, doing: Doing<'_>) -> Result<i64> {
        let revision = match self.transaction.get() {
            Some(Purpose::Writing) => self.revision.get(),
            _ => {
                let sql = "SELECT revision FROM booru_revision";
                let row = self.ask(doing, async |session| {
                    let statement = session.prepare(sql, &[]).await?;
                    session.client.query_one(&statement, &[]).await
                })?;
                row.get(0)
            }
        };
        Ok(revision - self.own.get() + (self.sessions.get() << SESSION_SHIFT))
    }

    fn give_back(&self, _: Doing<'_>) -> Result<()> {
        Ok(())
    }

    fn set_triggers(&self, _: Doing<'_>, _: bool) -> Result<bool> {
        Ok(false)
    }

    fn find_damage(&self, _: Doing<'_>, _: usize) -> Result<Option<Vec<String>>> {
        Ok(None)
    }
}

/// More changes than a connection sees.
const SESSION_SHIFT: u32 = 40;

/// Whether it changes rows, of which the server tells how many.
fn is_of_rows(sql: &str) -> bool {
    let first = sql.split_whitespace().next().unwrap_or_default();
    ["INSERT", "UPDATE", "DELETE", "SELECT"]
        .iter()
        .any(|word| first.eq_ignore_ascii_case(word))
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        self.answers.forget();
        if let Some(session) = self.session.take()
            && tokio::runtime::Handle::try_current().is_err()
        {
            // The server is told that this ends, if it listens.
            drop(session.client);
            let ended = async { tokio::time::timeout(GOODBYE, session.connection).await };
            let _ = runtime.block_on(ended);
        }
        runtime.shutdown_background();
    }
}

const GOODBYE: Duration = Duration::from_millis(200);
