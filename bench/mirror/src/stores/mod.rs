//! The state work of a run, by ours and by stores that keep a row for each key: the phases of the
//! original, each store in a process of its own.
//!
//! A row is the key and 29 bytes: status, size, time, ETag. All is read and written in batches of 1000, in
//! the order of keys, each batch in a transaction that is durable when it ends. The original writes its
//! batches in no order and as JSON; both would be slower.

mod lmdb;
mod ours;
mod redb;
mod sqlite;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Result, bail};
use plimsoll_mirror::scan::Listing;
use plimsoll_s3_simulator::Bucket;

use crate::objects::Objects;
use crate::usage::Cost;

pub(crate) use ours::seed;

/// Names of stores, as arguments have them, and the names of their rows.
pub(crate) const STORES: [(&str, &str); 5] = [
    ("listing", "the listing alone"),
    ("ours", "sorted runs (ours)"),
    ("lmdb", "LMDB (heed)"),
    ("redb", "redb"),
    ("sqlite", "SQLite (rusqlite)"),
];

/// Cache of a store that has one of its own.
const CACHE_BYTES: usize = 32 << 20;
/// Rows of a transaction.
const BATCH: usize = 1000;

/// One phase: what it cost, and what the files take after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phase {
    pub(crate) name: &'static str,
    pub(crate) cost: Cost,
    pub(crate) file_bytes: u64,
    /// Rows that it changed, to be compared between stores.
    pub(crate) changed: u64,
}

/// Does all phases in this process: `bucket` as generation 0 is stored as synced, then a run over the
/// generation that it has.
pub(crate) fn measure(name: &str, folder: &Path, bucket: Bucket) -> Result<Vec<Phase>> {
    match name {
        "listing" => listing(folder, bucket),
        "ours" => ours::measure(folder, bucket),
        "lmdb" => lmdb::measure(folder, bucket),
        "redb" => phases(redb::Redb::open(folder)?, folder, bucket),
        "sqlite" => phases(sqlite::Sqlite::open(folder)?, folder, bucket),
        other => bail!("no store is called {other:?}"),
    }
}

/// What each phase that lists has in it: the objects, made up.
fn listing(folder: &Path, bucket: Bucket) -> Result<Vec<Phase>> {
    let phase = |name, bucket| -> Result<Phase> {
        let (changed, cost) = Cost::of(|| {
            let mut listing = Objects::new(bucket);
            let mut count = 0;
            while listing.advance()? {
                count += 1;
            }
            Ok(count)
        })?;
        Ok(Phase {
            name,
            cost,
            file_bytes: stored(folder)?,
            changed,
        })
    };
    Ok(vec![
        phase("insert", bucket.in_generation(0))?,
        phase("scan", bucket)?,
    ])
}

const VALUE_BYTES: usize = 29;

/// Status, size, time and ETag.
type Value = [u8; VALUE_BYTES];

/// Statuses of the original.
const NEW: u8 = 0;
const SYNCED: u8 = 1;
const DELETED_IN_SOURCE: u8 = 2;
const TEMP_DELETED: u8 = 3;

fn value(status: u8, listing: &Objects) -> Value {
    let meta = listing.meta();
    let plimsoll_mirror::record::Etag::Md5(etag) = &meta.etag else {
        unreachable!("objects are made with such ETags");
    };
    let mut value = [0; VALUE_BYTES];
    value[0] = status;
    value[1..9].copy_from_slice(&meta.size_bytes.to_le_bytes());
    value[9..13].copy_from_slice(&(meta.modified as u32).to_le_bytes());
    value[13..].copy_from_slice(etag);
    value
}

/// Rows in the order of their keys. Memory: their bytes.
#[derive(Debug, Default)]
struct Rows {
    keys: Vec<u8>,
    ends: Vec<usize>,
    values: Vec<Value>,
}

