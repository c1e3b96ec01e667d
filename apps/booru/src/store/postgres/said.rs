//! What PostgreSQL said, on one line, with what the reader can do.

use std::error::Error;
use std::fmt;

use tokio_postgres::error::SqlState;

use super::address::Address;

/// An error of the server, or of the way to it.
#[derive(Debug)]
pub(crate) struct Said {
    code: Option<SqlState>,
    text: String,
}

impl fmt::Display for Said {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.text)
    }
}

impl Error for Said {}

impl From<tokio_postgres::Error> for Said {
    fn from(error: tokio_postgres::Error) -> Said {
        if let Some(said) = error.as_db_error() {
            let detail = said.detail().map(|detail| format!(" ({detail})"));
            let text = format!("{}{}", said.message(), detail.unwrap_or_default());
            return Said {
                code: Some(said.code().clone()),
                text: text.replace('\n', " "),
            };
        }
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(one) = cause {
            text = format!("{text}: {one}");
            cause = one.source();
        }
        Said {
            code: None,
            text: text.replace('\n', " "),
        }
    }
}

impl Said {
    /// Whether another program holds what was to be changed.
    pub(crate) fn is_busy(&self) -> bool {
        let busy = [
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::T_R_SERIALIZATION_FAILURE,
        ];
        self.code.as_ref().is_some_and(|code| busy.contains(code))
    }

    /// Whether rows lead to others that are not there.
    pub(crate) fn breaks_references(&self) -> bool {
        self.code == Some(SqlState::FOREIGN_KEY_VIOLATION)
    }

    /// With what was being done, and what can be done about it.
    pub(super) fn explain(self, doing: &dyn Fn() -> String, address: &Address) -> anyhow::Error {
        let hint = self.hint(address);
        let what = match hint {
            Some(hint) => format!("{}: {hint}", doing()),
            None => doing(),
        };
        anyhow::Error::new(self).context(what)
    }

    fn hint(&self, address: &Address) -> Option<String> {
        if self.is_busy() {
            return Some("another program holds it; try again when that is done".to_owned());
        }
        let database = address.database();
        let hint = match self.code.as_ref()? {
            code if *code == SqlState::INVALID_PASSWORD
                || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION =>
            {
                "the server does not take this user and password; PGPASSWORD or ~/.pgpass may have the \
                 password"
            }
            code if *code == SqlState::INVALID_CATALOG_NAME => {
                return Some(format!(
                    "make it first: createdb --encoding UTF8 {database}"
                ));
            }
            code if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
                "this user may not; the owner of the database can let it by GRANT"
            }
            code if *code == SqlState::READ_ONLY_SQL_TRANSACTION => {
                "it was opened to be read only, or is a copy that follows another server"
            }
            code if *code == SqlState::QUERY_CANCELED => {
                "it took longer than the server may take, or was ended by its keeper"
            }
            code if *code == SqlState::DISK_FULL => {
                "the server's disk is full; nothing was changed"
            }
            code if *code == SqlState::TOO_MANY_CONNECTIONS => {
                "the server takes no more connections; end other programs, or raise max_connections"
            }
            code if *code == SqlState::ADMIN_SHUTDOWN
                || *code == SqlState::CRASH_SHUTDOWN
                || *code == SqlState::CANNOT_CONNECT_NOW =>
            {
                "the server ends or starts just now; try again"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
