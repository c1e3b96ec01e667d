//! What a store asks of a database, whichever it is. SQL that only one of them takes stays in its
//! implementation, or behind a question that the others answer with no.

use std::fmt;
use std::ops::ControlFlow;

use anyhow::Result;

use super::table::Class;
use super::{Row, Schema, Value};

/// Says what was being done, for an error.
pub(crate) type Doing<'a> = &'a dyn Fn() -> String;

/// What is done with a row: on, or no further.
pub(crate) type Act<'a> = &'a mut dyn FnMut(&Row<'_>) -> Result<ControlFlow<()>>;

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Answers of one moment.
    Reading,
    /// Changes; one at a time has this, of all programs that use the database.
    Writing,
}

/// A table as it is, names in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) name: String,
    /// The statement of SQLite that made it, where that is known.
    pub(crate) written: Option<String>,
    pub(crate) columns: Vec<(String, Class)>,
    /// Statements that make the indexes of a table that is neither the original's nor ours.
    pub(crate) indexes: Vec<String>,
    /// The last id that it has given out.
    pub(crate) counter: Option<i64>,
}

/// One connection, of one thread at a time. What it holds is bounded, and so is what it waits for.
pub(crate) trait Database: fmt::Debug + Send {
    /// Does a statement; how many rows it changed.
    fn execute(&self, doing: Doing<'_>, sql: &str, values: &[Value<'_>]) -> Result<u64>;

    /// Calls `act` for each row of an answer. Rows are not collected, unless `act` asks something itself.
    fn each_row(
        &self,
        doing: Doing<'_>,
        sql: &str,
        values: &[Value<'_>],
        act: Act<'_>,
    ) -> Result<()>;

    fn begin(&self, doing: Doing<'_>, purpose: Purpose) -> Result<()>;

    /// Ends the transaction; one that fails to end is undone.
    fn commit(&self, doing: Doing<'_>) -> Result<()>;

    /// Undoes the transaction, if there is one.
    fn rollback(&self);

    /// All tables that a copy of the board is to have.
    fn shapes(&self, doing: Doing<'_>) -> Result<Vec<Shape>>;

    fn read_schema(&self, doing: Doing<'_>) -> Result<Schema>;

    /// Changes whenever another connection has changed the database.
    fn data_version(&self, doing: Doing<'_>) -> Result<i64>;

    /// Lets go of what is kept for speed alone.
    fn give_back(&self, doing: Doing<'_>) -> Result<()>;

    /// Has triggers run or not, for this connection; `false` where that can't be had.
    fn set_triggers(&self, doing: Doing<'_>, are_run: bool) -> Result<bool>;

    /// What the database finds wrong with its own files, reading all of them: at most so many lines.
    /// `None` where it can't be asked.
    fn find_damage(&self, doing: Doing<'_>, lines_max: usize) -> Result<Option<Vec<String>>>;
}
