//! A PostgreSQL database that a board is copied into, in one transaction, by its binary `COPY`.

use std::pin::Pin;

use anyhow::{Context, Result};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt;
use tokio_postgres::CopyInSink;
use tokio_postgres::types::{ToSql, Type};

use super::{Address, Postgres, Said, dialect};
use crate::store::Value;
use crate::store::copy::Target;
use crate::store::database::{Database, Purpose};
use crate::store::table::{Class, Table};

/// Of rows that are sent at once.
const SENT_BYTES_MAX: usize = 64 << 10;

/// The head of a binary copy (PostgreSQL's documentation of `COPY`): its sign, no flags, nothing more.
const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

pub(in crate::store) struct PostgresTarget {
    postgres: Postgres,
    /// Foreign keys, with the statement that looks at the rows that are there; added when all rows are.
    references: Vec<(String, String, String)>,
    copying: Option<Copying>,
}

struct Copying {
    sink: Pin<Box<CopyInSink<Bytes>>>,
    unsent: BytesMut,
    table: String,
}

impl PostgresTarget {
    pub(in crate::store) fn begin(address: &Address) -> Result<PostgresTarget> {
        let postgres = Postgres::connect_empty(address)?;
        let making = || format!("make {address}");
        // Reading an answer of a hundred million rows is one statement.
        postgres.batch(&making, "SET statement_timeout = 0; BEGIN")?;
        postgres.transaction.set(Some(Purpose::Writing));
        Ok(PostgresTarget {
            postgres,
            references: Vec::new(),
            copying: None,
        })
    }

    fn batch(&self, what: &str, sql: &str) -> Result<()> {
        self.postgres.batch(&|| what.to_owned(), sql)
    }

    fn send(&mut self) -> Result<()> {
        let Some(copying) = &mut self.copying else {
            return Ok(());
        };
        let sent = copying.unsent.split().freeze();
        let sending = copying.sink.send(sent);
        let sent = self.postgres.runtime().block_on(sending);
        let doing = || format!("fill the table {}", copying.table);
        sent.map_err(|error| self.postgres.fail(error, &doing))
    }

    /// Adds foreign keys; which tables have rows that break one. Those are kept, and the key holds for what
    /// comes.
    fn refer(&self) -> Result<Vec<String>> {
        let mut nowhere = Vec::new();
        for (table, add, validate) in &self.references {
            let what = format!("add the foreign keys of {table}");
            self.batch(&what, &format!("{add}; SAVEPOINT before_keys"))?;
            if let Err(error) = self.batch(&what, validate) {
                let said = error.chain().find_map(|cause| cause.downcast_ref::<Said>());
                if !said.is_some_and(Said::breaks_references) {
                    return Err(error);
                }
                self.postgres.has_failed.set(false);
                self.batch(&what, "ROLLBACK TO SAVEPOINT before_keys")?;
                nowhere.push(table.clone());
            }
        }
        Ok(nowhere)
    }
}

impl Target for PostgresTarget {
    fn begin_table(&mut self, table: &Table, columns: &[(String, Class)]) -> Result<()> {
        let mut statements = table.without_references();
        let is_known = |name: &String| table.columns.iter().any(|one| one.0 == *name);
        for (name, class) in columns.iter().filter(|one| !is_known(&one.0)) {
            let class = class.postgres();
            statements.push(format!(
                "ALTER TABLE {} ADD COLUMN \"{name}\" {class}",
                table.name
            ));
        }
        self.batch(
            &format!("make the table {}", table.name),
            &statements.join(";\n"),
        )?;
        for (add, validate) in table.later_references() {
            self.references.push((table.name.clone(), add, validate));
        }
        if columns.is_empty() {
            return Ok(());
        }
        let names = columns.iter().map(|(name, _)| format!("\"{name}\""));
        let names = names.collect::<Vec<_>>().join(", ");
        let sql = format!("COPY {} ({names}) FROM STDIN (FORMAT binary)", table.name);
        let doing = || format!("fill the table {}", table.name);
        let sink = self.postgres.ask(&doing, async |session| {
            session.client.copy_in(sql.as_str()).await
        })?;
        let mut unsent = BytesMut::with_capacity(SENT_BYTES_MAX * 2);
        unsent.put_slice(HEAD);
        self.copying = Some(Copying {
            sink: Box::pin(sink),
            unsent,
            table: table.name.clone(),
        });
        Ok(())
    }

    fn put(&mut self, values: &[Value<'_>]) -> Result<()> {
        let copying = self.copying.as_mut().context("no table has begun")?;
        let unsent = &mut copying.unsent;
        unsent.put_i16(values.len() as i16);
        for value in values {
            let start = unsent.len();
            unsent.put_i32(-1);
            if *value == Value::Null {
                continue;
            }
            let written = value.to_sql(&Type::UNKNOWN, unsent);
            written.map_err(|error| anyhow::anyhow!("{error}"))?;
            let len = i32::try_from(unsent.len() - start - 4)
                .context("a value has more than 2 GiB, which PostgreSQL can't take")?;
            unsent[start..start + 4].copy_from_slice(&len.to_be_bytes());
        }
        match unsent.len() >= SENT_BYTES_MAX {
            true => self.send(),
            false => Ok(()),
        }
    }

    fn end_table(&mut self) -> Result<()> {
        if let Some(copying) = &mut self.copying {
            copying.unsent.put_i16(-1);
        }
        self.send()?;
        let Some(mut copying) = self.copying.take() else {
            return Ok(());
        };
        let done = self
            .postgres
            .runtime()
            .block_on(copying.sink.as_mut().finish());
        let doing = || format!("fill the table {}", copying.table);
        done.map_err(|error| self.postgres.fail(error, &doing))?;
        Ok(())
    }

    fn database(&self) -> &dyn Database {
        &self.postgres
    }

    fn finish(
        self: Box<Self>,
        indexes: &[String],
        counters: &[(String, i64)],
    ) -> Result<Vec<String>> {
        for index in dialect::indexes().iter().chain(indexes) {
            self.batch(&format!("make an index by {index:?}"), index)?;
        }
        let set_counters = "DO $$ DECLARE one record; last bigint; BEGIN \
             FOR one IN SELECT c.relname, pg_get_serial_sequence(quote_ident(c.relname), a.attname) AS sequence, \
             a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid \
             WHERE a.attidentity <> '' AND pg_table_is_visible(c.oid) LOOP \
             EXECUTE format('SELECT max(%I) FROM %I', one.attname, one.relname) INTO last; \
             IF last >= 1 THEN PERFORM setval(one.sequence, last); END IF; END LOOP; END $$";
        self.batch("set the next ids", set_counters)?;
        for (table, counter) in counters.iter().filter(|one| one.1 >= 1) {
            // What SQLite gave out and took back is not given out again.
            let sql = format!(
                "SELECT setval(pg_get_serial_sequence('{table}', 'id'), greatest({counter}, \
                 (SELECT max(id) FROM {table})))"
            );
            self.batch("set the next ids", &sql)?;
        }
        let nowhere = self.refer()?;
        self.batch("finish the copy", dialect::shared())?;
        self.batch("finish the copy", "ANALYZE; COMMIT")?;
        self.postgres.transaction.set(None);
        Ok(nowhere)
    }
}