impl Rows {
    fn push(&mut self, key: &[u8], value: Value) {
        self.keys.extend_from_slice(key);
        self.ends.push(self.keys.len());
        self.values.push(value);
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.ends.clear();
        self.values.clear();
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn key(&self, at: usize) -> &[u8] {
        let from = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.keys[from..self.ends[at]]
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &Value)> {
        (0..self.len()).map(|at| (self.key(at), &self.values[at]))
    }
}

/// A table of rows; each call is one transaction.
trait Table {
    fn put(&mut self, rows: &Rows) -> Result<()>;
    fn remove(&mut self, rows: &Rows) -> Result<()>;
    /// What there is for each key.
    fn get(&mut self, rows: &Rows, found: &mut Vec<Option<Value>>) -> Result<()>;
    /// Up to [`BATCH`] rows behind a key, or the first.
    fn read(&mut self, after: Option<&[u8]>, rows: &mut Rows) -> Result<()>;
}

fn phases(mut table: impl Table, folder: &Path, bucket: Bucket) -> Result<Vec<Phase>> {
    let table = &mut table;
    let mut done = Vec::new();
    let mut phase = |name, act: &mut dyn FnMut() -> Result<u64>| {
        let (changed, cost) = Cost::of(act)?;
        done.push(Phase {
            name,
            cost,
            file_bytes: stored(folder)?,
            changed,
        });
        Ok::<_, anyhow::Error>(())
    };
    phase("insert", &mut || insert(table, bucket.in_generation(0)))?;
    phase("prepare", &mut || turn(table, SYNCED, Some(TEMP_DELETED)))?;
    phase("scan", &mut || scan(table, bucket))?;
    phase("finalize", &mut || {
        turn(table, TEMP_DELETED, Some(DELETED_IN_SOURCE))
    })?;
    phase("delete", &mut || turn(table, DELETED_IN_SOURCE, None))?;
    Ok(done)
}

fn insert(table: &mut impl Table, bucket: Bucket) -> Result<u64> {
    let mut listing = Objects::new(bucket);
    let mut rows = Rows::default();
    let mut count = 0;
    while listing.advance()? {
        rows.push(listing.key(), value(SYNCED, &listing));
        count += 1;
        if rows.len() == BATCH {
            table.put(&rows)?;
            rows.clear();
        }
    }
    table.put(&rows)?;
    Ok(count)
}

/// Gives every row of a status another, or removes it.
fn turn(table: &mut impl Table, from: u8, to: Option<u8>) -> Result<u64> {
    let (mut rows, mut turned) = (Rows::default(), Rows::default());
    let mut last: Option<Vec<u8>> = None;
    let mut count = 0;
    loop {
        rows.clear();
        table.read(last.as_deref(), &mut rows)?;
        for (key, value) in rows.iter().filter(|(_, value)| value[0] == from) {
            let mut value = *value;
            value[0] = to.unwrap_or(from);
            turned.push(key, value);
        }
        let is_last = rows.len() < BATCH;
        // As the original does: what is found is gathered until it fills a batch.
        if turned.len() >= BATCH || is_last {
            count += turned.len() as u64;
            match to {
                Some(_) => table.put(&turned)?,
                None => table.remove(&turned)?,
            }
            turned.clear();
        }
        if is_last {
            return Ok(count);
        }
        last = Some(rows.key(rows.len() - 1).to_vec());
    }
}

/// Looks every listed key up, and gives it its new status.
fn scan(table: &mut impl Table, bucket: Bucket) -> Result<u64> {
    let mut listing = Objects::new(bucket);
    let mut rows = Rows::default();
    let mut found = Vec::new();
    let mut count = 0;
    loop {
        let is_on = listing.advance()?;
        if is_on {
            rows.push(listing.key(), value(NEW, &listing));
        }
        if rows.len() < BATCH && is_on {
            continue;
        }
        found.clear();
        table.get(&rows, &mut found)?;
        for (row, found) in rows.values.iter_mut().zip(&found) {
            let is_same = found.is_some_and(|found| found[13..] == row[13..]);
            row[0] = if is_same { SYNCED } else { NEW };
            count += u64::from(!is_same);
        }
        table.put(&rows)?;
        rows.clear();
        if !is_on {
            return Ok(count);
        }
    }
}

/// What all files in a folder take on disk: redb makes its file longer than it writes.
pub(crate) fn stored(folder: &Path) -> Result<u64> {
    /// Of stat(2), whatever blocks the file system has.
    const BLOCK_BYTES: u64 = 512;
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        bytes += entry?.metadata()?.blocks() * BLOCK_BYTES;
    }
    Ok(bytes)
}
