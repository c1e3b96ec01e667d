//! redb, as it comes: each transaction is durable at once.

use std::ops::Bound;
use std::path::Path;

use anyhow::Result;
use plimsoll::batches::redb::{Builder, Database, ReadableDatabase, TableDefinition};

use super::{BATCH, CACHE_BYTES, Rows, Table, Value};

const ROWS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("files");

pub(super) struct Redb(Database);

impl Redb {
    pub(super) fn open(folder: &Path) -> Result<Redb> {
        let database = Builder::new()
            .set_cache_size(CACHE_BYTES)
            .create(folder.join("files.redb"))?;
        let transaction = database.begin_write()?;
        transaction.open_table(ROWS)?;
        transaction.commit()?;
        Ok(Redb(database))
    }
}

impl Table for Redb {
    fn put(&mut self, rows: &Rows) -> Result<()> {
        let transaction = self.0.begin_write()?;
        {
            let mut table = transaction.open_table(ROWS)?;
            for (key, value) in rows.iter() {
                table.insert(key, &value[..])?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn remove(&mut self, rows: &Rows) -> Result<()> {
        let transaction = self.0.begin_write()?;
        {
            let mut table = transaction.open_table(ROWS)?;
            for (key, _) in rows.iter() {
                table.remove(key)?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn get(&mut self, rows: &Rows, found: &mut Vec<Option<Value>>) -> Result<()> {
        let table = self.0.begin_read()?.open_table(ROWS)?;
        for (key, _) in rows.iter() {
            let value = table.get(key)?;
            found.push(value.map(|value| value.value().try_into()).transpose()?);
        }
        Ok(())
    }

    fn read(&mut self, after: Option<&[u8]>, rows: &mut Rows) -> Result<()> {
        let table = self.0.begin_read()?.open_table(ROWS)?;
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        for entry in table.range::<&[u8]>((start, Bound::Unbounded))?.take(BATCH) {
            let (key, value) = entry?;
            rows.push(key.value(), value.value().try_into()?);
        }
        Ok(())
    }
}
