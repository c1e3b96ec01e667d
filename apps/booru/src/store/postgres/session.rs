//! One connection to the server: what is set on it, and the statements that it has prepared.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls, Statement};

use super::address::Address;
use super::{dialect, values};
use crate::store::{Access, StoreOptions, Value};

/// Of prepared statements that are kept, some KiB each here and at the server.
const STATEMENTS_MAX: usize = 32;

/// A statement that takes longer is ended by the server, unless the address has `options` with its own
/// `statement_timeout`: it is to outlast the reading of a large board over a slow network.
const STATEMENT_PATIENCE: Duration = Duration::from_secs(600);

/// A change that goes on no further is undone by the server, so that one that hangs does not hold up all others.
pub(super) const IDLE_PATIENCE: Duration = Duration::from_secs(120);

pub(super) struct Session {
    pub(super) client: Client,
    pub(super) connection: JoinHandle<()>,
    /// The latest used last.
    statements: Vec<(String, Vec<Option<Type>>, Statement)>,
}

impl Session {
    pub(super) async fn open(
        address: &Address,
        options: StoreOptions,
    ) -> Result<Session, tokio_postgres::Error> {
        let (client, connection) = address.config().connect(NoTls).await?;
        let connection = tokio::spawn(async move {
            // What it fails with is told by the call that waits for it.
            let _ = connection.await;
        });
        let is_read_only = match options.access {
            Access::ReadOnly => "on",
            Access::InPlace => "off",
        };
        // 0 would be no limit.
        let patience = options.patience.as_millis().max(1);
        let mut settings = format!(
            "SET client_min_messages = warning; SET default_transaction_read_only = {is_read_only}; \
             SET lock_timeout = {patience}; SET booru.counts = 'itself'; \
             SET idle_in_transaction_session_timeout = {};",
            IDLE_PATIENCE.as_millis()
        );
        let given = address.config().get_options().unwrap_or_default();
        if !given.contains("statement_timeout") {
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

    pub(super) async fn prepare(
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
