//! Statements, parameters and rows without the words of one database.
//!
//! SQL is what SQLite and PostgreSQL both take: parameters `?1`, `ON CONFLICT … DO …`, `RETURNING`.

use anyhow::{Context, Result};
use rusqlite::types::{ToSqlOutput, ValueRef};

use super::{Explain, Store};

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
    row: &'a rusqlite::Row<'a>,
}

impl std::fmt::Debug for Row<'_> {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_struct("Row").finish_non_exhaustive()
    }
}

impl Row<'_> {
    /// What stands in a column, from 0; text that is no UTF-8 as bytes.
    ///
    /// # Errors
    /// Where the statement has no such column.
    pub fn value(&self, column: usize) -> Result<Value<'_>> {
        Ok(match self.row.get_ref(column)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => Value::Integer(number),
            ValueRef::Real(number) => Value::Real(number),
            ValueRef::Text(bytes) => {
                std::str::from_utf8(bytes).map_or(Value::Bytes(bytes), Value::Text)
            }
            ValueRef::Blob(bytes) => Value::Bytes(bytes),
        })
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

/// `what` is what an error says was being done, as "read the pools".
impl Store {
    /// Does a statement that tells nothing; how many rows it changed.
    ///
    /// # Errors
    /// What the database says.
    pub fn execute(&self, what: &str, sql: &str, parameters: &[Value<'_>]) -> Result<u64> {
        let doing = || self.doing(what);
        let mut statement = self.connection.prepare_cached(sql).explain(doing)?;
        let parameters = rusqlite::params_from_iter(parameters);
        let changed = statement.execute(parameters).explain(doing)?;
        Ok(changed as u64)
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
        let mut statement = self.connection.prepare_cached(sql).explain(doing)?;
        let parameters = rusqlite::params_from_iter(parameters);
        let mut rows = statement.query(parameters).explain(doing)?;
        while let Some(row) = rows.next().explain(doing)? {
            act(&Row { row }).with_context(doing)?;
        }
        Ok(())
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
        let mut statement = self.connection.prepare_cached(sql).explain(doing)?;
        let parameters = rusqlite::params_from_iter(parameters);
        let mut rows = statement.query(parameters).explain(doing)?;
        match rows.next().explain(doing)? {
            Some(row) => read(&Row { row }).with_context(doing).map(Some),
            None => Ok(None),
        }
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
        transaction
            .commit()
            .explain(|| self.doing("put a change into the database"))?;
        Ok(done)
    }

    fn doing(&self, what: &str) -> String {
        format!("{what} ({})", self.path().display())
    }
}
