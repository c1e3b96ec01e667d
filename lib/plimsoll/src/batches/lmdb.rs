//! Batches of a database of LMDB. Memory: the batch, and pages of the file that are mapped while they
//! are read: those count in RSS as file pages (`RssFile`), not as anonymous memory, and the kernel
//! takes them back when memory is short.

use std::ops::Bound;

use heed::types::Bytes;
use heed::{Database, Env};

use super::{Batch, BatchLimits, OrderedStore};
use crate::error::{Error, ErrorKind};

/// A database of LMDB, to [walk](super::walk) by its keys as bytes. Needs the feature `lmdb`.
///
/// A batch is read in one read transaction that is over when the batch is handed out, so the pages that
/// writers free are used again: under one long read transaction they are not, and the file grows. To
/// write what a batch needs and the resume key together, open a write transaction of
/// [`LmdbStore::env`] in the walk.
///
/// Databases with several values a key (`DUP_SORT`) and with an order other than that of bytes can't be
/// walked; the walk fails where it meets them.
#[derive(Debug)]
pub struct LmdbStore<'e> {
    env: &'e Env,
    database: Database<'e, Bytes, Bytes>,
}

impl<'e> LmdbStore<'e> {
    /// Walks `database`, which is of `env`, whatever the types of its keys and values are.
    #[must_use]
    pub fn new<K, V>(env: &'e Env, database: Database<'e, K, V>) -> LmdbStore<'e> {
        LmdbStore {
            env,
            database: database.remap_types(),
        }
    }

    /// Where to write.
    #[must_use]
    pub fn env(&self) -> &'e Env {
        self.env
    }

    /// The database, as bytes.
    #[must_use]
    pub fn database(&self) -> Database<'e, Bytes, Bytes> {
        self.database
    }
}

impl OrderedStore for LmdbStore<'_> {
    type Key = Vec<u8>;
    type Value = Vec<u8>;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn read_batch(
        &mut self,
        after: Option<&Vec<u8>>,
        limits: BatchLimits,
    ) -> Result<Batch<Vec<u8>, Vec<u8>>, Self::Error> {
        let mut batch = Batch::<Vec<u8>, Vec<u8>>::new(limits);
        let transaction = self.env.read_txn()?;
        let from = after.map_or(Bound::Unbounded, |key| Bound::Excluded(key.as_slice()));
        let range = (from, Bound::Unbounded);
        for entry in self.database.range(&transaction, &range)? {
            let (key, value) = entry?;
            // Behind the border of a batch, the other values of its last key would be lost.
            if batch.resume_key().is_some_and(|last| last == key) {
                let message = "read a batch of LMDB: a key has several values (DUP_SORT), which a \
                               walk can't resume between; walk a database without";
                return Err(Box::new(Error::new(ErrorKind::Unsupported, message)));
            }
            let bytes = size_of::<(Vec<u8>, Vec<u8>)>() + key.len() + value.len();
            if !batch.has_room(bytes)? || !batch.push(key.to_vec(), value.to_vec())? {
                break;
            }
        }
        Ok(batch)
    }
}
