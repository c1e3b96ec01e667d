//! The state of the mirror: one pass, and a journal.

use std::path::Path;

use anyhow::Result;
use plimsoll::runs::SortedEntries;
use plimsoll_mirror::record::{Outcome, Record, Status};
use plimsoll_mirror::scan::{Listing, copy, scan};
use plimsoll_mirror::state::journal::Entry;
use plimsoll_mirror::state::{Lock, Pair, State};
use plimsoll_s3_simulator::Bucket;

use super::{Phase, stored};
use crate::objects::Objects;
use crate::usage::Cost;

pub(super) fn measure(folder: &Path, bucket: Bucket) -> Result<Vec<Phase>> {
    let pair = Pair {
        source: "s3".to_owned(),
        destination: "ftp".to_owned(),
    };
    let lock = Lock::take(folder)?;
    let state = State::open(folder, &pair, &lock)?;
    let phase = |name, changed, cost| -> Result<Phase> {
        Ok(Phase {
            name,
            cost,
            file_bytes: stored(folder)?,
            changed,
        })
    };
    let (state, cost) = Cost::of(|| seed(state, bucket.in_generation(0)))?;
    let mut done = vec![phase("insert", state.base().figures().entries, cost)?];
    // Nothing is there to be done: a key is "not seen yet" while the listing has not passed it.
    done.push(phase("prepare", 0, Cost::default())?);
    let (state, cost) = Cost::of(|| {
        let mut next = state.next()?;
        scan(state.known()?, &mut Objects::new(bucket), &mut next)?;
        state.reopen(next.publish(1)?)
    })?;
    let changed = count(&state, Status::New)?;
    done.push(phase("scan", changed, cost)?);
    let changed = count(&state, Status::DeletedInSource)?;
    done.push(phase("finalize", changed, Cost::default())?);
    let (changed, cost) = Cost::of(|| delete(&state))?;
    done.push(phase("delete", changed, cost)?);
    // A run does this when the delta is a tenth of the base: folds it in, deleted rows drop out.
    let (_, cost) = Cost::of(|| {
        let mut next = state.next()?.fold()?;
        copy(state.known()?, &mut next)?;
        state.reopen(next.publish(1)?)
    })?;
    done.push(phase("fold", 0, cost)?);
    Ok(done)
}

/// A state by which the whole bucket is at the destination.
pub(crate) fn seed(state: State, bucket: Bucket) -> Result<State> {
    let mut next = state.next()?.fold()?;
    let mut listing = Objects::new(bucket);
    while listing.advance()? {
        let record = Record::Synced(listing.meta().clone());
        next.put(listing.key(), None, Some(&record))?;
    }
    state.reopen(next.publish(1)?)
}

/// Entries of the delta with a status.
fn count(state: &State, status: Status) -> Result<u64> {
    let mut delta = state.delta().reader();
    let mut count = 0;
    while delta.advance()? {
        let record = Record::decode(delta.value())?;
        count += u64::from(record.is_some_and(|record| record.status() == status));
    }
    Ok(count)
}

/// Writes down that all deletions have been done, as a run does.
fn delete(state: &State) -> Result<u64> {
    let mut journal = state.journal()?;
    journal.append(Entry::DeletionsBegun(state.delta().figures().entries))?;
    journal.sync()?;
    let mut delta = state.delta().reader();
    let mut count = 0;
    while delta.advance()? {
        if let Some(Record::Deleted { .. }) = Record::decode(delta.value())? {
            journal.append(Entry::Result(delta.ordinal() - 1, Outcome::Deleted))?;
            count += 1;
        }
    }
    journal.sync()?;
    Ok(count)
}
