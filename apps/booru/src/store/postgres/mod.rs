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
mod target;
mod values;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_postgres::error::Severity;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, Statement};

pub(crate) use address::{Address, is_address};
pub use arguments::hide_passwords;
pub(super) use said::Said;
pub(super) use target::PostgresTarget;
pub(super) use values::value_of;

use super::database::{Act, Database, Doing, Purpose, Shape};
use super::table::Class;
use super::{Access, Schema, StoreOptions, Value, table};
use rows::Answers;

/// Of prepared statements that are kept, some KiB each here and at the server.
const STATEMENTS_MAX: usize = 32;

/// A statement that takes longer is ended by the server, unless the address has `options` with its own
/// `statement_timeout`: it is to outlast the reading of a large board over a slow network.
const STATEMENT_PATIENCE: Duration = Duration::from_secs(600);

/// A change that goes on no further is undone by the server, so that one that hangs does not hold up all others.
const IDLE_PATIENCE: Duration = Duration::from_secs(120);

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

struct Session {
    client: Client,
    connection: JoinHandle<()>,
    /// The latest used last.
    statements: Vec<(String, Vec<Option<Type>>, Statement)>,
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
        let opened = self.runtime().block_on(self.open_session());
        let session = opened.map_err(|error| Said::from(error).explain(doing, &self.address))?;
        *slot = Some(session);
        self.sessions.set(self.sessions.get() + 1);
        Ok(())
    }

    async fn open_session(&self) -> Result<Session, tokio_postgres::Error> {
        let (client, connection) = self.address.config().connect(NoTls).await?;
        let connection = tokio::spawn(async move {
            // What it fails with is told by the call that waits for it.
            let _ = connection.await;
        });
        let is_read_only = match self.options.access {
            Access::ReadOnly => "on",
            Access::InPlace => "off",
        };
        // 0 would be no limit.
        let patience = self.options.patience.as_millis().max(1);
        let mut settings = format!(
            "SET client_min_messages = warning; SET default_transaction_read_only = {is_read_only}; \
             SET lock_timeout = {patience}; SET booru.counts = 'itself'; \
             SET idle_in_transaction_session_timeout = {};",
            IDLE_PATIENCE.as_millis()
        );
        let options = self.address.config().get_options().unwrap_or_default();
        if !options.contains("statement_timeout") {
            let patience = STATEMENT_PATIENCE.as_millis();
            settings.push_str(&format!("SET statement_timeout = {patience}"));
        }
        client.batch_execute(&settings).await?;
        Ok(Session {
            client,
            connection,
            statements: Vec::new(),
        })
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

impl Session {
    async fn prepare(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<Statement, tokio_postgres::Error> {
        let kind = |value| match value {
            &Value::Null => None,
            value => Some(values::type_of(value)),
        };
        let types: Vec<Option<Type>> = values.iter().map(kind).collect();
        let mut known = self.statements.iter();
        let statement = match known.position(|one| one.0 == sql && one.1 == types) {
            Some(place) => self.statements.remove(place).2,
            None => {
                let placed = dialect::with_places(sql, values);
                let types: Vec<Type> = values.iter().map(values::type_of).collect();
                let statement = self.client.prepare_typed(&placed, &types).await?;
                if self.statements.len() == STATEMENTS_MAX {
                    self.statements.remove(0);
                }
                statement
            }
        };
        let kept = (sql.to_owned(), types, statement.clone());
        self.statements.push(kept);
        Ok(statement)
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
        let sql = "SELECT c.relname, obj_description(c.oid, 'pg_class'), a.attname, format_type(a.atttypid, NULL), \
                   CASE WHEN a.attidentity <> '' THEN pg_sequence_last_value(pg_get_serial_sequence( \
                   quote_ident(c.relname), a.attname)::regclass) END FROM pg_class AS c \
                   JOIN pg_namespace AS n ON n.oid = c.relnamespace \
                   JOIN pg_attribute AS a ON a.attrelid = c.oid \
                   WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY (current_schemas(false)) \
                   AND pg_table_is_visible(c.oid) AND a.attnum > 0 AND NOT a.attisdropped \
                   AND c.relname NOT IN ('booru_revision', 'booru_embeddings') ORDER BY c.oid, a.attnum";
        let rows = self.ask(doing, async |session| session.client.query(sql, &[]).await)?;
        let mut shapes: Vec<Shape> = Vec::new();
        for row in rows {
            let name: String = row.get(0);
            let written: Option<String> = row.get(1);
            if shapes.last().is_none_or(|last| last.name != name) {
                shapes.push(Shape {
                    name,
                    written: written.filter(|text| text.starts_with("CREATE TABLE ")),
                    columns: Vec::new(),
                    indexes: Vec::new(),
                    counter: None,
                });
            }
            if let Some(last) = shapes.last_mut() {
                last.columns.push((row.get(2), Class::of(row.get(3))));
                last.counter = last.counter.or(row.get(4));
            }
        }
        // Those that a key has come with it.
        let sql = "SELECT c.relname, replace(replace(pg_get_indexdef(i.indexrelid), ' USING btree', ''), \
                   ' ON ' || quote_ident(n.nspname) || '.', ' ON ') FROM pg_index AS i \
                   JOIN pg_class AS c ON c.oid = i.indrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace \
                   WHERE n.nspname = ANY (current_schemas(false)) AND pg_table_is_visible(c.oid) \
                   AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = i.indexrelid)";
        let rows = self.ask(doing, async |session| session.client.query(sql, &[]).await)?;
        for row in rows {
            let name: String = row.get(0);
            if let Some(shape) = shapes.iter_mut().find(|shape| shape.name == name) {
                shape.indexes.push(row.get(1));
            }
        }
        Ok(shapes)
    }

    fn read_schema(&self, doing: Doing<'_>) -> Result<Schema> {
        let sql = "SELECT lower(c.relname), lower(a.attname) FROM pg_class AS c \
                   JOIN pg_namespace AS n ON n.oid = c.relnamespace \
                   JOIN pg_attribute AS a ON a.attrelid = c.oid \
                   WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY (current_schemas(false)) \
                   AND pg_table_is_visible(c.oid) AND a.attnum > 0 AND NOT a.attisdropped";
        let rows = self.ask(doing, async |session| session.client.query(sql, &[]).await)?;
        let mut schema = Schema::default();
        for row in rows {
            schema.add_column(row.get(0), row.get(1));
        }
        Ok(schema)
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
