//! What is to be done with images, in the table `booru_jobs`: a kill of the board loses none of it.
//!
//! A job is `queued`, `running`, `done` or `failed` (set aside, with its reason). It counts as a try from
//! when it is taken; who is ended in an orderly way gives it back uncounted. One that was under way when a
//! worker or a board died is tried again alone, so that what kills them is found out, and set aside after
//! [`TRIES_MAX`] deaths of a worker or [`CUT_OFF_MAX`] of a board, which people kill for other reasons.
//! One image has at most one job of a kind.
//!
//! **Cost.** On disk some 100 bytes a job; of those that are done the last [`DONE_KEPT`] stay.

mod job;
mod tell;

use anyhow::{Context, Result};
use serde::Serialize;

use job::COLUMNS;
pub use job::{Job, Kind, State};
pub use tell::{Counts, counts, find, has_work, list};

use crate::query::moment;
use crate::store::{Store, Value};

/// Deaths of a worker in which a job was under way until it is set aside.
pub const TRIES_MAX: u32 = 3;
/// The same of a board.
pub const CUT_OFF_MAX: u32 = 10;
/// Jobs that are done and still told of.
pub const DONE_KEPT: u32 = 1000;
/// The longest reason that is kept; a worker's words may be long.
const REASON_BYTES_MAX: usize = 2000;

/// What came of asking for work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Submitted {
    pub queued: u64,
    /// In the queue already.
    pub already: u64,
}

/// Queues a job for each image, by id; one that ended before is done again. One transaction.
///
/// # Errors
/// An image that is not there, and what the database says.
pub fn submit(store: &Store, kind: Kind, images: &[u32]) -> Result<Submitted> {
    store.write(|| submit_within(store, kind, images))
}

/// The same within a transaction of the caller's.
///
/// # Errors
/// As [`submit`].
pub(crate) fn submit_within(store: &Store, kind: Kind, images: &[u32]) -> Result<Submitted> {
    let what = "queue work";
    let now = moment::now_text();
    // Ids are given once, also where a job is gone: a late answer must not meet another job.
    let sql = "SELECT last FROM booru_job_ids";
    let last = store.query_row(what, sql, &[], |row| row.integer(0))?;
    let last = last.flatten();
    let mut last = last.context("queue work: the table booru_job_ids is empty")?;
    let mut submitted = Submitted::default();
    for image in images {
        let sql = "INSERT INTO booru_jobs (id, kind, image_id, state, tries, cut_off, queued_at) \
                   VALUES (?1, ?2, ?3, 'queued', 0, 0, ?4) ON CONFLICT (kind, image_id) DO UPDATE SET \
                   id = excluded.id, state = 'queued', tries = 0, cut_off = 0, reason = NULL, \
                   queued_at = excluded.queued_at, ended_at = NULL \
                   WHERE booru_jobs.state NOT IN ('queued', 'running')";
        let id = last + 1;
        let values = [
            id.into(),
            kind.name().into(),
            (*image).into(),
            (&now).into(),
        ];
        match store.execute(what, sql, &values)? {
            0 => submitted.already += 1,
            _ => {
                submitted.queued += 1;
                last = id;
            }
        }
    }
    let sql = "UPDATE booru_job_ids SET last = ?1";
    store.execute(what, sql, &[last.into()])?;
    Ok(submitted)
}

/// Takes up to `limit` queued jobs of a kind, the oldest first, and counts a try of each. One that was
/// under way at a death comes alone.
///
/// # Errors
/// What the database says.
pub fn take(store: &Store, kind: Kind, limit: usize) -> Result<Vec<Job>> {
    let what = "take work from the queue";
    store.write(|| {
        let sql = format!(
            "SELECT {COLUMNS} WHERE job.state = 'queued' AND job.kind = ?1 ORDER BY job.id LIMIT ?2"
        );
        let mut jobs: Vec<Job> = Vec::new();
        let values = [kind.name().into(), Value::Integer(limit.max(1) as i64)];
        store.each_row(what, &sql, &values, |row| {
            jobs.extend(Job::read(row)?);
            Ok(())
        })?;
        if jobs.is_empty() {
            // Other programs delete images without regard to what refers to them.
            let sql = "DELETE FROM booru_jobs WHERE state = 'queued' AND kind = ?1 AND NOT EXISTS \
                       (SELECT 1 FROM images AS image WHERE image.id = booru_jobs.image_id)";
            store.execute(what, sql, &[kind.name().into()])?;
        }
        let together = jobs
            .iter()
            .position(|job| job.tries > 0 || job.cut_off > 0)
            .unwrap_or(jobs.len());
        jobs.truncate(together.max(1));
        for job in &mut jobs {
            let sql = "UPDATE booru_jobs SET state = 'running', tries = tries + 1 WHERE id = ?1";
            store.execute(what, sql, &[job.id.into()])?;
            job.tries += 1;
        }
        Ok(jobs)
    })
}

/// Whether a job that is given back counts as a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Something died of it, perhaps.
    Counted,
    /// Nothing was learnt of it.
    None,
}

/// Puts jobs back.
///
/// # Errors
/// What the database says.
pub fn give_back(store: &Store, jobs: &[Job], blame: Blame) -> Result<()> {
    let less = i64::from(blame == Blame::None);
    store.write(|| {
        for job in jobs {
            let sql = "UPDATE booru_jobs SET state = 'queued', tries = tries - ?2 \
                       WHERE id = ?1 AND state = 'running'";
            store.execute(
                "put work back into the queue",
                sql,
                &[job.id.into(), less.into()],
            )?;
        }
        Ok(())
    })
}

