//! Statements, parameters and rows without the words of one database.
//!
//! What holds of both: rows stream; another statement may be asked within an answer, in PostgreSQL up to 64 MiB
//! before its end. What to heed for PostgreSQL: a statement that fails takes its whole transaction with it; no
//! call from within tasks of an asynchronous runtime (a thread for blocking work is fine); its `LIKE` heeds
//! upper case.
//!
//! SQL is what SQLite and PostgreSQL both take: parameters `?1`, `ON CONFLICT … DO …`, `RETURNING`.

use std::ops::ControlFlow;

use anyhow::Result;

use super::{Store, postgres, sqlite};

/// A parameter, or what stands in a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

macro_rules! value_from {
    ($($from:ty, $one:ident => $value:expr;)*) => {$(
        impl<'a> From<$from> for Value<'a> {
            fn from($one: $from) -> Value<'a> {
                $value
            }
        }
    )*};
}

value_from! {
    i64, number => Value::Integer(number);
    u32, number => Value::Integer(number.into());
    bool, is => Value::Integer(is.into());
    f64, number => Value::Real(number);
    &'a str, text => Value::Text(text);
    &'a String, text => Value::Text(text);
    &'a [u8], bytes => Value::Bytes(bytes);
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Value<'a> {
        value.map_or(Value::Null, Into::into)
    }
}

/// A row while a statement stands on it.
pub struct Row<'a> {
    of: RowOf<'a>,
}

enum RowOf<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a tokio_postgres::Row),
}

impl std::fmt::Debug for Row<'_> {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_struct("Row").finish_non_exhaustive()
    }
}

impl<'a> Row<'a> {
    pub(super) fn of_sqlite(row: &'a rusqlite::Row<'a>) -> Row<'a> {
        Row {
            of: RowOf::Sqlite(row),
        }
    }

    pub(super) fn of_postgres(row: &'a tokio_postgres::Row) -> Row<'a> {
        Row {
            of: RowOf::Postgres(row),
        }
    }

    /// What stands in a column, from 0; text that is no UTF-8 as bytes.
    ///
    /// # Errors
    /// Where the statement has no such column.
    pub fn value(&self, column: usize) -> Result<Value<'_>> {
        match self.of {
            RowOf::Sqlite(row) => Ok(sqlite::value_of(row, column)?),
            RowOf::Postgres(row) => postgres::value_of(row, column),
        }
    }

    /// A number where there is one; whatever else is there is none.
    ///
    /// # Errors
    /// As [`Row::value`] says.
    pub fn integer(&self, column: usize) -> Result<Option<i64>> {
        Ok(match self.value(column)? {
            Value::Integer(number) => Some(number),
            _ => None,
        })
    }

    /// An id, where it is one: from 1 to `u32::MAX`.
    ///
    /// # Errors
    /// As [`Row::value`] says.
    pub fn id(&self, column: usize) -> Result<Option<u32>> {
        let id = self.integer(column)?.and_then(|id| u32::try_from(id).ok());
        Ok(id.filter(|id| *id > 0))
    }

    /// A number with a fraction, or a whole one.
    ///
    /// # Errors
    /// As [`Row::value`] says.
    pub fn real(&self, column: usize) -> Result<Option<f64>> {
        Ok(match self.value(column)? {
            Value::Integer(number) => Some(number as f64),
            Value::Real(number) => Some(number),
            _ => None,
        })
    }

    /// Text with a sign in place of bytes that are none; numbers as text; `None` for NULL.
    ///
    /// # Errors
    /// As [`Row::value`] says.
    pub fn text(&self, column: usize) -> Result<Option<String>> {
        Ok(match self.value(column)? {
            Value::Null => None,
            Value::Integer(number) => Some(number.to_string()),
            Value::Real(number) => Some(number.to_string()),
            Value::Text(text) => Some(text.to_owned()),
            Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        })
    }
}

/// `what` is what an error says was being done, as "read the pools".
impl Store {
    /// Does a statement that tells nothing; how many rows it changed.
    ///
    /// # Errors
    /// What the database says.
    pub fn execute(&self, what: &str, sql: &str, parameters: &[Value<'_>]) -> Result<u64> {
        self.database.execute(&|| self.doing(what), sql, parameters)
    }

    /// Calls `act` for each row of an answer, until it fails. Rows are not collected.
    ///
    /// # Errors
    /// What the database says, and `act`.
    pub fn each_row(
        &self,
        what: &str,
        sql: &str,
        parameters: &[Value<'_>],
        mut act: impl FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<()> {
        let doing = || self.doing(what);
        let mut act = |row: &Row<'_>| act(row).map(ControlFlow::Continue);
        self.database.each_row(&doing, sql, parameters, &mut act)
    }

    /// What `read` makes of the first row, if there is one.
    ///
    /// # Errors
    /// What the database says, and `read`.
    pub fn query_row<T>(
        &self,
        what: &str,
        sql: &str,
        parameters: &[Value<'_>],
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let doing = || self.doing(what);
        let (mut read, mut done) = (Some(read), None);
        let mut act = |row: &Row<'_>| {
            done = read.take().map(|read| read(row)).transpose()?;
            Ok(ControlFlow::Break(()))
        };
        self.database.each_row(&doing, sql, parameters, &mut act)?;
        Ok(done)
    }

    /// Does `act` in one transaction: all of it, or nothing where it fails.
    ///
    /// Only for the one connection that writes, outside of an edit.
    ///
    /// # Errors
    /// A store that is read-only, what the database says, and `act`.
    pub fn write<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        self.check_writable()?;
        let transaction = self.begin()?;
        let done = act()?;
        transaction.commit("put a change into the database")?;
        Ok(done)
    }

    pub(super) fn doing(&self, what: &str) -> String {
        format!("{what} ({})", self.name())
    }
}
