//! Tables that the original does not have, and takes no notice of: what is to be done, and what is to be
//! looked at. Made where one is first needed.

use anyhow::Result;

use crate::board::Board;
use crate::store::Store;

const STATEMENTS: [(&str, &str); 7] = [
    (
        "make table booru_jobs",
        "CREATE TABLE IF NOT EXISTS booru_jobs (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, \
         image_id INTEGER NOT NULL REFERENCES images(id) ON DELETE CASCADE, state TEXT NOT NULL, \
         tries INTEGER NOT NULL, cut_off INTEGER NOT NULL, reason TEXT, queued_at TEXT NOT NULL, ended_at TEXT, \
         UNIQUE (kind, image_id))",
    ),
    (
        "make an index of booru_jobs",
        "CREATE INDEX IF NOT EXISTS idx_booru_jobs_state ON booru_jobs(state, kind, id)",
    ),
    // An image that is deleted takes its jobs along.
    (
        "make an index of booru_jobs",
        "CREATE INDEX IF NOT EXISTS idx_booru_jobs_image ON booru_jobs(image_id)",
    ),
    // The last id that a job was given.
    (
        "make table booru_job_ids",
        "CREATE TABLE IF NOT EXISTS booru_job_ids (place INTEGER PRIMARY KEY, last INTEGER NOT NULL)",
    ),
    (
        "fill table booru_job_ids",
        "INSERT INTO booru_job_ids (place, last) SELECT 1, COALESCE(MAX(id), 0) FROM booru_jobs WHERE true \
         ON CONFLICT (place) DO NOTHING",
    ),
    (
        "make table booru_reviews",
        "CREATE TABLE IF NOT EXISTS booru_reviews (\
         image_id INTEGER NOT NULL REFERENCES images(id) ON DELETE CASCADE, tag_name TEXT NOT NULL, \
         category TEXT, confidence REAL NOT NULL, state TEXT NOT NULL, changed_at TEXT NOT NULL, \
         PRIMARY KEY (image_id, tag_name))",
    ),
    (
        "make an index of booru_reviews",
        "CREATE INDEX IF NOT EXISTS idx_booru_reviews_tag ON booru_reviews(state, tag_name, confidence)",
    ),
];

/// Makes what is not there.
///
/// # Errors
/// A board that is read-only, and what the database says.
pub(crate) fn ensure(board: &mut Board) -> Result<()> {
    if are_there(&board.store) && board.store.schema.has_table("booru_job_ids") {
        return Ok(());
    }
    board.store.write(|| {
        for (what, sql) in STATEMENTS {
            board.store.execute(what, sql, &[])?;
        }
        Ok(())
    })?;
    board.store.refresh_schema()
}

/// Whether anything was ever queued; where not, there is nothing to be read.
pub(crate) fn are_there(store: &Store) -> bool {
    store.schema.has_table("booru_jobs") && store.schema.has_table("booru_reviews")
}
