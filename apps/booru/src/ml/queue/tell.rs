//! What is told of the queue: how many jobs stand where, and which.

use anyhow::Result;
use serde::Serialize;

use super::job::{COLUMNS, Job, Kind, State};
use crate::store::Store;

/// How many jobs of one kind stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub queued: u64,
    pub running: u64,
    pub done: u64,
    pub failed: u64,
}

impl Counts {
    /// Jobs that have not ended.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.queued + self.running
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.queued += other.queued;
        self.running += other.running;
        self.done += other.done;
        self.failed += other.failed;
    }
}

/// # Errors
/// What the database says.
pub fn counts(store: &Store, kind: Kind) -> Result<Counts> {
    let mut counts = Counts::default();
    let sql = "SELECT state, COUNT(*) FROM booru_jobs WHERE kind = ?1 GROUP BY state";
    store.each_row("count the work", sql, &[kind.name().into()], |row| {
        let count = row
            .integer(1)?
            .and_then(|count| u64::try_from(count).ok())
            .unwrap_or(0);
        match State::of(&row.text(0)?.unwrap_or_default()) {
            Some(State::Queued) => counts.queued = count,
            Some(State::Running) => counts.running = count,
            Some(State::Done) => counts.done = count,
            Some(State::Failed) => counts.failed = count,
            None => {}
        }
        Ok(())
    })?;
    Ok(counts)
}

/// Whether any job has not ended: queued, under way, or left so by a board that died. O(log n).
///
/// # Errors
/// What the database says.
pub fn has_work(store: &Store) -> Result<bool> {
    let sql = "SELECT 1 FROM booru_jobs WHERE state IN ('queued', 'running') LIMIT 1";
    let found = store.query_row("look for work", sql, &[], |_| Ok(()))?;
    Ok(found.is_some())
}

/// Jobs in one state, of one kind or all, the last queued first.
///
/// # Errors
/// What the database says.
pub fn list(store: &Store, state: State, kind: Option<Kind>, limit: u32) -> Result<Vec<Job>> {
    let mut jobs = Vec::new();
    let sql = format!(
        "SELECT {COLUMNS} WHERE job.state = ?1 AND (?2 IS NULL OR job.kind = ?2) \
         ORDER BY job.id DESC LIMIT ?3"
    );
    let values = [
        state.name().into(),
        kind.map(Kind::name).into(),
        limit.into(),
    ];
    store.each_row("list the work", &sql, &values, |row| {
        jobs.extend(Job::read(row)?);
        Ok(())
    })?;
    Ok(jobs)
}

/// The job of an image.
///
/// # Errors
/// What the database says.
pub fn find(store: &Store, kind: Kind, image: u32) -> Result<Option<Job>> {
    let sql = format!("SELECT {COLUMNS} WHERE job.kind = ?1 AND job.image_id = ?2");
    let found = store.query_row(
        "look for work",
        &sql,
        &[kind.name().into(), image.into()],
        Job::read,
    )?;
    Ok(found.flatten())
}
