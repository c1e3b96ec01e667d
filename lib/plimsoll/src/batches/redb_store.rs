//! Batches of a table of redb. Memory: the batch, and the page cache of the database, which is 1 GiB at
//! most by redb's default: give it less by `Builder::set_cache_size`.

use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Bound;

use redb::{Database, Key, ReadableDatabase, TableDefinition, Value};

use super::{Batch, BatchLimits, OrderedStore};
use crate::weight::Weigh;

/// A table of redb, to [walk](super::walk) by its keys. Needs the feature `redb`.
///
/// A batch is read in one read transaction that is over when the batch is handed out, so the pages that
/// writers free are used again: under one long read transaction they are not, and the file grows. To
/// write what a batch needs and the resume key together, begin a write of [`RedbStore::database`] in
/// the walk.
pub struct RedbStore<'d, K: Key + 'static, V: Value + 'static> {
    database: &'d Database,
    table: TableDefinition<'static, K, V>,
}

/// A key as redb stores it, in redb's own order.
pub struct RedbKey<K>(Box<[u8]>, PhantomData<fn() -> K>);

/// A value as redb stores it.
pub struct RedbValue<V>(Box<[u8]>, PhantomData<fn() -> V>);

impl<'d, K: Key + 'static, V: Value + 'static> RedbStore<'d, K, V> {
    /// Walks `table` of `database`; a table that isn't there fails the walk.
    #[must_use]
    pub fn new(
        database: &'d Database,
        table: TableDefinition<'static, K, V>,
    ) -> RedbStore<'d, K, V> {
        RedbStore { database, table }
    }

    /// Where to write.
    #[must_use]
    pub fn database(&self) -> &'d Database {
        self.database
    }
}

impl<K: Key + 'static, V: Value + 'static> fmt::Debug for RedbStore<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedbStore({})", self.table)
    }
}

impl<K: Key + 'static> RedbKey<K> {
    /// A key to go on after, such as one that was saved.
    #[must_use]
    pub fn new(key: &K::SelfType<'_>) -> RedbKey<K> {
        RedbKey(K::as_bytes(key).as_ref().into(), PhantomData)
    }

    /// The key, as redb's type.
    #[must_use]
    pub fn get(&self) -> K::SelfType<'_> {
        K::from_bytes(&self.0)
    }
}

impl<V: Value + 'static> RedbValue<V> {
    /// The value, as redb's type.
    #[must_use]
    pub fn get(&self) -> V::SelfType<'_> {
        V::from_bytes(&self.0)
    }
}

impl<K> Clone for RedbKey<K> {
    fn clone(&self) -> RedbKey<K> {
        RedbKey(self.0.clone(), PhantomData)
    }
}

impl<K: Key> Ord for RedbKey<K> {
    fn cmp(&self, other: &RedbKey<K>) -> Ordering {
        K::compare(&self.0, &other.0)
    }
}

impl<K: Key> PartialOrd for RedbKey<K> {
    fn partial_cmp(&self, other: &RedbKey<K>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Key> PartialEq for RedbKey<K> {
    fn eq(&self, other: &RedbKey<K>) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<K: Key> Eq for RedbKey<K> {}

impl<K> fmt::Debug for RedbKey<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedbKey({:02x?})", self.0)
    }
}

impl<V> fmt::Debug for RedbValue<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedbValue({} bytes)", self.0.len())
    }
}

impl<K> Weigh for RedbKey<K> {
    fn weight_bytes(&self) -> usize {
        size_of::<Box<[u8]>>() + self.0.len()
    }
}

impl<V> Weigh for RedbValue<V> {
    fn weight_bytes(&self) -> usize {
        size_of::<Box<[u8]>>() + self.0.len()
    }
}

impl<K: Key + 'static, V: Value + 'static> OrderedStore for RedbStore<'_, K, V> {
    type Key = RedbKey<K>;
    type Value = RedbValue<V>;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn read_batch(
        &mut self,
        after: Option<&RedbKey<K>>,
        limits: BatchLimits,
    ) -> Result<Batch<RedbKey<K>, RedbValue<V>>, Self::Error> {
        let mut batch = Batch::new(limits);
        let transaction = self.database.begin_read()?;
        let table = transaction.open_table(self.table)?;
        let from = after.map_or(Bound::Unbounded, |key| Bound::Excluded(key.get()));
        for entry in table.range::<K::SelfType<'_>>((from, Bound::Unbounded))? {
            let (key, value) = entry?;
            let (key, value) = (key.value(), value.value());
            let value = V::as_bytes(&value);
            let bytes = size_of::<(RedbKey<K>, RedbValue<V>)>()
                + K::as_bytes(&key).as_ref().len()
                + value.as_ref().len();
            if !batch.has_room(bytes)? {
                break;
            }
            let value = RedbValue(value.as_ref().into(), PhantomData);
            if !batch.push(RedbKey::new(&key), value)? {
                break;
            }
        }
        Ok(batch)
    }
}
