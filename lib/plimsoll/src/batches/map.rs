//! Batches of a `BTreeMap`: for tests, and to try a walk out. Entries are cloned.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::{Batch, BatchLimits, OrderedStore, weight_of};
use crate::error::Error;
use crate::weight::Weigh;

/// The map is its own transaction: nobody else can change it during a read. Entries are weighed before
/// they are cloned.
impl<K: Ord + Clone + Weigh, V: Clone + Weigh> OrderedStore for BTreeMap<K, V> {
    type Key = K;
    type Value = V;
    type Error = Error;

    fn read_batch(&mut self, after: Option<&K>, limits: BatchLimits) -> Result<Batch<K, V>, Error> {
        let mut batch = Batch::new(limits);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        for (key, value) in self.range((from, Bound::Unbounded)) {
            let has_room = batch.has_room(weight_of(key, value))?;
            if !has_room || !batch.push(key.clone(), value.clone())? {
                break;
            }
        }
        Ok(batch)
    }
}