/// Takes jobs out that somebody cancelled while they were under way.
///
/// # Errors
/// What the database says.
pub fn forget(store: &Store, jobs: &[Job]) -> Result<()> {
    store.write(|| {
        for job in jobs {
            let sql = "DELETE FROM booru_jobs WHERE id = ?1 AND state = 'running'";
            store.execute("take work out of the queue", sql, &[job.id.into()])?;
        }
        Ok(())
    })
}

/// Writes down that a job is done. Within a transaction of the caller's, that which puts the result in.
/// `false` where it is no longer under way, as its image was deleted meanwhile: then its result is nobody's.
///
/// # Errors
/// What the database says.
pub fn finish(store: &Store, job: u32) -> Result<bool> {
    let sql = "UPDATE booru_jobs SET state = 'done', reason = NULL, ended_at = ?2 \
               WHERE id = ?1 AND state = 'running'";
    let changed = store.execute(
        "write down what is done",
        sql,
        &[job.into(), (&moment::now_text()).into()],
    )?;
    Ok(changed > 0)
}

/// Whether a job is still under way, and was not taken out with its image.
///
/// # Errors
/// What the database says.
pub fn is_under_way(store: &Store, job: u32) -> Result<bool> {
    let sql = "SELECT 1 FROM booru_jobs WHERE id = ?1 AND state = 'running'";
    let found = store.query_row("look for work", sql, &[job.into()], |_| Ok(()))?;
    Ok(found.is_some())
}

/// Sets jobs that are under way aside, each with its reason.
///
/// # Errors
/// What the database says.
pub fn set_aside(store: &Store, jobs: &[(u32, String)]) -> Result<()> {
    let now = moment::now_text();
    store.write(|| {
        for (job, reason) in jobs {
            let sql = "UPDATE booru_jobs SET state = 'failed', reason = ?2, ended_at = ?3 \
                       WHERE id = ?1 AND state = 'running'";
            let values = [(*job).into(), clipped(reason).into(), (&now).into()];
            store.execute("set work aside", sql, &values)?;
        }
        Ok(())
    })
}

fn clipped(reason: &str) -> &str {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

/// For whoever holds the [`Claim`](super::claim::Claim): what is `running` now is of a board that died. It is queued again, or
/// set aside after [`CUT_OFF_MAX`] of these.
///
/// # Errors
/// What the database says.
pub fn recover(store: &Store) -> Result<()> {
    let what = "take up what was under way";
    store.write(|| {
        let sql = "UPDATE booru_jobs SET state = 'queued', tries = tries - 1, cut_off = cut_off + 1 \
                   WHERE state = 'running'";
        store.execute(what, sql, &[])?;
        let reason = format!("the board died {CUT_OFF_MAX} times while this was under way");
        let sql = "UPDATE booru_jobs SET state = 'failed', ended_at = ?2, reason = ?3 \
                   WHERE state = 'queued' AND cut_off >= ?1";
        let now = moment::now_text();
        let values = [CUT_OFF_MAX.into(), (&now).into(), (&reason).into()];
        store.execute(what, sql, &values)?;
        Ok(())
    })
}

/// For whoever holds the [`Claim`](super::claim::Claim) and has nothing under way: what is `running` all the same was not put
/// back, as the database failed. It is queued again, and counts as never taken.
///
/// # Errors
/// What the database says.
pub fn take_back(store: &Store) -> Result<()> {
    let sql = "UPDATE booru_jobs SET state = 'queued', tries = tries - 1 WHERE state = 'running'";
    store.write(|| store.execute("put work back into the queue", sql, &[]))?;
    Ok(())
}

/// Forgets jobs that are done, all but the last.
///
/// # Errors
/// What the database says.
pub fn prune(store: &Store) -> Result<()> {
    let what = "forget what is long done";
    let sql = "SELECT id FROM booru_jobs WHERE state = 'done' ORDER BY ended_at DESC, id DESC \
               LIMIT 1 OFFSET ?1";
    let last = store.query_row(what, sql, &[DONE_KEPT.into()], |row| row.id(0))?;
    let Some(last) = last.flatten() else {
        return Ok(());
    };
    let sql = "DELETE FROM booru_jobs WHERE state = 'done' AND ended_at <= \
               (SELECT ended_at FROM booru_jobs WHERE id = ?1)";
    store.write(|| store.execute(what, sql, &[last.into()]).map(|_| ()))
}

/// Takes queued jobs out, of one kind or all; how many. What runs goes on.
///
/// # Errors
/// What the database says.
pub fn cancel(store: &Store, kind: Option<Kind>) -> Result<u64> {
    let sql = "DELETE FROM booru_jobs WHERE state = 'queued' AND (?1 IS NULL OR kind = ?1)";
    let kind = kind.map(Kind::name);
    store.write(|| store.execute("take work out of the queue", sql, &[kind.into()]))
}

/// Queues again what was set aside, of one kind or all; how many.
///
/// # Errors
/// What the database says.
pub fn retry(store: &Store, kind: Option<Kind>) -> Result<u64> {
    let sql = "UPDATE booru_jobs SET state = 'queued', tries = 0, cut_off = 0, reason = NULL, ended_at = NULL \
               WHERE state = 'failed' AND (?1 IS NULL OR kind = ?1)";
    let kind = kind.map(Kind::name);
    store.write(|| store.execute("queue again what was set aside", sql, &[kind.into()]))
}
