//! LMDB, as it comes: each transaction ends with fdatasync.

use std::ops::Bound;
use std::path::Path;

use anyhow::Result;
use plimsoll::batches::heed::types::Bytes;
use plimsoll::batches::heed::{CommitOrAbort, Database, Env, EnvOpenOptions, Error};

use plimsoll_s3_simulator::Bucket;

use super::{BATCH, Phase, Rows, Table, Value, phases};

struct Lmdb<'a> {
    env: &'a Env,
    rows: Database<'a, Bytes, Bytes>,
}

pub(super) fn measure(folder: &Path, bucket: Bucket) -> Result<Vec<Phase>> {
    let mut options = EnvOpenOptions::new();
    options.map_size(64 << 30);
    // SAFETY: the folder is this benchmark's own; nobody changes the file but LMDB.
    let env = unsafe { options.open(folder) }?;
    let transaction = env.write_txn()?;
    let opened = env.create_databases_and_commit(transaction, |opener, transaction| {
        let database = opener.create_database::<Bytes, Bytes>(transaction, None)?;
        Ok::<_, Error>(CommitOrAbort::<_, ()>::Commit(database))
    })?;
    let rows = opened.unwrap_commit();
    phases(Lmdb { env: &env, rows }, folder, bucket)
}

impl Table for Lmdb<'_> {
    fn put(&mut self, rows: &Rows) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        for (key, value) in rows.iter() {
            self.rows.put(&mut transaction, key, value)?;
        }
        Ok(transaction.commit()?)
    }

    fn remove(&mut self, rows: &Rows) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        for (key, _) in rows.iter() {
            self.rows.delete(&mut transaction, key)?;
        }
        Ok(transaction.commit()?)
    }

    fn get(&mut self, rows: &Rows, found: &mut Vec<Option<Value>>) -> Result<()> {
        let transaction = self.env.read_txn()?;
        for (key, _) in rows.iter() {
            let value = self.rows.get(&transaction, key)?;
            found.push(value.map(Value::try_from).transpose()?);
        }
        Ok(())
    }

    fn read(&mut self, after: Option<&[u8]>, rows: &mut Rows) -> Result<()> {
        let transaction = self.env.read_txn()?;
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let range = (start, Bound::Unbounded);
        for entry in self.rows.range(&transaction, &range)?.take(BATCH) {
            let (key, value) = entry?;
            rows.push(key, value.try_into()?);
        }
        Ok(())
    }
}
